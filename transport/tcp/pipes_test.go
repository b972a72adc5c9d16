package tcp

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
)

// pipes is a network in memory, without any buffer, for tests in virtual time.
type pipes struct {
	mu        sync.Mutex
	listeners map[string]*pipeListener
	dials     int
	conns     []net.Conn // the dialers' ends
	// wrap, if set, gets each dialer's end with its number, from 1 on. An
	// error refuses the connection.
	wrap func(n int, conn net.Conn) (net.Conn, error)
}

func newPipes() *pipes { return &pipes{listeners: map[string]*pipeListener{}} }

// pipeListener is a net.Listener for the pipes that are dialed to its address.
type pipeListener struct {
	network *pipes
	address pipeAddr
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

type pipeAddr string

func (a pipeAddr) Network() string { return "pipes" }
func (a pipeAddr) String() string  { return string(a) }

// pipeEnd is the accepted end of a pipe.
type pipeEnd struct {
	net.Conn
	remote pipeAddr
}

func (e pipeEnd) RemoteAddr() net.Addr { return e.remote }

func (n *pipes) listen(address string) *pipeListener {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := &pipeListener{network: n, address: pipeAddr(address), conns: make(chan net.Conn), closed: make(chan struct{})}
	n.listeners[address] = l
	return l
}

func (n *pipes) dial(ctx context.Context, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dials++
	number, l, wrap := n.dials, n.listeners[address], n.wrap
	n.mu.Unlock()
	if l == nil {
		return nil, errors.New("connection refused")
	}
	near, far := net.Pipe()
	conn := net.Conn(near)
	if wrap != nil {
		var err error
		if conn, err = wrap(number, near); err != nil {
			return nil, err
		}
	}
	select {
	case l.conns <- pipeEnd{far, "10.0.0.99:1"}:
		n.mu.Lock()
		n.conns = append(n.conns, near)
		n.mu.Unlock()
		return conn, nil
	case <-l.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// cut cuts all connections.
func (n *pipes) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, conn := range n.conns {
		conn.Close()
	}
	n.conns = nil
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.network.mu.Lock()
		defer l.network.mu.Unlock()
		if l.network.listeners[string(l.address)] == l {
			delete(l.network.listeners, string(l.address))
		}
	})
	return nil
}

func (l *pipeListener) Addr() net.Addr { return l.address }

// listenNode returns a node at an address of this network.
func (n *pipes) listenNode(t testing.TB, id raft.NodeID, address string, opts Options) *node {
	require.NoError(t, opts.Validate())
	opts.Dial = n.dial
	opts = opts.withDefaults()
	security, err := newSecurity(&opts)
	require.NoError(t, err)
	transport := newTransport(n.listen(address), security, opts)
	t.Cleanup(func() { require.NoError(t, transport.Close()) })
	handler := &recorder{messages: make(chan raft.Message, 1<<10), unreachable: make(chan raft.NodeID, 1<<14)}
	return &node{transport, handler, id}
}

// pair returns two nodes, 1 and 2, that know each other.
func (n *pipes) pair(t testing.TB, opts Options) (a, b *node) {
	a, b = n.listenNode(t, 1, "10.0.0.1:7000", opts).start(t), n.listenNode(t, 2, "10.0.0.2:7000", opts).start(t)
	a.SetPeer(2, b.addr())
	b.SetPeer(1, a.addr())
	return a, b
}

package tcp

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"

	"go.uber.org/zap"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// Transport is a raft.Transport over TCP. Create one with Listen.
//
// All methods may be called concurrently, but none from within a method of
// the Handler except Send and SetPeer.
type Transport struct {
	opts      Options
	side      wire.Side // Identity is set by Start
	log       *zap.Logger
	listener  net.Listener
	security  *security // nil: plain TCP
	advertise string
	notifier  *notifier
	counters  counters
	sending   chan struct{} // holds a token for each snapshot that is being sent
	refusals  logBudget

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	group  sync.WaitGroup // all goroutines, and calls of SendSnapshot; added to under mu while not closed

	// Set by Start, before any goroutine reads them.
	self    raft.Identity
	handler raft.Handler

	mu        sync.RWMutex
	started   bool
	closed    bool
	peers     map[raft.NodeID]*peer
	sources   map[raft.NodeID]*source
	incoming  map[*link]struct{}
	admitted  uint64      // incoming connections so far
	strangers []*link     // of incoming, those that have not introduced themselves, the oldest first
	welcomed  int         // of incoming, those that have
	transfers []*transfer // snapshots that are being received
	finished  []finished  // the last ones that were, the oldest first
}

var _ raft.Transport = (*Transport)(nil)

// Listen binds address ("host:port"; port 0 takes a free one, see Addr) and
// returns a transport for it. Nothing is accepted before Start; until then
// connections wait in the kernel. The caller closes the transport.
//
// The error is a *raft.ConfigError when opts are wrong, else from binding.
func Listen(address string, opts Options) (*Transport, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	security, err := newSecurity(&opts)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("raft/tcp: cannot listen: %w", err)
	}
	return newTransport(listener, security, opts), nil
}

// newTransport returns a transport for a listener that it owns from now on, and
// for options that are valid and complete.
func newTransport(listener net.Listener, security *security, opts Options) *Transport {
	t := &Transport{
		opts:      opts,
		security:  security,
		side:      wire.Ours(raft.Identity{}),
		log:       opts.Logger,
		listener:  listener,
		advertise: opts.Advertise,
		notifier:  newNotifier(),
		sending:   make(chan struct{}, opts.MaxSnapshots),
		peers:     map[raft.NodeID]*peer{},
		sources:   map[raft.NodeID]*source{},
		incoming:  map[*link]struct{}{},
	}
	if t.advertise == "" {
		t.advertise = listener.Addr().String()
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// Addr returns the address that the transport listens on.
func (t *Transport) Addr() net.Addr { return t.listener.Addr() }

// Start begins to accept connections, and to dial the peers that are known.
// It is called once. The error is a *raft.ConfigError when self is incomplete or
// the transport's certificate is not for it, raft.ErrClosed after Close.
func (t *Transport) Start(self raft.Identity, h raft.Handler) error {
	switch {
	case self.Node == 0:
		return &raft.ConfigError{Field: "Identity.Node", Reason: "must not be 0"}
	case self.Cluster == "" || len(self.Cluster) > wire.MaxClusterBytes:
		return &raft.ConfigError{Field: "Identity.Cluster", Reason: fmt.Sprintf("must have 1 to %d bytes, has %d", wire.MaxClusterBytes, len(self.Cluster))}
	case h == nil:
		return &raft.ConfigError{Field: "Handler", Reason: "must not be nil"}
	}
	if t.security != nil {
		if err := t.security.verifyOwn(self, t.security.config()); err != nil {
			return &raft.ConfigError{Field: "TLS", Reason: "this node's own certificate: " + err.Error()}
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return raft.ErrClosed
	}
	if t.started {
		return fmt.Errorf("raft/tcp: Start was called before")
	}
	t.started, t.self, t.handler = true, self, h
	t.side.Identity = self
	t.log = t.log.With(zap.Uint64("node", uint64(self.Node)))
	t.group.Go(func() { t.notifier.run(t.ctx, h) })
	t.group.Go(t.accept)
	t.secureAs(self)
	delete(t.peers, self.Node)
	for _, p := range t.peers {
		t.dialPeer(p)
	}
	return nil
}

// secureAs begins to look for changes of the TLS files, or says what it means
// that there is no TLS.
func (t *Transport) secureAs(self raft.Identity) {
	switch s := t.security; {
	case s == nil && !isLoopback(t.listener.Addr()):
		t.log.Warn("no TLS: whoever reaches the port can be any node, and read and change what is sent")
	case s != nil && s.files != nil:
		t.group.Go(func() {
			s.files.watch(t.ctx, func(c *tls.Config) error { return s.verifyOwn(self, c) })
		})
	}
}

func isLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// SetPeer gives the address of a node, which is dialed at once, whether or not
// there is something to send; connections to another address are closed. An
// empty address forgets the node: its connections are closed, both ways, and
// what waits to be sent to it is dropped. SetPeer does not block.
func (t *Transport) SetPeer(id raft.NodeID, address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || id == 0 || t.started && id == t.self.Node {
		return
	}
	p := t.peers[id]
	if p != nil && p.address == address {
		p.learned = false
		return
	}
	if p != nil {
		t.endPeer(p)
	}
	if address != "" {
		t.addPeer(newPeer(t, id, address))
	} else if s := t.sources[id]; s != nil {
		s.close()
	}
}

// learnPeer makes a node that has connected a peer, at the address that it
// says it has, unless SetPeer has given one. A node that just joins can answer
// its leader so, before it has received any membership. mu is held.
func (t *Transport) learnPeer(id raft.NodeID, address string) {
	p := t.peers[id]
	if address == "" || t.closed || p != nil && (!p.learned || p.address == address) {
		return
	}
	if p != nil {
		t.endPeer(p)
	}
	p = newPeer(t, id, address)
	p.learned = true
	t.addPeer(p)
}

// addPeer begins to dial p. mu is held.
func (t *Transport) addPeer(p *peer) {
	t.peers[p.id] = p
	if t.started {
		t.dialPeer(p)
	}
}

// dialPeer starts p's senders. mu is held.
func (t *Transport) dialPeer(p *peer) {
	for _, s := range p.senders {
		t.group.Go(s.run)
	}
}

// endPeer ends p's connections. mu is held.
func (t *Transport) endPeer(p *peer) {
	delete(t.peers, p.id)
	p.cancel()
}

// Send encodes messages into the queues of their peers, and never blocks. A
// message is dropped, and Handler.Unreachable called for its To, when that is
// not a known peer, when its queue is full, when the message is larger than
// Options.MaxFrameBytes, and when no connection can be made. Messages to one
// node arrive in order, except that votes, heartbeats, acknowledgements and
// other small messages for which elections, leases or reads wait go another way
// than those that carry entries, and overtake them; those of a connection that
// breaks may be lost.
//
// Before Start and after Close, Send does nothing.
func (t *Transport) Send(messages []raft.Message) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if !t.started || t.closed {
		return
	}
	for len(messages) > 0 {
		n := 1
		for n < len(messages) && messages[n].To == messages[0].To {
			n++
		}
		t.sendTo(messages[0].To, messages[:n])
		messages = messages[n:]
	}
}

// sendTo queues messages for one node. mu is held.
func (t *Transport) sendTo(id raft.NodeID, messages []raft.Message) {
	dropped := len(messages)
	if p := t.peers[id]; p != nil {
		dropped = p.add(messages)
	}
	if dropped > 0 {
		t.counters.messagesDropped.Add(uint64(dropped))
		t.notifier.unreachable(id)
	}
}

// Close ends all connections and goroutines, and calls of SendSnapshot. When it
// returns, no method of the Handler is running, and none is called any more. It
// must not be called from within the Handler.
func (t *Transport) Close() error {
	t.mu.Lock()
	if !t.closed {
		t.closed = true
		t.cancel()
		t.listener.Close()
		for l := range t.incoming {
			l.close()
		}
	}
	t.mu.Unlock()
	t.group.Wait()
	return nil
}

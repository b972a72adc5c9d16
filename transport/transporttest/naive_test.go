package transporttest_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/transporttest"
)

// naive is a transport over TCP as one writes it who has not thought of what
// networks do: frames are a length and a message, a connection that is silent is
// a good one, and nothing is checked.
type naive struct {
	onceOnly bool // a connection that broke is not made again
	attempts int  // if not 0, so often a connection is made to one node
	oneRead  bool // what is read at once is taken for whole frames
	cutIsEnd bool // a snapshot that is cut ends
	again    bool // and begins anew

	listener net.Listener
	self     raft.NodeID
	handler  raft.Handler
	group    sync.WaitGroup

	mu     sync.Mutex
	closed bool
	peers  map[raft.NodeID]*naivePeer
	conns  []net.Conn
}

type naivePeer struct {
	address string
	queue   chan []byte
	made    int
	end     chan struct{}
}

func openNaive(change func(*naive)) func(testing.TB) *transporttest.Network {
	return func(testing.TB) *transporttest.Network {
		return &transporttest.Network{Open: func(raft.NodeID, string) (raft.Transport, string, error) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return nil, "", err
			}
			n := &naive{listener: listener, peers: map[raft.NodeID]*naivePeer{}}
			if change != nil {
				change(n)
			}
			return n, listener.Addr().String(), nil
		}}
	}
}

func (n *naive) Start(self raft.Identity, h raft.Handler) error {
	n.self, n.handler = self.Node, h
	n.group.Go(func() {
		for {
			conn, err := n.listener.Accept()
			if err != nil {
				return
			}
			n.group.Go(func() { n.serve(conn) })
		}
	})
	return nil
}

// add keeps a connection to close it with the transport.
func (n *naive) add(conn net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns = append(n.conns, conn)
	if n.closed {
		conn.Close()
	}
}

func (n *naive) SetPeer(id raft.NodeID, address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.peers[id]; p != nil {
		close(p.end)
		delete(n.peers, id)
	}
	if address != "" && !n.closed {
		p := &naivePeer{address: address, queue: make(chan []byte, 1000), end: make(chan struct{})}
		n.peers[id] = p
		n.group.Go(func() { n.run(id, p) })
	}
}

func (n *naive) Send(messages []raft.Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range messages {
		id := messages[i].To
		frame := messages[i].Append(make([]byte, 4))
		binary.LittleEndian.PutUint32(frame, uint32(len(frame)-4))
		p := n.peers[id]
		if p == nil || n.closed {
			continue
		}
		select {
		case p.queue <- frame:
		default:
			n.group.Go(func() { n.handler.Unreachable(id) })
		}
	}
}

// run writes what is sent to one peer.
func (n *naive) run(id raft.NodeID, p *naivePeer) {
	var conn net.Conn
	broken := make(chan struct{}, 100)
	for {
		select {
		case <-p.end:
			return
		case <-broken:
			conn = nil
		case frame := <-p.queue:
			if conn == nil && (p.made == 0 || !n.onceOnly) && (n.attempts == 0 || p.made < n.attempts) {
				conn = n.dial(p, id, broken)
			}
			if conn == nil {
				n.handler.Unreachable(id)
			} else if _, err := conn.Write(frame); err != nil {
				conn.Close()
				n.handler.Unreachable(id)
			}
		}
	}
}

func (n *naive) dial(p *naivePeer, id raft.NodeID, broken chan struct{}) net.Conn {
	p.made++
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		return nil
	}
	n.add(conn)
	n.group.Go(func() {
		io.Copy(io.Discard, conn)
		conn.Close()
		n.handler.Unreachable(id)
		broken <- struct{}{}
	})
	conn.Write([]byte{'m'})
	return conn
}

func (n *naive) serve(conn net.Conn) {
	defer conn.Close()
	n.add(conn)
	r := bufio.NewReader(conn)
	purpose, err := r.ReadByte()
	switch {
	case err != nil:
	case purpose == 's':
		n.receive(conn, r)
	case n.oneRead:
		buf := make([]byte, 1<<20)
		for {
			k, err := r.Read(buf)
			if err != nil {
				return
			}
			for b := buf[:k]; len(b) > 4 && len(b)-4 >= int(binary.LittleEndian.Uint32(b)); {
				size := 4 + int(binary.LittleEndian.Uint32(b))
				n.deliver(b[4:size])
				b = b[size:]
			}
		}
	default:
		for {
			frame, err := readFrame(r)
			if err != nil || !n.deliver(frame) {
				return
			}
		}
	}
}

func readFrame(r io.Reader) ([]byte, error) {
	header := make([]byte, 4)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(header)
	if size > 1<<24 {
		return nil, errors.New("too long")
	}
	frame := make([]byte, size)
	_, err := io.ReadFull(r, frame)
	return frame, err
}

func (n *naive) deliver(frame []byte) bool {
	messages := make([]raft.Message, 1)
	if messages[0].Unmarshal(append([]byte(nil), frame...)) != nil {
		return false
	}
	n.handler.Deliver(messages)
	return true
}

func (n *naive) SendSnapshot(ctx context.Context, m raft.Message, body io.ReadSeeker) error {
	err := n.sendSnapshot(m, body)
	for n.again && err != nil && !errors.Is(err, raft.ErrClosed) && ctx.Err() == nil {
		body.Seek(0, io.SeekStart)
		err = n.sendSnapshot(m, body)
	}
	return err
}

func (n *naive) sendSnapshot(m raft.Message, body io.ReadSeeker) error {
	n.mu.Lock()
	p := n.peers[m.To]
	n.mu.Unlock()
	if p == nil {
		return raft.ErrClosed
	}
	conn, err := net.Dial("tcp", p.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	n.add(conn)
	frame := m.Append([]byte{'s', 0, 0, 0, 0})
	binary.LittleEndian.PutUint32(frame[1:], uint32(len(frame)-5))
	conn.Write(frame)
	copied := make(chan struct{})
	go func() {
		io.Copy(conn, io.LimitReader(body, int64(m.Snapshot.Size)))
		close(copied)
	}()
	answer, err := io.ReadAll(conn)
	conn.Close()
	<-copied
	if err == nil && string(answer) != "ok" {
		err = errors.New(string(answer))
	}
	return err
}

func (n *naive) receive(conn net.Conn, r io.Reader) {
	frame, err := readFrame(r)
	if err != nil {
		return
	}
	var m raft.Message
	if m.Unmarshal(frame) != nil || m.Snapshot == nil {
		return
	}
	body := io.LimitReader(r, int64(m.Snapshot.Size))
	if n.cutIsEnd {
		body = endsAtErrors{body}
	}
	if err := n.handler.DeliverSnapshot(m, body); err != nil {
		conn.Write([]byte(err.Error()))
		return
	}
	conn.Write([]byte("ok"))
}

func (n *naive) Close() error {
	n.mu.Lock()
	n.closed = true
	n.listener.Close()
	for id, p := range n.peers {
		close(p.end)
		delete(n.peers, id)
	}
	for _, conn := range n.conns {
		conn.Close()
	}
	n.mu.Unlock()
	n.group.Wait()
	return nil
}

func resumes(o *transporttest.Options) { o.Resumes = true }

var naiveFaults = []fault{
	{what: "takes what it reads for frames", finds: "Fragments", naive: func(n *naive) { n.oneRead = true }},
	{what: "does not connect again", finds: "Cut", naive: func(n *naive) { n.onceOnly = true }},
	{what: "connects at most ten times", finds: "CutHandshake", naive: func(n *naive) { n.attempts = 10 }},
	{what: "checks nothing", finds: "Corrupt", naive: func(*naive) {}},
	{what: "waits for ever", finds: "Stall", naive: func(*naive) {}},
	{what: "leaves what is on its way", finds: "Reroute", naive: func(*naive) {}},
	{what: "begins anew", finds: "SnapshotResume", naive: func(n *naive) { n.again = true }, promise: resumes},
	{what: "gives up", finds: "SnapshotResume", naive: func(*naive) {}, promise: resumes},
	{what: "takes a cut for the end", finds: "SnapshotCut", naive: func(n *naive) { n.cutIsEnd = true }},
}

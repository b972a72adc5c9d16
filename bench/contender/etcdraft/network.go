package etcdraft

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// The first byte of a connection says what comes: messages, each after its
// length (4 bytes, little-endian), or one message with a snapshot, followed by
// the length of its file (8 bytes) and the file.
const (
	kindMessages = 'M'
	kindSnapshot = 'S'
)

const (
	dialTimeout  = time.Second
	redialAfter  = 50 * time.Millisecond
	writeTimeout = 5 * time.Second
	maxQueued    = 8192     // messages to one peer; more are dropped, as Raft allows
	maxMessage   = 64 << 20 // bytes
	writeAtMost  = 1 << 20  // bytes gathered for one write
)

// network sends this node's messages, over one connection to each peer, and
// receives theirs over connections that they make.
type network struct {
	listener net.Listener
	disk     *disk
	inbox    *inbox
	peers    []*peer // nil for this node
	stopped  chan struct{}
	ended    sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool // all that are open

	receiving sync.Mutex // one snapshot at a time
}

// peer is another node, and what waits to be sent to it.
type peer struct {
	id      uint64
	address string
	wake    chan struct{} // one place

	mu     sync.Mutex
	queued []*raftpb.Message
}

func listen(self int, addrs []string, d *disk, b *inbox) (*network, error) {
	listener, err := net.Listen("tcp", addrs[self-1])
	if err != nil {
		return nil, err
	}
	n := &network{listener: listener, disk: d, inbox: b, stopped: make(chan struct{}), conns: map[net.Conn]bool{}}
	for i, address := range addrs {
		if i+1 == self {
			n.peers = append(n.peers, nil)
			continue
		}
		p := &peer{id: uint64(i + 1), address: address, wake: make(chan struct{}, 1)}
		n.peers = append(n.peers, p)
		n.ended.Go(func() { n.write(p) })
	}
	n.ended.Go(n.accept)
	return n, nil
}

func (n *network) close() {
	close(n.stopped)
	n.listener.Close()
	n.mu.Lock()
	for c := range n.conns {
		c.Close()
	}
	n.mu.Unlock()
	n.ended.Wait()
}

// keep remembers a connection so that close ends it, and does so at once if
// that was before.
func (n *network) keep(c net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[c] = true
	select {
	case <-n.stopped:
		c.Close()
	default:
	}
}

func (n *network) drop(c net.Conn) {
	c.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c)
}

// send hands messages to the writers of their peers. It does not block.
func (n *network) send(messages []*raftpb.Message) {
	for _, m := range messages {
		p := n.peers[m.GetTo()-1]
		if m.GetType() == raftpb.MsgSnap {
			n.ended.Go(func() { n.sendSnapshot(p, m) })
			continue
		}
		p.mu.Lock()
		if len(p.queued) < maxQueued {
			p.queued = append(p.queued, m)
		}
		p.mu.Unlock()
		select {
		case p.wake <- struct{}{}:
		default:
		}
	}
}

// write sends what is queued for a peer, all that there is at a time in one
// write. Without a connection messages are lost, as Raft allows.
func (n *network) write(p *peer) {
	var conn net.Conn
	var messages []*raftpb.Message
	var buffer []byte
	for {
		select {
		case <-p.wake:
		case <-n.stopped:
			return
		}
		p.mu.Lock()
		messages, p.queued = p.queued, messages[:0]
		p.mu.Unlock()
		if len(messages) == 0 {
			continue
		}
		var err error
		if conn == nil {
			if conn, err = n.dial(p, kindMessages); err == nil {
				go n.watch(conn)
			}
		}
		if err == nil {
			buffer, err = writeMessages(conn, messages, buffer)
		}
		clear(messages)
		if err == nil {
			continue
		}
		if conn != nil {
			n.drop(conn)
			conn = nil
		}
		n.call(func(l *loop) { l.raw.ReportUnreachable(p.id) })
		select {
		case <-time.After(redialAfter):
		case <-n.stopped:
			return
		}
	}
}

// call has the loop do something, unless it has ended.
func (n *network) call(f func(*loop)) {
	n.inbox.put(func(w *work) { w.calls = append(w.calls, f) })
}

func (n *network) dial(p *peer, kind byte) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", p.address, dialTimeout)
	if err != nil {
		return nil, err
	}
	n.keep(conn)
	if _, err := conn.Write([]byte{kind}); err != nil {
		n.drop(conn)
		return nil, err
	}
	return conn, nil
}

// watch closes a connection that its other end has closed, which never writes,
// so that the next message is not lost in it.
func (n *network) watch(conn net.Conn) {
	conn.Read(make([]byte, 1))
	n.drop(conn)
}

func writeMessages(conn net.Conn, messages []*raftpb.Message, buffer []byte) ([]byte, error) {
	conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	buffer = buffer[:0]
	for i, m := range messages {
		at := len(buffer)
		buffer = append(buffer, 0, 0, 0, 0)
		var err error
		if buffer, err = (proto.MarshalOptions{}).MarshalAppend(buffer, m); err != nil {
			return buffer, err
		}
		binary.LittleEndian.PutUint32(buffer[at:], uint32(len(buffer)-at-4))
		if len(buffer) >= writeAtMost || i == len(messages)-1 {
			if _, err := conn.Write(buffer); err != nil {
				return buffer, err
			}
			buffer = buffer[:0]
		}
	}
	return buffer, nil
}

func (n *network) accept() {
	for {
		conn, err := n.listener.Accept()
		if err != nil {
			return // closed
		}
		n.keep(conn)
		n.ended.Go(func() {
			defer n.drop(conn)
			r := bufio.NewReaderSize(conn, 256<<10)
			switch kind, _ := r.ReadByte(); kind {
			case kindMessages:
				n.receive(r)
			case kindSnapshot:
				n.receiveSnapshot(conn, r)
			}
		})
	}
}

// receive hands messages to the loop, all that have arrived at a time, until
// the connection ends.
func (n *network) receive(r *bufio.Reader) {
	var body []byte
	var messages []*raftpb.Message
	for {
		m, err := readMessage(r, &body)
		if err != nil {
			return
		}
		messages = append(messages, m)
		if more, err := r.Peek(min(4, r.Buffered())); err == nil && len(more) == 4 &&
			r.Buffered() >= 4+int(binary.LittleEndian.Uint32(more)) {
			continue // the next one is whole already
		}
		if !n.inbox.put(func(w *work) { w.messages = append(w.messages, messages...) }) {
			return
		}
		clear(messages)
		messages = messages[:0]
	}
}

// readMessage reads one message; body is reused.
func readMessage(r io.Reader, body *[]byte) (*raftpb.Message, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	size := int(binary.LittleEndian.Uint32(length[:]))
	if size > maxMessage {
		return nil, errors.New("etcdraft: a message that is too long")
	}
	if cap(*body) < size {
		*body = make([]byte, size)
	}
	if _, err := io.ReadFull(r, (*body)[:size]); err != nil {
		return nil, err
	}
	m := &raftpb.Message{}
	return m, proto.Unmarshal((*body)[:size], m)
}

package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/seed-6281cb22/raft/transport/tcp"
)

const (
	frameHeaderBytes = 12
	windowMessages   = 4096     // in flight at most, as a leader's flow control has it,
	windowBytes      = 16 << 20 // and half of what the transport's queue takes
	snapshotBytes    = 32 << 20
	chunkBytes       = 256 << 10 // of a snapshot in a frame
)

// message returns an AppendEntries with entries of some sizes.
func message(from, to raft.NodeID, sizes []int) raft.Message {
	m := raft.Message{Type: raftpb.AppendEntries, From: from, To: to, Term: 1, Index: 1, LogTerm: 1, Commit: 1}
	for i, size := range sizes {
		m.Entries = append(m.Entries, raft.Entry{Term: 1, Index: raft.Index(2 + i), Data: make([]byte, size)})
	}
	return m
}

// frameBytes is the length of such a message on the wire.
func frameBytes(sizes []int) int {
	m := message(1, 2, sizes)
	return m.EncodedLen() + frameHeaderBytes
}

// handler is the Handler of one node.
type handler struct {
	meter   *meter               // of messages
	deliver func([]raft.Message) // instead of the meter, if set
}

func (h *handler) Deliver(messages []raft.Message) {
	if h.deliver != nil {
		h.deliver(messages)
		return
	}
	h.meter.add(len(messages))
}

func (h *handler) DeliverSnapshot(_ raft.Message, body io.Reader) error {
	_, err := io.Copy(io.Discard, body)
	return err
}

func (h *handler) Unreachable(raft.NodeID) {}

// nodes are transports on loopback. Node 1 and each of the others are
// connected, both ways.
type nodes struct {
	all     []*tcp.Transport
	handler []*handler
	meter   *meter // of all nodes
}

func openNodes(secure bool, others int) (*nodes, error) {
	n := &nodes{meter: newMeter()}
	for id := raft.NodeID(1); id <= raft.NodeID(1+others); id++ {
		if err := n.add(secure, id); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	return n, n.connect()
}

func (n *nodes) add(secure bool, id raft.NodeID) error {
	var opts tcp.Options
	if secure {
		var err error
		if opts.TLS, err = mutualTLS(); err != nil {
			return err
		}
	}
	t, err := tcp.Listen("127.0.0.1:0", opts)
	if err != nil {
		return err
	}
	h := &handler{meter: n.meter}
	n.all, n.handler = append(n.all, t), append(n.handler, h)
	return t.Start(raft.Identity{Cluster: cluster, Node: id}, h)
}

// connect waits until messages pass both ways between node 1 and the others.
func (n *nodes) connect() error {
	leader := n.all[0]
	for i, t := range n.all[1:] {
		leader.SetPeer(raft.NodeID(i+2), t.Addr().String())
		t.SetPeer(1, leader.Addr().String())
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !n.connected(); <-tick.C {
		if time.Now().After(end) {
			return errors.Join(errors.New("the nodes do not connect"), n.Close())
		}
	}
	return nil
}

func (n *nodes) connected() bool {
	for _, t := range n.all {
		for _, p := range t.Peers() {
			if !p.Connected {
				return false
			}
		}
	}
	return true
}

func (n *nodes) Close() error {
	var errs []error
	for _, t := range n.all {
		errs = append(errs, t.Close())
	}
	return errors.Join(errs...)
}

// stream is node 1 sending to the others. Each Send has the same messages.
type stream struct {
	*nodes
	messages   []raft.Message
	frameBytes int
	window     int
}

func openStream(secure bool, sizes []int, perSend int) (*stream, error) {
	n, err := openNodes(secure, 1)
	if err != nil {
		return nil, err
	}
	return newStream(n, sizes, func(int) raft.NodeID { return 2 }, perSend), nil
}

// openFan sends one message to each of the others with each Send.
func openFan(secure bool, others int, sizes []int) (*stream, error) {
	n, err := openNodes(secure, others)
	if err != nil {
		return nil, err
	}
	return newStream(n, sizes, func(i int) raft.NodeID { return raft.NodeID(2 + i) }, others), nil
}

func newStream(n *nodes, sizes []int, to func(int) raft.NodeID, perSend int) *stream {
	s := &stream{nodes: n, frameBytes: frameBytes(sizes)}
	s.window = max(1, min(windowMessages, windowBytes/s.frameBytes))
	for i := range perSend {
		s.messages = append(s.messages, message(1, to(i), sizes))
	}
	return s
}

func (s *stream) run(length time.Duration) (w work, err error) {
	before, stats := s.meter.arrived.Load(), s.all[0].Stats()
	for p := newPace(length); ; {
		s.all[0].Send(s.messages)
		w.messages += len(s.messages)
		w.bytes += int64(len(s.messages) * s.frameBytes)
		if p.over(w.bytes) {
			break
		}
		if err := s.meter.wait(before + int64(w.messages-s.window)); err != nil {
			return w, err
		}
	}
	if err := s.meter.wait(before + int64(w.messages)); err != nil {
		return w, err
	}
	return w, s.verify(stats)
}

// verify makes sure that bare TCP is given the same work. What is counted as
// sent is only after the write, which may have arrived before.
func (s *stream) verify(before tcp.Stats) error {
	after := s.all[0].Stats()
	sent, bytes := after.MessagesSent-before.MessagesSent, after.BytesSent-before.BytesSent
	if sent > 0 && bytes != sent*uint64(s.frameBytes) {
		return fmt.Errorf("%d messages took %d bytes, not %d each", sent, bytes, s.frameBytes)
	}
	if after.MessagesDropped > 0 {
		return fmt.Errorf("%d messages were dropped", after.MessagesDropped)
	}
	return nil
}

// pingPong is a message that goes to and fro between two nodes.
type pingPong struct {
	*nodes
	ping       []raft.Message
	frameBytes int
	latencies  []time.Duration
	end, sent  time.Time
	done       chan struct{}
}

func openPingPong(secure bool, sizes []int) (*pingPong, error) {
	n, err := openNodes(secure, 1)
	if err != nil {
		return nil, err
	}
	s := &pingPong{
		nodes: n, ping: []raft.Message{message(1, 2, sizes)}, frameBytes: frameBytes(sizes),
		latencies: make([]time.Duration, 0, 1<<20), done: make(chan struct{}, 1),
	}
	pong := []raft.Message{message(2, 1, sizes)}
	n.handler[0].deliver = func([]raft.Message) { s.returned() }
	n.handler[1].deliver = func([]raft.Message) { n.all[1].Send(pong) }
	return s, nil
}

// returned sends the message again, from within the Handler, until the turn is
// over.
func (s *pingPong) returned() {
	now := time.Now()
	s.latencies = append(s.latencies, now.Sub(s.sent))
	if !now.Before(s.end) {
		s.done <- struct{}{}
		return
	}
	s.sent = now
	s.all[0].Send(s.ping)
}

func (s *pingPong) run(length time.Duration) (w work, err error) {
	s.latencies = s.latencies[:0]
	s.sent = time.Now()
	s.end = s.sent.Add(length)
	s.all[0].Send(s.ping)
	select {
	case <-s.done:
	case <-time.After(patience):
		return w, errStuck
	}
	return work{messages: len(s.latencies), bytes: int64(len(s.latencies) * s.frameBytes), latencies: s.latencies}, nil
}

// snapshots is node 1 sending snapshots to node 2, one after the other.
type snapshots struct{ *nodes }

func openSnapshots(secure bool) (*snapshots, error) {
	n, err := openNodes(secure, 1)
	return &snapshots{n}, err
}

func (s *snapshots) run(length time.Duration) (w work, err error) {
	m := raft.Message{Type: raftpb.InstallSnapshot, From: 1, To: 2, Term: 1, Snapshot: &raft.Snapshot{Index: 1, Term: 1, Size: snapshotBytes}}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for end := time.Now().Add(length); time.Now().Before(end); {
		if err := s.all[0].SendSnapshot(ctx, m, endless{}); err != nil {
			return w, err
		}
		w.messages++
		w.bytes += snapshotBytes
	}
	return w, nil
}

// endless is a snapshot whose data costs nothing to read.
type endless struct{}

func (endless) Read(p []byte) (int, error)         { return len(p), nil }
func (endless) Seek(o int64, _ int) (int64, error) { return o, nil }

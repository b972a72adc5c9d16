package rafttest

import (
	"io"
	"math"
	"slices"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

// environment is what a node's replica runs in: a bridge.Environment.
type environment struct{ n *node }

func (v environment) Now() int64 { return int64(v.n.clock.at(v.n.e.now)) }

// Random seeds the election timeouts, and names this life of the process; that
// name is no decision.
func (v environment) Random() [3]uint64 {
	life := unique(uint64(v.n.id)|1<<8, uint64(v.n.life))
	return [3]uint64{v.n.e.tape.Uint64(), life, life}
}

func (v environment) Arm(at int64) {
	if at == math.MaxInt64 {
		v.n.arm(raft.Never)
		return
	}
	v.n.arm(raft.Instant(at))
}

func (v environment) Run(step func() bool) { v.n.run(step) }

func (v environment) SendSnapshot(m raft.Message, body io.ReadSeeker, done func(error)) {
	n := v.n
	ended := func(err error) { n.later(0, func() { done(err) }) }
	if err := n.transport.StartSnapshot(m, body, ended); err != nil {
		ended(err)
	}
}

// storage is the write-ahead log's, with the writer's timing and the checks.
type storage struct {
	n *node
	raft.Storage
}

func (s *storage) Load() (raft.State, error) {
	state, err := s.Storage.Load()
	if err == nil {
		s.n.e.checks.loaded(s.n, &state)
	}
	return state, err
}

func (s *storage) Save(w raft.Write, done func(error)) {
	n := s.n
	n.e.checks.saving(n, &w)
	seq := w.Seq
	s.Storage.Save(w, func(err error) {
		n.acks = append(n.acks, func() {
			if err == nil {
				n.e.checks.saved(n, seq)
			}
			done(err)
		})
	})
	if w.Identity != (raft.Identity{}) { // Start waits for it
		n.writer.Sync()
		for _, ack := range n.acks {
			ack()
		}
		n.acks = nil
		return
	}
	n.wakeWriter()
}

func (s *storage) Entries(buf []raft.Entry, lo, hi raft.Index, maxBytes int) ([]raft.Entry, error) {
	entries, err := s.Storage.Entries(buf, lo, hi, maxBytes)
	return s.n.remembered(entries), err
}

func (s *storage) CreateSnapshot(meta raft.Snapshot) (raft.SnapshotWriter, error) {
	w, err := s.Storage.CreateSnapshot(meta)
	return &snapshotWriter{w, s.n, meta}, err
}

type snapshotWriter struct {
	raft.SnapshotWriter
	n    *node
	meta raft.Snapshot
}

func (w *snapshotWriter) Commit() error {
	err := w.SnapshotWriter.Commit()
	if err == nil && !w.n.dying {
		w.n.e.checks.snapshotCommitted(w.n, &w.meta)
	}
	return err
}

// wakeWriter has the writer write what waits, unless it is at work.
func (n *node) wakeWriter() {
	if n.syncing || !n.writer.Pending() {
		return
	}
	n.syncing = true
	n.later(n.e.draw(n.pace.disk)/2, n.write)
}

// write is the writer at work. What it has done is known a little later.
func (n *node) write() {
	if n.disk.stalled {
		n.disk.waiting = n.write
		return
	}
	n.writer.Sync()
	if n.dying {
		return
	}
	n.disk.unstated = true
	n.later(n.e.draw(n.pace.disk)/2, func() {
		n.acknowledge()
		n.syncing = false
		if n.dying || !n.up {
			return
		}
		if n.wakeWriter(); !n.syncing {
			writes := n.disk.writes
			n.later(idleAfter, func() { n.idle(writes) })
		}
	})
}

// idleAfter is as in package wal.
const idleAfter = 100 * time.Millisecond

// idle is the writer without work for a while.
func (n *node) idle(writes uint64) {
	if !n.syncing && !n.disk.stalled && n.disk.writes == writes {
		n.writer.Idle()
		n.disk.unstated = n.dying || n.disk.faulted
	}
}

// acknowledge tells the replica of what is durable.
func (n *node) acknowledge() {
	for len(n.acks) > 0 && !n.dying {
		ack := n.acks[0]
		n.acks = n.acks[1:]
		ack()
		if n.replica != nil {
			n.e.checks.after(n)
		}
	}
}

// transport is the node's network, with the checks.
type transport struct {
	*inmem.Transport
	n *node
}

func (t *transport) Start(self raft.Identity, h raft.Handler) error {
	t.n.handler = h
	return t.Transport.Start(self, inbound{t.n, t.n.life})
}

func (t *transport) SetPeer(id raft.NodeID, address string) {
	t.n.peers[id] = address
	t.Transport.SetPeer(id, address)
}

func (t *transport) Send(messages []raft.Message) {
	if t.n.alive() {
		t.n.e.checks.sending(t.n, messages)
		t.Transport.Send(messages)
	}
}

// inbound is what the network delivers to: an inmem.SnapshotReceiver. A process
// that is paused leaves everything unread.
type inbound struct {
	n    *node
	life int
}

func (b inbound) alive() bool { return b.n.life == b.life && b.n.alive() && b.n.replica != nil }

// maxUnread bounds what the buffers of the operating system hold.
const maxUnread = 1000

func (b inbound) Deliver(messages []raft.Message) {
	n := b.n
	if !b.alive() {
		return
	}
	if !n.paused {
		n.deliver(messages)
		n.touched()
		return
	}
	for _, m := range messages[:min(len(messages), maxUnread-len(n.unread))] {
		m.Entries = slices.Clone(m.Entries)
		n.unread = append(n.unread, m)
	}
}

func (n *node) deliver(messages []raft.Message) {
	for i := range messages {
		messages[i].Entries = n.remembered(messages[i].Entries)
		n.e.transcript.received(n, &messages[i])
	}
	n.handler.Deliver(messages)
}

func (b inbound) Unreachable(id raft.NodeID) {
	if b.alive() && !b.n.paused {
		b.n.handler.Unreachable(id)
		b.n.touched()
	}
}

func (b inbound) DeliverSnapshot(raft.Message, io.Reader) error {
	panic("rafttest: a Manual network calls ReceiveSnapshot")
}

// ReceiveSnapshot has the steps of a reception happen at their times.
func (b inbound) ReceiveSnapshot(m raft.Message, body io.Reader, done func(error)) {
	n := b.n
	if !b.alive() {
		done(errDown)
		return
	}
	s := m.Snapshot.Clone()
	m.Snapshot, m.Entries = &s, nil
	n.later(0, func() {
		n.e.transcript.received(n, &m)
		wanted, err := n.replica.BeginReceive(&m)
		if !wanted {
			done(err)
			return
		}
		n.later(n.e.draw(n.pace.work), func() {
			err := n.replica.Receive(&m, body)
			if n.dying {
				return
			}
			n.touched()
			n.later(n.e.draw(n.pace.work), func() {
				err := n.replica.EndReceive(&m, err)
				if err == nil {
					n.e.happened["snapshot received"]++
				}
				done(err)
			})
		})
	})
}

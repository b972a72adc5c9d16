package modelcheck

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bridge"
	"github.com/seed-6281cb22/raft/raftpb"
)

// disk is what survives a crash of a node. Its slices are never changed in
// place.
type disk struct {
	hard     raft.HardState
	snapshot raft.Snapshot
	first    raft.Index // of log
	log      []raft.Entry
	// uninstalled has been received and committed by a snapshot writer, and
	// no write has installed it yet.
	uninstalled *raft.Snapshot
}

func (d *disk) last() raft.Index { return d.first + raft.Index(len(d.log)) - 1 }

// term returns the term of the durable entry at i, 0 if there is none. The
// snapshot's last entry counts as one.
func (d *disk) term(i raft.Index) raft.Term {
	switch {
	case i == d.snapshot.Index:
		return d.snapshot.Term
	case i < d.first || i > d.last():
		return 0
	}
	return d.log[i-d.first].Term
}

func (d *disk) write(w *raft.Write) {
	d.hard = w.HardState
	if s := w.Snapshot; s != nil {
		d.snapshot, d.first, d.log = *s, s.Index+1, nil
		if d.uninstalled != nil && d.uninstalled.Index <= s.Index {
			d.uninstalled = nil
		}
	}
	if len(w.Entries) > 0 {
		kept := d.log[:w.Entries[0].Index-d.first]
		d.log = slices.Concat(kept, w.Entries)
	}
}

// recover is what opening a storage does: a snapshot that was committed counts,
// with the log only if that holds the snapshot's last entry.
func (d disk) recover() disk {
	s := d.uninstalled
	if s == nil {
		return d
	}
	if d.term(s.Index) != s.Term {
		d.first, d.log = s.Index+1, nil
	}
	d.snapshot, d.uninstalled = *s, nil
	return d
}

func (d *disk) load() raft.State {
	s := raft.State{HardState: d.hard, Snapshot: d.snapshot, First: d.first, Last: d.last()}
	for i := range d.log {
		e := &d.log[i]
		if n := len(s.Runs); n == 0 || s.Runs[n-1].Term != e.Term {
			s.Runs = append(s.Runs, raft.TermRun{First: e.Index, Term: e.Term})
		}
		if e.Type == raft.EntryMembership && e.Index > s.Snapshot.Index {
			var m raft.Membership
			if err := m.Unmarshal(e.Data); err != nil {
				panic(fmt.Sprintf("modelcheck: membership at %d: %v", e.Index, err))
			}
			s.Memberships = append(s.Memberships, raft.MembershipAt{Index: e.Index, Membership: m})
		}
	}
	return s
}

// node is one node between two events: the shipping core, its disk, and the
// writes that the disk has not completed. It is never changed once it is
// known, so global states share it.
type node struct {
	core   *raft.Raft
	disk   disk
	writes []raft.Write
	now    raft.Instant
}

// constant is the model's source of randomness. Timeouts fire as events of
// their own, so how long they are does not matter, and the marks of storages
// that are not lost need no names that differ.
type constant struct{}

func (constant) Uint64() uint64 { return 1 }

// later is the time from one event of a node to the next: so long that every
// timeout in the core has passed. Which timers fire is the model's choice.
const later = time.Hour

// window stands for the room that replies advertise, which never fills here:
// replies that differ in nothing else are the same.
const window = 1 << 20

func (c *checker) newNode(id raft.NodeID, d disk, now raft.Instant) (*node, error) {
	cfg := raft.DefaultCoreConfig(id, constant{})
	cfg.MaxMessageBytes = c.options.messageBytes()
	core, err := raft.New(cfg, d.load(), now)
	if err != nil {
		return nil, err
	}
	return &node{core: core, disk: d, now: now}, nil
}

// step is one event of a node at work: it collects what comes of it.
type step struct {
	*node
	c    *checker
	sent []raft.Message
	// broken is the first invariant that the step alone has broken.
	broken string
}

func (s *step) breaks(format string, args ...any) {
	if s.broken == "" {
		s.broken = fmt.Sprintf(format, args...)
	}
}

// begin copies n for one event.
func (c *checker) begin(n *node) *step {
	next := &node{
		core: bridge.Clone(n.core, constant{}).(*raft.Raft), disk: n.disk, writes: slices.Clone(n.writes),
		now: n.now.Add(later),
	}
	return &step{node: next, c: c}
}

// take lets the node take an event, and everything that follows from it
// without a choice: it applies what is committed, and answers log reads, at
// once. Both are local and deterministic, and no message depends on when they
// happen, but for what a leader sends of entries that left its memory.
func (c *checker) take(n *node, e event) (s *step) {
	s = c.begin(n)
	defer func() {
		if p := recover(); p != nil {
			s.breaks("panic: %v", p)
		}
	}()
	switch e.kind {
	case deliver:
		m := c.messages.of(e.message)
		m.Entries = slices.Clone(m.Entries)
		if m.Type == raftpb.InstallSnapshot && m.Term >= s.core.Term() && m.Snapshot.Index > s.core.Commit() {
			s.disk.uninstalled = m.Snapshot
		}
		if err := s.core.Step(s.now, &m); err != nil {
			s.breaks("node %d refuses a message: %v", m.To, err)
		}
	case electionTimeout:
		bridge.Fire(s.core, bridge.ElectionTimer, int64(s.now))
	case heartbeat:
		bridge.Fire(s.core, bridge.HeartbeatTimer, int64(s.now))
	case stepDown:
		bridge.Fire(s.core, bridge.QuorumTimer, int64(s.now))
	case propose:
		if _, err := s.core.Propose(s.now, []raft.Entry{{Data: []byte("x")}}); err != nil {
			s.breaks("proposal: %v", err)
		}
	case changeMembership:
		s.change(&c.changes[e.message])
	case transfer:
		s.transfer(raft.NodeID(e.message + 1))
	case persist:
		s.persist()
	case restart:
		s.restart(e.node)
	case compact:
		s.compact()
	}
	if s.broken == "" {
		s.drain()
	}
	return s
}

func (s *step) persist() {
	w := s.writes[0]
	s.writes = s.writes[1:]
	s.checkWrite(&w)
	s.disk.write(&w)
	s.core.Persisted(s.now, w.Seq)
}

// restart is a crash, and a start from what is durable. In between the node
// does nothing, so a crash that lasts is a restart after which nothing reaches
// the node: the two need not be events of their own.
func (s *step) restart(id raft.NodeID) {
	d := s.disk.recover()
	if s.c.options.Disk == ForgetsVotes {
		d.hard.Vote = 0
	}
	n, err := s.c.newNode(id, d, s.now)
	if err != nil {
		s.breaks("node %d does not start from %+v: %v", id, d.load(), err)
		return
	}
	s.node = n
}

// compact takes a snapshot of all that is applied, and forgets the log below.
func (s *step) compact() {
	snapshot, err := s.core.SnapshotAt(s.core.Status().Applied)
	if err != nil {
		s.breaks("snapshot: %v", err)
		return
	}
	s.disk.log = slices.Clone(s.disk.log[snapshot.Index+1-s.disk.first:])
	s.disk.snapshot, s.disk.first = snapshot, snapshot.Index+1
	s.core.Compacted(s.now, snapshot, snapshot.Index)
}

// drain does what the core wants done, until it wants nothing more.
func (s *step) drain() {
	for {
		rd := s.core.Ready()
		if rd.Empty() {
			return
		}
		for _, m := range rd.Messages {
			m.Entries = slices.Clone(m.Entries)
			if m.Window != 0 {
				m.Window = window
			}
			s.checkMessage(&m)
			s.sent = append(s.sent, m)
		}
		if w := rd.Write; w.Seq != 0 {
			w.Entries = slices.Clone(w.Entries)
			s.writes = append(s.writes, w)
			if s.c.options.MaxWrites == 0 {
				s.persist()
			}
		}
		s.checkCommitted(rd.Committed)
		if n := len(rd.Committed); n > 0 {
			s.core.Applied(s.now, rd.Committed[n-1].Index)
		}
		if rd.Restore != nil {
			s.checkRestore(rd.Restore)
			s.core.Applied(s.now, rd.Restore.Index)
		}
		for _, q := range rd.LogReads {
			s.answer(q)
		}
		for i := range rd.Snapshots {
			s.sendSnapshot(rd.Snapshots[i].Message)
		}
	}
}

func (s *step) answer(q raft.LogRead) {
	var entries []raft.Entry
	var err error
	if q.Lo < s.disk.first {
		err = raft.ErrCompacted
	} else {
		entries = slices.Clone(s.disk.log[q.Lo-s.disk.first : min(q.Hi, s.disk.last()+1)-s.disk.first])
	}
	s.core.LogRead(s.now, q, entries, err)
}

var errOnItsWay = errors.New("on its way")

// sendSnapshot sends the newest snapshot. The sender hears at once that this
// has failed: the worst that it can believe, and it may ask again.
func (s *step) sendSnapshot(m raft.Message) {
	snapshot := s.disk.snapshot.Clone()
	m.Snapshot = &snapshot
	s.checkMessage(&m)
	s.sent = append(s.sent, m)
	s.core.SnapshotSent(s.now, m.To, snapshot.Index, errOnItsWay)
}

// print appends the node's fingerprint, its facts aside.
func (n *node) print(b []byte, rename []raft.NodeID) []byte {
	b = bridge.Fingerprint(b, n.core, int64(n.now.Add(later)), rename)
	b = n.disk.print(b, rename)
	b = append(b, byte(len(n.writes)))
	for i := range n.writes {
		w := &n.writes[i]
		d := disk{hard: w.HardState, log: w.Entries}
		if len(w.Entries) > 0 {
			d.first = w.Entries[0].Index
		}
		if w.Snapshot != nil {
			d.snapshot = *w.Snapshot
		}
		b = d.print(b, rename)
	}
	return b
}

// print uses the form of a message, which has room for all of it.
func (d *disk) print(b []byte, rename []raft.NodeID) []byte {
	if d.uninstalled != nil {
		b = bridge.FingerprintMessage(append(b, 1), &raftpb.Message{Snapshot: d.uninstalled}, rename)
	}
	return bridge.FingerprintMessage(b, &raftpb.Message{
		From: d.hard.Vote, Term: d.hard.Term, Commit: d.hard.Commit, Marked: !d.hard.Unmarked,
		Index: d.first, Entries: d.log, Snapshot: &d.snapshot,
	}, rename)
}

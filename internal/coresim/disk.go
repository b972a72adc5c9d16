package coresim

import (
	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
)

// disk is all that survives a crash of a node. A write on it is there as a
// whole or not at all.
type disk struct {
	hard     raftpb.HardState
	snapshot raftpb.Snapshot // the newest one that is installed
	// received is a snapshot that has been received and committed, and that no
	// write has installed yet; nil: none.
	received *raftpb.Snapshot
	first    raftpb.Index // of log
	log      []raftpb.Entry
}

// clear makes the disk one that holds nothing but a founding membership, if
// there is one.
func (d *disk) clear(founding raftpb.Membership) {
	*d = disk{snapshot: raftpb.Snapshot{Membership: founding}, first: 1, log: d.log[:0]}
}

func (d *disk) last() raftpb.Index { return d.first + raftpb.Index(len(d.log)) - 1 }

// holds reports whether the log has an entry of this index and term.
func (d *disk) holds(i raftpb.Index, t raftpb.Term) bool {
	return i >= d.first && i <= d.last() && d.log[i-d.first].Term == t
}

// write makes w durable.
func (d *disk) write(w *pendingWrite) {
	d.hard = w.hard
	if s := w.snapshot; s != nil {
		d.snapshot = *s
		d.first, d.log = s.Index+1, d.log[:0]
		if d.received != nil && d.received.Index <= s.Index {
			d.received = nil
		}
	}
	if len(w.entries) > 0 {
		d.log = append(d.log[:w.entries[0].Index-d.first], w.entries...)
	}
}

// newest returns the newest committed snapshot.
func (d *disk) newest() *raftpb.Snapshot {
	if d.received != nil {
		return d.received
	}
	return &d.snapshot
}

// forget drops the entries up to and including through.
func (d *disk) forget(through raftpb.Index) {
	if through >= d.first {
		d.log = append(d.log[:0], d.log[through+1-d.first:]...)
		d.first = through + 1
	}
}

// load is Storage.Load: it returns a snapshot from its commit on, with the log
// only if that goes on from it.
func (d *disk) load() raft.State {
	if s := d.received; s != nil {
		if !d.holds(s.Index, s.Term) {
			d.first, d.log = s.Index+1, d.log[:0]
		}
		d.snapshot, d.received = *s, nil
	}
	s := raft.State{HardState: d.hard, Snapshot: d.snapshot, First: d.first, Last: d.last()}
	for i := range d.log {
		e := &d.log[i]
		if n := len(s.Runs); n == 0 || s.Runs[n-1].Term != e.Term {
			s.Runs = append(s.Runs, raft.TermRun{First: e.Index, Term: e.Term})
		}
		if e.Type == raftpb.EntryMembership && e.Index > s.Snapshot.Index {
			var m raftpb.Membership
			if err := m.Unmarshal(e.Data); err != nil {
				panic(err)
			}
			s.Memberships = append(s.Memberships, raft.MembershipAt{Index: e.Index, Membership: m})
		}
	}
	return s
}

// entries is Storage.Entries; none if they are compacted.
func (d *disk) entries(lo, hi raftpb.Index, maxBytes int) []raftpb.Entry {
	if lo < d.first || lo > d.last() {
		return nil
	}
	end, size := lo+1, len(d.log[lo-d.first].Data)
	for ; end < hi && end <= d.last(); end++ {
		if size += len(d.log[end-d.first].Data); size > maxBytes {
			break
		}
	}
	return d.log[lo-d.first : end-d.first]
}

// copies makes copies of entries that a core may keep for the rest of a run.
type copies struct {
	chunk []raftpb.Entry
	used  int
}

const copiesChunk = 4096

// of returns a copy of entries.
func (c *copies) of(entries []raftpb.Entry) []raftpb.Entry {
	if c.used+len(entries) > len(c.chunk) {
		c.chunk, c.used = make([]raftpb.Entry, max(copiesChunk, len(entries))), 0
	}
	to := c.chunk[c.used : c.used+len(entries) : c.used+len(entries)]
	c.used += copy(to, entries)
	return to
}

// pendingWrite is a write that has been handed out and is not durable.
type pendingWrite struct {
	seq      uint64
	hard     raftpb.HardState
	snapshot *raftpb.Snapshot
	entries  []raftpb.Entry
}

// writeQueue holds writes in their order, and reuses their memory.
type writeQueue struct {
	all  []pendingWrite
	head int
}

func (q *writeQueue) len() int { return len(q.all) - q.head }

func (q *writeQueue) reset() { q.all, q.head = q.all[:0], 0 }

// push adds a copy of w.
func (q *writeQueue) push(w *raft.Write) {
	if len(q.all) < cap(q.all) {
		q.all = q.all[:len(q.all)+1]
	} else {
		q.all = append(q.all, pendingWrite{})
	}
	p := &q.all[len(q.all)-1]
	*p = pendingWrite{seq: w.Seq, hard: w.HardState, snapshot: w.Snapshot, entries: append(p.entries[:0], w.Entries...)}
}

// pop removes the oldest write, which stays valid until the next push.
func (q *writeQueue) pop() *pendingWrite {
	w := &q.all[q.head]
	q.head++
	if q.head == len(q.all) {
		q.reset()
	}
	return w
}

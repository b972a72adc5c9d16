package invariant

import (
	"github.com/seed-6281cb22/raft/internal/bridge"
	"github.com/seed-6281cb22/raft/raftpb"
)

// write is what a Write does to a disk.
type write struct {
	seq          uint64
	hard         raftpb.HardState
	snapshot     raftpb.Index // 0: none; the log is empty after it
	snapshotTerm raftpb.Term
	first        raftpb.Index // of its entries, 0: none
	entries      runs         // (first-1, last]
}

// holds reports whether a node's disk holds an entry, or a snapshot that
// covers it.
func (n *node) holds(i raftpb.Index, t raftpb.Term) bool {
	if i <= n.snapshotIndex {
		return true
	}
	have, known := n.disk.term(i)
	return known && have == t
}

// takeWrite takes what a node hands to its storage into the model of its log.
func (c *Checker) takeWrite(n *node, v *bridge.View, w *Write) {
	var q *write
	if len(n.writes) < cap(n.writes) {
		n.writes = n.writes[:len(n.writes)+1]
		q = &n.writes[len(n.writes)-1]
	} else {
		n.writes = append(n.writes, write{})
		q = &n.writes[len(n.writes)-1]
	}
	*q = write{seq: w.Seq, hard: w.HardState, entries: q.entries.empty()}
	if last := len(n.writes) - 2; last >= 0 && n.writes[last].seq >= w.Seq {
		c.fail(Harness, n, "write %d after %d", w.Seq, n.writes[last].seq)
	}
	appending := n.before.role == bridge.Leader && v.Role == bridge.Leader && n.before.term == v.Term
	if s := w.Snapshot; s != nil {
		if appending {
			c.fail(LeaderAppendOnly, n, "a leader replaces its log by a snapshot at %d", s.Index)
		}
		c.checkSnapshot(n, s.Index, s.Term)
		q.snapshot, q.snapshotTerm = s.Index, s.Term
		n.log.reset(s.Index, s.Term)
	}
	if len(w.Entries) == 0 {
		return
	}
	first := w.Entries[0].Index
	switch {
	case appending && first <= n.before.last:
		c.fail(LeaderAppendOnly, n, "a leader whose log ends at %d writes from %d on", n.before.last, first)
	case first > n.log.last+1 || first <= n.log.base:
		c.fail(LogMatching, n, "a write of entries from %d on, to a log of %d to %d", first, n.log.base+1, n.log.last)
		return
	}
	q.first = first
	q.entries.reset(first-1, 0)
	n.log.truncate(first)
	c.takeEntries(n, q, w.Entries)
}

func (c *Checker) takeEntries(n *node, q *write, entries []raftpb.Entry) {
	previous, known := n.log.term(entries[0].Index - 1)
	var f *termFacts
	size := 0
	for i := range entries {
		e := &entries[i]
		if f == nil || f.term != e.Term {
			f = c.factsOf(e.Term)
		}
		if known { // else it stands right after a snapshot whose term nobody knows
			c.noteEntry(n, f, e, previous)
		}
		previous, known = e.Term, true
		n.log.append(e.Term, e.Index)
		size += len(e.Data) + entryOverhead
		n.largestEntry = max(n.largestEntry, len(e.Data)+entryOverhead)
	}
	q.entries.appendFrom(&n.log, n.log.last)
	n.largest = max(n.largest, size)
}

// WriteDurable says that all writes of a node up to seq are durable.
func (c *Checker) WriteDurable(id raftpb.NodeID, seq uint64) {
	n := c.node(id)
	k := 0
	for ; k < len(n.writes) && n.writes[k].seq <= seq; k++ {
		c.applyWrite(n, &n.writes[k])
	}
	n.dropWrites(k)
}

// dropWrites forgets the first k writes, and keeps their memory.
func (n *node) dropWrites(k int) {
	for range k {
		spare := n.writes[0]
		copy(n.writes, n.writes[1:])
		n.writes[len(n.writes)-1] = spare
		n.writes = n.writes[:len(n.writes)-1]
	}
}

// applyWrite: what is durable never regresses. Of what is committed, and of
// what was acknowledged to the leader of this term, nothing leaves the disk.
func (c *Checker) applyWrite(n *node, w *write) {
	truncates := w.snapshot != 0 || w.first != 0 && w.first <= n.disk.last
	committed := raftpb.Index(0)
	if truncates {
		committed = n.disk.common(&c.committed)
	}
	n.hard = w.hard
	if w.snapshot != 0 {
		n.disk.reset(w.snapshot, w.snapshotTerm)
		n.snapshotIndex = max(n.snapshotIndex, w.snapshot)
	}
	if w.first != 0 {
		n.disk.truncate(w.first)
		n.disk.appendFrom(&w.entries, w.entries.last)
	}
	if !truncates {
		return
	}
	if t, known := c.committed.term(committed); known && !n.holds(committed, t) {
		c.fail(DurableNeverRegresses, n, "write %d, of entries from %d on, loses %d, which is committed", w.seq, w.first, committed)
	}
	c.checkAcknowledged(n)
}

// checkAcknowledged: what a node has acknowledged to the leader of the term
// that it is in is on its disk.
func (c *Checker) checkAcknowledged(n *node) {
	f := c.facts(n.hard.Term)
	if f == nil || f.term <= n.wipedIn {
		return
	}
	acked := f.acked(n.id)
	if t, known := c.termInLogOf(f.term, acked); known && !n.holds(acked, t) {
		c.fail(DurableNeverRegresses, n, "%d, which it has acknowledged in term %d, is gone", acked, f.term)
	}
}

// SnapshotCommitted says that a node's storage has committed a snapshot, taken
// there or received: from now on Load returns it, or a newer one.
func (c *Checker) SnapshotCommitted(id raftpb.NodeID, index raftpb.Index, term raftpb.Term) {
	n := c.node(id)
	c.checkSnapshot(n, index, term)
	n.snapshotIndex = max(n.snapshotIndex, index)
}

// checkSnapshot: a snapshot holds what is committed, and nothing else.
func (c *Checker) checkSnapshot(n *node, index raftpb.Index, term raftpb.Term) {
	if index > c.committed.last {
		c.fail(StateMachineSafety, n, "a snapshot at %d, and %d is committed", index, c.committed.last)
	} else if t, known := c.committed.term(index); known && t != term {
		c.fail(StateMachineSafety, n, "a snapshot at %d of term %d, where term %d is committed", index, term, t)
	}
}

// Crashed says that a node has ended, with its writes in flight: some of them,
// the first ones, may prove durable when it starts again.
func (c *Checker) Crashed(id raftpb.NodeID) {
	n := c.node(id)
	n.up, n.reads = false, n.reads[:0]
}

// Wiped says that a node's disk was lost. What it starts from next is taken as
// it is.
func (c *Checker) Wiped(id raftpb.NodeID) {
	n := c.node(id)
	*n = node{
		id: id, wipedIn: c.newestTerm(),
		disk: n.disk.empty(), log: n.log.empty(), writes: n.writes[:0], matches: n.matches[:0], reads: n.reads[:0],
	}
}

// Started checks what a node starts from: all that was durable, and of the
// writes that were in flight none, or the first ones.
func (c *Checker) Started(id raftpb.NodeID, s *State) {
	n := c.node(id)
	switch {
	case n.up:
		c.fail(Harness, n, "started twice")
	case !n.known:
		c.adopt(n, s)
	default:
		c.checkLoaded(n, s)
	}
	if s.First > s.SnapshotIndex+1 {
		c.fail(DurableNeverRegresses, n, "a gap between a snapshot at %d and entries from %d on", s.SnapshotIndex, s.First)
	}
	c.checkSnapshot(n, s.SnapshotIndex, s.SnapshotTerm)
	c.checkAcknowledged(n)
	n.known, n.up, n.first = true, true, true
	n.applied, n.marked, n.foundingIn = 0, !n.hard.Unmarked, 0
	n.log.copyFrom(&n.disk)
	n.writes = n.writes[:0]
	n.before = glance{
		term: n.hard.Term, vote: n.hard.Vote, unmarked: n.hard.Unmarked, last: n.log.last,
		commit: max(n.hard.Commit, s.SnapshotIndex),
	}
	n.matches = n.matches[:0]
}

// checkLoaded finds out how many of the writes in flight have survived.
func (c *Checker) checkLoaded(n *node, s *State) {
	last, hard := n.disk.last, n.hard
	for k := 0; ; k++ {
		if n.loads(s) {
			break
		}
		if k == len(n.writes) {
			c.fail(DurableNeverRegresses, n, "it starts from %+v, entries %d to %d: %v, snapshot at %d; durable were %+v, %d, %d",
				s.HardState, s.First, s.Last, s.Runs, s.SnapshotIndex, hard, last, n.snapshotIndex)
			return
		}
		c.applyWrite(n, &n.writes[k])
	}
	n.snapshotIndex = s.SnapshotIndex
	if t, known := n.disk.term(s.SnapshotIndex); n.disk.base < s.SnapshotIndex && (!known || t != s.SnapshotTerm) {
		n.disk.reset(s.SnapshotIndex, s.SnapshotTerm)
	}
}

// loads reports whether a storage that holds what n's disk does loads s: the
// entries, unless they do not go on from a newer snapshot.
func (n *node) loads(s *State) bool {
	if s.HardState != n.hard || s.SnapshotIndex < n.snapshotIndex {
		return false
	}
	if t, known := n.disk.term(s.SnapshotIndex); n.disk.base < s.SnapshotIndex && (!known || t != s.SnapshotTerm) {
		return s.Last == s.SnapshotIndex
	}
	if s.Last != n.disk.last {
		return false
	}
	for k, r := range s.Runs {
		end := s.Last
		if k+1 < len(s.Runs) {
			end = s.Runs[k+1].First - 1
		}
		for _, i := range [2]raftpb.Index{r.First, end} {
			if t, known := n.disk.term(i); known && t != r.Term || !known && i > n.disk.base {
				return false
			}
		}
	}
	return true
}

// adopt takes over a disk of which nothing is known.
func (c *Checker) adopt(n *node, s *State) {
	n.hard, n.snapshotIndex = s.HardState, s.SnapshotIndex
	n.disk.reset(max(s.First, 1)-1, 0)
	if n.disk.base == s.SnapshotIndex {
		n.disk.baseTerm = s.SnapshotTerm
	}
	for k, r := range s.Runs {
		end := s.Last
		if k+1 < len(s.Runs) {
			end = s.Runs[k+1].First - 1
		}
		c.adoptRun(n, r, end)
	}
	for i := range s.Entries {
		e := &s.Entries[i]
		n.largestEntry = max(n.largestEntry, len(e.Data)+entryOverhead)
		if previous, known := n.disk.term(e.Index - 1); known {
			c.noteEntry(n, c.factsOf(e.Term), e, previous)
		}
	}
	if commit := max(s.HardState.Commit, s.SnapshotIndex); commit > c.committed.last {
		if commit <= n.disk.base || c.committed.last < n.disk.base {
			c.committed.reset(n.disk.base, n.disk.baseTerm)
		}
		if commit > c.committed.last {
			c.committed.appendFrom(&n.disk, commit)
		}
	}
}

// adoptRun takes over the entries of one term that a disk holds.
func (c *Checker) adoptRun(n *node, r Run, end raftpb.Index) {
	f := c.factsOf(r.Term)
	previous, known := n.disk.term(r.First - 1)
	if known && previous != r.Term && f.first == 0 {
		f.first, f.previous = r.First, previous
	}
	if len(f.contents) == 0 {
		f.lowest = r.First
	}
	if less := int(f.lowest) - int(r.First); less > 0 {
		f.contents = append(make([]uint64, less), f.contents...)
		f.lowest = r.First
	}
	for f.end() <= end {
		f.contents = append(f.contents, 0)
	}
	n.disk.append(r.Term, end)
}

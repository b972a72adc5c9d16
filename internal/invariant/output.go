package invariant

import (
	"github.com/seed-6281cb22/raft/internal/bridge"
	"github.com/seed-6281cb22/raft/raftpb"
)

// checkMessage: what a message reveals, or acknowledges, is durable at its
// sender when it may be sent.
func (c *Checker) checkMessage(n *node, v *bridge.View, m *raftpb.Message) {
	if m.Type != raftpb.PreVote && (m.Type != raftpb.PreVoteReply || m.Reject) && m.Term > n.hard.Term {
		c.fail(HardStateDurable, n, "a %v reveals term %d, durable is %d", m.Type, m.Term, n.hard.Term)
	}
	switch m.Type {
	case raftpb.AppendEntries:
		c.checkAppend(n, v, m)
	case raftpb.AppendEntriesReply, raftpb.InstallSnapshotReply:
		c.checkMarkShown(n, v, m)
		if !m.Reject {
			c.checkAcknowledgement(n, v, m)
		}
	case raftpb.RequestVote:
		c.checkVote(n, m.Term, n.id)
	case raftpb.RequestVoteReply:
		c.checkMarkShown(n, v, m)
		if !m.Reject {
			c.checkVote(n, m.Term, m.To)
		}
	case raftpb.PreVote, raftpb.PreVoteReply:
		// It may have been held since it was a founder, in the same term; or it
		// came together with what has changed that, its first entry say, which
		// is not durable yet.
		founding := n.before.founder() || n.foundingIn == v.Term || n.disk.last == 0 && n.hard.Vote == 0
		if !v.Unmarked && !founding && (m.Type == raftpb.PreVote || !m.Reject) {
			c.fail(Mark, n, "a %v of marked storage", m.Type)
		}
	}
}

// checkVote: a vote, its own too, is durable before it is revealed, and given
// once; marked storage gives none.
func (c *Checker) checkVote(n *node, t raftpb.Term, candidate raftpb.NodeID) {
	switch {
	case n.hard.Term != t || n.hard.Vote != candidate:
		c.fail(HardStateDurable, n, "it reveals its vote for %d in term %d, durable is %+v", candidate, t, n.hard)
	case !n.hard.Unmarked && n.marked:
		c.fail(Mark, n, "it votes for %d in term %d with marked storage", candidate, t)
	}
	c.noteVote(n, t, candidate)
}

// checkMarkShown: a reply of marked storage says so. All that was written
// before the mark has been sent with the write that made it durable.
func (c *Checker) checkMarkShown(n *node, v *bridge.View, m *raftpb.Message) {
	if !m.Marked && n.marked && !n.before.unmarked && !v.Unmarked {
		c.fail(Mark, n, "a %v hides its mark", m.Type)
	}
}

// checkAcknowledgement: what is acknowledged is durable, and the leader's.
func (c *Checker) checkAcknowledgement(n *node, v *bridge.View, m *raftpb.Message) {
	c.factsOf(m.Term).noteAck(n.id, m.Index)
	if m.Term != v.Term {
		return // its log has moved on since
	}
	t, known := n.log.term(m.Index)
	if m.Index > n.log.last || known && !n.holds(m.Index, t) {
		c.fail(AckDurable, n, "it acknowledges %d of term %d, durable is %d", m.Index, t, n.disk.last)
	}
	if leaders, has := c.termInLogOf(m.Term, m.Index); known && has && leaders != t {
		c.fail(AckDurable, n, "it acknowledges %d of term %d, the leader of term %d has term %d there", m.Index, t, m.Term, leaders)
	}
}

// checkAppend: a leader sends what stands in its log, and no commit index that
// it has not reached; and no more at once than it may.
func (c *Checker) checkAppend(n *node, v *bridge.View, m *raftpb.Message) {
	if m.Term != v.Term || v.Role != bridge.Leader {
		return // written while it still led
	}
	if t, known := n.log.term(m.Index); m.Index > n.log.last || known && m.LogTerm != t || m.Commit > v.Commit {
		c.fail(LogMatching, n, "it sends previous entry %d of term %d, commit index %d, and has term %d, %d",
			m.Index, m.LogTerm, m.Commit, t, v.Commit)
	}
	if len(m.Entries) == 0 {
		return
	}
	size := 0
	for i := range m.Entries {
		e := &m.Entries[i]
		size += len(e.Data) + entryOverhead
		if e.Index != m.Index+raftpb.Index(i)+1 {
			c.fail(LogMatching, n, "it sends entry %d as number %d after %d", e.Index, i+1, m.Index)
			return
		}
	}
	if len(m.Entries) > 1 && size > v.MaxMessageBytes {
		c.fail(Bounds, n, "a message of %d bytes of entries, more than %d", size, v.MaxMessageBytes)
	}
	for _, e := range [2]*raftpb.Entry{&m.Entries[0], &m.Entries[len(m.Entries)-1]} {
		if t, known := n.log.term(e.Index); e.Index > n.log.last || known && t != e.Term {
			c.fail(LogMatching, n, "it sends entry %d of term %d, and has term %d", e.Index, e.Term, t)
		}
	}
}

// checkApply: state machine safety (§5.4.3). What is applied is committed and
// durable, comes in order, and each entry once in a node's life.
func (c *Checker) checkApply(n *node, v *bridge.View, entries []raftpb.Entry) {
	size := 0
	var f *termFacts
	for i := range entries {
		e := &entries[i]
		if e.Index != n.applied+1 {
			c.fail(StateMachineSafety, n, "it applies %d after %d", e.Index, n.applied)
			return
		}
		n.applied = e.Index
		size += len(e.Data)
		if f == nil || f.term != e.Term {
			f = c.facts(e.Term)
		}
		if t, known := c.committed.term(e.Index); e.Index > c.committed.last || known && t != e.Term {
			c.fail(StateMachineSafety, n, "it applies %d of term %d, where term %d is committed, up to %d", e.Index, e.Term, t, c.committed.last)
			return
		}
		if f != nil && e.Index >= f.lowest && e.Index < f.end() {
			if have := f.contents[e.Index-f.lowest]; have != 0 && have != contentOf(e) {
				c.fail(StateMachineSafety, n, "it applies something else as entry %d of term %d than its leader has appended", e.Index, e.Term)
			}
		}
	}
	last := &entries[len(entries)-1]
	if last.Index > v.Commit {
		c.fail(StateMachineSafety, n, "it applies %d, beyond its commit index %d", last.Index, v.Commit)
	}
	if !n.holds(last.Index, last.Term) {
		c.fail(StateMachineSafety, n, "it applies %d of term %d, which is not durable: that is %d", last.Index, last.Term, n.disk.last)
	}
	if len(entries) > 1 && size > v.MaxApplyBytes {
		c.fail(Bounds, n, "%d bytes to apply at once, more than %d", size, v.MaxApplyBytes)
	}
}

// checkRestore: a snapshot that is restored is durable.
func (c *Checker) checkRestore(n *node, s *raftpb.Snapshot) {
	c.checkSnapshot(n, s.Index, s.Term)
	if n.snapshotIndex < s.Index {
		c.fail(StateMachineSafety, n, "it restores a snapshot at %d, durable is one at %d", s.Index, n.snapshotIndex)
	}
}

// Restored says that a node's state machine holds a snapshot.
func (c *Checker) Restored(id raftpb.NodeID, index raftpb.Index, term raftpb.Term) {
	n := c.node(id)
	c.checkSnapshot(n, index, term)
	if index < n.applied {
		c.fail(StateMachineSafety, n, "a snapshot at %d is restored, and %d is applied", index, n.applied)
	}
	n.applied = index
}

// entryOverhead is what a core counts for an entry beside its data.
const entryOverhead = 64

// checkBounds: memory is bounded by configuration. A leader takes what a host
// proposes at once as a whole when nothing is uncommitted; hence largest.
func (c *Checker) checkBounds(n *node, v *bridge.View) {
	if v.Stopped {
		return
	}
	own := 2 * entryOverhead // of a term's first entry, which bypasses the limits
	if limit := v.MaxWindowBytes + v.MaxUncommittedBytes + n.largest + own; v.WindowBytes > limit {
		c.fail(Bounds, n, "a window of %d bytes, more than %d", v.WindowBytes, limit)
	}
	if limit := max(v.MaxUncommittedBytes, n.largest) + own; v.UncommittedBytes > limit {
		c.fail(Bounds, n, "%d bytes are uncommitted, more than %d", v.UncommittedBytes, limit)
	}
	if limit := heldKinds * (len(c.nodes) + len(v.Peers)); v.Held > limit {
		c.fail(Bounds, n, "%d messages are held, more than %d", v.Held, limit)
	}
	if v.PendingReads > v.MaxPendingReads {
		c.fail(Bounds, n, "%d reads wait, more than %d", v.PendingReads, v.MaxPendingReads)
	}
}

// checkInFlight: what is on the way to a peer is within what it has asked for,
// and before it has asked, one message; but for one entry of any size, since
// what is read from the storage may be larger than was known.
func (c *Checker) checkInFlight(n *node, v *bridge.View, m *match, p *bridge.Peer) {
	switch {
	case m.told:
		m.window = max(m.window, p.Window)
	case p.Window != m.window:
		m.told, m.window = true, p.Window
	}
	limit := max(m.window, uint64(v.MaxMessageBytes)) + uint64(n.largestEntry)
	if p.InFlight > v.MaxInFlight || p.InFlightBytes > limit || p.InFlight == 0 && p.InFlightBytes != 0 {
		c.fail(Bounds, n, "%d messages of %d bytes are on the way to peer %d, more than %d of %d", p.InFlight, p.InFlightBytes, p.ID,
			v.MaxInFlight, limit)
	}
}

// heldKinds is how many messages for one peer may wait at once: one of each
// type.
const heldKinds = int(raftpb.ReadIndexReply)

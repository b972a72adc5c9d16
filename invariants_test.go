package raft

import (
	"slices"

	"github.com/seed-6281cb22/raft/internal/quorum"
	"github.com/seed-6281cb22/raft/raftpb"
)

// The invariants of DESIGN §5, asserted after every step of a testCluster.

// checkMessage: what a message reveals or acknowledges is durable at its
// sender when it may be sent.
func (c *testCluster) checkMessage(n *testNode, m *Message) {
	d := n.disk
	if !announcesNoTerm(m) && m.Term > d.hard.Term {
		c.failf("node %d reveals term %d, durable is %d: %s", n.id, m.Term, d.hard.Term, describe(m))
	}
	switch m.Type {
	case raftpb.RequestVote:
		if d.hard.Term != m.Term || d.hard.Vote != n.id {
			c.failf("node %d asks for votes before its own is durable", n.id)
		}
	case raftpb.RequestVoteReply:
		if !m.Reject && (d.hard.Term != m.Term || d.hard.Vote != m.To || !d.hard.Unmarked) {
			c.failf("node %d grants a vote in term %d to %d, durable is %+v", n.id, m.Term, m.To, d.hard)
		}
	case raftpb.AppendEntriesReply, raftpb.InstallSnapshotReply:
		if m.Reject || m.Term < n.r.term {
			return
		}
		if m.Index > max(d.last(), d.snapshot.Index) {
			c.failf("node %d acknowledges %d, durable is %d", n.id, m.Index, d.last())
		}
		for i := m.Index; i > 0; i-- { // the last entries stand for all, by log matching
			e := d.entry(i)
			if e == nil || i+4 < m.Index {
				break
			}
			if t, ok := n.r.log.term(i); ok && t != e.Term {
				c.failf("node %d acknowledges %d@%d, durable is term %d", n.id, i, t, e.Term)
			}
		}
		if !m.Marked && !d.hard.Unmarked {
			c.failf("node %d hides its mark: %s", n.id, describe(m))
		}
	}
}

// checkWrite: log matching. An index and a term name one entry, and one log
// before it, everywhere and for all time.
func (c *testCluster) checkWrite(n *testNode, w *Write) {
	for i := range w.Entries {
		e := &w.Entries[i]
		prev, ok := n.r.log.term(e.Index - 1)
		if !ok {
			continue
		}
		key, fact := entryKey{e.Index, e.Term}, entryFact{string(e.Data), prev}
		if known, seen := c.entries[key]; seen && known != fact {
			c.failf("log matching: node %d has %v %v, known is %v", n.id, key, fact, known)
		}
		c.entries[key] = fact
	}
}

// checkCommitted: state machine safety. What is committed, or applied, at an
// index is the same everywhere.
func (c *testCluster) checkCommitted(n *testNode, index Index, term Term) {
	for Index(len(c.committed)) < index {
		i := Index(len(c.committed)) + 1
		t, ok := n.r.log.term(i)
		if !ok {
			c.failf("node %d: commit passes %d, which nobody has committed and it does not hold", n.id, i)
		}
		c.committed = append(c.committed, entryKey{i, t})
	}
	if have := c.committed[index-1]; have.term != term {
		c.failf("state machine safety: node %d commits %d@%d, committed is term %d", n.id, index, term, have.term)
	}
}

// checkRead: a read sees all that was committed, anywhere, when it began.
func (c *testCluster) checkRead(n *testNode, read ReadState) {
	if floor := c.readFloor[readKey{n.id, read.ID}]; read.OK && read.Index < floor {
		c.failf("stale read: node %d reads at %d, %d was committed when it asked", n.id, read.Index, floor)
	}
	if read.OK && read.Index > Index(len(c.committed)) {
		c.failf("node %d reads at %d, which is not committed", n.id, read.Index)
	}
}

func (c *testCluster) checkNode(n *testNode) {
	r := n.r
	if r.term < n.term || r.commit < n.commit {
		c.failf("node %d: term %d→%d, commit %d→%d", n.id, n.term, r.term, n.commit, r.commit)
	}
	if r.role == Leader {
		c.checkLeader(n)
	}
	if r.commit > n.commit {
		if r.commit > r.log.last {
			c.failf("node %d: commit %d beyond its log, %d", n.id, r.commit, r.log.last)
		}
		for i := max(n.commit, r.log.base) + 1; i <= r.commit; i++ {
			if t, ok := r.log.term(i); ok {
				c.checkCommitted(n, i, t)
			}
		}
	}
	if w := &r.log.window; w.next() != r.log.last+1 {
		c.failf("node %d: window ends at %d, log at %d", n.id, w.next()-1, r.log.last)
	}
	if limit := 2*r.cfg.MaxWindowBytes + r.cfg.MaxEntryBytes + r.cfg.MaxMessageBytes; r.log.window.bytes(0, r.log.last) > limit {
		c.failf("node %d: window of %d bytes", n.id, r.log.window.bytes(0, r.log.last))
	}
	n.role, n.term, n.last, n.commit = r.role, r.term, r.log.last, r.commit
}

func (c *testCluster) checkLeader(n *testNode) {
	r := n.r
	// Election safety.
	if other := c.leaders[r.term]; other != 0 && other != n.id {
		c.failf("election safety: nodes %d and %d lead term %d", other, n.id, r.term)
	}
	c.leaders[r.term] = n.id
	if n.role == Leader && n.term == r.term {
		// Leader append-only.
		if r.log.last < n.last {
			c.failf("leader append-only: node %d, %d→%d", n.id, n.last, r.log.last)
		}
	} else {
		// Leader completeness.
		for i := len(c.committed); i > 0 && Index(i) > r.log.base; i-- {
			if t, ok := r.log.term(Index(i)); !ok || t != c.committed[i-1].term {
				c.failf("leader completeness: node %d leads term %d without %v", n.id, r.term, c.committed[i-1])
			}
		}
	}
	if r.commit > n.commit && n.role == Leader && n.term == r.term {
		c.checkCommitJustified(n)
	}
}

// checkCommitJustified: a leader commits an entry of its own term that a
// quorum holds durably.
func (c *testCluster) checkCommitJustified(n *testNode) {
	r := n.r
	term, _ := r.log.term(r.commit)
	if term != r.term {
		c.failf("node %d commits %d of term %d in term %d by counting", n.id, r.commit, term, r.term)
	}
	holders, voters := []NodeID{}, []NodeID{}
	for _, m := range r.members.latest().Membership.Members {
		if !m.Voter {
			continue
		}
		voters = append(voters, m.ID)
		d := c.node(m.ID).disk
		// What a wiped one has acknowledged before may still count.
		if e := d.entry(r.commit); e != nil && e.Term == term || d.snapshot.Index >= r.commit || c.wiped[m.ID] {
			holders = append(holders, m.ID)
		}
	}
	if len(holders) < quorum.Size(len(voters)) {
		c.failf("node %d commits %d@%d, durable at %v of %v", n.id, r.commit, term, holders, voters)
	}
}

// requireConsistent: with everything delivered and applied, all nodes have
// applied the same.
func (c *testCluster) requireConsistent() {
	c.t.Helper()
	first := c.nodes[0]
	for _, n := range c.nodes[1:] {
		if n.index != first.index || !slices.EqualFunc(n.applied, first.applied, func(a, b Entry) bool {
			return a.Index == b.Index && a.Term == b.Term && string(a.Data) == string(b.Data)
		}) {
			if l := c.leader(); l != 0 {
				c.t.Logf("leader %d: %+v\nlog %+v", l, c.node(l).r.peers, c.node(l).r.log.base)
			}
			c.failf("nodes %d and %d differ: applied %d and %d", first.id, n.id, first.index, n.index)
		}
	}
}

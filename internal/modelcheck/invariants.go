package modelcheck

import (
	"fmt"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bridge"
	"github.com/seed-6281cb22/raft/internal/quorum"
	"github.com/seed-6281cb22/raft/raftpb"
)

// The invariants of DESIGN §5. Those of one node's step are checked when the
// step is computed, and need no memory of how a state was reached; those of
// the group are checked in every state.

// checkMessage: what a message reveals or acknowledges is durable at its
// sender when it is sent.
func (s *step) checkMessage(m *raft.Message) {
	d := &s.disk
	if announced := m.Type == raftpb.PreVote || m.Type == raftpb.PreVoteReply && !m.Reject; !announced && m.Term > d.hard.Term {
		s.breaks("term durable before it is revealed: %s, durable is term %d", describe(m), d.hard.Term)
	}
	switch {
	case m.Type == raftpb.RequestVote && (d.hard.Term != m.Term || d.hard.Vote != m.From):
		s.breaks("own vote durable before others are asked: %s, durable is %+v", describe(m), d.hard)
	case m.Type == raftpb.RequestVoteReply && !m.Reject && (d.hard.Term != m.Term || d.hard.Vote != m.To):
		s.breaks("vote durable before it is granted: %s, durable is %+v", describe(m), d.hard)
	case (m.Type == raftpb.AppendEntriesReply || m.Type == raftpb.InstallSnapshotReply) && !m.Reject && m.Term == s.core.Term():
		s.checkAcknowledgement(m)
	}
}

func (s *step) checkAcknowledgement(m *raft.Message) {
	for i := m.Index; i > s.disk.snapshot.Index; i-- {
		if t, known := bridge.TermAt(s.core, i); known && s.disk.term(i) != t {
			s.breaks("acknowledged is durable: %s, its entry %d of term %d is not", describe(m), i, t)
		}
	}
}

// checkCommitted: what is to be applied is durable here, and comes in order.
func (s *step) checkCommitted(entries []raft.Entry) {
	next := s.core.Status().Applied + 1
	for i := range entries {
		e := &entries[i]
		if e.Index != next {
			s.breaks("applied in order: entry %d, the next one is %d", e.Index, next)
		}
		if s.disk.term(e.Index) != e.Term {
			s.breaks("applied when durable: entry %d of term %d is not", e.Index, e.Term)
		}
		next++
	}
}

// checkRestore: the snapshot to restore is durable here.
func (s *step) checkRestore(snapshot *raft.Snapshot) {
	if s.disk.snapshot.Index < snapshot.Index {
		s.breaks("restored when durable: snapshot %d, durable is %d", snapshot.Index, s.disk.snapshot.Index)
	}
}

// checkWrite: the term never goes back, a vote never changes within a term, and
// nothing goes that was acknowledged in the same term, or committed.
func (s *step) checkWrite(w *raft.Write) {
	d, h := &s.disk, &w.HardState
	if h.Term < d.hard.Term {
		s.breaks("durable never regresses: term %d after %d", h.Term, d.hard.Term)
	}
	if h.Term == d.hard.Term && d.hard.Vote != 0 && h.Vote != d.hard.Vote {
		s.breaks("vote once: for %d and for %d in term %d", d.hard.Vote, h.Vote, h.Term)
	}
	if h.Commit < d.hard.Commit {
		s.breaks("durable never regresses: commit %d after %d", h.Commit, d.hard.Commit)
	}
	if len(w.Entries) > 0 && w.Entries[0].Index > d.last()+1 && w.Snapshot == nil {
		s.breaks("no gap: a write of entries from %d on, durable is %d", w.Entries[0].Index, d.last())
	}
	for i := range w.Entries {
		e := &w.Entries[i]
		if e.Index <= d.hard.Commit && d.term(e.Index) != e.Term {
			s.breaks("durable never regresses: entry %d of term %d is committed, and replaced", e.Index, d.term(e.Index))
		}
	}
}

// checkStep compares a node before and after a step.
func (s *step) checkStep(before *facts, e event) {
	after := s.c.factsOf(s.node)
	if err := s.core.Err(); err != nil {
		s.breaks("a core stops: %v", err)
	}
	if e.kind == restart {
		return
	}
	if before.unmarked && !after.unmarked {
		s.breaks("a storage that has lost nothing is marked")
	}
	if after.term < before.term || after.commit < before.commit {
		s.breaks("term %d→%d, commit %d→%d", before.term, after.term, before.commit, after.commit)
	}
	if after.commit > after.last {
		s.breaks("commit %d beyond the last entry, %d", after.commit, after.last)
	}
	leads := before.role == raft.Leader && after.role == raft.Leader && before.term == after.term
	for i := before.base + 1; leads && i <= before.last; i++ {
		if i > after.base && after.terms[i] != before.terms[i] {
			s.breaks("leader append-only: entry %d of term %d in term %d", i, before.terms[i], before.term)
		}
	}
	if after.commit > before.commit && !led(before, &after) && after.commit > after.verified {
		s.breaks("a follower's commit is verified: %d, verified is %d", after.commit, after.verified)
	}
}

// led reports whether a node leads after a step, or has led until then, as one
// does that hands over when it has committed its own removal.
func led(before, after *facts) bool {
	return after.role == raft.Leader || before.role == raft.Leader && before.term == after.term
}

// remember brings to's ghost up to date after an event at one node, and checks
// what is about the change.
func (c *checker) remember(from, to *state, at int) (broken string) {
	before, after := &c.nodes.facts[from.nodes[at]], &c.nodes.facts[to.nodes[at]]
	g := &to.ghost
	if after.role == raft.Leader && (before.role != raft.Leader || before.term != after.term) {
		if other := g.leaders[after.term]; other != 0 && other != uint8(at+1) {
			return fmt.Sprintf("election safety: nodes %d and %d lead term %d", other, at+1, after.term)
		}
		g.leaders[after.term] = uint8(at + 1)
		for i := uint8(1); i <= g.committed; i++ {
			if i > after.base && g.commitIn[i] < after.term && after.terms[i] != g.terms[i] {
				return fmt.Sprintf("leader completeness: node %d leads term %d without entry %d of term %d, committed in term %d",
					at+1, after.term, i, g.terms[i], g.commitIn[i])
			}
		}
	}
	if led(before, after) && after.commit > before.commit {
		if broken := c.justified(to, before, after); broken != "" {
			return fmt.Sprintf("commit justified: node %d, leader of term %d, %s", at+1, after.term, broken)
		}
		for i := g.committed + 1; i <= after.commit; i++ {
			g.terms[i], g.commitIn[i], g.committed = after.terms[i], after.term, i
		}
		if after.commit == g.committed { // nobody knows of more
			g.voters = after.voters
			g.absent |= allNodes(c.options.Nodes) &^ after.members
		}
	}
	if after.removed && !g.absent.has(at) {
		return fmt.Sprintf("removed: node %d believes that it is, and was a member all the time", at+1)
	}
	if after.commit > g.committed {
		return fmt.Sprintf("node %d takes %d for committed, which no leader has committed", at+1, after.commit)
	}
	for i := after.base + 1; i <= after.commit; i++ {
		if after.terms[i] != g.terms[i] {
			return fmt.Sprintf("state machine safety: node %d commits %d of term %d, committed is term %d",
				at+1, i, after.terms[i], g.terms[i])
		}
	}
	return ""
}

// justified: a leader commits an entry of its own term that a quorum holds
// durably, and a joint membership only with a quorum of the outgoing voters, too.
// (The members who vote in a joint membership are those of the one that follows,
// by which it may count at once.)
func (c *checker) justified(s *state, before, leader *facts) (broken string) {
	i := leader.commit
	if leader.terms[i] != leader.term {
		return fmt.Sprintf("commits %d of term %d by counting", i, leader.terms[i])
	}
	if n, of := c.holders(s, leader.voters, i, leader.terms[i]); n < quorum.Size(of) {
		return fmt.Sprintf("commits %d, durable at %d of %d", i, n, of)
	}
	joint := leader.membership
	if leader.outgoing == 0 || joint <= before.commit {
		return ""
	}
	if n, of := c.holders(s, leader.outgoing, joint, leader.terms[joint]); n < quorum.Size(of) {
		return fmt.Sprintf("commits the joint membership at %d, durable at %d of %d outgoing voters", joint, n, of)
	}
	return ""
}

// holders counts the voters whose disks hold an entry, or a snapshot of it.
func (c *checker) holders(s *state, voters nodeSet, i, term uint8) (n, of int) {
	for k := range c.options.Nodes {
		if !voters.has(k) {
			continue
		}
		of++
		f := &c.nodes.facts[s.nodes[k]]
		if f.diskBase >= i || i <= f.diskLast && f.diskTerms[i] == term {
			n++
		}
	}
	return n, of
}

// forget drops from the ghost what cannot matter any more: who leads a term
// that no disk is in.
func (c *checker) forget(s *state) {
	least := uint8(maxTerm)
	for i := range c.options.Nodes {
		least = min(least, c.nodes.facts[s.nodes[i]].diskTerm)
	}
	for t := range least {
		s.ghost.leaders[t] = 0
	}
}

// checkState checks what holds in every state of the group, where only the
// node at one position has changed.
func (c *checker) checkState(s *state, at int) (broken string) {
	f := &c.nodes.facts[s.nodes[at]]
	g := &s.ghost
	for i := uint8(1); i <= g.committed; i++ {
		if n, of := c.holders(s, g.voters, i, g.terms[i]); n < quorum.Size(of) {
			return fmt.Sprintf("committed stays durable: entry %d of term %d is at %d of %d", i, g.terms[i], n, of)
		}
	}
	for k := range c.options.Nodes {
		if k == at {
			continue
		}
		o := &c.nodes.facts[s.nodes[k]]
		if i := mismatch(f, o); i != 0 {
			return fmt.Sprintf("log matching: nodes %d and %d differ at %d, and agree after it", at+1, k+1, i)
		}
		if broken := truthful(f, o, at, k); broken != "" {
			return broken
		}
		if broken := truthful(o, f, k, at); broken != "" {
			return broken
		}
	}
	return ""
}

// mismatch returns an index at which two logs differ although they hold the
// same entry at a later one, 0 if there is none.
func mismatch(a, b *facts) uint8 {
	agree := false
	for i := min(a.last, b.last); i > max(a.base, b.base); i-- {
		if a.terms[i] == b.terms[i] {
			agree = true
		} else if agree {
			return i
		}
	}
	return 0
}

// truthful: what a leader takes for durable at a peer is, and what a follower
// has verified stands in its leader's log.
func truthful(leader, peer *facts, l, p int) (broken string) {
	if leader.role != raft.Leader {
		return ""
	}
	if peer.diskTerm <= leader.term {
		for i := max(leader.base, peer.diskBase) + 1; i <= leader.match[p]; i++ {
			if i > peer.diskLast || peer.diskTerms[i] != leader.terms[i] {
				return fmt.Sprintf("match is truthful: leader %d has match %d for node %d, whose entry %d differs or is not durable",
					l+1, leader.match[p], p+1, i)
			}
		}
	}
	if peer.term == leader.term {
		for i := max(leader.base, peer.base) + 1; i <= peer.verified; i++ {
			if i > peer.last || i > leader.last || peer.terms[i] != leader.terms[i] {
				return fmt.Sprintf("verified is truthful: node %d has verified %d in term %d, and differs from its leader %d at %d",
					p+1, peer.verified, peer.term, l+1, i)
			}
		}
	}
	return ""
}

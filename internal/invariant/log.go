package invariant

import (
	"github.com/seed-6281cb22/raft/internal/bridge"
	"github.com/seed-6281cb22/raft/internal/quorum"
	"github.com/seed-6281cb22/raft/raftpb"
)

// checkLog: the core's log is what it has handed out to be written; what it
// takes for durable, and for verified, is.
func (c *Checker) checkLog(n *node, v *bridge.View) {
	b := &n.before
	if v.Stopped {
		return
	}
	if t, known := n.log.term(v.Last); v.Last != n.log.last || known && v.LastTerm != 0 && t != v.LastTerm {
		c.fail(LogMatching, n, "its log ends with %d of term %d, what it wrote with %d of term %d", v.Last, v.LastTerm, n.log.last, t)
		return
	}
	if v.Durable != b.durable || v.Last < b.last || n.first {
		if t, known := n.log.term(v.Durable); v.Durable > v.Last || known && !n.holds(v.Durable, t) {
			c.fail(DurableTruthful, n, "%d of term %d is not durable: that is %d", v.Durable, t, n.disk.last)
		}
	}
	if v.Role == bridge.Leader || v.Verified == 0 || v.Verified == b.verified && v.Term == b.term {
		return
	}
	own, known := n.log.term(v.Verified)
	leaders, has := c.termInLogOf(v.Term, v.Verified)
	if v.Verified > v.Last || known && has && own != leaders {
		c.fail(VerifiedTruthful, n, "entry %d of term %d is verified, the leader of term %d has term %d there",
			v.Verified, own, v.Term, leaders)
	}
}

// checkLeader: election safety, leader completeness, and what a leader
// believes of others.
func (c *Checker) checkLeader(n *node, v *bridge.View) {
	if n.before.role != bridge.Leader || n.before.term != v.Term {
		c.elected(n, v)
		n.matches = n.matches[:0]
	}
	for i := range v.Peers {
		p := &v.Peers[i]
		if i == len(n.matches) {
			n.matches = append(n.matches, match{peer: p.ID, window: p.Window})
		}
		m := &n.matches[i]
		if m.peer != p.ID {
			*m = match{peer: p.ID, window: p.Window}
		}
		if m.index != p.Match || p.Next <= p.Match {
			c.checkMatch(n, v, p)
			m.index = p.Match
		}
		c.checkInFlight(n, v, m, p)
	}
}

// checkMatch: what a leader takes for durable at a peer, that peer has
// acknowledged in this term, and so it was durable there, with the leader's
// terms.
func (c *Checker) checkMatch(n *node, v *bridge.View, p *bridge.Peer) {
	if p.Match > v.Last || p.Next <= p.Match {
		c.fail(MatchTruthful, n, "of peer %d: match %d, next %d, and the log ends at %d", p.ID, p.Match, p.Next, v.Last)
	}
	if acked := c.factsOf(v.Term).acked(p.ID); p.Match > acked {
		c.fail(MatchTruthful, n, "of peer %d: match %d, and it has acknowledged %d in term %d", p.ID, p.Match, acked, v.Term)
	}
}

// elected checks a node that has begun to lead.
func (c *Checker) elected(n *node, v *bridge.View) {
	f := c.factsOf(v.Term)
	// Election safety: "at most one leader can be elected in a given term".
	if f.leader != 0 && f.leader != n.id {
		c.fail(ElectionSafety, n, "nodes %d and %d lead term %d", f.leader, n.id, v.Term)
	}
	f.leader = n.id
	if !v.Unmarked {
		c.fail(Mark, n, "it leads term %d with marked storage", v.Term)
	}
	votes := func(id raftpb.NodeID) bool {
		if id == n.id {
			return n.hard.Term == v.Term && n.hard.Vote == n.id
		}
		return f.voted(id, n.id) || c.find(id) == nil
	}
	if !agreed(v.Membership, votes) {
		c.fail(ElectionSafety, n, "it leads term %d with the votes %v, in %v", v.Term, f.votes, v.Membership.Members)
	}
	// Leader completeness: "if a log entry is committed in a given term, then
	// that entry will be present in the logs of the leaders for all
	// higher-numbered terms".
	for i := len(c.commits) - 1; i >= 0; i-- {
		if at := &c.commits[i]; at.Term < v.Term {
			t, _ := c.committed.term(at.First)
			c.checkComplete(n, v, at.First, t)
			break
		}
	}
}

func (c *Checker) checkComplete(n *node, v *bridge.View, i raftpb.Index, t raftpb.Term) {
	if have, known := n.log.term(i); i > v.SnapshotIndex && (!known || have != t) {
		c.fail(LeaderCompleteness, n, "it leads term %d, and of the committed entry %d of term %d has term %d", v.Term, i, t, have)
	}
}

// agreed reports whether a majority, in a joint membership of both
// configurations, has what has reports.
func agreed(m *raftpb.Membership, has func(raftpb.NodeID) bool) bool {
	var voters, outgoing, in, out int
	for i := range m.Members {
		p := &m.Members[i]
		if !p.Voter && !p.Outgoing {
			continue
		}
		yes := 0
		if has(p.ID) {
			yes = 1
		}
		if p.Voter {
			voters, in = voters+1, in+yes
		}
		if p.Outgoing {
			outgoing, out = outgoing+1, out+yes
		}
	}
	return in >= quorum.Size(voters) && (outgoing == 0 || out >= quorum.Size(outgoing))
}

// commitAdvanced checks a commit index that is new to a node, and, if it is
// new to all, takes it.
func (c *Checker) commitAdvanced(n *node, v *bridge.View) {
	b, i := &n.before, v.Commit
	if i > n.log.last {
		c.fail(StateMachineSafety, n, "commit index %d beyond its log, %d", i, n.log.last)
		return
	}
	if v.Role == bridge.Leader {
		c.checkJustified(n, v)
	} else if v.Term == b.term && !n.first && i > v.Verified {
		c.fail(CommitVerified, n, "commit index %d, and %d is verified in term %d", i, v.Verified, v.Term)
	}
	at := min(i, c.committed.last)
	t, known := c.committed.term(at)
	if have, holds := n.log.term(at); known && holds && t != have {
		c.fail(StateMachineSafety, n, "it commits %d of term %d, where term %d is committed", at, have, t)
		return
	}
	if i <= c.committed.last {
		return
	}
	if v.Role != bridge.Leader || c.committed.last < n.log.base {
		c.fail(CommitJustified, n, "commit index %d, which no leader has committed: that is %d", i, c.committed.last)
		return
	}
	c.committed.appendFrom(&n.log, i)
	c.commits = append(c.commits, Run{First: i, Term: v.Term})
	// What is committed late, by one who has been replaced, is in the log of
	// those who lead later terms already.
	for k := len(c.terms) - 1; k >= 0 && c.terms[k].term > v.Term; k-- {
		f := &c.terms[k]
		if have, known := c.termInLogOf(f.term, i); f.leader != 0 && f.first != 0 && known && have != v.Term {
			c.fail(LeaderCompleteness, n, "it commits %d of term %d, and the leader of term %d has term %d there", i, v.Term, f.term, have)
		}
	}
}

// checkJustified: a leader commits an entry of its own term, and with it what
// stands before it, which a quorum holds durably (§5.4.2).
func (c *Checker) checkJustified(n *node, v *bridge.View) {
	b, i := &n.before, v.Commit
	if b.role != bridge.Leader || b.term != v.Term {
		// What it knew when it was elected needs no quorum of its term.
		if i < v.First {
			return
		}
	}
	t, known := n.log.term(i)
	if !known || t != v.Term {
		c.fail(CommitJustified, n, "it commits %d of term %d by counting in term %d", i, t, v.Term)
		return
	}
	holds := func(id raftpb.NodeID) bool {
		if id == n.id {
			return v.Unmarked && n.holds(i, t)
		}
		for k := range v.Peers {
			if p := &v.Peers[k]; p.ID == id && p.Marked {
				return false
			}
		}
		peer := c.find(id)
		// What was acknowledged, and then lost, counts.
		return peer == nil || v.Term <= peer.wipedIn || peer.holds(i, t)
	}
	if !agreed(v.Membership, holds) {
		c.fail(CommitJustified, n, "it commits %d of term %d, which no quorum of %v holds", i, t, v.Membership.Members)
	}
}

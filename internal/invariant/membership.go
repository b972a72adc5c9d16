package invariant

import (
	"slices"

	"github.com/seed-6281cb22/raft/internal/bridge"
	"github.com/seed-6281cb22/raft/raftpb"
)

// membershipFact is a membership that some leader has put in its log.
type membershipFact struct {
	index   raftpb.Index
	term    raftpb.Term
	members []raftpb.Member
}

// checkMembership: how the membership in force at a node changes (§6).
func (c *Checker) checkMembership(n *node, v *bridge.View) {
	b := &n.before
	if c.founders == nil && v.MembershipIndex == 0 {
		c.founders = v.Membership.Members
	}
	if v.Role == bridge.Leader {
		n.firstOfTerm = v.First
	}
	led := b.role == bridge.Leader && b.term == v.Term
	changed := v.MembershipIndex != b.membershipIndex
	if v.Role == bridge.Leader && (changed || !led) {
		c.checkPeers(n, v)
	}
	if leads(n, v) && changed {
		c.checkAppended(n, v)
	}
	c.checkInForce(n, v)
}

// checkInForce: the membership in force is one that stands in the node's log,
// and goes with its entry when that is truncated (M22).
func (c *Checker) checkInForce(n *node, v *bridge.View) {
	i := v.MembershipIndex
	if i > max(v.Last, v.SnapshotIndex) {
		c.fail(Succession, n, "the membership of entry %d, and its log ends at %d", i, v.Last)
	}
	t, known := n.log.term(i)
	if !known || i == n.before.membershipIndex && t == n.before.membershipTerm {
		return
	}
	n.before.membershipTerm = t
	other := raftpb.Term(0)
	for k := len(c.memberships) - 1; k >= 0; k-- {
		m := &c.memberships[k]
		if m.index == i && m.term == t {
			return
		}
		if m.index == i {
			other = m.term
		}
	}
	if f := c.facts(t); f != nil && f.leader == n.id {
		// It has led only between two steps.
		c.memberships = append(c.memberships, membershipFact{i, t, v.Membership.Members})
	} else if other != 0 {
		c.fail(Succession, n, "the membership of entry %d, whose term is %d here, and of which a membership is known in term %d", i, t, other)
	}
}

// checkSnapshotMembership: a snapshot holds the membership that was in force at
// its index, not a later one that may not have been committed (M24), nor none.
func (c *Checker) checkSnapshotMembership(n *node, s *raftpb.Snapshot) {
	in := membershipFact{members: c.founders}
	for i := range c.memberships {
		m := &c.memberships[i]
		if t, known := c.committed.term(m.index); m.index > in.index && m.index <= s.Index && known && t == m.term {
			in = *m
		}
	}
	if s.MembershipIndex < in.index || s.MembershipIndex == in.index && in.members != nil && !slices.Equal(s.Membership.Members, in.members) ||
		s.MembershipIndex > s.Index {
		c.fail(Succession, n, "a snapshot at %d with the membership of entry %d, %+v, where %d has %+v",
			s.Index, s.MembershipIndex, s.Membership.Members, in.index, in.members)
	}
}

// checkAppended: a leader appends a membership only when it has committed an
// entry of its own term, and the last change: two at a time, of which each
// overlaps with the one before, make disjoint majorities (M19, M20). But it
// begins a new cluster's log with the founding one.
func (c *Checker) checkAppended(n *node, v *bridge.View) {
	b := &n.before
	if v.MembershipIndex > 1 && (v.Commit < n.firstOfTerm || v.Commit < b.membershipIndex) {
		c.fail(OneChange, n, "it appends the membership at %d, and has committed %d; its term begins with %d, the last change is at %d",
			v.MembershipIndex, v.Commit, n.firstOfTerm, b.membershipIndex)
	}
	c.checkSuccession(n, v)
	c.memberships = append(c.memberships, membershipFact{v.MembershipIndex, v.Term, v.Membership.Members})
}

// leads reports whether n leads after a step, or has led until then, as one
// does that hands over because it has committed its own removal.
func leads(n *node, v *bridge.View) bool {
	return v.Role == bridge.Leader || n.before.role == bridge.Leader && n.before.term == v.Term
}

// checkPeers: a core knows as its peers the members, and nobody else: who has
// been removed counts nowhere.
func (c *Checker) checkPeers(n *node, v *bridge.View) {
	k := 0
	for i := range v.Membership.Members {
		m := &v.Membership.Members[i]
		if m.ID == n.id {
			continue
		}
		if k == len(v.Peers) || v.Peers[k].ID != m.ID || v.Peers[k].Voter != m.Voter || v.Peers[k].Outgoing != m.Outgoing {
			c.fail(Succession, n, "its peers are %+v, the members %+v", v.Peers, v.Membership.Members)
			return
		}
		k++
	}
	if k != len(v.Peers) {
		c.fail(Succession, n, "its peers are %+v, the members %+v", v.Peers, v.Membership.Members)
	}
}

// checkSuccession: voters change through a joint membership only, which has the
// old and the new ones, and nobody begins to vote whose storage is marked.
func (c *Checker) checkSuccession(n *node, v *bridge.View) {
	old, next := n.before.members, v.Membership.Members
	outgoing := func(m *raftpb.Member) bool { return m.Outgoing }
	voter := func(m *raftpb.Member) bool { return m.Voter }
	ok := false
	switch wasJoint, joint := slices.ContainsFunc(old, outgoingMember), slices.ContainsFunc(next, outgoingMember); {
	case wasJoint:
		ok = !joint && sameIDs(old, voter, next, voter)
	case joint:
		ok = sameIDs(old, voter, next, outgoing)
	default:
		ok = sameIDs(old, voter, next, voter)
	}
	if !ok {
		c.fail(Succession, n, "it goes from %+v to %+v", old, next)
	}
	for i := range v.Peers {
		p := &v.Peers[i]
		if p.Voter && p.Marked && !slices.ContainsFunc(old, func(m raftpb.Member) bool { return m.ID == p.ID && m.Voter }) {
			c.fail(Mark, n, "node %d begins to vote with marked storage", p.ID)
		}
	}
}

func outgoingMember(m raftpb.Member) bool { return m.Outgoing }

// sameIDs reports whether the ids of those in a that have property p, and of
// those in b that have property q, are the same. Both are ordered by id.
func sameIDs(a []raftpb.Member, p func(*raftpb.Member) bool, b []raftpb.Member, q func(*raftpb.Member) bool) bool {
	j := 0
	for i := range a {
		if !p(&a[i]) {
			continue
		}
		for j < len(b) && !q(&b[j]) {
			j++
		}
		if j == len(b) || b[j].ID != a[i].ID {
			return false
		}
		j++
	}
	return !slices.ContainsFunc(b[j:], func(m raftpb.Member) bool { return q(&m) })
}

// checkRemoved: who learns that it is no member was one, and is not in a later
// membership that is committed.
func (c *Checker) checkRemoved(n *node) {
	was := slices.ContainsFunc(c.founders, func(m raftpb.Member) bool { return m.ID == n.id })
	for i := range c.memberships {
		m := &c.memberships[i]
		if t, known := c.committed.term(m.index); m.index > c.committed.last || known && t != m.term {
			continue
		}
		member := slices.ContainsFunc(m.members, func(m raftpb.Member) bool { return m.ID == n.id })
		if was && !member {
			return
		}
		was = was || member
	}
	c.fail(Removed, n, "it believes that it was removed, and never was")
}

// InForce calls yield with the memberships that some node may yet count by: the
// newest one that is committed, and all that may come to be, until yield
// returns false. They are not to be changed.
func (c *Checker) InForce(yield func(*raftpb.Membership) bool) {
	newest := c.founders
	for i := range c.memberships {
		m := &c.memberships[i]
		if t, known := c.committed.term(m.index); m.index > c.committed.last {
			if !yield(&raftpb.Membership{Members: m.members}) {
				return
			}
		} else if !known || t == m.term {
			newest = m.members
		}
	}
	yield(&raftpb.Membership{Members: newest})
}

// Package memberchange draws changes of a membership for simulators, which must
// know what a change is to lead to: whether enough of those that are to vote
// will be able to.
package memberchange

import (
	"slices"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/quorum"
	"github.com/seed-6281cb22/raft/internal/tape"
	"github.com/seed-6281cb22/raft/raftpb"
)

// Change is a change of one member.
type Change struct {
	ID      raftpb.NodeID
	Address string
	Intent  raftpb.Intent // what it makes of the member, as far as votes go
	// Priority is the election priority that it gives, if it is about that.
	Priority uint32
	ask      func(*Change) raft.Change
	holds    func(*Change, *raftpb.Member) bool // of a member that is there; nil: if it votes as intended
}

func withID(f func(raftpb.NodeID) raft.Change) func(*Change) raft.Change {
	return func(c *Change) raft.Change { return f(c.ID) }
}

func withAddress(f func(raftpb.NodeID, string) raft.Change) func(*Change) raft.Change {
	return func(c *Change) raft.Change { return f(c.ID, c.Address) }
}

// maxPriority is the highest one that Draw draws. Few are enough for some to be
// equal, some higher and some lower than others.
const maxPriority = 3

// kinds are what Draw draws from.
var kinds = [...]Change{
	{Intent: raftpb.IntentVoter, ask: withAddress(raft.AddVoter)},
	{Intent: raftpb.IntentVoter, ask: withAddress(raft.AddVoter)},
	{ask: withAddress(raft.AddLearner)},
	{Intent: raftpb.IntentVoter, ask: withID(raft.PromoteWhenCaughtUp)},
	{Intent: raftpb.IntentLearner, ask: withID(raft.Demote)},
	{
		ask:   withAddress(raft.SetAddress),
		holds: func(c *Change, m *raftpb.Member) bool { return m.Address == c.Address },
	},
	{
		ask:   func(c *Change) raft.Change { return raft.SetPriority(c.ID, c.Priority) },
		holds: func(c *Change, m *raftpb.Member) bool { return m.Priority == c.Priority },
	},
	{Intent: raftpb.IntentLeave, ask: withID(raft.Remove)},
	{Intent: raftpb.IntentLeave, ask: withID(raft.Remove)},
}

// Remove is the change that removes a member.
func Remove(id raftpb.NodeID) Change {
	return Change{ID: id, Intent: raftpb.IntentLeave, ask: withID(raft.Remove)}
}

// Draw draws one to three changes of nodes 1 to nodes, most of which will be
// impossible in a given membership. address is asked for each.
func Draw(t *tape.Tape, nodes int, address func(raftpb.NodeID) string) []Change {
	changes := make([]Change, 1+t.Intn(1+t.Intn(3)))
	for k := range changes {
		c := kinds[t.Intn(len(kinds))]
		c.ID = raftpb.NodeID(1 + t.Intn(nodes))
		c.Address, c.Priority = address(c.ID), uint32(t.Intn(maxPriority+1))
		changes[k] = c
	}
	return changes
}

// Ask returns what ChangeMembership is to be asked for.
func Ask(changes []Change) []raft.Change {
	asked := make([]raft.Change, len(changes))
	for k, c := range changes {
		asked[k] = c.ask(&c)
	}
	return asked
}

// Holds reports whether m is as the change wanted it.
func (c *Change) Holds(m *raftpb.Membership) bool {
	at := slices.IndexFunc(m.Members, func(member raftpb.Member) bool { return member.ID == c.ID })
	switch {
	case at < 0 || c.Intent == raftpb.IntentLeave:
		return at < 0 && c.Intent == raftpb.IntentLeave
	case c.Intent != raftpb.IntentStay:
		return m.Members[at].Voter == (c.Intent == raftpb.IntentVoter)
	}
	return c.holds == nil || c.holds(c, &m.Members[at])
}

// Intended is, about, what m becomes by changes: who is to vote.
func Intended(m *raftpb.Membership, changes []Change) *raftpb.Membership {
	next := m.Clone()
	for k := range next.Members {
		next.Members[k].Intent = raftpb.IntentStay
	}
	for _, c := range changes {
		at := slices.IndexFunc(next.Members, func(member raftpb.Member) bool { return member.ID == c.ID })
		switch {
		case at < 0:
			next.Members = append(next.Members, raftpb.Member{ID: c.ID, Intent: c.Intent})
		case c.Intent != raftpb.IntentStay && (c.Intent == raftpb.IntentVoter) != next.Members[at].Voter:
			next.Members[at].Intent = c.Intent
		}
	}
	return &next
}

// Viable reports whether usable is true of a majority of each configuration of
// m, the one that is intended too.
func Viable(m *raftpb.Membership, usable func(*raftpb.Member) bool) bool {
	configurations := [...]func(*raftpb.Member) bool{
		func(m *raftpb.Member) bool { return m.Voter },
		func(m *raftpb.Member) bool { return m.Outgoing },
		func(m *raftpb.Member) bool {
			return m.Voter && m.Intent == raftpb.IntentStay || m.Intent == raftpb.IntentVoter
		},
	}
	for _, votes := range configurations {
		voters, able := 0, 0
		for k := range m.Members {
			member := &m.Members[k]
			if !votes(member) {
				continue
			}
			voters++
			if usable(member) {
				able++
			}
		}
		if voters > 0 && able < quorum.Size(voters) {
			return false
		}
	}
	return true
}

// Settled reports whether m is the end of a change: nobody is to vote or to
// leave any more, and nobody is in a joint configuration.
func Settled(m *raftpb.Membership) bool {
	return !slices.ContainsFunc(m.Members, func(member raftpb.Member) bool {
		return member.Intent != raftpb.IntentStay || member.Outgoing
	})
}

// Has reports whether a node is a member.
func Has(m *raftpb.Membership, id raftpb.NodeID) bool {
	return slices.ContainsFunc(m.Members, func(member raftpb.Member) bool { return member.ID == id })
}

// MayLead is how many election timeouts may pass until a voter that has a higher
// priority than the leader, and is fit, leads: attempts that have failed put off
// the next one for up to 256.
const MayLead = 300

// Outranked reports whether a voter that is fit has a higher priority than leader.
func Outranked(m *raftpb.Membership, leader raftpb.NodeID, fit func(*raftpb.Member) bool) bool {
	at := slices.IndexFunc(m.Members, func(member raftpb.Member) bool { return member.ID == leader })
	for k := range m.Members {
		member := &m.Members[k]
		if at >= 0 && member.Voter && member.Priority > m.Members[at].Priority && fit(member) {
			return true
		}
	}
	return false
}

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
	ask     func(raftpb.NodeID, string) raft.Change
	moves   bool // the member is to have Address
}

func idOnly(f func(raftpb.NodeID) raft.Change) func(raftpb.NodeID, string) raft.Change {
	return func(id raftpb.NodeID, _ string) raft.Change { return f(id) }
}

// kinds are what Draw draws from.
var kinds = [...]Change{
	{Intent: raftpb.IntentVoter, ask: raft.AddVoter},
	{Intent: raftpb.IntentVoter, ask: raft.AddVoter},
	{ask: raft.AddLearner},
	{Intent: raftpb.IntentVoter, ask: idOnly(raft.PromoteWhenCaughtUp)},
	{Intent: raftpb.IntentLearner, ask: idOnly(raft.Demote)},
	{ask: raft.SetAddress, moves: true},
	{Intent: raftpb.IntentLeave, ask: idOnly(raft.Remove)},
	{Intent: raftpb.IntentLeave, ask: idOnly(raft.Remove)},
}

// Remove is the change that removes a member.
func Remove(id raftpb.NodeID) Change {
	return Change{ID: id, Intent: raftpb.IntentLeave, ask: idOnly(raft.Remove)}
}

// Draw draws one to three changes of nodes 1 to nodes, most of which will be
// impossible in a given membership. address is asked for each.
func Draw(t *tape.Tape, nodes int, address func(raftpb.NodeID) string) []Change {
	changes := make([]Change, 1+t.Intn(1+t.Intn(3)))
	for k := range changes {
		c := kinds[t.Intn(len(kinds))]
		c.ID = raftpb.NodeID(1 + t.Intn(nodes))
		c.Address = address(c.ID)
		changes[k] = c
	}
	return changes
}

// Ask returns what ChangeMembership is to be asked for.
func Ask(changes []Change) []raft.Change {
	asked := make([]raft.Change, len(changes))
	for k, c := range changes {
		asked[k] = c.ask(c.ID, c.Address)
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
	return !c.moves || m.Members[at].Address == c.Address
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

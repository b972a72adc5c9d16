package invariant

import (
	"testing"

	"github.com/seed-6281cb22/raft/internal/bridge"
	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// of returns a membership of voters, and of a joint one of outgoing voters.
func of(voters, outgoing []raftpb.NodeID) *raftpb.Membership {
	m := new(raftpb.Membership)
	for id := raftpb.NodeID(1); id <= settled+1; id++ {
		member := raftpb.Member{ID: id}
		for _, v := range voters {
			member.Voter = member.Voter || v == id
		}
		for _, v := range outgoing {
			member.Outgoing = member.Outgoing || v == id
		}
		if member.Voter || member.Outgoing {
			m.Members = append(m.Members, member)
		}
	}
	return m
}

// change lets a leader append a membership.
func (h *history) change(leader raftpb.NodeID, m *raftpb.Membership) {
	h.step(leader, func(s *Step) {
		v := s.View
		v.Membership, v.MembershipIndex = m, v.Last+1
		h.write(s, entry(v.Last+1, v.Term))
		peers := []bridge.Peer{}
		for i := range m.Members {
			member := &m.Members[i]
			p := bridge.Peer{ID: member.ID, Next: v.Last + 1}
			for _, known := range v.Peers {
				if known.ID == p.ID {
					p = known
				}
			}
			if p.Voter, p.Outgoing = member.Voter, member.Outgoing; p.ID != leader {
				peers = append(peers, p)
			}
		}
		v.Peers = peers
	})
}

// carry lets an entry reach some followers and the leader's disk, and commits it.
func (h *history) carry(leader raftpb.NodeID, followers ...raftpb.NodeID) {
	h.persist(leader)
	for _, id := range followers {
		h.replicate(leader, id)
	}
	h.commit(leader, h.view(leader).Last)
}

func ids(ids ...raftpb.NodeID) []raftpb.NodeID { return ids }

// {1,2,3} becomes {1,2} by a joint membership, and 3 learns of it.
func TestChangeOfTheMembership(t *testing.T) {
	h := committed()
	h.change(1, of(ids(1, 2), ids(1, 2, 3)))
	h.carry(1, 2)
	h.change(1, of(ids(1, 2), nil))
	h.carry(1, 2)
	h.step(3, func(s *Step) { s.View.Removed = true })
	require.NoError(t, h.Err())

	counted := 0
	for m := range h.InForce {
		counted++
		require.Len(t, m.Members, 2)
	}
	require.Equal(t, 1, counted)
	h.change(1, of(ids(1), ids(1, 2)))
	counted = 0
	for range h.InForce {
		counted++
	}
	require.Equal(t, 2, counted, "that which is committed, and that which is not yet")
	for range h.InForce {
		break
	}
}

func TestViolationsOfTheMembershipAreFound(t *testing.T) {
	for _, test := range []struct {
		name, checker string
		violate       func(h *history) // of committed()
	}{
		{"a change before the term's first commit", OneChange, func(h *history) {
			h.elect(2, 3, 3)
			h.change(2, of(ids(1, 2), ids(1, 2, 3)))
		}},
		{"a change while another one is not committed", OneChange, func(h *history) {
			h.change(1, of(ids(1, 2, 3), nil))
			h.change(1, of(ids(1, 2, 3), nil))
		}},
		{"a change of voters that is not joint", Succession, func(h *history) { h.change(1, of(ids(1, 2), nil)) }},
		{"a joint membership without the old voters", Succession, func(h *history) { h.change(1, of(ids(1, 2), ids(1, 2))) }},
		{"a joint membership that follows a joint one", Succession, func(h *history) {
			h.change(1, of(ids(1, 2), ids(1, 2, 3)))
			h.carry(1, 2)
			h.change(1, of(ids(1, 2), ids(1, 2)))
		}},
		{"another end than the joint membership has", Succession, func(h *history) {
			h.change(1, of(ids(1, 2), ids(1, 2, 3)))
			h.carry(1, 2)
			h.change(1, of(ids(1, 2, 3), nil))
		}},
		{"a peer that is no member", Succession, func(h *history) {
			h.view(1).Peers = append(h.view(1).Peers, bridge.Peer{ID: 9, Next: 1})
			h.step(1, func(s *Step) {
				s.View.MembershipIndex = s.View.Last + 1
				h.write(s, entry(s.View.Last+1, 2))
			})
		}},
		{"a member that is no peer", Succession, func(h *history) {
			h.view(1).Peers = h.view(1).Peers[:1]
			h.step(1, func(s *Step) {
				s.View.MembershipIndex = s.View.Last + 1
				h.write(s, entry(s.View.Last+1, 2))
			})
		}},
		{"a commit by the new voters alone", CommitJustified, func(h *history) {
			h.change(1, of(ids(1), ids(1, 2, 3)))
			h.carry(1)
		}},
		{"a commit of the joint membership in the step that ends it", CommitJustified, func(h *history) {
			h.change(1, of(ids(1), ids(1, 2, 3)))
			h.persist(1)
			h.view(1).Commit = 2
			h.change(1, of(ids(1), nil))
		}},
		{"a membership that outlives its entry", Succession, func(h *history) {
			h.change(1, of(ids(1, 2), ids(1, 2, 3)))
			h.persist(1)
			h.elect(2, 3, 3)
			h.follow(1, 3, 2, 0)
			h.step(1, func(s *Step) { h.write(s, entry(2, 3)) })
			h.elect(2, 4, 3)
		}},
		{"a membership beyond the log", Succession, func(h *history) {
			h.step(2, func(s *Step) { s.View.MembershipIndex = 2 })
		}},
		{"a snapshot with an earlier membership", Succession, func(h *history) {
			h.change(1, of(ids(1, 2, 3), nil))
			h.carry(1, 2)
			h.follow(3, 2, 1, 0)
			h.step(3, func(s *Step) {
				h.write(s)
				s.Write.Snapshot = &raftpb.Snapshot{Index: 2, Term: 2, Membership: *membership(settled)}
			})
		}},
		{"a snapshot with another membership", Succession, func(h *history) {
			h.follow(3, 2, 1, 0)
			h.step(3, func(s *Step) {
				h.write(s)
				s.Write.Snapshot = &raftpb.Snapshot{Index: 1, Term: 2, Membership: *of(ids(1, 2), nil)}
			})
		}},
		{"a voter that begins with marked storage", Mark, func(h *history) {
			h.view(1).Peers = append(h.view(1).Peers, bridge.Peer{ID: 4, Next: 2, Marked: true})
			h.change(1, of(ids(1, 2, 3, 4), ids(1, 2, 3)))
		}},
		{"a member that believes to be removed", Removed, func(h *history) {
			h.step(2, func(s *Step) { s.View.Removed = true })
		}},
		{"a removal that is not committed", Removed, func(h *history) {
			h.change(1, of(ids(1, 2), ids(1, 2, 3)))
			h.carry(1, 2)
			h.change(1, of(ids(1, 2), nil))
			h.step(3, func(s *Step) { s.View.Removed = true })
		}},
		{"a stranger that believes to be removed", Removed, func(h *history) {
			h.Started(4, &State{First: 1})
			h.views = append(h.views, bridge.View{ID: 4, Membership: &raftpb.Membership{}, MaxWindowBytes: 1 << 10, Removed: true})
			h.step(4, func(*Step) {})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := committed()
			test.violate(h)
			require.Error(t, h.Err())
			require.Equal(t, test.checker, h.violation.Checker, "%v", h.Err())
		})
	}
}

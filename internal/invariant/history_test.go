package invariant

import (
	"testing"

	"github.com/seed-6281cb22/raft/internal/bridge"
	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// history tells a Checker of a cluster that is made up: nothing in it runs,
// and so it can do what no core should.
type history struct {
	Checker
	views []bridge.View
	seq   []uint64
	logs  [][]raftpb.Entry
	disks []raftpb.HardState
}

const settled = 3 // nodes

func membership(n int) *raftpb.Membership {
	m := new(raftpb.Membership)
	for i := range n {
		m.Members = append(m.Members, raftpb.Member{ID: raftpb.NodeID(i + 1), Voter: true})
	}
	return m
}

// newHistory starts three nodes that have nothing but unmarked disks.
func newHistory() *history {
	h := &history{
		views: make([]bridge.View, settled), seq: make([]uint64, settled), logs: make([][]raftpb.Entry, settled),
		disks: make([]raftpb.HardState, settled),
	}
	for i := range h.views {
		id := raftpb.NodeID(i + 1)
		h.disks[i] = raftpb.HardState{Term: 1, Unmarked: true}
		h.Started(id, &State{HardState: h.disks[i], First: 1})
		h.views[i] = bridge.View{
			ID: id, Term: 1, Unmarked: true, Membership: membership(settled), Deadline: 100,
			MaxEntryBytes: 1 << 10, MaxMessageBytes: 1 << 10, MaxWindowBytes: 1 << 10, MaxUncommittedBytes: 1 << 10,
			MaxApplyBytes: 1 << 10, MaxInFlight: 4, MaxPendingReads: 4,
		}
		h.step(id, func(*Step) {})
	}
	return h
}

func (h *history) view(id raftpb.NodeID) *bridge.View { return &h.views[id-1] }

// step takes a step of a node, which change makes what it is.
func (h *history) step(id raftpb.NodeID, change func(s *Step)) {
	s := &Step{View: h.view(id)}
	change(s)
	h.Stepped(s)
}

// write adds a write of entries to a step; the log ends with them.
func (h *history) write(s *Step, entries ...raftpb.Entry) {
	v := s.View
	i := v.ID - 1
	h.seq[i]++
	h.disks[i] = raftpb.HardState{Term: v.Term, Vote: v.Vote, Unmarked: v.Unmarked}
	s.Write = Write{Seq: h.seq[i], HardState: h.disks[i], Entries: entries}
	if len(entries) > 0 {
		below := min(len(h.logs[i]), int(entries[0].Index-1))
		h.logs[i] = append(h.logs[i][:below:below], entries...)
		last := &entries[len(entries)-1]
		v.Last, v.LastTerm = last.Index, last.Term
		v.Durable = min(v.Durable, entries[0].Index-1)
	}
}

// persist makes all that a node has written durable.
func (h *history) persist(id raftpb.NodeID) {
	h.WriteDurable(id, h.seq[id-1])
	h.step(id, func(s *Step) { s.View.Durable = s.View.Last })
}

func entry(index raftpb.Index, term raftpb.Term) raftpb.Entry {
	return raftpb.Entry{Index: index, Term: term, Data: []byte{byte(index), byte(term)}}
}

// follow takes a node to a term, durably.
func (h *history) follow(id raftpb.NodeID, term raftpb.Term, leader, vote raftpb.NodeID) {
	h.step(id, func(s *Step) {
		v := s.View
		if v.Term != term {
			v.Verified = 0
		}
		v.Role, v.Term, v.Leader, v.Vote = bridge.Follower, term, leader, vote
		h.write(s)
	})
	h.persist(id)
}

// vote lets a node vote in a term.
func (h *history) vote(id, candidate raftpb.NodeID, term raftpb.Term) {
	h.follow(id, term, 0, candidate)
	h.step(id, func(s *Step) {
		s.Messages = []raftpb.Message{{Type: raftpb.RequestVoteReply, From: id, To: candidate, Term: term}}
	})
}

// lead makes a node the leader of a term, with its first entry.
func (h *history) lead(id raftpb.NodeID, term raftpb.Term) {
	h.step(id, func(s *Step) {
		v := s.View
		v.Role, v.Leader, v.First = bridge.Leader, id, v.Last+1
		v.Peers = nil
		for p := raftpb.NodeID(1); p <= settled; p++ {
			if p != id {
				v.Peers = append(v.Peers, bridge.Peer{ID: p, Voter: true, Next: v.Last + 1})
			}
		}
		h.write(s, entry(v.Last+1, term))
	})
}

// elect lets a node win a term with the votes of some.
func (h *history) elect(id raftpb.NodeID, term raftpb.Term, voters ...raftpb.NodeID) {
	h.follow(id, term, 0, id)
	for _, voter := range voters {
		h.vote(voter, id, term)
	}
	h.lead(id, term)
}

// replicate lets a node hold, durably, what the leader does, acknowledge it,
// and the leader hear of it.
func (h *history) replicate(leader, to raftpb.NodeID) {
	term := h.view(leader).Term
	if h.view(to).Term != term {
		h.follow(to, term, leader, 0)
	}
	h.step(to, func(s *Step) {
		h.write(s, h.logs[leader-1]...)
		s.View.Verified = s.View.Last
	})
	h.persist(to)
	h.acknowledge(to, leader, h.view(to).Last)
}

func (h *history) acknowledge(id, leader raftpb.NodeID, index raftpb.Index) {
	term := h.view(id).Term
	h.step(id, func(s *Step) {
		s.Messages = []raftpb.Message{{Type: raftpb.AppendEntriesReply, From: id, To: leader, Term: term, Index: index}}
	})
	h.match(leader, id, index)
}

// match lets a leader believe something of a peer.
func (h *history) match(leader, of raftpb.NodeID, index raftpb.Index) {
	h.step(leader, func(s *Step) {
		for i := range s.View.Peers {
			if p := &s.View.Peers[i]; p.ID == of {
				p.Match, p.Next = index, index+1
			}
		}
	})
}

func (h *history) commit(id raftpb.NodeID, index raftpb.Index) {
	h.step(id, func(s *Step) { s.View.Commit = index })
}

func (h *history) apply(id raftpb.NodeID, entries ...raftpb.Entry) {
	h.step(id, func(s *Step) { s.Committed = entries })
}

// committed is a history in which 1 leads term 2, and 1 and 2 hold the entry
// that it began with, which is committed.
func committed() *history {
	h := newHistory()
	h.elect(1, 2, 2)
	h.persist(1)
	h.replicate(1, 2)
	h.commit(1, 1)
	return h
}

// restart ends a node and starts it from what s says.
func (h *history) restart(id raftpb.NodeID, s *State) {
	h.Crashed(id)
	h.Started(id, s)
}

// A history in which everything is right.
func TestNothingIsFoundWhereNothingIsWrong(t *testing.T) {
	h := committed()
	h.commit(2, 1)
	h.apply(1, entry(1, 2))
	h.apply(2, entry(1, 2))
	h.ReadBegun(1, 7)
	h.ReadAnswered(1, 7, 1)
	h.restart(1, &State{HardState: h.disks[0], First: 1, Last: 1, Runs: []Run{{1, 2}}})
	h.elect(2, 3, 3)
	h.persist(2)
	h.replicate(2, 3)
	h.commit(2, 2)
	require.NoError(t, h.Err())
	require.Equal(t, raftpb.Index(2), h.Committed())

	h.Reset()
	require.NoError(t, h.Err())
	require.Zero(t, h.Committed())
}

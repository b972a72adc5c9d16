package coresim

import (
	"errors"
	"fmt"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/memberchange"
	"github.com/seed-6281cb22/raft/raftpb"
)

// changeMembers asks a leader for a random change of the membership: of voters,
// learners, addresses, of several at once, of itself. Many are refused, being
// impossible or too early.
func (s *Simulator) changeMembers(i int) {
	s.requestChange(i, memberchange.Draw(s.tape, len(s.nodes), func(id raftpb.NodeID) string {
		s.addresses++
		return address(id, s.addresses)
	}))
}

func address(id raftpb.NodeID, k int) string { return fmt.Sprintf("%d.%d", id, k) }

// requestChange asks for changes, except where too few of those that are to
// vote have disks that work.
func (s *Simulator) requestChange(i int, changes []memberchange.Change) {
	n := &s.nodes[i]
	if !s.viable(memberchange.Intended(n.view.Membership, changes), 0) {
		return
	}
	s.count(ChangeMembers)
	s.before(ChangeMembers, n, nil)
	_, err := n.core.ChangeMembership(s.local(n), memberchange.Ask(changes)...)
	var impossible *raft.MembershipError
	if err != nil && !errors.Is(err, raft.ErrChangePending) && !errors.Is(err, raft.ErrTransferring) && !errors.As(err, &impossible) {
		s.fail(Refusal, n.id, "a leader refuses a change of the membership: %v", err)
	}
	s.after(ChangeMembers, i, nil)
}

// viable reports whether a majority of each configuration of a membership, the
// one that is intended too, will be able to go on: has storage that is neither
// marked nor broken, nor in lost.
func (s *Simulator) viable(m *raftpb.Membership, lost nodeSet) bool {
	return memberchange.Viable(m, func(member *raftpb.Member) bool {
		i := int(member.ID) - 1
		return !s.broken.has(i) && !lost.has(i) && (s.nodes[i].disk.hard.Unmarked || !member.Voter && !member.Outgoing)
	})
}

// mayLose reports whether node i may lose its disk: whichever membership comes
// to be in force, majorities are left. The checker has not seen those of Readys
// that were put off.
func (s *Simulator) mayLose(i int) bool {
	for k := range s.nodes {
		if n := &s.nodes[k]; n.owes && !s.viable(n.view.Membership, only(i)) {
			return false
		}
	}
	for m := range s.check.InForce {
		if !s.viable(m, only(i)) {
			return false
		}
	}
	return true
}

// handOver asks a leader to transfer leadership, to someone or to anyone.
func (s *Simulator) handOver(i int) {
	s.count(HandOver)
	n := &s.nodes[i]
	to := raftpb.NodeID(s.tape.Intn(len(s.nodes) + 1))
	s.before(HandOver, n, nil)
	err := n.core.TransferLeadership(s.local(n), to)
	var impossible *raft.MembershipError
	if err != nil && !errors.Is(err, raft.ErrTransferring) && !errors.As(err, &impossible) {
		s.fail(Refusal, n.id, "a leader refuses to transfer leadership: %v", err)
	}
	s.after(HandOver, i, nil)
}

// member reports whether node i is a member as the leader has it.
func (s *Simulator) member(i int) bool {
	l := s.leader()
	return l >= 0 && memberchange.Has(s.nodes[l].view.Membership, s.nodes[i].id)
}

// membershipSettled reports whether the last change has come to its end, and
// who is no member knows it, or is silent. It gives up promoting who is broken.
func (s *Simulator) membershipSettled() bool {
	l := s.leader()
	if l < 0 {
		return false
	}
	leader := &s.nodes[l].view
	for k := range leader.Membership.Members {
		m := &leader.Membership.Members[k]
		if m.Intent == raftpb.IntentVoter && s.broken.has(int(m.ID)-1) {
			s.requestChange(l, []memberchange.Change{memberchange.Remove(m.ID)})
			return false
		}
	}
	if !memberchange.Settled(leader.Membership) {
		return false
	}
	for i := range s.nodes {
		v := &s.nodes[i].view
		if s.up.has(i) && !memberchange.Has(leader.Membership, v.ID) && !v.Removed && v.Deadline != int64(raft.Never) {
			return false
		}
	}
	return leader.Commit >= leader.MembershipIndex
}

// preferredLeads reports whether no voter that is fit to lead has a higher priority
// than the leader.
func (s *Simulator) preferredLeads() bool {
	l := s.leader()
	return l >= 0 && !memberchange.Outranked(s.nodes[l].view.Membership, s.nodes[l].id, func(m *raftpb.Member) bool {
		i := int(m.ID) - 1
		return s.up.has(i) && !s.broken.has(i) && s.nodes[i].disk.hard.Unmarked
	})
}

func (s *Simulator) failMembership() {
	s.fail(Liveness, 0, "the membership is not settled %d election timeouts after there is a leader:%s", patience, s.standings())
}

// standings is how each node stands, a line each.
func (s *Simulator) standings() string {
	detail := ""
	for i := range s.nodes {
		v := &s.nodes[i].view
		detail += fmt.Sprintf("\nnode %d: up %v, broken %v, %s of term %d, leader %d, removed %v, marked %v, commit %d, last %d, membership %d: %+v",
			v.ID, s.up.has(i), s.broken.has(i), roleNames[v.Role], v.Term, v.Leader, v.Removed, !v.Unmarked, v.Commit, v.Last,
			v.MembershipIndex, v.Membership.Members)
	}
	return detail
}

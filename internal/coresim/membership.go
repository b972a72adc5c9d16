package coresim

import (
	"errors"
	"fmt"
	"slices"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/quorum"
	"github.com/seed-6281cb22/raft/raftpb"
)

// change is a change of one member.
type change struct {
	id      raftpb.NodeID
	address string
	intent  raftpb.Intent // what it makes of the member, as far as votes go
	ask     func(raftpb.NodeID, string) raft.Change
}

func idOnly(f func(raftpb.NodeID) raft.Change) func(raftpb.NodeID, string) raft.Change {
	return func(id raftpb.NodeID, _ string) raft.Change { return f(id) }
}

var changeKinds = [...]change{
	{intent: raftpb.IntentVoter, ask: raft.AddVoter},
	{intent: raftpb.IntentVoter, ask: raft.AddVoter},
	{ask: raft.AddLearner},
	{intent: raftpb.IntentVoter, ask: idOnly(raft.PromoteWhenCaughtUp)},
	{intent: raftpb.IntentLearner, ask: idOnly(raft.Demote)},
	{ask: raft.SetAddress},
	{intent: raftpb.IntentLeave, ask: idOnly(raft.Remove)},
	{intent: raftpb.IntentLeave, ask: idOnly(raft.Remove)},
}

// changeMembers asks a leader for a random change of the membership: of voters,
// learners, addresses, of several at once, of itself. Many are refused, being
// impossible or too early.
func (s *Simulator) changeMembers(i int) {
	changes := make([]change, 1+s.tape.Intn(1+s.tape.Intn(3)))
	for k := range changes {
		c := changeKinds[s.tape.Intn(len(changeKinds))]
		c.id = raftpb.NodeID(1 + s.tape.Intn(len(s.nodes)))
		s.addresses++
		c.address = address(c.id, s.addresses)
		changes[k] = c
	}
	s.requestChange(i, changes)
}

func address(id raftpb.NodeID, k int) string { return fmt.Sprintf("%d.%d", id, k) }

// requestChange asks for changes, except where too few of those that are to
// vote have disks that work.
func (s *Simulator) requestChange(i int, changes []change) {
	n := &s.nodes[i]
	if !s.viable(intended(n.view.Membership, changes), 0) {
		return
	}
	s.count(ChangeMembers)
	s.before(ChangeMembers, n, nil)
	asked := make([]raft.Change, len(changes))
	for k, c := range changes {
		asked[k] = c.ask(c.id, c.address)
	}
	_, err := n.core.ChangeMembership(s.local(n), asked...)
	var impossible *raft.MembershipError
	if err != nil && !errors.Is(err, raft.ErrChangePending) && !errors.Is(err, raft.ErrTransferring) && !errors.As(err, &impossible) {
		s.fail(Refusal, n.id, "a leader refuses a change of the membership: %v", err)
	}
	s.after(ChangeMembers, i, nil)
}

// intended is, about, what m becomes by changes: who is to vote.
func intended(m *raftpb.Membership, changes []change) *raftpb.Membership {
	next := m.Clone()
	for k := range next.Members {
		next.Members[k].Intent = raftpb.IntentStay
	}
	for _, c := range changes {
		at := slices.IndexFunc(next.Members, func(member raftpb.Member) bool { return member.ID == c.id })
		switch {
		case at < 0:
			next.Members = append(next.Members, raftpb.Member{ID: c.id, Intent: c.intent})
		case c.intent != raftpb.IntentStay && (c.intent == raftpb.IntentVoter) != next.Members[at].Voter:
			next.Members[at].Intent = c.intent
		}
	}
	return &next
}

// viable reports whether a majority of each configuration of a membership, the
// one that is intended too, will be able to go on: has storage that is neither
// marked nor broken, nor in lost.
func (s *Simulator) viable(m *raftpb.Membership, lost nodeSet) bool {
	configurations := [...]func(*raftpb.Member) bool{
		func(m *raftpb.Member) bool { return m.Voter },
		func(m *raftpb.Member) bool { return m.Outgoing },
		func(m *raftpb.Member) bool {
			return m.Voter && m.Intent == raftpb.IntentStay || m.Intent == raftpb.IntentVoter
		},
	}
	for _, votes := range configurations {
		voters, usable := 0, 0
		for k := range m.Members {
			member := &m.Members[k]
			if !votes(member) {
				continue
			}
			voters++
			i := int(member.ID) - 1
			if !s.broken.has(i) && !lost.has(i) && (s.nodes[i].disk.hard.Unmarked || !member.Voter && !member.Outgoing) {
				usable++
			}
		}
		if voters > 0 && usable < quorum.Size(voters) {
			return false
		}
	}
	return true
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
	return l >= 0 && isMember(s.nodes[l].view.Membership, s.nodes[i].id)
}

func isMember(m *raftpb.Membership, id raftpb.NodeID) bool {
	return slices.ContainsFunc(m.Members, func(member raftpb.Member) bool { return member.ID == id })
}

// membershipSettled reports whether the last change has come to its end, and
// who is no member knows it, or is silent. It gives up promoting who is broken.
func (s *Simulator) membershipSettled() bool {
	l := s.leader()
	if l < 0 {
		return false
	}
	leader, settled := &s.nodes[l].view, true
	for k := range leader.Membership.Members {
		m := &leader.Membership.Members[k]
		if m.Intent == raftpb.IntentVoter && s.broken.has(int(m.ID)-1) {
			s.requestChange(l, []change{{id: m.ID, intent: raftpb.IntentLeave, ask: idOnly(raft.Remove)}})
			return false
		}
		settled = settled && m.Intent == raftpb.IntentStay && !m.Outgoing
	}
	if !settled {
		return false
	}
	for i := range s.nodes {
		v := &s.nodes[i].view
		if s.up.has(i) && !isMember(leader.Membership, v.ID) && !v.Removed && v.Deadline != int64(raft.Never) {
			return false
		}
	}
	return leader.Commit >= leader.MembershipIndex
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

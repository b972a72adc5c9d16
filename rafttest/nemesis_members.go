package rafttest

import (
	"errors"
	"fmt"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/memberchange"
)

// What an operator does to the members.

// maxJoining is how many nodes may join that did not found the cluster.
const maxJoining = 3

// changeMembership asks a node, mostly one that leads, for a change: of voters,
// learners, addresses, of several at once, of itself. It tries some, since most
// are impossible.
func (s *nemesis) changeMembership() bool {
	n := s.leading()
	if !n.running() || n.paused {
		return false
	}
	for range 10 {
		drawn := memberchange.Draw(s.e.tape, len(s.e.nodes), s.nextAddress)
		in := n.status().Membership
		leads := memberchange.Intended(&in, drawn)
		if !s.e.viable(leads, nil) {
			continue
		}
		c := s.e.changeMembership(n, change{memberchange.Ask(drawn), drawn, leads}, nil)
		s.hurry(c)
		var impossible *raft.MembershipError
		if !errors.As(c.err, &impossible) {
			return !c.done || c.err == nil
		}
	}
	return false
}

func (s *nemesis) nextAddress(id raft.NodeID) string {
	s.addresses++
	return fmt.Sprintf("%s, place %d", address(id), s.addresses)
}

// leading is a node that believes to lead, if there is one, mostly.
func (s *nemesis) leading() *node {
	var leaders []*node
	for _, n := range s.e.nodes {
		if n.running() && !n.paused && n.status().Role == raft.Leader {
			leaders = append(leaders, n)
		}
	}
	if len(leaders) == 0 || s.e.tape.Chance(0.1) {
		return s.victim()
	}
	return leaders[s.e.tape.Intn(len(leaders))]
}

// hurry gives some calls up after a while.
func (s *nemesis) hurry(c *call) {
	if !c.done && s.e.tape.Chance(0.3) {
		s.later(func() { s.e.giveUp(c, errGivenUp) })
	}
}

func (s *nemesis) transfer() bool {
	n, to := s.leading(), raft.NodeID(s.e.tape.Intn(len(s.e.nodes)+1))
	s.hurry(s.e.transfer(n, to, nil))
	return true
}

// close lets a node end as a service does, and starts it again.
func (s *nemesis) close() bool {
	n := s.leading()
	if !n.running() || n.paused || n.closing {
		return false
	}
	n.close(func() { s.revive(n) })
	return true
}

// join starts a node with empty storage that waits to be added: a new one, or one
// that was removed, under its old name.
func (s *nemesis) join() bool {
	var n *node
	for _, o := range s.e.nodes {
		if o.retired && !o.up && !s.e.counts(o) && s.e.tape.Chance(0.5) {
			n = o
			n.wipe()
			break
		}
	}
	switch {
	case n != nil:
	case len(s.e.nodes) < s.e.cfg.nodes+maxJoining:
		n = s.e.join()
	default:
		return false
	}
	n.retired = false
	if s.e.restart(n) != nil {
		s.revive(n)
	}
	return true
}

// dismiss ends the process of a node that was removed. Sometimes its operator
// does not know better than to start it again; else it stays away unless it is
// added again.
func (s *nemesis) dismiss(n *node) {
	s.e.happened["removed"]++
	n.kill()
	n.retired = n.retired || s.over || s.e.tape.Chance(0.7)
}

package rafttest

import (
	"time"

	"github.com/seed-6281cb22/raft"
)

// What is the matter with clocks, and leases, which rest on them.

// clockJump lets a clock jump ahead. Where there are leases none does: the end of
// a deferral may rest on it.
func (s *nemesis) clockJump() bool {
	if s.plan.lease > 0 {
		return false
	}
	n, by := s.victim(), s.e.draw(span{max: 4 * s.e.cfg.electionTimeout()})
	s.e.transcript.note(n, "its clock jumps by %v", by)
	n.setClock(func(c *clock) { c.jump(by) })
	return true
}

func (s *nemesis) clockDrift() bool {
	most := fastest
	if s.plan.lease > 0 {
		most = leaseFastest
	}
	n, drift := s.victim(), int64(s.e.tape.Intn(most-slowest)+slowest)
	s.e.transcript.note(n, "its clock drifts by %d ppm", drift)
	n.setClock(func(c *clock) { c.set(s.e.now, drift) })
	return true
}

// clockBounds gives a node other bounds of true time, or none for a while.
func (s *nemesis) clockBounds() bool {
	c := &s.victim().trueTime
	c.early, c.late = s.e.draw(span{max: s.plan.clockError}), s.e.draw(span{max: s.plan.clockError})
	s.e.transcript.note(c.n, "it knows true time to -%v and +%v", c.late, c.early)
	if s.e.tape.Chance(0.3) {
		c.off = true
		s.e.transcript.note(c.n, "it is not sure of the time")
		s.later(func() { c.off = false })
	}
	return true
}

// otherLease asks for leases of another length, or none.
func (s *nemesis) otherLease() bool {
	if s.plan.lease == 0 {
		return false
	}
	n := s.leading()
	half := time.Duration(s.e.tape.Intn(4))
	s.hurry(s.e.changeMembership(n, change{asked: []raft.Change{raft.SetLease(half * s.plan.lease / 2)}}, nil))
	return true
}

// setLease is the operator, who lets there be leases as soon as there is a leader.
func (s *nemesis) setLease() {
	s.e.after(s.e.cfg.electionTimeout(), func() {
		leader := s.e.leader()
		switch {
		case s.over:
		case leader == nil || leader.paused:
			s.setLease()
		default:
			asked := []raft.Change{raft.SetLease(s.plan.lease)}
			s.e.changeMembership(leader, change{asked: asked}, func(c *call) {
				if c.err != nil {
					s.setLease()
				}
			})
		}
	})
}

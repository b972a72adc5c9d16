package coresim

import (
	"math/bits"

	"github.com/seed-6281cb22/raft/internal/bridge"
	"github.com/seed-6281cb22/raft/internal/invariant"
	"github.com/seed-6281cb22/raft/internal/memberchange"
)

// patience is how many election timeouts each part of the recovery may take.
const patience = 12

// recoverAll ends all faults, but for disks that have failed, and requires
// that everything goes on.
func (s *Simulator) recoverAll() {
	s.calm()
	if !s.until(func() bool { return s.leader() >= 0 }) {
		s.fail(Liveness, 0, "no leader %d election timeouts after the faults have stopped:%s", patience, s.standings())
	}
	if s.failed != nil {
		return
	}
	if !s.until(s.membershipSettled) {
		s.failMembership()
	}
	if !s.until(s.allApplied) {
		s.fail(Liveness, 0, "not all nodes apply what is in the log within %d election timeouts", patience)
	}
	if s.failed != nil {
		return
	}
	if !s.within(memberchange.MayLead, s.preferredLeads) {
		s.fail(Liveness, 0, "who should lead does not:%s", s.standings())
	}
	if !s.until(s.proposeLast) || !s.until(s.allApplied) {
		s.fail(Liveness, 0, "not all nodes apply a proposal within %d election timeouts", patience)
	}
	if s.failed != nil {
		return
	}
	if !s.until(s.quiet) {
		s.failQuiet()
	}
	for i := range s.nodes {
		if s.up.has(i) && s.failed == nil && s.member(i) {
			s.readOn(i)
		}
	}
}

// calm ends all faults.
func (s *Simulator) calm() {
	s.blocked = [MaxNodes]nodeSet{}
	s.swarm.reorder, s.swarm.late, s.swarm.hoard = false, false, 0
	for i := range s.nodes {
		n := &s.nodes[i]
		switch {
		case s.broken.has(i):
		case !s.up.has(i):
			s.restart(i)
		case s.paused.has(i) || s.starved.has(i):
			s.wake(i)
		}
		s.takeOwed(i)
		// The clocks run at one speed, and those that were set back catch up.
		at := max(n.view.Now, int64(s.local(n)))
		n.rate, n.offset = 1024, at-s.now
	}
}

// until lets everything happen at once, and time pass, until done reports
// true, and reports whether that came in time.
func (s *Simulator) until(done func() bool) bool { return s.within(patience, done) }

// within is until for so many election timeouts.
func (s *Simulator) within(timeouts int64, done func() bool) bool {
	end := s.now + timeouts*int64(s.swarm.election)
	for s.failed == nil && s.now <= end {
		s.settleAll()
		if done() {
			return true
		}
		if s.settle() {
			continue // done has done something
		}
		i := s.passTime(s.up)
		if i < 0 {
			return false
		}
		s.tickNode(i)
	}
	return s.failed != nil
}

// settleAll does all that is under way, and all that comes of it.
func (s *Simulator) settleAll() {
	for n := 0; s.failed == nil && s.settle(); n++ {
		if n == endless {
			s.fail(Liveness, 0, "after %d events at one time there are still more", n)
		}
	}
}

// endless is more than all that can be under way at one time comes to. That is
// much: where messages hold one entry and the send queue fewer of them than a
// leader has on the way, catching up takes their product.
const endless = 1 << 22

// settle does one thing that is under way, and reports whether there was one.
func (s *Simulator) settle() bool {
	switch {
	case s.net.pending != 0:
		at := bits.TrailingZeros64(s.net.pending)
		parcel := s.net.take(at, 0)
		if to := at / 8; s.up.has(to) {
			s.count(Deliver)
			s.receive(Deliver, to, &s.net.parcels[parcel].m)
		}
		s.net.release(parcel)
	case s.writing != 0:
		s.persist(s.writing.first())
	case s.applying != 0:
		s.applyNext(s.applying.first())
	case s.reading != 0:
		s.answerLogRead(s.reading)
	case s.sending != 0:
		s.deliverTransfer(s.sending.first())
	default:
		return false
	}
	return true
}

// deliverTransfer ends the sending of a snapshot well, if the receiver is up.
func (s *Simulator) deliverTransfer(i int) {
	n := &s.nodes[i]
	x := n.sends[0]
	n.sends = append(n.sends[:0], n.sends[1:]...)
	s.sending.set(i, len(n.sends) > 0)
	err := errLost
	if to := int(x.message.To) - 1; s.up.has(to) {
		s.install(to, x)
		err = nil
	}
	s.count(FinishTransfer)
	s.before(FinishTransfer, n, nil)
	n.core.SnapshotSent(s.local(n), x.message.To, x.snapshot.Index, err)
	s.after(FinishTransfer, i, nil)
}

// leader returns the leader of the newest term, -1 if there is none.
func (s *Simulator) leader() int {
	best := -1
	for i := range s.nodes {
		if s.leaders.has(i) && (best < 0 || s.nodes[i].view.Term > s.nodes[best].view.Term) {
			best = i
		}
	}
	return best
}

// proposeLast proposes one more entry, and reports whether it was taken.
func (s *Simulator) proposeLast() bool {
	i := s.leader()
	if i < 0 {
		return false
	}
	last := s.nodes[i].view.Last
	s.propose(i)
	return s.nodes[i].view.Last > last
}

// allApplied reports whether all nodes have applied the whole of one log.
func (s *Simulator) allApplied() bool {
	l := s.leader()
	if l < 0 {
		return false
	}
	for i := range s.nodes {
		n := &s.nodes[i]
		if !s.up.has(i) || !s.member(i) {
			continue
		}
		if n.applied != s.nodes[l].view.Last || n.view.Leader != s.nodes[l].id {
			return false
		}
		if n.digest != s.digests[n.applied] {
			s.fail(invariant.StateMachineSafety, n.id, "its state differs at %d", n.applied)
		}
	}
	return true
}

// quiet reports whether nothing is left under way, and nobody is marked.
func (s *Simulator) quiet() bool {
	if !s.allApplied() {
		return false
	}
	for i := range s.nodes {
		if s.up.has(i) && s.member(i) && !s.isQuiet(&s.nodes[i]) {
			return false
		}
	}
	return true
}

func (s *Simulator) isQuiet(n *node) bool {
	v := &n.view
	if !v.Unmarked || v.Held != 0 || v.InFlightWrites != 0 || v.UncommittedBytes != 0 || v.PendingReads != 0 ||
		v.WindowBytes > v.MaxWindowBytes || v.Durable != v.Last || len(n.ownReads) > 0 {
		return false
	}
	for k := range v.Peers {
		p := &v.Peers[k]
		if s.up.has(int(p.ID)-1) && v.Role == bridge.Leader && (p.Match != v.Last || p.Marked || p.InFlight != 0) {
			return false
		}
	}
	return true
}

func (s *Simulator) failQuiet() {
	for i := range s.nodes {
		if n := &s.nodes[i]; s.up.has(i) && s.member(i) && !s.isQuiet(n) {
			s.fail(Liveness, n.id, "not at rest %d election timeouts after all was applied: %+v", patience, n.view)
		}
	}
	s.fail(Liveness, 0, "not at rest %d election timeouts after all was applied", patience)
}

// readOn requires that a read on a node completes.
func (s *Simulator) readOn(i int) {
	s.read(i)
	n := &s.nodes[i]
	if !s.until(func() bool { return n.readAnswered == n.reads }) {
		s.fail(Liveness, n.id, "a read does not end within %d election timeouts", patience)
	}
}

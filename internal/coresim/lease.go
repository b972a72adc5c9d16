package coresim

import (
	"errors"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bridge"
	"github.com/seed-6281cb22/raft/internal/invariant"
	"github.com/seed-6281cb22/raft/internal/tape"
	"github.com/seed-6281cb22/raft/raftpb"
)

// epoch is the true time at the beginning of a run.
const epoch = 1_000_000_000_000_000_000

// clock is a node's raft.Clock: true time lies between its bounds.
type clock struct {
	s           *Simulator
	early, late int64
	off         bool // it is not sure of the time
	skew        int64
}

// Now implements raft.Clock.
func (c *clock) Now() (earliest, latest uint64, ok bool) {
	t := epoch + c.s.now + c.skew
	return uint64(t - c.early), uint64(t + c.late), !c.off
}

// drawLeases draws whether a run has leases. Then safety rests on clocks: the
// monotonic ones run no faster than the library allows, and jump forwards only
// if the other kind is to be caught at being wrong.
func (s *swarm) drawLeases(t *tape.Tape) {
	if s.leases = t.Chance(0.4); !s.leases {
		return
	}
	s.drift = min(s.drift, 16)
	s.lease = s.election * time.Duration(1+t.Intn(16)) / 4
	s.clockError = int64(s.lease) >> (1 + t.Intn(12))
	s.leaseFirst = t.Chance(0.7)
}

// shiftClock changes the bounds of a node's clock, or takes its certainty.
func (s *Simulator) shiftClock(i int) {
	s.count(ShiftClock)
	c := &s.nodes[i].clock
	c.early, c.late = int64(s.tape.Intn(int(s.swarm.clockError)+1)), int64(s.tape.Intn(int(s.swarm.clockError)+1))
	c.off = s.tape.Intn(8) == 7
}

// setLease asks a leader for leases of another length.
func (s *Simulator) setLease(i int) {
	s.count(SetLease)
	n := &s.nodes[i]
	length := s.swarm.lease * time.Duration([...]int{2, 1, 3, 2, 1, 3, 2, 0}[s.tape.Intn(8)]) / 2
	s.before(SetLease, n, nil)
	_, err := n.core.ChangeMembership(s.local(n), raft.SetLease(length))
	var impossible *raft.MembershipError
	if err != nil && !errors.Is(err, raft.ErrChangePending) && !errors.Is(err, raft.ErrTransferring) && !errors.As(err, &impossible) {
		s.fail(Refusal, n.id, "a leader refuses other leases: %v", err)
	}
	s.after(SetLease, i, nil)
}

// leaseRead is a lease read that has not ended: id names it for the checker.
type leaseRead struct {
	id      uint64 // 0: none
	read    raft.LeaseRead
	looked  bool // at the state machine
	applied raftpb.Index
}

// leaseReads tells the ids of lease reads from those of other reads.
const leaseReads = 1 << 63

// beginLeaseRead begins a lease read.
func (s *Simulator) beginLeaseRead(i int) {
	s.count(BeginLeaseRead)
	n := &s.nodes[i]
	s.leaseReads++
	s.before(BeginLeaseRead, n, nil)
	if read, ok := n.core.BeginLeaseRead(s.local(n)); ok {
		n.lease = leaseRead{id: leaseReads + s.leaseReads, read: read}
		s.check.ReadBegun(n.id, n.lease.id)
		s.leasing.set(i, true)
	}
	s.after(BeginLeaseRead, i, nil)
}

func (s *Simulator) dropLeaseRead(i int) {
	n := &s.nodes[i]
	s.check.ReadFailed(n.id, n.lease.id)
	n.lease = leaseRead{}
	s.leasing.set(i, false)
}

// endLeaseRead goes on with a lease read: it looks at the state machine, and
// then, at once or after something else, asks whether the lease has lasted.
func (s *Simulator) endLeaseRead(i int) {
	n := &s.nodes[i]
	l := &n.lease
	if !l.looked {
		if n.applied < l.read.Index {
			return
		}
		l.looked, l.applied = true, n.applied
		if s.tape.Chance(0.5) {
			return
		}
	}
	s.count(EndLeaseRead)
	s.before(EndLeaseRead, n, nil)
	if n.core.LeaseReadValid(s.local(n), l.read) {
		s.result.LeaseReads++
		s.check.ReadAnswered(n.id, l.id, l.applied)
	}
	s.dropLeaseRead(i)
	s.after(EndLeaseRead, i, nil)
}

// tryLease lets a node that has not looked at the clock for a while find out
// whether it still has a lease.
func (s *Simulator) tryLease(i int) {
	switch {
	case s.leasing.has(i):
		s.endLeaseRead(i)
	case s.swarm.leases && s.leaders.has(i):
		s.beginLeaseRead(i)
	}
}

// checkLeases: while anybody has a lease, no later leader commits.
func (s *Simulator) checkLeases(n *node, before raftpb.Index) {
	v := &n.view
	if !s.swarm.leases || v.Role != bridge.Leader || v.Commit == before {
		return
	}
	for others := s.leaders; others != 0; others &= others - 1 {
		o := &s.nodes[others.first()]
		if o.view.Term < v.Term && bridge.Leased(o.core) {
			s.fail(invariant.LeaseExclusive, n.id, "it commits %d in term %d while node %d has a lease of term %d",
				v.Commit, v.Term, o.id, o.view.Term)
		}
	}
}

package coresim

import (
	"math/bits"

	"github.com/seed-6281cb22/raft/raftpb"
)

// tryFault lets a fault begin or end.
func (s *Simulator) tryFault(k Kind, awake nodeSet) bool {
	all := only(len(s.nodes)) - 1
	switch k {
	case Restart:
		return s.on(all&^s.up&^s.broken, s.restart)
	case Crash:
		return s.on(s.up, s.crashNow)
	case Heal:
		return s.heal()
	case Partition:
		s.partition()
		return true
	case Wake:
		return s.on(s.paused|s.starved, s.wake)
	case Pause:
		return s.on(awake, func(i int) { s.count(Pause); s.paused.set(i, true) })
	case Starve:
		return s.on(awake&^s.starved, func(i int) { s.count(Starve); s.starved.set(i, true) })
	case Jump:
		return s.on(awake, s.jump)
	case ShiftClock:
		return s.on(all, s.shiftClock)
	case Wipe:
		return awake != 0 && s.wipe(awake.pick(s.tape))
	}
	return s.on(s.writing&awake, s.persistFails) // PersistFails
}

// restart starts a node that is down.
func (s *Simulator) restart(i int) {
	s.count(Restart)
	s.start(i)
}

// crashNow crashes a node: of its writes in flight the first few survive.
func (s *Simulator) crashNow(i int) {
	s.count(Crash)
	n := &s.nodes[i]
	spared := s.spared(n)
	s.endCore(Crash, i, spared+s.tape.Intn(n.writes.len()-spared+1))
}

// endCore ends a node's core.
func (s *Simulator) endCore(k Kind, i, survived int) {
	n := &s.nodes[i]
	s.before(k, n, nil)
	s.crash(i, survived)
	if s.cfg.Transcript {
		s.note(k, n, nil)
	}
	if s.cfg.Observer != nil {
		s.event = Event{Kind: k, Node: n.id, Now: s.local(n), Durable: n.durable}
		s.cfg.Observer.After(&s.event)
	}
}

// wake lets a node go on that was paused, or did not look at the clock: it
// reads all that has arrived meanwhile, if its connections have not been cut,
// and only then looks at the clock, at once or after something else.
func (s *Simulator) wake(i int) {
	s.count(Wake)
	s.paused.set(i, false)
	s.starved.set(i, false)
	cut := s.tape.Chance(0.5)
	for s.failed == nil {
		links := s.net.linksTo(i)
		if links == 0 {
			break
		}
		at := bits.TrailingZeros64(links)
		switch {
		case cut:
			s.net.release(s.net.take(at, 0))
		case s.swarm.batches > 1:
			s.deliverBatch(at, int(s.net.links[at].count))
		default:
			s.deliverOne(at, 0)
		}
	}
	if s.tape.Chance(0.5) {
		s.read(i)
	}
	s.tryLease(i)
	if !s.tape.Chance(0.5) {
		s.tickNode(i)
	}
}

// jump moves a node's monotonic clock, forwards or, where leases rest on its
// not being fast, only backwards.
func (s *Simulator) jump(i int) {
	s.count(Jump)
	n := &s.nodes[i]
	election := int(s.swarm.election)
	if s.tape.Chance(0.5) || s.swarm.leases {
		n.offset -= int64(s.tape.Intn(2 * election))
	} else {
		n.offset += int64(s.tape.Intn(10 * election))
	}
}

// persistFails lets a node's oldest write fail: it stops for good. A minority
// may.
func (s *Simulator) persistFails(i int) {
	if !s.mayLose(i) {
		return
	}
	s.count(PersistFails)
	n := &s.nodes[i]
	s.takeOwed(i)
	s.before(PersistFails, n, nil)
	n.core.PersistFailed(s.local(n), errLost)
	if n.core.Err() == nil {
		s.fail(Refusal, n.id, "it goes on although a write has failed")
	}
	s.after(PersistFails, i, nil)
	s.broken.set(i, true)
	s.crash(i, 0)
}

// wipe loses a node's disk, but for the list that it was founded with, or that
// too.
func (s *Simulator) wipe(i int) bool {
	if !s.mayLose(i) {
		return false
	}
	for k := range s.nodes {
		// Not covered: a volume that is lost while a founder has never held
		// an entry.
		if d := &s.nodes[k].disk; k != i && d.hard.Unmarked && d.last() == 0 {
			return false
		}
	}
	s.count(Wipe)
	n := &s.nodes[i]
	s.endCore(Wipe, i, 0)
	founding := s.members
	// Not covered, either: a list that could elect by itself in place of the
	// voters that there are now.
	if s.swarm.changes || s.tape.Chance(0.5) {
		founding = raftpb.Membership{}
	}
	n.disk.clear(founding)
	s.check.Wiped(n.id)
	s.start(i)
	return true
}

// heal ends all partitions.
func (s *Simulator) heal() bool {
	if s.blocked == [MaxNodes]nodeSet{} {
		return false
	}
	s.count(Heal)
	s.blocked = [MaxNodes]nodeSet{}
	return true
}

// partition blocks links: of one node, in one direction or both, between two
// sides, or between a pair. What is on its way on them is lost, or comes late.
func (s *Simulator) partition() {
	s.count(Partition)
	all := only(len(s.nodes)) - 1
	a := only(s.tape.Intn(len(s.nodes)))
	b := all &^ a
	switch shape := s.tape.Intn(5); shape {
	case 0: // one node, both ways
		s.block(a, b)
		s.block(b, a)
	case 1: // it can only hear
		s.block(a, b)
	case 2: // it can only speak
		s.block(b, a)
	case 3: // two sides
		a = nodeSet(s.tape.Intn(int(all) + 1))
		s.block(a, all&^a)
		s.block(all&^a, a)
	case 4: // one pair
		b = only(s.tape.Intn(len(s.nodes)))
		s.block(a, b)
		s.block(b, a)
	}
}

// block blocks the links from any of a to any of b.
func (s *Simulator) block(a, b nodeSet) {
	late := s.tape.Chance(0.5)
	for ; a != 0; a &= a - 1 {
		from := a.first()
		s.blocked[from] |= b
		for to := range s.nodes {
			at := 8*to + from
			for b.has(to) && !late && s.net.links[at].count > 0 {
				s.net.release(s.net.take(at, 0))
			}
		}
	}
}

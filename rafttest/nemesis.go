package rafttest

import (
	"errors"
	"slices"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/quorum"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

// A nemesis makes things go wrong, as the plan of a run has it, and lets an
// operator bring back what has ended.
type nemesis struct {
	e     *engine
	plan  *plan
	kinds []fault
	over  bool // nothing goes wrong any more
	count Counts

	addresses int // that members were given
}

// Counts counts things by name.
type Counts map[string]uint64

type fault struct {
	kind Faults
	name string
	do   func(s *nemesis) bool // false: it cannot, now
}

// faults are all that can go wrong, but for what the network does by itself.
var faults = []fault{
	{FaultNetwork, "link", (*nemesis).link},
	{FaultPartition, "partition", (*nemesis).partition},
	{FaultPartition, "one way", (*nemesis).oneWay},
	{FaultPartition, "flapping", (*nemesis).flapping},
	{FaultCrash, "power loss", (*nemesis).powerLoss},
	{FaultCrash, "power loss at a write", (*nemesis).powerLossAtWrite},
	{FaultCrash, "power loss of many", (*nemesis).powerLossOfMany},
	{FaultCrash, "kill", (*nemesis).kill},
	{FaultDisk, "slow disk", (*nemesis).slowDisk},
	{FaultDisk, "stalled disk", (*nemesis).stalledDisk},
	{FaultDisk, "failed write", (*nemesis).failedWrite},
	{FaultDisk, "full disk", (*nemesis).fullDisk},
	{FaultDamage, "damage", (*nemesis).damage},
	{FaultDamage, "lost disk", (*nemesis).lostDisk},
	{FaultDamage, "bit flip in memory", (*nemesis).bitFlip},
	{FaultClock, "clock jump", (*nemesis).clockJump},
	{FaultClock, "clock drift", (*nemesis).clockDrift},
	{FaultClock, "clock error", (*nemesis).clockBounds},
	{FaultPause, "pause", (*nemesis).pause},
	{FaultUpgrade, "upgrade", (*nemesis).upgrade},
	{FaultMembership, "change of membership", (*nemesis).changeMembership},
	{FaultMembership, "joining node", (*nemesis).join},
	{FaultMembership, "transfer", (*nemesis).transfer},
	{FaultMembership, "other lease", (*nemesis).otherLease},
	{FaultMembership, "close", (*nemesis).close},
	{FaultMembership, "call for a snapshot", (*nemesis).takeSnapshot},
}

// start lets things go wrong from now on, until stop.
func (s *nemesis) start() {
	s.count = Counts{}
	for _, f := range faults {
		if f.kind&s.plan.faults != 0 {
			s.kinds = append(s.kinds, f)
		}
	}
	if len(s.kinds) > 0 {
		s.again()
	}
}

func (s *nemesis) again() {
	s.e.after(s.e.drawLong(s.plan.rest), func() {
		if s.over {
			return
		}
		for _, n := range s.e.nodes {
			if n.up && !n.running() {
				s.revive(n) // it has stopped by itself
			}
		}
		f := s.kinds[s.e.tape.Intn(len(s.kinds))]
		if s.e.tape.Chance(0.8) && f.do(s) {
			s.count[f.name]++
		}
		s.again()
	})
}

// later undoes a fault after a while, unless all are undone before.
func (s *nemesis) later(undo func()) {
	s.e.after(s.e.draw(s.plan.lasting), func() {
		if !s.over {
			undo()
		}
	})
}

// victim is any node, the leader more often than others.
func (s *nemesis) victim() *node {
	if leader := s.e.leader(); leader != nil && s.e.tape.Chance(0.4) {
		return leader
	}
	return s.e.nodes[s.e.tape.Intn(len(s.e.nodes))]
}

// revive is the operator, who starts a node again after a while if it has
// ended.
func (s *nemesis) revive(n *node) {
	s.later(func() {
		if n.running() {
			return
		}
		switch {
		case n.removed():
			s.dismiss(n)
		case n.up:
			s.e.happened["replica stopped by its disk"]++
			n.kill()
		}
		if n.retired && !s.e.counts(n) {
			return
		}
		n.disk.repair()
		if s.plan.faults&FaultCrash != 0 && s.e.tape.Chance(0.3) {
			n.disk.crashIn = 1 + uint64(s.e.tape.Intn(40)) // in the middle of its recovery
		}
		if err := s.e.restart(n); err == nil {
			return
		} else if isCorrupt(err) && s.e.tape.Chance(0.5) {
			s.replace(n)
		}
		s.revive(n)
	})
}

// restart starts a node, which must start if nothing is wrong with its disk.
func (e *engine) restart(n *node) error {
	err := n.start()
	if err != nil && !n.disk.faulted && !e.checks.of(n).damaged && err != errCrashed {
		e.fail("storage", "node %d does not start: %v", n.id, err)
	}
	return err
}

// replace gives a node a new, empty disk.
func (s *nemesis) replace(n *node) {
	n.wipe()
	// Not covered: founders' lists that could elect by themselves in place of
	// the voters that there are now.
	n.founder = s.plan.faults&FaultMembership == 0 && s.e.tape.Chance(0.3)
}

func (s *nemesis) pause() bool {
	n := s.victim()
	n.pause()
	s.later(n.resume)
	return true
}

// upgrade restarts a node with the other version of the wire format.
func (s *nemesis) upgrade() bool {
	n := s.victim()
	if n.up {
		n.kill()
	}
	n.upgraded = !n.upgraded
	s.revive(n)
	return true
}

// stop undoes everything, and brings back every node.
func (s *nemesis) stop() {
	s.over = true
	s.e.heal()
	s.e.cfg.network = calm(len(s.e.nodes)).network
	s.e.setNetwork(s.e.cfg.network)
	for _, n := range s.e.nodes {
		n.resume()
		n.disk.repair()
		n.pace = calm(1).pace
		n.setClock(func(c *clock) { c.set(s.e.now, 0) })
		n.trueTime.off = false
	}
	s.tend()
}

// majority draws a majority of voters whose storage is sound; none if so many are
// not, or if it is not known who the voters will be.
func (s *nemesis) majority() []*node {
	sound, voters := s.e.sound()
	size := quorum.Size(voters)
	if len(sound) < size {
		return nil
	}
	for len(sound) > size {
		i := s.e.tape.Intn(len(sound))
		sound = slices.Delete(sound, i, i+1)
	}
	return sound
}

// desert takes all nodes but a majority away from it for good, each in some way,
// and returns what brings them back.
func (s *nemesis) desert(majority []*node) (back func()) {
	s.e.happened["majority left alone"]++
	var undo []func()
	for _, n := range s.e.nodes {
		if slices.Contains(majority, n) {
			continue
		}
		switch s.e.tape.Intn(3) {
		case 0:
			var links [][2]*node
			for _, m := range s.e.nodes {
				links = append(links, [2]*node{n, m}, [2]*node{m, n})
			}
			for _, l := range links {
				s.e.block(l[0], l[1])
			}
			undo = append(undo, func() { s.mend(links) })
		case 1:
			n.crash(vfs.Nothing)
			n.gone = true
			undo = append(undo, func() { n.gone = false })
		default:
			n.pause()
			undo = append(undo, n.resume)
		}
	}
	return func() {
		for _, u := range undo {
			u()
		}
	}
}

// tend starts what does not run, again and again: a node may yet find that its
// disk was damaged.
func (s *nemesis) tend() {
	for _, n := range s.e.nodes {
		if n.running() || n.gone || s.e.closing {
			continue
		}
		if n.removed() {
			s.dismiss(n)
		}
		if n.retired && !s.e.counts(n) {
			continue
		}
		cause := n.err()
		if n.up {
			n.kill()
		}
		if isCorrupt(cause) {
			n.wipe()
		}
		err := s.e.restart(n)
		if isCorrupt(err) {
			n.wipe()
			err = s.e.restart(n)
		}
		if err != nil {
			s.e.fail("storage", "node %d does not start any more: %v", n.id, err)
		}
	}
	s.e.after(s.e.cfg.electionTimeout(), s.tend)
}

func isCorrupt(err error) bool {
	var corrupt *raft.CorruptError
	return errors.As(err, &corrupt)
}

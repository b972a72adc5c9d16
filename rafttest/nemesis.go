package rafttest

import (
	"errors"
	"strings"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

// A nemesis makes things go wrong, as the plan of a run has it, and lets an
// operator bring back what has ended.
type nemesis struct {
	e     *engine
	plan  *plan
	kinds []fault
	over  bool // nothing goes wrong any more
	count FaultCounts
}

// FaultCounts counts the faults of a run by name.
type FaultCounts map[string]uint64

type fault struct {
	kind Faults
	name string
	do   func(s *nemesis)
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
	{FaultClock, "clock jump", (*nemesis).clockJump},
	{FaultClock, "clock drift", (*nemesis).clockDrift},
	{FaultPause, "pause", (*nemesis).pause},
	{FaultUpgrade, "upgrade", (*nemesis).upgrade},
}

// start lets things go wrong from now on, until stop.
func (s *nemesis) start() {
	s.count = FaultCounts{}
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
	s.e.after(s.e.draw(s.plan.rest), func() {
		if s.over {
			return
		}
		for _, n := range s.e.nodes {
			if n.up && !n.running() {
				s.revive(n) // it has stopped by itself
			}
		}
		f := s.kinds[s.e.tape.Intn(len(s.kinds))]
		if s.e.tape.Chance(0.8) {
			s.count[f.name]++
			f.do(s)
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

func (s *nemesis) link() {
	from, to := s.victim(), s.victim()
	f := drawNetwork(s.e.tape, s.e.cfg.electionTimeout())
	s.e.transcript.note(from, "its link to node %d gets %+v", to.id, f)
	s.e.network.SetLinkFaults(from.id, to.id, f)
	s.later(func() { s.e.network.SetLinkFaults(from.id, to.id, s.e.cfg.network) })
}

// cut cuts links, and heals them after a while.
func (s *nemesis) cut(links [][2]*node) {
	for _, l := range links {
		s.e.transcript.note(l[0], "does not reach node %d", l[1].id)
		s.e.block(l[0], l[1])
	}
	s.later(func() { s.mend(links) })
}

func (s *nemesis) mend(links [][2]*node) {
	for _, l := range links {
		s.e.transcript.note(l[0], "reaches node %d again", l[1].id)
		s.e.unblock(l[0], l[1])
	}
}

// sides returns the links between two sides: one node and the others, or any
// two parts.
func (s *nemesis) sides() (links [][2]*node) {
	victim, any := s.victim(), s.e.tape.Chance(0.5)
	var side []bool
	for _, n := range s.e.nodes {
		side = append(side, n == victim || any && s.e.tape.Chance(0.5))
	}
	for i, a := range s.e.nodes {
		for j, b := range s.e.nodes {
			if side[i] && !side[j] {
				links = append(links, [2]*node{a, b}, [2]*node{b, a})
			}
		}
	}
	return links
}

func (s *nemesis) partition() {
	links := s.sides()
	if s.e.tape.Chance(0.3) { // two nodes only: both reach all others
		links = s.between()
	}
	s.cut(links)
}

func (s *nemesis) between() [][2]*node {
	a, b := s.victim(), s.victim()
	return [][2]*node{{a, b}, {b, a}}
}

// oneWay cuts one direction only: a node is not heard, or does not hear.
func (s *nemesis) oneWay() {
	links, first := s.sides(), s.e.tape.Intn(2)
	if s.e.tape.Chance(0.5) {
		links = s.between()
	}
	var half [][2]*node
	for i := first; i < len(links); i += 2 {
		half = append(half, links[i])
	}
	s.cut(half)
}

// flapping cuts and mends links several times.
func (s *nemesis) flapping() {
	links, times := s.sides(), 2+s.e.tape.Intn(8)
	var flap func(int)
	flap = func(left int) {
		for _, l := range links {
			if left%2 == 0 {
				s.e.block(l[0], l[1])
			} else {
				s.e.unblock(l[0], l[1])
			}
		}
		if left > 1 {
			s.e.after(s.e.draw(span{max: s.e.cfg.electionTimeout()}), func() {
				if !s.over {
					flap(left - 1)
				}
			})
		}
	}
	flap(2 * times)
}

func (s *nemesis) powerLoss() {
	n := s.victim()
	n.crash(n.disk.drawSurvival())
	s.revive(n)
}

// powerLossAtWrite lets the power go in the middle of something, which may be
// the recovery that follows, and again then.
func (s *nemesis) powerLossAtWrite() {
	n := s.victim()
	if !n.up {
		return
	}
	n.disk.crashIn = 1 + uint64(s.e.tape.Intn(30))
	s.revive(n)
}

func (s *nemesis) powerLossOfMany() {
	all := s.e.tape.Chance(0.5)
	for _, n := range s.e.nodes {
		if all || s.e.tape.Chance(0.6) {
			n.crash(n.disk.drawSurvival())
			s.revive(n)
		}
	}
}

func (s *nemesis) kill() {
	n := s.victim()
	if n.up {
		n.kill()
	}
	s.revive(n)
}

// revive is the operator, who starts a node again after a while if it has
// ended.
func (s *nemesis) revive(n *node) {
	s.later(func() {
		if n.running() {
			return
		}
		if n.up {
			n.kill()
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
	n.founder = s.e.tape.Chance(0.3)
}

func (s *nemesis) slowDisk() {
	n := s.victim()
	before := n.pace
	n.pace.disk.max = s.e.cfg.electionTimeout() / time.Duration(1+s.e.tape.Intn(10))
	s.later(func() { n.pace = before })
}

func (s *nemesis) stalledDisk() {
	n := s.victim()
	n.disk.stall(true)
	s.later(func() { n.disk.stall(false) })
}

func (s *nemesis) failedWrite() {
	n := s.victim()
	n.disk.failIn, n.disk.short = 1+uint64(s.e.tape.Intn(20)), s.e.tape.Chance(0.5)
	s.later(func() { n.disk.failIn = 0 })
}

func (s *nemesis) fullDisk() {
	n := s.victim()
	n.disk.limit(1 + int64(s.e.tape.Intn(1<<16)))
	s.later(func() { n.disk.limit(0) })
}

// mayLose reports whether a node may lose its disk, or a part: no other
// member is without a vote or entries of its own, as a new one is, and so many
// are left whose storage is sound that they are a majority.
func (s *nemesis) mayLose(n *node) bool {
	weak := 1
	for _, o := range s.e.nodes {
		if o == n {
			continue
		}
		k := s.e.checks.of(o)
		if !k.held {
			return false
		}
		if k.marked || k.damaged {
			weak++
		}
	}
	return 2*weak < len(s.e.nodes)
}

// damage changes a sector of what a killed node has stored: a bit flips, or a
// write meant for another place lands there. The write-ahead log promises to
// notice once it has stated that its last batch is durable.
func (s *nemesis) damage() {
	n := s.victim()
	if !s.mayLose(n) || n.disk.unstated || s.e.checks.of(n).damaged {
		return
	}
	if n.up {
		n.kill()
	}
	s.e.checks.of(n).damaged = true
	n.disk.damage()
	s.revive(n)
}

// damage changes a sector.
func (d *disk) damage() {
	t := d.n.e.tape
	var files []string
	for _, name := range d.fs.Names() {
		if strings.HasSuffix(name, ".wal") || strings.HasSuffix(name, ".snapshot") {
			files = append(files, name)
		}
	}
	if len(files) == 0 {
		return
	}
	name, misdirected := files[t.Intn(len(files))], t.Chance(0.4)
	at, from, bit := t.Uint64(), t.Uint64(), t.Intn(8)
	d.fs.Corrupt(name, func(data []byte) {
		end := len(data)
		for end > 0 && data[end-1] == 0 {
			end--
		}
		if end == 0 {
			return
		}
		offset := at % uint64(end)
		d.n.e.transcript.note(d.n, "its disk is damaged: %s at %d, misdirected %v", name, offset, misdirected)
		if !misdirected {
			data[offset] ^= 1 << bit
			return
		}
		sector, other := offset/vfs.Sector*vfs.Sector, from%uint64(end)/vfs.Sector*vfs.Sector
		copy(data[sector:min(sector+vfs.Sector, uint64(len(data)))], data[other:])
	})
}

func (s *nemesis) lostDisk() {
	n := s.victim()
	if !s.mayLose(n) {
		return
	}
	s.replace(n)
	s.revive(n)
}

func (s *nemesis) clockJump() {
	n, by := s.victim(), s.e.draw(span{max: 4 * s.e.cfg.electionTimeout()})
	s.e.transcript.note(n, "its clock jumps by %v", by)
	n.setClock(func(c *clock) { c.jump(by) })
}

func (s *nemesis) clockDrift() {
	n, drift := s.victim(), int64(s.e.tape.Intn(400_000))-200_000
	s.e.transcript.note(n, "its clock drifts by %d ppm", drift)
	n.setClock(func(c *clock) { c.set(s.e.now, drift) })
}

func (s *nemesis) pause() {
	n := s.victim()
	n.pause()
	s.later(n.resume)
}

// upgrade restarts a node with the other version of the wire format.
func (s *nemesis) upgrade() {
	n := s.victim()
	if n.up {
		n.kill()
	}
	n.upgraded = !n.upgraded
	s.revive(n)
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
	}
	s.tend()
}

// tend starts what does not run, again and again: a node may yet find that its
// disk was damaged.
func (s *nemesis) tend() {
	for _, n := range s.e.nodes {
		if n.running() || s.e.closing {
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

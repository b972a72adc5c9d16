package rafttest

import (
	"strings"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/memberchange"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

// What the nemesis does to processes and their disks.

func (s *nemesis) powerLoss() bool {
	n := s.victim()
	n.crash(n.disk.drawSurvival())
	s.revive(n)
	return true
}

// powerLossAtWrite lets the power go in the middle of something, which may be
// the recovery that follows, and again then.
func (s *nemesis) powerLossAtWrite() bool {
	n := s.victim()
	if !n.up {
		return false
	}
	n.disk.crashIn = 1 + uint64(s.e.tape.Intn(30))
	s.revive(n)
	return true
}

func (s *nemesis) powerLossOfMany() bool {
	all := s.e.tape.Chance(0.5)
	for _, n := range s.e.nodes {
		if all || s.e.tape.Chance(0.6) {
			n.crash(n.disk.drawSurvival())
			s.revive(n)
		}
	}
	return true
}

func (s *nemesis) kill() bool {
	n := s.victim()
	if n.up {
		n.kill()
	}
	s.revive(n)
	return true
}

func (s *nemesis) slowDisk() bool {
	n := s.victim()
	before := n.pace
	n.pace.disk.max = s.e.cfg.electionTimeout() / time.Duration(1+s.e.tape.Intn(10))
	s.later(func() { n.pace = before })
	return true
}

func (s *nemesis) stalledDisk() bool {
	n := s.victim()
	n.disk.stall(true)
	s.later(func() { n.disk.stall(false) })
	return true
}

func (s *nemesis) failedWrite() bool {
	n := s.victim()
	n.disk.failIn, n.disk.short = 1+uint64(s.e.tape.Intn(20)), s.e.tape.Chance(0.5)
	s.later(func() { n.disk.failIn = 0 })
	return true
}

func (s *nemesis) fullDisk() bool {
	n := s.victim()
	n.disk.limit(1 + int64(s.e.tape.Intn(1<<16)))
	s.later(func() { n.disk.limit(0) })
	return true
}

// mayLose reports whether a node may lose its disk, or a part: no other founder
// is without a vote or entries of its own, as a new one is, and whichever
// membership comes to be in force, majorities are left whose storage is sound.
func (s *nemesis) mayLose(n *node) bool {
	for _, o := range s.e.nodes[:s.e.cfg.nodes] {
		if o != n && !s.e.checks.of(o).held {
			return false
		}
	}
	for m := range s.e.checks.rules.InForce {
		if !s.e.viable(m, n) {
			return false
		}
	}
	for _, c := range s.e.calls.open {
		if c.change.leads != nil && !s.e.viable(c.change.leads, n) {
			return false
		}
	}
	return true
}

// viable reports whether majorities of a membership, and of what it is to become,
// have storage that is sound, even without one node's.
func (e *engine) viable(m *raft.Membership, lost *node) bool {
	return memberchange.Viable(m, func(member *raft.Member) bool {
		n := e.node(member.ID)
		k := e.checks.of(n)
		// Nobody begins to vote with marked storage.
		return n != lost && !k.damaged && (!k.marked || !member.Voter && !member.Outgoing)
	})
}

// damage changes a sector of what a killed node has stored: a bit flips, or a
// write meant for another place lands there. The write-ahead log promises to
// notice once it has stated that its last batch is durable.
func (s *nemesis) damage() bool {
	n := s.victim()
	if !s.mayLose(n) || n.disk.unstated || s.e.checks.of(n).damaged {
		return false
	}
	if n.up {
		n.kill()
	}
	s.e.checks.of(n).damaged = true
	n.disk.damage()
	s.revive(n)
	return true
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
	near := 8192 << t.Intn(5) // what is live is near the beginning, mostly
	d.fs.Corrupt(name, func(data []byte) {
		end := len(data)
		for end > 0 && data[end-1] == 0 {
			end--
		}
		end = min(end, near)
		if end == 0 {
			return
		}
		offset := at % uint64(end)
		for data[offset] == 0 && offset+1 < uint64(end) { // most of a block is padding
			offset++
		}
		d.n.e.transcript.note(d.n, "its disk is damaged: %s at %d, misdirected %v", name, offset, misdirected)
		if !misdirected {
			data[offset] ^= 1 << bit
			return
		}
		sector, other := offset/vfs.Sector*vfs.Sector, from%uint64(end)/vfs.Sector*vfs.Sector
		copy(data[sector:min(sector+vfs.Sector, uint64(len(data)))], data[other:])
	})
}

func (s *nemesis) lostDisk() bool {
	n := s.victim()
	if !s.mayLose(n) {
		return false
	}
	s.replace(n)
	s.revive(n)
	return true
}

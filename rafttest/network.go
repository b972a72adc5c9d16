package rafttest

import (
	"time"

	"github.com/seed-6281cb22/raft/internal/tape"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

// networkRandom is the tape for the network, which takes a small number for a
// fault: a mild decision must be a large one.
type networkRandom struct{ tape *tape.Tape }

func (r networkRandom) Uint64() uint64 { return ^r.tape.Uint64() }

// setNetwork changes the faults of the network. Nothing takes no time: there
// would be no end to what happens at an instant.
func (e *engine) setNetwork(f inmem.Faults) {
	f.MinDelay = max(f.MinDelay, time.Microsecond)
	e.network.SetFaults(f)
}

// block cuts one direction between two nodes.
func (e *engine) block(from, to *node) {
	e.blocked[e.link(from, to)] = true
	e.network.Block(from.id, to.id)
}

// unblock undoes block.
func (e *engine) unblock(from, to *node) {
	e.blocked[e.link(from, to)] = false
	e.network.Heal(from.id, to.id)
}

// heal undoes every block.
func (e *engine) heal() {
	clear(e.blocked)
	e.network.HealAll()
}

// reach reports whether no partition is in the way.
func (e *engine) reach(from, to *node) bool { return !e.blocked[e.link(from, to)] }

func (e *engine) link(from, to *node) int { return int(from.id-1)*len(e.nodes) + int(to.id-1) }

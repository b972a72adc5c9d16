package rafttest

import (
	"time"

	"github.com/seed-6281cb22/raft"
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

// link leads from one node to another.
type link struct{ from, to raft.NodeID }

// block cuts one direction between two nodes.
func (e *engine) block(from, to *node) {
	e.blocked[link{from.id, to.id}] = true
	e.network.Block(from.id, to.id)
}

// unblock undoes block.
func (e *engine) unblock(from, to *node) {
	delete(e.blocked, link{from.id, to.id})
	e.network.Heal(from.id, to.id)
}

// heal undoes every block.
func (e *engine) heal() {
	clear(e.blocked)
	e.network.HealAll()
}

// reach reports whether no partition is in the way.
func (e *engine) reach(from, to *node) bool { return !e.blocked[link{from.id, to.id}] }

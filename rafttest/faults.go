package rafttest

import (
	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

// Partition cuts nodes off from all others, both ways. They still reach each
// other. What is on the way is lost.
func (c *Cluster[M, R]) Partition(ids ...raft.NodeID) {
	c.t.Helper()
	side := make([]bool, len(c.e.nodes))
	for _, id := range ids {
		side[c.node(id).id-1] = true
	}
	for _, a := range c.e.nodes {
		for _, b := range c.e.nodes {
			if side[a.id-1] != side[b.id-1] {
				c.e.block(a, b)
			}
		}
	}
}

// Block cuts one direction between two nodes.
func (c *Cluster[M, R]) Block(from, to raft.NodeID) {
	c.t.Helper()
	c.e.block(c.node(from), c.node(to))
}

// Heal undoes every Partition and Block.
func (c *Cluster[M, R]) Heal() { c.e.heal() }

// SetNetwork changes how messages fare that are sent from now on: by default
// they take a millisecond, and arrive once and in order.
func (c *Cluster[M, R]) SetNetwork(faults inmem.Faults) { c.e.setNetwork(faults) }

// Crash is a power loss: the node ends, and its disk forgets what was not
// synced.
func (c *Cluster[M, R]) Crash(id raft.NodeID) {
	c.t.Helper()
	c.running(id).crash(vfs.Nothing)
	c.verify()
}

// Kill ends a node's process, as SIGKILL does: what it has written stays.
func (c *Cluster[M, R]) Kill(id raft.NodeID) {
	c.t.Helper()
	c.running(id).kill()
	c.verify()
}

// Restart starts a node that is down. One whose disk was wiped is started as a
// member that has lost its storage.
func (c *Cluster[M, R]) Restart(id raft.NodeID) {
	c.t.Helper()
	n := c.node(id)
	if n.up && n.replica.Err() != nil {
		n.kill() // it has stopped by itself
	}
	if err := n.start(); err != nil {
		c.fatalf("node %d does not start: %v", id, err)
	}
	c.verify()
}

// Wipe is the loss of a node's disk, and with it of the node.
func (c *Cluster[M, R]) Wipe(id raft.NodeID) {
	c.t.Helper()
	c.node(id).wipe()
	c.verify()
}

// Pause stops a node as SIGSTOP does: nothing of it runs, and what arrives
// waits. Resume lets it go on.
func (c *Cluster[M, R]) Pause(id raft.NodeID) {
	c.t.Helper()
	c.running(id).pause()
}

// Resume lets a node go on after Pause.
func (c *Cluster[M, R]) Resume(id raft.NodeID) {
	c.t.Helper()
	c.running(id).resume()
}

// StallDisk lets a node's disk hang: writes do not end until RepairDisk.
func (c *Cluster[M, R]) StallDisk(id raft.NodeID) {
	c.t.Helper()
	c.node(id).disk.stall(true)
}

// FailDisk lets every write to a node's disk fail until RepairDisk. The node
// stops at the first one.
func (c *Cluster[M, R]) FailDisk(id raft.NodeID) {
	c.t.Helper()
	c.node(id).disk.failing = true
}

// RepairDisk undoes StallDisk and FailDisk. A node that has stopped must be
// restarted.
func (c *Cluster[M, R]) RepairDisk(id raft.NodeID) {
	c.t.Helper()
	c.node(id).disk.repair()
}

package rafttest

import "github.com/seed-6281cb22/raft"

// checks is what is checked of every node after every event that touched it,
// and of what passes between a replica, its storage and its transport.
type checks struct {
	e *engine
}

func (c *checks) init(e *engine) {
	c.e = e
	e.calls.init(e)
}

func (c *checks) after(n *node)                            {}
func (c *checks) ended(n *node)                            {}
func (c *checks) wiped(n *node)                            {}
func (c *checks) loaded(n *node, state *raft.State)        {}
func (c *checks) saving(n *node, w *raft.Write) int        { return 0 }
func (c *checks) saved(n *node, which int)                 {}
func (c *checks) sending(n *node, messages []raft.Message) {}

package rafttest

import (
	"errors"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bridge"
	"github.com/seed-6281cb22/raft/internal/invariant"
	"github.com/seed-6281cb22/raft/raftpb"
)

// checks is what is checked of every node after every event that touched it,
// and of what passes between a replica, its storage and its transport.
type checks struct {
	e     *engine
	rules invariant.Checker
	step  invariant.Step
	view  bridge.View
	nodes []checked
}

// checked is what is known of one node.
type checked struct {
	started  bool      // the rules know this life of it
	held     bool      // it has held an entry durably, ever
	marked   bool      // its storage is, durably
	damaged  bool      // something was done to what it has acknowledged
	snapshot bool      // it has stored one in this life
	led      raft.Term // the last one
}

func (c *checks) init(e *engine) {
	c.e = e
	for range e.nodes {
		c.joined()
	}
	e.calls.init(e)
}

// joined makes room for one more node.
func (c *checks) joined() { c.nodes = append(c.nodes, checked{marked: true}) }

func (c *checks) of(n *node) *checked { return &c.nodes[n.id-1] }

// after checks a node after an event.
func (c *checks) after(n *node) {
	c.stepped(n, invariant.Write{}, nil)
	if !n.alive() || n.replica == nil || n.disk.faulted || c.of(n).damaged || c.e.closing {
		return
	}
	if err := n.replica.Err(); err != nil && !errors.Is(err, raft.ErrRemoved) && !n.closing {
		c.e.fail("storage", "node %d has ended: %v", n.id, err)
	}
}

// stepped tells the rules of a step of a node: of its state, and of what it has
// handed out.
func (c *checks) stepped(n *node, w invariant.Write, messages []raft.Message) {
	k := c.of(n)
	if !n.alive() || n.replica == nil || !k.started || c.e.failure != nil {
		return
	}
	bridge.Inspect(n.replica.Core(), &c.view)
	c.step.View, c.step.Write, c.step.Messages = &c.view, w, messages
	c.rules.Stepped(&c.step)
	v := &c.view
	if v.HardStateDurable {
		if k.marked && v.Unmarked && k.held {
			c.e.happened["mark ended"]++
		}
		k.marked = !v.Unmarked
	}
	if v.Role == bridge.Leader && v.Term != k.led {
		k.led = v.Term
		c.e.happened["election"]++
	}
	k.held = k.held || v.Durable > 0
	c.report()
}

// report takes over what the rules have found.
func (c *checks) report() {
	if v, ok := c.rules.Err().(*invariant.Violation); ok && c.e.failure == nil {
		c.e.fail(v.Checker, "node %d: %s", v.Node, v.Detail)
	}
}

// loaded checks what a node's storage has come back with.
func (c *checks) loaded(n *node, s *raft.State) {
	state := invariant.State{
		HardState: s.HardState, SnapshotIndex: s.Snapshot.Index, SnapshotTerm: s.Snapshot.Term,
		First: s.First, Last: s.Last,
	}
	for _, run := range s.Runs {
		state.Runs = append(state.Runs, invariant.Run{First: run.First, Term: run.Term})
	}
	c.rules.Started(n.id, &state)
	c.of(n).started, c.of(n).snapshot = true, false
	c.report()
}

// saving notes a write of the core's. The one that founds a node is not.
func (c *checks) saving(n *node, w *raft.Write) {
	if w.Identity == (raft.Identity{}) {
		c.stepped(n, invariant.Write{Seq: w.Seq, HardState: w.HardState, Snapshot: w.Snapshot, Entries: w.Entries}, nil)
	}
}

// saved says that a node has been told that a write is durable.
func (c *checks) saved(n *node, seq uint64) {
	if n.replica != nil {
		c.rules.WriteDurable(n.id, seq)
		c.report()
	}
}

// sending notes messages of the core's. Those that forward proposals are the
// replica's, and no part of the protocol that the rules are about.
func (c *checks) sending(n *node, messages []raft.Message) {
	if t := messages[0].Type; t != raftpb.Propose && t != raftpb.ProposeReply {
		c.stepped(n, invariant.Write{}, messages)
	}
}

// snapshotCommitted says that a node's storage has a new snapshot.
func (c *checks) snapshotCommitted(n *node, s *raft.Snapshot) {
	c.of(n).snapshot = true
	c.rules.SnapshotCommitted(n.id, s.Index, s.Term)
	c.report()
}

// ended says that a node's process has.
func (c *checks) ended(n *node) {
	if k := c.of(n); k.started {
		k.started = false
		c.rules.Crashed(n.id)
	}
}

// wiped says that a node has lost its disk.
func (c *checks) wiped(n *node) {
	k := c.of(n)
	k.marked, k.damaged = true, false
	c.rules.Wiped(n.id)
}

// applied checks a command that a node's state machine has applied.
func (c *checks) applied(n *node, e *raft.Entry) {
	c.rules.Applied(n.id, e)
	c.report()
}

package invariant

import "github.com/seed-6281cb22/raft/raftpb"

// Applied checks an entry that a node's state machine applies: it is committed,
// durable there and comes in order. It is for a host that does not see all that
// Step.Committed holds, since what is not for the state machine is left out.
func (c *Checker) Applied(id raftpb.NodeID, e *raftpb.Entry) {
	n := c.node(id)
	if e.Index <= n.applied {
		c.fail(StateMachineSafety, n, "it applies %d after %d", e.Index, n.applied)
	}
	n.applied = e.Index
	if t, known := c.committed.term(e.Index); e.Index > c.committed.last || known && t != e.Term {
		c.fail(StateMachineSafety, n, "it applies %d of term %d, where term %d is committed, up to %d", e.Index, e.Term, t, c.committed.last)
	}
	if !n.holds(e.Index, e.Term) {
		c.fail(StateMachineSafety, n, "it applies %d of term %d, which is not durable: that is %d", e.Index, e.Term, n.disk.last)
	}
}

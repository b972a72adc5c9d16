package rafttest

import "github.com/seed-6281cb22/raft"

// Join starts one more node, with empty storage, and returns its id, which is the
// next one. It takes part once it is added by ChangeMembership.
func (c *Cluster[M, R]) Join() raft.NodeID {
	c.t.Helper()
	n := c.e.join()
	if err := n.start(); err != nil {
		c.fatalf("node %d does not start: %v", n.id, err)
	}
	c.verify()
	return n.id
}

// ChangeMembership asks the leader, for which it waits, to change the membership
// by all of changes at once, and waits until that is done. It must succeed. Any
// address will do; the founders' are "node 1" and so on.
func (c *Cluster[M, R]) ChangeMembership(changes ...raft.Change) {
	c.t.Helper()
	if _, err := c.StartChange(c.Leader(), changes...).Wait(); err != nil {
		c.fatalf("ChangeMembership: %v", err)
	}
}

// StartChange asks a node to change the membership and does not wait. The call
// ends with what raft.Node's ChangeMembership would return.
func (c *Cluster[M, R]) StartChange(id raft.NodeID, changes ...raft.Change) *Call[M, R] {
	c.t.Helper()
	return &Call[M, R]{c, c.e.changeMembership(c.node(id), change{asked: changes}, nil)}
}

// TransferLeadership asks the leader, for which it waits, to transfer leadership
// to another node, and waits until that leads. It must succeed. See Elect for
// one that need not.
func (c *Cluster[M, R]) TransferLeadership(to raft.NodeID) {
	c.t.Helper()
	if _, err := c.StartTransfer(c.Leader(), to).Wait(); err != nil {
		c.fatalf("TransferLeadership to node %d: %v", to, err)
	}
}

// StartTransfer asks a node to transfer leadership to another one, or, with 0, to
// anyone, and does not wait. The call ends with what raft.Node's
// TransferLeadership would return.
func (c *Cluster[M, R]) StartTransfer(id, to raft.NodeID) *Call[M, R] {
	c.t.Helper()
	return &Call[M, R]{c, c.e.transfer(c.node(id), to, nil)}
}

// Close ends a node as a service does that is stopped: it hands leadership over
// if it leads, and everything that it has begun comes to an end. Restart starts
// it again.
func (c *Cluster[M, R]) Close(id raft.NodeID) {
	c.t.Helper()
	n, closed := c.running(id), false
	n.close(func() { closed = true })
	c.await(patience, "Close", func() bool { return closed })
}

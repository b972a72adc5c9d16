package rafttest

// takeSnapshot asks a node for a snapshot.
func (e *engine) takeSnapshot(n *node) *call {
	return e.begin(&call{n: n, kind: callSnapshot})
}

// handSnapshot gives the call to the node.
func (c *call) handSnapshot(ended func(any, error)) (err error) {
	c.applied = c.n.status().Applied
	c.inner, err = c.n.replica.TakeSnapshot(ended)
	return err
}

// snapshotEnded: a snapshot that was taken holds what had been applied. Of a
// state machine or a storage that fails, or has nothing, there is none.
func (c *calls) snapshotEnded(open *call) {
	if open.err != nil {
		c.e.happened["asked for a snapshot, in vain"]++
		return
	}
	c.e.happened["snapshot asked for"]++
	// Not as the core has it: a received snapshot that it had no need of is one
	// of the storage's, too.
	newest, data, err := open.n.log.Storage(group).OpenSnapshot()
	if err != nil {
		c.e.fail("calls", "%s has succeeded at %d, and no snapshot can be read: %v", open, open.applied, err)
		return
	}
	data.Close()
	if newest.Index < open.applied {
		c.e.fail("calls", "%s has succeeded at %d, and the newest snapshot is at %d", open, open.applied, newest.Index)
	}
}

// takeSnapshot is an operator who wants to have one.
func (s *nemesis) takeSnapshot() bool {
	n := s.victim()
	if !n.running() || n.paused {
		return false
	}
	s.hurry(s.e.takeSnapshot(n))
	return true
}

package rafttest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
)

// newLeased is three nodes with leases of which 1 has one, for longer than an
// election takes, and does not look at its timers: it goes on believing that it
// leads.
func newLeased(t TB) (c *Cluster[*Journal, int], lease time.Duration) {
	c = New(t, 3)
	lease = 8 * c.electionTimeout()
	c.Elect(1)
	c.ChangeMembership(raft.SetLease(lease))
	c.Propose("before")
	c.node(1).held = true
	c.Partition(1)
	return c, lease
}

func (c *Cluster[M, R]) leaseRead(id raft.NodeID) *Call[M, R] {
	return &Call[M, R]{c, c.e.leaseRead(c.node(id), func() any { return nil }, nil)}
}

// While a lease lasts its leader reads by itself, and the others commit nothing.
func TestLeaseReadsAreSimulated(t *testing.T) {
	c, lease := newLeased(t)
	c.RunUntil(func() bool {
		l := c.e.node(2).status().Role == raft.Leader || c.e.node(3).status().Role == raft.Leader
		return l
	})
	_, err := c.leaseRead(1).Wait()
	require.NoError(t, err)
	require.EqualValues(t, 1, c.e.calls.stats.LeaseReads)
	c.Propose("after")
	require.Greater(t, c.Now(), lease, "the proposal has waited for the end of the lease")
	read := c.leaseRead(1)
	c.Run(lease)
	require.False(t, read.Done(), "there is no lease any more, and no majority")
	c.node(1).held = false
	c.Heal()
	_, err = read.Wait()
	require.NoError(t, err)
	c.RequireConsistent()
}

// A successor whose clock is wrong does not wait for the end of the lease, and
// what is read under that is found to miss what was acknowledged.
func TestAWrongClockIsFound(t *testing.T) {
	message := failureOf(func(t TB) {
		c, lease := newLeased(t)
		for _, n := range c.e.nodes[1:] {
			n.trueTime.wrong = lease
		}
		c.Propose("after")
		_, _ = c.leaseRead(1).Wait()
	})
	require.Contains(t, message, "linearizability: a lease read on node 1")
}

// A stale read sees all that is older than its age, on every clock that drifts as
// it may.
func TestStaleReadsAreJudgedByTheirAge(t *testing.T) {
	c := New(t, 3)
	c.Elect(1)
	c.Propose("a")
	e := c.e
	stale := func(count uint64, began raft.Instant) {
		n := e.node(1)
		e.calls.readEnded(&call{n: n, kind: callStaleRead, maxAge: time.Second, count: count, began: began})
	}
	at := e.now
	stale(0, at.Add(time.Second))
	stale(0, at.Add(1250*time.Millisecond))
	require.NoError(t, e.failure)
	stale(1, at.Add(time.Hour))
	require.NoError(t, e.failure)
	stale(0, at.Add(1252*time.Millisecond))
	require.ErrorContains(t, e.failure, "linearizability: a stale read of at most 1s on node 1")
}

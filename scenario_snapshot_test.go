package raft

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Scenario L15: what the leader compacts while a follower is being sent a
// snapshot must not be what that follower needs next.

// proposeOn proposes n commands on s, one after another, and lets everything
// happen but the end of a reception.
func (c *simCluster) proposeOn(s *simReplica, n int) {
	for range n {
		s.propose(fmt.Sprint("c", len(c.calls)))
		for c.settleOnlyNet() {
		}
	}
}

// farBehind is a cluster whose leader has compacted what a follower, that was
// cut off, needs, and has begun to send it a snapshot.
func farBehind(t *testing.T, cfg func(*Config)) (c *simCluster, leader, follower *simReplica) {
	c = newSimCluster(t, 3, func(c *Config) {
		c.SnapshotEntries, c.TrailingEntries = 10, -1
		if cfg != nil {
			cfg(c)
		}
	})
	leader, follower = c.elect(), c.follower()
	c.isolate(follower.id)
	c.proposeOn(leader, 25)
	c.heal()
	c.runUntilReceive()
	return c, leader, follower
}

// The follower takes as long for a snapshot as the leader takes to come to the
// next one. It is sent one, and not one after another for ever.
func TestScenarioL15SlowFollowerIsNotSentSnapshotsForever(t *testing.T) {
	c, leader, follower := farBehind(t, nil)
	snapshots := 0
	for ; len(c.receives) > 0; snapshots++ {
		require.Less(t, snapshots, 20, "sent one snapshot after another")
		c.proposeOn(leader, 25)
		c.finishReceive(0, true)
		for c.settleOnlyNet() {
		}
	}
	require.Equal(t, 1, snapshots)
	c.run(DefaultHeartbeatInterval)
	require.Equal(t, c.log, follower.applied)

	// It has caught up, so nothing is kept for it any more, at once, though no
	// further snapshot is due.
	status := leader.r.core.Status()
	require.Equal(t, status.Snapshot+1, status.First)
	require.Equal(t, status.First, leader.disk.first)

	// And wherever it is.
	c.isolate(follower.id)
	c.proposeOn(leader, 25)
	status = leader.r.core.Status()
	require.Equal(t, status.Snapshot+1, status.First)
}

// A follower that was sent a snapshot and is not heard from any more does not
// pin the log.
func TestScenarioL15DeadFollowerDoesNotPinTheLog(t *testing.T) {
	c, leader, follower := farBehind(t, nil)
	c.isolate(follower.id)
	c.finishReceive(0, false)
	c.proposeOn(leader, 25)
	held := leader.r.core.Status()
	require.Less(t, held.First, held.Snapshot-15, "it may come back")

	c.run((catchUpPatience + 1) * DefaultElectionTimeout)
	status := leader.r.core.Status()
	require.Equal(t, status.Snapshot+1, status.First)
}

// Nor does one that lives, and never comes to an end with its snapshot, beyond
// CatchUpBytes.
func TestScenarioL15StuckFollowerPinsNoMoreThanCatchUpBytes(t *testing.T) {
	const entries = 100
	c, leader, _ := farBehind(t, func(cfg *Config) {
		cfg.SnapshotEntries, cfg.CatchUpBytes = 2, entries*(entryOverhead+4)
	})
	for range 4 * entries {
		c.proposeOn(leader, 1)
		c.now = c.now.Add(time.Millisecond)
		leader.r.core.peer(c.receives[0].to.id).contact = c.now
	}
	status := leader.r.core.Status()
	kept := status.Last + 1 - status.First
	require.Greater(t, kept, Index(entries*3/4))
	require.Less(t, kept, Index(entries+2*10))
	require.LessOrEqual(t, len(leader.r.snapshots.marks), 20, "not one for each snapshot")
}

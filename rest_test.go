package raft

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// maxIdleCore is what an idle core may cost, in bytes of the heap, by issue 7.
const maxIdleCore = 2 << 10

// An idle core is small, whatever work it has done before.
func TestIdleCoreIsSmall(t *testing.T) {
	for _, burst := range []int{0, 2000} {
		// The least of some tries: what else runs can only add to them.
		least := idleCoreBytes(t, 100, burst)
		for range 4 {
			least = min(least, idleCoreBytes(t, 100, burst))
		}
		require.LessOrEqual(t, least, float64(maxIdleCore), "after a burst of %d entries", burst)
		require.Greater(t, least, 800.0, "that is less than a Raft takes: nothing was measured")
	}
}

// An idle core gives back what its work has taken, and goes on as before.
func TestRestGivesBackWhatWorkHasTaken(t *testing.T) {
	c := newBenchCluster(t, 5, false)
	l := c.cores[0]
	propose := func(n int) {
		_, err := l.Propose(c.now, make([]Entry, n))
		require.NoError(t, err)
		before := c.applied
		c.settle()
		require.Equal(t, before+n, c.applied, "by the leader: the others hear of it with the next heartbeat")
	}
	read := func() {
		for id := range uint64(100) {
			require.NoError(t, l.ReadIndex(c.now, id))
			require.NoError(t, c.cores[1].ReadIndex(c.now, id))
		}
		c.settle()
	}
	requireRested := func() {
		t.Helper()
		for _, r := range c.cores {
			require.Equal(t, Never, r.restAt)
			require.Nil(t, r.apply.batch)
			require.Nil(t, r.log.window.entries)
			require.Nil(t, r.log.window.sums)
			require.Nil(t, r.reads)
			require.Nil(t, r.writes.inFlight)
			require.LessOrEqual(t, cap(r.messages), 4)
			require.Equal(t, 1, cap(r.members.history))
		}
		require.Nil(t, l.leading.reads)
		for i := range l.peers {
			require.Nil(t, l.peers[i].inFlight)
		}
	}
	read()
	propose(1000)
	c.heartbeat()
	require.NotNil(t, l.apply.batch, "there may be more")
	require.NotNil(t, l.reads)
	require.NotNil(t, c.cores[1].reads)

	c.idle(t)
	requireRested()
	read()
	require.NotNil(t, l.reads)
	c.idle(t)
	requireRested()
	propose(10)
}

// What is not done yet is kept for as long as it takes: here a follower is slow.
func TestNoRestBeforeTheWorkIsDone(t *testing.T) {
	c := newLoneCore(t, 3, 1)
	c.lead()
	c.proposeData("x")
	c.persistAll()
	last := c.Last()
	c.ack(2, last)
	c.Applied(c.now, last)
	for range 4 {
		c.tickAt(c.now.Add(DefaultElectionTimeout / 2))
		c.ack(2, last)
	}
	require.NotZero(t, c.log.window.len(), "node 3 has nothing of it")
	c.ack(3, last)
	c.tickAt(c.now.Add(DefaultHeartbeatInterval))
	require.Nil(t, c.log.window.entries)
	require.Equal(t, Never, c.restAt)
}

// What a Ready has handed out is not kept beyond the next one.
func TestHandedOutMessagesAreForgotten(t *testing.T) {
	c := newBenchCluster(t, 3, false)
	l := c.cores[0]
	_, err := l.Propose(c.now, make([]Entry, 10))
	require.NoError(t, err)
	rd := l.Ready()
	require.Len(t, rd.Messages, 2)
	require.Len(t, rd.Messages[1].Entries, 10)
	again := l.Ready()
	require.Empty(t, again.Messages)
	require.Nil(t, rd.Messages[0].Entries, "it would keep the entries")
	require.Nil(t, rd.Messages[1].Entries)
}

// So does what is around a core, on the leader and where proposals are forwarded.
func TestRestOfAReplica(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	c.elect()
	leader, follower := c.leader(), c.follower()
	burst := func(name string) {
		for i := range 100 {
			leader.propose(fmt.Sprint(name, " of the leader ", i))
			follower.propose(fmt.Sprint(name, " of a follower ", i))
		}
		c.settle()
	}
	burst("first")
	require.NotNil(t, leader.r.batch)
	require.NotNil(t, leader.r.inbox.entries)
	require.NotNil(t, leader.r.proposals.ring)
	require.NotNil(t, follower.r.proposals.ring)
	require.NotNil(t, follower.r.arena)
	for range 2 {
		c.run(3 * DefaultElectionTimeout)
		for _, s := range c.replicas {
			require.Nil(t, s.r.batch)
			require.Nil(t, s.r.inbox.entries)
			require.Nil(t, s.r.proposals.ring)
			require.Nil(t, s.r.outbox)
			require.Nil(t, s.r.arena)
			require.Nil(t, s.r.apply.tasks)
			require.Nil(t, s.r.metrics.admissions)
		}
		burst("next " + fmt.Sprint(len(c.calls)))
		require.NotNil(t, leader.r.batch)
	}
	c.run(DefaultElectionTimeout)
	c.check()
}

package raft

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProposeOnAnyReplica(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	c.elect()
	for _, s := range c.replicas {
		s.propose(fmt.Sprint("on ", s.id))
	}
	c.settle()
	for _, call := range c.calls {
		require.True(t, call.ended)
		require.NoError(t, call.err)
	}
	c.run(DefaultHeartbeatInterval)
	for _, s := range c.replicas {
		require.Equal(t, c.log, s.applied)
		require.Zero(t, s.r.proposals.bytes)
	}
}

func TestProposalsWaitForALeader(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	kept, givenUp := c.at(1).propose("kept"), c.at(1).propose("given up")
	c.settle()
	givenUp.giveUp()
	require.ErrorIs(t, givenUp.err, ErrNotCommitted, "it was in nobody's log")
	require.ErrorIs(t, givenUp.err, errGiven)

	c.elect()
	c.run(time.Second)
	require.True(t, kept.ended)
	require.NoError(t, kept.err)
	require.Equal(t, []string{"kept"}, c.log)
}

// A proposal that was given to a leader may be in a log, whoever waits for it.
func TestGivingUpWhatMayBeInALogIsUnknown(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader, follower := c.elect(), c.follower()
	admitted, forwarded := leader.propose("admitted"), follower.propose("forwarded")
	for _, call := range []*simCall{admitted, forwarded} {
		call.giveUp()
		require.ErrorIs(t, call.err, ErrOutcomeUnknown)
		require.ErrorIs(t, call.err, errGiven)
		require.NotErrorIs(t, call.err, ErrNotCommitted)
	}
	c.settle()
	require.ElementsMatch(t, []string{"admitted", "forwarded"}, c.log)
	later := follower.propose("later")
	c.settle()
	require.NoError(t, later.err, "a sequence number that nobody waits for leaves no gap")
}

func TestAdmissionGathersWhileAWriteIsInFlight(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader := c.elect()
	leader.propose("first")
	require.Len(t, leader.writes, 1)
	for i := range 10 {
		leader.propose(fmt.Sprint(i))
	}
	require.Len(t, leader.writes, 1, "all others wait for the write to end")
	leader.persist()
	require.Len(t, leader.writes, 1)
	require.Len(t, leader.writes[0].Entries, 10)
	c.settle()
	c.check()
}

// Callers who are answered together and ask again at once share a write, and a
// round of reads: the first of them does not go alone.
func TestWhoIsAnsweredTogetherMayAskAgainTogether(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader := c.elect()
	const callers = 10
	again := 0
	leader.answered = func() {
		last, reads := leader.r.core.Last(), leader.r.reads.id
		for i := range callers {
			leader.propose(fmt.Sprint("again ", i))
			leader.read()
		}
		again++
		require.Equal(t, last, leader.r.core.Last())
		require.Equal(t, reads, leader.r.reads.id)
		require.Equal(t, Never, leader.r.readDeadline(), "the timer would fire for nothing")
		leader.r.release(c.now)
		require.Equal(t, last+callers, leader.r.core.Last(), "the disk was idle")
		require.Equal(t, reads+1, leader.r.reads.id)
		require.Empty(t, leader.r.reads.waiting)
	}
	for i := range callers {
		leader.propose(fmt.Sprint("first ", i))
	}
	c.settle()
	require.Equal(t, 1, again)
	c.check()
	for _, call := range c.calls {
		require.True(t, call.ended)
		require.NoError(t, call.err)
	}

	// Reads end while the core is drained, not before.
	leader.answered = func() {
		reads := leader.r.reads.id
		leader.read()
		leader.read()
		again++
		require.Equal(t, reads, leader.r.reads.id)
	}
	for range callers {
		leader.read()
	}
	c.settle()
	require.Equal(t, 2, again)

	// One that ends alone holds nobody up.
	leader.answered = func() { require.Fail(t, "held") }
	leader.propose("alone")
	c.settle()
	leader.answered = nil

	// A replica that has ended has nobody to hold.
	for i := range callers {
		leader.propose(fmt.Sprint("last ", i))
	}
	leader.r.end(ErrClosed)
	leader.after()
	require.False(t, leader.r.held)
}

// A leader whose disk hangs is not to gate a quorum whose disks do not.
func TestAdmissionGoesOnWithAHungDiskOnceAllIsCommitted(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader := c.elect()
	first := leader.r.core.Last()
	leader.propose("first")
	hung := leader.writes
	for i := range 5 {
		leader.propose(fmt.Sprint(i))
	}
	require.Equal(t, first+1, leader.r.core.Last())
	require.Len(t, hung, 1)
	for range 1000 { // all but the leader's disk
		writes := leader.writes
		leader.writes = nil
		c.settleOnce()
		leader.writes = append(writes, leader.writes...)
	}
	require.Equal(t, first+6, leader.r.core.Commit(), "the followers have committed them")
}

func TestAdmissionAtAByteLimit(t *testing.T) {
	c := newSimCluster(t, 3, func(cfg *Config) { cfg.MaxMessageBytes = 1000 })
	leader := c.elect()
	leader.propose("first")
	before := leader.r.core.Last()
	for i := range 9 {
		leader.propose(fmt.Sprintf("%0100d", i))
	}
	require.Equal(t, before, leader.r.core.Last())
	leader.propose(fmt.Sprintf("%0100d", 9))
	require.Equal(t, before+10, leader.r.core.Last())
	c.settle()
	c.check()
}

func TestOverloadedIsDefinite(t *testing.T) {
	c := newSimCluster(t, 3, func(cfg *Config) {
		cfg.MaxEntryBytes, cfg.MaxPendingBytes = 100, 1000
	})
	c.at(1).propose("1")
	taken := 1
	for ; ; taken++ {
		if call := c.at(1).propose(fmt.Sprintf("%0100d", taken)); call.ended {
			require.ErrorIs(t, call.err, ErrOverloaded)
			break
		}
	}
	require.Equal(t, 1+(1000-proposalOverhead-1)/(100+proposalOverhead), taken)
	tooLarge := c.at(2).propose(fmt.Sprintf("%0101d", 0))
	require.ErrorIs(t, tooLarge.err, ErrTooLarge)
	c.elect()
	c.run(time.Second)
	c.check()
	require.Len(t, c.log, taken)
	require.NoError(t, c.at(1).propose("again").err)
}

// What exceeds the leader's room waits there, and is not refused, as long as
// MaxPendingBytes holds it.
func TestLeaderBeyondMaxUncommittedBytes(t *testing.T) {
	c := newSimCluster(t, 3, func(cfg *Config) {
		cfg.MaxEntryBytes, cfg.MaxUncommittedBytes = 100, 500
	})
	c.elect()
	for i := range 40 {
		c.replicas[i%3].propose(fmt.Sprintf("%0100d", i))
	}
	c.settle()
	for _, call := range c.calls {
		require.True(t, call.ended)
		require.NoError(t, call.err)
	}
}

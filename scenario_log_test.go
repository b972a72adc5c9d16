package raft

import (
	"fmt"
	"testing"

	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// SCENARIOS L, those rows of the core that have no test elsewhere by their name.

// Entries are overwritten by a later leader's while their write is in flight:
// its completion says nothing of what stands there now.
func TestScenarioL2OverwrittenWhileTheWriteIsInFlight(t *testing.T) {
	d := diskOf(3, 1, repeat(5, 1)...)
	d.hard.Commit = 5
	c := newLoneCoreFrom(t, d.load(), nil)
	c.LogRead(c.now, c.logReads[0], d.log, nil)
	c.drain()
	c.Applied(c.now, 5)
	c.committed = nil
	c.receive(appendFrom(2, 1, 5, 1, 0, testEntries(6, 1, 1, 1)...))
	c.receive(appendFrom(3, 2, 5, 1, 0, testEntry(6, 2)))
	c.receive(appendFrom(3, 2, 6, 2, 8, testEntry(7, 2)))
	require.Equal(t, Index(7), c.Commit())

	require.Empty(t, c.persistTo(1))
	require.Equal(t, Index(5), c.Status().Durable)
	require.Empty(t, c.committed, "nothing is applied before it is durable")
	reply := only(t, c.persistAll())
	require.Equal(t, Index(7), reply.Index)
	require.Equal(t, testEntries(6, 2, 2), c.committed)
	require.Equal(t, repeat(5, 1), logTerms(c.Raft)[:5])
	require.Equal(t, []Term{2, 2}, logTerms(c.Raft)[5:])
}

// All that was in flight is lost, with the follower's window full of it, again
// and again: what is in flight is accounted for anew, and everything arrives.
func TestScenarioL5EverythingInFlightIsLostWhileTheWindowIsFull(t *testing.T) {
	c := newTestCluster(t, 2, func(cfg *CoreConfig) { cfg.MaxWindowBytes, cfg.MaxMessageBytes = 500, 100 })
	c.elect(1)
	c.run(2 * DefaultHeartbeatInterval)
	want := []string{}
	for round := range 20 {
		c.cut = func(m *Message) bool { return len(m.Entries) > 0 }
		for i := range 8 {
			data := fmt.Sprint(round, i)
			require.NoError(t, c.propose(1, data))
			want = append(want, data)
		}
		c.settle()
		if round%2 == 0 {
			c.node(1).r.Unreachable(c.now, 2)
		}
		c.run(DefaultHeartbeatInterval)
		c.heal()
		c.run(6 * DefaultHeartbeatInterval)
		require.Zero(t, c.node(1).r.peer(2).bytes)
		require.Empty(t, c.node(1).r.peer(2).inFlight)
		require.Equal(t, c.node(1).r.Last(), c.node(1).r.Commit(), "round %d", round)
	}
	c.requireApplied(want, 1, 2)
}

// Slices that cross the API have one owner: what a caller does to the entries
// of its message or its proposal afterwards changes no log, and what is being
// applied stays as it is while the log's memory moves on, or is truncated.
func TestScenarioL7SlicesAreNotShared(t *testing.T) {
	c := newLoneCore(t, 3, 1)
	entries := testEntries(1, 1, 1, 1)
	m := appendFrom(2, 1, 0, 0, 3, entries...)
	c.receive(m)
	for i := range entries {
		entries[i] = Entry{Index: 9, Term: 9, Data: []byte("overwritten")}
	}
	c.Persisted(c.now, c.seq)
	applying := c.Ready().Committed
	require.Equal(t, testEntries(1, 1, 1, 1), applying)

	c.receive(appendFrom(2, 1, 3, 1, 3, testEntry(4, 1)))
	c.receive(appendFrom(2, 1, 3, 1, 3, testEntries(4, repeat(100, 1)...)...))
	c.receive(appendFrom(3, 2, 3, 1, 3, testEntries(4, repeat(200, 2)...)...))
	c.persistAll()
	require.Equal(t, testEntries(1, 1, 1, 1), applying)

	// What nobody needs is not retained.
	c.Applied(c.now, 3)
	c.receive(appendFrom(3, 2, 203, 2, 203))
	c.persistAll()
	c.Applied(c.now, 203)
	c.drain()
	w := &c.log.window
	require.Zero(t, w.len())
	for i := range w.entries {
		require.Nil(t, w.entries[i].Data)
	}
}

// A commit index counts up to what the message that carries it verifies,
// whatever else stands in the log.
func TestScenarioL9CommitIndexBeyondWhatIsVerified(t *testing.T) {
	c := newLoneCore(t, 3, 1, repeat(9, 1)...)
	c.receive(appendFrom(2, 2, 3, 1, 8))
	require.Equal(t, Index(3), c.Commit(), "an empty one")
	c.receive(appendFrom(2, 2, 3, 1, 8, testEntry(4, 1)))
	require.Equal(t, Index(4), c.Commit(), "one with entries that are there already")
	c.receive(appendFrom(2, 2, 8, 1, 8))
	require.Equal(t, Index(8), c.Commit())
	c.receive(appendFrom(3, 3, 5, 1, 9))
	require.Equal(t, Index(8), c.Commit(), "what was verified in another term")
}

// A follower's log conflicts at the snapshot's last index: nothing of it stays,
// and the entries after the snapshot are taken.
func TestScenarioL11ConflictingEntryAtTheSnapshotsLastIndex(t *testing.T) {
	leader := diskOf(2, 5, 1, 1, 2, 2, 5)
	leader.hard.Commit = 5
	leader.snapshot = Snapshot{Index: 4, Term: 2, Membership: founding(2)}
	leader.data, leader.first, leader.log = leader.log[:4], 5, leader.log[4:]
	c := newClusterOf(t, nil, leader, diskOf(2, 4, 1, 1, 1, 4, 4, 4))
	c.run(5 * DefaultElectionTimeout)
	c.requireLeader(1)
	require.NoError(t, c.propose(1, "x"))
	c.run(5 * DefaultHeartbeatInterval)
	require.Equal(t, c.node(1).r.Last(), c.node(2).r.Last())
	require.Equal(t, c.node(1).index, c.node(2).index)
	require.Equal(t, c.appliedData(1), c.appliedData(2))
}

// One rejection is lost, or comes late, and heartbeats are answered all the
// while: they do not hide that the follower lacks entries.
func TestScenarioL12HeartbeatsDoNotMaskALostRejection(t *testing.T) {
	c := newClusterOf(t, nil, diskOf(2, 3, 1, 1, 3, 3, 3), diskOf(2, 2, 1, 2, 2))
	lost := 0
	c.cut = func(m *Message) bool {
		first := m.Type == raftpb.AppendEntriesReply && m.Reject && lost == 0
		if first {
			lost++
		}
		return first
	}
	c.elect(1)
	require.NoError(t, c.propose(1, "x"))
	c.run(10 * DefaultHeartbeatInterval)
	require.Equal(t, 1, lost)
	require.Equal(t, c.node(1).r.Last(), c.node(2).r.Commit())
	require.Equal(t, logTerms(c.node(1).r), logTerms(c.node(2).r))
}

// Two leaders catch one follower up at once, one of them deposed: its entries
// and its snapshots, whenever they come, truncate nothing.
func TestScenarioL14TwoCatchUpsAtOnce(t *testing.T) {
	c := newLoneCore(t, 3, 1)
	c.receive(appendFrom(2, 1, 0, 0, 0, testEntries(1, 1, 1, 1, 1)...))
	c.receive(appendFrom(3, 2, 2, 1, 2, testEntries(3, 2, 2)...))
	c.receive(appendFrom(3, 2, 4, 2, 4, testEntries(5, 2)...))
	c.persistAll()
	require.Equal(t, Index(4), c.Commit())
	log := logTerms(c.Raft)
	for _, late := range []Message{
		appendFrom(2, 1, 0, 0, 0, testEntries(1, 1, 1, 1, 1)...), appendFrom(2, 1, 2, 1, 4, testEntries(3, 1, 1)...),
		installFrom(2, 1, 4, 1), installFrom(2, 1, 9, 1),
	} {
		require.True(t, only(t, c.receive(late)).Reject)
		require.Equal(t, log, logTerms(c.Raft))
	}
	// The same leader's own, late: what is there already stays.
	c.receive(appendFrom(3, 2, 2, 1, 2, testEntries(3, 2)...))
	c.receive(installFrom(3, 2, 3, 2))
	require.Equal(t, log, logTerms(c.Raft))
	require.Equal(t, NodeID(3), c.Leader())
}

// The state machine is ahead of the commit index that the storage remembers, as
// after a snapshot that came later than the last write, or where it is durable
// by itself: the core starts, and takes the applied index for what it is.
func TestScenarioL16AppliedBeyondTheStoredCommitIndex(t *testing.T) {
	d := diskOf(3, 1, repeat(5, 1)...)
	d.hard.Commit = 1
	d.snapshot = Snapshot{Index: 4, Term: 1, Membership: founding(3)}
	c := newLoneCoreFrom(t, d.load(), nil)
	require.Equal(t, Index(4), c.Commit())
	require.Len(t, c.restores, 1)
	c.Applied(c.now, 5) // it holds more than the snapshot
	c.receive(appendFrom(2, 2, 5, 1, 5, testEntry(6, 2)))
	c.persistAll()
	c.receive(appendFrom(2, 2, 6, 2, 6))
	require.Equal(t, []Entry{testEntry(6, 2)}, c.committed)

	// A snapshot's acknowledgement waits until it is durable.
	d = diskOf(3, 1, 1)
	c = newLoneCoreFrom(t, d.load(), nil)
	c.receive(appendFrom(2, 1, 1, 1, 1))
	reply := only(t, c.receive(installFrom(2, 1, 9, 1)))
	require.Equal(t, Index(1), reply.Index)
	require.Equal(t, Index(9), only(t, c.persistAll()).Index)
}

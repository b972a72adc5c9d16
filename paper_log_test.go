package raft

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// A leader that started with a long log reads what a slow peer needs, a bounded
// piece at a time, and sends what it gets.
func TestLogReadForASlowPeer(t *testing.T) {
	const size = 10
	d := diskOf(3, 1, repeat(40, 1)...)
	c := newLoneCoreFrom(t, d.load(), func(cfg *CoreConfig) { cfg.MaxMessageBytes = 5 * (entryOverhead + size) })
	c.lead()
	c.receive(Message{Type: raftpb.AppendEntriesReply, From: 2, Term: c.term, Reject: true, Index: 40, Window: 1 << 20})
	require.Equal(t, Index(1), c.peer(2).next)

	got := Index(0)
	for rounds := 0; got < c.Last(); rounds++ {
		require.Less(t, rounds, 50)
		for len(c.logReads) > 0 {
			q := c.logReads[0]
			c.logReads = nil
			if q.Peer != 2 {
				continue
			}
			require.LessOrEqual(t, q.MaxBytes, 5*(entryOverhead+size))
			require.LessOrEqual(t, q.Hi, Index(41))
			c.LogRead(c.now, q, slices.Clone(d.log[q.Lo-1:min(q.Hi, q.Lo+9)-1]), nil)
			c.drain()
		}
		for _, m := range to(ofType(c.takeSent(), raftpb.AppendEntries), 2) {
			if len(m.Entries) > 0 {
				require.Equal(t, got, m.Index)
				require.LessOrEqual(t, len(m.Entries), 7)
				got += Index(len(m.Entries))
			}
		}
		c.ack(2, got)
	}
	require.Equal(t, c.Last(), c.Commit())
}

// After a restart what is committed is read and applied in bounded pieces (L8).
func TestScenarioL8RestartReadsWhatIsNotAppliedInParts(t *testing.T) {
	d := diskOf(3, 1, repeat(40, 1)...)
	d.hard.Commit = 30
	c := newLoneCoreFrom(t, d.load(), func(cfg *CoreConfig) { cfg.MaxApplyBytes = 5 * (entryOverhead + 4) })
	applied := Index(0)
	for rounds := 0; applied < 30; rounds++ {
		require.Less(t, rounds, 30)
		require.Len(t, c.logReads, 1)
		q := c.logReads[0]
		require.Equal(t, applied+1, q.Lo)
		require.Equal(t, Index(31), q.Hi)
		require.Equal(t, 5*(entryOverhead+4), q.MaxBytes)
		c.logReads = nil
		require.Empty(t, c.committed)

		c.LogRead(0, q, slices.Clone(d.log[q.Lo-1:min(q.Hi, q.Lo+5)-1]), nil)
		c.drain()
		require.Equal(t, applied+1, c.committed[0].Index)
		applied = c.committed[len(c.committed)-1].Index
		c.drain()
		require.Empty(t, c.logReads, "no more before this is applied")
		c.committed = nil
		c.Applied(0, applied)
		c.drain()
	}
	require.Equal(t, Index(30), applied)
	require.Empty(t, c.logReads)
	require.Empty(t, c.committed)
}

// A storage that returns what the log does not say, or an error, cannot be
// trusted: the core stops for good.
func TestLogReadThatContradictsTheLogStopsTheCore(t *testing.T) {
	for name, answer := range map[string]func(entries []Entry) ([]Entry, error){
		"another term":  func(e []Entry) ([]Entry, error) { e[1].Term = 2; return e, nil },
		"another index": func(e []Entry) ([]Entry, error) { return e[1:], nil },
		"an error":      func(e []Entry) ([]Entry, error) { return nil, errors.New("disk on fire") },
	} {
		t.Run(name, func(t *testing.T) {
			d := diskOf(3, 3, 1, 1, 1)
			d.hard.Commit = 3
			c := newLoneCoreFrom(t, d.load(), nil)
			require.Len(t, c.logReads, 1)

			entries, err := answer(slices.Clone(d.log))
			c.LogRead(0, c.logReads[0], entries, err)
			c.drain()

			require.ErrorIs(t, c.Err(), ErrStopped)
			require.Empty(t, c.committed)
			requireStopped(t, c)
		})
	}
}

// A failed write is final: the replica does not vote, lead or acknowledge any
// more, and waiting reads end.
func TestScenarioL13FailedWriteStopsEverything(t *testing.T) {
	for _, role := range []Role{Follower, PreCandidate, Candidate, Leader} {
		t.Run(fmt.Sprint(role), func(t *testing.T) {
			c := coreInRole(t, role)
			pending := 0
			if role == Leader {
				c.proposeData("x")
				require.NoError(t, c.ReadIndex(c.now, 7))
				pending = 1
			}
			cause := errors.New("no space")

			c.PersistFailed(c.now, cause)
			c.drain()
			c.takeSent()

			require.ErrorIs(t, c.Err(), ErrStopped)
			require.ErrorIs(t, c.Err(), cause)
			require.Len(t, c.answers, pending)
			for _, answer := range c.answers {
				require.Equal(t, ReadState{ID: 7}, answer)
			}
			requireStopped(t, c)
		})
	}
}

// requireStopped: whatever comes in, nothing goes out.
func requireStopped(t *testing.T, c *loneCore) {
	t.Helper()
	term, last, writes := c.Term(), c.Last(), len(c.writes)
	require.ErrorIs(t, c.try(Message{Type: raftpb.RequestVote, From: 2, Term: 90, Index: 90, LogTerm: 80}), ErrStopped)
	require.ErrorIs(t, c.try(appendFrom(2, 90, 0, 0, 0, testEntry(1, 90))), ErrStopped)
	_, err := c.Propose(c.now, []Entry{{}})
	require.ErrorIs(t, err, ErrStopped)
	require.ErrorIs(t, c.ReadIndex(c.now, 1), ErrStopped)
	c.Persisted(c.now, c.seq)
	c.Applied(c.now, last)
	c.Unreachable(c.now, 2)
	c.SnapshotSent(c.now, 2, 1, nil)
	c.Compacted(c.now, Snapshot{Index: 1, Term: 1, Membership: founding(3)}, 1)
	c.Tick(c.now.Add(100 * DefaultElectionTimeout))
	c.PersistFailed(c.now, errors.New("again"))
	c.drain()

	require.Equal(t, Never, c.Deadline())
	require.Equal(t, Follower, c.Role())
	require.Equal(t, term, c.Term())
	require.Equal(t, last, c.Last())
	require.Len(t, c.writes, writes)
	require.Empty(t, c.takeSent())
	require.Empty(t, c.committed)
}

// --- snapshots (§7) ---

func installFrom(leader NodeID, term Term, index Index, indexTerm Term) Message {
	return Message{Type: raftpb.InstallSnapshot, From: leader, Term: term,
		Snapshot: &Snapshot{Index: index, Term: indexTerm, Membership: founding(3)}}
}

// Figure 13: a snapshot that tells nothing new truncates nothing; one whose
// last entry is in the log leaves what follows (M26, L3); any other replaces
// the log.
func TestScenarioL3SnapshotsThatAreInTheLogTruncateNothing(t *testing.T) {
	for _, test := range []struct {
		name   string
		m      Message
		log    []Term
		commit Index
		base   Index
	}{
		{"older than the commit index", installFrom(2, 5, 1, 1), []Term{1, 1, 3, 3, 3}, 2, 0},
		{"at the commit index", installFrom(2, 5, 2, 1), []Term{1, 1, 3, 3, 3}, 2, 0},
		{"in the log", installFrom(2, 5, 4, 3), []Term{1, 1, 3, 3, 3}, 4, 0},
		{"at the log's end", installFrom(2, 5, 5, 3), []Term{1, 1, 3, 3, 3}, 5, 0},
		{"of a conflicting entry", installFrom(2, 5, 4, 2), []Term{}, 4, 4},
		{"of a later term's entry", installFrom(2, 5, 4, 4), []Term{}, 4, 4},
		{"beyond the log", installFrom(2, 5, 9, 3), []Term{}, 9, 9},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := diskOf(3, 5, 1, 1, 3, 3, 3)
			d.hard.Commit = 2
			c := newLoneCoreFrom(t, d.load(), nil)

			reply := only(t, c.receive(test.m))
			require.Equal(t, test.log, logTerms(c.Raft))
			require.Equal(t, test.commit, c.Commit())
			require.Equal(t, test.base, c.log.base)
			if test.base == 0 {
				require.Equal(t, test.commit, reply.Index)
				require.Empty(t, c.writes)
				require.Empty(t, c.restores)
				return
			}
			// Acknowledged and restored when durable, not before.
			require.LessOrEqual(t, reply.Index, Index(2))
			require.Empty(t, c.restores)
			reply = only(t, c.persistAll())
			require.Equal(t, test.base, reply.Index)
			require.Equal(t, test.base, c.writes[0].Snapshot.Index)
			require.Len(t, c.restores, 1)
			// Nothing is applied before it is restored.
			c.receive(appendFrom(2, 5, test.base, test.m.Snapshot.Term, test.base+1, testEntry(test.base+1, 5)))
			c.persistAll()
			require.Empty(t, c.committed)
			c.Applied(c.now, test.base)
			c.drain()
			require.Equal(t, []Entry{testEntry(test.base+1, 5)}, c.committed)
		})
	}
}

// A snapshot older than the one that the log starts with brings nothing back.
func TestSection7SnapshotOlderThanTheLogsStart(t *testing.T) {
	d := diskOf(3, 5, 1, 1, 1, 1, 1)
	d.snapshot = Snapshot{Index: 4, Term: 1, Membership: founding(3)}
	d.first, d.log = 5, d.log[4:]
	c := newLoneCoreFrom(t, d.load(), nil)
	c.Applied(0, 4)
	c.drain()
	c.restores = nil

	reply := only(t, c.receive(installFrom(2, 5, 2, 1)))

	require.Equal(t, Index(4), reply.Index)
	require.Equal(t, Index(5), c.Last())
	require.Equal(t, Index(4), c.Commit())
	require.Empty(t, c.writes)
	require.Empty(t, c.restores)
}

// A stale leader's snapshot is refused, and does not set a leader.
func TestScenarioL3SnapshotOfAStaleTerm(t *testing.T) {
	c := newLoneCore(t, 3, 5, 1)
	reply := only(t, c.receive(installFrom(2, 4, 9, 4)))
	require.True(t, reply.Reject)
	require.Zero(t, c.Leader())
	require.Equal(t, Index(1), c.Last())
	require.Empty(t, c.writes)
}

// A follower that needs what the log no longer holds is sent a snapshot, and
// then the rest of the log.
func TestSection7FarBehindFollowerGetsASnapshot(t *testing.T) {
	for name, trailing := range map[string]Index{"no trailing entries": 0, "one trailing entry": 1} {
		t.Run(name, func(t *testing.T) {
			c := newTestCluster(t, 3, nil)
			c.elect(1)
			require.NoError(t, c.propose(1, "a"))
			c.run(DefaultHeartbeatInterval)
			c.crash(3)
			require.NoError(t, c.propose(1, "b", "c", "d"))
			c.run(DefaultHeartbeatInterval)
			c.compact(1, trailing)
			require.NoError(t, c.propose(1, "e"))
			snapshots := 0
			c.cut = func(m *Message) bool {
				if m.Type == raftpb.InstallSnapshot {
					snapshots++
				}
				return m.Type == raftpb.InstallSnapshot && snapshots == 1 // the first one is lost
			}
			c.start(3)

			c.run(4 * DefaultHeartbeatInterval)

			c.requireApplied([]string{"a", "b", "c", "d", "e"}, 1, 2, 3)
			require.Equal(t, 2, snapshots)
			require.Equal(t, replicating, c.node(1).r.peer(3).state)
			c.restart(3)
			c.run(2 * DefaultElectionTimeout)
			c.requireApplied([]string{"a", "b", "c", "d", "e"}, 3)
		})
	}
}

// Entries within what compaction keeps are sent as entries.
func TestSection7TrailingEntriesSpareASnapshot(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.elect(1)
	require.NoError(t, c.propose(1, "a"))
	c.run(DefaultHeartbeatInterval)
	c.crash(3)
	require.NoError(t, c.propose(1, "b", "c"))
	c.run(DefaultHeartbeatInterval)
	c.compact(1, 3)
	c.restart(1) // the entries are in the storage only
	c.elect(1)
	c.cut = func(m *Message) bool {
		require.NotEqual(t, raftpb.InstallSnapshot, m.Type)
		return false
	}
	c.start(3)
	c.run(4 * DefaultHeartbeatInterval)
	c.requireApplied([]string{"a", "b", "c"}, 3)
}

// Compaction takes nothing that is not applied, or that no snapshot covers,
// and the log's terms stay known at its edge.
func TestCompactedTakesOnlyWhatIsCovered(t *testing.T) {
	d := diskOf(1, 3, 1, 1, 2, 3, 3)
	d.hard.Commit = 5
	c := newLoneCoreFrom(t, d.load(), nil)
	c.LogRead(0, c.logReads[0], slices.Clone(d.log[:3]), nil)
	c.drain()
	c.Applied(0, 3)
	snapshot := func(i Index, term Term) Snapshot { return Snapshot{Index: i, Term: term, Membership: founding(1)} }

	c.Compacted(0, snapshot(4, 3), 4) // not applied
	require.Zero(t, c.log.base)
	c.Compacted(0, snapshot(2, 1), 3) // not covered
	require.Zero(t, c.log.base)
	c.Compacted(0, snapshot(3, 2), 2)
	require.Equal(t, []Term{2, 3, 3}, logTerms(c.Raft))
	for i, want := range map[Index]Term{2: 1, 3: 2, 4: 3, 5: 3} {
		term, known := c.log.term(i)
		require.True(t, known)
		require.Equal(t, want, term)
	}
	_, known := c.log.term(1)
	require.False(t, known)

	_, err := c.SnapshotAt(4)
	require.ErrorIs(t, err, ErrCompacted, "not applied")
	_, err = c.SnapshotAt(1)
	require.ErrorIs(t, err, ErrCompacted)
	s, err := c.SnapshotAt(3)
	require.NoError(t, err)
	require.Equal(t, snapshot(3, 2), s)
}

// An AppendEntries whose previous entry lies below the snapshot is taken to
// match up to the commit index.
func TestSection7PreviousEntryBelowTheSnapshot(t *testing.T) {
	d := diskOf(3, 2, 1, 1, 1, 1)
	d.snapshot = Snapshot{Index: 3, Term: 1, Membership: founding(3)}
	d.first, d.log = 4, d.log[3:]
	c := newLoneCoreFrom(t, d.load(), nil)
	c.Applied(0, 3)

	c.receive(appendFrom(2, 2, 1, 1, 5, testEntries(2, 1, 1, 1, 2)...))
	reply := only(t, c.persistAll())

	require.False(t, reply.Reject)
	require.Equal(t, Index(5), reply.Index)
	require.Equal(t, []Term{1, 2}, logTerms(c.Raft))
	require.Equal(t, Index(5), c.Commit())

	reply = only(t, c.receive(appendFrom(2, 2, 0, 0, 5)))
	require.Equal(t, Index(5), reply.Index)
}

// What a hung disk keeps in the leader's memory is bounded, although the
// followers commit it.
func TestHungLeaderDiskBoundsTheWindow(t *testing.T) {
	const limit = 4 << 10
	c := newTestCluster(t, 3, func(cfg *CoreConfig) { cfg.MaxWindowBytes, cfg.MaxUncommittedBytes = limit, limit })
	c.elect(1)
	c.run(DefaultHeartbeatInterval)
	c.stalled[1] = true
	var err error
	for range 100 {
		if err = c.propose(1, string(make([]byte, 100))); err != nil {
			break
		}
		c.settle()
	}
	require.ErrorIs(t, err, ErrOverloaded)
	require.Equal(t, c.node(1).r.Last(), c.node(1).r.Commit(), "the followers have it")
	require.LessOrEqual(t, c.node(1).r.log.window.bytes(0, c.node(1).r.Last()), limit+entryOverhead)

	clear(c.stalled)
	c.settle()
	require.NoError(t, c.propose(1, "again"))
}

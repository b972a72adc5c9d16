package raft

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// A storage that contradicts itself is refused, and panics nothing.
func TestNewRefusesAContradictoryState(t *testing.T) {
	good := func() State {
		return State{
			HardState: HardState{Term: 5, Commit: 7, Unmarked: true},
			Snapshot:  Snapshot{Index: 4, Term: 2, Membership: founding(3), MembershipIndex: 1},
			First:     3, Last: 9, Runs: []TermRun{{3, 2}, {6, 4}, {9, 5}},
			Memberships: []MembershipAt{{5, founding(3)}, {8, founding(2)}},
		}
	}
	for name, spoil := range map[string]func(s *State){
		"a gap above the snapshot":       func(s *State) { s.First, s.Runs[0].First = 6, 6; s.Runs = s.Runs[:1] },
		"ends below the snapshot":        func(s *State) { s.Last, s.Runs = 3, s.Runs[:1]; s.Memberships = nil; s.HardState.Commit = 0 },
		"ends before it starts":          func(s *State) { s.Last = 1 },
		"commit beyond the end":          func(s *State) { s.HardState.Commit = 10 },
		"index out of range":             func(s *State) { s.Last = MaxIndex + 1 },
		"term out of range":              func(s *State) { s.HardState.Term = MaxTerm + 1 },
		"no runs":                        func(s *State) { s.Runs = nil },
		"runs without entries":           func(s *State) { s.First, s.Last, s.HardState.Commit, s.Memberships = 5, 4, 4, nil },
		"runs start late":                func(s *State) { s.Runs[0].First = 4 },
		"runs' indexes descend":          func(s *State) { s.Runs[2].First = 6 },
		"runs' terms descend":            func(s *State) { s.Runs[2].Term = 3 },
		"a run twice":                    func(s *State) { s.Runs[2].Term = 4 },
		"a run beyond the end":           func(s *State) { s.Runs[2].First = 10 },
		"an entry of a later term":       func(s *State) { s.Runs[2].Term = 6 },
		"an entry of term 0":             func(s *State) { s.Runs[0].Term = 0; s.Snapshot.Term = 0 },
		"a snapshot the log contradicts": func(s *State) { s.Snapshot.Term = 1 },
		"a snapshot of term 0": func(s *State) {
			s.Snapshot.Term, s.Runs, s.First, s.Last, s.HardState.Commit, s.Memberships = 0, nil, 5, 4, 4, nil
		},
		"a snapshot's term out of range":  func(s *State) { s.Snapshot.Term = MaxTerm + 1 },
		"a snapshot without members":      func(s *State) { s.Snapshot.Membership.Members = nil },
		"a snapshot with a later member":  func(s *State) { s.Snapshot.MembershipIndex = 5 },
		"an entry without members":        func(s *State) { s.Memberships[1].Membership.Members = nil },
		"memberships descend":             func(s *State) { slices.Reverse(s.Memberships) },
		"a membership beyond the end":     func(s *State) { s.Memberships[1].Index = 10 },
		"a membership below the snapshot": func(s *State) { s.Memberships[0].Index = 4 },
	} {
		t.Run(name, func(t *testing.T) {
			state := good()
			spoil(&state)
			_, err := New(DefaultCoreConfig(1, rand.NewPCG(1, 1)), state, 0)
			require.ErrorIs(t, err, ErrInvalidState)
		})
	}
	_, err := New(DefaultCoreConfig(1, rand.NewPCG(1, 1)), good(), 0)
	require.NoError(t, err)
	_, err = New(DefaultCoreConfig(0, nil), good(), 0)
	require.ErrorAs(t, err, new(*ConfigError))
}

func TestMembershipsThatNoGroupCanHave(t *testing.T) {
	tooMany := Membership{}
	for i := range NodeID(maxMembers + 1) {
		tooMany.Members = append(tooMany.Members, Member{ID: i + 1, Voter: true})
	}
	for name, m := range map[string]Membership{
		"empty":                    {},
		"learners only":            {Members: []Member{{ID: 1}}},
		"outgoing voters only":     {Members: []Member{{ID: 1, Outgoing: true}}},
		"node 0":                   {Members: []Member{{ID: 0, Voter: true}}},
		"a node twice":             voters(1, 1),
		"not ordered":              voters(2, 1),
		"leaving, but not joint":   {Members: []Member{{ID: 1, Voter: true}, {ID: 2, Leaving: true}}},
		"leaving, and yet a voter": {Members: []Member{{ID: 1, Voter: true, Outgoing: true, Leaving: true}}},
		"too many":                 tooMany,
		"an unknown intent":        {Members: []Member{{ID: 1, Voter: true, Intent: IntentLeave + 1}, {ID: 2, Voter: true}}},
		"no voter intended":        {Members: []Member{{ID: 1, Voter: true, Intent: IntentLeave}, {ID: 2}}},
		"a voter to be a voter":    {Members: []Member{{ID: 1, Voter: true, Intent: IntentVoter}}},
		"a learner to leave":       {Members: []Member{{ID: 1, Voter: true}, {ID: 2, Intent: IntentLeave}}},
		"intents of a joint one":   {Members: []Member{{ID: 1, Voter: true, Outgoing: true}, {ID: 2, Intent: IntentVoter}}},
	} {
		t.Run(name, func(t *testing.T) { require.Error(t, checkMembership(&m)) })
	}
}

// When the commit index advances, the origin of a forwarded proposal in it
// hears at once; others with the next message.
func TestOriginOfAForwardedProposalHearsOfItsCommitAtOnce(t *testing.T) {
	c := newLoneCore(t, 3, 1, 1)
	c.lead()
	c.ack(2, 2)
	c.ack(3, 2)
	_, err := c.Propose(c.now, []Entry{{Origin: raftpb.Origin{Node: 3, Sequence: 1}}})
	require.NoError(t, err)
	c.drain()
	c.persistAll()

	sent := c.ack(2, 3)

	m := only(t, sent)
	require.Equal(t, NodeID(3), m.To)
	require.Equal(t, Index(3), m.Commit)
}

// What a LogRead for a peer brings is used only if it is still of use; a
// storage that fails or contradicts the log stops the core.
func TestLogReadForAPeerThatHasMovedOn(t *testing.T) {
	newReading := func(t *testing.T) (*loneCore, LogRead, []Entry) {
		d := diskOf(3, 1, repeat(20, 1)...)
		c := newLoneCoreFrom(t, d.load(), nil)
		c.lead()
		c.receive(Message{Type: raftpb.AppendEntriesReply, From: 2, Term: c.term, Reject: true, Index: 20, Match: 9, LogTerm: 1, Window: 1 << 20})
		require.Len(t, c.logReads, 1)
		return c, c.logReads[0], slices.Clone(d.log[9:])
	}
	t.Run("of use", func(t *testing.T) {
		c, q, entries := newReading(t)
		c.LogRead(c.now, q, entries, nil)
		c.drain()
		require.Len(t, indexesOf(to(c.takeSent(), 2)), 11)
	})
	for name, disturb := range map[string]func(c *loneCore, q *LogRead){
		"the peer acknowledged meanwhile": func(c *loneCore, q *LogRead) { c.ack(2, 21) },
		"not asked for":                   func(c *loneCore, q *LogRead) { q.Lo++ },
		"of an earlier term":              func(c *loneCore, q *LogRead) { q.Term-- },
		"for a stranger":                  func(c *loneCore, q *LogRead) { q.Peer = 99 },
		"no leader any more":              func(c *loneCore, q *LogRead) { c.receive(appendFrom(3, 9, 0, 0, 0)) },
	} {
		t.Run(name, func(t *testing.T) {
			c, q, entries := newReading(t)
			disturb(c, &q)
			c.takeSent()
			c.LogRead(c.now, q, entries, nil)
			c.drain()
			require.Empty(t, indexesOf(to(c.takeSent(), 2)))
			require.NoError(t, c.Err())
		})
	}
	t.Run("contradiction", func(t *testing.T) {
		c, q, entries := newReading(t)
		entries[0].Term = 7
		c.LogRead(c.now, q, entries, nil)
		require.ErrorIs(t, c.Err(), ErrStopped)
	})
	t.Run("nothing", func(t *testing.T) {
		c, q, _ := newReading(t)
		c.LogRead(c.now, q, nil, nil)
		require.ErrorIs(t, c.Err(), ErrStopped)
	})
	t.Run("error", func(t *testing.T) {
		c, q, _ := newReading(t)
		cause := errors.New("disk on fire")
		c.LogRead(c.now, q, nil, cause)
		require.ErrorIs(t, c.Err(), cause)
	})
	t.Run("the core has stopped", func(t *testing.T) {
		c, q, entries := newReading(t)
		c.PersistFailed(c.now, errors.New("no space"))
		c.LogRead(c.now, q, entries, nil)
		c.drain()
		require.Empty(t, to(c.takeSent(), 2))
	})
}

// An answer to a read that was asked before a snapshot took over is not applied.
func TestLogReadForApplyThatASnapshotOvertook(t *testing.T) {
	d := diskOf(3, 1, repeat(5, 1)...)
	d.hard.Commit = 3
	c := newLoneCoreFrom(t, d.load(), nil)
	require.Len(t, c.logReads, 1)
	c.receive(installFrom(2, 1, 9, 1))
	c.persistAll()
	c.LogRead(c.now, c.logReads[0], slices.Clone(d.log), nil)
	c.drain()
	require.Empty(t, c.committed)
	require.Len(t, c.restores, 1)
	require.NoError(t, c.Err())
}

// A truncation that reaches below what the window holds in memory leaves the
// log to the storage.
func TestConflictBelowTheWindow(t *testing.T) {
	c := newLoneCore(t, 3, 2, repeat(9, 1)...)
	c.receive(appendFrom(2, 2, 3, 1, 0, testEntry(4, 2)))
	c.persistAll()
	require.Equal(t, []Term{1, 1, 1, 2}, logTerms(c.Raft))
	require.Equal(t, Index(5), c.log.window.next())
	require.Equal(t, Index(4), c.Status().Durable)
}

// L6: entries that a truncation takes away leave the account of bytes.
func TestTruncatedEntriesAreNoLongerCounted(t *testing.T) {
	c := newLoneCore(t, 3, 2, 1)
	first := testEntries(2, 1, 1, 1)
	c.receive(appendFrom(2, 2, 1, 1, 0, first...))
	other := testEntry(3, 3)
	c.receive(appendFrom(3, 3, 2, 1, 0, other))
	require.Equal(t, Index(3), c.Last())
	require.Equal(t, entrySize(&first[0])+entrySize(&other), c.log.window.bytes(1, 3))
}

func TestReadyIsEmptyWhenThereIsNothingToDo(t *testing.T) {
	c := newLoneCore(t, 3, 1, 1)
	rd := c.Ready()
	require.True(t, rd.Empty())
	c.receive(appendFrom(2, 2, 1, 1, 0))
	require.NoError(t, c.ReadIndex(c.now, 1))
	c.Persisted(c.now, c.seq)
	rd = c.Ready()
	require.False(t, rd.Empty())
}

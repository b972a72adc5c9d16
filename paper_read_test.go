package raft

import (
	"fmt"
	"testing"

	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// Linearizable reads: §8, and §6.4 of the dissertation.

// newReader is a leader of three whose first entry of its term, 2, is durable
// on itself only.
func newReader(t *testing.T) *loneCore {
	c := newLoneCore(t, 3, 1, 1)
	c.lead()
	require.Equal(t, Index(2), c.Last())
	require.Zero(t, c.Commit())
	return c
}

func (c *loneCore) echo(from NodeID, round uint64, index Index, reject bool) {
	c.t.Helper()
	m := Message{Type: raftpb.AppendEntriesReply, From: from, Term: c.term, Round: round, Index: index, Verified: index, Window: 1 << 20, Reject: reject}
	if reject {
		m.Verified = 0
	}
	c.receive(m)
}

// M29, R1: a new leader does not know what is committed before it commits an
// entry of its own term, however many echo its rounds.
func TestScenarioR1NoReadBeforeTheTermsFirstCommit(t *testing.T) {
	c := newReader(t)
	require.NoError(t, c.ReadIndex(c.now, 7))
	c.drain()
	c.echo(2, 1, 1, false)
	c.echo(3, 1, 1, false)
	require.Empty(t, c.answers)

	c.echo(2, 1, 2, false)

	require.Equal(t, []ReadState{{ID: 7, Index: 2, OK: true}}, c.answers)
}

// R3: a single voter too.
func TestScenarioR3SingleVoterReadsAfterItsFirstCommit(t *testing.T) {
	c := newLoneCore(t, 1, 1, 1)
	c.tickAt(c.Deadline())
	c.persistTo(c.seq)
	require.Equal(t, Leader, c.Role())
	require.NoError(t, c.ReadIndex(c.now, 7))
	c.drain()
	require.Empty(t, c.answers)

	c.persistAll()

	require.Equal(t, []ReadState{{ID: 7, Index: 2, OK: true}}, c.answers)
}

// M30, R2: only an echo of a round that began after the read confirms it; a
// rejection echoes as well; one peer's echoes count once; old ones do not.
func TestSection64ReadIsConfirmedByARoundThatBeganAfterIt(t *testing.T) {
	c := newReader(t)
	c.echo(2, 0, 2, false)
	require.Equal(t, Index(2), c.Commit())
	require.NoError(t, c.ReadIndex(c.now, 1)) // begins round 1
	c.drain()
	require.NoError(t, c.ReadIndex(c.now, 2)) // waits for round 2
	require.NoError(t, c.ReadIndex(c.now, 3)) // and so does this one
	c.drain()
	require.Equal(t, uint64(1), c.leading.round)

	c.echo(2, 0, 2, false)
	c.echo(3, 0, 2, false)
	require.Empty(t, c.answers, "an older round")

	c.echo(3, 1, 1, true)
	require.Equal(t, []ReadState{{ID: 1, Index: 2, OK: true}}, c.answers)
	require.Equal(t, uint64(2), c.leading.round, "round 2 begins when round 1 has ended")

	c.echo(2, 1, 2, false)
	c.echo(3, 1, 2, false)
	require.Len(t, c.answers, 1, "round 1 does not confirm what waits for round 2")

	c.echo(2, 2, 2, false)
	require.Equal(t, []ReadState{{ID: 2, Index: 2, OK: true}, {ID: 3, Index: 2, OK: true}}, c.answers[1:])
}

// A follower whose log does not match yet echoes the round all the same: reads
// do not wait for the logs to agree.
func TestSection64RejectionEchoesTheRound(t *testing.T) {
	c := newLoneCore(t, 3, 2, 1)
	m := appendFrom(2, 2, 9, 2, 0)
	m.Round = 7
	sent := c.receive(m)
	require.Len(t, sent, 1)
	require.True(t, sent[0].Reject)
	require.Equal(t, uint64(7), sent[0].Round)
}

// However many reads arrive while a round is under way, they share the next.
func TestSection64ReadsShareRounds(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.elect(1)
	c.run(DefaultHeartbeatInterval)
	heartbeats := 0
	c.cut = func(m *Message) bool {
		if m.Type == raftpb.AppendEntries {
			heartbeats++
		}
		return false
	}
	for id := range uint64(100) {
		require.NoError(t, c.readIndex(1, id+1))
	}
	c.settle()
	require.Len(t, c.node(1).reads, 100)
	require.LessOrEqual(t, heartbeats, 4)
}

// §6.4: its index is the commit index when the read arrives.
func TestSection64ReadIndexIsTheCommitIndexAtArrival(t *testing.T) {
	c := newReader(t)
	c.echo(2, 0, 2, false)
	require.NoError(t, c.ReadIndex(c.now, 7))
	c.proposeData("x")
	c.persistAll()
	c.echo(3, 1, 3, false)
	require.Equal(t, Index(3), c.Commit())
	require.Equal(t, []ReadState{{ID: 7, Index: 2, OK: true}}, c.answers)
}

// A leader that has been replaced confirms no read, whatever reaches it late;
// when it learns of it, its reads end.
func TestScenarioR2DeposedLeaderConfirmsNoRead(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.elect(1)
	require.NoError(t, c.propose(1, "a"))
	c.run(DefaultHeartbeatInterval)
	require.NoError(t, c.readIndex(1, 1))
	late := c.net
	c.net = nil
	for range 2 { // the others elect 2, and 1 hears nothing of it
		c.isolate(1)
		c.elect(2)
	}
	require.NoError(t, c.propose(2, "b"))
	c.settle()
	require.Equal(t, Leader, c.node(1).r.Role())
	require.NoError(t, c.readIndex(1, 2))

	c.heal()
	c.net = append(late, c.net...)
	c.settle()

	require.Equal(t, []ReadState{{ID: 1}, {ID: 2}}, c.node(1).reads)
	require.Equal(t, Follower, c.node(1).r.Role())
}

// Cut off from its quorum it confirms none either, and when it steps down
// they end, one way or the other (R4).
func TestSection64LeaderWithoutAQuorumConfirmsNoRead(t *testing.T) {
	c := newTestCluster(t, 5, nil)
	c.elect(1)
	c.run(DefaultHeartbeatInterval)
	c.cut = cutOff(1, 2)
	require.NoError(t, c.readIndex(1, 1))
	c.run(DefaultElectionTimeout / 2)
	require.Empty(t, c.node(1).reads)
	c.run(DefaultElectionTimeout)
	require.Equal(t, []ReadState{{ID: 1}}, c.node(1).reads)
}

// A follower passes the question on and gets the answer; one that knows of no
// leader says so.
func TestSection64ReadThroughAFollower(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	require.ErrorIs(t, c.readIndex(3, 1), ErrNotLeader)
	c.elect(1)
	require.NoError(t, c.propose(1, "a"))
	c.run(DefaultHeartbeatInterval)
	require.NoError(t, c.readIndex(3, 7))
	c.settle()
	require.Equal(t, []ReadState{{ID: 7, Index: c.node(1).r.Commit(), OK: true}}, c.node(3).reads)

	// Whoever does not lead refuses: ask again.
	asked := newLoneCore(t, 3, 1, 1)
	reply := only(t, asked.receive(Message{Type: raftpb.ReadIndex, From: 2, Term: 1, Context: 8}))
	require.Equal(t, raftpb.ReadIndexReply, reply.Type)
	require.True(t, reply.Reject)
	require.Equal(t, uint64(8), reply.Context)
}

// Reads that wait are bounded.
func TestSection64ReadsThatWaitAreBounded(t *testing.T) {
	c := newReader(t)
	for id := range uint64(maxPendingReads) {
		require.NoError(t, c.ReadIndex(c.now, id))
	}
	require.ErrorIs(t, c.ReadIndex(c.now, 0), ErrOverloaded)
	reply := only(t, ofType(c.receive(Message{Type: raftpb.ReadIndex, From: 2, Term: c.term, Context: 9}), raftpb.ReadIndexReply))
	require.True(t, reply.Reject)
	require.Equal(t, uint64(9), reply.Context)
}

// The echoes of a peer with marked storage, and of a learner, do not count.
func TestSection64WhoseEchoesDoNotCount(t *testing.T) {
	for name, marked := range map[string]bool{"marked voter": true, "learner": false} {
		t.Run(name, func(t *testing.T) {
			d := diskOf(3, 1, 1)
			d.snapshot.Membership.Members = append(d.snapshot.Membership.Members, Member{ID: 4})
			c := newLoneCoreFrom(t, d.load(), nil)
			c.lead()
			c.echo(2, 0, 2, false)
			require.NoError(t, c.ReadIndex(c.now, 7))
			c.drain()
			from := NodeID(4)
			if marked {
				from = 3
			}
			for range 3 {
				c.receive(Message{Type: raftpb.AppendEntriesReply, From: from, Term: c.term, Round: 1, Index: 2, Verified: 2, Window: 1, Marked: marked})
			}
			require.Empty(t, c.answers)
			c.echo(2, 1, 2, false)
			require.Len(t, c.answers, 1)
		})
	}
}

// --- malformed messages ---

// Each is refused as ErrMalformed, in any role, and changes nothing.
func TestScenarioL17MalformedMessagesChangeNothing(t *testing.T) {
	membership := founding(3)
	twice := Membership{Members: []Member{{ID: 1, Voter: true}, {ID: 1, Voter: true}}}
	at := func(m Message, f func(*Message)) Message { f(&m); return m }
	good := appendFrom(2, 9, 2, 1, 0, testEntry(3, 9), testEntry(4, 9))
	install := installFrom(2, 9, 9, 9)
	messages := map[string]Message{
		"to another node":       at(good, func(m *Message) { m.To = 2 }),
		"from nobody":           at(good, func(m *Message) { m.From = 0 }),
		"from itself":           at(good, func(m *Message) { m.From = 1 }),
		"another group":         at(good, func(m *Message) { m.Group = 5 }),
		"no term":               at(good, func(m *Message) { m.Term, m.LogTerm, m.Entries = 0, 0, nil }),
		"term out of range":     at(good, func(m *Message) { m.Term = MaxTerm + 1 }),
		"log term above term":   at(good, func(m *Message) { m.LogTerm = 10 }),
		"index out of range":    at(good, func(m *Message) { m.Index = MaxIndex + 1 }),
		"entries out of range":  at(good, func(m *Message) { m.Index = MaxIndex - 1 }),
		"match out of range":    at(good, func(m *Message) { m.Match = MaxIndex + 1 }),
		"verified out of range": at(good, func(m *Message) { m.Verified = MaxIndex + 1 }),
		"commit out of range":   at(good, func(m *Message) { m.Commit = MaxIndex + 1 }),
		"unmark out of range":   at(good, func(m *Message) { m.Unmark = MaxIndex + 1 }),
		"index without a term":  at(good, func(m *Message) { m.LogTerm = 0 }),
		"term without an index": at(good, func(m *Message) { m.Index = 0 }),
		"a gap":                 at(good, func(m *Message) { m.Entries = []Entry{testEntry(4, 9)} }),
		"an entry twice":        at(good, func(m *Message) { m.Entries = []Entry{testEntry(3, 9), testEntry(3, 9)} }),
		"entry of no term":      at(good, func(m *Message) { m.Entries = []Entry{testEntry(3, 0)} }),
		"entry terms descend":   at(good, func(m *Message) { m.Entries = []Entry{testEntry(3, 9), testEntry(4, 8)} }),
		"entry below prev term": at(good, func(m *Message) { m.LogTerm, m.Entries = 5, []Entry{testEntry(3, 4)} }),
		"entry of a later term": at(good, func(m *Message) { m.Entries = []Entry{testEntry(3, 10)} }),
		"entry of unknown type": at(good, func(m *Message) { m.Entries = []Entry{{Index: 3, Term: 9, Type: 77}} }),
		"membership garbage":    at(good, func(m *Message) { m.Entries = []Entry{{Index: 3, Term: 9, Type: EntryMembership, Data: []byte{0xff}}} }),
		"membership of nobody":  at(good, func(m *Message) { m.Entries = []Entry{{Index: 3, Term: 9, Type: EntryMembership}} }),
		"membership with a twin": at(good, func(m *Message) {
			m.Entries = []Entry{{Index: 3, Term: 9, Type: EntryMembership, Data: twice.Append(nil)}}
		}),
		"no snapshot":              at(install, func(m *Message) { m.Snapshot = nil }),
		"snapshot of index 0":      at(install, func(m *Message) { m.Snapshot = &Snapshot{Term: 1, Membership: membership} }),
		"snapshot of term 0":       at(install, func(m *Message) { m.Snapshot = &Snapshot{Index: 1, Membership: membership} }),
		"snapshot of a later term": at(install, func(m *Message) { m.Snapshot = &Snapshot{Index: 1, Term: 10, Membership: membership} }),
		"snapshot out of range":    at(install, func(m *Message) { m.Snapshot = &Snapshot{Index: MaxIndex + 1, Term: 1, Membership: membership} }),
		"snapshot without members": at(install, func(m *Message) { m.Snapshot = &Snapshot{Index: 1, Term: 1} }),
		"snapshot with a later membership": at(install, func(m *Message) {
			m.Snapshot = &Snapshot{Index: 1, Term: 1, Membership: membership, MembershipIndex: 2}
		}),
		"vote with an index without a term": {Type: raftpb.RequestVote, From: 2, Term: 9, Index: 1},
		"vote with a term without an index": {Type: raftpb.RequestVote, From: 2, Term: 9, LogTerm: 1},
		"vote with a log of its own term":   {Type: raftpb.RequestVote, From: 2, Term: 9, Index: 1, LogTerm: 9},
		"pre-vote with a log of its term":   {Type: raftpb.PreVote, From: 2, Term: 9, Index: 1, LogTerm: 9},
		"granted pre-vote of no term":       {Type: raftpb.PreVoteReply, From: 2},
		"no type":                           {From: 2, Term: 9},
		"unknown type":                      {Type: 99, From: 2, Term: 9},
		"a proposal":                        {Type: raftpb.Propose, From: 2, Term: 9},
		"a proposal's reply":                {Type: raftpb.ProposeReply, From: 2, Term: 9},
	}
	for name, m := range messages {
		t.Run(name, func(t *testing.T) {
			for _, role := range []Role{Follower, PreCandidate, Candidate, Leader} {
				c := coreInRole(t, role)
				before, ignored, writes := snapshotOf(c.Raft), c.ignored, len(c.writes)

				err := c.try(m)

				require.ErrorIs(t, err, ErrMalformed)
				require.Equal(t, before, snapshotOf(c.Raft))
				require.Equal(t, ignored+1, c.ignored)
				require.Len(t, c.writes, writes)
				require.Empty(t, c.sent)
				require.NoError(t, c.Err())
			}
		})
	}
}

// What contradicts this replica's own knowledge is refused too, and neither
// log, commit index nor match change.
func TestContradictionsAreMalformed(t *testing.T) {
	t.Run("a second leader", func(t *testing.T) {
		c := newLoneCore(t, 3, 1, 1)
		c.receive(appendFrom(2, 1, 1, 1, 1))
		require.ErrorIs(t, c.try(appendFrom(3, 1, 0, 0, 0, testEntry(1, 1))), ErrMalformed)
		require.ErrorIs(t, c.try(installFrom(3, 1, 9, 1)), ErrMalformed)
		require.Equal(t, NodeID(2), c.Leader())
		require.Equal(t, Index(1), c.Last())
	})
	t.Run("a committed entry of another term", func(t *testing.T) {
		for _, m := range []Message{
			appendFrom(2, 3, 2, 2, 2),
			appendFrom(2, 3, 1, 1, 2, testEntry(2, 2), testEntry(3, 3)),
		} {
			d := diskOf(3, 3, 1, 1, 1)
			d.hard.Commit = 2
			c := newLoneCoreFrom(t, d.load(), nil)
			require.ErrorIs(t, c.try(m), ErrMalformed)
			require.Equal(t, []Term{1, 1, 1}, logTerms(c.Raft))
			require.Equal(t, Index(2), c.Commit())
		}
	})
	t.Run("an acknowledgement", func(t *testing.T) {
		for i, m := range []Message{
			{Index: 3, Verified: 3},               // beyond the leader's log (M18)
			{Index: 2, Verified: 3},               //
			{Index: 2, Verified: 1},               // durable, not received
			{Index: 2, Verified: 2, Round: 1},     // of a round that has not begun
			{Index: 2, Verified: 3, Reject: true}, //
		} {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				c := newReader(t)
				m.Type, m.From, m.Term = raftpb.AppendEntriesReply, 2, c.term
				require.ErrorIs(t, c.try(m), ErrMalformed)
				require.Zero(t, c.peer(2).match)
				require.Zero(t, c.Commit())
			})
		}
	})
	t.Run("a snapshot's acknowledgement", func(t *testing.T) {
		c := newReader(t)
		require.ErrorIs(t, c.try(Message{Type: raftpb.InstallSnapshotReply, From: 2, Term: c.term, Index: 3}), ErrMalformed)
		require.Zero(t, c.peer(2).match)
	})
}

// Answers from strangers, and to nobody, are ignored, and counted.
func TestAnswersFromStrangersAreIgnored(t *testing.T) {
	for _, kind := range []raftpb.MessageType{
		raftpb.PreVoteReply, raftpb.RequestVoteReply, raftpb.AppendEntriesReply, raftpb.InstallSnapshotReply, raftpb.ReadIndexReply, raftpb.TimeoutNow,
	} {
		for _, role := range []Role{Follower, PreCandidate, Candidate, Leader} {
			c := coreInRole(t, role)
			before, ignored := snapshotOf(c.Raft), c.ignored
			term := c.term
			if kind == raftpb.PreVoteReply {
				term++
			}
			c.receive(Message{Type: kind, From: 99, Term: term})
			require.Equal(t, before, snapshotOf(c.Raft), "%v %v", kind, role)
			require.Equal(t, ignored+1, c.ignored, "%v %v", kind, role)
		}
	}
}

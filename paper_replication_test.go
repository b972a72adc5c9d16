package raft

import (
	"fmt"
	"slices"
	"testing"

	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// The paper's rules of replication and commitment: §5.3, §5.4.2, figures 2, 7
// and 8, and what this design adds to them: pipelining and flow control.

// Figure 2, AppendEntries, receiver: each of its five rules.
func TestFigure2AppendEntriesReceiver(t *testing.T) {
	for _, test := range []struct {
		name       string
		m          Message
		reject     bool
		log        []Term
		verified   Index
		hint       Index
		hintTerm   Term
		noMoreThan Index // commit
	}{
		{name: "1: stale term", m: appendFrom(2, 4, 3, 1, 3), reject: true, log: []Term{1, 1, 1, 3, 3}},
		{name: "2: no entry at prevLogIndex", m: appendFrom(2, 5, 7, 5, 0, testEntry(8, 5)), reject: true,
			log: []Term{1, 1, 1, 3, 3}, hint: 5, hintTerm: 3},
		{name: "2: another term at prevLogIndex", m: appendFrom(2, 5, 5, 2, 0, testEntry(6, 5)), reject: true,
			log: []Term{1, 1, 1, 3, 3}, hint: 3, hintTerm: 1},
		{name: "3: a conflict deletes it and all that follow", m: appendFrom(2, 5, 3, 1, 0, testEntry(4, 4)),
			log: []Term{1, 1, 1, 4}, verified: 4},
		{name: "3: a conflict in the middle", m: appendFrom(2, 5, 2, 1, 0, testEntries(3, 1, 3, 5)...),
			log: []Term{1, 1, 1, 3, 5}, verified: 5},
		{name: "3: entries that are there delete nothing", m: appendFrom(2, 5, 1, 1, 0, testEntries(2, 1, 1)...),
			log: []Term{1, 1, 1, 3, 3}, verified: 3},
		{name: "3: nor does a heartbeat", m: appendFrom(2, 5, 1, 1, 0), log: []Term{1, 1, 1, 3, 3}, verified: 1},
		{name: "4: new entries are appended", m: appendFrom(2, 5, 5, 3, 0, testEntries(6, 4, 5)...),
			log: []Term{1, 1, 1, 3, 3, 4, 5}, verified: 7},
		{name: "4: an empty prefix", m: appendFrom(2, 5, 0, 0, 0, testEntries(1, 1, 1, 1, 3, 3, 5)...),
			log: []Term{1, 1, 1, 3, 3, 5}, verified: 6},
		{name: "5: commit up to leaderCommit", m: appendFrom(2, 5, 5, 3, 4), log: []Term{1, 1, 1, 3, 3}, verified: 5, noMoreThan: 4},
		{name: "5: commit up to the last entry verified", m: appendFrom(2, 5, 2, 1, 5), log: []Term{1, 1, 1, 3, 3}, verified: 2, noMoreThan: 2},
		{name: "5: commit up to the last new entry", m: appendFrom(2, 5, 2, 1, 5, testEntry(3, 1)), log: []Term{1, 1, 1, 3, 3}, verified: 3, noMoreThan: 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newLoneCore(t, 3, 5, 1, 1, 1, 3, 3)

			replies := c.receive(test.m)
			reply := only(t, append(replies, c.persistAll()...))

			require.Equal(t, test.reject, reply.Reject)
			require.Equal(t, test.log, logTerms(c.Raft))
			require.Equal(t, test.noMoreThan, c.Commit())
			if test.reject {
				require.Equal(t, test.m.Index, reply.Index, "what is rejected")
				require.Equal(t, test.hint, reply.Match)
				require.Equal(t, test.hintTerm, reply.LogTerm)
				return
			}
			require.Equal(t, test.verified, reply.Verified)
			require.Equal(t, test.verified, reply.Index)
		})
	}
}

// A duplicated and reordered AppendEntries changes nothing (§5.3; L14, M8).
func TestSection53OldAppendEntriesTruncateNothing(t *testing.T) {
	c := newLoneCore(t, 3, 2, 1)
	messages := []Message{}
	for i := Index(1); i < 9; i++ {
		prevTerm := Term(2)
		if i == 1 {
			prevTerm = 1
		}
		messages = append(messages, appendFrom(2, 2, i, prevTerm, i-1, testEntry(i+1, 2)))
		c.receive(messages[i-1])
	}
	c.persistAll()
	writes := len(c.writes)

	for _, m := range slices.Backward(messages) {
		reply := only(t, c.receive(m))
		require.False(t, reply.Reject)
		require.Equal(t, Index(9), reply.Index)
	}

	require.Equal(t, Index(9), c.Last())
	require.Equal(t, Index(7), c.Commit())
	require.Len(t, c.writes, writes)
}

// What was verified in one term says nothing in the next (M17): the entries
// that stand there may be the old leader's alone.
func TestSection53VerifiedIsOfOneTerm(t *testing.T) {
	c := newLoneCore(t, 3, 1, 1)
	c.receive(appendFrom(2, 1, 1, 1, 0, testEntries(2, 1, 1, 1)...))
	require.Equal(t, Index(4), only(t, c.persistAll()).Index)

	c.receive(appendFrom(3, 2, 1, 1, 9))
	reply := only(t, c.persistAll())

	require.Equal(t, Index(1), reply.Index)
	require.Equal(t, Index(1), c.Commit())
}

// And the leader of a new term knows of no match.
func TestSection53MatchIsOfOneTerm(t *testing.T) {
	c := newLoneCore(t, 3, 1, 1)
	c.lead()
	c.ack(2, 2)
	require.Equal(t, Index(2), c.peer(2).match)
	c.receive(appendFrom(3, c.term+1, 2, 2, 0))
	c.persistAll()

	c.now = c.Deadline()
	c.lead()

	require.Zero(t, c.peer(2).match)
	require.Zero(t, c.peer(2).round)
	require.Equal(t, Index(2), c.Commit())
}

// §5.3: "Leader Append-Only: a leader never overwrites or deletes entries in
// its log", whoever asks.
func TestSection53LeaderIsAppendOnly(t *testing.T) {
	c := newLoneCore(t, 3, 1, 1, 1)
	c.lead()
	before := logTerms(c.Raft)
	snapshot := &Snapshot{Index: 90, Term: 1, Membership: founding(3)}

	require.ErrorIs(t, c.try(appendFrom(2, c.term, 1, 1, 0, testEntry(2, 2))), ErrMalformed)
	require.ErrorIs(t, c.try(Message{Type: raftpb.InstallSnapshot, From: 2, Term: c.term, Snapshot: snapshot}), ErrMalformed)

	require.Equal(t, before, logTerms(c.Raft))
	require.Equal(t, Leader, c.Role())
}

// figure7 has the logs of the paper's figure 7: the leader's of term 8, and the
// followers' a to f.
var figure7 = [][]Term{
	{1, 1, 1, 4, 4, 5, 5, 6, 6, 6},
	{1, 1, 1, 4, 4, 5, 5, 6, 6},
	{1, 1, 1, 4},
	{1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6},
	{1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7},
	{1, 1, 1, 4, 4, 4, 4},
	{1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3},
}

func TestFigure7LeaderOfTerm8BringsEveryLogIntoLine(t *testing.T) {
	for _, oneByOne := range []bool{false, true} {
		t.Run(fmt.Sprintf("one entry per message %v", oneByOne), func(t *testing.T) {
			disks := []*testDisk{}
			for _, terms := range figure7 {
				disks = append(disks, diskOf(len(figure7), 7, terms...))
			}
			c := newClusterOf(t, func(cfg *CoreConfig) {
				if oneByOne {
					cfg.MaxMessageBytes = 1
				}
			}, disks...)
			c.now = c.node(1).r.Deadline()
			c.tick(1)
			c.settle()
			require.Equal(t, Leader, c.node(1).r.Role())
			require.Equal(t, Term(8), c.node(1).r.Term())

			c.run(2 * DefaultHeartbeatInterval)

			want := append(slices.Clone(figure7[0]), 8)
			for _, n := range c.nodes {
				require.Equal(t, want, logTerms(n.r), "node %d", n.id)
				require.Equal(t, Index(len(want)), n.r.Commit())
			}
			c.requireConsistent()
		})
	}
}

// The logs of c and d are more up to date than the leader's: they vote for
// nobody of figure 7 but each other, and yet follow.
func TestFigure7WhoVotesForWhom(t *testing.T) {
	for candidate := range figure7 {
		for voter := range figure7 {
			if candidate == voter {
				continue
			}
			asks, own := figure7[candidate], figure7[voter]
			c := newLoneCore(t, 7, 7, own...)
			replies := c.receive(Message{
				Type: raftpb.RequestVote, From: 2, Term: 8, Index: Index(len(asks)), LogTerm: asks[len(asks)-1],
			})
			reply := only(t, append(replies, c.persistAll()...))
			asksTerm, ownTerm := asks[len(asks)-1], own[len(own)-1]
			require.Equal(t, asksTerm > ownTerm || asksTerm == ownTerm && len(asks) >= len(own), !reply.Reject)
		}
	}
}

// Figure 8: an entry of an earlier term that is stored on a majority can still
// be overwritten; so it is never committed by counting (§5.4.2).
func TestScenarioL10Figure8EntryOfAnEarlierTermIsNotCommittedByCounting(t *testing.T) {
	for _, ownEntryReplicated := range []bool{false, true} {
		name := map[bool]string{false: "d: overwritten by S5", true: "e: committed with an entry of term 4"}[ownEntryReplicated]
		t.Run(name, func(t *testing.T) {
			// (b) S1 led term 2 and wrote index 2 on S1 and S2; S5 leads
			// term 3, by the votes of S3 and S4, and wrote another index 2.
			c := newClusterOf(t, nil,
				diskOf(5, 3, 1, 2), diskOf(5, 2, 1, 2), diskOf(5, 3, 1), diskOf(5, 3, 1), diskOf(5, 3, 1, 3))
			// (c) S5 crashes; S1 is elected in term 4 and continues to
			// replicate index 2, to S3, and to S2, which has it. Its own
			// entry of term 4 gets nowhere.
			c.crash(5)
			stripped := func(m *Message) bool {
				m.Entries = slices.DeleteFunc(slices.Clone(m.Entries), func(e Entry) bool { return e.Term == 4 })
				return max(m.From, m.To) == 4 && m.Type >= raftpb.AppendEntries
			}
			c.cut = stripped
			c.now = c.node(1).r.Deadline()
			c.tick(1)
			c.run(4 * DefaultHeartbeatInterval)
			require.Equal(t, Leader, c.node(1).r.Role())
			require.Equal(t, Term(4), c.node(1).r.Term())
			for _, id := range []NodeID{1, 2, 3} {
				e := c.node(id).disk.entry(2)
				require.NotNil(t, e)
				require.Equal(t, Term(2), e.Term, "index 2 is on a majority")
			}
			require.Equal(t, Index(2), c.node(1).r.peer(2).match)
			require.Equal(t, Index(2), c.node(1).r.peer(3).match)
			require.Zero(t, c.node(1).r.Commit())

			if !ownEntryReplicated {
				// (d) S1 crashes; S5 is elected and overwrites index 2.
				c.crash(1)
				c.heal()
				c.start(5)
				c.elect(5)
				c.start(1)
				c.run(2 * DefaultHeartbeatInterval)
				c.requireConsistent()
				for _, n := range c.nodes {
					require.Equal(t, []Term{1, 3}, logTerms(n.r)[:2])
				}
				return
			}
			// (e) S1 replicates its entry of term 4 on a majority: with it
			// index 2 is committed, and S5 cannot win.
			c.cut = func(m *Message) bool { return max(m.From, m.To) == 4 }
			c.run(2 * DefaultHeartbeatInterval)
			require.Equal(t, Index(3), c.node(1).r.Commit())
			c.crash(1)
			c.heal()
			c.start(5)
			c.run(10 * DefaultElectionTimeout)
			require.NotEqual(t, NodeID(5), c.leader())
			require.NotZero(t, c.leader())
			c.start(1)
			c.run(5 * DefaultElectionTimeout)
			c.requireConsistent()
			require.Equal(t, []Term{1, 2, 4}, logTerms(c.node(5).r)[:3])
		})
	}
}

// A leader commits what a majority holds durably, itself included only once
// its own write is (figure 2; M11, M12, M14).
func TestSection53LeaderCommitsWhatAMajorityHoldsDurably(t *testing.T) {
	for size := 1; size <= 7; size++ {
		for _, ownDurable := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d voters, own write durable %v", size, ownDurable), func(t *testing.T) {
				c := newLoneCore(t, size, 1, 1)
				c.lead()
				for i := range c.peers {
					c.ack(c.peers[i].id, 2)
				}
				require.Equal(t, Index(2), c.Commit())
				c.proposeData("x")
				copies := 0
				if ownDurable {
					c.persistAll()
					copies++
				}
				for i := 0; ; i++ {
					require.Equal(t, copies >= size/2+1, c.Commit() == 3, "%d copies", copies)
					if i == len(c.peers) {
						break
					}
					c.ack(c.peers[i].id, 3)
					copies++
				}
			})
		}
	}
}

// Nobody applies what it does not hold durably itself, a single voter least of
// all (L1, M34).
func TestScenarioL1NothingIsAppliedBeforeItIsDurable(t *testing.T) {
	t.Run("single voter", func(t *testing.T) {
		c := newLoneCore(t, 1, 1)
		c.lead()
		c.Applied(c.now, 1)
		c.committed = nil
		c.proposeData("x")
		require.Equal(t, Index(1), c.Commit())
		require.Empty(t, c.committed)
		c.persistAll()
		require.Equal(t, Index(2), c.Commit())
		require.Len(t, c.committed, 1)
	})
	t.Run("leader whose disk is slow", func(t *testing.T) {
		c := newLoneCore(t, 3, 1)
		c.lead()
		c.ack(2, 1)
		c.Applied(c.now, 1)
		c.committed = nil
		c.proposeData("x")
		c.ack(2, 2)
		c.ack(3, 2)
		require.Equal(t, Index(2), c.Commit(), "a majority holds it")
		require.Empty(t, c.committed)
		c.persistAll()
		require.Len(t, c.committed, 1)
	})
	t.Run("follower", func(t *testing.T) {
		c := newLoneCore(t, 3, 1)
		c.receive(appendFrom(2, 1, 0, 0, 1, testEntry(1, 1)))
		require.Equal(t, Index(1), c.Commit())
		require.Empty(t, c.committed)
		c.persistAll()
		require.Len(t, c.committed, 1)
	})
}

// Dissertation §10.2.1: entries go to the followers while they go to the
// leader's own disk.
func TestLeaderSendsBeforeItsOwnWriteIsDurable(t *testing.T) {
	c := newLoneCore(t, 3, 1)
	c.lead()
	c.ack(2, 1)
	c.ack(3, 1)
	c.proposeData("x")
	require.Len(t, ofType(c.takeSent(), raftpb.AppendEntries), 2)
	require.Less(t, c.Status().Durable, Index(2))
}

// §5.3: a divergent tail is repaired in round trips that grow with the terms
// in conflict, not with the entries.
func TestScenarioL8ConflictsAreFoundInRoundTripsPerTerm(t *testing.T) {
	tail := func(entries int, terms ...Term) []Term {
		log := repeat(10, 1)
		for i := range entries {
			log = append(log, terms[i*len(terms)/entries])
		}
		return log
	}
	for _, test := range []struct {
		name             string
		leader, follower []Term
		rejections       int
	}{
		{"10,000 entries of 1 term", tail(10_000, 9), tail(10_000, 8), 1},
		{"10,000 entries of 3 terms", tail(10_000, 9), tail(10_000, 6, 7, 8), 1},
		{"10,000 entries of 3 terms, the leader's too", tail(10_000, 3, 6, 9), tail(10_000, 2, 5, 8), 3},
		{"a short leader", tail(3, 9), tail(10_000, 6, 7, 8), 1},
		{"a long leader of the same terms", tail(10_000, 6, 7, 8, 9), tail(10_000, 6, 7, 8, 9)[:5_000], 1},
		{"a long leader", tail(10_000, 9), tail(3, 6, 7, 8), 2},
		{"an empty follower", tail(10_000, 9), nil, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClusterOf(t, nil, diskOf(2, 9, test.leader...), diskOf(2, 9, test.follower...))
			rejections := 0
			c.cut = func(m *Message) bool {
				if m.Type == raftpb.AppendEntriesReply && m.Reject {
					rejections++
				}
				return false
			}
			c.now = c.node(1).r.Deadline()
			c.tick(1)
			c.settle()

			require.Equal(t, Leader, c.node(1).r.Role())
			require.LessOrEqual(t, rejections, test.rejections)
			require.True(t, slices.Equal(append(slices.Clone(test.leader), 10), logTerms(c.node(2).r)))
			require.Equal(t, c.node(1).r.Last(), c.node(1).r.Commit())
		})
	}
}

// M15, L4: replies that are late or come twice neither lower nor raise match.
func TestLateRepliesNeitherLowerNorRaiseMatch(t *testing.T) {
	c := newLoneCore(t, 3, 1, repeat(9, 1)...)
	c.lead()
	c.ack(2, 10)
	for _, m := range []Message{
		{Index: 4, Verified: 4},                         // an old acknowledgement
		{Index: 0, Verified: 10},                        // received, not durable
		{Index: 10, Match: 3, LogTerm: 1, Reject: true}, // an old rejection
		{Index: 3, Match: 0, Reject: true},
	} {
		m.Type, m.From, m.Term, m.Window = raftpb.AppendEntriesReply, 2, c.term, 1<<20
		c.receive(m)
		require.Equal(t, Index(10), c.peer(2).match)
		require.GreaterOrEqual(t, c.peer(2).next, Index(11))
	}
	// A rejection is no acknowledgement of what it rejects, or hints at.
	c.receive(Message{Type: raftpb.AppendEntriesReply, From: 3, Term: c.term, Reject: true, Index: 9, Match: 8, LogTerm: 1, Window: 1})
	require.Zero(t, c.peer(3).match)
}

// Entries go out before earlier ones are acknowledged, each of them once, up to
// the window that the peer has advertised; acknowledgements make room.
func TestPipeliningKeepsToThePeersWindow(t *testing.T) {
	const size = 100 - entryOverhead
	c := newLoneCore(t, 3, 1)
	c.lead()
	ack := func(index, verified Index, window uint64) {
		t.Helper()
		c.receive(Message{Type: raftpb.AppendEntriesReply, From: 2, Term: c.term, Index: index, Verified: verified, Window: window})
	}
	sent := func() (entries []Index) {
		for _, m := range to(c.takeSent(), 2) {
			for i := range m.Entries {
				entries = append(entries, m.Entries[i].Index)
			}
		}
		return entries
	}
	ack(1, 1, 350)
	for range 10 {
		c.proposeData(string(make([]byte, size)))
	}
	require.Equal(t, []Index{2, 3, 4}, sent())

	// The first is received, not durable: the rest of the window.
	c.sent = c.sent[:0]
	m := c.receive(Message{Type: raftpb.AppendEntriesReply, From: 2, Term: c.term, Index: 1, Verified: 2, Window: 250})
	require.Empty(t, to(m, 2), "two of 100 on the way, room for 250")
	m = c.receive(Message{Type: raftpb.AppendEntriesReply, From: 2, Term: c.term, Index: 2, Verified: 4, Window: 150})
	require.Equal(t, []Index{5}, indexesOf(to(m, 2)))

	// Closed, and open again.
	m = c.receive(Message{Type: raftpb.AppendEntriesReply, From: 2, Term: c.term, Index: 2, Verified: 5, Window: 0})
	require.Empty(t, to(m, 2))
	m = c.receive(Message{Type: raftpb.AppendEntriesReply, From: 2, Term: c.term, Index: 5, Verified: 5, Window: 1000})
	require.Equal(t, []Index{6, 7, 8, 9, 10, 11}, indexesOf(to(m, 2)))
}

func indexesOf(messages []Message) (entries []Index) {
	for _, m := range messages {
		for i := range m.Entries {
			entries = append(entries, m.Entries[i].Index)
		}
	}
	return entries
}

// A follower accepts the prefix that fits, says so, and says unasked when its
// window reopens.
func TestFollowersWindowClosesAndReopensUnasked(t *testing.T) {
	const size = 100 - entryOverhead
	entry := func(i Index) Entry { return Entry{Index: i, Term: 1, Data: make([]byte, size)} }
	c := newLoneCoreFrom(t, diskOf(3, 1).load(), func(cfg *CoreConfig) { cfg.MaxWindowBytes = 250 })

	require.Empty(t, c.receive(appendFrom(2, 1, 0, 0, 0, entry(1), entry(2), entry(3), entry(4))))
	require.Equal(t, Index(2), c.Last())
	reply := only(t, c.receive(appendFrom(2, 1, 0, 0, 0)))
	require.Equal(t, uint64(50), reply.Window)
	require.Equal(t, Index(2), reply.Verified)
	require.Zero(t, reply.Index)

	reply = only(t, c.persistAll())
	require.Equal(t, uint64(250), reply.Window)
	require.Equal(t, Index(2), reply.Index)

	// One entry of any size fits into an empty window.
	large := Entry{Index: 3, Term: 1, Data: make([]byte, 5000)}
	c.receive(appendFrom(2, 1, 2, 1, 0, large, entry(4)))
	require.Equal(t, Index(3), c.Last())
	reply = only(t, c.persistAll())
	require.Equal(t, Index(3), reply.Index)
	require.Equal(t, uint64(250), reply.Window)
}

// A leader takes no more than MaxUncommittedBytes, but always one proposal; all
// of a call or none; nothing larger than an entry may be (L6).
func TestScenarioL6UncommittedBytesDoNotLeak(t *testing.T) {
	c := newLoneCoreFrom(t, diskOf(3, 1).load(), func(cfg *CoreConfig) { cfg.MaxUncommittedBytes, cfg.MaxEntryBytes = 300, 1000 })
	_, err := c.Propose(0, []Entry{{}})
	require.ErrorIs(t, err, ErrNotLeader)
	c.lead()
	entry := Entry{Data: make([]byte, 100-entryOverhead)}
	for range 100 {
		index, err := c.Propose(c.now, []Entry{entry, entry})
		require.NoError(t, err)
		require.Equal(t, c.Last()-1, index)
		last := c.Last()
		_, err = c.Propose(c.now, []Entry{entry, entry})
		require.ErrorIs(t, err, ErrOverloaded)
		require.Equal(t, last, c.Last(), "all or none")
		c.drain()
		c.persistAll()
		c.ack(2, c.Last())
		require.Equal(t, last, c.Commit())
		c.Applied(c.now, c.Commit())
		c.drain()
	}
	_, err = c.Propose(c.now, []Entry{{Data: make([]byte, 1001)}})
	require.ErrorIs(t, err, ErrTooLarge)
	_, err = c.Propose(c.now, []Entry{{Type: EntryMembership}})
	require.ErrorIs(t, err, ErrMalformed)
	_, err = c.Propose(c.now, []Entry{{Data: make([]byte, 1000)}})
	require.NoError(t, err, "one of any legal size when nothing is uncommitted")
}

package raft

import (
	"errors"
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
func TestFigure8EntryOfAnEarlierTermIsNotCommittedByCounting(t *testing.T) {
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
func TestNothingIsAppliedBeforeItIsDurable(t *testing.T) {
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
func TestSection53ConflictsAreFoundInRoundTripsPerTerm(t *testing.T) {
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
func TestProposeIsBounded(t *testing.T) {
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
	}
	_, err = c.Propose(c.now, []Entry{{Data: make([]byte, 1001)}})
	require.ErrorIs(t, err, ErrTooLarge)
	_, err = c.Propose(c.now, []Entry{{Type: EntryMembership}})
	require.ErrorIs(t, err, ErrMalformed)
	_, err = c.Propose(c.now, []Entry{{Data: make([]byte, 1000)}})
	require.NoError(t, err, "one of any legal size when nothing is uncommitted")
}

// --- log reads ---

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
func TestLogReadForApplyAfterARestart(t *testing.T) {
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
func TestPersistFailedStopsEverything(t *testing.T) {
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
func TestSection7InstallSnapshot(t *testing.T) {
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
func TestSection7SnapshotOfAStaleTerm(t *testing.T) {
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

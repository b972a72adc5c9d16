package raft

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// What is sent again, and what is not: loss is told from delay by rounds.

// A round trip of four heartbeat intervals is no loss: every entry is sent once.
func TestLongLinkSendsEachEntryOnce(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.elect(1)
	c.run(time.Second)
	type late struct {
		at Instant
		f  flying
	}
	const oneWay = 2 * DefaultHeartbeatInterval
	var wire []late
	sent := map[Index]int{}
	launch := func() {
		for _, f := range c.net {
			for _, e := range f.m.Entries {
				if f.m.To == 2 {
					sent[e.Index]++
				}
			}
			wire = append(wire, late{c.now.Add(oneWay), f})
		}
		c.net = nil
	}
	for ms := range 2000 {
		c.now = c.now.Add(time.Millisecond)
		if ms == 500 {
			for i := range 10 {
				require.NoError(t, c.propose(1, fmt.Sprint(i)))
			}
		}
		for len(wire) > 0 && wire[0].at <= c.now {
			f := wire[0].f
			wire = wire[1:]
			c.receive(f)
			launch()
		}
		for _, n := range c.nodes {
			if n.r.Deadline() <= c.now {
				c.tick(n.id)
			}
			for len(n.writes) > 0 {
				c.persist(n.id)
			}
			c.applyNext(n.id)
		}
		launch()
	}
	require.Len(t, sent, 10)
	for index, times := range sent {
		require.Equal(t, 1, times, "entry %d", index)
	}
	require.Equal(t, c.node(1).r.Last(), c.node(1).r.Commit())
}

// On a network that reorders everything, a peer that lacks much is sent it a
// few times over, no more: what it rejects of a pipeline that has collapsed, and
// what it had acknowledged before, starts no pipeline of its own beside the one
// under way. (Each of some hundred answers did, and each of those hundreds more.)
// And it catches up: pipelines become as short as such a network can carry.
func TestReorderingDoesNotMultiply(t *testing.T) {
	const lacks = 500
	for name, start := range map[string]func(c *testCluster){
		"a peer that was down": func(c *testCluster) { c.start(2) },
		"a wiped peer":         func(c *testCluster) { c.wipe(2, Membership{}) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestCluster(t, 3, func(c *CoreConfig) { c.MaxMessageBytes = 100 })
			c.elect(1)
			c.run(time.Second)
			c.crash(2)
			for i := range lacks {
				require.NoError(t, c.propose(1, fmt.Sprint(i)))
				c.settle()
			}
			start(c)

			type late struct {
				at Instant
				f  flying
			}
			var wire []late
			random := rand.New(rand.NewPCG(1, 1))
			sent := 0
			for ms := range 15000 {
				c.now = c.now.Add(time.Millisecond)
				launch := func() {
					for _, f := range c.net {
						sent++
						wire = append(wire, late{c.now.Add(5*time.Millisecond + time.Duration(random.Int64N(int64(10*time.Millisecond)))), f})
					}
					c.net = nil
					require.Less(t, sent, 20*lacks, "after %v", time.Duration(ms)*time.Millisecond)
				}
				slices.SortStableFunc(wire, func(a, b late) int { return cmp.Compare(a.at, b.at) })
				for len(wire) > 0 && wire[0].at <= c.now {
					f := wire[0].f
					wire = wire[1:]
					c.receive(f)
					launch()
				}
				for _, n := range c.nodes {
					if n.r.Deadline() <= c.now {
						c.tick(n.id)
					}
					for len(n.writes) > 0 && (n.id != 2 || ms%50 == 0) {
						c.persist(n.id)
					}
					c.applyNext(n.id)
					for len(n.logReads) > 0 {
						c.answerLogRead(n.id)
					}
				}
				launch()
			}
			require.Equal(t, c.node(1).r.Commit(), c.node(2).r.Commit())
		})
	}
}

// A dead peer costs one probe and one read of the log, not one with every
// heartbeat; when it is back, it is sent what it lacks.
func TestDeadPeerCostsOneProbe(t *testing.T) {
	c := newTestCluster(t, 3, func(c *CoreConfig) { c.MaxWindowBytes = 1 << 14 })
	c.elect(1)
	c.run(time.Second)
	c.crash(3)
	leader := c.node(1).r
	leader.Unreachable(c.now, 3)
	for range 40 { // more than the window holds
		require.NoError(t, c.propose(1, string(make([]byte, 1<<10))))
		c.settle()
	}
	require.Greater(t, leader.log.window.first, leader.peer(3).next)
	probes, reads := 0, 0
	for range 100 {
		c.now = leader.Deadline()
		c.tick(1)
		for len(c.net) > 0 {
			if m := &c.net[0].m; m.To == 3 && len(m.Entries) > 0 {
				probes++
			}
			c.deliver(0)
		}
		if n := c.node(1); len(n.logReads) > 0 {
			reads++
			c.answerLogRead(1)
		}
		c.settle()
	}
	require.LessOrEqual(t, probes, 1)
	require.LessOrEqual(t, reads, 1)

	c.start(3)
	c.run(20 * DefaultHeartbeatInterval)
	c.requireConsistent()
}

// A probe that is lost is repeated once the peer answers a later round.
func TestScenarioL12LostProbeIsRepeated(t *testing.T) {
	c := newTestCluster(t, 2, nil)
	c.elect(1)
	c.run(time.Second)
	leader := c.node(1).r
	leader.Unreachable(c.now, 2)
	require.NoError(t, c.propose(1, "a"))
	c.cut = func(m *Message) bool { return len(m.Entries) > 0 }
	c.run(3 * DefaultHeartbeatInterval)
	require.Less(t, leader.Commit(), leader.Last())
	c.heal()
	c.run(3 * DefaultHeartbeatInterval)
	require.Equal(t, leader.Last(), leader.Commit())
}

// Heartbeats that overtake entries, as on a connection of their own, do not have
// the entries sent again while they are on a slow way: the leader asks, once in
// a round, after the last of them. The answer to that says what to do.
func TestEntriesThatHeartbeatsOvertakeAreAskedAfter(t *testing.T) {
	for name, lost := range map[string]bool{"slow": false, "lost": true} {
		t.Run(name, func(t *testing.T) {
			c := newPipeline(t, 1<<30, nil)
			before := c.Last()
			for i := range 3 {
				c.proposeData(fmt.Sprint(i))
			}
			sent, _ := bulk(c.takeSent())
			require.Len(t, sent, 3)
			now := c.now
			for range 5 {
				now = now.Add(DefaultHeartbeatInterval)
				c.tickAt(now)
				c.takeSent()
				asks := c.replyOf2(before, 1<<30)
				require.Len(t, asks, 1)
				require.Equal(t, c.Last(), asks[0].Index, "after the last one")
				require.Empty(t, asks[0].Entries)
				require.Empty(t, c.replyOf2(before, 1<<30), "once in a round")
			}
			if !lost {
				require.Empty(t, c.replyOf2(c.Last(), 1<<30))
				return
			}
			again := c.receive(Message{
				Type: raftpb.AppendEntriesReply, From: 2, Term: c.term, Reject: true, Index: c.Last(), Match: before,
				LogTerm: 1, Verified: before, Round: c.leading.round, Window: 1 << 30,
			})
			again, _ = bulk(again)
			require.NotEmpty(t, again)
			require.Equal(t, before+1, again[0].Entries[0].Index)
		})
	}
}

// While the storage is slow, one read for a peer is under way, whatever else
// happens.
func TestLogReadsForAPeerDoNotPileUp(t *testing.T) {
	c := newTestCluster(t, 3, func(c *CoreConfig) { c.MaxWindowBytes = 256 })
	c.elect(1)
	c.run(time.Second)
	c.isolate(3)
	for i := range 20 {
		require.NoError(t, c.propose(1, fmt.Sprint(i)))
		c.settle()
	}
	c.heal()
	n := c.node(1)
	for range 50 {
		c.now = n.r.Deadline()
		c.tick(1)
		n.r.Unreachable(c.now, 3)
		for len(c.net) > 0 {
			c.deliver(0)
		}
	}
	require.Len(t, n.logReads, 1)
	c.run(10 * DefaultHeartbeatInterval)
	c.requireConsistent()
}

// The storage may know of a compaction before the core does.
func TestLogReadForAPeerThatFindsTheLogCompacted(t *testing.T) {
	c := newTestCluster(t, 3, func(c *CoreConfig) { c.MaxWindowBytes = 256 })
	c.elect(1)
	c.run(time.Second)
	c.isolate(3)
	for i := range 20 {
		require.NoError(t, c.propose(1, fmt.Sprint(i)))
		c.settle()
	}
	c.heal()
	n := c.node(1)
	for len(n.logReads) == 0 {
		c.now = n.r.Deadline()
		c.tick(1)
		for len(c.net) > 0 {
			c.deliver(0)
		}
	}
	request := n.logReads[0]
	n.logReads = nil
	n.r.LogRead(c.now, request, nil, ErrCompacted)
	require.NoError(t, n.r.Err())
	c.after(n)
	require.Len(t, n.sends, 1)
	require.Equal(t, NodeID(3), n.sends[0].Message.To)
}

// An answer to what was asked for in an earlier term says nothing of the log
// as it is now: it must not be taken for a storage that contradicts it, even
// where a read from the same index is under way again.
func TestLateLogReadOfAnEarlierTermIsIgnored(t *testing.T) {
	c := newTestCluster(t, 3, func(c *CoreConfig) { c.MaxWindowBytes = 256 })
	c.elect(1)
	c.run(time.Second)
	c.isolate(3)
	for i := range 20 {
		require.NoError(t, c.propose(1, fmt.Sprint(i)))
		c.settle()
	}
	c.heal()
	n := c.node(1)
	for len(n.logReads) == 0 {
		c.now = n.r.Deadline()
		c.tick(1)
		for len(c.net) > 0 {
			c.deliver(0)
		}
	}
	late := n.logReads[0]
	late.Term-- // the same range, asked for when the log was another one

	n.r.LogRead(c.now, late, nil, ErrNoSnapshot)

	require.NoError(t, n.r.Err())
	require.Equal(t, late.Lo, n.r.peer(3).reading, "the read of this term is still under way")
}

// An acknowledgement that comes late, after entries are to be sent again,
// takes next along: else a compaction would make a peer that lacks nothing
// need a snapshot.
func TestScenarioL4NextNeverFallsBehindMatch(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.elect(1)
	c.run(time.Second)
	var acks []Message
	c.cut = func(m *Message) bool {
		lost := m.From == 3 && m.Type == raftpb.AppendEntriesReply
		if lost {
			acks = append(acks, *m)
		}
		return lost
	}
	for range 20 {
		require.NoError(t, c.propose(1, "x"))
		c.settle()
	}
	n := c.node(1)
	n.r.Unreachable(c.now, 3)
	require.NoError(t, n.r.Step(c.now, &acks[len(acks)-1]))
	require.Equal(t, n.r.Last()+1, n.r.peer(3).next)
	s, err := n.r.SnapshotAt(n.index)
	require.NoError(t, err)
	n.r.Compacted(c.now, s, s.Index)
	rd := n.r.Ready()
	require.Empty(t, rd.Snapshots)
}

// --- what an earlier life of a member left on the wire ---

// A late answer to a read of an earlier process, by an id that this process
// uses too, confirms nothing.
func TestScenarioR2AnswerToAReadOfAnEarlierProcess(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.elect(1)
	c.run(time.Second)
	var late []flying
	c.cut = func(m *Message) bool {
		lost := m.Type == raftpb.ReadIndexReply
		if lost {
			late = append(late, flying{m: *m})
		}
		return lost
	}
	require.NoError(t, c.readIndex(3, 1))
	c.settle()
	require.Len(t, late, 1)
	c.restart(3)
	c.run(2 * DefaultHeartbeatInterval)
	require.NoError(t, c.propose(1, "b"))
	c.settle()

	require.NoError(t, c.readIndex(3, 1))
	c.receive(late[0])

	for _, read := range c.node(3).reads {
		require.False(t, read.OK && read.ID == 1, "confirmed at %d, committed is %d", read.Index, c.node(1).r.Commit())
	}
}

// A founder is wiped with its candidacy under way, and what answered it comes
// once more: it neither wins with it nor loses its mark.
func TestScenarioH2WipedFounderIsNotElectedByLateAnswers(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	var late []flying
	c.cut = func(m *Message) bool {
		if m.To == 1 {
			late = append(late, flying{m: *m})
		}
		return false
	}
	c.now = c.node(1).r.Deadline()
	c.tick(1)
	c.settle()
	c.requireLeader(1)
	c.cut = func(*Message) bool { return true }
	c.net = nil

	c.wipe(1, founding(3))
	c.now = c.node(1).r.Deadline()
	c.tick(1)
	for _, f := range late {
		if f.m.Type == raftpb.PreVoteReply || f.m.Type == raftpb.RequestVoteReply {
			c.receive(f)
		}
	}
	c.settle()

	require.NotEqual(t, Leader, c.node(1).r.Role())
	require.False(t, c.node(1).disk.hard.Unmarked)
}

// A founder that voted is wiped, and the request that it had granted comes
// once more: it is meant for a storage that is no more.
func TestScenarioH2WipedFounderDoesNotGrantALateRequest(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	var late []flying
	c.cut = func(m *Message) bool {
		if m.Type == raftpb.RequestVote && m.To == 3 {
			late = append(late, flying{m: *m})
		}
		return false
	}
	c.now = c.node(1).r.Deadline()
	c.tick(1)
	c.settle()
	require.True(t, c.node(3).disk.hard.Unmarked, "it voted")
	require.NotEmpty(t, late)

	c.wipe(3, founding(3))
	c.cut = func(*Message) bool { return true }
	for _, f := range late {
		c.receive(f)
	}
	c.settle()

	require.False(t, c.node(3).disk.hard.Unmarked)
	require.Zero(t, c.node(3).disk.hard.Vote)
}

// All founders that are up vote, and lose their marks, in the first election,
// also one whose answer to the pre-vote came after the others' sufficed.
func TestFoundersAllVoteInTheFirstElection(t *testing.T) {
	for size := 2; size <= 5; size++ {
		c := newTestCluster(t, size, nil)
		c.now = c.node(1).r.Deadline()
		c.tick(1)
		c.settle()
		c.requireLeader(1)
		for _, n := range c.nodes {
			require.True(t, n.disk.hard.Unmarked, "node %d of %d", n.id, size)
		}
		require.Equal(t, Index(1), c.node(1).r.Last(), "and no entry was needed to end a mark")
	}
}

// A disk that comes back with another log of the same length, instead of what
// was acknowledged, is convicted by the leader's next AppendEntries.
func TestScenarioH4DiskComesBackWithAnotherLog(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.elect(1)
	c.run(time.Second)
	disk := *c.node(3).disk
	disk.log = append(disk.log[:len(disk.log):len(disk.log)], testEntry(disk.last()+1, 1))
	c.isolate(1)
	c.elect(2)
	require.NoError(t, c.propose(2, "b"))
	c.settle()
	require.Equal(t, c.node(2).r.Last(), c.node(2).r.peer(3).match)
	disk.log = append(disk.log, testEntry(disk.last()+1, 1), testEntry(disk.last()+2, 1))

	c.replaceDisk(3, &disk)
	require.GreaterOrEqual(t, c.node(3).r.Last(), c.node(2).r.peer(3).match)
	c.run(2 * DefaultHeartbeatInterval)

	require.False(t, c.node(3).disk.hard.Unmarked)
}

// --- callers' mistakes ---

func TestMistakenAnswersAreIgnored(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	c.elect(1)
	require.NoError(t, c.propose(1, "a"))
	c.run(time.Second)
	r := c.node(1).r
	before := r.Status()

	r.LogRead(c.now, LogRead{}, nil, ErrNoSnapshot)
	r.LogRead(c.now, LogRead{Lo: 2, Hi: 1}, nil, nil)
	r.Applied(c.now, 1000)
	r.Compacted(c.now, Snapshot{Index: 900, Term: 1, Membership: founding(1)}, 800)
	r.Compacted(c.now, Snapshot{Index: 1, Term: 1, Membership: founding(1)}, 2)
	r.Persisted(c.now, 1000)
	r.SnapshotSent(c.now, 7, 1, nil)
	r.Unreachable(c.now, 7)

	require.NoError(t, r.Err())
	require.Equal(t, before, r.Status())
}

// A leader of two terms: the first one's log was longer, and its end lost in a
// crash. What was sent then arrives late, and is answered, with the term of
// now, by a rejection of an entry that the leader does not have. Nobody has
// sent anything malformed. (Found by coresim, seed 10184.)
func TestRejectionOfWhatWasSentInAnEarlierTermIsNotMalformed(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.elect(1)
	c.run(time.Second)
	c.stalled[1] = true
	for range 4 {
		require.NoError(t, c.propose(1, "a"))
	}
	late := c.net
	c.net = nil
	last := c.node(1).r.Last()

	c.restart(1)
	c.stalled[1] = false
	c.elect(1)
	c.settle()
	require.Less(t, c.node(1).r.Last(), last)
	c.net = append(c.net, late...)
	c.settle() // fails if a message is refused
	require.Equal(t, Leader, c.node(1).r.Role())
	require.NoError(t, c.propose(1, "b"))
	c.run(time.Second)
	c.requireApplied([]string{"b"}, 1, 2, 3)
}

// A peer with marked storage that starts again and again names a new mark each
// time, and each is to end with an entry of its own: while nothing is
// committed, these are bounded as proposals are. (Found by coresim, seed
// 19251.)
func TestEntriesForMarksAreBounded(t *testing.T) {
	c := newLoneCoreFrom(t, diskOf(5, 1).load(), func(cfg *CoreConfig) { cfg.MaxUncommittedBytes = 4 * entryOverhead })
	c.lead()
	first := c.Last()
	beat := func(mark uint64) {
		c.tickAt(c.now.Add(DefaultHeartbeatInterval))
		c.persistAll()
		for from := NodeID(2); from <= 4; from++ { // alive, and stalled
			c.receive(Message{Type: raftpb.AppendEntriesReply, From: from, Term: c.term, Round: c.leading.round, Verified: first})
		}
		c.receive(Message{Type: raftpb.AppendEntriesReply, From: 5, Term: c.term, Round: c.leading.round, Marked: true, Context: mark})
	}
	for mark := range uint64(50) {
		beat(mark + 1)
	}
	require.Equal(t, Leader, c.Role())
	require.Equal(t, first+4, c.Last())

	c.ack(2, c.Last())
	c.ack(3, c.Last())
	require.Equal(t, c.Last(), c.Commit())
	beat(50)
	require.Equal(t, first+5, c.Last(), "the last mark's entry could wait")
}

// Answers of marked storage that overtake each other are no new loss: that has
// a new mark. Were each taken for one, everything above it would be sent again,
// and every copy answered: the messages would multiply without end.
func TestReorderedAnswersOfMarkedStorageRewindNothing(t *testing.T) {
	const mark = 7
	answer := func(c *loneCore, index Index) Message {
		return Message{
			Type: raftpb.AppendEntriesReply, From: 2, Term: c.term, Index: index, Verified: index,
			Round: c.leading.round, Window: 1 << 20, Marked: true, Context: mark,
		}
	}
	c := newLoneCore(t, 3, 1, repeat(4, 1)...)
	c.lead()
	c.proposeData("6", "7", "8")
	c.persistAll()
	c.receive(answer(c, 3))
	c.receive(answer(c, 8))
	require.Equal(t, Index(8), c.peer(2).match)

	require.Empty(t, c.receive(answer(c, 5)), "nothing is sent again")
	require.Equal(t, Index(8), c.peer(2).match)
	rejection := answer(c, 6)
	rejection.Reject, rejection.Match, rejection.Verified = true, 3, 3
	require.Empty(t, c.receive(rejection), "nothing is sent again")
	require.Equal(t, Index(8), c.peer(2).match)

	lost := answer(c, 4)
	lost.Context = mark + 1
	c.receive(lost)
	require.Equal(t, Index(5), c.peer(2).next, "this is another loss")
	require.Equal(t, Index(4), c.peer(2).match)
}

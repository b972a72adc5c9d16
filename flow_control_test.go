package raft

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft/raftpb"
)

// newPipeline leads two voters; peer 2 is replicating, holds everything and
// advertises a window of that many bytes.
func newPipeline(t *testing.T, window uint64, adjust func(*CoreConfig)) *loneCore {
	c := newLoneCoreFrom(t, diskOf(2, 1, 1).load(), adjust)
	c.lead()
	c.replyOf2(c.Last(), window)
	require.Equal(t, PeerReplicating, c.peer(2).state)
	return c
}

func (c *loneCore) replyOf2(verified Index, window uint64) []Message {
	return c.receive(Message{
		Type: raftpb.AppendEntriesReply, From: 2, Term: c.term, Index: verified, Verified: verified,
		Round: c.leading.round, Window: window,
	})
}

// bulk are the AppendEntries with entries among messages, and their entries'
// size.
func bulk(messages []Message) (found []Message, bytes int) {
	for _, m := range messages {
		for i := range m.Entries {
			bytes += entrySize(&m.Entries[i])
		}
		if len(m.Entries) > 0 {
			found = append(found, m)
		}
	}
	return found, bytes
}

func TestFlowControlBoundsTheMessagesInFlight(t *testing.T) {
	c := newPipeline(t, 1<<30, nil)
	for i := range maxInFlight + 20 {
		c.proposeData(fmt.Sprint(i))
	}
	sent, _ := bulk(c.takeSent())
	require.Len(t, sent, maxInFlight)
	landed := sent[9].Entries[0].Index
	sent, _ = bulk(c.replyOf2(landed, 1<<30))
	require.Len(t, sent, 1, "what has waited goes together")
	require.Len(t, sent[0].Entries, 20)
}

func TestFlowControlBatchesByBytes(t *testing.T) {
	limit := 10 * entryOverhead
	c := newPipeline(t, 1<<30, func(cfg *CoreConfig) { cfg.MaxMessageBytes = limit })
	data := make([]string, 100)
	data[50] = string(make([]byte, 2*limit))
	c.proposeData(data...)
	before, _ := bulk(c.takeSent())
	alone, _ := bulk(c.replyOf2(before[len(before)-1].Entries[9].Index, 1<<30))
	after, _ := bulk(c.replyOf2(alone[0].Entries[0].Index, 1<<30))
	sent := slices.Concat(before, alone, after)
	_, bytes := bulk(sent)
	require.Equal(t, 100*entryOverhead+2*limit, bytes, "everything, once")
	large := 0
	for _, m := range sent {
		if _, size := bulk([]Message{m}); size > limit {
			require.Len(t, m.Entries, 1, "only one entry may be larger than a message")
			large++
		}
	}
	require.Equal(t, 1, large)
	require.Len(t, sent, 5+1+5)
}

// What is read from the storage for a peer goes no further than its window, the
// first entry of it included; and what does not fit is not read over and over.
func TestFlowControlOfLogReads(t *testing.T) {
	c := newLoneCoreFrom(t, diskOf(2, 1, repeat(20, 1)...).load(), func(cfg *CoreConfig) { cfg.MaxMessageBytes = 300 })
	c.lead()
	// read answers the read under way by two entries, the first with so much data.
	read := func(lo Index, data int) {
		t.Helper()
		require.Len(t, c.logReads, 1)
		q := c.logReads[0]
		require.Equal(t, lo, q.Lo)
		c.logReads = nil
		entries := testEntries(lo, 1, 1)
		entries[0].Data = make([]byte, data)
		c.LogRead(c.now, q, entries, nil)
		c.drain()
	}
	c.receive(Message{Type: raftpb.AppendEntriesReply, From: 2, Term: c.term, Reject: true, Index: 20, Match: 2, LogTerm: 1, Window: 1000})
	read(3, 3)
	c.replyOf2(4, 1000)
	read(5, 3) // pipelined
	require.Len(t, c.peer(2).inFlight, 1)
	c.takeSent()
	read(7, 2000)
	require.LessOrEqual(t, c.peer(2).bytes, c.peer(2).window)
	sent, _ := bulk(c.takeSent())
	require.Empty(t, sent, "it does not fit")
	c.tickAt(c.Deadline())
	require.Empty(t, c.logReads, "and is not read again before nothing is on the way")
	c.replyOf2(6, 1000)
	read(7, 2000)
	sent, _ = bulk(c.takeSent())
	require.Len(t, only(t, sent).Entries, 1, "alone it may be larger than the window")
	require.Equal(t, uint64(2000+entryOverhead), c.peer(2).bytes)
}

func TestFlowControlProbesOneMessageAtATime(t *testing.T) {
	c := newPipeline(t, 1<<30, func(cfg *CoreConfig) { cfg.MaxMessageBytes = 2 * entryOverhead })
	c.Unreachable(c.now, 2)
	require.Equal(t, PeerProbing, c.peer(2).state)
	for range 10 {
		c.proposeData("")
	}
	sent, _ := bulk(c.takeSent())
	require.Empty(t, sent, "nothing before it answers")
	c.tickAt(c.Deadline())
	sent, _ = bulk(c.replyOf2(2, 1<<30))
	require.Len(t, sent, 5, "and then in a pipeline")
	require.Equal(t, PeerReplicating, c.peer(2).state)
}

// A rejection of a message of an earlier term is of this one, and so is what it
// says of the window.
func TestFlowControlStaleMessageTellsTheWindow(t *testing.T) {
	c := newLoneCore(t, 3, 5, 1)
	reply := only(t, c.receive(appendFrom(2, 3, 1, 1, 0)))
	require.True(t, reply.Reject)
	require.Equal(t, c.windowRoom(), reply.Window)
	require.NotZero(t, reply.Window)
}

// A follower whose disk hangs costs the others no time, and the leader bounded
// memory: what it has on the way to it is within its window, and the rest is in
// the leader's storage.
func TestFlowControlSlowFollowerDoesNotSlowTheQuorum(t *testing.T) {
	c := newTestCluster(t, 3, func(cfg *CoreConfig) { cfg.MaxWindowBytes, cfg.MaxMessageBytes = 1000, 300 })
	c.elect(1)
	c.run(time.Second)
	c.stalled[3] = true
	leader := c.node(1).r
	began, want := c.now, []string{}
	for i := range 200 {
		want = append(want, fmt.Sprint(i))
		require.NoError(t, c.propose(1, want[i]))
		c.settle()
		require.Equal(t, leader.Last(), leader.Commit())
		require.LessOrEqual(t, leader.log.window.bytes(0, leader.Last()), 1000)
		require.LessOrEqual(t, leader.peer(3).bytes, uint64(1000))
	}
	require.Equal(t, began, c.now, "no time has passed")
	require.Less(t, leader.peer(3).verified, leader.Last())
	c.stalled[3] = false
	c.run(20 * DefaultHeartbeatInterval)
	require.Equal(t, leader.Last(), leader.peer(3).match, "it has got the rest from the leader's storage")
	c.requireApplied(want, 1, 2, 3)
}

// A state machine that is slow holds back what the leader takes, and nothing
// else: heartbeats, reads of where the log is, and commits go on.
func TestFlowControlSlowStateMachineHoldsBackAdmission(t *testing.T) {
	c := newPipeline(t, 1<<30, func(cfg *CoreConfig) { cfg.MaxUncommittedBytes, cfg.MaxApplyBytes = 10*entryOverhead, entryOverhead })
	commit := func() {
		c.persistAll()
		c.replyOf2(c.Last(), 1<<30)
		require.Equal(t, c.Last(), c.Commit())
	}
	taken := 0
	for ; taken < 100; taken++ {
		if _, err := c.Propose(c.now, []Entry{{}}); err != nil {
			require.ErrorIs(t, err, ErrOverloaded)
			break
		}
		c.drain()
		commit()
	}
	require.InDelta(t, 10, taken, 3, "as much as is allowed, and what is handed out")
	c.takeSent()
	require.NotEmpty(t, ofType(c.tickAt(c.Deadline()), raftpb.AppendEntries), "heartbeats go on")
	require.NoError(t, c.ReadIndex(c.now, 7))
	c.tickAt(c.Deadline())
	c.replyOf2(c.Last(), 1<<30)
	require.Equal(t, []ReadState{{ID: 7, Index: c.Commit(), OK: true}}, c.answers)

	for c.Status().Applied < c.Commit() { // one after the other
		if len(c.logReads) > 0 {
			q := c.logReads[0]
			c.logReads = nil
			c.LogRead(c.now, q, testEntries(q.Lo, repeat(int(q.Hi-q.Lo), 1)...), nil)
			c.drain()
		}
		c.Applied(c.now, c.apply.handedOut)
		c.drain()
	}
	_, err := c.Propose(c.now, []Entry{{}})
	require.NoError(t, err)
}

// The same of a whole replica: proposals, forwarded ones too, wait for the
// leader's state machine and are taken as soon as it has caught up.
func TestFlowControlProposalsWaitForASlowStateMachine(t *testing.T) {
	c := newSimCluster(t, 3, func(cfg *Config) {
		cfg.MaxUncommittedBytes, cfg.MaxEntryBytes, cfg.MaxApplyBytes = 10*entryOverhead, 100, entryOverhead
	})
	leader, follower := c.elect(), c.follower()
	busy := leader.r.apply.tasks
	hold := func() { busy = append(busy, leader.r.apply.tasks...); leader.r.apply.tasks = nil }
	for i := range 60 {
		follower.propose(fmt.Sprint("forwarded ", i))
		for range 20 {
			c.settleOnce()
			hold()
		}
	}
	taken := leader.r.core.Last()
	require.Less(t, taken, Index(40), "the log does not run away from the state machine")
	require.Equal(t, taken, leader.r.core.Commit(), "what was taken is committed")
	require.Equal(t, Leader, leader.r.core.Role())
	leader.r.apply.tasks = append(busy, leader.r.apply.tasks...)
	c.run(time.Second)
	for _, call := range c.calls {
		require.True(t, call.ended)
		require.NoError(t, call.err)
	}
	require.Len(t, c.log, 60)
}

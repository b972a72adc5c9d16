package raft

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

func TestForwardIsResentUntilItIsAnswered(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	c.elect()
	follower := c.follower()
	call := follower.propose("x")
	require.Len(t, c.take(isType(raftpb.Propose)), 1)
	c.settle()
	require.False(t, call.ended)
	c.run(DefaultHeartbeatInterval)
	require.True(t, call.ended, "it was sent again")
	require.NoError(t, call.err)
}

// An answer that is lost is asked for again, and the proposal taken once.
func TestScenarioH10ReplyDroppedInAStableTerm(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader, follower := c.elect(), c.follower()
	call := follower.propose("x")
	propose := c.take(isType(raftpb.Propose))
	c.receive(propose[0])
	require.Len(t, c.take(isType(raftpb.ProposeReply)), 1)
	before := leader.r.core.Last()
	follower.r.forward.resendAt = c.now // while nothing is committed
	follower.tick()
	resent := c.take(isType(raftpb.Propose))
	require.Len(t, resent, 1)
	c.receive(resent[0])
	require.Equal(t, before, leader.r.core.Last(), "a repeat is not taken")
	replies := c.take(isType(raftpb.ProposeReply))
	require.Len(t, replies, 1, "but answered")
	require.Equal(t, before, replies[0].Index)
	c.receive(replies[0])
	require.False(t, follower.r.proposals.at(call.future.seq).unanswered)
	c.settle()
	require.NoError(t, call.err)
	require.Equal(t, []string{"x"}, c.log)
}

// A forward that the network duplicates, arbitrarily late, is taken once.
func TestScenarioH10ForwardDuplicatedToTheSameLeader(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	c.elect()
	follower := c.follower()
	follower.propose("x")
	duplicate := c.take(isType(raftpb.Propose))[0]
	c.receive(duplicate)
	c.settle()
	follower.propose("y")
	c.settle()
	for range 3 {
		c.run(time.Second)
		c.receive(duplicate)
	}
	c.run(time.Second)
	require.Equal(t, []string{"x", "y"}, c.log)
}

// A leader that is elected again does not take what was meant for its earlier
// term: the first copy may be in its log, and the record of it is gone.
func TestScenarioH10ForwardDuplicatedToAReelectedLeader(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader, follower := c.elect(), c.follower()
	call := follower.propose("x")
	duplicate := c.take(isType(raftpb.Propose))[0]
	c.receive(duplicate)
	c.settle()
	require.NoError(t, call.err)
	term := leader.r.core.Term()
	c.campaign(follower)
	c.campaign(leader)
	require.Greater(t, leader.r.core.Term(), term)
	c.receive(duplicate)
	c.run(time.Second)
	require.Equal(t, []string{"x"}, c.log)
}

// Another term's entry at a proposal's index says nothing while it is merely
// appended, even here: the proposal may still win.
func TestScenarioH10AppendedIsNotCommitted(t *testing.T) {
	c := newSimCluster(t, 5, nil)
	l, b, other, d, follower := c.at(1), c.at(2), c.at(3), c.at(4), c.at(5)
	c.campaign(l)
	// The follower's proposal gets into the logs of l and b.
	c.cut = func(m *Message) bool { return m.Type == raftpb.AppendEntries && m.To != b.id && len(m.Entries) > 0 }
	call := follower.propose("x")
	c.settle()
	slot := follower.r.proposals.at(call.future.seq)
	index, term := slot.index, slot.term
	require.NotZero(t, index)
	require.Less(t, follower.r.core.Last(), index)

	// Another leader's entry gets there in its own log and the follower's.
	c.cut = func(m *Message) bool {
		return m.From <= b.id || m.To <= b.id || m.Type == raftpb.AppendEntries && m.To == d.id
	}
	c.campaign(other)
	require.Equal(t, index, follower.r.core.Last())
	there, _ := follower.r.core.log.term(index)
	require.Greater(t, there, term)
	require.False(t, call.ended, "nobody can know yet")

	// The first one leads again, and commits what it has.
	c.cut = func(m *Message) bool { return m.From == other.id || m.To == other.id }
	c.campaign(l)
	c.run(time.Second)
	require.True(t, call.ended)
	require.NoError(t, call.err)
	require.Equal(t, []string{"x"}, follower.applied)
}

// campaign makes s the leader, as if its timer had been the first to fire.
func (c *simCluster) campaign(s *simReplica) {
	c.t.Helper()
	for range 20 {
		c.now = max(c.now.Add(DefaultElectionTimeout), s.r.core.Deadline())
		s.r.core.Tick(c.now)
		s.r.settle(c.now)
		s.after()
		c.settle()
		if s.r.core.Role() == Leader {
			return
		}
	}
	c.failf("replica %d does not win", s.id)
}

// An answer to an earlier run of this node's process has the same sequence
// numbers, and says nothing about this run's proposals.
func TestScenarioH10AnswerToAnEarlierRun(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader, follower := c.elect(), c.follower()
	follower.propose("of the first run")
	c.receive(c.take(isType(raftpb.Propose))[0])
	late := c.take(isType(raftpb.ProposeReply))[0]
	c.crash(follower)
	c.start(follower)
	c.settle()
	c.run(DefaultHeartbeatInterval)
	require.Equal(t, leader.id, follower.r.core.Leader(), "the term goes on")

	call := follower.propose("of the second run")
	require.Len(t, c.take(isType(raftpb.Propose)), 1, "lost")
	require.Equal(t, late.Context, call.future.seq)
	c.receive(late)
	c.run(time.Second)
	require.True(t, call.ended)
	require.NoError(t, call.err)
}

func TestScenarioH10AnIndexSkippedByASnapshot(t *testing.T) {
	c := newSimCluster(t, 3, func(cfg *Config) { cfg.SnapshotEntries, cfg.TrailingEntries = 5, -1 })
	leader, follower := c.elect(), c.follower()
	call := follower.propose("x")
	c.receive(c.take(isType(raftpb.Propose))[0])
	c.isolate(follower.id)
	for i := range 20 {
		leader.propose(fmt.Sprint(i))
		c.settle()
	}
	require.False(t, call.ended)
	c.heal()
	c.run(2 * time.Second)
	require.NotZero(t, follower.newest.Index, "it was sent a snapshot")
	require.True(t, call.ended)
	require.ErrorIs(t, call.err, ErrOutcomeUnknown)
	require.Contains(t, c.log, "x", "it was committed, in this case")
	require.Equal(t, c.log, follower.applied)
}

// What a new leader's term has never met is definitely lost, also when no
// leader has ever answered.
func TestLostWithoutAnAnswer(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader, follower := c.elect(), c.follower()
	call := follower.propose("x")
	require.Len(t, c.take(isType(raftpb.Propose)), 1, "never arrives")
	c.crash(leader)
	c.elect()
	c.run(time.Second)
	require.True(t, call.ended)
	require.ErrorIs(t, call.err, ErrNotCommitted)
	require.NotErrorIs(t, call.err, ErrOutcomeUnknown)
	require.Empty(t, c.log)
}

func TestLostOnADeposedLeader(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	old := c.elect()
	c.isolate(old.id)
	call := old.propose("x")
	c.elect()
	c.run(2 * time.Second)
	require.False(t, call.ended, "nobody can know yet")
	c.heal()
	c.run(time.Second)
	require.ErrorIs(t, call.err, ErrNotCommitted)
	require.NotContains(t, c.log, "x")
}

// A gap is not filled from behind: the leader takes an origin's proposals in
// order, so that a repeat can be told from a new one.
func TestForwardAfterAGapIsLeftUnanswered(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader, follower := c.elect(), c.follower()
	first := follower.propose("1")
	lost := c.take(isType(raftpb.Propose))
	require.Len(t, lost, 1)
	second := follower.propose("2")
	later := c.take(isType(raftpb.Propose))
	require.Len(t, later, 1)
	before := leader.r.core.Last()
	c.receive(later[0])
	require.Equal(t, before, leader.r.core.Last())
	require.Empty(t, c.take(isType(raftpb.ProposeReply)))
	c.receive(lost[0])
	require.Equal(t, before+1, leader.r.core.Last())
	c.run(time.Second)
	require.NoError(t, first.err)
	require.NoError(t, second.err)
	require.Equal(t, []string{"1", "2"}, c.log)
}

// A refusal is remembered: a late copy is not taken after its origin was told.
func TestRefusedForwardIsNeverTaken(t *testing.T) {
	c := newSimCluster(t, 3, func(cfg *Config) {
		if cfg.ID == 1 {
			cfg.MaxEntryBytes = 100
		}
	})
	c.campaign(c.at(1))
	call := c.at(2).propose(fmt.Sprintf("%0101d", 0))
	next := c.at(2).propose("next")
	forwards := c.take(isType(raftpb.Propose))
	for range 2 {
		for _, m := range forwards {
			c.receive(m)
		}
		c.run(time.Second)
	}
	require.True(t, call.ended)
	require.ErrorIs(t, call.err, ErrTooLarge, "as the leader sees it")
	require.NoError(t, next.err)
	require.Equal(t, []string{"next"}, c.log)
}

// A refusal whose answer is lost is told again to who asks again.
func TestRefusalIsToldAgain(t *testing.T) {
	c := newSimCluster(t, 3, func(cfg *Config) {
		if cfg.ID == 1 {
			cfg.MaxEntryBytes = 100
		}
	})
	c.campaign(c.at(1))
	call := c.at(2).propose(fmt.Sprintf("%0101d", 0))
	forward := c.take(isType(raftpb.Propose))[0]
	for range 2 {
		c.receive(forward)
		replies := c.take(isType(raftpb.ProposeReply))
		require.Len(t, replies, 1)
		require.True(t, replies[0].Reject)
		require.False(t, call.ended)
	}
}

// A leader that holds as much as it may refuses what is forwarded, definitely.
func TestForwardToAnOverloadedLeader(t *testing.T) {
	c := newSimCluster(t, 3, func(cfg *Config) {
		cfg.MaxEntryBytes, cfg.MaxUncommittedBytes, cfg.MaxPendingBytes = 100, 200, 1<<20
		if cfg.ID != 0 {
			cfg.MaxMessageBytes = 400
		}
	})
	leader, follower := c.elect(), c.follower()
	leader.r.cfg.MaxPendingBytes = 3 * (100 + proposalOverhead)
	c.cut = func(m *Message) bool { return m.Type == raftpb.AppendEntries } // nothing commits
	var calls []*simCall
	for i := range 30 {
		calls = append(calls, follower.propose(fmt.Sprintf("%0100d", i)))
	}
	c.settle()
	refused := 0
	for _, call := range calls {
		if call.ended {
			require.ErrorIs(t, call.err, ErrOverloaded)
			refused++
		}
	}
	require.NotZero(t, refused)
	c.heal()
	c.run(2 * time.Second)
	c.check()
	require.Len(t, c.log, 30-refused)
}

func TestForwardFromNobodyIsIgnored(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader := c.elect()
	before := leader.r.core.Last()
	origin := raftpb.Origin{Node: 2, Incarnation: 9, Sequence: 1}
	for name, m := range map[string]Message{
		"no entries":       {Context: 1},
		"no context":       {Entries: []Entry{{Origin: origin}}},
		"another's origin": {Context: 1, Entries: []Entry{{Origin: raftpb.Origin{Node: 3, Incarnation: 9, Sequence: 1}}}},
		"two runs":         {Context: 1, Entries: []Entry{{Origin: origin}, {Origin: raftpb.Origin{Node: 2, Incarnation: 8, Sequence: 2}}}},
		"descending":       {Context: 1, Entries: []Entry{{Origin: raftpb.Origin{Node: 2, Incarnation: 9, Sequence: 2}}, {Origin: origin}}},
		"below context":    {Context: 2, Entries: []Entry{{Origin: origin}}},
		"no command":       {Context: 1, Entries: []Entry{{Origin: origin, Type: EntryMembership}}},
		"end of sequences": {Context: 1<<64 - 1, Entries: []Entry{{Origin: raftpb.Origin{Node: 2, Incarnation: 9, Sequence: 1<<64 - 1}}}},
	} {
		m.Type, m.From, m.To, m.Term = raftpb.Propose, 2, leader.id, leader.r.core.Term()
		c.receive(m)
		require.Equal(t, before, leader.r.core.Last(), name)
	}
}

// --- reads ---

func TestReadBarriersShareARequest(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader, follower := c.elect(), c.follower()
	first := follower.read()
	for range 100 {
		follower.read()
	}
	requests := c.take(isType(raftpb.ReadIndex))
	require.Len(t, requests, 1)
	c.receive(requests[0])
	c.settle()
	require.True(t, first.ended)
	c.run(time.Second)
	c.check()
	require.Equal(t, follower.r.incarnation+2, follower.r.reads.id, "the 100 that came later shared the second")
	leader.read()
	c.settle()
	c.check()
}

// A request that gets lost is made again, with another id.
func TestScenarioR4ReadIsAskedAgain(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader, follower := c.elect(), c.follower()
	lost := follower.read()
	require.Len(t, c.take(isType(raftpb.ReadIndex)), 1)
	c.settle()
	require.False(t, lost.ended)
	c.run(DefaultElectionTimeout)
	require.True(t, lost.ended)
	require.NoError(t, lost.err)

	orphaned := follower.read()
	c.crash(leader)
	c.elect()
	c.run(time.Second)
	require.True(t, orphaned.ended)
	require.NoError(t, orphaned.err)
}

// The answer to a request of an earlier run must not confirm a later read.
func TestScenarioR2LateReadAnswer(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader, follower := c.elect(), c.follower()
	follower.read()
	c.receive(c.take(isType(raftpb.ReadIndex))[0])
	var late []Message
	for range 100 {
		if late = append(late, c.take(isType(raftpb.ReadIndexReply))...); len(late) > 0 {
			break
		}
		c.settleOnce()
	}
	require.Len(t, late, 1)
	c.crash(follower)
	c.start(follower)
	c.run(DefaultHeartbeatInterval)
	leader.propose("committed meanwhile")
	c.cut = func(m *Message) bool { return m.To == follower.id }
	c.settle()
	call := follower.read()
	require.NotEqual(t, late[0].Context, follower.r.reads.id)
	c.receive(late[0])
	require.False(t, call.ended)
	c.heal()
	c.run(time.Second)
	require.NoError(t, call.err)
	require.True(t, call.ended)
}

func TestReadWaitsForALeaderAndCanBeGivenUp(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	kept, given := c.at(1).read(), c.at(1).read()
	c.settle()
	given.giveUp()
	require.True(t, given.given)
	c.elect()
	c.run(time.Second)
	require.True(t, kept.ended)
	require.NoError(t, kept.err)
	require.Equal(t, Never, c.at(1).r.readDeadline())
}

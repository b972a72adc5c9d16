package raft

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft/raftpb"
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

// --- forwarding ---

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

// --- time ---

// The process is paused for ten election timeouts while heartbeats arrive that
// nobody reads. The timer and the reader wake together, the timer first.
func TestScenarioH9PausedReplicaReadsBeforeItCampaigns(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader, follower := c.elect(), c.follower()
	c.run(time.Second)
	term := leader.r.core.Term()
	var unread []Message
	c.cut = func(m *Message) bool {
		if m.To == follower.id {
			unread = append(unread, *m)
		}
		return m.To == follower.id || m.From == follower.id
	}
	paused := follower.r
	follower.r = nil
	c.run(10 * DefaultElectionTimeout)
	follower.r = paused
	c.heal()

	follower.tick()
	require.Equal(t, Follower, follower.r.core.Role(), "not before the messages are read")
	require.Equal(t, c.now.Add(DefaultHeartbeatInterval), follower.r.deadline())
	for _, m := range unread {
		c.receive(m)
	}
	c.run(time.Second)
	require.Equal(t, term, c.leader().r.core.Term())
	require.Equal(t, leader, c.leader())

	// Nothing to read: it is put off once only.
	c.isolate(follower.id)
	c.now = follower.r.core.Deadline().Add(time.Second)
	follower.tick()
	require.Equal(t, Follower, follower.r.core.Role())
	c.now = follower.r.deadline().Add(time.Second)
	follower.tick()
	require.Equal(t, PreCandidate, follower.r.core.Role())
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

// --- snapshots ---

// A snapshot's announcement without its data must not reach the core.
func TestInstallSnapshotWithoutDataIsIgnored(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader, follower := c.elect(), c.follower()
	c.receive(Message{
		Type: raftpb.InstallSnapshot, From: leader.id, To: follower.id, Term: leader.r.core.Term(),
		Snapshot: &Snapshot{Index: 100, Term: 1, Membership: founding(3)},
	})
	require.Less(t, follower.r.core.Last(), Index(100))
	require.Empty(t, follower.writes)
}

func TestSnapshotPolicy(t *testing.T) {
	c := newSimCluster(t, 1, func(cfg *Config) { cfg.SnapshotEntries, cfg.TrailingEntries = 10, 3 })
	s := c.elect()
	for i := range 25 {
		s.propose(fmt.Sprint(i))
		c.settle()
	}
	status := s.r.core.Status()
	require.Equal(t, Index(20), status.Snapshot)
	require.Equal(t, Index(18), status.First)
	require.Equal(t, Index(18), s.disk.first)

	c.crash(s)
	c.start(s)
	c.elect()
	c.run(time.Second)
	require.Equal(t, c.log, s.applied)
}

func TestSnapshotPolicyByBytes(t *testing.T) {
	c := newSimCluster(t, 1, func(cfg *Config) { cfg.SnapshotEntries, cfg.SnapshotBytes = -1, 1000 })
	s := c.elect()
	for i := range 9 {
		s.propose(fmt.Sprintf("%0100d", i))
		c.settle()
	}
	require.Zero(t, s.r.core.Status().Snapshot)
	s.propose(fmt.Sprintf("%01000d", 9))
	c.settle()
	require.NotZero(t, s.r.core.Status().Snapshot)
}

// Two snapshots are not begun at once, and one that fails is tried again after
// as much again.
func TestSnapshotThatFails(t *testing.T) {
	c := newSimCluster(t, 1, func(cfg *Config) { cfg.SnapshotEntries = 5 })
	s := c.elect()
	more := func(n int) {
		for range n {
			s.propose(fmt.Sprint("c", len(c.calls)))
			for s.taking == nil && (len(s.writes) > 0 || s.work()) {
				for len(s.writes) > 0 {
					s.persist()
				}
			}
			for len(s.writes) > 0 {
				s.persist()
			}
			s.work()
		}
	}
	more(4)
	require.NotNil(t, s.taking)
	first := s.taking
	more(10)
	require.Same(t, first, s.taking, "one at a time")
	s.taking = nil
	s.r.snapshotTaken(c.now, first.meta, errors.New("disk"))
	s.after()
	require.Zero(t, s.r.core.Status().Snapshot)
	more(5)
	require.NotNil(t, s.taking)
	s.finishSnapshot()
	require.NotZero(t, s.r.core.Status().Snapshot)
}

func TestFarBehindFollowerIsSentASnapshot(t *testing.T) {
	c := newSimCluster(t, 3, func(cfg *Config) { cfg.SnapshotEntries, cfg.TrailingEntries = 5, -1 })
	leader, follower := c.elect(), c.follower()
	c.isolate(follower.id)
	for i := range 20 {
		leader.propose(fmt.Sprint(i))
		c.settle()
	}
	c.heal()
	c.run(2 * time.Second)
	require.Equal(t, c.log, follower.applied)
	require.Zero(t, len(c.receives))
	require.False(t, follower.r.snapshots.incoming)
}

// Only one snapshot is on its way in, until it is restored.
func TestSecondSnapshotIsRefusedUntilTheFirstIsRestored(t *testing.T) {
	c := newSimCluster(t, 3, func(cfg *Config) { cfg.SnapshotEntries, cfg.TrailingEntries = 5, -1 })
	leader, follower := c.elect(), c.follower()
	c.isolate(follower.id)
	for i := range 20 {
		leader.propose(fmt.Sprint(i))
		c.settle()
	}
	c.heal()
	for len(c.receives) == 0 {
		c.runUntilReceive()
	}
	m := c.receives[0].m
	_, err := follower.r.beginReceive(c.now, &m)
	require.ErrorIs(t, err, errBusy, "the first is being received")
	c.finishReceive(0, true)
	newer := m
	newer.Snapshot = &Snapshot{Index: m.Snapshot.Index + 100, Term: m.Snapshot.Term, Membership: founding(3)}
	_, err = follower.r.beginReceive(c.now, &newer)
	require.ErrorIs(t, err, errBusy, "the first is installed, but not restored")
	c.run(time.Second)
	require.Equal(t, c.log, follower.applied)
	wanted, err := follower.r.beginReceive(c.now, &newer)
	require.NoError(t, err)
	require.True(t, wanted)
	require.Error(t, follower.r.endReceive(c.now, &newer, errors.New("cut")))
}

// runUntilReceive lets things happen one by one until a reception has begun.
func (c *simCluster) runUntilReceive() {
	c.t.Helper()
	for range 10_000 {
		if len(c.receives) > 0 {
			return
		}
		if !c.settleOnce() {
			c.now = c.now.Add(10 * time.Millisecond)
			for _, s := range c.replicas {
				if s.r != nil && s.r.deadline() <= c.now {
					s.tick()
				}
			}
		}
	}
	c.failf("no snapshot is sent")
}

// A crash after the snapshot is committed in the storage, before the write
// that installs it: the replica starts from it.
func TestScenarioH18CrashBetweenCommitAndInstall(t *testing.T) {
	for _, crash := range []string{"before the core hears of it", "before the write is durable", "half-way through the restore"} {
		t.Run(crash, func(t *testing.T) {
			c := newSimCluster(t, 3, func(cfg *Config) { cfg.SnapshotEntries, cfg.TrailingEntries = 5, -1 })
			leader, follower := c.elect(), c.follower()
			c.isolate(follower.id)
			for i := range 20 {
				leader.propose(fmt.Sprint(i))
				c.settle()
			}
			c.heal()
			c.runUntilReceive()
			q := c.receives[0]
			switch crash {
			case "before the core hears of it":
				follower.commitSnapshot(*q.m.Snapshot, q.data)
			case "before the write is durable":
				c.finishReceive(0, true)
				require.NotEmpty(t, follower.writes)
			case "half-way through the restore":
				c.finishReceive(0, true)
				for len(follower.writes) > 0 {
					follower.persist()
				}
				for {
					task, ok := follower.r.nextTask()
					require.True(t, ok)
					if task.kind == taskRestore {
						break
					}
					follower.r.applied(c.now, &task, nil)
				}
			}
			c.crash(follower)
			c.receives = nil
			c.start(follower)
			leader.r.snapshotSent(c.now, follower.id, q.m.Snapshot.Index, errors.New("cut"))
			leader.after()
			require.Equal(t, q.m.Snapshot.Index, follower.r.core.Status().Snapshot)
			leader.propose("last")
			c.run(2 * time.Second)
			require.Equal(t, c.log, follower.applied)
			require.Contains(t, follower.applied, "last")
		})
	}
}

// A received snapshot that is committed in the storage, and then declined by
// the core since its term has ended, is newer than the one that is restored
// next. The state machine skips what it then has already.
func TestDeclinedSnapshotIsRestoredInPlaceOfAnOlderOne(t *testing.T) {
	c := newSimCluster(t, 3, func(cfg *Config) { cfg.SnapshotEntries, cfg.TrailingEntries = 10, -1 })
	old, follower := c.elect(), c.follower()
	other := c.at(6 - old.id - follower.id)
	c.isolate(follower.id)
	for i := range 15 {
		old.propose(fmt.Sprint(i))
		c.settle()
	}
	c.run(DefaultHeartbeatInterval)
	require.Equal(t, old.newest.Index, other.newest.Index)
	older := other.newest.Index
	for i := range 3 {
		old.propose(fmt.Sprint("more ", i))
		c.settle()
	}
	c.run(DefaultHeartbeatInterval)
	// The old leader, and only it, has a newer snapshot, and sends that.
	meta, err := old.r.core.SnapshotAt(old.r.apply.index)
	require.NoError(t, err)
	old.commitSnapshot(meta, append([]string(nil), old.applied...))
	c.heal()
	c.runUntilReceive()
	require.Equal(t, meta.Index, c.receives[0].m.Snapshot.Index)

	// Before it has arrived, the other one leads a later term.
	c.isolate(old.id)
	for other.r.core.Role() != Leader {
		follower.r.core.election.deadline = c.now.Add(10 * time.Second)
		if !c.settleOnlyNet() {
			c.now = c.now.Add(10 * time.Millisecond)
			for _, s := range []*simReplica{other, follower} {
				if s.r.deadline() <= c.now {
					s.tick()
				}
			}
		}
	}
	for follower.r.core.Term() < other.r.core.Term() {
		c.settleOnlyNet()
	}
	received := c.receives[0]
	c.receives = c.receives[1:]
	follower.commitSnapshot(*received.m.Snapshot, received.data)
	require.ErrorIs(t, follower.r.endReceive(c.now, &received.m, nil), errDeclined)
	follower.after()
	require.Equal(t, meta.Index, follower.newest.Index)

	c.run(2 * time.Second)
	other.propose("last")
	c.run(2 * time.Second)
	require.Greater(t, meta.Index, older)
	require.Equal(t, c.log, follower.applied)
	require.Contains(t, follower.applied, "last")
}

// settleOnlyNet does one thing that can be done without a timer, except to
// finish a reception.
func (c *simCluster) settleOnlyNet() bool {
	receives := c.receives
	c.receives = nil
	did := c.settleOnce()
	c.receives = append(receives, c.receives...)
	return did
}

// --- the end ---

func TestEveryCallEndsWithTheReplica(t *testing.T) {
	cause := errors.New("disk on fire")
	for _, step := range []struct {
		name string
		fail func(s *simReplica)
	}{
		{"a write fails", func(s *simReplica) { s.r.persistFailed(s.c.now, cause) }},
		{"apply fails", func(s *simReplica) {
			task := task{entries: []Entry{{Index: 1}}}
			s.r.applied(s.c.now, &task, cause)
		}},
		{"a restore fails", func(s *simReplica) {
			s.r.restored(s.c.now, &task{kind: taskRestore}, Snapshot{}, cause)
		}},
		{"the log cannot be read", func(s *simReplica) {
			s.r.core.apply.reading = 1
			s.r.logRead(s.c.now, LogRead{Lo: 1, Hi: 2}, nil, cause)
		}},
	} {
		t.Run(step.name, func(t *testing.T) {
			c := newSimCluster(t, 3, nil)
			leader := c.elect()
			pending, waiting, read := leader.propose("pending"), leader.propose("waiting"), leader.read()
			step.fail(leader)
			ends := leader.r.fx.done
			require.Len(t, ends, 3)
			for _, end := range ends {
				require.ErrorIs(t, end.err, ErrStopped)
				require.ErrorIs(t, end.err, cause)
				switch end.future {
				case &pending.future:
					require.ErrorIs(t, end.err, ErrOutcomeUnknown)
				case &waiting.future:
					require.ErrorIs(t, end.err, ErrNotCommitted)
				case &read.future:
				}
			}
			require.ErrorIs(t, leader.r.propose(c.now, &future{}), cause)
			require.ErrorIs(t, leader.r.readBarrier(c.now, &future{}), ErrStopped)
			require.Equal(t, Never, leader.r.deadline())
		})
	}
}

// A follower whose disk is never idle forwards all the same: what waits goes
// when nothing that was forwarded is unanswered.
func TestFollowerWithABusyDiskForwards(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader, follower := c.elect(), c.follower()
	leader.propose("a")
	for _, m := range c.take(isType(raftpb.AppendEntries)) {
		if m.To == follower.id && len(m.Entries) > 0 {
			c.receive(m)
		}
	}
	require.Less(t, follower.r.durable, follower.r.saved, "a write is in flight")
	require.Less(t, follower.r.core.Commit(), follower.r.core.Last())

	follower.propose("x")
	require.Len(t, c.take(isType(raftpb.Propose)), 1)
	follower.propose("y")
	require.Empty(t, c.take(isType(raftpb.Propose)), "what follows gathers")
}

// A snapshot that the core would refuse is refused before its data reaches the
// storage, where the next start would find it.
func TestMalformedSnapshotIsNotReceived(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader, follower := c.elect(), c.follower()
	for name, spoil := range map[string]func(m *Message){
		"no membership":      func(m *Message) { m.Snapshot.Membership = Membership{} },
		"membership above":   func(m *Message) { m.Snapshot.MembershipIndex = m.Snapshot.Index + 1 },
		"index out of range": func(m *Message) { m.Snapshot.Index = MaxIndex + 1 },
		"no term":            func(m *Message) { m.Snapshot.Term = 0 },
		"term of the future": func(m *Message) { m.Snapshot.Term = m.Term + 1 },
		"from itself":        func(m *Message) { m.From = m.To },
	} {
		m := Message{Type: raftpb.InstallSnapshot, From: leader.id, To: follower.id, Term: leader.r.core.Term(),
			Snapshot: &Snapshot{Index: 100, Term: 1, Membership: founding(3)}}
		spoil(&m)
		wanted, err := follower.r.beginReceive(c.now, &m)
		require.False(t, wanted, name)
		require.ErrorIs(t, err, ErrMalformed, name)
	}
}

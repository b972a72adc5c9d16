package raft

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// The paper's rules of terms and elections: §5.1, §5.2, §5.4.1, and the
// dissertation's of pre-vote and check-quorum.

// §5.1: "If a server receives a request with a stale term number, it rejects
// the request", and says which term it is in.
func TestSection51StaleRequestsAreRejectedWithTheCurrentTerm(t *testing.T) {
	for _, test := range []struct {
		m    Message
		want raftpb.MessageType
	}{
		{Message{Type: raftpb.PreVote, Term: 4, Index: 9, LogTerm: 3}, raftpb.PreVoteReply},
		{Message{Type: raftpb.RequestVote, Term: 4, Index: 9, LogTerm: 3}, raftpb.RequestVoteReply},
		{appendFrom(2, 4, 1, 1, 1, testEntry(2, 4)), raftpb.AppendEntriesReply},
		{Message{Type: raftpb.InstallSnapshot, Term: 4, Snapshot: &Snapshot{Index: 9, Term: 4, Membership: founding(3)}}, raftpb.InstallSnapshotReply},
	} {
		t.Run(test.m.Type.String(), func(t *testing.T) {
			c := newLoneCore(t, 3, 5, 1)
			test.m.From = 2

			reply := only(t, c.receive(test.m))

			require.Equal(t, test.want, reply.Type)
			require.True(t, reply.Reject)
			require.Equal(t, Term(5), reply.Term)
			require.Equal(t, []Term{1}, logTerms(c.Raft))
			require.Equal(t, Term(5), c.Term())
			require.Zero(t, c.votedFor)
			require.Zero(t, c.Leader())
			require.Empty(t, c.writes)
		})
	}
}

// Answers of an earlier term do nothing: no vote, no match, no round counts.
func TestSection51StaleAnswersDoNotCount(t *testing.T) {
	t.Run("vote", func(t *testing.T) {
		c := newLoneCore(t, 5, 5, 1)
		c.tickAt(c.Deadline())
		c.voteAll(raftpb.PreVoteReply, 6)
		c.persistAll()
		require.Equal(t, Candidate, c.Role())
		for _, from := range []NodeID{2, 3, 4, 5} {
			c.receive(Message{Type: raftpb.RequestVoteReply, From: from, Term: 5})
		}
		require.Equal(t, Candidate, c.Role())
	})
	t.Run("acknowledgement", func(t *testing.T) {
		c := newLoneCore(t, 3, 5, 1)
		c.lead()
		for _, from := range []NodeID{2, 3} {
			c.receive(Message{Type: raftpb.AppendEntriesReply, From: from, Term: 5, Index: 2, Verified: 2, Window: 1})
		}
		require.Zero(t, c.Commit())
		require.Zero(t, c.peer(2).match)
	})
}

// §5.1: "If one server's current term is smaller than the other's, then it
// updates its current term to the larger value. If a candidate or leader
// discovers that its term is out of date, it immediately reverts to follower
// state." A pre-vote, which nobody is in, raises nobody's term.
func TestSection51HigherTermConvertsToFollower(t *testing.T) {
	higher := func(kind raftpb.MessageType, reject bool) Message {
		m := Message{Type: kind, From: 2, Term: 50, Reject: reject}
		if kind == raftpb.InstallSnapshot {
			m.Snapshot = &Snapshot{Index: 9, Term: 4, Membership: founding(3)}
		}
		return m
	}
	for _, role := range []Role{Follower, PreCandidate, Candidate, Leader} {
		for _, test := range []struct {
			m      Message
			adopts bool
		}{
			{higher(raftpb.PreVote, false), false},
			{higher(raftpb.PreVoteReply, false), false},
			{higher(raftpb.PreVoteReply, true), true},
			{higher(raftpb.RequestVote, false), true},
			{higher(raftpb.RequestVoteReply, false), true},
			{higher(raftpb.RequestVoteReply, true), true},
			{higher(raftpb.AppendEntries, false), true},
			{higher(raftpb.AppendEntriesReply, false), true},
			{higher(raftpb.AppendEntriesReply, true), true},
			{higher(raftpb.InstallSnapshot, false), true},
			{higher(raftpb.InstallSnapshotReply, false), true},
			{higher(raftpb.ReadIndex, false), true},
			{higher(raftpb.ReadIndexReply, false), true},
		} {
			t.Run(fmt.Sprintf("%v %v reject %v", role, test.m.Type, test.m.Reject), func(t *testing.T) {
				c := coreInRole(t, role)
				term := c.Term()

				c.receive(test.m)

				if !test.adopts {
					require.Equal(t, term, c.Term())
					require.Equal(t, role, c.Role())
					return
				}
				require.Equal(t, Term(50), c.Term())
				require.Equal(t, Follower, c.Role())
				require.Zero(t, c.votedFor)
				c.persistAll()
				require.Equal(t, Term(50), c.writes[len(c.writes)-1].HardState.Term)
			})
		}
	}
}

// coreInRole is a core of three with the log 1, 1, in the given role.
func coreInRole(t testing.TB, role Role) *loneCore {
	c := newLoneCore(t, 3, 1, 1, 1)
	switch role {
	case PreCandidate, Candidate:
		c.tickAt(c.Deadline())
		if role == Candidate {
			c.voteAll(raftpb.PreVoteReply, c.term+1)
			c.persistAll()
		}
	case Leader:
		c.lead()
	}
	c.takeSent()
	require.Equal(t, role, c.Role())
	return c
}

// Terms and votes are durable before any message that reveals them (figure 2:
// "Updated on stable storage before responding to RPCs").
func TestFigure2TermIsDurableBeforeItIsRevealed(t *testing.T) {
	for _, m := range []Message{
		appendFrom(2, 9, 2, 1, 0),
		appendFrom(2, 9, 7, 1, 0), // rejected
		{Type: raftpb.RequestVote, From: 2, Term: 9, Index: 1, LogTerm: 1},
		{Type: raftpb.RequestVote, From: 2, Term: 9, Index: 2, LogTerm: 1},
	} {
		c := newLoneCore(t, 3, 1, 1, 1)
		require.Empty(t, c.receive(m))
		require.Len(t, c.persistAll(), 1, "%v", m)
	}
}

func TestFigure2VoteIsDurableBeforeItIsGranted(t *testing.T) {
	c := newLoneCore(t, 3, 9, 1, 1) // the term is durable already
	require.Empty(t, c.receive(Message{Type: raftpb.RequestVote, From: 2, Term: 9, Index: 2, LogTerm: 1}))
	require.Equal(t, HardState{Term: 9, Vote: 2, Unmarked: true}, c.writes[0].HardState)
	reply := only(t, c.persistAll())
	require.Equal(t, raftpb.RequestVoteReply, reply.Type)
	require.False(t, reply.Reject)
}

func TestSection52CandidatesOwnVoteIsDurableBeforeItAsks(t *testing.T) {
	c := newLoneCore(t, 3, 1, 1, 1)
	c.tickAt(c.Deadline())
	c.voteAll(raftpb.PreVoteReply, 2)
	require.Equal(t, Candidate, c.Role())
	require.Empty(t, ofType(c.takeSent(), raftpb.RequestVote))

	require.Len(t, ofType(c.persistAll(), raftpb.RequestVote), 2)
	require.Equal(t, HardState{Term: 2, Vote: 1, Unmarked: true}, c.writes[0].HardState)
}

// A vote that arrives before the candidate's own is durable, as an earlier
// life of a wiped candidate may be sent, makes no leader yet, and no panic.
func TestSection52VotesAreCountedWhenTheOwnOneIsDurable(t *testing.T) {
	c := newLoneCore(t, 3, 1, 1, 1)
	c.tickAt(c.Deadline())
	c.voteAll(raftpb.PreVoteReply, 2)
	c.receive(Message{Type: raftpb.RequestVoteReply, From: 2, Term: 2})
	c.receive(Message{Type: raftpb.RequestVoteReply, From: 3, Term: 2})
	require.Equal(t, Candidate, c.Role())

	c.persistAll()

	require.Equal(t, Leader, c.Role())
}

// §5.2: "Each server will vote for at most one candidate in a given term, on a
// first-come-first-served basis", also across a restart; and says yes again to
// the one it voted for.
func TestSection52OneVotePerTerm(t *testing.T) {
	ask := func(from NodeID) Message {
		return Message{Type: raftpb.RequestVote, From: from, Term: 2, Index: 1, LogTerm: 1}
	}
	vote := func(c *testCluster, from NodeID) bool {
		m := ask(from)
		m.To = 1
		c.receive(flying{m: m})
		c.persistAll(1)
		reply := c.net[len(c.net)-1].m
		require.Equal(t, raftpb.RequestVoteReply, reply.Type)
		c.net = nil
		return !reply.Reject
	}
	c := newClusterOf(t, nil, diskOf(3, 1, 1), nil, nil)
	require.True(t, vote(c, 2))
	require.False(t, vote(c, 3))
	require.True(t, vote(c, 2))
	c.restart(1)
	require.False(t, vote(c, 3))
	require.True(t, vote(c, 2))
}

func TestSection52CandidateAndLeaderVoteForNobodyElseInTheirTerm(t *testing.T) {
	for _, role := range []Role{Candidate, Leader} {
		c := coreInRole(t, role)
		reply := only(t, c.receive(Message{Type: raftpb.RequestVote, From: 2, Term: c.term, Index: 9, LogTerm: 1}))
		require.True(t, reply.Reject)
		require.Equal(t, role, c.Role())
	}
}

// §5.2: "election timeouts are chosen randomly from a fixed interval".
func TestSection52ElectionTimeoutsAreRandom(t *testing.T) {
	c := newLoneCore(t, 3, 1, 1)
	seen := map[time.Duration]bool{}
	for range 100 {
		before := c.now
		c.receive(appendFrom(2, 1, 1, 1, 0))
		timeout := time.Duration(c.Deadline() - before)
		require.GreaterOrEqual(t, timeout, DefaultElectionTimeout)
		require.Less(t, timeout, 2*DefaultElectionTimeout)
		seen[timeout] = true
		c.now = c.now.Add(time.Millisecond)
	}
	require.Greater(t, len(seen), 90)
}

// §5.2: only a timeout without a leader starts an election; AppendEntries and
// granted votes restart the timer, others' rejected requests do not.
func TestSection52WhatRestartsTheElectionTimer(t *testing.T) {
	for _, test := range []struct {
		name     string
		m        Message
		restarts bool
	}{
		{"heartbeat", appendFrom(2, 1, 1, 1, 0), true},
		{"rejected AppendEntries", appendFrom(2, 1, 7, 1, 0), true},
		{"stale AppendEntries", appendFrom(2, 0, 1, 0, 0), false},
		{"granted vote", Message{Type: raftpb.RequestVote, From: 2, Term: 2, Index: 2, LogTerm: 1}, true},
		{"refused vote", Message{Type: raftpb.RequestVote, From: 2, Term: 2}, false},
		{"granted pre-vote", Message{Type: raftpb.PreVote, From: 2, Term: 2, Index: 2, LogTerm: 1}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newLoneCore(t, 3, 1, 1, 1)
			before := c.Deadline()
			c.now = before - 1
			_ = c.try(test.m)
			require.Equal(t, test.restarts, c.Deadline() > before)
		})
	}
}

// §5.2: "If many followers become candidates at the same time, votes could be
// split … each candidate will time out and start a new election".
func TestSection52SplitVoteResolves(t *testing.T) {
	for size := 2; size <= 5; size++ {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			disks := []*testDisk{}
			for range size {
				disks = append(disks, diskOf(size, 1, 1))
			}
			c := newClusterOf(t, nil, disks...)
			c.now = c.now.Add(2 * DefaultElectionTimeout)
			for _, n := range c.nodes {
				c.tick(n.id)
			}
			c.pass(between(raftpb.PreVote, 0, 0))
			c.pass(between(raftpb.PreVoteReply, 0, 0))
			for _, n := range c.nodes {
				require.Equal(t, Candidate, n.r.Role())
				c.persistAll(n.id)
			}
			c.settle()
			c.requireLeader(0)

			c.run(10 * DefaultElectionTimeout)

			require.NotZero(t, c.leader())
		})
	}
}

// §5.2: a candidate that sees a leader of its term follows it.
func TestSection52CandidateFollowsALeaderOfItsTerm(t *testing.T) {
	for _, role := range []Role{PreCandidate, Candidate} {
		c := coreInRole(t, role)
		reply := only(t, c.receive(appendFrom(3, c.term, 2, 1, 0)))
		require.Equal(t, Follower, c.Role())
		require.Equal(t, NodeID(3), c.Leader())
		require.False(t, reply.Reject)
	}
}

// §5.2, §6: a majority of the voters elects, never half of them, and never
// learners.
func TestSection52MajorityElects(t *testing.T) {
	for size := 1; size <= 7; size++ {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			d := diskOf(size, 1, 1)
			d.snapshot.Membership.Members = append(d.snapshot.Membership.Members, Member{ID: 90}, Member{ID: 91})
			c := newLoneCoreFrom(t, d.load(), nil)
			c.tickAt(c.Deadline())
			grant := func(kind raftpb.MessageType, term Term, from NodeID) {
				c.receive(Message{Type: kind, From: from, Term: term})
			}
			for votes := 1; votes < size/2+1; votes++ {
				require.Equal(t, PreCandidate, c.Role())
				grant(raftpb.PreVoteReply, 2, 90)
				grant(raftpb.PreVoteReply, 2, NodeID(votes+1))
				grant(raftpb.PreVoteReply, 2, NodeID(votes+1)) // twice does not count twice
			}
			c.persistAll()
			for votes := 1; votes < size/2+1; votes++ {
				require.Equal(t, Candidate, c.Role())
				grant(raftpb.RequestVoteReply, 2, 91)
				grant(raftpb.RequestVoteReply, 2, NodeID(votes+1))
				grant(raftpb.RequestVoteReply, 2, NodeID(votes+1))
			}
			require.Equal(t, Leader, c.Role())
		})
	}
}

// §5.4.1: "If the logs have last entries with different terms, then the log
// with the later term is more up-to-date. If the logs end with the same term,
// then whichever log is longer is more up-to-date." For votes and pre-votes.
func TestSection541UpToDateCheck(t *testing.T) {
	for _, test := range []struct {
		name  string
		index Index
		term  Term
		grant bool
	}{
		{"equal", 3, 2, true},
		{"same term, longer", 4, 2, true},
		{"same term, shorter", 2, 2, false},
		{"later term, shorter", 1, 3, true},
		{"later term, longer", 9, 3, true},
		{"earlier term, longer", 9, 1, false},
		{"earlier term, same length", 3, 1, false},
		{"empty", 0, 0, false},
	} {
		for _, kind := range []raftpb.MessageType{raftpb.PreVote, raftpb.RequestVote} {
			t.Run(fmt.Sprintf("%v %s", kind, test.name), func(t *testing.T) {
				c := newLoneCore(t, 3, 3, 1, 1, 2)
				replies := c.receive(Message{Type: kind, From: 2, Term: 4, Index: test.index, LogTerm: test.term})
				reply := only(t, append(replies, c.persistAll()...))
				require.Equal(t, test.grant, !reply.Reject)
				require.Equal(t, test.grant && kind == raftpb.RequestVote, c.votedFor == 2)
			})
		}
	}
}

// Dissertation §9.6: asking, granting and refusing a pre-vote changes neither
// term nor vote nor the timer, and writes nothing.
func TestPreVoteChangesNothing(t *testing.T) {
	c := newLoneCore(t, 3, 3, 1, 1, 2)
	before := snapshotOf(c.Raft)
	grant := only(t, c.receive(Message{Type: raftpb.PreVote, From: 2, Term: 4, Index: 3, LogTerm: 2}))
	require.False(t, grant.Reject)
	require.Equal(t, Term(4), grant.Term)
	refusal := only(t, c.receive(Message{Type: raftpb.PreVote, From: 2, Term: 4, Index: 2, LogTerm: 2}))
	require.True(t, refusal.Reject)
	require.Equal(t, Term(3), refusal.Term)
	require.Equal(t, before, snapshotOf(c.Raft))
	require.Empty(t, c.writes)

	c.tickAt(c.Deadline())
	require.Equal(t, PreCandidate, c.Role())
	require.Equal(t, Term(3), c.Term())
	require.Zero(t, c.votedFor)
	require.Empty(t, c.writes)
}

// A node that is cut off never raises its term, and does not depose anyone
// when it comes back.
func TestPreVoteCutOffNodeDoesNotDisturbWhenItReturns(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.elect(1)
	c.run(DefaultHeartbeatInterval)
	term := c.node(1).r.Term()
	c.isolate(3)
	require.NoError(t, c.propose(1, "a"))
	c.run(30 * DefaultElectionTimeout)
	require.Equal(t, term, c.node(3).r.Term())

	c.heal()
	c.tick(3)
	c.run(5 * DefaultElectionTimeout)

	c.requireLeader(1)
	require.Equal(t, term, c.node(1).r.Term())
	c.requireApplied([]string{"a"}, 3)
}

// A node that lost only its link to the leader (one of three) is refused by
// the third, which hears from the leader still (dissertation §4.2.3).
func TestPreVoteNodeWithoutALinkToTheLeaderDoesNotDeposeIt(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.elect(1)
	c.run(DefaultHeartbeatInterval)
	term := c.node(1).r.Term()
	c.cut = func(m *Message) bool { return m.From == 1 && m.To == 3 || m.From == 3 && m.To == 1 }

	c.run(20 * DefaultElectionTimeout)

	c.requireLeader(1)
	require.Equal(t, term, c.node(1).r.Term())
}

// E8: a node with a higher term than the leader's, cut off and back, is not
// stranded: the leader learns the term, and somebody leads a later one.
func TestScenarioE8NodeWithAHigherTermIsNotStranded(t *testing.T) {
	c := newClusterOf(t, nil, diskOf(3, 2, 1, 2), diskOf(3, 2, 1, 2), diskOf(3, 9, 1))
	c.isolate(3)
	c.elect(1)
	c.heal()

	c.run(10 * DefaultElectionTimeout)

	require.NotZero(t, c.leader())
	require.NoError(t, c.propose(c.leader(), "a"))
	c.run(DefaultElectionTimeout)
	c.requireConsistent()
	require.GreaterOrEqual(t, c.node(3).r.Commit(), Index(4))
}

// §6.2 (dissertation): a leader that hears from no quorum for an election
// timeout steps down; one that hears from a quorum stays.
func TestCheckQuorum(t *testing.T) {
	for _, test := range []struct {
		size, cut int
		stays     bool
	}{{1, 0, true}, {2, 1, false}, {3, 1, true}, {3, 2, false}, {4, 1, true}, {4, 2, false}, {5, 2, true}, {5, 3, false}} {
		t.Run(fmt.Sprintf("%d of %d cut", test.cut, test.size), func(t *testing.T) {
			c := newTestCluster(t, test.size, nil)
			c.elect(1)
			c.run(DefaultHeartbeatInterval)
			term := c.node(1).r.Term()
			c.cut = func(m *Message) bool { return max(m.From, m.To) > NodeID(test.size-test.cut) }

			c.run(DefaultElectionTimeout + 2*DefaultHeartbeatInterval)

			require.Equal(t, test.stays, c.node(1).r.Role() == Leader)
			require.Equal(t, term, c.node(1).r.Term())
			if !test.stays {
				require.ErrorIs(t, c.propose(1, "a"), ErrNotLeader)
			}
		})
	}
}

// E13: a leader whose disk hangs while its heartbeats go on steps down after an
// election timeout, and one whose disk works is elected; a slow disk that goes
// on writing deposes nobody.
func TestScenarioE13LeaderThatCannotPersistStepsDown(t *testing.T) {
	for _, hangs := range []bool{true, false} {
		t.Run(fmt.Sprintf("hangs %v", hangs), func(t *testing.T) {
			c := newTestCluster(t, 3, nil)
			c.elect(1)
			c.run(DefaultHeartbeatInterval)
			term := c.node(1).r.Term()
			c.stalled[1] = true
			require.NoError(t, c.propose(1, "a"))

			for range 10 {
				c.run(DefaultElectionTimeout / 2)
				if !hangs {
					require.NoError(t, c.propose(1, "b"))
					c.persist(1)
				}
			}

			if hangs {
				require.NotEqual(t, NodeID(1), c.leader())
				require.NotZero(t, c.leader())
				require.Less(t, c.node(1).r.Term(), c.node(c.leader()).r.Term()+1, "nor does it campaign")
				require.NoError(t, c.propose(c.leader(), "c"))
				c.settle()
				c.requireApplied([]string{"a", "c"}, c.leader())
				return
			}
			c.requireLeader(1)
			require.Equal(t, term, c.node(1).r.Term())
		})
	}
}

// A time that goes backwards is taken for the latest one seen.
func TestTimeThatGoesBackwardsIsClamped(t *testing.T) {
	c := newLoneCore(t, 3, 1, 1)
	at := Instant(5 * time.Second)
	c.now = at
	c.receive(appendFrom(2, 1, 1, 1, 0))
	deadline := c.Deadline()
	require.GreaterOrEqual(t, deadline, at.Add(DefaultElectionTimeout))

	c.now = Instant(time.Second)
	c.receive(appendFrom(2, 1, 1, 1, 0))

	require.GreaterOrEqual(t, c.Deadline(), at.Add(DefaultElectionTimeout))
	require.Equal(t, at, c.Raft.now)
	c.Tick(Instant(2 * time.Second))
	c.drain()
	require.Equal(t, Follower, c.Role())
	require.Empty(t, c.takeSent())
}

// Between two deadlines nothing needs a tick, and at a deadline one tick fires
// what is due, once.
func TestDeadlineSaysWhenTickIsNeeded(t *testing.T) {
	for _, role := range []Role{Follower, PreCandidate, Candidate, Leader} {
		c := coreInRole(t, role)
		require.Greater(t, c.Deadline(), c.Raft.now)
		before := snapshotOf(c.Raft)
		c.now = c.Deadline() - 1
		require.Empty(t, c.tickAt(c.now))
		require.Equal(t, before, snapshotOf(c.Raft), "%v", role)

		at := c.Deadline()
		require.NotEmpty(t, c.tickAt(at))
		require.Greater(t, c.Deadline(), at)
		require.Empty(t, c.tickAt(at), "%v: the same tick again", role)
	}
}

// Who cannot campaign and follows nobody needs no ticking at all.
func TestDeadlineOfOneThatCannotCampaignIsNever(t *testing.T) {
	learner := diskOf(3, 1, 1)
	learner.snapshot.Membership.Members[0].Voter = false
	for name, d := range map[string]*testDisk{"joiner": {first: 1}, "learner": learner} {
		t.Run(name, func(t *testing.T) {
			c := newLoneCoreFrom(t, d.load(), nil)
			require.Equal(t, Never, c.Deadline())
			c.tickAt(Instant(time.Hour))
			require.Equal(t, Follower, c.Role())

			c.receive(appendFrom(2, 5, 0, 0, 0))
			require.Less(t, c.Deadline(), Never)
			require.Equal(t, NodeID(2), c.Leader())
			c.tickAt(c.Deadline())
			require.Zero(t, c.Leader())
			require.Equal(t, Never, c.Deadline())
		})
	}
}

// snapshotOf is the part of a core's state that a message may change.
func snapshotOf(r *Raft) string {
	return fmt.Sprintf("term %d vote %d unmarked %v commit %d applied %d role %v leader %d log %v peers %+v election %v %v %v following %+v leading %+v writes %+v members %+v",
		r.term, r.votedFor, r.unmarked, r.commit, r.applied, r.role, r.leader, r.log.runs, r.peers,
		r.election.deadline, r.election.ownVote, r.election.ownVoteSeq, r.following, r.leading, r.writes, r.members)
}

// A candidate whose own vote is still being written has asked nobody yet: the
// timer does not make it start over, or a slow disk would never elect.
func TestCandidateWaitsForItsOwnVote(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.stalled[1] = true
	c.now = c.node(1).r.Deadline()
	c.tick(1)
	c.settle()
	require.Equal(t, Candidate, c.node(1).r.Role())
	term := c.node(1).r.Term()

	c.now = c.node(1).r.Deadline()
	c.tick(1)
	require.Equal(t, Candidate, c.node(1).r.Role())
	clear(c.stalled)
	c.settle()

	c.requireLeader(1)
	require.Equal(t, term, c.node(1).r.Term())
}

package raft

import (
	"errors"
	"fmt"
	"testing"

	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// SCENARIOS E, the rows about elections and transfers.

// A target that ceases to be a voter, or that could not lead, is refused; and
// while a transfer is under way no change of the membership begins, nor goes on
// to its next step.
func TestScenarioE6TransferAndChangesOfTheMembership(t *testing.T) {
	c := newLedCluster(t, 3, 1)
	refused := func(to NodeID) {
		t.Helper()
		var impossible *MembershipError
		require.ErrorAs(t, c.transfer(1, to), &impossible)
		require.Equal(t, Leader, c.node(1).r.Role())
	}
	refused(1)
	refused(4)

	// Waiting for 4 to catch up, 2 is a voter still, and the transfer comes first.
	c.cut = func(m *Message) bool { return m.To == 4 || m.Type == raftpb.TimeoutNow }
	require.NoError(t, c.changeMembership(1, append(addVoters(4), Remove(2))...))
	c.settle()
	require.NoError(t, c.transfer(1, 2))
	require.ErrorIs(t, c.transfer(1, 3), ErrTransferring)
	require.NoError(t, c.transfer(1, 2))
	c.cut = between(raftpb.TimeoutNow, 1, 2)
	c.run(3 * DefaultHeartbeatInterval)
	require.Equal(t, c.node(1).r.Last(), c.node(4).r.Last())
	require.Equal(t, []NodeID{1, 2, 3}, votersOf(c.node(1).r))
	c.run(DefaultElectionTimeout)
	require.Equal(t, []NodeID{1, 3, 4}, votersOf(c.node(1).r), "it went on when the transfer had failed")
	c.heal()
	refused(2)

	// The target's storage is lost meanwhile.
	c.cut = between(raftpb.TimeoutNow, 1, 3)
	require.NoError(t, c.transfer(1, 3))
	c.wipe(3, Membership{})
	c.run(DefaultHeartbeatInterval)
	require.NoError(t, c.propose(1, "x"), "the transfer has ended")
	refused(3)
}

// During the joint membership the leader can be handed over to those that stay.
func TestScenarioE6TransferInTheMidstOfAJointMembership(t *testing.T) {
	c := newLedCluster(t, 3, 0)
	c.cut = cutOff(3)
	require.NoError(t, c.changeMembership(1, Remove(3)))
	c.lose(func(*Message) bool { return true })
	require.True(t, isJoint(&c.node(1).r.members.latest().Membership))
	var impossible *MembershipError
	require.ErrorAs(t, c.transfer(1, 3), &impossible)
	require.NoError(t, c.transfer(1, 2))
	c.run(DefaultElectionTimeout / 2)
	c.requireLeader(2)
	c.requireSettled([]NodeID{1, 2}, 1, 2)
}

// The joint membership is committed when the target has been told, but does not
// know it yet: its end waits, or the target would lose for want of it.
func TestScenarioE6NothingIsAppendedOnceTheTargetIsTold(t *testing.T) {
	c := newLedCluster(t, 5, 0)
	require.NoError(t, c.changeMembership(1, Remove(5)))
	require.NoError(t, c.transfer(1, 2))
	c.persistAll(1)
	c.pass(between(raftpb.AppendEntries, 1, 2))
	c.persistAll(2)
	c.pass(between(raftpb.AppendEntriesReply, 2, 1))
	last := c.node(1).r.Last()
	c.pass(between(raftpb.AppendEntries, 1, 0))
	c.persistAll(3, 4)
	c.pass(between(raftpb.AppendEntriesReply, 0, 1))
	require.Equal(t, last, c.node(1).r.Commit())
	require.Equal(t, last, c.node(1).r.Last())
	c.settle()
	c.requireLeader(2)
	require.Equal(t, Term(2), c.node(2).r.Term())
	c.requireSettled([]NodeID{1, 2, 3, 4}, 1, 2, 3, 4)
}

// A transfer catches the target up first, also one that is behind while writes
// are under way; it passes pre-vote, though everybody hears from a leader; none
// of the proposals that were taken is lost, the others are refused; and a lost
// request is repeated.
func TestScenarioE6TransferUnderWrites(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("request lost %v", lost), func(t *testing.T) {
			c := newLedCluster(t, 3, 0)
			c.cut = cutOff(2)
			taken := []string{}
			for i := range 20 {
				require.NoError(t, c.propose(1, fmt.Sprint(i)))
				taken = append(taken, fmt.Sprint(i))
				if i%5 == 0 {
					c.settle()
				}
			}
			c.heal()
			require.NoError(t, c.transfer(1, 2))
			require.ErrorIs(t, c.propose(1, "refused"), ErrTransferring)
			if lost {
				c.cut = between(raftpb.TimeoutNow, 1, 2)
				c.run(2 * DefaultHeartbeatInterval)
				c.requireLeader(1)
				c.heal()
			}
			c.run(2 * DefaultHeartbeatInterval)

			c.requireLeader(2)
			require.Equal(t, Term(2), c.node(2).r.Term())
			require.NoError(t, c.propose(2, "after"))
			c.run(DefaultHeartbeatInterval)
			c.requireApplied(append(taken, "after"), 1, 2, 3)
		})
	}
}

// A transfer to a target that is away ends within an election timeout, and
// everything goes on as before.
func TestScenarioE6TransferThatFails(t *testing.T) {
	c := newLedCluster(t, 3, 0)
	c.crash(2)
	require.NoError(t, c.transfer(1, 2))
	started := c.now
	for errors.Is(c.propose(1, "x"), ErrTransferring) {
		c.tickAtDeadline(1)
		c.settle()
	}
	require.LessOrEqual(t, c.now, started.Add(DefaultElectionTimeout))
	c.settle()
	c.requireApplied([]string{"x"}, 1)
	require.Equal(t, Term(1), c.node(1).r.Term())
	require.NoError(t, c.transfer(1, 0), "to whoever is furthest")
	c.settle()
	c.requireLeader(3)
}

// A request to campaign that comes late, from a leader of an earlier term or
// one that is not followed, is ignored.
func TestScenarioE6LateTimeoutNow(t *testing.T) {
	c := newLoneCore(t, 3, 2, 1)
	c.receive(appendFrom(2, 2, 1, 1, 0))
	for _, m := range []Message{{From: 2, Term: 1}, {From: 3, Term: 2}} {
		m.Type = raftpb.TimeoutNow
		c.receive(m)
		require.Equal(t, Follower, c.Role())
	}
	c.receive(Message{Type: raftpb.TimeoutNow, From: 2, Term: 2})
	require.Equal(t, Candidate, c.Role())
}

// 3 comes from a time without pre-vote: it has a term far ahead and a shorter
// log. It can win nothing, and its term must not keep the others from electing
// one of theirs.
func TestScenarioE7HigherTermAndShorterLog(t *testing.T) {
	for _, back := range []NodeID{1, 2} { // both are needed
		c := newClusterOf(t, nil, diskOf(3, 2, 1, 2, 2), diskOf(3, 2, 1, 2, 2), diskOf(3, 9, 1))
		c.isolate(3 - back)
		c.run(10 * DefaultElectionTimeout)
		require.Equal(t, back, c.leader(), "with 3's vote")
		require.Greater(t, c.node(back).r.Term(), Term(9))
		c.heal()
		c.run(5 * DefaultElectionTimeout)
		require.Equal(t, c.node(back).r.Last(), c.node(3).r.Last())
	}
}

// A pre-candidate follows no leader, so it grants the pre-votes of others; and
// the answer that grants one bears the term that was asked about, so that who
// has moved on does not count it.
func TestScenarioE7PreCandidateGrantsPreVotes(t *testing.T) {
	c := newLoneCore(t, 3, 2, 1)
	c.receive(appendFrom(2, 2, 1, 1, 0))
	c.tickAt(c.Deadline())
	require.Equal(t, PreCandidate, c.Role())
	require.Zero(t, c.Leader())
	reply := only(t, c.receive(Message{Type: raftpb.PreVote, From: 3, Term: 3, Index: 1, LogTerm: 1}))
	require.False(t, reply.Reject)
	require.Equal(t, Term(3), reply.Term)
	c.receive(Message{Type: raftpb.PreVoteReply, From: 3, Term: 2})
	require.Equal(t, PreCandidate, c.Role(), "an answer about an earlier term")
	c.receive(Message{Type: raftpb.PreVoteReply, From: 3, Term: 3})
	require.Equal(t, Candidate, c.Role())
}

// Half of an even number is no quorum: of entries, votes, pre-votes, reads.
func TestScenarioE9HalfIsNoQuorum(t *testing.T) {
	for _, voters := range []int{2, 4, 6} {
		c := newLoneCore(t, voters, 1, 1)
		c.tickAt(c.Deadline())
		half := NodeID(voters / 2)
		for id := NodeID(2); id <= half; id++ {
			c.receive(Message{Type: raftpb.PreVoteReply, From: id, Term: 2})
		}
		require.Equal(t, PreCandidate, c.Role())
		c.receive(Message{Type: raftpb.PreVoteReply, From: half + 1, Term: 2})
		require.Equal(t, Candidate, c.Role())
		c.persistAll()
		for id := NodeID(2); id <= half; id++ {
			c.receive(Message{Type: raftpb.RequestVoteReply, From: id, Term: 2})
		}
		require.Equal(t, Candidate, c.Role())
		c.receive(Message{Type: raftpb.RequestVoteReply, From: half + 1, Term: 2})
		require.Equal(t, Leader, c.Role())
		c.persistAll()
		require.NoError(t, c.ReadIndex(c.now, 1))
		c.drain()
		for id := NodeID(2); id <= half; id++ {
			c.ack(id, 2)
		}
		require.Zero(t, c.Commit())
		require.Empty(t, c.answers)
		c.ack(half+1, 2)
		require.Equal(t, Index(2), c.Commit())
		require.Len(t, c.answers, 1)
	}
}

// A node whose disk takes writes and completes none, or fails them, leads
// nothing and keeps nobody else from leading: without its vote on the disk it
// does not even ask for others.
func TestScenarioE14NodeWithABrokenDiskDoesNotKeepWinning(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprintf("fails %v", fails), func(t *testing.T) {
			c := newLedCluster(t, 3, 0)
			c.stalled[2] = true
			c.crash(1)
			c.now = c.node(2).r.Deadline()
			c.tick(2) // the first to campaign
			c.settle()
			require.NotEqual(t, Leader, c.node(2).r.Role())
			if fails {
				c.node(2).r.PersistFailed(c.now, errors.New("disk"))
				c.crash(2)
			}
			c.start(1)
			c.run(10 * DefaultElectionTimeout)
			l := c.leader()
			require.Contains(t, []NodeID{1, 3}, l)
			term := c.node(l).r.Term()
			require.NoError(t, c.propose(l, "x"))
			c.run(20 * DefaultElectionTimeout)
			c.requireLeader(l)
			require.Equal(t, term, c.node(l).r.Term())
			c.requireApplied([]string{"x"}, 1, 3)
		})
	}
}

// A vote outlives a restart in its term, is given to nobody else, and is not
// given where its write fails. Nor do a candidate's votes outlive its restart.
func TestScenarioE16Votes(t *testing.T) {
	ask := func(from NodeID, term Term) Message {
		return Message{Type: raftpb.RequestVote, From: from, Term: term, Index: 1, LogTerm: 1}
	}
	d := diskOf(3, 1, 1)
	c := newLoneCoreFrom(t, d.load(), nil)
	require.Empty(t, c.receive(ask(2, 5)), "before it is durable")
	require.Empty(t, c.receive(ask(3, 5)))
	sent := c.persistAll()
	require.False(t, only(t, to(sent, 2)).Reject)
	require.True(t, only(t, to(sent, 3)).Reject)
	for i := range c.writes {
		d.write(&c.writes[i])
	}

	c = newLoneCoreFrom(t, d.load(), nil)
	require.True(t, only(t, c.receive(ask(3, 5))).Reject)
	require.False(t, only(t, c.receive(ask(2, 5))).Reject, "the same again")

	c.receive(ask(3, 6))
	c.PersistFailed(c.now, errors.New("disk"))
	c.drain()
	require.Empty(t, c.takeSent())
	require.ErrorIs(t, c.try(ask(3, 6)), ErrStopped)

	// A candidate that restarts in its term does not count what was meant for
	// its earlier life.
	d = diskOf(3, 1, 1)
	c = newLoneCoreFrom(t, d.load(), nil)
	c.tickAt(c.Deadline())
	c.receive(Message{Type: raftpb.PreVoteReply, From: 2, Term: 2})
	c.persistAll()
	for i := range c.writes {
		d.write(&c.writes[i])
	}
	c = newLoneCoreFrom(t, d.load(), nil)
	c.receive(Message{Type: raftpb.RequestVoteReply, From: 2, Term: 2})
	c.receive(Message{Type: raftpb.RequestVoteReply, From: 3, Term: 2})
	require.Equal(t, Follower, c.Role())
}

package raft

import (
	"fmt"
	"slices"
	"testing"

	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// SCENARIOS E10: who is removed is told, and disturbs nobody until then.

// The removed node was cut off, or down, when it was removed, for longer than
// its leader tells it. Back, with the old membership in its log, it changes
// neither leader nor term, learns of its removal, and falls silent. So does it
// where none of those it knows of leads.
func TestScenarioE10RemovedNodeDisturbsNobody(t *testing.T) {
	for _, moved := range []bool{false, true} {
		for _, down := range []bool{false, true} {
			t.Run(fmt.Sprintf("leader moved %v, down %v", moved, down), func(t *testing.T) {
				c := newLedCluster(t, 3, 2)
				c.isolate(3)
				if down {
					c.crash(3)
				}
				require.NoError(t, c.changeMembership(1, append(addVoters(4, 5), Remove(3))...))
				c.run(DefaultElectionTimeout)
				c.requireSettled([]NodeID{1, 2, 4, 5}, 1, 2, 4, 5)
				if moved {
					require.NoError(t, c.transfer(1, 4))
				}
				c.run(2 * farewellTimeouts * DefaultElectionTimeout)
				l := c.leader()
				term := c.node(l).r.Term()
				require.Empty(t, c.node(l).r.leading.departures)

				if down {
					c.start(3)
				}
				c.heal()
				c.run(10 * DefaultElectionTimeout)

				c.requireLeader(l)
				require.Equal(t, term, c.node(l).r.Term())
				require.True(t, c.node(3).r.Status().Removed)
				require.Equal(t, Never, c.node(3).r.Deadline())
			})
		}
	}
}

// Whoever is removed while it is there is told at once: by the leader, learner
// or voter; also where it is the leader that removes itself and others. The
// leader stops telling it when it has answered.
func TestScenarioE10RemovedNodesAreTold(t *testing.T) {
	c := newLedCluster(t, 5, 1)
	require.NoError(t, c.changeMembership(1, AddLearner(6, hostOf(6))))
	c.run(5 * DefaultHeartbeatInterval)
	require.NoError(t, c.changeMembership(1, Remove(6), Remove(5)))
	c.run(3 * DefaultHeartbeatInterval)
	for _, id := range []NodeID{5, 6} {
		require.True(t, c.node(id).r.Status().Removed, "node %d", id)
	}
	require.Empty(t, c.node(1).r.leading.departures)

	require.NoError(t, c.changeMembership(1, Remove(1), Remove(4)))
	c.settle()
	for _, id := range []NodeID{1, 4} {
		require.True(t, c.node(id).r.Status().Removed, "node %d", id)
	}
	c.requireSettled([]NodeID{2, 3}, 2, 3)
	require.NotZero(t, c.leader())
}

// Who is removed is told for a while, and then no more; and not told before
// the removal is committed.
func TestScenarioE10FarewellsEnd(t *testing.T) {
	c := newLoneCore(t, 3, 1, 1)
	c.lead()
	c.ack(2, 2)
	_, err := c.ChangeMembership(c.now, Remove(3))
	require.NoError(t, err)
	c.drain()
	c.persistAll()
	c.ack(3, 3)
	c.ack(2, 3) // the joint membership
	c.persistAll()
	farewells := func(messages []Message) []Message {
		return slices.DeleteFunc(to(messages, 3), func(m Message) bool { return !m.Reject })
	}
	require.Empty(t, farewells(c.tickAt(c.Deadline())))
	c.ack(2, 4)
	until := c.now.Add((farewellTimeouts + 1) * DefaultElectionTimeout)
	told := 0
	for c.now < until {
		told += len(farewells(c.tickAt(c.Deadline())))
		c.ack(2, 4)
	}
	require.InDelta(t, farewellTimeouts*int(DefaultElectionTimeout/DefaultHeartbeatInterval), told, 5)
	require.Empty(t, c.leading.departures)
	require.Empty(t, c.tickAt(c.Deadline())[1:])
}

// What never was the removal of this node does not end it: a farewell that was
// delayed and reaches a node that was added again, with or without its storage;
// an answer to a pre-vote that is older than what it knows; the history of a log
// in which it was removed once.
func TestScenarioE10WhatIsNoRemoval(t *testing.T) {
	c := newLedCluster(t, 3, 0)
	require.NoError(t, c.changeMembership(1, Remove(3)))
	c.settle()
	c.tickAtDeadline(1)
	farewell := c.lose(func(m *Message) bool { return m.To == 3 && m.Reject })
	require.Len(t, farewell, 1)
	c.wipe(3, Membership{})
	require.NoError(t, c.changeMembership(1, addVoters(3)...))
	c.receive(flying{m: farewell[0]})
	require.False(t, c.node(3).r.Status().Removed, "it does not know of having been a member")
	c.restart(3)
	for range 5 {
		c.tickAtDeadline(1)
		for c.settleOnce() {
			require.False(t, c.node(3).r.Status().Removed)
			if c.node(3).r.Last() > 0 {
				c.receive(flying{m: farewell[0]})
				c.lose(between(raftpb.AppendEntriesReply, 3, 1))
			}
		}
	}
	require.NotZero(t, c.node(3).r.Last())
	c.run(10 * DefaultHeartbeatInterval)
	c.restart(3) // in whose log it was removed once
	c.run(10 * DefaultHeartbeatInterval)
	c.requireSettled([]NodeID{1, 2, 3}, 1, 2, 3)
	removal := c.node(3).r.members.latest().Index - 3
	c.node(3).r.fireElectionTimer() // it misses its leader, and asks
	c.after(c.node(3))
	require.Zero(t, c.node(3).r.Status().Leader)
	c.receive(flying{m: Message{Type: raftpb.PreVoteReply, From: 1, To: 3, Term: 1, Reject: true, Commit: removal}})
	require.False(t, c.node(3).r.Status().Removed)
}

// An answer to a pre-vote that says of a removal, and is overtaken by the leader
// that has added the node again, on its old storage, is of the past. The node
// need not have caught up for that: it may know of neither change yet.
func TestScenarioE10RemovalHeardOfAfterTheReturn(t *testing.T) {
	c := newLedCluster(t, 3, 0)
	c.isolate(3)
	require.NoError(t, c.changeMembership(1, Remove(3)))
	c.run(2 * DefaultHeartbeatInterval)
	c.requireSettled([]NodeID{1, 2}, 1, 2)
	c.heal()
	c.node(3).r.fireElectionTimer()
	c.after(c.node(3))
	require.Equal(t, 1, c.pass(between(raftpb.PreVote, 3, 2)))
	answers := c.lose(between(raftpb.PreVoteReply, 2, 3))
	require.Len(t, answers, 1)
	require.NotZero(t, answers[0].Commit, "it was removed")
	c.lose(between(raftpb.PreVote, 3, 1))

	require.NoError(t, c.changeMembership(1, addVoters(3)...))
	c.tickAtDeadline(1)
	require.NotZero(t, c.pass(between(raftpb.AppendEntries, 1, 3)))
	require.Equal(t, NodeID(1), c.node(3).r.Leader())
	require.Less(t, c.node(3).r.Commit(), answers[0].Commit, "it lags behind")
	c.receive(flying{m: answers[0]})
	require.False(t, c.node(3).r.Status().Removed)
	c.run(5 * DefaultElectionTimeout)
	c.requireSettled([]NodeID{1, 2, 3}, 1, 2, 3)
}

// tickAtDeadline fires a node's timers at its deadline.
func (c *testCluster) tickAtDeadline(id NodeID) {
	c.now = max(c.now, c.node(id).r.Deadline())
	c.tick(id)
}

package raft

import (
	"fmt"
	"slices"
	"testing"

	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// SCENARIOS E, the rows about changes of the membership.

// newLedCluster is a cluster of n voters that node 1 leads, and of joined nodes
// that hold nothing.
func newLedCluster(t *testing.T, n, joined int) *testCluster {
	t.Helper()
	c := newTestCluster(t, n, nil)
	c.elect(1)
	c.run(2 * DefaultHeartbeatInterval) // nobody is marked any more
	for range joined {
		c.join()
	}
	return c
}

func hostOf(id NodeID) string { return fmt.Sprintf("host-%d", id) }

func addVoters(ids ...NodeID) (changes []Change) {
	for _, id := range ids {
		changes = append(changes, AddVoter(id, hostOf(id)))
	}
	return changes
}

// requireSettled: the last change has come to its end everywhere.
func (c *testCluster) requireSettled(voters []NodeID, members ...NodeID) {
	c.t.Helper()
	for _, id := range members {
		n := c.node(id)
		m := &n.r.members.latest().Membership
		require.Equal(c.t, voters, votersOf(n.r), "node %d", id)
		require.False(c.t, isJoint(m) || hasIntent(m), "node %d: %v", id, m)
		require.False(c.t, n.r.Status().Removed, "node %d", id)
	}
}

// memberships are those in a node's log, that of the founding included.
func (c *testCluster) memberships(id NodeID) (all []Membership) {
	for _, e := range c.node(id).disk.log {
		if e.Type == EntryMembership {
			m, err := decodeMembership(e.Data)
			require.NoError(c.t, err)
			all = append(all, m)
		}
	}
	return all
}

// stopAtCommit cuts off what tells the given nodes of a commit index from limit
// on, and delivers the rest.
func stopAtCommit(limit Index, ids ...NodeID) func(*Message) bool {
	return func(m *Message) bool {
		return m.Type == raftpb.AppendEntries && m.Commit >= limit && slices.Contains(ids, m.To)
	}
}

// {1,2,3} → {1,…,5}, by 3: 1 and 2 hold the joint membership and have not
// applied it, 3, 4 and 5 have left it. Divided like this, 1 and 2, a majority of
// the old voters, elect nobody.
func TestScenarioE1ChangesThatAreNotAppliedElectNobody(t *testing.T) {
	c := newLedCluster(t, 3, 2)
	require.NoError(t, c.transfer(1, 3))
	c.settle()
	require.NoError(t, c.changeMembership(3, AddLearner(4, hostOf(4)), AddLearner(5, hostOf(5))))
	c.run(5 * DefaultHeartbeatInterval)
	c.cut = stopAtCommit(c.node(3).r.Last()+2, 1, 2)
	require.NoError(t, c.changeMembership(3, PromoteWhenCaughtUp(4), PromoteWhenCaughtUp(5)))
	c.settle()
	c.requireSettled([]NodeID{1, 2, 3, 4, 5}, 3, 4, 5)
	for _, id := range []NodeID{1, 2} {
		require.True(t, c.node(id).r.members.selfOutgoing)
		require.Less(t, c.node(id).r.applied, c.node(id).r.Last())
	}

	c.isolate(1, 2)
	c.crash(3)
	c.start(3)
	c.run(20 * DefaultElectionTimeout)

	require.Contains(t, []NodeID{3, 4, 5}, c.leader())
	require.NotEqual(t, Leader, c.node(1).r.Role())
	require.NotEqual(t, Leader, c.node(2).r.Role())
	c.heal()
	c.run(5 * DefaultElectionTimeout)
	c.requireSettled([]NodeID{1, 2, 3, 4, 5}, 1, 2, 3, 4, 5)
}

// {1,2,3,4} → {1,2,3}, and 4 is dead. 1, which has applied the change, dies; 2
// holds it and has not applied it; 3 lacks the end of it. 2 is the only one that
// can lead, and has two votes, which are a majority only of the new voters.
func TestScenarioE2MembershipCountsFromWhenItIsAppended(t *testing.T) {
	c := newLedCluster(t, 4, 0)
	joint := c.node(1).r.Last() + 1
	c.cut = func(m *Message) bool {
		return stopAtCommit(joint+1, 2)(m) || m.Type == raftpb.AppendEntries && m.To == 3 && m.Index >= joint
	}
	require.NoError(t, c.changeMembership(1, Remove(4)))
	c.settle()
	require.Equal(t, joint+1, c.node(1).r.Commit())
	require.Equal(t, joint+1, c.node(2).r.Last())
	require.Less(t, c.node(2).r.applied, joint+1)
	require.Equal(t, joint, c.node(3).r.Last())

	c.crash(1)
	c.crash(4)
	c.heal()
	c.run(10 * DefaultElectionTimeout)

	c.requireLeader(2)
	c.requireSettled([]NodeID{1, 2, 3}, 2, 3)
}

// 3 is promoted and does not know of it when the leader dies: 2, which does,
// needs its vote.
func TestScenarioE3PromotedLearnerThatDoesNotKnowAnswersVotes(t *testing.T) {
	c := newLedCluster(t, 2, 1)
	require.NoError(t, c.changeMembership(1, AddLearner(3, hostOf(3))))
	c.run(5 * DefaultHeartbeatInterval)
	joint := c.node(1).r.Last() + 2
	c.cut = func(m *Message) bool {
		return m.To == 3 && len(m.Entries) > 0 && m.Entries[len(m.Entries)-1].Index >= joint
	}
	require.NoError(t, c.changeMembership(1, PromoteWhenCaughtUp(3)))
	c.settle()
	require.False(t, c.node(3).r.members.selfVoter)
	require.True(t, c.node(2).r.members.selfVoter)

	c.crash(1)
	c.heal()
	c.run(10 * DefaultElectionTimeout)

	c.requireLeader(2)
	c.requireSettled([]NodeID{1, 2, 3}, 2, 3)
}

// The leader of {1,2,3} → {1,4,5} crashes at any step, and stays away: whoever
// leads next finishes the change or has never heard of it, enters and leaves the
// joint membership once, and does so with no other entry, heartbeat or timer.
func TestScenarioE4JointMembershipIsLeftWhoeverCrashesWhenever(t *testing.T) {
	start := func() *testCluster {
		c := newLedCluster(t, 3, 2)
		require.NoError(t, c.changeMembership(1, AddLearner(4, hostOf(4)), AddLearner(5, hostOf(5))))
		c.run(5 * DefaultHeartbeatInterval)
		require.NoError(t, c.changeMembership(1, PromoteWhenCaughtUp(4), PromoteWhenCaughtUp(5), Remove(2), Remove(3)))
		return c
	}
	c := start()
	c.settle()
	c.requireSettled([]NodeID{1, 4, 5}, 1, 4, 5)
	require.Len(t, c.memberships(1), 5, "founding, learners, intents, joint, and its end")

	changed, unchanged := 0, 0
	for steps := 0; ; steps++ {
		c := start()
		for range steps {
			c.settleOnce()
		}
		if len(c.net) == 0 && !c.settleOnce() {
			break
		}
		c.crash(1)
		if steps%2 == 0 {
			c.lose(func(m *Message) bool { return m.From == 1 })
		}
		c.run(12 * DefaultElectionTimeout)
		l := c.leader()
		require.NotZero(t, l, "step %d", steps)
		if slices.Contains(votersOf(c.node(l).r), 4) {
			changed++
			c.requireSettled([]NodeID{1, 4, 5}, 4, 5)
			require.Len(t, c.memberships(l), 5, "step %d", steps)
		} else {
			unchanged++
			c.requireSettled([]NodeID{1, 2, 3}, 2, 3, 4, 5)
		}
		require.NoError(t, c.propose(l, "x"))
		c.settle()
		c.requireApplied([]string{"x"}, l)
		c.start(1)
		c.run(5 * DefaultElectionTimeout)
		c.requireApplied([]string{"x"}, 1)
	}
	require.Greater(t, changed, 5)
	require.NotZero(t, unchanged)
}

// A leader that the change removes, or makes a learner, leads until the change
// is committed, and then has another one lead at once.
func TestScenarioE5LeaderThatDoesNotVoteAnyMoreHandsOver(t *testing.T) {
	for name, change := range map[string]Change{"removed": Remove(1), "demoted": Demote(1)} {
		t.Run(name, func(t *testing.T) {
			c := newLedCluster(t, 3, 0)
			c.cut = cutOff(2, 3)
			require.NoError(t, c.changeMembership(1, change))
			c.settle()
			require.Equal(t, Leader, c.node(1).r.Role(), "the joint membership is not committed")
			c.cut = stopAtCommit(c.node(1).r.Last(), 2, 3)
			for i := range c.node(1).r.peers {
				c.node(1).r.Unreachable(c.now, c.node(1).r.peers[i].id) // what was cut is sent again
			}
			c.run(2 * DefaultHeartbeatInterval)
			require.Equal(t, Leader, c.node(1).r.Role(), "nor is the one after it")
			require.False(t, c.node(1).r.Status().Removed)

			c.heal()
			c.run(2 * DefaultHeartbeatInterval)

			l := c.leader()
			require.Contains(t, []NodeID{2, 3}, l)
			require.Equal(t, Term(2), c.node(l).r.Term(), "at the first attempt")
			c.requireSettled([]NodeID{2, 3}, 2, 3)
			require.Equal(t, name == "removed", c.node(1).r.Status().Removed)
			require.NoError(t, c.propose(l, "x"))
			c.run(DefaultHeartbeatInterval)
			c.requireApplied([]string{"x"}, 2, 3)
			if name == "demoted" {
				c.requireApplied([]string{"x"}, 1)
			}
		})
	}
}

// A leader that is a learner in the latest membership, since it was elected by
// the one that it knew to be committed, resigns even where more is intended,
// its own promotion included.
func TestScenarioE5LearnerThatLeadsResignsWhateverIsIntended(t *testing.T) {
	d := diskOf(3, 1, 1)
	d.hard.Commit = 1
	latest := founding(3)
	latest.Members[0].Voter, latest.Members[0].Intent = false, IntentVoter
	d.log = append(d.log, membershipEntry(2, 1, latest))
	c := newLoneCoreFrom(t, d.load(), nil)
	c.lead()
	c.ack(2, 3)
	sent := c.ack(3, 3)
	require.Equal(t, Follower, c.Role())
	require.Len(t, ofType(sent, raftpb.TimeoutNow), 1)
}

// What cannot be changed is refused with an error that says why, and changes
// nothing.
func TestScenarioE11RefusedChanges(t *testing.T) {
	c := newLedCluster(t, 2, 1)
	require.NoError(t, c.changeMembership(1, AddLearner(3, hostOf(3))))
	c.settle()
	for _, test := range []struct {
		reason  string
		changes []Change
	}{
		{"empty", nil},
		{"no voter would be left", []Change{Remove(1), Remove(2)}},
		{"no voter would be left", []Change{Demote(1), Remove(2)}},
		{"node 9 is not a member", []Change{Remove(9)}},
		{"node 9 is not a member", []Change{Demote(9)}},
		{"node 9 is not a member", []Change{PromoteWhenCaughtUp(9)}},
		{"node 9 is not a member", []Change{SetAddress(9, "x")}},
		{"node 2 is a voter already", []Change{AddVoter(2, "")}},
		{"node 2 is a voter already", []Change{PromoteWhenCaughtUp(2)}},
		{"node 2 is a member already", []Change{AddLearner(2, "x")}},
		{"node 3 is a member already", []Change{AddLearner(3, "x")}},
		{"node 3 is no voter", []Change{Demote(3)}},
		{"node 4 is changed twice", []Change{AddVoter(4, "x"), Remove(4)}},
		{"node 4 has no address", []Change{AddVoter(4, "")}},
		{"node 2 has no address", []Change{SetAddress(2, "")}},
		{"node 4 has an address that is not UTF-8", []Change{AddVoter(4, "\xff")}},
		{"node 4 has the address of node 1", []Change{AddVoter(4, hostOf(1))}},
		{"node id 0 is nobody's", []Change{AddVoter(0, "x")}},
		{"changes nothing", []Change{SetAddress(2, hostOf(2))}},
		{"none of this package's functions", []Change{{}}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			last := c.node(1).r.Last()
			err := c.changeMembership(1, test.changes...)
			var refused *MembershipError
			require.ErrorAs(t, err, &refused)
			require.ErrorContains(t, err, test.reason)
			require.Equal(t, last, c.node(1).r.Last())
		})
	}
	tooMany := []Change{}
	for id := NodeID(10); id < 10+maxMembers; id++ {
		tooMany = append(tooMany, AddLearner(id, hostOf(id)))
	}
	require.ErrorContains(t, c.changeMembership(1, tooMany...), "more than 1024")
	require.ErrorIs(t, c.changeMembership(2, Remove(3)), ErrNotLeader)
	require.NoError(t, c.transfer(1, 2))
	require.ErrorIs(t, c.changeMembership(1, Remove(3)), ErrTransferring)
	c.settle()
	c.node(1).r.PersistFailed(c.now, fmt.Errorf("disk"))
	require.ErrorIs(t, c.changeMembership(1, Remove(3)), ErrStopped)
}

// A change of a leader that has committed nothing in its term is refused: two
// leaders could else each commit a change that the other does not know (the bug
// of single-server changes of 2015). So is one while another is under way.
func TestScenarioE12NoChangeBeforeTheTermsFirstCommit(t *testing.T) {
	c := newLedCluster(t, 4, 1)
	c.isolate(1, 5)
	require.NoError(t, c.changeMembership(1, AddLearner(5, hostOf(5)))) // at 1 and 5 only
	c.settle()
	require.ErrorIs(t, c.changeMembership(1, Remove(4)), ErrChangePending)

	c.now = c.now.Add(2 * DefaultElectionTimeout)
	c.tick(2)
	c.pass(between(raftpb.PreVote, 2, 0))
	c.pass(between(raftpb.PreVoteReply, 0, 2))
	c.persistAll(2)
	c.pass(between(raftpb.RequestVote, 2, 0))
	c.persistAll(3, 4)
	c.pass(between(raftpb.RequestVoteReply, 0, 2))
	require.Equal(t, Leader, c.node(2).r.Role())
	require.ErrorIs(t, c.changeMembership(2, Remove(1)), ErrChangePending)

	c.settle()
	require.NoError(t, c.changeMembership(2, Remove(1)))
	require.ErrorIs(t, c.changeMembership(2, Remove(3)), ErrChangePending)
	c.settle()
	c.requireSettled([]NodeID{2, 3, 4}, 2, 3, 4)
	c.heal()
	c.run(5 * DefaultElectionTimeout)
	require.True(t, c.node(1).r.Status().Removed)
}

// {1,2,3} → {1,…,5} at once: with the entry at 1, 4 and 5 only, a majority of
// the new voters, nothing is committed; and 2 and 3, a majority of the old ones,
// may go on without them.
func TestScenarioE17TwoAddedAtOnceMakeNoDisjointMajorities(t *testing.T) {
	c := newLedCluster(t, 3, 2)
	require.NoError(t, c.changeMembership(1, AddLearner(4, hostOf(4)), AddLearner(5, hostOf(5))))
	c.run(5 * DefaultHeartbeatInterval)
	commit := c.node(1).r.Commit()
	c.cut = func(m *Message) bool {
		return cutOff(2, 3)(m) && isJoint(&c.node(1).r.members.latest().Membership)
	}
	require.NoError(t, c.changeMembership(1, PromoteWhenCaughtUp(4), PromoteWhenCaughtUp(5)))
	c.settle()
	require.True(t, c.node(4).r.members.selfVoter)
	commit++ // the intents
	require.NoError(t, c.propose(1, "lost"))
	c.run(DefaultElectionTimeout / 2)
	require.Equal(t, commit, c.node(1).r.Commit())

	c.run(10 * DefaultElectionTimeout)
	l := c.leader()
	require.Contains(t, []NodeID{2, 3}, l)
	require.NotEqual(t, Leader, c.node(1).r.Role())
	require.NoError(t, c.propose(l, "kept"))
	c.settle()
	c.heal()
	c.run(10 * DefaultElectionTimeout)
	c.requireApplied([]string{"kept"}, 1, 2, 3, 4, 5)
	c.requireSettled([]NodeID{1, 2, 3, 4, 5}, 1, 2, 3, 4, 5) // as 2 and 3 knew was intended
}

// A learner becomes a voter when it has caught up with the log, and no sooner:
// neither while it is far behind, nor while its storage is marked, nor while it
// is away, nor when others are to vote with it that are not there yet.
func TestPromotionWaitsUntilTheLearnerHasCaughtUp(t *testing.T) {
	c := newLedCluster(t, 3, 2)
	for i := range 50 {
		require.NoError(t, c.propose(1, fmt.Sprint(i)))
	}
	c.settle()
	c.cut = cutOff(4, 5)
	require.NoError(t, c.changeMembership(1, addVoters(4, 5)...))
	c.run(3 * DefaultElectionTimeout)
	require.Equal(t, []NodeID{1, 2, 3}, votersOf(c.node(1).r))

	c.cut = cutOff(5)
	c.run(3 * DefaultElectionTimeout)
	require.Equal(t, c.node(1).r.Last(), c.node(4).r.Last())
	require.Equal(t, []NodeID{1, 2, 3}, votersOf(c.node(1).r), "5 is not there")

	c.cut = cutOff(4, 5)
	c.run(2 * DefaultElectionTimeout)
	c.cut = cutOff(4)
	c.run(3 * DefaultElectionTimeout)
	require.Equal(t, c.node(1).r.Last(), c.node(5).r.Last())
	require.Equal(t, []NodeID{1, 2, 3}, votersOf(c.node(1).r), "4 has gone again")

	c.heal()
	c.run(DefaultElectionTimeout)
	c.requireSettled([]NodeID{1, 2, 3, 4, 5}, 1, 2, 3, 4, 5)
}

// The learner has just lost its volume, and its leader has not heard of that
// when it is to promote it: as a voter it could not be replaced by anybody.
func TestPromotionOfALearnerThatHasLostItsVolume(t *testing.T) {
	c := newLedCluster(t, 1, 1)
	require.NoError(t, c.changeMembership(1, AddLearner(2, hostOf(2))))
	c.run(5 * DefaultHeartbeatInterval)
	require.False(t, c.node(1).r.peer(2).marked)
	c.wipe(2, Membership{})
	require.NoError(t, c.changeMembership(1, PromoteWhenCaughtUp(2)))
	c.persistAll(1)
	require.False(t, c.node(1).r.peer(2).voter)
	for c.settleOnce() {
		require.False(t, c.node(2).r.Status().Marked && c.node(1).r.peer(2).voter)
	}
	c.run(5 * DefaultHeartbeatInterval)
	c.requireSettled([]NodeID{1, 2}, 1, 2)
}

// A promotion goes on under another leader, and another change takes its place.
func TestPromotionSurvivesItsLeaderAndCanBeReplaced(t *testing.T) {
	for _, replaced := range []bool{false, true} {
		t.Run(fmt.Sprintf("replaced %v", replaced), func(t *testing.T) {
			c := newLedCluster(t, 3, 1)
			c.cut = cutOff(4)
			require.NoError(t, c.changeMembership(1, append(addVoters(4), Remove(3))...))
			c.settle()
			c.crash(1)
			c.run(5 * DefaultElectionTimeout)
			l := c.leader()
			require.NotZero(t, l)
			if replaced {
				require.NoError(t, c.changeMembership(l, Remove(4)))
			}
			c.start(1)
			c.heal()
			c.run(10 * DefaultElectionTimeout)
			if replaced {
				c.requireSettled([]NodeID{1, 2, 3}, 1, 2, 3)
			} else {
				require.Equal(t, []NodeID{1, 2, 4}, votersOf(c.node(1).r))
				require.True(t, c.node(3).r.Status().Removed)
			}
		})
	}
}

package raft

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft/raftpb"
)

// stop keeps the given replicas from everything, until the returned function is called
// for each of them: then its timer fires, and after that it reads what has arrived.
func (c *simCluster) stop(ids ...NodeID) (wake func(NodeID)) {
	stopped, unread := map[NodeID]*replica{}, map[NodeID][]Message{}
	for _, id := range ids {
		stopped[id], c.at(id).r = c.at(id).r, nil
	}
	c.cut = func(m *Message) bool {
		if stopped[m.To] != nil {
			unread[m.To] = append(unread[m.To], *m)
		}
		return stopped[m.To] != nil
	}
	return func(id NodeID) {
		c.at(id).r = stopped[id]
		delete(stopped, id)
		c.at(id).tick()
		for _, m := range unread[id] {
			c.receive(m)
		}
	}
}

// The process of a follower is paused while heartbeats arrive that nobody reads.
// The timer and the reader wake together, the timer first.
func TestScenarioH9PausedReplicaReadsBeforeItCampaigns(t *testing.T) {
	for name, test := range map[string]struct {
		deaf  bool // it has heard nothing before, until just before its timeout
		pause time.Duration
	}{
		"for ten election timeouts":           {false, 10 * DefaultElectionTimeout},
		"after the last look before it is up": {true, 2 * DefaultHeartbeatInterval},
	} {
		t.Run(name, func(t *testing.T) {
			c := newSimCluster(t, 3, nil)
			leader, follower := c.elect(), c.follower()
			c.run(time.Second)
			term := leader.r.core.Term()
			if test.deaf {
				c.isolate(follower.id)
				c.run(time.Duration(follower.r.core.Deadline()-c.now) - DefaultHeartbeatInterval/4)
			}

			wake := c.stop(follower.id)
			c.run(test.pause)
			wake(follower.id)

			require.Empty(t, c.take(isType(raftpb.PreVote)), "not before the messages are read")
			c.run(time.Second)
			require.True(t, c.leader() == leader)
			require.Equal(t, term, leader.r.core.Term())
		})
	}
}

// The machine that all processes are on stands still, then they wake one after
// the other, in any order: nobody campaigns, and the leader stays, whenever and
// however long that was.
func TestScenarioH9StalledMachineKeepsItsLeader(t *testing.T) {
	const apart = 100 * time.Millisecond
	for stall := 100 * time.Millisecond; stall <= 1200*time.Millisecond; stall += 10 * time.Millisecond {
		for _, order := range [][]NodeID{{1, 2, 3}, {1, 3, 2}, {2, 1, 3}, {2, 3, 1}, {3, 1, 2}, {3, 2, 1}} {
			t.Run(fmt.Sprint(stall, order), func(t *testing.T) {
				c := newSimCluster(t, 3, nil)
				leader := c.elect()
				c.run(time.Second + stall/7) // at any time between heartbeats
				term := leader.r.core.Term()

				wake := c.stop(1, 2, 3)
				c.now = c.now.Add(stall)
				for _, id := range order {
					wake(id)
					c.run(apart)
				}
				c.run(time.Second)

				require.True(t, c.leader() == leader)
				require.Equal(t, term, leader.r.core.Term())
				c.check()
			})
		}
	}
}

// A leader and a follower were stalled, and the other follower, which was not,
// asks for a pre-vote: who has just woken has not had the time to hear from the
// leader, and does not help.
func TestScenarioH9StalledReplicaDoesNotHelpToDeposeALeader(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader, awake := c.elect(), c.follower()
	stalled := c.at(6 - leader.id - awake.id)
	c.run(time.Second)
	term := leader.r.core.Term()

	wake := c.stop(leader.id, stalled.id)
	for awake.r.core.Role() == Follower {
		c.run(DefaultHeartbeatInterval)
	}
	wake(stalled.id)
	c.settle()
	require.Equal(t, PreCandidate, awake.r.core.Role())
	wake(leader.id)
	c.run(time.Second)

	require.True(t, c.leader() == leader)
	require.Equal(t, term, leader.r.core.Term())
}

// A leader that wakes is heard from at once.
func TestStalledLeaderSendsHeartbeatsWhenItWakes(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader := c.elect()
	c.run(time.Second)

	wake := c.stop(leader.id)
	c.now = c.now.Add(2 * DefaultElectionTimeout)
	wake(leader.id)

	require.Equal(t, Leader, leader.r.core.Role())
	require.Len(t, c.take(isType(raftpb.AppendEntries)), 2)
}

// Time in which a replica was awake counts, and a replica that was stalled and then hears
// nothing campaigns, as does one that never comes in time.
func TestStalledReplicaCampaignsInTheEnd(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	c.elect()
	follower := c.follower()
	c.run(time.Second)
	c.isolate(follower.id)

	c.now = c.now.Add(10 * DefaultElectionTimeout)
	woke := c.now
	for follower.tick(); follower.r.core.Role() == Follower; follower.tick() {
		require.LessOrEqual(t, follower.r.deadline()-c.now, Instant(DefaultHeartbeatInterval))
		c.now = follower.r.deadline()
	}
	require.Equal(t, PreCandidate, follower.r.core.Role())
	require.Equal(t, Instant(DefaultElectionTimeout-2*DefaultHeartbeatInterval), c.now-woke)
}

func TestReplicaThatIsAlwaysLateCampaignsInTheEnd(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader := c.elect()
	follower := c.follower()
	c.run(time.Second)
	c.cut = func(*Message) bool { return true }
	for s, role := range map[*simReplica]Role{follower: PreCandidate, leader: Follower} {
		looks := 0
		for before := s.r.core.Role(); s.r.core.Role() == before; looks++ {
			require.Less(t, time.Duration(looks)*DefaultHeartbeatInterval, 2*DefaultElectionTimeout)
			c.now = s.r.deadline().Add(time.Second)
			s.tick()
		}
		require.Equal(t, role, s.r.core.Role())
		require.Greater(t, looks, 2)
	}
}

// Nothing of this is felt where time is looked at when it should be.
func TestLooksInTimeChangeNothing(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader, follower := c.elect(), c.follower()
	c.run(time.Second)
	for range 20 {
		require.GreaterOrEqual(t, follower.r.deadline(), follower.r.core.election.heard.Add(2*DefaultHeartbeatInterval),
			"later than the next heartbeat")
		c.run(DefaultHeartbeatInterval)
	}

	c.isolate(leader.id)
	first := c.at(leader.id%3 + 1)
	if other := c.at(first.id%3 + 1); other != leader && other.r.core.Deadline() < first.r.core.Deadline() {
		first = other
	}
	term := first.r.core.Term()
	c.run(time.Duration(first.r.core.Deadline() - 1 - c.now))
	require.Equal(t, Follower, first.r.core.Role())
	require.Equal(t, term, first.r.core.Term())
	c.run(1)
	require.True(t, c.leader() == first)
}

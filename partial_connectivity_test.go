package raft

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// SCENARIOS E15: partial connectivity. What comes of each case is measured, and
// written down in docs/partial-connectivity.md.

// outcome is what a hundred election timeouts of a cut network came to.
type outcome struct {
	leader  NodeID        // at the end
	leaders int           // that have followed one another
	terms   Term          // that have begun
	outage  time.Duration // the longest time in which nothing could be committed
	missed  []NodeID      // those that lack what was committed
}

func (o outcome) String() string {
	return fmt.Sprintf("leader %d, %d leaders, %d terms, outage %.1f election timeouts, without it %v",
		o.leader, o.leaders, o.terms, float64(o.outage)/float64(DefaultElectionTimeout), o.missed)
}

// connected cuts all links but those between the given pairs.
func connected(pairs ...[2]NodeID) func(*Message) bool {
	return func(m *Message) bool {
		return !slices.Contains(pairs, [2]NodeID{m.From, m.To}) && !slices.Contains(pairs, [2]NodeID{m.To, m.From})
	}
}

// oneWay cuts what is sent from one to another.
func oneWay(from, to NodeID) func(*Message) bool {
	return func(m *Message) bool { return m.From == from && m.To == to }
}

// endure lets time pass in a cut network, with a proposal at every leader in
// every heartbeat interval, and then requires that all is well once it is healed.
func (c *testCluster) endure(cut func(*Message) bool) outcome {
	c.cut = cut
	c.net = slices.DeleteFunc(c.net, func(f flying) bool { return cut(&f.m) })
	const timeouts = 100
	var o outcome
	first, last := c.now, c.now
	term, commit := c.highestTerm(), c.check.Committed()
	before := NodeID(0)
	for k := 0; c.now < first.Add(timeouts*DefaultElectionTimeout); k++ {
		for _, n := range c.nodes {
			if n.r.Role() == Leader {
				_ = c.propose(n.id, fmt.Sprint(k)) // which may be one that leads no more
			}
		}
		c.run(DefaultHeartbeatInterval)
		if c.check.Committed() > commit {
			commit, last = c.check.Committed(), c.now
		}
		o.outage = max(o.outage, time.Duration(c.now-last))
		if l := c.leader(); l != 0 && l != before {
			before = l
			o.leaders++
		}
	}
	o.leader, o.terms = c.leader(), c.highestTerm()-term
	for _, n := range c.nodes {
		if n.r.Commit()+1 < c.check.Committed() {
			o.missed = append(o.missed, n.id)
		}
	}
	c.heal()
	c.run(5 * DefaultElectionTimeout)
	l := c.leader()
	require.NotZero(c.t, l)
	require.NoError(c.t, c.propose(l, "healed"))
	c.run(5 * DefaultHeartbeatInterval)
	for _, n := range c.nodes {
		require.Equal(c.t, c.check.Committed(), n.r.Commit(), "node %d", n.id)
	}
	return o
}

func (c *testCluster) highestTerm() (highest Term) {
	for _, n := range c.nodes {
		highest = max(highest, n.r.Term())
	}
	return highest
}

// Quorum loss: of five, every link is down but those with 1. The leader, 3, has
// no quorum any more, and 1 is the only one that has.
func TestScenarioE15QuorumLoss(t *testing.T) {
	c := newLedCluster(t, 5, 0)
	require.NoError(t, c.transfer(1, 3))
	c.run(2 * DefaultHeartbeatInterval)
	c.requireLeader(3)

	o := c.endure(connected([2]NodeID{1, 2}, [2]NodeID{1, 3}, [2]NodeID{1, 4}, [2]NodeID{1, 5}))

	t.Log(o)
	require.Equal(t, NodeID(1), o.leader)
	require.LessOrEqual(t, o.leaders, 2)
	require.LessOrEqual(t, o.terms, Term(3))
	require.Less(t, o.outage, 6*DefaultElectionTimeout)
	require.Empty(t, o.missed)
}

// Constrained election: the same links, the leader, 3, is down to none, and 1,
// the only one with a quorum, lacks an entry that 2 and 4 hold. It cannot be
// elected, and nobody else can. No protocol survives that in which a leader has
// to hold all that is committed when it is elected.
func TestScenarioE15ConstrainedElection(t *testing.T) {
	c := newLedCluster(t, 5, 0)
	require.NoError(t, c.transfer(1, 3))
	c.run(2 * DefaultHeartbeatInterval)
	c.isolate(1, 5)
	require.NoError(t, c.propose(3, "1 lacks this"))
	c.settle()
	term := c.highestTerm()

	o := c.endure(connected([2]NodeID{1, 2}, [2]NodeID{1, 4}, [2]NodeID{1, 5}))

	t.Log(o)
	require.Zero(t, o.leader)
	require.Zero(t, o.terms, "it waits in peace")
	require.Greater(t, o.outage, 90*DefaultElectionTimeout)
	require.LessOrEqual(t, c.highestTerm(), term+2, "and goes on with the next election when it is healed")
}

// Chained: of three, the leader, 1, and 3 have lost each other, and 2 has both.
// 3 hears from no leader, and asks for votes for as long as that lasts.
func TestScenarioE15Chained(t *testing.T) {
	c := newLedCluster(t, 3, 0)

	o := c.endure(connected([2]NodeID{1, 2}, [2]NodeID{2, 3}))

	t.Log(o)
	require.Equal(t, outcome{leader: 1, leaders: 1, terms: 0, outage: o.outage, missed: []NodeID{3}}, o)
	require.LessOrEqual(t, o.outage, 2*DefaultHeartbeatInterval)
}

// The same where nothing is proposed, so that 3 is up to date: it is refused
// since the others hear from a leader.
func TestScenarioE15AtRest(t *testing.T) {
	for name, cut := range map[string]func(*Message) bool{
		"chained": connected([2]NodeID{1, 2}, [2]NodeID{2, 3}), "follower that only speaks": oneWay(1, 3),
	} {
		t.Run(name, func(t *testing.T) {
			c := newLedCluster(t, 3, 0)
			c.cut = cut
			c.run(100 * DefaultElectionTimeout)
			c.requireLeader(1)
			require.Equal(t, Term(1), c.highestTerm())
		})
	}
}

// A chain of five, led from its middle: the leader has a quorum, its ends are
// what the chain's are above.
func TestScenarioE15LongChain(t *testing.T) {
	for leader := NodeID(1); leader <= 3; leader++ {
		t.Run(fmt.Sprintf("led by %d", leader), func(t *testing.T) {
			c := newLedCluster(t, 5, 0)
			if leader != 1 {
				require.NoError(t, c.transfer(1, leader))
				c.run(2 * DefaultHeartbeatInterval)
			}

			o := c.endure(connected([2]NodeID{1, 2}, [2]NodeID{2, 3}, [2]NodeID{3, 4}, [2]NodeID{4, 5}))

			t.Log(o)
			require.LessOrEqual(t, o.leaders, 2, "whoever in the middle leads goes on")
			require.LessOrEqual(t, o.terms, Term(2))
			require.Less(t, o.outage, 6*DefaultElectionTimeout)
			require.Len(t, o.missed, 2)
		})
	}
}

// Cloudflare, November 2020: a switch that passes some of the traffic, and some
// only one way. A follower does not hear from the leader, but everybody hears
// from it: without pre-vote it deposes one leader after the other.
func TestScenarioE15FollowerThatOnlySpeaks(t *testing.T) {
	c := newLedCluster(t, 3, 0)

	o := c.endure(oneWay(1, 3))

	t.Log(o)
	require.Equal(t, outcome{leader: 1, leaders: 1, terms: 0, outage: o.outage, missed: []NodeID{3}}, o)
	require.LessOrEqual(t, o.outage, 2*DefaultHeartbeatInterval)
}

// The leader hears from nobody, and all hear from it: its heartbeats keep them
// from electing another one, until it notices that nothing comes back.
func TestScenarioE15LeaderThatOnlySpeaks(t *testing.T) {
	c := newLedCluster(t, 3, 0)

	o := c.endure(func(m *Message) bool { return m.To == 1 })

	t.Log(o)
	require.Contains(t, []NodeID{2, 3}, o.leader)
	require.Equal(t, 2, o.leaders)
	require.LessOrEqual(t, o.terms, Term(2))
	require.Less(t, o.outage, 6*DefaultElectionTimeout)
	require.Equal(t, []NodeID{1}, o.missed)
}

// The leader does not hear from one of two followers, and has its quorum with
// the other one. It cannot tell that its entries arrive, and sends no more once
// as many are on the way as may be.
func TestScenarioE15FollowerThatOnlyHears(t *testing.T) {
	c := newLedCluster(t, 3, 0)

	o := c.endure(oneWay(3, 1))

	t.Log(o)
	require.Equal(t, outcome{leader: 1, leaders: 1, terms: 0, outage: o.outage, missed: []NodeID{3}}, o)
	require.LessOrEqual(t, o.outage, 2*DefaultHeartbeatInterval)
}

// The leader is cut off from a majority one way only, in which they hear from
// it: they follow it for no longer than it leads.
func TestScenarioE15LeaderHeardByMoreThanItHears(t *testing.T) {
	c := newLedCluster(t, 5, 0)

	o := c.endure(func(m *Message) bool { return m.To == 1 && m.From != 2 })

	t.Log(o)
	require.NotContains(t, []NodeID{0, 1}, o.leader)
	require.LessOrEqual(t, o.leaders, 2)
	require.Less(t, o.outage, 6*DefaultElectionTimeout)
}

package raft

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newPriorityCluster is three voters of which node i has priorities[i-1].
func newPriorityCluster(t *testing.T, priorities ...uint32) *testCluster {
	var disks []*testDisk
	for range priorities {
		d := diskOf(len(priorities), 1, 1)
		for i, p := range priorities {
			d.snapshot.Membership.Members[i].Priority = p
		}
		disks = append(disks, d)
	}
	return newClusterOf(t, nil, disks...)
}

// leaderAfter lets some election timeouts pass, and returns whom node 1 follows.
func (c *testCluster) leaderAfter(timeouts int) NodeID {
	c.run(time.Duration(timeouts) * DefaultElectionTimeout)
	return c.nodes[0].r.Leader()
}

// The membership in force says who has which priority; it is changed like
// everything in it, at once, and the log has it.
func TestPriorityIsReplicated(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.elect(1)
	c.run(time.Second)
	require.NoError(t, c.changeMembership(1, SetPriority(1, 7), SetPriority(3, 2)))
	c.run(time.Second)
	for _, n := range c.nodes {
		m := n.r.Status().Membership.Members
		require.Equal(t, []uint32{7, 0, 2}, []uint32{m[0].Priority, m[1].Priority, m[2].Priority})
		require.False(t, n.r.Status().Changing)
	}
	var e *MembershipError
	require.ErrorAs(t, c.changeMembership(1, SetPriority(3, 2)), &e, "it is so already")
	require.ErrorAs(t, c.changeMembership(1, SetPriority(9, 2)), &e, "there is no such member")
}

func TestLeaderYieldsToAVoterOfHigherPriority(t *testing.T) {
	c := newPriorityCluster(t, 0, 1, 2)
	c.elect(1)
	elected := c.now
	c.run(patience*DefaultElectionTimeout - 2*DefaultHeartbeatInterval)
	require.Equal(t, Leader, c.node(1).r.Role(), "not at once")
	require.EqualValues(t, 3, c.leaderAfter(2))
	require.Less(t, c.now-elected, Instant(7*DefaultElectionTimeout))
	term := c.node(3).r.Term()
	require.EqualValues(t, 3, c.leaderAfter(50))
	require.Equal(t, term, c.node(3).r.Term(), "it stays there")
}

// Who is not fit is not handed to, and the next best leads meanwhile.
func TestLeaderYieldsOnlyToWhoIsFit(t *testing.T) {
	c := newPriorityCluster(t, 0, 1, 2)
	c.isolate(3)
	c.elect(1)
	require.EqualValues(t, 2, c.leaderAfter(7))
	c.heal()
	require.EqualValues(t, 3, c.leaderAfter(7), "once it is back and has caught up")

	// One that acknowledges nothing is not handed to, whatever it answers.
	c = newPriorityCluster(t, 0, 0, 2)
	c.elect(1)
	c.stalled[3] = true
	require.NoError(t, c.propose(1, "x"))
	term := c.node(1).r.Term()
	require.EqualValues(t, 1, c.leaderAfter(20))
	require.Equal(t, term, c.node(1).r.Term())
}

// A voter of higher priority that is there and does not take over costs a
// transfer now and then, each after twice the time.
func TestLeaderBacksOffFromYielding(t *testing.T) {
	c := newPriorityCluster(t, 0, 0, 2)
	c.elect(1)
	n := c.node(1)
	c.cut = func(m *Message) bool { return m.To == 3 && m.Type.String() == "TimeoutNow" }
	var attempts []Instant
	began, before := c.now, NodeID(0)
	for c.now < began.Add(60*DefaultElectionTimeout) {
		c.run(DefaultHeartbeatInterval)
		if to := n.r.leading.transferee; to != before {
			if before = to; to != 0 {
				require.EqualValues(t, 3, to)
				attempts = append(attempts, c.now)
			}
		}
	}
	require.Equal(t, Leader, n.r.Role())
	require.Len(t, attempts, 4, "after 4, 8, 16 and 32 election timeouts")
	for i, at := range attempts {
		due := began.Add(patience * DefaultElectionTimeout << i)
		require.InDelta(t, float64(due), float64(at), float64(DefaultElectionTimeout), "attempt %d", i)
	}
}

// When the leader is gone, who has the highest priority of the others campaigns
// first, or soon after: and where it is gone too, the last one does not wait for
// ever.
func TestLowerPriorityCampaignsLater(t *testing.T) {
	timeouts := func(self, other, leader uint32) (least, most time.Duration) {
		d := diskOf(3, 1, 1)
		for i, p := range []uint32{self, other, leader} {
			d.snapshot.Membership.Members[i].Priority = p
		}
		c := newLoneCoreFrom(t, d.load(), nil)
		c.receive(appendFrom(3, 1, 1, 1, 1))
		least = time.Hour
		for range 1000 {
			c.resetElectionTimer()
			timeout := time.Duration(c.election.deadline - c.now)
			least, most = min(least, timeout), max(most, timeout)
		}
		return least, most
	}
	requireWithin := func(extra time.Duration, self, other, leader uint32) {
		t.Helper()
		least, most := timeouts(self, other, leader)
		require.InDelta(t, DefaultElectionTimeout+extra, least, float64(DefaultElectionTimeout/20))
		require.InDelta(t, 2*DefaultElectionTimeout+extra, most, float64(DefaultElectionTimeout/20))
	}
	requireWithin(0, 0, 0, 0)
	requireWithin(0, 1, 0, 2) // only the leader, which would be gone, is above it
	requireWithin(0, 1, 1, 0)
	requireWithin(DefaultElectionTimeout/2, 0, 1, 0)
	requireWithin(DefaultElectionTimeout/2, 1, 2, 9)
}

func TestPriorityNeverPreventsALeader(t *testing.T) {
	c := newPriorityCluster(t, 0, 5, 9)
	c.elect(3)
	c.crash(3)
	require.EqualValues(t, 2, c.leaderAfter(8))
	c.start(3)
	require.EqualValues(t, 3, c.leaderAfter(10))
	c.crash(2)
	c.crash(3)
	c.start(2)
	c.cut = func(m *Message) bool { return m.From == 2 && m.Type.String() == "PreVote" } // it never campaigns
	c.run(7 * DefaultElectionTimeout / 2)
	require.EqualValues(t, 1, c.node(1).r.Leader())
}

// To resign is to hand over to whoever is furthest, of several to who should
// lead; and with nobody who could lead, it is refused with an error that says so.
func TestResign(t *testing.T) {
	c := newPriorityCluster(t, 9, 0, 2, 1)
	c.elect(1)
	c.run(time.Second)
	require.NoError(t, c.transfer(1, 0))
	c.settle()
	require.EqualValues(t, 3, c.node(1).r.Leader())

	var e *MembershipError
	alone := newLoneCore(t, 1, 1, 1)
	alone.lead()
	require.ErrorAs(t, alone.TransferLeadership(alone.now, 0), &e)
	require.Equal(t, "raft: membership: no other voter could lead", e.Error())
	require.Equal(t, Leader, alone.Role())
	_, err := alone.ChangeMembership(alone.now, AddLearner(2, "two"))
	require.NoError(t, err)
	alone.drain()
	require.ErrorAs(t, alone.TransferLeadership(alone.now, 0), &e, "a learner could not lead")
	require.Equal(t, Leader, alone.Role())
	require.NoError(t, func() error { _, err := alone.Propose(alone.now, []Entry{{}}); return err }(), "it goes on")
}

func TestWhoIsFitToLead(t *testing.T) {
	for name, spoil := range map[string]func(c *loneCore, p *progress){
		"fit":                          func(*loneCore, *progress) {},
		"a learner":                    func(_ *loneCore, p *progress) { p.voter = false },
		"marked":                       func(_ *loneCore, p *progress) { p.marked = true },
		"of no higher priority":        func(c *loneCore, p *progress) { c.members.selfPriority = p.priority },
		"probing":                      func(_ *loneCore, p *progress) { p.state = PeerProbing },
		"without what is committed":    func(c *loneCore, p *progress) { p.match = c.commit - 1 },
		"not heard from for a timeout": func(c *loneCore, p *progress) { p.contact = c.Raft.now.Add(-c.cfg.ElectionTimeout) },
	} {
		d := diskOf(3, 1, 1)
		d.snapshot.Membership.Members[1].Priority = 1
		c := newLoneCoreFrom(t, d.load(), nil)
		c.lead()
		c.ack(2, c.Last())
		require.Equal(t, c.Last(), c.Commit())
		spoil(c, c.peer(2))
		require.Equal(t, name == "fit", c.preferred() != nil, name)
	}
}

func TestHighestPriorityIsPreferred(t *testing.T) {
	for _, priorities := range [][]uint32{{0, 1, 2}, {0, 2, 1}, {0, 2, 2}} {
		c := newPriorityCluster(t, priorities...)
		c.elect(1)
		p := c.node(1).r.preferred()
		require.NotNil(t, p)
		require.EqualValues(t, 2, p.priority, "of %v", priorities)
	}
}

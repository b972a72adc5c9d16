package raft

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft/raftpb"
)

// newWatchedLeader leads a group of n voters and reports Events.
func newWatchedLeader(t *testing.T, n int) *loneCore {
	d := diskOf(n, 1, 1)
	c := newLoneCoreFrom(t, d.load(), func(cfg *CoreConfig) { cfg.Events = true })
	c.lead()
	return c
}

// takeEvents returns what has been reported, each with what is common to all
// taken away.
func (c *loneCore) takeEvents() []Event {
	events := c.events
	c.events = nil
	for i := range events {
		events[i].Term, events[i].Role, events[i].Leader = 0, 0, 0
	}
	return events
}

func TestLeaderReportsTheStateOfItsPeers(t *testing.T) {
	c := newWatchedLeader(t, 3)
	c.takeEvents()
	c.ack(2, 2)
	require.Equal(t, []Event{{Kind: EventPeerState, Peer: 2, State: PeerReplicating, Index: 2}}, c.takeEvents())
	c.ack(2, 2)
	require.Empty(t, c.takeEvents(), "nothing new")
	c.Unreachable(c.now, 2)
	c.drain()
	require.Equal(t, []Event{{Kind: EventPeerState, Peer: 2, State: PeerProbing, Index: 2}}, c.takeEvents())
}

func TestLeaderReportsPeersThatItDoesNotHear(t *testing.T) {
	c := newWatchedLeader(t, 3)
	start := c.now
	c.ack(2, 2)
	c.takeEvents()
	c.tickAt(start.Add(c.cfg.ElectionTimeout - 1))
	c.ack(2, 2)
	require.Empty(t, c.takeEvents())
	c.tickAt(start.Add(c.cfg.ElectionTimeout))
	require.Equal(t, []Event{{Kind: EventPeerLost, Peer: 3}}, c.takeEvents())
	c.tickAt(start.Add(c.cfg.ElectionTimeout + time.Millisecond))
	require.Empty(t, c.takeEvents(), "once")
	c.ack(3, 2)
	require.Equal(t, []Event{
		{Kind: EventPeerState, Peer: 3, State: PeerReplicating, Index: 2},
		{Kind: EventPeerBack, Peer: 3},
	}, c.takeEvents())
}

func TestLeaderReportsThatCommitsStall(t *testing.T) {
	c := newWatchedLeader(t, 3)
	c.ack(2, 2)
	c.ack(3, 2)
	// At rest nothing stalls.
	for range 40 {
		c.tickAt(c.now.Add(c.cfg.HeartbeatInterval))
		c.ack(2, 2)
		c.ack(3, 2)
	}
	c.takeEvents()
	c.proposeData("x")
	c.persistAll()
	began := c.now
	for c.now < began.Add(c.cfg.ElectionTimeout) {
		require.Empty(t, c.takeEvents())
		c.tickAt(c.now.Add(c.cfg.HeartbeatInterval))
		c.ack(2, 2) // it hears from them, and nothing is durable there
		c.ack(3, 2)
	}
	require.Equal(t, []Event{{Kind: EventCommitStalled, Index: 2, Duration: c.cfg.ElectionTimeout}}, c.takeEvents())
	c.ack(2, 3)
	require.Equal(t, []Event{{Kind: EventCommitResumed, Index: 3}}, c.takeEvents())
}

func TestLeaderReportsWhyItStepsDown(t *testing.T) {
	c := newWatchedLeader(t, 3)
	c.takeEvents()
	c.tickAt(c.now.Add(c.cfg.ElectionTimeout))
	require.Contains(t, c.takeEvents(), Event{Kind: EventSteppedDown, Reason: reasonNoQuorum})

	c = newWatchedLeader(t, 3)
	c.proposeData("x")
	for range 7 {
		c.tickAt(c.now.Add(c.cfg.HeartbeatInterval))
		c.ack(2, 2) // it may have to read its disk to bring them up to date
		c.ack(3, 2)
	}
	c.takeEvents()
	c.tickAt(c.now.Add(c.cfg.HeartbeatInterval))
	require.Contains(t, c.takeEvents(), Event{Kind: EventSteppedDown, Reason: reasonDiskStalled})

	c = newWatchedLeader(t, 3)
	c.proposeData("x", "y")
	for range 7 {
		c.tickAt(c.now.Add(c.cfg.HeartbeatInterval))
		for _, from := range []NodeID{2, 3} { // they write, and there is always more to write
			c.receive(Message{
				Type: raftpb.AppendEntriesReply, From: from, Term: c.term, Index: 3, Verified: 4, Round: c.leading.round, Window: 1 << 20,
			})
		}
	}
	c.takeEvents()
	c.tickAt(c.now.Add(c.cfg.HeartbeatInterval))
	require.Contains(t, c.takeEvents(), Event{Kind: EventSteppedDown, Reason: reasonDiskStalled})
}

// Who asks for no Events gets none.
func TestNoEventsUnlessAskedFor(t *testing.T) {
	c := newLoneCore(t, 3, 1, 1)
	c.lead()
	c.ack(2, 2)
	require.Empty(t, c.events)
}

package raft

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft/raftpb"
)

func TestStatusOfALeaderShowsItsPeers(t *testing.T) {
	d := diskOf(4, 1, 1)
	d.snapshot.Membership.Members[3].Voter = false
	c := newLoneCoreFrom(t, d.load(), nil)
	require.Empty(t, c.Status().Peers, "a follower does not know")
	c.lead()
	c.now = c.now.Add(10 * time.Millisecond)
	c.receive(Message{
		Type: raftpb.AppendEntriesReply, From: 2, Term: c.term, Index: 1, Verified: 2, Round: c.leading.round, Window: 1 << 20,
	})
	c.now = c.now.Add(20 * time.Millisecond)
	c.proposeData("abcd")
	c.receive(Message{
		Type: raftpb.AppendEntriesReply, From: 3, Term: c.term, Marked: true, Context: 7, Round: c.leading.round, Window: 5,
	})
	status := c.Status()
	require.Equal(t, []PeerStatus{
		{
			ID: 2, State: PeerReplicating, Voter: true, Match: 1, Verified: 2, Next: 4, Lag: 2,
			InFlight: 1, InFlightBytes: 4 + entryOverhead, Window: 1 << 20, LastContact: 20 * time.Millisecond,
		},
		{
			ID: 3, State: PeerReplicating, Voter: true, Marked: true, Next: 1, Lag: 3, Window: 5,
		},
		{ID: 4, State: PeerProbing, Next: 2, Lag: 3, InFlight: 1, InFlightBytes: entryOverhead, Window: DefaultMaxMessageBytes, LastContact: 30 * time.Millisecond},
	}, status.Peers)
	require.Equal(t, entryOverhead+4, status.Uncommitted, "the term's first entry aside")
	require.Zero(t, status.TransferTo)

	status.Peers[0].ID = 9
	require.EqualValues(t, 2, c.Status().Peers[0].ID, "the slice is the caller's")
	require.NoError(t, c.TransferLeadership(c.now, 2))
	require.EqualValues(t, 2, c.Status().TransferTo)
	c.tickAt(c.now.Add(10 * c.cfg.ElectionTimeout))
	require.Equal(t, Follower, c.Status().Role)
	require.Empty(t, c.Status().Peers)
	require.Zero(t, c.Status().TransferTo)
	require.Zero(t, c.Status().Uncommitted)
}

func TestStatusShowsThatAChangeIsUnderWay(t *testing.T) {
	c := newLoneCore(t, 1, 1, 1)
	c.lead()
	require.False(t, c.Status().Changing)
	_, err := c.ChangeMembership(c.now, AddLearner(2, "two"))
	require.NoError(t, err)
	c.drain()
	require.True(t, c.Status().Changing, "not committed")
	c.persistAll()
	require.False(t, c.Status().Changing)
	_, err = c.ChangeMembership(c.now, PromoteWhenCaughtUp(2))
	require.NoError(t, err)
	c.drain()
	c.persistAll()
	require.Equal(t, c.Commit(), c.Last())
	require.True(t, c.Status().Changing, "the learner has not caught up")
}

func TestPeerStateString(t *testing.T) {
	require.Equal(t, "probing replicating snapshot state 3",
		PeerProbing.String()+" "+PeerReplicating.String()+" "+PeerSnapshot.String()+" "+PeerState(3).String())
}

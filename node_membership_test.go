package raft_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bubble"
	"github.com/seed-6281cb22/raft/storage/memory"
)

// newNamedCluster is a cluster that nodes can join: it has a name to give them.
func newNamedCluster(t *testing.T, n int, configure func(*raft.Config)) *cluster {
	return newCluster(t, n, func(cfg *raft.Config) {
		cfg.Cluster = "test"
		if cfg.ID > raft.NodeID(n) {
			cfg.Bootstrap = nil
		}
		if configure != nil {
			configure(cfg)
		}
	})
}

// join starts a node that waits to be added, and returns its place.
func (c *cluster) join() int {
	i := len(c.nodes)
	c.members = append(c.members, raft.Member{ID: raft.NodeID(i + 1), Address: fmt.Sprint("node-", i+1)})
	c.storages = append(c.storages, memory.New())
	c.nodes, c.journals, c.transport = append(c.nodes, nil), append(c.journals, nil), append(c.transport, nil)
	c.start(i)
	c.t.Cleanup(func() { c.stop(i) })
	return i
}

// change changes the membership on whoever leads, until that is done.
func (c *cluster) change(ctx context.Context, changes ...raft.Change) {
	c.t.Helper()
	for i := 0; ; i++ {
		err := c.nodes[i%len(c.nodes)].ChangeMembership(ctx, changes...)
		if err == nil {
			return
		}
		require.True(c.t, errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrChangePending) || errors.Is(err, raft.ErrNotCommitted), "%v", err)
		bubble.Sleep(10 * time.Millisecond)
	}
}

func voters(status raft.Status) (ids []raft.NodeID) {
	for _, m := range status.Membership.Members {
		if m.Voter {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

func TestAVoterJoins(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newNamedCluster(t, 3, nil)
		c.propose(0, "before")
		joined := c.join()
		c.change(ctx, raft.AddVoter(4, "node-4"))
		require.Equal(t, []raft.NodeID{1, 2, 3, 4}, voters(c.nodes[joined].Status()))
		require.Equal(t, []string{"before"}, c.journals[joined].all())

		// It counts: with it, three of four go on.
		c.stop((c.leader() + 1) % 3)
		c.propose(joined, "after")
	})
}

func TestALearnerIsPromotedWhenItHasCaughtUp(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newNamedCluster(t, 1, nil)
		c.change(ctx, raft.AddLearner(2, "node-2")) // it is not there yet
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		err := c.nodes[0].ChangeMembership(short, raft.PromoteWhenCaughtUp(2))
		require.ErrorIs(t, err, raft.ErrOutcomeUnknown)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		c.propose(0, "nobody waits for the learner")
		require.Equal(t, []raft.NodeID{1}, voters(c.nodes[0].Status()))

		c.join() // and then the change goes on, whoever waits for it
		for len(voters(c.nodes[0].Status())) < 2 {
			bubble.Sleep(10 * time.Millisecond)
		}
	})
}

// Who is removed is told: its calls end, and its node says why.
func TestARemovedNodeEnds(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newNamedCluster(t, 3, nil)
		gone := c.follower()
		c.change(ctx, raft.Remove(raft.NodeID(gone+1)))
		<-c.nodes[gone].Done()
		require.ErrorIs(t, c.nodes[gone].Err(), raft.ErrRemoved)
		_, err := c.nodes[gone].Propose(ctx, []byte("x"))
		require.ErrorIs(t, err, raft.ErrRemoved)
	})
}

// A leader that removes itself finishes that, and hands over.
func TestALeaderRemovesItself(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newNamedCluster(t, 3, nil)
		old := c.leader()
		require.NoError(t, c.nodes[old].ChangeMembership(ctx, raft.Remove(raft.NodeID(old+1))))
		<-c.nodes[old].Done()
		require.ErrorIs(t, c.nodes[old].Err(), raft.ErrRemoved)
		removed := time.Now()
		c.propose((old+1)%3, "x")
		require.Less(t, time.Since(removed), raft.DefaultElectionTimeout, "nobody waited for a timeout")
	})
}

// All members at once are replaced by others.
func TestEveryMemberIsReplaced(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newNamedCluster(t, 3, func(cfg *raft.Config) { cfg.SnapshotEntries, cfg.TrailingEntries = 20, -1 })
		for i := range 100 {
			c.propose(0, fmt.Sprint(i))
		}
		var changes []raft.Change
		for i := range 3 {
			at := c.join()
			changes = append(changes, raft.Remove(raft.NodeID(i+1)), raft.AddVoter(raft.NodeID(at+1), c.members[at].Address))
		}
		c.change(ctx, changes...)
		for i := range 3 {
			<-c.nodes[i].Done()
			require.ErrorIs(t, c.nodes[i].Err(), raft.ErrRemoved)
			c.stop(i)
		}
		c.propose(3, "last")
		require.Equal(t, []raft.NodeID{4, 5, 6}, voters(c.nodes[3].Status()))
		require.Len(t, c.journals[3].all(), 101)
	})
}

func TestImpossibleChangesAreRefused(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newNamedCluster(t, 3, nil)
		leader := c.nodes[c.leader()]
		c.propose(0, "x") // the leader's term has begun
		for want, changes := range map[string][]raft.Change{
			"empty":                    {},
			"is changed twice":         {raft.Remove(1), raft.Demote(1)},
			"is not a member":          {raft.Remove(9)},
			"is a member already":      {raft.AddLearner(2, "other")},
			"is a voter already":       {raft.AddVoter(2, "node-2")},
			"no voter would be left":   {raft.Remove(1), raft.Remove(2), raft.Demote(3)},
			"has no address":           {raft.AddLearner(4, "")},
			"has the address of node ": {raft.AddLearner(4, "node-2")},
			"changes nothing":          {raft.SetAddress(2, "node-2")},
			"not UTF-8":                {raft.AddVoter(4, "\xff")},
			"node id 0":                {raft.AddVoter(0, "node-0")},
			"none of this package's":   {raft.Change{}},
		} {
			err := leader.ChangeMembership(ctx, changes...)
			var refused *raft.MembershipError
			require.ErrorAs(t, err, &refused, want)
			require.ErrorContains(t, err, want)
		}
		follower := c.nodes[c.follower()]
		require.ErrorIs(t, follower.ChangeMembership(ctx, raft.Remove(1)), raft.ErrNotLeader)
		require.ErrorIs(t, follower.TransferLeadership(ctx, 0), raft.ErrNotLeader)
		require.Equal(t, []raft.NodeID{1, 2, 3}, voters(leader.Status()))
	})
}

func TestTransferLeadership(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newNamedCluster(t, 3, nil)
		c.propose(0, "x")
		old, next := c.leader(), c.follower()
		began := time.Now()
		require.NoError(t, c.nodes[old].TransferLeadership(ctx, raft.NodeID(next+1)))
		require.Less(t, time.Since(began), raft.DefaultElectionTimeout)
		require.Equal(t, raft.NodeID(next+1), c.nodes[old].Status().Leader)
		c.propose(old, "y")

		var refused *raft.MembershipError
		require.ErrorAs(t, c.nodes[next].TransferLeadership(ctx, 9), &refused)
		require.ErrorAs(t, c.nodes[next].TransferLeadership(ctx, raft.NodeID(next+1)), &refused)

		// A target that is not there: this one goes on, and what was proposed
		// meanwhile is committed.
		gone := (next + 1) % 3
		c.stop(gone)
		proposed := make(chan error, 1)
		go func() {
			_, err := c.nodes[next].Propose(ctx, []byte("z"))
			proposed <- err
		}()
		require.ErrorIs(t, c.nodes[next].TransferLeadership(ctx, raft.NodeID(gone+1)), raft.ErrTransferFailed)
		require.NoError(t, <-proposed)
		require.Equal(t, raft.Leader, c.nodes[next].Status().Role)
	})
}

// Close does not leave the group without a leader for an election timeout.
func TestCloseHandsOver(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newNamedCluster(t, 3, nil)
		c.propose(0, "x")
		old := c.leader()
		require.NoError(t, c.nodes[old].Close(ctx))
		c.transport[old].Close()
		closed := time.Now()
		c.propose((old+1)%3, "y")
		require.Less(t, time.Since(closed), raft.DefaultElectionTimeout/2)
		_, err := c.nodes[old].Propose(ctx, []byte("z"))
		require.ErrorIs(t, err, raft.ErrClosed)
	})
}

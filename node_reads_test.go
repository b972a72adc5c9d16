package raft_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bubble"
	"github.com/stretchr/testify/require"
)

const nodeLease = 300 * time.Millisecond

// newLeaseCluster is a cluster of three with leases, and its leader.
func newLeaseCluster(t *testing.T, ctx context.Context) (*cluster, int) {
	c := newCluster(t, 3, func(cfg *raft.Config) { cfg.Clock = raft.SystemClock{MaxError: time.Millisecond} })
	leader := c.leader()
	require.NoError(t, c.nodes[leader].ChangeMembership(ctx, raft.SetLease(nodeLease)))
	c.propose(leader, "first")
	return c, leader
}

// A lease read needs nobody else, for as long as the lease lasts.
func TestLeaseReadIsLocal(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c, leader := newLeaseCluster(t, ctx)
		reads := 0
		read := func() error { reads++; return nil }
		c.network.Isolate(c.members[leader].ID)
		begin := time.Now()
		require.NoError(t, c.nodes[leader].LeaseRead(ctx, read))
		require.Zero(t, time.Since(begin))
		require.Equal(t, 1, reads)

		bubble.Sleep(nodeLease)
		short, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		require.ErrorIs(t, c.nodes[leader].LeaseRead(short, read), context.DeadlineExceeded)
		require.ErrorIs(t, c.nodes[leader].LeaseRead(short, read), context.DeadlineExceeded)
		require.Equal(t, 1, reads)

		c.network.HealAll()
		require.NoError(t, c.nodes[leader].LeaseRead(ctx, read), "as a ReadBarrier")
		require.Equal(t, 2, reads)
		require.NoError(t, c.nodes[leader].Close(ctx))
		require.ErrorIs(t, c.nodes[leader].LeaseRead(ctx, read), raft.ErrClosed)
	})
}

// M31: what was read when the lease may have ended does not count: it is read
// again, after a ReadBarrier.
func TestScenarioR5NodeIsPausedInALeaseRead(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c, leader := newLeaseCluster(t, ctx)
		var seen []string
		reads := 0
		require.NoError(t, c.nodes[leader].LeaseRead(ctx, func() error {
			reads++
			seen = c.journals[leader].all()
			if reads == 1 {
				c.network.Isolate(c.members[leader].ID)
				c.propose((leader+1)%3, "missed")
				c.network.HealAll()
			}
			return nil
		}))
		require.Equal(t, 2, reads)
		require.Equal(t, []string{"first", "missed"}, seen)
	})
}

// On any node it is linearizable; what read returns is returned.
func TestLeaseReadOnEveryNode(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c, leader := newLeaseCluster(t, ctx)
		failed := errors.New("no such key")
		for i := range 30 {
			command := string(rune('a' + i))
			c.propose(i%3, command)
			reader := (i / 3) % 3
			require.ErrorIs(t, c.nodes[reader].LeaseRead(ctx, func() error {
				require.Contains(t, c.journals[reader].all(), command)
				return failed
			}), failed)
			if i == 15 {
				c.stop(leader)
				c.start(leader)
			}
		}
	})
}

// A lease read waits until this node has applied what is committed.
func TestLeaseReadWaitsForTheStateMachine(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c, leader := newLeaseCluster(t, ctx)
		release := make(chan struct{})
		synctest.Wait()
		c.journals[leader].apply = func(entries []raft.Entry) error {
			if string(entries[len(entries)-1].Data) == "applied late" {
				<-release
			}
			return nil
		}
		follower := (leader + 1) % 3
		c.propose(follower, "applied late") // there
		var seen []string
		ended := make(chan error, 1)
		go func() {
			ended <- c.nodes[leader].LeaseRead(ctx, func() error {
				seen = c.journals[leader].all()
				return nil
			})
		}()
		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		early := false
		require.ErrorIs(t, c.nodes[leader].LeaseRead(short, func() error { early = true; return nil }), context.DeadlineExceeded)
		close(release)
		require.NoError(t, <-ended)
		require.False(t, early)
		require.Contains(t, seen, "applied late")
	})
}

// A stale read is served by a node that is cut off, for as long as it is not
// too old; what was acknowledged before that it sees.
func TestStaleReadIsOfBoundedAge(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		const age = time.Second
		c := newCluster(t, 3, nil)
		reader := c.follower()
		node, reads := c.nodes[reader], 0
		read := func() error { reads++; return nil }

		c.propose(c.leader(), "first")
		require.NoError(t, node.StaleRead(ctx, age, read), "nothing is known yet: as a ReadBarrier")
		require.Contains(t, c.journals[reader].all(), "first")
		asked := time.Now()
		c.network.Isolate(c.members[reader].ID)
		c.propose((reader+1)%3, "missed")

		for time.Since(asked) < age-10*time.Millisecond {
			begin := time.Now()
			require.NoError(t, node.StaleRead(ctx, age, read))
			require.Zero(t, time.Since(begin))
			bubble.Sleep(age / 10)
		}
		bubble.Sleep(age)
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		served := reads
		require.ErrorIs(t, node.StaleRead(short, age, read), context.DeadlineExceeded)
		require.ErrorIs(t, node.StaleRead(short, age, read), context.DeadlineExceeded)
		require.Equal(t, served, reads)

		c.network.HealAll()
		require.NoError(t, node.StaleRead(ctx, age, read))
		require.Contains(t, c.journals[reader].all(), "missed")
		begin := time.Now()
		require.NoError(t, node.StaleRead(ctx, 0, read))
		require.NotZero(t, time.Since(begin), "of age 0: a ReadBarrier")
		require.NoError(t, node.Close(ctx))
		require.ErrorIs(t, node.StaleRead(ctx, age, read), raft.ErrClosed)
	})
}

// R4: a learner serves linearizable reads, and waits for the next leader.
func TestScenarioR4ReadBarrierOnALearner(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 3, nil)
		require.NoError(t, c.nodes[c.leader()].ChangeMembership(ctx, raft.Demote(3)))
		c.propose(0, "first")
		require.NoError(t, c.nodes[2].ReadBarrier(ctx))
		require.Contains(t, c.journals[2].all(), "first")

		leader := c.leader()
		c.network.Isolate(c.members[leader].ID)
		ended := make(chan error)
		go func() { ended <- c.nodes[2].ReadBarrier(ctx) }()
		bubble.Sleep(10 * time.Second)
		select {
		case <-ended:
			require.Fail(t, "nobody leads")
		default:
		}
		c.network.HealAll()
		require.NoError(t, <-ended)
	})
}

// The zero clock promises nothing.
func TestSystemClock(t *testing.T) {
	_, _, ok := raft.SystemClock{}.Now()
	require.False(t, ok)
	before := uint64(time.Now().UnixNano())
	earliest, latest, ok := raft.SystemClock{MaxError: time.Second}.Now()
	require.True(t, ok)
	require.LessOrEqual(t, before, latest-uint64(time.Second))
	require.Equal(t, uint64(2*time.Second), latest-earliest)
}

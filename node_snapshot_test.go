package raft_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bubble"
)

func TestSnapshotsCompactionAndRestart(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 3, func(cfg *raft.Config) { cfg.SnapshotEntries, cfg.TrailingEntries = 20, 5 })
		for i := range 100 {
			c.propose(i%3, fmt.Sprint(i))
		}
		all := c.requireSame()
		synctest.Wait()
		for i := range c.nodes {
			status := c.nodes[i].Status()
			require.GreaterOrEqual(t, status.Snapshot, raft.Index(80))
			require.Equal(t, status.Snapshot-4, status.First)
			c.journals[i].mu.Lock()
			require.GreaterOrEqual(t, c.journals[i].closed, 4, "an io.Closer is closed")
			c.journals[i].mu.Unlock()
		}
		for i := range c.nodes {
			c.stop(i)
		}
		for i := range c.nodes {
			c.start(i)
		}
		c.propose(0, "after")
		require.Equal(t, append(all, "after"), c.requireSame())
		for _, j := range c.journals {
			require.Equal(t, 1, j.restored())
		}
	})
}

func TestFarBehindNodeInstallsASnapshot(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 3, func(cfg *raft.Config) { cfg.SnapshotEntries, cfg.TrailingEntries = 20, -1 })
		behind := c.follower()
		c.network.Isolate(c.members[behind].ID)
		for i := range 100 {
			c.propose(c.leader(), fmt.Sprint(i))
		}
		c.network.HealAll()
		require.Len(t, c.requireSame(), 100)
		require.Equal(t, 1, c.journals[behind].restored())
		c.propose(behind, "on it")
		require.Len(t, c.requireSame(), 101)
	})
}

// A snapshot that cannot be stored is refused, sent again, and one that cannot
// be written is tried again later; the replica goes on.
func TestSnapshotsThatFail(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		var broken []*brokenStorage
		c := newCluster(t, 3, func(cfg *raft.Config) {
			cfg.SnapshotEntries, cfg.TrailingEntries = 20, -1
			s := &brokenStorage{Storage: cfg.Storage}
			broken = append(broken, s)
			cfg.Storage = s
		})
		behind := c.follower()
		leader := c.leader()
		broken[behind].breakWith(nil, errors.New("no room"))
		c.journals[leader].write = func() error { return errors.New("cannot write") }
		c.network.Isolate(c.members[behind].ID)
		for i := range 50 {
			c.propose(c.leader(), fmt.Sprint(i))
		}
		synctest.Wait()
		require.Zero(t, c.nodes[leader].Status().Snapshot)
		c.journals[leader].write = nil // nobody writes now
		c.journals[leader].capture = func() error { return errors.New("cannot capture") }
		for i := range 25 {
			c.propose(c.leader(), fmt.Sprint("more ", i))
		}
		synctest.Wait()
		require.Zero(t, c.nodes[leader].Status().Snapshot)
		c.journals[leader].capture = nil
		for i := range 50 {
			c.propose(c.leader(), fmt.Sprint(50+i))
		}
		synctest.Wait()
		require.NotZero(t, c.nodes[leader].Status().Snapshot)

		c.network.HealAll()
		bubble.Sleep(5 * time.Second)
		require.NoError(t, c.nodes[behind].Err())
		require.Less(t, len(c.journals[behind].all()), 50)
		broken[behind].breakWith(nil, nil)
		require.Len(t, c.requireSame(), 125)
	})
}

// A state machine that cannot be restored stops the replica.
func TestRestoreThatFails(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 1, func(cfg *raft.Config) { cfg.SnapshotEntries = 5 })
		for i := range 10 {
			c.propose(0, fmt.Sprint(i))
		}
		synctest.Wait()
		c.stop(0)
		node, err := raft.Start(c.config(0), &unrestorable{})
		require.NoError(t, err)
		<-node.Done()
		require.ErrorIs(t, node.Err(), raft.ErrStopped)
		require.ErrorIs(t, node.Err(), errUnrestorable)
		c.transport[0].Close()
		require.NoError(t, node.Close(ctx))
	})
}

// A log that does not fit in memory, on the leader for a follower that was
// away, and on a replica that applies slowly: it is read from the storage.
func TestLogIsReadFromTheStorage(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 3, func(cfg *raft.Config) {
			cfg.MaxEntryBytes, cfg.MaxWindowBytes, cfg.MaxMessageBytes, cfg.MaxApplyBytes = 1000, 4000, 2000, 1500
			cfg.SnapshotEntries, cfg.SnapshotBytes = -1, -1
		})
		behind := c.follower()
		c.network.Isolate(c.members[behind].ID)
		for i := range 50 {
			c.propose(c.leader(), fmt.Sprintf("%0900d", i))
		}
		c.network.HealAll()
		require.Len(t, c.requireSame(), 50)
		for i := range c.nodes {
			c.stop(i)
		}
		for i := range c.nodes {
			c.start(i)
		}
		c.propose(0, "last")
		require.Len(t, c.requireSame(), 51)
	})
}

// Close does not wait for a snapshot to be written to its end.
func TestCloseDuringASnapshot(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 1, func(cfg *raft.Config) { cfg.SnapshotEntries = 5 })
		begun, proceed := make(chan bool), make(chan bool)
		c.journals[0].write = func() error { close(begun); <-proceed; return nil }
		for i := range 10 {
			c.propose(0, strings.Repeat("x", i))
		}
		<-begun
		closed := make(chan error)
		go func() { closed <- c.nodes[0].Close(ctx) }()
		synctest.Wait()
		close(proceed)
		require.NoError(t, <-closed)
		_, _, err := c.storages[0].OpenSnapshot()
		require.ErrorIs(t, err, raft.ErrNoSnapshot, "its writing was cut short")
	})
}

package raft_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bubble"
)

// lasting makes a journal a DurableStateMachine, which is empty when it starts.
type lasting struct{ *journal }

func (lasting) LastApplied() raft.Index { return 0 }

// drained is a DurableStateMachine whose captures can be written only once.
type drained struct{ lasting }

func (d drained) Snapshot() (io.WriterTo, error) {
	source, err := d.journal.Snapshot()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_, err = source.WriteTo(&b)
	return &b, err
}

// countingStorage counts the snapshots that are written and read.
type countingStorage struct {
	raft.Storage
	created, opened atomic.Int64
}

func (s *countingStorage) CreateSnapshot(meta raft.Snapshot) (raft.SnapshotWriter, error) {
	s.created.Add(1)
	return s.Storage.CreateSnapshot(meta)
}

func (s *countingStorage) OpenSnapshot() (raft.Snapshot, io.ReadSeekCloser, error) {
	s.opened.Add(1)
	return s.Storage.OpenSnapshot()
}

// captures is a cluster of durable state machines, with what its nodes did.
type captures struct {
	*cluster
	storages map[raft.NodeID]*countingStorage
	mu       sync.Mutex
	events   map[raft.NodeID][]raft.Event // about sending
}

func newCaptures(t *testing.T, n int, machine func(*journal) raft.StateMachine[int], configure func(*raft.Config)) *captures {
	c := &captures{storages: map[raft.NodeID]*countingStorage{}, events: map[raft.NodeID][]raft.Event{}}
	c.cluster = newNamedCluster(t, n, func(cfg *raft.Config) {
		id := cfg.ID
		cfg.TrailingEntries = -1
		cfg.OnEvent = func(e raft.Event) {
			if e.Kind == raft.EventSnapshotSent || e.Kind == raft.EventSnapshotNotSent {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.events[id] = append(c.events[id], e)
			}
		}
		c.storages[id] = &countingStorage{Storage: cfg.Storage}
		cfg.Storage = c.storages[id]
		configure(cfg)
	})
	c.durable = machine
	for i := range n {
		c.stop(i)
	}
	for i := range n {
		c.start(i)
	}
	return c
}

func (c *captures) of(i int) (*countingStorage, []raft.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.storages[c.members[i].ID], c.events[c.members[i].ID]
}

// catchUp brings a follower up from a snapshot, and returns who has sent it.
func (c *captures) catchUp(t *testing.T) (leader, behind int) {
	leader, behind = c.leader(), c.follower()
	c.network.Isolate(c.members[behind].ID)
	for i := range 111 {
		c.propose(leader, fmt.Sprint(i))
	}
	synctest.Wait()
	c.network.HealAll()
	require.Len(t, c.requireSame(), 111)
	require.Equal(t, 1, c.journals[behind].restored())
	c.propose(behind, "on it")
	require.Len(t, c.requireSame(), 112)
	require.Equal(t, leader, c.leader())
	return leader, behind
}

// A far behind follower is sent the state as it is, and not a copy of it.
func TestDurableStateIsSentWithoutACopy(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCaptures(t, 3, func(j *journal) raft.StateMachine[int] { return lasting{j} },
			func(cfg *raft.Config) { cfg.SnapshotEntries = 40 })
		leader, _ := c.catchUp(t)
		storage, events := c.of(leader)
		require.Zero(t, storage.opened.Load())
		require.EqualValues(t, 2, storage.created.Load(), "as its policy has it")
		require.Len(t, events, 1)
		require.Equal(t, raft.EventSnapshotSent, events[0].Kind)
		require.Greater(t, events[0].Index, c.nodes[leader].Status().Snapshot, "what was applied then")
		j := c.journals[leader]
		j.mu.Lock()
		defer j.mu.Unlock()
		require.Equal(t, 3, j.closed)
	})
}

// Captures that cannot be written twice cost one attempt.
func TestDurableStateThatIsNotRepeatable(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCaptures(t, 3, func(j *journal) raft.StateMachine[int] { return drained{lasting{j}} },
			func(cfg *raft.Config) { cfg.SnapshotEntries = 40 })
		leader, _ := c.catchUp(t)
		storage, events := c.of(leader)
		require.EqualValues(t, 1, storage.opened.Load())
		require.Len(t, events, 2)
		require.Equal(t, raft.EventSnapshotNotSent, events[0].Kind)
		require.ErrorContains(t, events[0].Err, "has not written the same again")
		require.Equal(t, raft.EventSnapshotSent, events[1].Kind)
		require.Equal(t, c.nodes[leader].Status().Snapshot, events[1].Index)
	})
}

// A capture that fails is tried again, and so is one that cannot be written.
func TestDurableStateThatCannotBeCaptured(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCaptures(t, 1, func(j *journal) raft.StateMachine[int] { return lasting{j} },
			func(cfg *raft.Config) { cfg.SnapshotEntries, cfg.MaxSnapshotSends = -1, 1 })
		c.propose(0, "one")
		_, err := c.nodes[0].TakeSnapshot(ctx)
		require.NoError(t, err)
		captures, writes := 0, 0
		c.journals[0].capture = func() error {
			if captures++; captures == 1 {
				return fmt.Errorf("not now")
			}
			return nil
		}
		c.journals[0].write = func() error {
			if writes++; writes == 1 {
				return fmt.Errorf("nor now")
			}
			return nil
		}
		at := c.join()
		require.NoError(t, c.nodes[0].ChangeMembership(ctx, raft.AddLearner(c.members[at].ID, c.members[at].Address)))
		require.Len(t, c.requireSame(), 1)
		bubble.Sleep(time.Second) // until the sender hears of it
		_, events := c.of(0)
		require.Len(t, events, 3)
		require.ErrorContains(t, events[0].Err, "not now")
		require.ErrorContains(t, events[1].Err, "nor now")
		require.Equal(t, raft.EventSnapshotSent, events[2].Kind)
	})
}

// SnapshotRate and MaxSnapshotSends bound it, and Close does not wait for it.
func TestCloseWhileDurableStateIsSent(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		const rate = 256 << 10
		c := newCaptures(t, 1, func(j *journal) raft.StateMachine[int] { return lasting{j} },
			func(cfg *raft.Config) { cfg.SnapshotEntries, cfg.SnapshotRate, cfg.MaxSnapshotSends = -1, rate, 1 })
		for range 2 {
			c.propose(0, strings.Repeat("x", 512<<10))
		}
		_, err := c.nodes[0].TakeSnapshot(ctx)
		require.NoError(t, err)
		var captured atomic.Int32
		c.journals[0].capture = func() error { captured.Add(1); return nil }
		var learners []raft.Change
		for range 2 {
			at := c.join()
			learners = append(learners, raft.AddLearner(c.members[at].ID, c.members[at].Address))
		}
		require.NoError(t, c.nodes[0].ChangeMembership(ctx, learners...))
		began := time.Now()
		for c.journals[1].restored()+c.journals[2].restored() == 0 {
			require.Less(t, captured.Load(), int32(2), "one at a time")
			bubble.Sleep(time.Second / 4)
		}
		require.InDelta(t, 8, time.Since(began).Seconds(), 1, "4 s for either run")

		bubble.Sleep(6 * time.Second) // into the second run
		require.EqualValues(t, 2, captured.Load())
		began = time.Now()
		require.NoError(t, c.nodes[0].Close(ctx))
		require.Less(t, time.Since(began), 2*raft.DefaultElectionTimeout)
		require.Equal(t, 1, c.journals[1].restored()+c.journals[2].restored())
		require.Equal(t, 3, c.journals[0].closed)
	})
}

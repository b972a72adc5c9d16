package raft_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/storage/wal"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

// TestNodesInRealTime is for the race detector and for what virtual time does
// not show: goroutines that run at the same time, and the delays of a real disk
// and of real timers. Clients write and read on all nodes while the network
// delays, loses and duplicates, and cuts off one node after the other. What
// happens when is up to the machine, and so the faults follow what the clients
// have done, not the clock.
func TestNodesInRealTime(t *testing.T) {
	const clients, calls, faultEvery = 9, 60, 60
	var disks []*wal.Log
	t.Cleanup(func() { // after the nodes' end
		for _, disk := range disks {
			require.NoError(t, disk.Close())
		}
	})
	c := newCluster(t, 3, func(cfg *raft.Config) {
		disk, err := wal.Open(filepath.Join(t.TempDir(), fmt.Sprint(cfg.ID)), wal.Options{SegmentBytes: 64 << 10})
		require.NoError(t, err)
		disks = append(disks, disk)
		cfg.Storage = disk.Storage(0)
		cfg.ElectionTimeout, cfg.HeartbeatInterval = 100*time.Millisecond, 10*time.Millisecond
		cfg.SnapshotEntries, cfg.TrailingEntries = 50, 10
	})
	c.network.SetFaults(inmem.Faults{MaxDelay: 3 * time.Millisecond, Loss: 0.01, Duplicate: 0.05})
	h := &history{started: time.Now(), acked: map[string]ack{}, refused: map[string]error{}}

	var ended atomic.Int64
	var running sync.WaitGroup
	for client := range clients {
		random := rand.New(rand.NewPCG(1, uint64(client)))
		running.Go(func() {
			node, journal := c.nodes[client%3], c.journals[client%3]
			for i := range calls {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(300))*time.Millisecond)
				if i%4 == 3 {
					h.read(t, ctx, node, journal)
				} else {
					h.write(t, ctx, node, fmt.Sprintf("%d.%d", client, i))
				}
				cancel()
				if n := ended.Add(1); n%faultEvery == 0 {
					c.network.HealAll()
					if n/faultEvery%2 == 0 {
						c.network.Isolate(raft.NodeID(1 + n/faultEvery/2%3))
					}
				}
			}
		})
	}
	running.Wait()
	c.network.HealAll()
	for n, node := range c.nodes { // a node's calls are taken in order: nothing comes after its last
		for i := 0; ; i++ { // a snapshot may skip one: then nobody knows
			if _, err := node.Propose(t.Context(), fmt.Appendf(nil, "last %d.%d", n, i)); err == nil {
				break
			}
		}
	}
	for _, node := range c.nodes {
		require.NoError(t, node.ReadBarrier(t.Context()))
	}
	require.Equal(t, c.journals[0].all(), c.journals[1].all())
	require.Equal(t, c.journals[0].all(), c.journals[2].all())
	h.check(t, c.journals[0].all())
	require.NotEmpty(t, h.acked)
}

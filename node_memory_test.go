package raft_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bubble"
	"github.com/seed-6281cb22/raft/storage/memory"
	"github.com/seed-6281cb22/raft/storage/wal"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

// liveHeap returns the bytes of the heap that are in use.
func liveHeap() float64 {
	runtime.GC()
	runtime.GC() // pools give up what they hold with the second one
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return float64(sample[0].Value.Uint64())
}

// maxIdleNode is what an idle node may cost, in bytes of the heap: with its core
// (2 KB at most), its storage in memory and its end of a network in memory.
const maxIdleNode = 9 << 10

// An idle node is small, and nothing runs for it.
func TestIdleNodeIsSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const groups = 100
		before, goroutines := liveHeap(), runtime.NumGoroutine()
		var nodes []*raft.Node[uint64]
		var networks []*inmem.Network
		for range groups {
			network := inmem.NewNetwork(inmem.Options{})
			networks = append(networks, network)
			members := threeMembers()
			for _, m := range members {
				node, err := raft.Start(raft.Config{
					ID: m.ID, Storage: memory.New(), Transport: network.Transport(m.ID), Bootstrap: members,
				}, &countingMachine{})
				require.NoError(t, err)
				nodes = append(nodes, node)
			}
		}
		bubble.Sleep(10 * raft.DefaultElectionTimeout)
		synctest.Wait()
		each := (liveHeap() - before) / float64(len(nodes))
		t.Logf("%.0f B per node", each)
		require.LessOrEqual(t, runtime.NumGoroutine(), goroutines)
		for _, node := range nodes {
			require.NotZero(t, node.Status().Leader)
		}
		for _, node := range nodes {
			require.NoError(t, node.Close(t.Context()))
		}
		for _, network := range networks {
			require.NoError(t, network.Close())
		}
		require.LessOrEqual(t, each, float64(maxIdleNode))
	})
}

func threeMembers() (members []raft.Member) {
	for id := range raft.NodeID(3) {
		members = append(members, raft.Member{ID: id + 1, Address: fmt.Sprint(id + 1)})
	}
	return members
}

// hanging is a storage whose disk can be made to hang: what is written meanwhile
// is neither durable nor forgotten.
type hanging struct {
	raft.Storage
	mu    sync.Mutex
	hangs bool
	held  []func()
}

func (h *hanging) Save(w raft.Write, done func(error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.hangs {
		h.Storage.Save(w, done)
		return
	}
	w.Entries = append([]raft.Entry(nil), w.Entries...)
	h.held = append(h.held, func() { h.Storage.Save(w, done) })
}

func (h *hanging) hang(hangs bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hangs = hangs
	for !hangs && len(h.held) > 0 {
		h.held[0]()
		h.held = h.held[1:]
	}
}

// gated is a state machine that can be made to wait.
type gated struct {
	countingMachine
	gate sync.RWMutex
}

func (g *gated) Apply(entries []raft.Entry, results []uint64) error {
	g.gate.RLock()
	defer g.gate.RUnlock()
	return g.countingMachine.Apply(entries, results)
}

// The bounds of the nodes of memoryGroup, and what is proposed to them.
const (
	bound        = 1 << 20
	commandBytes = 4 << 10
	volume       = 32 << 20
)

// memoryGroup is three nodes on real logs, so that what is durable need not be in
// memory, with small bounds.
type memoryGroup struct {
	tb       testing.TB
	nodes    []*raft.Node[uint64]
	storages []*hanging
	machines []*gated
	empty    float64 // the heap before

	mu   sync.Mutex
	most float64 // of the heap since
}

func newMemoryGroup(tb testing.TB) *memoryGroup {
	g := &memoryGroup{tb: tb, empty: liveHeap()}
	network, dir := inmem.NewNetwork(inmem.Options{}), tb.TempDir()
	members := threeMembers()
	for i, m := range members {
		log, err := wal.Open(filepath.Join(dir, fmt.Sprint(m.ID)), wal.Options{CacheBytes: -1})
		require.NoError(tb, err)
		g.storages, g.machines = append(g.storages, &hanging{Storage: log.Storage(0)}), append(g.machines, &gated{})
		node, err := raft.Start(raft.Config{
			ID: m.ID, Storage: g.storages[i], Transport: network.Transport(m.ID), Bootstrap: members,
			ElectionTimeout: 2 * time.Second, HeartbeatInterval: 20 * time.Millisecond, // of real time, on a machine that others use
			MaxEntryBytes: commandBytes, MaxMessageBytes: bound / 4, MaxApplyBytes: bound / 4,
			MaxWindowBytes: bound, MaxUncommittedBytes: bound, MaxPendingBytes: bound,
			SnapshotBytes: -1, SnapshotEntries: -1,
		}, g.machines[i])
		require.NoError(tb, err)
		g.nodes = append(g.nodes, node)
		tb.Cleanup(func() { require.NoError(tb, log.Close()) })
	}
	tb.Cleanup(func() {
		for _, node := range g.nodes {
			require.NoError(tb, node.Close(context.Background()))
		}
		require.NoError(tb, network.Close())
	})
	_, err := g.nodes[0].Propose(context.Background(), []byte("first"))
	require.NoError(tb, err)
	return g
}

// roles returns the leader, and a follower.
func (g *memoryGroup) roles() (leader, follower int) {
	leader = int(g.nodes[0].Status().Leader) - 1
	return leader, (leader + 1) % 3
}

func (g *memoryGroup) measure() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.most = max(g.most, liveHeap()-g.empty)
}

// load proposes the volume, by 64 clients, and measures meanwhile.
func (g *memoryGroup) load() {
	leader, _ := g.roles()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var proposed atomic.Int64
	var clients sync.WaitGroup
	for range 64 {
		clients.Go(func() {
			command := make([]byte, commandBytes)
			for {
				n := proposed.Add(1)
				if n > volume/commandBytes {
					return
				}
				if n%(volume/commandBytes/16) == 0 {
					g.measure()
				}
				if _, err := g.nodes[leader].Propose(ctx, command); err != nil {
					g.tb.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
}

// overload proposes on a follower, whose own state machine keeps up, until nothing
// more is taken, measures, and then calls relief and waits for all that was taken.
func (g *memoryGroup) overload(relief func()) {
	_, follower := g.roles()
	var clients sync.WaitGroup
	defer clients.Wait()
	defer relief()
	const proposals = volume / commandBytes
	var refused atomic.Uint64
	before := g.nodes[follower].Metrics().Proposals
	for range proposals {
		clients.Go(func() {
			switch _, err := g.nodes[follower].Propose(context.Background(), make([]byte, commandBytes)); {
			case errors.Is(err, raft.ErrOverloaded):
				refused.Add(1)
			case err != nil:
				g.tb.Error(err)
			}
		})
	}
	// What is allocated while the heap is measured counts as live: so all have
	// had their turn before that.
	require.Eventually(g.tb, func() bool {
		return g.nodes[follower].Metrics().Proposals-before == proposals
	}, time.Minute, time.Millisecond)
	g.measure()
	require.NotZero(g.tb, refused.Load())
	// For moments, what is not durable yet is in a window, in the log's buffer,
	// which grows by doubling, and in the blocks that it writes.
	require.Less(g.tb, g.each(), 10.0*bound)
	// Then nothing moves any more: the leader takes no more than it may keep.
	still, last := 0, uint64(0)
	require.Eventually(g.tb, func() bool {
		writing, sum := uint64(0), uint64(0)
		for _, node := range g.nodes {
			m := node.Metrics()
			writing, sum = writing+m.WritesInFlight, sum+m.LastIndex+m.CommitIndex+m.AppliedIndex
		}
		if still++; writing > 0 || sum != last {
			still, last = 0, sum
		}
		return still == 20
	}, time.Minute, time.Millisecond)
	g.most = 0
	g.measure() // what the slow machine keeps
}

// memoryLoads are what a group is put to: work, while nothing is slow, while a
// follower's disk hangs, while a follower's state machine does, and while the
// leader's does.
var memoryLoads = []struct {
	name string
	run  func(g *memoryGroup)
}{
	{"load", (*memoryGroup).load},
	{"slow follower", func(g *memoryGroup) {
		_, follower := g.roles()
		g.storages[follower].hang(true)
		g.load()
		g.storages[follower].hang(false)
	}},
	{"slow machine of a follower", func(g *memoryGroup) {
		_, follower := g.roles()
		g.machines[follower].gate.Lock()
		g.load()
		g.machines[follower].gate.Unlock()
	}},
	{"slow machine of the leader", func(g *memoryGroup) {
		leader, _ := g.roles()
		g.machines[leader].gate.Lock()
		g.overload(g.machines[leader].gate.Unlock)
	}},
}

// run puts the group to a load, waits until everybody has caught up, and returns
// the heap bytes of one of its replicas at most.
func (g *memoryGroup) run(load func(g *memoryGroup)) float64 {
	g.most = 0
	load(g)
	require.Eventually(g.tb, func() bool {
		last := g.nodes[0].Status().Last
		for _, node := range g.nodes {
			if node.Status().Applied != last {
				return false
			}
		}
		return true
	}, time.Minute, time.Millisecond)
	return g.each()
}

// each is what one of the replicas takes.
func (g *memoryGroup) each() float64 { return g.most / float64(len(g.nodes)) }

// A replica's memory is bounded by its configuration, whoever is slow: of what is
// proposed meanwhile it could not hold a quarter.
func TestMemoryIsBoundedWhoeverIsSlow(t *testing.T) {
	g := newMemoryGroup(t)
	for _, load := range memoryLoads {
		each := g.run(load.run)
		t.Logf("%s: %.0f B per replica", load.name, each)
		require.Less(t, each, 6.0*bound, load.name)
	}
}

func BenchmarkNodeMemory(b *testing.B) {
	for _, load := range memoryLoads {
		b.Run(load.name, func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(newMemoryGroup(b).run(load.run), "B/replica")
			}
		})
	}
}

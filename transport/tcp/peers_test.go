package tcp

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
)

// idlePeers connects a node with n others, both ways, has a few messages
// exchanged, and returns what one end of such a neighbourhood takes: goroutines,
// and bytes of heap and stacks. The connections are in one process, so each
// costs both of its ends.
func idlePeers(t testing.TB, n int) (goroutines, bytes float64) {
	var before, after runtime.MemStats
	h := &counting{done: make(chan struct{}, 1)}
	leader, err := Listen("127.0.0.1:0", Options{})
	require.NoError(t, err)
	require.NoError(t, leader.Start(raft.Identity{Cluster: "bench", Node: 1}, h))
	others := make([]*Transport, n)
	for i := range others {
		others[i], err = Listen("127.0.0.1:0", Options{})
		require.NoError(t, err)
		require.NoError(t, others[i].Start(raft.Identity{Cluster: "bench", Node: raft.NodeID(2 + i)}, h))
	}
	runtime.GC()
	runtime.ReadMemStats(&before)
	idle := runtime.NumGoroutine()
	for i, o := range others {
		leader.SetPeer(raft.NodeID(2+i), o.Addr().String())
		o.SetPeer(1, leader.Addr().String())
	}
	for _, o := range append(others, leader) {
		for i := range o.Peers() {
			waitFor(t, "connected", func() bool { return o.Peers()[i].Connected })
		}
	}
	for i, o := range others {
		id := raft.NodeID(2 + i)
		h.expect(4)
		leader.Send([]raft.Message{appendEntries(1, id, 100), requestVote(1, id, 1)})
		o.Send([]raft.Message{appendEntries(id, 1, 100), requestVote(id, 1, 1)})
		<-h.done
	}
	waitFor(t, "settled", func() bool { return runtime.NumGoroutine() == idle+2*n*goroutinesPerPeer })
	runtime.GC()
	runtime.ReadMemStats(&after)
	goroutines = float64(runtime.NumGoroutine()-idle) / float64(2*n)
	bytes = float64(int64(after.HeapAlloc+after.StackInuse)-int64(before.HeapAlloc+before.StackInuse)) / float64(2*n)
	for _, o := range append(others, leader) {
		require.NoError(t, o.Close())
	}
	return goroutines, bytes
}

// goroutinesPerPeer is what an idle peer costs: for each lane a sender, one that
// hears its signs of life, and one for the incoming connection.
const goroutinesPerPeer = 3 * lanes

// A leader with 64 peers.
func TestWhatAnIdlePeerCosts(t *testing.T) {
	goroutines, bytes := idlePeers(t, 64)
	t.Logf("%.1f goroutines and %.0f bytes for each peer", goroutines, bytes)
	require.EqualValues(t, goroutinesPerPeer, goroutines)
	require.Less(t, bytes, 80e3)
}

func BenchmarkIdlePeer(b *testing.B) {
	for _, n := range []int{4, 64} {
		b.Run(fmt.Sprintf("peers=%d", n), func(b *testing.B) {
			var goroutines, bytes float64
			for range b.N {
				goroutines, bytes = idlePeers(b, n)
			}
			b.ReportMetric(goroutines, "goroutines/peer")
			b.ReportMetric(bytes, "B/peer")
		})
	}
}

// BenchmarkFanOut is a heartbeat and its answer, of a leader with 64 peers.
func BenchmarkFanOut(b *testing.B) {
	const n = 64
	leaderHandler := &counting{done: make(chan struct{}, 1)}
	leader, err := Listen("127.0.0.1:0", Options{})
	require.NoError(b, err)
	defer leader.Close()
	require.NoError(b, leader.Start(raft.Identity{Cluster: "bench", Node: 1}, leaderHandler))
	var heartbeats []raft.Message
	for i := range n {
		id := raft.NodeID(2 + i)
		h := &counting{done: make(chan struct{}, 1)}
		o, err := Listen("127.0.0.1:0", Options{})
		require.NoError(b, err)
		defer o.Close()
		answer := []raft.Message{requestVote(id, 1, 1)}
		h.answer = func() { o.Send(answer) }
		require.NoError(b, o.Start(raft.Identity{Cluster: "bench", Node: id}, h))
		leader.SetPeer(id, o.Addr().String())
		o.SetPeer(1, leader.Addr().String())
		heartbeats = append(heartbeats, heartbeat(1, id, 0))
		waitFor(b, "connected", func() bool { return o.Peers()[0].Connected && leader.Peers()[i].Connected })
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		leaderHandler.expect(n)
		leader.Send(heartbeats)
		<-leaderHandler.done
	}
}

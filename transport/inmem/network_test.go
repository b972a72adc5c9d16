package inmem

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bubble"
)

func TestAMessageTakesItsDelay(t *testing.T) {
	network, a, b := manual(t, Options{Faults: Faults{MinDelay: 5 * ms, MaxDelay: 5 * ms}})
	network.Advance(at(100 * ms))
	a.send(2, 1)
	network.Advance(at(101 * ms))
	a.send(2, 2)
	require.Empty(t, b.messages, "nothing is delivered within Send")

	next, ok := network.Next()
	require.True(t, ok)
	require.Equal(t, at(105*ms), next)
	network.Advance(at(105*ms) - 1)
	require.Empty(t, b.messages)
	network.Advance(at(200 * ms))
	require.Equal(t, []int{1, 2}, b.indexes())
	require.Equal(t, []time.Duration{105 * ms, 106 * ms}, b.times)
	require.Equal(t, at(200*ms), network.Now())
	_, ok = network.Next()
	require.False(t, ok)
}

func TestWhatArrivesTogetherIsDeliveredTogether(t *testing.T) {
	network, a, b := manual(t, Options{Faults: Faults{MinDelay: ms}})
	c := join(t, network.Network, 3)
	a.send(2, 1, 2, 3)
	c.send(2, 4)
	a.send(2, 5)
	network.Advance(at(ms))
	require.Equal(t, []int{1, 2, 3, 4, 5}, b.indexes())
	require.Equal(t, 3, b.deliveries)
}

func TestNothingIsShared(t *testing.T) {
	network, a, b := manual(t, Options{Faults: Faults{Duplicate: 1}})
	sent := heartbeat(1, 2, 1)
	sent.Entries = []raft.Entry{{Term: 1, Index: 2, Data: []byte("data")}, {Term: 1, Index: 3}}
	want := heartbeat(1, 2, 1)
	want.Entries = []raft.Entry{{Term: 1, Index: 2, Data: []byte("data")}, {Term: 1, Index: 3}}
	a.Send([]raft.Message{sent})
	sent.Entries[0].Data[0] = 'X'
	sent.Entries[1].Index = 9
	network.Advance(at(ms))
	require.Equal(t, []raft.Message{want, want}, b.messages)
	b.messages[0].Entries[0].Data[0] = 'Y'
	require.Equal(t, want, b.messages[1])
}

// trace runs a little storm of messages and returns all that happened.
func trace(t *testing.T, seed uint64) string {
	network := NewManual(Options{Seed: seed, Faults: Faults{MinDelay: ms, MaxDelay: 20 * ms, Loss: .1, Duplicate: .1, Corrupt: .1}})
	var log string
	nodes := make([]*node, 4)
	for id := raft.NodeID(1); id <= 3; id++ {
		n := join(t, network.Network, id)
		n.onDeliver = func(messages []raft.Message) {
			for _, m := range messages {
				log += fmt.Sprintf("%v: %d→%d %d\n", time.Duration(network.Now()), m.From, id, m.Index)
				if m.Index%3 > 0 {
					n.send(m.From, int(m.Index)-1)
				}
			}
		}
		nodes[id] = n
	}
	script := rand.New(rand.NewPCG(7, 7)) // the same for all seeds
	for i := range 200 {
		from, to := raft.NodeID(1+script.IntN(3)), raft.NodeID(1+script.IntN(3))
		switch script.IntN(20) {
		case 0:
			network.Block(from, to)
		case 1:
			network.Isolate(from)
		case 2, 3:
			network.HealAll()
		default:
			nodes[from].send(to, i)
		}
		network.Advance(network.Now().Add(ms))
	}
	network.HealAll()
	network.Advance(at(time.Second))
	return fmt.Sprint(log, network.Stats(), nodes[1].unreachable, nodes[2].unreachable, nodes[3].unreachable)
}

func TestTheSeedDeterminesEverything(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(10) {
		first := trace(t, seed)
		require.Equal(t, first, trace(t, seed))
		require.False(t, seen[first], "two seeds, one outcome")
		seen[first] = true
	}
}

func TestFaultsComeInProportion(t *testing.T) {
	const n = 10000
	network, a, b := manual(t, Options{Seed: 3})
	count := func(f Faults) (delivered int) {
		network.SetFaults(f)
		before := network.Stats().Delivered
		for i := range n {
			a.send(2, i)
		}
		network.Advance(network.Now().Add(time.Second))
		return int(network.Stats().Delivered - before)
	}
	require.Equal(t, n, count(Faults{}))
	require.True(t, slices.IsSorted(b.indexes()), "no delay, no reordering")
	require.Zero(t, count(Faults{Loss: 1}))
	require.InDelta(t, .8*n, count(Faults{Loss: .2}), .03*n)
	require.InDelta(t, 1.3*n, count(Faults{Duplicate: .3}), .03*n)
	require.EqualValues(t, 0, network.Stats().Corrupted)
	require.InDelta(t, .6*n, count(Faults{Corrupt: .4}), .03*n)
	require.InDelta(t, .4*n, network.Stats().Corrupted, .03*n)
	require.NotEmpty(t, a.unreachable, "a damaged frame breaks the connection")

	b.messages, b.times = nil, nil
	start := time.Duration(network.Now())
	count(Faults{MinDelay: 10 * ms, MaxDelay: 20 * ms})
	require.False(t, slices.IsSorted(b.indexes()), "messages overtake each other")
	require.True(t, slices.IsSorted(b.times))
	require.InDelta(t, start+10*ms, b.times[0], float64(ms/10))
	require.InDelta(t, start+20*ms, b.times[n-1], float64(ms/10))
}

// One fault, switched on or off, changes nothing but itself.
func TestAFaultChangesNothingElse(t *testing.T) {
	arrivals := func(faults Faults) map[int]time.Duration {
		network, a, b := manual(t, Options{Seed: 9})
		network.SetFaults(faults)
		for i := range 500 {
			a.send(2, i)
		}
		network.Advance(at(time.Second))
		when := map[int]time.Duration{}
		for i, m := range b.messages {
			if _, again := when[int(m.Index)]; !again {
				when[int(m.Index)] = b.times[i]
			}
		}
		return when
	}
	perfect := arrivals(Faults{MaxDelay: 10 * ms})
	lossy := arrivals(Faults{MaxDelay: 10 * ms, Loss: .3, Corrupt: .1})
	require.Less(t, len(lossy), len(perfect))
	for i, d := range lossy {
		require.Equal(t, perfect[i], d)
	}
}

func TestLinkFaults(t *testing.T) {
	network, a, b := manual(t, Options{})
	network.SetLinkFaults(1, 2, Faults{Loss: 1})
	a.send(2, 1)
	b.send(1, 2)
	network.Advance(at(ms))
	require.Empty(t, b.messages)
	require.Equal(t, []int{2}, a.indexes())
	network.HealAll()
	a.send(2, 3)
	network.Advance(at(ms))
	require.Equal(t, []int{3}, b.indexes())
}

func TestPartitions(t *testing.T) {
	network, a, b := manual(t, Options{Faults: Faults{MinDelay: 10 * ms}})
	c := join(t, network.Network, 3)
	a.send(2, 1)
	network.Advance(at(5 * ms))
	network.Block(1, 2)
	a.send(2, 2)
	b.send(1, 3) // the other way is open
	network.Advance(at(20 * ms))
	require.Empty(t, b.messages, "what was on the way is lost, too")
	require.Equal(t, []int{3}, a.indexes())
	require.EqualValues(t, 2, network.Stats().Blocked)
	require.Empty(t, a.unreachable, "nobody is told")

	network.Heal(1, 2)
	network.Isolate(3)
	a.send(2, 4)
	a.send(3, 5)
	c.send(1, 6)
	network.Advance(at(40 * ms))
	require.Equal(t, []int{4}, b.indexes())
	require.Equal(t, []int{3}, a.indexes())
	require.Empty(t, c.messages)
	network.Rejoin(3)
	c.send(1, 7)
	network.Advance(at(60 * ms))
	require.Equal(t, []int{3, 7}, a.indexes())
}

func TestWhoCannotBeReachedIsReported(t *testing.T) {
	network, a, b := manual(t, Options{Faults: Faults{MinDelay: ms}})
	a.send(3, 1, 2, 3) // nobody is there
	a.send(9, 4)       // nobody knows it
	a.send(1, 5)       // myself
	b.Close()
	a.send(2, 6)
	other := network.Transport(2)
	require.NoError(t, other.Start(raft.Identity{Cluster: "other", Node: 2}, b.recorder))
	require.Empty(t, a.unreachable, "not within Send")
	network.Advance(at(10 * ms))
	require.ElementsMatch(t, []raft.NodeID{9, 1, 3, 2}, a.unreachable, "each once")
	require.Empty(t, b.messages, "another cluster's")
	require.EqualValues(t, 6, network.Stats().Undeliverable)

	a.unreachable = nil
	a.send(9, 7)
	network.Advance(at(20 * ms))
	require.Equal(t, []raft.NodeID{9}, a.unreachable, "and again")
}

func TestAnUnknownPeerCanBeAnswered(t *testing.T) {
	network, a, _ := manual(t, Options{})
	joiner := network.Transport(2) // in place of the other
	r := &recorder{now: network.Now}
	require.NoError(t, joiner.Start(raft.Identity{Cluster: "test", Node: 2}, r))
	a.send(2, 1)
	network.Advance(at(ms))
	joiner.Send([]raft.Message{heartbeat(2, 1, 2)})
	network.Advance(at(2 * ms))
	require.Equal(t, []int{2}, a.indexes())

	joiner.SetPeer(1, "")
	joiner.Send([]raft.Message{heartbeat(2, 1, 3)})
	network.Advance(at(3 * ms))
	require.Equal(t, []raft.NodeID{1}, r.unreachable)
}

func TestARestart(t *testing.T) {
	network, a, b := manual(t, Options{Faults: Faults{MinDelay: ms}})
	a.send(2, 1)
	require.NoError(t, b.Close())
	again := join(t, network.Network, 2)
	network.Advance(at(ms))
	require.Empty(t, b.messages)
	require.Equal(t, []int{1}, again.indexes())
	b.send(1, 2)
	network.Advance(at(2 * ms))
	require.Empty(t, a.messages, "the closed one sends nothing")
	require.ErrorIs(t, b.Start(raft.Identity{Cluster: "test", Node: 2}, b.recorder), raft.ErrClosed)
	require.Error(t, again.Start(raft.Identity{Cluster: "test", Node: 2}, b.recorder), "twice")
	require.Error(t, network.Transport(4).Start(raft.Identity{Cluster: "test", Node: 5}, b.recorder), "wrong id")
}

func TestByHandThereIsNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	network, a, b := manual(t, Options{Faults: Faults{MaxDelay: ms}})
	b.onDeliver = func(m []raft.Message) { b.send(1, 1) }
	for i := range 100 {
		a.send(2, i)
	}
	network.Advance(at(ms / 2))
	require.LessOrEqual(t, runtime.NumGoroutine(), before)
	require.NoError(t, network.Close())
}

func TestInVirtualTimeOfSynctest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewNetwork(Options{Faults: Faults{MinDelay: 3 * ms}})
		a, b := join(t, network, 1), join(t, network, 2)
		b.onDeliver = func(m []raft.Message) {
			if m[0].Index < 10 {
				b.send(1, int(m[0].Index)+1)
			}
		}
		a.onDeliver = func(m []raft.Message) { a.send(2, int(m[0].Index)+1) }
		a.send(2, 1)
		bubble.Sleep(2 * ms)
		synctest.Wait()
		require.Empty(t, b.indexes())
		bubble.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, []int{1, 3, 5, 7, 9, 11}, b.indexes())
		require.Equal(t, []time.Duration{3 * ms, 9 * ms, 15 * ms, 21 * ms, 27 * ms, 33 * ms}, b.arrivals())

		// A message that is due earlier than what waits.
		network.SetLinkFaults(1, 2, Faults{MinDelay: time.Hour})
		a.send(2, 20)
		network.SetLinkFaults(1, 2, Faults{MinDelay: ms})
		a.send(2, 21)
		bubble.Sleep(ms)
		synctest.Wait()
		require.Equal(t, 21, b.indexes()[6])
		bubble.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, 20, b.indexes()[7])
		require.NoError(t, network.Close())
	})
}

// The two ways to drive the network give the same deliveries.
func TestBothWaysAreTheSame(t *testing.T) {
	opts := Options{Seed: 5, Faults: Faults{MinDelay: ms, MaxDelay: 9 * ms, Loss: .1, Duplicate: .1}}
	byHand, a, b := manual(t, opts)
	for i := range 100 {
		a.send(2, i)
		byHand.Advance(byHand.Now().Add(ms))
	}
	byHand.Advance(at(time.Second))
	synctest.Test(t, func(t *testing.T) {
		network := NewNetwork(opts)
		defer network.Close()
		c, d := join(t, network, 1), join(t, network, 2)
		for i := range 100 {
			c.send(2, i)
			bubble.Sleep(ms)
		}
		bubble.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, b.indexes(), d.indexes())
		require.Equal(t, b.arrivals(), d.arrivals())
	})
}

func TestAfterCloseNoHandlerRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewNetwork(Options{Faults: Faults{MinDelay: ms}})
		a, b := join(t, network, 1), join(t, network, 2)
		returned := false
		b.onDeliver = func([]raft.Message) {
			bubble.Sleep(time.Second)
			returned = true
		}
		a.send(2, 1)
		bubble.Sleep(2 * ms)
		a.send(2, 2)
		require.NoError(t, b.Close())
		require.True(t, returned, "Close waits")
		require.Equal(t, []int{1}, b.indexes())
		require.NoError(t, network.Close())
		require.NoError(t, network.Close(), "again")
		a.send(2, 3)
		require.ErrorIs(t, network.Transport(3).Start(raft.Identity{Cluster: "test", Node: 3}, b.recorder), raft.ErrClosed)
	})
}

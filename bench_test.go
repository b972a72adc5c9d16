package raft

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// benchCluster is three or more cores in one goroutine, whose disks are
// immediate and whose messages are handed over in memory, encoded or not.
type benchCluster struct {
	cores   []*Raft
	encode  bool
	buffer  []byte
	decoded Message
	now     Instant
	applied int
}

func newBenchCluster(tb testing.TB, n int, encode bool) *benchCluster {
	c := &benchCluster{encode: encode}
	var members Membership
	for i := range n {
		members.Members = append(members.Members, Member{ID: NodeID(i + 1), Address: fmt.Sprint(i + 1), Voter: true})
	}
	for i := range n {
		cfg := DefaultCoreConfig(NodeID(i+1), rand.NewPCG(1, uint64(i)))
		r, err := New(cfg, State{Snapshot: Snapshot{Membership: members}}, 0)
		require.NoError(tb, err)
		c.cores = append(c.cores, r)
	}
	c.now = c.cores[0].Deadline()
	c.cores[0].Tick(c.now)
	c.settle()
	require.Equal(tb, Leader, c.cores[0].Role())
	return c
}

// idle lets two election timeouts pass without work, with heartbeats.
func (c *benchCluster) idle(tb testing.TB) {
	for range 2 * DefaultElectionTimeout / DefaultHeartbeatInterval {
		c.heartbeat()
	}
	require.Equal(tb, Leader, c.cores[0].Role())
}

// heartbeat lets the time until the leader's next heartbeat pass.
func (c *benchCluster) heartbeat() {
	c.now = c.cores[0].Deadline()
	c.cores[0].Tick(c.now)
	c.settle()
}

// settle runs everything until nothing is left to do.
func (c *benchCluster) settle() {
	for again := true; again; {
		again = false
		for _, r := range c.cores {
			if rd := r.Ready(); !rd.Empty() {
				again = true
				c.handle(r, &rd)
			}
		}
	}
}

func (c *benchCluster) handle(r *Raft, rd *Ready) {
	for i := range rd.Messages {
		m := &rd.Messages[i]
		to := c.cores[m.To-1]
		if c.encode {
			// A fresh buffer for what the receiver's log keeps.
			c.buffer = m.Append(c.buffer[:0])
			b := c.buffer
			if len(m.Entries) > 0 {
				b = append([]byte(nil), b...)
			}
			if err := c.decoded.Unmarshal(b); err != nil {
				panic(err)
			}
			m = &c.decoded
		}
		if err := to.Step(c.now, m); err != nil {
			panic(err)
		}
	}
	if rd.Write.Seq != 0 {
		r.Persisted(c.now, rd.Write.Seq)
	}
	if n := len(rd.Committed); n > 0 {
		c.applied += n
		r.Applied(c.now, rd.Committed[n-1].Index)
	}
}

func BenchmarkCorePropose(b *testing.B) {
	for _, encode := range []bool{false, true} {
		for _, voters := range []int{3, 5, 7} {
			for _, size := range []int{16, 128, 1024} {
				if voters > 3 && size != 128 {
					continue
				}
				for _, batch := range []int{1, 64} {
					b.Run(fmt.Sprintf("encode=%v/voters=%d/bytes=%d/batch=%d", encode, voters, size, batch), func(b *testing.B) {
						c := newBenchCluster(b, voters, encode)
						entries := make([]Entry, batch)
						data := make([]byte, size)
						for i := range entries {
							entries[i].Data = data
						}
						before := c.applied
						b.ReportAllocs()
						b.ResetTimer()
						for n := 0; n < b.N; n += batch {
							if _, err := c.cores[0].Propose(c.now, entries); err != nil {
								b.Fatal(err)
							}
							c.settle()
						}
						b.StopTimer()
						if c.applied-before < b.N {
							b.Fatalf("%d applied of %d", c.applied-before, b.N)
						}
					})
				}
			}
		}
	}
}

func BenchmarkCoreHeartbeat(b *testing.B) {
	c := newBenchCluster(b, 3, false)
	b.ReportAllocs()
	for b.Loop() {
		c.heartbeat()
	}
}

func BenchmarkCoreReadIndex(b *testing.B) {
	c := newBenchCluster(b, 3, false)
	b.ReportAllocs()
	id := uint64(0)
	for b.Loop() {
		id++
		if err := c.cores[0].ReadIndex(c.now, id); err != nil {
			b.Fatal(err)
		}
		c.settle()
	}
}

// BenchmarkIdleCore reports the heap bytes of one idle replica of three: of a
// new group, and of one after a burst of proposals.
func BenchmarkIdleCore(b *testing.B) {
	for _, burst := range []int{0, 10_000} {
		b.Run(fmt.Sprintf("burst=%d", burst), func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(idleCoreBytes(b, 100, burst), "B/core")
			}
		})
	}
}

// idleCoreBytes returns the heap bytes of one core of groups of three that have
// been idle for a while, after a burst of so many proposals.
func idleCoreBytes(tb testing.TB, groups, burst int) float64 {
	cores := make([]*Raft, 0, 3*groups)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range groups {
		c := newBenchCluster(tb, 3, false)
		if burst > 0 {
			_, err := c.cores[0].Propose(c.now, make([]Entry, burst))
			require.NoError(tb, err)
			c.settle()
		}
		c.idle(tb)
		require.Equal(tb, 3*(burst+1), c.applied)
		cores = append(cores, c.cores...)
	}
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(cores)
	return float64(after.HeapAlloc-before.HeapAlloc) / float64(len(cores))
}

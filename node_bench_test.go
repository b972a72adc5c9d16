package raft_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/stretchr/testify/require"
)

// countingMachine is a state machine that does nothing but count.
type countingMachine struct{ applied atomic.Uint64 }

func (m *countingMachine) Apply(entries []raft.Entry, results []uint64) error {
	n := m.applied.Add(uint64(len(entries)))
	for i := range results {
		results[i] = n
	}
	return nil
}

func (m *countingMachine) Snapshot() (io.WriterTo, error) { return nothing{}, nil }
func (m *countingMachine) Restore(io.Reader) error        { return nil }

type nothing struct{}

func (nothing) WriteTo(io.Writer) (int64, error) { return 0, nil }

// newDurableCluster starts three nodes in this process, on real logs with fsync
// and real TCP on loopback, and returns the one that leads.
func newDurableCluster(b *testing.B) *raft.Node[uint64] {
	d := startDurable(b, b.TempDir(), []string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"},
		func(int) raft.StateMachine[uint64] { return &countingMachine{} })
	b.Cleanup(d.close)
	_, err := d.nodes[0].Propose(context.Background(), []byte("first"))
	require.NoError(b, err)
	return d.nodes[d.nodes[0].Status().Leader-1]
}

// latencies collects durations and reports percentiles.
type latencies struct {
	mu  sync.Mutex
	all []time.Duration
}

func (l *latencies) add(d []time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, d...)
}

func (l *latencies) report(b *testing.B, elapsed, cpu time.Duration) {
	slices.Sort(l.all)
	n := len(l.all)
	b.ReportMetric(0, "ns/op") // the wall time per operation says little with many clients
	b.ReportMetric(float64(n)/elapsed.Seconds(), "ops/s")
	b.ReportMetric(float64(l.all[n/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(l.all[n*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(cpu.Nanoseconds())/1000/float64(n), "cpu-µs/op")
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCluster is the end-to-end figure: clients that each wait for their
// write before they do the next, on the leader of three durable nodes in one
// process. CPU is that of all three nodes and the clients. Compare with
// BenchmarkFloor of the same run.
func BenchmarkCluster(b *testing.B) {
	for _, size := range []int{16, 1024} {
		for _, clients := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("bytes=%d/clients=%d", size, clients), func(b *testing.B) {
				leader := newDurableCluster(b)
				benchmarkClients(b, clients, func(ctx context.Context, command []byte) error {
					_, err := leader.Propose(ctx, command)
					return err
				}, size)
			})
		}
	}
}

// BenchmarkReadBarrier is linearizable reads on the leader of the same.
func BenchmarkReadBarrier(b *testing.B) {
	for _, clients := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			leader := newDurableCluster(b)
			benchmarkClients(b, clients, func(ctx context.Context, _ []byte) error { return leader.ReadBarrier(ctx) }, 0)
		})
	}
}

func benchmarkClients(b *testing.B, clients int, do func(context.Context, []byte) error, size int) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	var all latencies
	ctx := context.Background()
	b.ReportAllocs()
	b.ResetTimer()
	start, cpu := time.Now(), cpuTime()
	for range clients {
		wg.Go(func() {
			command := make([]byte, size)
			var own []time.Duration
			for left.Add(-1) >= 0 {
				begin := time.Now()
				for {
					err := do(ctx, command)
					if err == nil {
						break
					}
					if !errors.Is(err, raft.ErrNotCommitted) && !errors.Is(err, raft.ErrOverloaded) {
						b.Error(err)
						return
					}
				}
				own = append(own, time.Since(begin))
			}
			all.add(own)
		})
	}
	wg.Wait()
	elapsed, used := time.Since(start), cpuTime()-cpu
	b.StopTimer()
	all.report(b, elapsed, used)
}

// BenchmarkFloor is what the machine allows for one write of one client: a
// pwrite and fdatasync of a pre-written block, in parallel with a loopback
// round trip and the same on the other side (DESIGN's commit path, bare).
func BenchmarkFloor(b *testing.B) {
	dir := b.TempDir()
	open := func(name string) *os.File {
		f, err := os.Create(filepath.Join(dir, name))
		require.NoError(b, err)
		b.Cleanup(func() { f.Close() })
		_, err = f.Write(make([]byte, floorBlocks*floorBlock))
		require.NoError(b, err)
		require.NoError(b, f.Sync())
		return f
	}
	own, other := open("own"), open("other")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer l.Close()
	go func() { // the follower
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		message := make([]byte, 128)
		for i := 0; ; i++ {
			if _, err := io.ReadFull(conn, message); err != nil {
				return
			}
			writeBlock(b, other, i)
			if _, err := conn.Write(message); err != nil {
				return
			}
		}
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	require.NoError(b, err)
	defer conn.Close()

	message := make([]byte, 128)
	synced, sync := make(chan struct{}), make(chan int)
	defer close(sync)
	go func() {
		for i := range sync {
			writeBlock(b, own, i)
			synced <- struct{}{}
		}
	}()
	var all latencies
	b.ResetTimer()
	start, cpu := time.Now(), cpuTime()
	for i := range b.N {
		begin := time.Now()
		sync <- i
		if _, err := conn.Write(message); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(conn, message); err != nil {
			b.Fatal(err)
		}
		<-synced
		all.all = append(all.all, time.Since(begin))
	}
	elapsed, used := time.Since(start), cpuTime()-cpu
	b.StopTimer()
	all.report(b, elapsed, used)
}

const (
	floorBlock  = 4096
	floorBlocks = 4096
)

func writeBlock(b *testing.B, f *os.File, i int) {
	var block [floorBlock]byte
	block[0] = byte(i)
	if _, err := f.WriteAt(block[:], int64(i%floorBlocks)*floorBlock); err != nil {
		b.Error(err)
	}
	if err := syscall.Fdatasync(int(f.Fd())); err != nil {
		b.Error(err)
	}
}

package raft_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bubble"
	"github.com/seed-6281cb22/raft/storage/wal"
	"github.com/seed-6281cb22/raft/transport/tcp"
)

// A snapshot of a megabyte, written and then sent at a quarter of that a second.
func TestSnapshotRate(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		const rate = 256 << 10
		c := newCluster(t, 2, func(cfg *raft.Config) {
			cfg.Cluster, cfg.SnapshotRate = "test", rate
			cfg.SnapshotEntries, cfg.TrailingEntries = -1, -1
			if cfg.ID != 1 {
				cfg.Bootstrap = nil
			} else {
				cfg.Bootstrap = cfg.Bootstrap[:1]
			}
		})
		for range 2 {
			c.propose(0, strings.Repeat("x", 512<<10))
		}
		began := time.Now()
		_, err := c.nodes[0].TakeSnapshot(ctx)
		require.NoError(t, err)
		require.InDelta(t, 4, time.Since(began).Seconds(), 0.5)

		began = time.Now()
		require.NoError(t, c.nodes[0].ChangeMembership(ctx, raft.AddLearner(2, "node-2")))
		require.Len(t, c.requireSame(), 2)
		require.Equal(t, 1, c.journals[1].restored())
		require.InDelta(t, 4, time.Since(began).Seconds(), 1)

		// Nobody waits for what is slow.
		c.propose(0, "more")
		go c.nodes[0].TakeSnapshot(ctx)
		synctest.Wait()
		began = time.Now()
		c.stop(0)
		require.Less(t, time.Since(began), 2*raft.DefaultElectionTimeout)
	})
}

// countingTransport counts the snapshots that are being sent.
type countingTransport struct {
	raft.Transport
	sending, most, sent atomic.Int64
}

func (c *countingTransport) SendSnapshot(ctx context.Context, m raft.Message, body io.ReadSeeker) error {
	c.most.Store(max(c.most.Load(), c.sending.Add(1)))
	defer c.sending.Add(-1)
	bubble.Sleep(300 * time.Millisecond) // it is slow
	err := c.Transport.SendSnapshot(ctx, m, body)
	if err == nil {
		c.sent.Add(1)
	}
	return err
}

func TestSnapshotsSentAtOnceAreBounded(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		count := &countingTransport{}
		c := newNamedCluster(t, 1, func(cfg *raft.Config) {
			cfg.TrailingEntries, cfg.MaxSnapshotSends = -1, 2
			if cfg.ID == 1 {
				count.Transport = cfg.Transport
				cfg.Transport = count
			}
		})
		for i := range 10 {
			c.propose(0, fmt.Sprint(i))
		}
		_, err := c.nodes[0].TakeSnapshot(ctx)
		require.NoError(t, err)
		var learners []raft.Change
		for range 5 {
			at := c.join()
			learners = append(learners, raft.AddLearner(raft.NodeID(at+1), c.members[at].Address))
		}
		c.change(ctx, learners...)
		require.Len(t, c.requireSame(), 10)
		require.EqualValues(t, 5, count.sent.Load())
		require.EqualValues(t, 2, count.most.Load())
	})
}

// bulk is a state machine with a large state that is made as it is written, and
// gone as it is read.
type bulk struct {
	size     int64
	restored chan int64
}

func (b *bulk) Apply([]raft.Entry, []int) error { return nil }

func (b *bulk) Snapshot() (io.WriterTo, error) { return bulkSnapshot(b.size), nil }

func (b *bulk) Restore(r io.Reader) error {
	n, err := io.Copy(io.Discard, r)
	b.restored <- n
	return err
}

type bulkSnapshot int64

func (s bulkSnapshot) WriteTo(w io.Writer) (written int64, err error) {
	piece := make([]byte, 10_000)
	for written < int64(s) && err == nil {
		var n int
		n, err = w.Write(piece[:min(int64(len(piece)), int64(s)-written)])
		written += int64(n)
	}
	return written, err
}

// A snapshot is never whole in memory: not when it is taken, exported, sent,
// received, restored and imported.
func TestSnapshotsAreNotHeldInMemory(t *testing.T) {
	testBulk(t, func(b *bulk) raft.StateMachine[int] { return b })
}

func TestDurableStateIsNotHeldInMemory(t *testing.T) {
	testBulk(t, func(b *bulk) raft.StateMachine[int] { return lastingBulk{b} })
}

// lastingBulk is a DurableStateMachine.
type lastingBulk struct{ *bulk }

func (lastingBulk) LastApplied() raft.Index { return 0 }

func testBulk(t *testing.T, machine func(*bulk) raft.StateMachine[int]) {
	const size = 64 << 20
	ctx := context.Background()
	cfgs, transports := make([]raft.Config, 2), make([]*tcp.Transport, 2)
	for i := range cfgs {
		log, err := wal.Open(t.TempDir(), wal.Options{SegmentBytes: 1 << 20})
		require.NoError(t, err)
		defer log.Close()
		transports[i], err = tcp.Listen("127.0.0.1:0", tcp.Options{})
		require.NoError(t, err)
		defer transports[i].Close()
		cfgs[i] = raft.Config{ID: raft.NodeID(i + 1), Cluster: "bulk", Storage: log.Storage(0), Transport: transports[i], TrailingEntries: -1}
	}
	cfgs[0].Bootstrap = []raft.Member{{ID: 1, Address: transports[0].Addr().String()}}
	machines := []*bulk{{size: size}, {restored: make(chan int64, 1)}}
	var nodes [2]*raft.Node[int]
	for i := range nodes {
		var err error
		nodes[i], err = raft.Start(cfgs[i], machine(machines[i]))
		require.NoError(t, err)
		defer nodes[i].Close(ctx)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := nodes[0].Propose(ctx, nil)
	require.NoError(t, err)
	fresh, err := wal.Open(t.TempDir(), wal.Options{SegmentBytes: 1 << 20})
	require.NoError(t, err)
	defer fresh.Close()
	r, w := io.Pipe()
	go func() {
		_, err := nodes[0].ExportSnapshot(ctx, w)
		w.CloseWithError(err)
	}()
	_, err = raft.ImportSnapshot(raft.Config{ID: 9, Storage: fresh.Storage(0), Bootstrap: []raft.Member{{ID: 9, Address: "nine"}}}, r)
	require.NoError(t, err)
	require.NoError(t, nodes[0].ChangeMembership(ctx, raft.AddLearner(2, transports[1].Addr().String())))
	require.EqualValues(t, size, <-machines[1].restored)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(size/4), "of all that was ever allocated")
}

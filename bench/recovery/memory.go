package recovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/seed-6281cb22/raft/bench/contender"
	"github.com/seed-6281cb22/raft/bench/host"
	"github.com/seed-6281cb22/raft/bench/internal/rig"
	"github.com/seed-6281cb22/raft/bench/internal/turns"
)

// MemoryOptions say whose memory to look at.
type MemoryOptions struct {
	Dir       string
	Libraries []string
	Bytes     int           // of each write
	Duration  time.Duration // of load, and of a follower's pause
	Out       io.Writer
}

const (
	sampleEvery = 50 * time.Millisecond
	// loadSlice is how long clients go on before their latencies, which are in the
	// leader's heap, are forgotten.
	loadSlice = time.Second
	// Snapshots keep the disk from filling up, and the logs that some libraries
	// have in memory from growing for that reason alone.
	snapshotEvery = 100_000
	snapshotKeep  = 10_000
)

// memory is what one library's nodes held.
type memory struct {
	library                  string
	nothing                  host.Usage // a process without a node
	leaderRest, followerRest host.Usage
	load                     watched
	paused                   [2]watched // the halves of the pause
	after                    host.Usage // the leader, when all have caught up, collected
}

// watched is a stretch of time under load.
type watched struct {
	peakHeap, peakResident uint64 // bytes, of the leader
	goroutines             int
	operations             uint64
	elapsed                time.Duration
}

func (w watched) rate() float64 { return float64(w.operations) / w.elapsed.Seconds() }

// RunMemory measures and prints tables.
func RunMemory(ctx context.Context, opts MemoryOptions) error {
	fmt.Fprintf(opts.Out, "Load average %s. Three nodes, each in a process of its own; %d clients at the leader, %d B, for %v; then the same while a follower is paused.\n",
		turns.LoadAverage(), fillClients, opts.Bytes, opts.Duration)
	var measured []memory
	for _, library := range opts.Libraries {
		m, err := memoryOf(ctx, opts, library)
		if err != nil {
			return fmt.Errorf("%s: %w", library, err)
		}
		measured = append(measured, m)
	}
	printMemory(opts.Out, measured)
	fmt.Fprintf(opts.Out, "\nLoad average at the end %s.\n", turns.LoadAverage())
	return nil
}

func memoryOf(ctx context.Context, opts MemoryOptions, library string) (m memory, err error) {
	r, err := rig.New(ctx, opts.Dir, 3, rig.Parts{})
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	m.library = library
	if m.nothing, err = emptyProcess(library); err != nil {
		return m, err
	}
	c, err := r.Start(rig.Spec{Library: library, Timing: contender.Default, SnapshotEvery: snapshotEvery, Keep: snapshotKeep})
	if err != nil {
		return m, err
	}
	settled, err := c.Settled(ctx, settleWithin)
	if err != nil {
		return m, err
	}
	leader := settled.Leader
	slow := c.Others(leader)[0]
	if m.leaderRest, err = c.Node(leader).Usage(true); err != nil {
		return m, err
	}
	if m.followerRest, err = c.Node(slow).Usage(true); err != nil {
		return m, err
	}
	if m.load, err = watch(ctx, c, leader, opts.Bytes, opts.Duration); err != nil {
		return m, err
	}
	if err := c.Pause(slow); err != nil {
		return m, err
	}
	for half := range m.paused {
		if m.paused[half], err = watch(ctx, c, leader, opts.Bytes, opts.Duration/2); err != nil {
			return m, err
		}
	}
	if err := c.Resume(slow); err != nil {
		return m, err
	}
	if _, err := c.Settled(ctx, recoverWithin); err != nil {
		return m, err
	}
	m.after, err = c.Node(leader).Usage(true)
	return m, err
}

// emptyProcess returns what a process holds that runs no node.
func emptyProcess(library string) (host.Usage, error) {
	p, err := host.Run(host.Options{Library: library}, 0, io.Discard)
	if err != nil {
		return host.Usage{}, err
	}
	defer p.Kill()
	return p.Usage(true)
}

// watch keeps the cluster busy, and looks at the leader's memory.
func watch(ctx context.Context, c *rig.Cluster, leader, bytes int, d time.Duration) (w watched, err error) {
	type outcome struct {
		operations uint64
		elapsed    time.Duration
		err        error
	}
	ended := make(chan outcome, 1)
	go func() {
		var o outcome
		for began := time.Now(); o.err == nil && time.Since(began) < d; {
			var result host.Result
			result, o.err = c.Node(leader).Load(host.Load{
				Node: leader, Clients: fillClients, Bytes: bytes, Warmup: warmup, Duration: min(loadSlice, d),
			})
			o.operations += result.Operations
			o.elapsed += result.Elapsed
		}
		ended <- o
	}()
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case o := <-ended:
			w.operations, w.elapsed = o.operations, o.elapsed
			return w, o.err
		case <-ctx.Done():
			return w, ctx.Err()
		case <-tick.C:
		}
		u, err := c.Node(leader).Usage(false)
		if err != nil {
			return w, err
		}
		w.peakHeap, w.peakResident = max(w.peakHeap, u.Heap), max(w.peakResident, u.Resident)
		w.goroutines = max(w.goroutines, u.Goroutines)
	}
}

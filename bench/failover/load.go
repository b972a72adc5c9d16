package failover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/seed-6281cb22/raft/bench/contender"
	"github.com/seed-6281cb22/raft/bench/host"
	"github.com/seed-6281cb22/raft/bench/internal/rig"
	"github.com/seed-6281cb22/raft/bench/internal/turns"
)

// LoadOptions say for how long clusters are kept busy.
type LoadOptions struct {
	Dir       string
	Libraries []string
	Timings   []contender.Timing
	Duration  time.Duration // of each library and timing
	Stalls    bool          // all nodes are stopped now and then, and wake one after the other
	Out       io.Writer
	Log       io.Writer // when there were elections goes here, if not nil
}

const (
	loadClients = 256
	loadBytes   = 128
	// loadSlice is how long clients go on before their latencies are forgotten.
	loadSlice = 20 * time.Second
	// loadWarmup is part of what is looked at, but not of the rate.
	loadWarmup = 100 * time.Millisecond
	// loadSnapshots is after how many entries a node takes a snapshot, so that an
	// hour of writes does not fill the disk, and loadKeep how many stay.
	loadSnapshots = 1_000_000
	loadKeep      = 100_000
)

// busy is what came of one library under load.
type busy struct {
	library    string
	timing     contender.Timing
	elapsed    time.Duration
	measured   time.Duration // without warm-ups
	elections  uint64        // by which the term went up
	operations uint64
	errors     uint64
	longest    time.Duration // that one operation took
	stalls     int
}

// RunLoad counts the elections of clusters that are as busy as 256 clients make
// them, and in which nothing fails.
func RunLoad(ctx context.Context, opts LoadOptions) error {
	fmt.Fprintf(opts.Out, "Load average %s. Three nodes, each in a process of its own, on loopback; %d clients at the leader, %d B, each write synced.\n\n",
		turns.LoadAverage(), loadClients, loadBytes)
	if opts.Stalls {
		fmt.Fprintf(opts.Out, "Every %v to %v all nodes are stopped for %v to %v, and wake in any order, up to %v apart.\n\n", stallEvery[0], stallEvery[1], stallFor[0], stallFor[1], stallApart[1])
	}
	fmt.Fprintln(opts.Out, "| | settings | elections | in | writes/s | errors | longest write | stalls |")
	fmt.Fprintln(opts.Out, "| --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, timing := range opts.Timings {
		for _, library := range opts.Libraries {
			b, err := loadOne(ctx, opts, library, timing)
			if err != nil {
				return fmt.Errorf("%s: %w", library, err)
			}
			fmt.Fprintf(opts.Out, "| %s | %s | %d | %v | %.0f | %d | %v | %d |\n", b.library, b.timing, b.elections, b.elapsed.Round(time.Second),
				float64(b.operations)/b.measured.Seconds(), b.errors, turns.Rounded(b.longest), b.stalls)
		}
	}
	fmt.Fprintf(opts.Out, "\nLoad average at the end %s.\n", turns.LoadAverage())
	return nil
}

func loadOne(ctx context.Context, opts LoadOptions, library string, timing contender.Timing) (b busy, err error) {
	r, err := rig.New(ctx, opts.Dir, 3, rig.Parts{})
	if err != nil {
		return b, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	c, err := r.Start(rig.Spec{Library: library, Timing: timing, SnapshotEvery: loadSnapshots, Keep: loadKeep})
	if err != nil {
		return b, err
	}
	first, err := c.Settled(ctx, settleWithin)
	if err != nil {
		return b, err
	}
	b = busy{library: library, timing: timing}
	leader, term := first.Leader, first.Term
	if opts.Stalls {
		stalling, stop := context.WithCancel(ctx)
		var stalled error
		ended := make(chan int)
		go func() {
			var times int
			times, stalled = stall(stalling, c)
			ended <- times
		}()
		defer func() {
			stop()
			b.stalls = <-ended
			err = errors.Join(err, stalled)
		}()
	}
	for b.elapsed < opts.Duration && ctx.Err() == nil {
		slice := min(loadSlice, opts.Duration-b.elapsed)
		began := time.Now()
		result, err := c.Node(leader).Load(host.Load{
			Node: leader, Clients: loadClients, Bytes: loadBytes, Warmup: loadWarmup, Duration: slice,
		})
		if err != nil {
			return b, err
		}
		b.elapsed += time.Since(began)
		b.measured += result.Elapsed
		b.operations += result.Operations
		b.errors += result.Errors
		b.longest = max(b.longest, result.Max)
		if leader, err = c.Leader(ctx, settleWithin); err != nil {
			return b, err
		}
		now, err := c.Status(leader)
		if err != nil {
			return b, err
		}
		if elections := now.Term - term; elections > 0 && opts.Log != nil {
			fmt.Fprintf(opts.Log, "%s, %s: %d elections in the %v before %s, longest write %v, %d errors\n", library, timing, elections,
				slice, time.Now().Format(time.TimeOnly), turns.Rounded(result.Max), result.Errors)
		}
		b.elections += now.Term - term
		term = now.Term
	}
	return b, ctx.Err()
}

// Of a machine that stands still now and then, as a virtual one does whose host
// has no time for it: less and more than the default election timeout of ours.
var (
	stallEvery = [2]time.Duration{1500 * time.Millisecond, 2500 * time.Millisecond}
	stallFor   = [2]time.Duration{350 * time.Millisecond, 800 * time.Millisecond}
	stallApart = [2]time.Duration{0, 80 * time.Millisecond}
)

// stall stops all nodes, wakes them one after the other in any order, and begins
// again, until ctx ends. It returns how often.
func stall(ctx context.Context, c *rig.Cluster) (times int, err error) {
	random := rand.New(rand.NewPCG(1, 2))
	wait := func(between [2]time.Duration) {
		select {
		case <-ctx.Done():
		case <-time.After(between[0] + time.Duration(random.Int64N(int64(between[1]-between[0])))):
		}
	}
	for wait(stallEvery); ctx.Err() == nil; wait(stallEvery) {
		nodes := random.Perm(3)
		for _, n := range nodes {
			if err := c.Pause(n + 1); err != nil {
				return times, err
			}
		}
		wait(stallFor)
		for _, n := range nodes {
			if err := c.Resume(n + 1); err != nil {
				return times, err
			}
			wait(stallApart)
		}
		times++
	}
	return times, nil
}

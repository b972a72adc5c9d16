package recovery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-6281cb22/raft/bench/contender"
	"github.com/seed-6281cb22/raft/bench/host"
	"github.com/seed-6281cb22/raft/bench/internal/rig"
)

// way is how a follower gets what it lacks.
type way string

const (
	byLog      way = "log"
	bySnapshot way = "snapshot"
)

// catchUp is one follower that was behind.
type catchUp struct {
	took           time.Duration // from the start of its process to its machine's having all
	before, during host.Result   // of the clients at the leader
	taking         time.Duration // that the leader took for the snapshot
	whileTaking    host.Result
}

func runCatchUps(ctx context.Context, opts Options, w way) error {
	samples := make([][]catchUp, len(opts.Libraries))
	for run := range opts.Runs {
		for i := range opts.Libraries {
			at := (run + i) % len(opts.Libraries)
			sample, err := oneCatchUp(ctx, opts, opts.Libraries[at], w)
			if err != nil {
				return fmt.Errorf("%s, catch-up by %s: %w", opts.Libraries[at], w, err)
			}
			samples[at] = append(samples[at], sample)
		}
	}
	printCatchUps(opts.Out, opts, w, samples)
	return nil
}

// bytesBeforeSnapshot are those that a follower lacks that needs the snapshot.
const bytesBeforeSnapshot = 4 << 20

func oneCatchUp(ctx context.Context, opts Options, library string, w way) (sample catchUp, err error) {
	r, err := rig.New(ctx, opts.Dir, 3, rig.Parts{})
	if err != nil {
		return sample, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	spec, lacking := rig.Spec{Library: library, Timing: contender.Default}, opts.Bytes
	if w == bySnapshot {
		spec.SnapshotBytes, lacking = opts.Bytes, bytesBeforeSnapshot
	}
	c, err := r.Start(spec)
	if err != nil {
		return sample, err
	}
	settled, err := c.Settled(ctx, settleWithin)
	if err != nil {
		return sample, err
	}
	follower := c.Others(settled.Leader)[0]
	c.Kill(follower)
	if err := fill(ctx, c, lacking); err != nil {
		return sample, err
	}
	leader, err := c.Leader(ctx, settleWithin)
	if err != nil {
		return sample, err
	}
	if w == bySnapshot {
		sample.whileTaking, err = meanwhile(ctx, c, leader, func() error {
			began := time.Now()
			err := c.Node(leader).Snapshot(leader)
			sample.taking = time.Since(began)
			return err
		})
		if err != nil {
			return sample, err
		}
	}
	sample.before, err = c.Node(leader).Load(host.Load{
		Node: leader, Clients: foreground, Bytes: frontBytes, Warmup: warmup, Duration: beforeFor,
	})
	if err != nil {
		return sample, err
	}
	sample.during, err = meanwhile(ctx, c, leader, func() (err error) {
		sample.took, err = comeBack(ctx, c, leader, follower)
		return err
	})
	return sample, err
}

// comeBack starts a follower, and waits until its machine has what the leader's
// had at that moment.
func comeBack(ctx context.Context, c *rig.Cluster, leader, follower int) (time.Duration, error) {
	target, err := c.Status(leader)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := c.Run(follower); err != nil {
		return 0, err
	}
	err = rig.Poll(ctx, 5*time.Millisecond, recoverWithin, func() (bool, error) {
		s, err := c.Status(follower)
		return s.Applied >= target.Applied, err
	})
	if err != nil {
		return 0, fmt.Errorf("%w\n%s", err, c.Log())
	}
	return time.Since(began), nil
}

// meanwhile returns what clients at the leader noticed while f ran.
func meanwhile(ctx context.Context, c *rig.Cluster, leader int, f func() error) (host.Result, error) {
	const id = 1
	type outcome struct {
		result host.Result
		err    error
	}
	ended := make(chan outcome, 1)
	go func() {
		result, err := c.Node(leader).Load(host.Load{ID: id, Node: leader, Clients: foreground, Bytes: frontBytes, Warmup: warmup})
		ended <- outcome{result, err}
	}()
	if err := rig.Wait(ctx, 2*warmup); err != nil { // they have begun by then
		return host.Result{}, err
	}
	failed := f()
	err := c.Node(leader).StopLoad(id)
	o := <-ended
	return o.result, errors.Join(failed, err, o.err)
}

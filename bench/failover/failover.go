// Package failover measures how long a cluster acknowledges nothing after its
// leader has failed in one of several ways, and whether a cluster that is busy
// elects leaders although nothing fails.
package failover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/seed-6281cb22/raft/bench/contender"
	"github.com/seed-6281cb22/raft/bench/internal/rig"
	"github.com/seed-6281cb22/raft/bench/internal/turns"
)

// Options say what to measure.
type Options struct {
	Dir       string // where the nodes' directories are made
	Libraries []string
	Timings   []contender.Timing
	Faults    []string // of FaultNames; nil: all
	Runs      int      // of each fault, library and timing
	Limit     time.Duration
	Out       io.Writer
}

// DefaultLimit is how long a failover is waited for.
const DefaultLimit = 30 * time.Second

// giveUpAfter is how many failovers of a kind in a row that did not come before
// the limit make the rest of them superfluous.
const giveUpAfter = 3

// settleWithin is how long a cluster may take to be well again.
const settleWithin = time.Minute

// Run measures and prints tables.
func Run(ctx context.Context, opts Options) error {
	var chosen []fault
	for _, f := range faults {
		if opts.Faults == nil || slices.Contains(opts.Faults, f.name) {
			chosen = append(chosen, f)
		}
	}
	fmt.Fprintf(opts.Out, "Load average %s. Three nodes, each in a process, a network namespace and an ext4 file system of its own.\n", turns.LoadAverage())
	for _, timing := range opts.Timings {
		if err := runTiming(ctx, opts, timing, chosen); err != nil {
			return err
		}
	}
	fmt.Fprintf(opts.Out, "\nLoad average at the end %s.\n", turns.LoadAverage())
	return nil
}

// runTiming keeps a cluster of each library running, idle but for its turns.
func runTiming(ctx context.Context, opts Options, timing contender.Timing, chosen []fault) (err error) {
	var subjects []*subject
	defer func() {
		for _, s := range subjects {
			err = errors.Join(err, s.rig.Close())
		}
	}()
	for _, library := range opts.Libraries {
		r, err := rig.New(ctx, opts.Dir, 3, rig.Parts{Network: true, Disks: true})
		if err != nil {
			return err
		}
		s := &subject{library: library, timing: timing, limit: opts.Limit, rig: r}
		subjects = append(subjects, s)
		if err := s.restart(ctx); err != nil {
			return err
		}
	}
	for _, f := range chosen {
		if why := f.possible(subjects[0].rig); why != nil {
			fmt.Fprintf(opts.Out, "\nLeader %s: left out. %v\n", f.what, why)
			continue
		}
		results, err := runFault(ctx, opts, subjects, f)
		if err != nil {
			return err
		}
		if err := print(opts.Out, timing, f, results); err != nil {
			return err
		}
	}
	return nil
}

// runFault gives each library its turns, in an order that rotates.
func runFault(ctx context.Context, opts Options, subjects []*subject, f fault) ([]result, error) {
	results := make([]result, len(subjects))
	for i, s := range subjects {
		results[i].library = s.library
	}
	for run := range opts.Runs {
		for i := range subjects {
			at := (run + i) % len(subjects)
			if results[at].hopeless() {
				continue
			}
			sample, err := subjects[at].turn(ctx, f)
			if sample != nil {
				results[at].samples = append(results[at].samples, *sample)
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				results[at].broken = append(results[at].broken, err)
				if err := subjects[at].restart(ctx); err != nil {
					return nil, err
				}
			}
		}
	}
	return results, nil
}

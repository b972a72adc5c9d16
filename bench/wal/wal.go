// Package wal measures write-ahead logs side by side: a bare loop of pwrite
// and fdatasync, storage/wal, etcd's WAL and HashiCorp's raft-wal. README.md of
// the module states the conditions.
package wal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/seed-6281cb22/raft/bench/internal/turns"
)

// Options say how to measure.
type Options struct {
	Dir    string        // the logs are made in a new directory below, which is removed at the end
	Rounds int           // how many turns each log takes, at least 1
	Round  time.Duration // how long a turn is, positive
	Out    io.Writer     // the tables go here
}

// workload is what all logs are asked to do.
type workload struct {
	entryBytes, writers int
}

func (w workload) String() string {
	if w.writers == 1 {
		return fmt.Sprintf("entries of %d B, 1 writer", w.entryBytes)
	}
	return fmt.Sprintf("entries of %d B, %d concurrent savers", w.entryBytes, w.writers)
}

var workloads = []workload{{128, 1}, {1024, 1}, {128, 256}, {1024, 256}}

// Run measures every log under every workload and prints a table for each. It
// ends early, with the context's error, between two turns.
func Run(ctx context.Context, o Options) error {
	if o.Rounds < 1 || o.Round <= 0 {
		return errors.New("rounds and their length must be positive")
	}
	parent, err := filepath.Abs(o.Dir)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(parent, "bench-wal-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintf(o.Out, "%s, %s, %d CPUs, in %s\n", time.Now().Format(time.DateTime), runtime.Version(), runtime.NumCPU(), parent)
	fmt.Fprintf(o.Out, "%d turns of %v each, alternating; medians of the turns\n", o.Rounds, o.Round)
	for i, w := range workloads {
		before := turns.LoadAverage()
		results, err := compare(ctx, o, w, filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return err
		}
		fmt.Fprintf(o.Out, "\n%s (load average %s, then %s)\n", w, before, turns.LoadAverage())
		if err := printTable(o.Out, results); err != nil {
			return err
		}
	}
	return nil
}

// result is what one log did: a sample of each of its turns.
type result struct {
	name    string
	samples []sample
}

// compare lets all logs take turns. Who begins changes from round to round, so
// that nobody always follows the same neighbour.
func compare(ctx context.Context, o Options, w workload, dir string) (results []result, err error) {
	logs := make([]durableLog, len(contenders))
	defer func() {
		for _, l := range logs {
			if l != nil {
				err = errors.Join(err, l.close())
			}
		}
	}()
	savers := make([][]saver, len(contenders))
	for i, c := range contenders {
		at := filepath.Join(dir, fmt.Sprint(i))
		if err := os.MkdirAll(at, 0o755); err != nil {
			return nil, err
		}
		if logs[i], err = c.open(at); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		savers[i] = logs[i].savers(w.writers)
		results = append(results, result{name: c.name})
	}
	turn := func(i int, length time.Duration) (sample, error) {
		s, err := measure(logs[i], savers[i], w.entryBytes, length)
		if err == nil {
			err = logs[i].snapshot()
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", contenders[i].name, err)
		}
		return s, errors.Join(err, ctx.Err())
	}
	for i := range logs {
		if _, err := turn(i, o.Round/2); err != nil {
			return nil, err
		}
	}
	for round := range o.Rounds {
		for j := range logs {
			i := (round + j) % len(logs)
			s, err := turn(i, o.Round)
			if err != nil {
				return nil, err
			}
			results[i].samples = append(results[i].samples, s)
		}
	}
	return results, nil
}

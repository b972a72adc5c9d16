// Package recovery measures how long nodes take to be back with much to load,
// what clients notice of it, and how much memory nodes need.
package recovery

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/seed-6281cb22/raft/bench/host"
	"github.com/seed-6281cb22/raft/bench/internal/rig"
	"github.com/seed-6281cb22/raft/bench/internal/turns"
)

// Options say what to measure.
type Options struct {
	Dir       string // where the nodes' directories are made
	Libraries []string
	Bytes     int64 // of the log, or of the snapshot
	Runs      int   // of each measurement
	Out       io.Writer
}

const (
	entryBytes    = 1 << 10 // of the entries that make a log long
	fillClients   = 256
	fillStart     = 20 * time.Millisecond
	fillSlice     = 500 * time.Millisecond
	foreground    = 16  // clients that go on while a node comes back
	frontBytes    = 128 // that each of them writes
	beforeFor     = 3 * time.Second
	warmup        = 50 * time.Millisecond
	settleWithin  = time.Minute
	recoverWithin = 10 * time.Minute
)

// Run measures and prints tables.
func Run(ctx context.Context, opts Options) error {
	fmt.Fprintf(opts.Out, "Load average %s. %d MiB; median of %d, least and most. What is read is in the page cache.\n",
		turns.LoadAverage(), opts.Bytes>>20, opts.Runs)
	if err := runRestarts(ctx, opts); err != nil {
		return err
	}
	for _, w := range []way{byLog, bySnapshot} {
		if err := runCatchUps(ctx, opts, w); err != nil {
			return err
		}
	}
	fmt.Fprintf(opts.Out, "\nLoad average at the end %s.\n", turns.LoadAverage())
	return nil
}

// fill has the leader write entries until its machine has applied so many bytes
// more, and a few, whatever the library's rate.
func fill(ctx context.Context, c *rig.Cluster, bytes int64) error {
	wanted := uint64(bytes / entryBytes)
	slice := fillStart
	progress := time.Now()
	var first uint64
	for begun := false; ; begun = true {
		leader, err := c.Leader(ctx, settleWithin)
		if err != nil {
			return err
		}
		now, err := c.Status(leader)
		if err != nil {
			return err
		}
		if !begun {
			first = now.Applied
		}
		done := now.Applied - first
		if done >= wanted {
			return nil
		}
		if begun {
			slice = nextSlice(slice, done, wanted-done)
		}
		_, err = c.Node(leader).Load(host.Load{
			Node: leader, Clients: fillClients, Bytes: entryBytes, Warmup: fillStart, Duration: slice,
		})
		switch {
		case err == nil:
			progress = time.Now()
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Since(progress) > settleWithin: // a busy machine's slice may be empty
			return err
		}
	}
}

// nextSlice returns how long to write for the rest, or half a second if that is
// longer, going by the share that was done in all before.
func nextSlice(last time.Duration, done, left uint64) time.Duration {
	if left >= done { // and where nothing is done yet
		return min(2*last, fillSlice)
	}
	return max(fillStart, min(last, fillSlice*time.Duration(left)/time.Duration(done)))
}

// Package codec measures this library's codec, the code that protoc-gen-go
// generates for the same schema, and etcd-raft's two. README.md of the module
// states the conditions.
package codec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/seed-6281cb22/raft/bench/contest"
	"github.com/seed-6281cb22/raft/bench/internal/children"
	"github.com/seed-6281cb22/raft/bench/internal/ours"
	"github.com/seed-6281cb22/raft/bench/internal/turns"
)

// Options say how to measure.
type Options struct {
	Rounds int           // how many turns each contender takes, at least 1
	Round  time.Duration // how long a turn is, positive
	Procs  int           // GOMAXPROCS of each contender, at least 1
	Out    io.Writer     // the tables go here
}

// measurement is a part of the table.
type measurement struct {
	title string
	kind  contest.Kind
	// entrants are compared with the first one. That one should be target
	// times as fast as the generated code, if that is not 0.
	entrants []children.Entrant
	target   float64
}

var measurements = []measurement{
	{"encode", contest.Encode, []children.Entrant{
		{Name: children.Ours, Variant: ours.Reused},
		{Name: children.Ours, Variant: ours.Generated},
		{Name: children.Etcd36},
		{Name: children.Etcd37},
	}, 0},
	{"decode", contest.Decode, []children.Entrant{
		{Name: children.Ours, Variant: ours.Fresh},
		{Name: children.Ours, Variant: ours.Reused},
		{Name: children.Ours, Variant: ours.Generated},
		{Name: children.Etcd36},
		{Name: children.Etcd37},
	}, 5},
}

// The message's entries.
const (
	entries    = 64
	entryBytes = 128
)

// Run measures, and prints a table. It ends early, with the context's error,
// between two turns.
func Run(ctx context.Context, o Options) (err error) {
	if o.Rounds < 1 || o.Round <= 0 || o.Procs < 1 {
		return errors.New("rounds, their length and -procs must be positive")
	}
	programs, err := children.Build(ctx, o.Procs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, programs.Close()) }()
	fmt.Fprintf(o.Out, "%s, %s, %d CPUs, GOMAXPROCS=%d, load average %s\n", time.Now().Format(time.DateTime),
		runtime.Version(), runtime.NumCPU(), o.Procs, turns.LoadAverage())
	fmt.Fprintf(o.Out, "an AppendEntries of %d entries of %d B; %d turns of %v each, alternating; medians of the turns\n\n",
		entries, entryBytes, o.Rounds, o.Round)
	children.PrintHeader(o.Out)
	var verdicts []string
	for _, m := range measurements {
		samples, err := programs.Compare(ctx, m.entrants, contest.Case{Kind: m.kind, Calls: entries, Bytes: entryBytes}, o.Rounds, o.Round)
		if err != nil {
			return fmt.Errorf("%s: %w", m.title, err)
		}
		children.PrintRows(o.Out, m.title, m.entrants, samples)
		verdicts = append(verdicts, m.judge(samples)...)
	}
	fmt.Fprintf(o.Out, "\nLoad average at the end %s. Targets, by the medians of the ratios:\n\n", turns.LoadAverage())
	for _, v := range verdicts {
		fmt.Fprintln(o.Out, v)
	}
	return nil
}

// judge says whether the target was met.
func (m *measurement) judge(samples [][]contest.Sample) []string {
	var verdicts []string
	for i, e := range m.entrants {
		if m.target > 0 && e.Variant == ours.Generated {
			for k, own := range m.entrants[:i] {
				verdicts = append(verdicts, children.Verdict(fmt.Sprintf("%s, %s, against the generated code", m.title, own.Variant),
					samples[k], samples[i], m.target))
			}
		}
	}
	return verdicts
}

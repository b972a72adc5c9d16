package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/seed-6281cb22/raft/bench/contest"
	"github.com/seed-6281cb22/raft/bench/internal/children"
	"github.com/seed-6281cb22/raft/bench/internal/turns"
)

// Options say how to measure.
type Options struct {
	Rounds     int           // how many turns each contender takes, at least 1
	LongRounds int           // the same where a turn is one operation that is prepared at length, at least 1
	Round      time.Duration // how long a turn is, positive
	Procs      int           // GOMAXPROCS of each contender, at least 1
	Out        io.Writer     // the tables go here
}

// Run measures, and prints a table. It ends early, with the context's error,
// between two turns.
func Run(ctx context.Context, o Options) (err error) {
	if o.Rounds < 1 || o.LongRounds < 1 || o.Round <= 0 || o.Procs < 1 {
		return errors.New("rounds, their length and -procs must be positive")
	}
	programs, err := children.Build(ctx, o.Procs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, programs.Close()) }()
	fmt.Fprintf(o.Out, "%s, %s, %d CPUs, GOMAXPROCS=%d, load average %s\n", time.Now().Format(time.DateTime),
		runtime.Version(), runtime.NumCPU(), o.Procs, turns.LoadAverage())
	fmt.Fprintf(o.Out, "%d turns of %v each (the last two: %d of one operation), alternating; medians of the turns\n\n",
		o.Rounds, o.Round, o.LongRounds)
	children.PrintHeader(o.Out)
	var verdicts []string
	worst := 0.0
	for _, m := range measurements() {
		rounds := o.Rounds
		if m.long {
			rounds = o.LongRounds
		}
		samples, err := programs.Compare(ctx, entrants, m.Case, rounds, o.Round)
		if err != nil {
			return fmt.Errorf("%s: %w", m.title, err)
		}
		children.PrintRows(o.Out, m.title, entrants, samples)
		verdicts = append(verdicts, m.judge(samples)...)
		worst = max(worst, m.mallocs(samples[0]))
	}
	if err := printMemory(ctx, o.Out, programs); err != nil {
		return err
	}
	verdicts = append(verdicts, children.Judged(worst < 0.01,
		fmt.Sprintf("at most %.3f allocations per entry beyond payloads, target 0 (each compaction, once in %d entries, has some)", worst, contest.CompactEvery)))
	fmt.Fprintf(o.Out, "\nLoad average at the end %s. Targets, by the medians of the ratios:\n\n", turns.LoadAverage())
	for _, v := range verdicts {
		fmt.Fprintln(o.Out, v)
	}
	return nil
}

// judge says of each target whether it was met.
func (m *measurement) judge(samples [][]contest.Sample) []string {
	var verdicts []string
	for i, e := range entrants {
		if target := m.targets[e.Name]; target > 0 {
			verdicts = append(verdicts, children.Verdict(m.title+", against "+e.Name, samples[0], samples[i], target))
		}
	}
	return verdicts
}

// mallocs is how many objects were allocated for each entry proposed, beyond
// payloads. With a wire, what a follower's log keeps of a message is payload.
func (m *measurement) mallocs(samples []contest.Sample) float64 {
	if m.Kind != contest.Propose {
		return 0
	}
	payload := 0.0
	if m.Wire {
		payload = float64(m.Voters-1) / float64(m.Calls*m.PerCall)
	}
	return turns.Median(turns.Each(samples, children.MallocsPerOp)) - payload
}

// printMemory prints what an idle replica holds.
func printMemory(ctx context.Context, out io.Writer, programs *children.Programs) error {
	samples, err := programs.Compare(ctx, entrants, contest.Case{Kind: contest.Memory, Voters: 3, Groups: memoryGroups}, 1, 0)
	if err != nil {
		return fmt.Errorf("memory: %w", err)
	}
	fmt.Fprintf(out, "\nHeap of an idle replica, storage included, of %d groups of three:\n\n", memoryGroups)
	fmt.Fprintf(out, "| | bytes |\n| --- | --- |\n")
	for i, e := range entrants {
		fmt.Fprintf(out, "| %v | %d |\n", e, samples[i][0].Bytes)
	}
	return nil
}

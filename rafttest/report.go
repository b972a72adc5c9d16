package rafttest

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/seed-6281cb22/raft/internal/failure"
	"github.com/seed-6281cb22/raft/internal/tape"
)

// The reduction of a failure may take so many runs, and about so long.
const (
	reduceRuns = 1000
	reduceTime = time.Minute
)

// Replayer is a TB that is no test, and says by which commands a seed, and the
// run in a file, are run again.
type Replayer interface {
	ReplaySeed(seed uint64) string
	ReplayFile(path string) string
}

// asTest is the Replayer for a test.
type asTest struct{ name string }

func (t asTest) ReplaySeed(seed uint64) string {
	return fmt.Sprintf("RAFTTEST_SEED=%d go test -run '^%s$' .", seed, t.name)
}

func (t asTest) ReplayFile(path string) string {
	return fmt.Sprintf("RAFTTEST_TAPE=%s go test -run '^%s$' .", path, t.name)
}

// explain reduces a run that has failed and says all that is known of it.
func (s *Simulation[M, R]) explain(t TB, seed uint64, failed *outcome) string {
	began, test := time.Now(), t.Name()
	replayer, ok := t.(Replayer)
	if !ok {
		replayer = asTest{test}
	}
	decisions := tape.FromSeed(seed)
	recorded := decisions.Record()
	s.run(decisions, withoutTranscript)
	reduced := tape.Reduce(recorded, func(t *tape.Tape) bool {
		o := s.run(t, withoutTranscript)
		return o.failure != nil && o.failure.checker == failed.failure.checker
	}, tape.Budget{Runs: reduceRuns, Stop: func() bool { return time.Since(began) > reduceTime }})
	last := s.run(tape.Replay(reduced), withTranscript)
	if last.failure == nil { // it is no function of the tape
		last, reduced = s.run(tape.FromSeed(seed), withTranscript), nil
	}
	report := failure.Report{
		Engine: "rafttest", Seed: seed, Before: failed.failure.Error(), Violation: failed.failure.Error(),
		Recorded: recorded, Reduced: reduced, Setup: last.setup, Transcript: last.transcript,
		Replay: replayer.ReplaySeed(seed),
	}
	if last.failure != nil {
		report.Violation = last.failure.Error()
	}
	base := filepath.Join(os.TempDir(), fmt.Sprintf("rafttest-%s-%d", filepath.Base(test), seed))
	if reduced != nil {
		file := tape.File{Seed: seed, Header: map[string]string{"engine": "rafttest", "test": test}, Recording: reduced}
		if err := tape.WriteFile(base+".tape", file); err == nil {
			report.ReplayReduced = replayer.ReplayFile(base + ".tape")
		}
	}
	if last.visualize != nil {
		if err := last.visualize(base + ".html"); err == nil {
			report.History = base + ".html"
		}
	}
	return report.String()
}

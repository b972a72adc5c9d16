package rafttest

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed-6281cb22/raft/internal/failure"
	"github.com/seed-6281cb22/raft/internal/tape"
)

// reduceRuns is how many runs the reduction of a failure may take.
const reduceRuns = 400

// explain reduces a run that has failed and says all that is known of it.
func (s *Simulation[M, R]) explain(test string, seed uint64, failed *outcome) string {
	decisions := tape.FromSeed(seed)
	recorded := decisions.Record()
	s.run(decisions, withoutTranscript)
	reduced := tape.Reduce(recorded, func(t *tape.Tape) bool {
		o := s.run(t, withoutTranscript)
		return o.failure != nil && o.failure.checker == failed.failure.checker
	}, tape.Budget{Runs: reduceRuns})
	last := s.run(tape.Replay(reduced), withTranscript)
	if last.failure == nil { // it is no function of the tape
		last, reduced = s.run(tape.FromSeed(seed), withTranscript), nil
	}
	report := failure.Report{
		Engine: "rafttest", Seed: seed, Before: failed.failure.Error(), Violation: failed.failure.Error(),
		Recorded: recorded, Reduced: reduced, Setup: last.setup, Transcript: last.transcript,
		Replay: fmt.Sprintf("RAFTTEST_SEED=%d go test -run '^%s$' .", seed, test),
	}
	if last.failure != nil {
		report.Violation = last.failure.Error()
	}
	base := filepath.Join(os.TempDir(), fmt.Sprintf("rafttest-%s-%d", filepath.Base(test), seed))
	if reduced != nil {
		file := tape.File{Seed: seed, Header: map[string]string{"engine": "rafttest", "test": test}, Recording: reduced}
		if err := tape.WriteFile(base+".tape", file); err == nil {
			report.ReplayReduced = fmt.Sprintf("RAFTTEST_TAPE=%s.tape go test -run '^%s$' .", base, test)
		}
	}
	if last.visualize != nil {
		if err := last.visualize(base + ".html"); err == nil {
			report.History = base + ".html"
		}
	}
	return report.String()
}

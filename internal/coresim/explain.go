package coresim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed-6281cb22/raft/internal/failure"
	"github.com/seed-6281cb22/raft/internal/tape"
)

// Engine is the name of this simulator in replay files.
const Engine = "core"

// reductionRuns is how many runs the reduction of a failure may take.
const reductionRuns = 2000

// Explain runs a seed that fails once more, reduces what it decides as long as
// the same checker finds it wrong, and says all that is known. It leaves the
// reduced tape in a file in the directory for temporary ones.
func Explain(cfg Config, seed uint64) failure.Report {
	s := new(Simulator)
	decisions := tape.FromSeed(seed)
	recorded := decisions.Record()
	cfg.Transcript = false
	first := s.checker(cfg, decisions)
	reduced := tape.Reduce(recorded, func(t *tape.Tape) bool { return first != "" && s.checker(cfg, t) == first },
		tape.Budget{Runs: reductionRuns})

	cfg.Transcript = true
	result, err := s.Run(cfg, tape.FromSeed(seed))
	report := failure.Report{
		Engine: "coresim", Seed: seed, Recorded: recorded, Before: fmt.Sprint(err),
		Replay: fmt.Sprintf("go run ./cmd/raftsim replay -engine core -nodes %d -seed %d", cfg.Nodes, seed),
	}
	path := filepath.Join(os.TempDir(), fmt.Sprintf("coresim-%d-%d.tape", cfg.Nodes, seed))
	header := map[string]string{"engine": Engine, "nodes": fmt.Sprint(cfg.Nodes)}
	if err := tape.WriteFile(path, tape.File{Seed: seed, Header: header, Recording: reduced}); err == nil {
		report.ReplayReduced = "go run ./cmd/raftsim replay " + path
	}
	if smaller, smallerErr := s.Run(cfg, tape.Replay(reduced)); smallerErr != nil {
		result, err = smaller, smallerErr
		report.Reduced = reduced
	}
	report.Violation, report.Transcript = fmt.Sprint(err), result.Transcript
	report.Setup = []string{fmt.Sprintf("%d nodes, %d events", result.Nodes, result.Events)}
	return report
}

// checker returns the name of the checker that finds a run wrong, "" if none.
func (s *Simulator) checker(cfg Config, t *tape.Tape) string {
	var f *Failure
	if _, err := s.Run(cfg, t); errors.As(err, &f) {
		return f.Violation.Checker
	}
	return ""
}

// Package failure tells a user what a failed simulation has found.
package failure

import (
	"fmt"
	"strings"

	"github.com/seed-6281cb22/raft/internal/tape"
)

// A Report is what is known about a failed run. Fields that are empty are left
// out of its text.
type Report struct {
	// Engine is the simulator: rafttest, coresim.
	Engine string
	Seed   uint64
	// Violation says which rule was broken, where and how: in the run that the
	// transcript shows, so after the reduction if there was one.
	Violation string
	// Before is the violation before the reduction.
	Before string
	// Replay is the command that runs Seed again.
	Replay string
	// Recorded and Reduced are the recordings before and after the reduction.
	Recorded, Reduced *tape.Recording
	// ReplayReduced is the command that runs the reduced tape again.
	ReplayReduced string
	// Setup is what the run was drawn to be, one item each: nodes, features,
	// faults.
	Setup []string
	// History is the path of the page that shows the clients' operations.
	History string
	// Transcript is the last events, of the reduced run if there is one.
	Transcript string
}

// String returns the report: first what is wrong, then how to see it again, then
// what happened.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: seed %d: %s\n\n", r.Engine, r.Seed, indent(r.Violation, "  "))
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-9s %s\n", name, indent(value, strings.Repeat(" ", 10)))
		}
	}
	line("replay", r.Replay)
	line("reduced", r.ReplayReduced)
	line("", r.reduction())
	if r.Before != r.Violation {
		line("before", r.Before)
	}
	line("setup", strings.Join(r.Setup, "\n"))
	line("history", r.History)
	if r.Transcript != "" {
		of := ""
		if r.Reduced != nil {
			of = " of the reduced run"
		}
		fmt.Fprintf(&b, "\nthe last events%s:\n%s", of, r.Transcript)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// reduction returns how far the tape was reduced.
func (r Report) reduction() string {
	switch {
	case r.Recorded == nil:
		return ""
	case r.Reduced == nil:
		return fmt.Sprintf("not reduced: %v", r.Recorded)
	}
	return fmt.Sprintf("to %v, from %v", r.Reduced, r.Recorded)
}

// indent puts a margin before the second and further lines of text.
func indent(text, margin string) string {
	return strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n"+margin)
}

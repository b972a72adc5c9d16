// Package mutation proves that the checks of this module can fail. Each
// Mutation is one wrong line in the shipping code, most of them a defect that
// some Raft implementation has had (SCENARIOS.md, M); the tests apply each to
// a copy and demand that a named checker finds it within a stated budget. One
// that survives shows a hole in a checker or in the faults that are injected.
//
// The copy is made by the go command's -overlay: nothing of it is ever in a
// shipped build. All mutations are in one overlay (see Overlay), so that one
// build of an engine (see Engine) runs with any of them, or with none, as the
// environment variable that Variable names says.
package mutation

import (
	"slices"
	"time"
)

// Variable is the environment variable that holds the ID of the mutation that
// a process runs with. Empty: none.
const Variable = "RAFT_MUTANT"

// A Mutation is one wrong line.
type Mutation struct {
	// ID names it: by the row of SCENARIOS.md, with a letter where one row
	// hides several wrong lines, or, where it breaks a rule of DESIGN.md that
	// has no row, by a prefix of its own: C for the core, R for the replica,
	// W for the WAL, X for package session (exactly once).
	ID string
	// File is the file's path in the module, and Func the function in it:
	// "name", or "Receiver.name".
	File, Func string
	// Find occurs exactly once in the function's body, up to white space, and
	// Replace takes its place.
	Find, Replace string
	// Wrong says what is wrong then.
	Wrong string
	// By is what finds it, each within its budget.
	By []*Engine
}

// A Budget is how long a hunt may last. It ends when either is used up.
type Budget struct {
	Seeds int
	Time  time.Duration
}

// All returns all mutations, in the order of the table.
func All() []Mutation {
	return slices.Concat(elections, commits, acknowledgements, memberships, memberCalls, snapshots, reads, leases, priorities, marks, window, forwards, outcomes, sessions, walWrites, walRecovery,
		walBatches, walGroups, walSegments, walReplay, walOpen, walReads, walSnapshots, walInspection)
}

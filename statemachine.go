package raft

import "io"

// StateMachine is the service that a group replicates. R is the result of a
// command for its proposer; it never crosses the wire.
//
// Apply, Snapshot and Restore are called by one goroutine at a time.
type StateMachine[R any] interface {
	// Apply applies committed commands in order, and stores in results[i]
	// what entries[i] means to its proposer. It must be deterministic: the
	// same commands give the same state and results on every replica. Only
	// commands come here (type EntryCommand), so indexes may have gaps. It
	// may keep entries[i].Data but not the slices. An error stops this
	// replica for good, so it is for broken disks and the like; a command
	// that is refused is a result.
	Apply(entries []Entry, results []R) error

	// Snapshot captures the state as of the last Apply. It should be cheap:
	// nothing is applied meanwhile. WriteTo of what it returns runs beside
	// later Apply calls and must write the state as it was captured. If it
	// is an io.Closer too, it is closed when it is no longer needed.
	Snapshot() (io.WriterTo, error)

	// Restore replaces the state by the one that a WriteTo has written,
	// on this or another node.
	Restore(r io.Reader) error
}

// StateHasher is for a StateMachine whose states can be compared, see
// Config.CompareStateEvery. Start recognizes it by its method.
type StateHasher interface {
	// StateHash returns a hash of the whole state as of the last Apply. It must
	// be the same wherever the same commands have been applied, whether from
	// the log or by way of a snapshot; so it must not depend on the order of a
	// map, on addresses or on time. It is called between two calls of Apply, by
	// the same goroutine, and nothing is applied meanwhile: best is a hash that
	// Apply keeps up to date. An error stops this replica for good.
	StateHash() (uint64, error)
}

// DurableStateMachine is a StateMachine that is durable by itself: what it has
// applied is there after a restart, so that Start does not restore and apply
// it again. Start recognizes it by its method LastApplied.
//
// It stores the index of the last entry of each Apply in one transaction with
// that entry's effects, or else a crash between the two would lose commands or
// apply them twice; likewise Restore replaces all in one transaction. A
// transaction may become durable later, but they do in order: what a crash has
// undone is applied again, from the log, or from the newest snapshot if that
// does not reach back so far. The result of a command went to its proposer when
// it was applied first, and goes nowhere when it is applied again.
//
// A follower that is far behind is sent the state as it is captured then, and
// not the storage's snapshot: no copy is made of it, on disk or in memory. For
// that, WriteTo of what Snapshot returns must be repeatable. It runs twice, for
// the size and for the data, and once more whenever a broken transfer goes on; it
// is given up in the middle by an error of its writer; and every run must write
// the same bytes. Of one that does not (a bytes.Buffer and a bytes.Reader are
// empty after the first) the stored snapshots are sent instead, from the first
// such failure on. Those are taken as for any StateMachine: the log is compacted
// only below a snapshot that is whole in the storage.
//
// Package session has a decorator for these, as for others.
type DurableStateMachine[R any] interface {
	StateMachine[R]

	// LastApplied returns the index of the last entry whose effects are in
	// the state, 0 if there is none. It is called once, by Start, which
	// returns an *AheadError if the storage does not hold that entry.
	LastApplied() Index
}

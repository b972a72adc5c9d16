package raft

import "io"

// Identity says whose a storage or a connection is: a node of a cluster.
type Identity struct {
	// Cluster names the cluster, at most 64 bytes. Two clusters with
	// different names refuse each other's connections and directories.
	Cluster string
	Node    NodeID
}

// TermRun says that the entries from First on, up to the next run or the end
// of the log, have Term.
type TermRun struct {
	First Index
	Term  Term
}

// MembershipAt is the membership that the log entry at Index holds.
type MembershipAt struct {
	Index      Index
	Membership Membership
}

// State is all that survived in a storage, without payloads. The zero State
// is that of empty storage, except that Last is always First-1 when no entry
// is held.
type State struct {
	Identity  Identity
	HardState HardState
	// Snapshot is the newest committed snapshot. With Index 0 there is
	// none, and its Membership is the founding one, if any was saved.
	Snapshot Snapshot
	// First and Last delimit the entries held. First is at most
	// Snapshot.Index+1 (entries that the snapshot covers may still be
	// there); with no entry, First is Snapshot.Index+1 and Last
	// Snapshot.Index.
	First, Last Index
	// Runs gives the term of every entry held, ascending, the first one
	// starting at First.
	Runs []TermRun
	// Memberships are those held by entries above Snapshot.Index, ascending.
	Memberships []MembershipAt
}

// Write is what a replica must make durable: atomically (after a crash all of
// it is there or none) and in order (never a later Write without all earlier
// ones).
type Write struct {
	// Seq counts the writes of a replica from 1. Zero: nothing to write.
	Seq uint64
	// Identity is set in the first write to an empty storage, else zero.
	Identity Identity
	// HardState is always complete, changed or not.
	HardState HardState
	// Snapshot, if not nil, replaces the log: it is empty afterwards and
	// continues at Snapshot.Index+1. The snapshot's data has been committed
	// by a SnapshotWriter before (with Index 0 there is none: it only states
	// the founding membership).
	Snapshot *Snapshot
	// Entries follow each other and are appended. Where the log already
	// holds Entries[0].Index or above, that suffix is replaced.
	Entries []Entry
}

// Storage is where one replica keeps its log, hard state and snapshots.
//
// All methods may be called concurrently, but Save and Compact are called by
// one goroutine at a time. The opener closes the storage, after the replica.
// Package storage has implementations, and package storage/storagetest checks
// that one keeps this contract, crashes included.
type Storage interface {
	// Load returns what survived. It is called once, before all others.
	// From Commit of a SnapshotWriter on, Load returns that snapshot, with
	// the log above it only if the log holds the entry of its index and
	// term, and else empty, whether or not a Write has installed it.
	Load() (State, error)

	// Save begins to make w durable. It takes what it needs of w before it
	// returns (w and its slices are the caller's again; Data of entries is
	// immutable and may be kept), and never waits for I/O. When w is
	// durable, or has failed, done is called: once, in the order of the
	// calls to Save, never from within Save. After one failure every later
	// write fails, without an effect on what is durable.
	Save(w Write, done func(error))

	// Entries appends to buf the entries with lo <= index < hi, as many as
	// fit into maxBytes of data, at least one, and returns the extended
	// slice. All of them have been saved durably. The error is ErrCompacted
	// when lo is below the log's first index, a *CorruptError when an entry
	// is damaged.
	Entries(buf []Entry, lo, hi Index, maxBytes int) ([]Entry, error)

	// Compact says that entries up to and including through are not needed
	// any more. The storage may forget them, now or later. A committed
	// snapshot covers them.
	Compact(through Index) error

	// CreateSnapshot starts to write the data of snapshot s, whose Size and
	// Checksum the storage fills in.
	CreateSnapshot(s Snapshot) (SnapshotWriter, error)

	// OpenSnapshot opens the newest committed snapshot. The reader stays
	// valid when a newer one is committed meanwhile. Damaged data gives an
	// error that is a *CorruptError, from Read at the latest. The error is
	// ErrNoSnapshot when there is none.
	OpenSnapshot() (Snapshot, io.ReadSeekCloser, error)
}

// SnapshotWriter receives a snapshot's data. Nothing of it is visible before
// Commit.
type SnapshotWriter interface {
	io.Writer
	// Commit makes the snapshot durable and visible, atomically. Of
	// committed snapshots the one with the highest index is the newest;
	// older ones may be deleted.
	Commit() error
	// Close releases the writer, and discards what was not committed.
	Close() error
}

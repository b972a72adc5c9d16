package raft

import (
	"fmt"
	"time"
)

// Instant is a time as the host's monotonic clock has it: the duration since
// an origin that the host chooses. The core has no clock of its own.
type Instant time.Duration

// Never is the Instant that does not come.
const Never Instant = 1<<63 - 1

// Add returns the instant d after i.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d) }

// Role is the part that a replica plays.
type Role uint8

const (
	Follower     Role = iota // follows a leader, or waits for one
	PreCandidate             // asks whether it could win an election (dissertation §9.6)
	Candidate                // asks for votes
	Leader                   // replicates its log to the others
)

// String returns the role's name.
func (r Role) String() string {
	switch r {
	case Follower:
		return "follower"
	case PreCandidate:
		return "pre-candidate"
	case Candidate:
		return "candidate"
	case Leader:
		return "leader"
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// Ready is everything that the core wants done. What Ready() returned is
// handed over: it does not come again.
//
// Its slices, and the Entries slices of its messages and of its Write, are
// the caller's until the next call of any method of the core, except
// Committed, which is the caller's until Applied says that it is applied.
type Ready struct {
	// Write is to be made durable, atomically and in order; then call
	// Persisted with its Seq, or PersistFailed. Nothing to write: Seq is 0.
	Write Write
	// Messages may be sent at once: none of them waits for Write.
	Messages []Message
	// Committed is committed and durable here: apply it in order, then call
	// Applied with its last index. No more comes until then.
	Committed []Entry
	// LogReads are ranges that the core no longer holds and needs. Read them
	// from the storage and answer with LogRead, in any order.
	LogReads []LogRead
	// Restore, if not nil, is a snapshot, durable here, that the state
	// machine must be restored from; then call Applied with its index.
	// Nothing is Committed until then.
	Restore *Snapshot
	// Snapshots are to be sent; then call SnapshotSent.
	Snapshots []SendSnapshot
	// Reads have been confirmed, or have failed.
	Reads []ReadState
	// Events, if CoreConfig.Events is set.
	Events []Event
}

// LogRead asks for the durable entries with Lo <= index < Hi, at least one
// and about MaxBytes of data.
type LogRead struct {
	// Peer is whom they will be sent to; 0: they will be applied here.
	Peer     NodeID
	Term     Term // in which it was asked for
	Lo, Hi   Index
	MaxBytes int
}

// SendSnapshot asks to send the newest snapshot to a peer that needs entries
// which the log no longer holds. Message is an InstallSnapshot whose Snapshot
// the host sets to the one that it sends.
type SendSnapshot struct {
	Message Message
}

// ReadState is the answer to ReadIndex. With OK, a state machine that has
// applied Index holds everything that was committed when the read began.
// Without, leadership has changed: ask again.
type ReadState struct {
	ID    uint64
	Index Index
	OK    bool
}

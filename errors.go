package raft

import (
	"errors"
	"fmt"
)

// Errors of the library. All of them, and the types below, work with
// errors.Is and errors.As through any wrapping.
var (
	// ErrNotCommitted: the proposal is definitely not committed and never
	// will be. It may be proposed again.
	ErrNotCommitted = errors.New("raft: proposal is not committed and never will be")

	// ErrOutcomeUnknown: the proposal may have been committed, or may yet
	// be; nobody here can know.
	ErrOutcomeUnknown = errors.New("raft: outcome of the proposal is unknown")

	// ErrOverloaded: a bound on memory is reached. Nothing was taken; try
	// again later.
	ErrOverloaded = errors.New("raft: overloaded")

	// ErrTooLarge: the command is larger than Config.MaxEntryBytes. Nothing
	// was taken.
	ErrTooLarge = errors.New("raft: command too large")

	// ErrNotLeader: this replica does not lead. See NotLeaderError.
	ErrNotLeader = errors.New("raft: not the leader")

	// ErrClosed: the node, storage or transport is closed. Nothing was
	// taken, unless ErrOutcomeUnknown stands beside it.
	ErrClosed = errors.New("raft: closed")

	// ErrStopped: the replica has stopped because its storage or its state
	// machine failed; the error that is wrapped beside it says why.
	ErrStopped = errors.New("raft: replica stopped")

	// ErrTransferring: the leader is handing leadership over, or is about
	// to end. Nothing was taken; another leader will soon, or this one again.
	ErrTransferring = errors.New("raft: leadership is being transferred")

	// ErrChangePending: another change of the membership is under way, or
	// may be as far as a new leader knows. Nothing was changed.
	ErrChangePending = errors.New("raft: another membership change is under way")

	// ErrRemoved: this node was removed from the group.
	ErrRemoved = errors.New("raft: removed from the group")

	// ErrDamaged: data is not what was proposed, its checksum says so. It is
	// beside ErrNotCommitted for a proposal that was refused for it, and beside
	// ErrStopped, as a DamagedEntryError, where an entry was about to be applied.
	ErrDamaged = errors.New("raft: data does not match its checksum")

	// ErrDiverged: this replica's state machine is in another state than those
	// of the others, see DivergedError.
	ErrDiverged = errors.New("raft: state machine has diverged")

	// ErrCompacted: the log does not reach back so far.
	ErrCompacted = errors.New("raft: log entries have been compacted")

	// ErrNoSnapshot: the storage holds no snapshot.
	ErrNoSnapshot = errors.New("raft: no snapshot")

	// ErrMalformed: a message breaks the protocol's rules. It was ignored.
	ErrMalformed = errors.New("raft: malformed message")
)

// NotLeaderError says who leads instead. It is an ErrNotLeader.
type NotLeaderError struct {
	Leader  NodeID // 0: unknown
	Address string // of the leader, if known
}

func (e *NotLeaderError) Error() string {
	if e.Leader == 0 {
		return "raft: not the leader, and no leader is known"
	}
	return fmt.Sprintf("raft: not the leader, which is node %d at %q", e.Leader, e.Address)
}

// Is reports that a NotLeaderError is an ErrNotLeader.
func (e *NotLeaderError) Is(target error) bool { return target == ErrNotLeader }

// ConfigError names the wrong field of a configuration.
type ConfigError struct {
	Field  string
	Reason string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("raft: config: %s: %s", e.Field, e.Reason)
}

// IdentityError says that a storage belongs to another node or cluster than
// the one that opens it.
type IdentityError struct {
	Stored, Given Identity
}

func (e *IdentityError) Error() string {
	return fmt.Sprintf("raft: storage belongs to node %d of cluster %q, not to node %d of cluster %q",
		e.Stored.Node, e.Stored.Cluster, e.Given.Node, e.Given.Cluster)
}

// DamagedEntryError says that an entry was about to be applied whose data is not
// what was proposed: it has changed on the way, in memory or where no other
// checksum covers it. The replica has stopped, and has applied neither it nor
// those that came to be applied with it. It is an ErrDamaged.
//
// If memory alone was damaged, the node goes on where it is started again. If it
// stops at the same entry, so is its log, and it is to be replaced by a node with
// an empty storage.
type DamagedEntryError struct {
	Index Index
	Term  Term
}

func (e *DamagedEntryError) Error() string {
	return fmt.Sprintf("raft: entry %d of term %d is not what was proposed: its data does not match its checksum", e.Index, e.Term)
}

// Is reports that a DamagedEntryError is an ErrDamaged.
func (e *DamagedEntryError) Is(target error) bool { return target == ErrDamaged }

// errDamagedProposal is how a proposal ends that its leader finds damaged.
var errDamagedProposal = fmt.Errorf("%w: %w", ErrNotCommitted, ErrDamaged)

// AheadError says that a state machine that is durable by itself has applied
// entries that its storage does not hold. No entry is applied before it is
// durable, so the storage has lost what it had made durable, or is another
// one's. To go on would be to take other entries for those that were applied.
//
// Such a node has lost its disk: take away what is left of both, the storage
// and the state machine, and start it again, empty and without Bootstrap.
type AheadError struct {
	Applied Index // what the state machine's LastApplied says
	Last    Index // the last entry that the storage holds
}

func (e *AheadError) Error() string {
	return fmt.Sprintf("raft: the state machine has applied entry %d, and the storage has lost what lies above %d", e.Applied, e.Last)
}

// IndexRange is the entries First to Last of a group, both included.
type IndexRange struct {
	Group       GroupID
	First, Last Index
}

// CorruptError says that acknowledged data is damaged. The storage refuses to
// use what is left of it, since a shorter log would look like a correct one.
type CorruptError struct {
	File   string
	Offset int64
	// Groups whose data the damage may concern, with the indexes that are
	// missing or damaged as far as they are known (Last 0: unknown).
	Ranges []IndexRange
	Reason string
	// Remedy says what can still be done. It may be empty.
	Remedy string
}

func (e *CorruptError) Error() string {
	s := fmt.Sprintf("raft: storage is corrupt: %s at offset %d: %s (groups and indexes: %v)", e.File, e.Offset, e.Reason, e.Ranges)
	if e.Remedy != "" {
		s += "; " + e.Remedy
	}
	return s
}

func tooLarge(size, limit int) error {
	return fmt.Errorf("%w: %d bytes, more than %d", ErrTooLarge, size, limit)
}

package bridge

import "github.com/seed-6281cb22/raft/raftpb"

// Role is raft.Role, by number.
type Role uint8

// The roles, as package raft numbers them.
const (
	Follower Role = iota
	PreCandidate
	Candidate
	Leader
)

// PeerState is how a leader sends entries to a peer.
type PeerState uint8

// The states, as package raft numbers them.
const (
	Probing PeerState = iota
	Replicating
	SendingSnapshot
)

// View is what the checks of invariants, and a reader of a transcript, want to
// know of a core between two inputs. It is a copy, except for Membership.
type View struct {
	ID      raftpb.NodeID
	Stopped bool // for good: a write has failed

	// Times are nanoseconds of the host's clock, as raft.Instant has them.
	Now, Deadline int64

	Role             Role
	Term             raftpb.Term
	Vote             raftpb.NodeID
	Leader           raftpb.NodeID
	Unmarked         bool
	HardStateDurable bool // term, vote and mark are durable as they are

	Commit, Applied raftpb.Index
	Base            raftpb.Index // the highest index that is compacted
	Last            raftpb.Index
	LastTerm        raftpb.Term // of the entry at Last
	SnapshotIndex   raftpb.Index
	SnapshotTerm    raftpb.Term
	Durable         raftpb.Index // as the core believes

	// Verified is the highest index that a follower knows to be the same in
	// the log of its leader of this term; Acknowledged the highest one that
	// it has acknowledged in this term.
	Verified, Acknowledged raftpb.Index

	WindowFirst      raftpb.Index // the first entry in memory
	WindowBytes      int          // all entries in memory
	UncommittedBytes int          // a leader's account of its term's
	Held             int          // messages that wait for a write
	InFlightWrites   int
	PendingReads     int

	// Limits are the configured bounds.
	MaxEntryBytes, MaxMessageBytes, MaxWindowBytes, MaxUncommittedBytes, MaxApplyBytes int
	MaxInFlight, MaxPendingReads                                                       int

	// Membership is the one in force, that of the entry at MembershipIndex.
	// It is shared: do not change it.
	Membership      *raftpb.Membership
	MembershipIndex raftpb.Index
	// Committed is the newest one that is known to be committed, that of the
	// entry at CommittedIndex. It is shared, too.
	Committed      *raftpb.Membership
	CommittedIndex raftpb.Index
	Removed        bool // it has been told that it is no member any more

	First raftpb.Index // a leader's first entry of its term
	Round uint64       // a leader's, or the highest one that a follower heard
	Peers []Peer       // the other members, ordered by id
}

// Peer is what a core knows of another member. All but the first line is of
// use on a leader only.
type Peer struct {
	ID              raftpb.NodeID
	Voter, Outgoing bool
	Marked          bool
	State           PeerState
	Match, Next     raftpb.Index
	Verified        raftpb.Index
	Round           uint64 // the highest one that it has echoed
	Window          uint64 // bytes that it can take, as far as it has told
	InFlight        int    // AppendEntries with entries on the way
	InFlightBytes   uint64
}

// Inspect fills v, whose slices it reuses, with the state of core, a
// *raft.Raft.
var Inspect func(core any, v *View)

// Leased reports whether a lease read that took no time would be served by
// core, a *raft.Raft, now.
var Leased func(core any) bool

// TermAt returns the term of the entry at an index of the log of core, a
// *raft.Raft, and whether the core knows it.
var TermAt func(core any, i raftpb.Index) (raftpb.Term, bool)

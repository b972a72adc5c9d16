package raft

import "fmt"

// Status is a replica's state at one moment.
type Status struct {
	ID       NodeID
	Group    GroupID
	Role     Role
	Term     Term
	Leader   NodeID // 0: unknown
	Commit   Index  // the highest index known to be committed
	Applied  Index  // the highest index applied
	Durable  Index  // the highest index durable here
	First    Index  // of the log's entries
	Last     Index
	Snapshot Index // the newest snapshot's index, 0: none
	Marked   bool  // see "Marked storage" in the package documentation
	Removed  bool  // see ErrRemoved
	// Membership is the one in force. It is shared; do not change it.
	Membership Membership
	// Ignored counts messages that were malformed, stale or from strangers.
	Ignored uint64
}

// PeerState is how a leader sends entries to another member.
type PeerState uint8

const (
	// PeerProbing: where the logs agree is not known yet, or messages were
	// lost; one message at a time.
	PeerProbing PeerState = iota
	// PeerReplicating: entries are sent as they come, before earlier ones are
	// acknowledged (dissertation §10.2.1, pipelining).
	PeerReplicating
	// PeerSnapshot: the peer needs entries that the log no longer holds, and
	// is sent a snapshot.
	PeerSnapshot
)

// String returns the state's name.
func (s PeerState) String() string {
	switch s {
	case PeerProbing:
		return "probing"
	case PeerReplicating:
		return "replicating"
	case PeerSnapshot:
		return "snapshot"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

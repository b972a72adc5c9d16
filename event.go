package raft

// EventKind says what an Event reports.
type EventKind uint8

const (
	EventRole           EventKind = iota + 1 // Role, Term or Leader changed
	EventMembership                          // a membership took effect, at Index
	EventIgnored                             // a message from Peer was ignored, for Reason
	EventMarked                              // this replica's storage became marked, or lost its mark
	EventSnapshot                            // a snapshot from the leader, of Index, was accepted
	EventRemoved                             // this replica is no member any more, by the membership at Index
	EventFarewell                            // Peer, removed, is being told, or is not any more
	EventTransfer                            // this leader begins to hand over to Peer
	EventTransferFailed                      // it goes on leading instead
)

// Event is something that happened in a replica and that somebody who watches
// it may want to know.
type Event struct {
	Kind   EventKind
	Term   Term
	Role   Role
	Leader NodeID
	Peer   NodeID
	Index  Index
	Reason string
}

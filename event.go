package raft

import (
	"fmt"
	"strings"
	"time"
)

// EventKind says what an Event reports. Numbers and names (see String) are
// stable: a kind is never given to something else.
type EventKind uint8

// What happens to a replica. The fields named in brackets are set beside Term,
// Role and Leader. Those of the first and the last block come from the core, also
// in Ready.Events; the others from a running Node.
const (
	EventRole             EventKind = iota + 1 // Role, Term or Leader changed
	EventMembership                            // a membership took effect, appended but perhaps not committed [Index: of its entry]
	EventIgnored                               // a message was malformed, stale or from a stranger, and ignored [Peer, Reason]
	EventMarked                                // this replica's storage is marked from now on, see "Marked storage" in the package documentation
	EventUnmarked                              // its mark is gone
	EventPeerState                             // how this leader sends entries to a peer changed [Peer, State, Index: the highest one known to be durable there]
	EventPeerLost                              // this leader has not heard from a peer for an election timeout [Peer]
	EventPeerBack                              // it hears from it again [Peer]
	EventCommitStalled                         // this leader's entries wait, and none has been committed for an election timeout [Index: the commit index]
	EventCommitResumed                         // one has been, or the log is committed to its end [Index: the commit index]
	EventTransferBegun                         // this leader begins to hand over [Peer: to whom]
	EventTransferFailed                        // and goes on leading instead [Peer]; a success is an EventRole
	EventFarewellBegun                         // a member was removed, and this leader begins to tell it so [Peer]
	EventFarewellEnded                         // it knows, or this leader tells it no longer [Peer]
	EventRemoved                               // this replica is no member any more [Index: of the membership as it knows it]
	EventSteppedDown                           // this leader gives up leading, since it has not heard from a quorum, or its disk has not finished a write while others do, for an election timeout [Reason]
	EventSnapshotAccepted                      // the leader's snapshot replaces this replica's log [Index]

	EventSnapshotTaken       // a snapshot of the state machine is in the storage [Index]
	EventSnapshotNotTaken    // taking one failed; the log is kept, and the next is due after as much again [Index, Err]
	EventSnapshotReceiving   // the data of the leader's snapshot begins to arrive [Peer, Index]
	EventSnapshotNotReceived // it did not arrive, or was declined; the leader tries again [Peer, Index, Err]
	EventSnapshotRestored    // the state machine has been restored from a snapshot [Index]
	EventSnapshotSending     // a snapshot is being sent to a peer that lacks what the log no longer holds [Peer]
	EventSnapshotSent        // the peer has accepted it [Peer, Index]
	EventSnapshotNotSent     // it did not get there; it is sent again when the peer is heard from [Peer, Index, Err]
	EventLogNotCompacted     // the storage could not free what a snapshot covers [Index: up to where, Err]
	EventOverloadBegun       // a proposal was refused with ErrOverloaded, the first since the last EventOverloadEnded
	EventOverloadEnded       // half of the room for proposals is free again [Count: of the refused ones]
	EventDiskSlow            // a write has been under way for half an election timeout [Duration]
	EventDiskRecovered       // no write has been for so long any more
	EventApplySlow           // StateMachine.Apply or Snapshot has taken half an election timeout, and goes on [Duration]
	EventApplyRecovered      // it has returned
	EventEnded               // the replica has ended; the last event [Err: as Node.Err]
	EventsLost               // events were not delivered, since Config.OnEvent was too slow [Count]
	EventDiverged            // a node's state machine is in another state than those of a majority of the voters, or of two voters nobody knows which [Peer: that node, Index: after which entry, Reason]

	EventCommitDeferred      // this new leader commits nothing yet, since a lease of an earlier leader's may last, see SetLease [Index: the commit index, Duration: for how long at most]
	EventCommitDeferralEnded // no such lease is left, and it commits [Index: the commit index, Duration: for how long it did not]
)

// eventNames are what String returns, by number.
var eventNames = [...]string{
	EventRole:                "role",
	EventMembership:          "membership",
	EventIgnored:             "message ignored",
	EventMarked:              "storage marked",
	EventUnmarked:            "storage unmarked",
	EventPeerState:           "peer state",
	EventPeerLost:            "peer lost",
	EventPeerBack:            "peer back",
	EventCommitStalled:       "commit stalled",
	EventCommitResumed:       "commit resumed",
	EventTransferBegun:       "transfer begun",
	EventTransferFailed:      "transfer failed",
	EventFarewellBegun:       "farewell begun",
	EventFarewellEnded:       "farewell ended",
	EventRemoved:             "removed",
	EventSteppedDown:         "stepped down",
	EventSnapshotAccepted:    "snapshot accepted",
	EventSnapshotTaken:       "snapshot taken",
	EventSnapshotNotTaken:    "snapshot not taken",
	EventSnapshotReceiving:   "snapshot receiving",
	EventSnapshotNotReceived: "snapshot not received",
	EventSnapshotRestored:    "snapshot restored",
	EventSnapshotSending:     "snapshot sending",
	EventSnapshotSent:        "snapshot sent",
	EventSnapshotNotSent:     "snapshot not sent",
	EventLogNotCompacted:     "log not compacted",
	EventOverloadBegun:       "overload begun",
	EventOverloadEnded:       "overload ended",
	EventDiskSlow:            "disk slow",
	EventDiskRecovered:       "disk recovered",
	EventApplySlow:           "apply slow",
	EventApplyRecovered:      "apply recovered",
	EventEnded:               "ended",
	EventsLost:               "events lost",
	EventDiverged:            "state machine diverged",
	EventCommitDeferred:      "commit deferred",
	EventCommitDeferralEnded: "commit deferral ended",
}

// String returns the kind's name, such as "peer lost".
func (k EventKind) String() string {
	if k == 0 || int(k) >= len(eventNames) {
		return fmt.Sprintf("event %d", uint8(k))
	}
	return eventNames[k]
}

// Event is something that happened in a replica and that somebody who watches
// it may want to know. All that is observable is an Event, once: logs, metrics
// and traces are made of them.
type Event struct {
	Kind EventKind

	// Term, Role and Leader are this replica's when it happened. Leader is 0
	// where it is not known.
	Term   Term
	Role   Role
	Leader NodeID

	// What Kind says, see there. The others are zero.
	Peer     NodeID
	Index    Index
	State    PeerState
	Count    uint64
	Duration time.Duration
	Reason   string
	Err      error
}

// String returns the event in one line, for people.
func (e Event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: %v of term %d", e.Kind, e.Role, e.Term)
	if e.Leader != 0 {
		fmt.Fprintf(&b, ", leader %d", e.Leader)
	}
	if e.Peer != 0 {
		fmt.Fprintf(&b, ", peer %d", e.Peer)
	}
	if e.Kind == EventPeerState {
		fmt.Fprintf(&b, " %v", e.State)
	}
	if e.Index != 0 {
		fmt.Fprintf(&b, ", index %d", e.Index)
	}
	if e.Count != 0 {
		fmt.Fprintf(&b, ", count %d", e.Count)
	}
	if e.Duration != 0 {
		fmt.Fprintf(&b, ", for %v", e.Duration)
	}
	if e.Reason != "" {
		fmt.Fprintf(&b, ", %s", e.Reason)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ", %v", e.Err)
	}
	return b.String()
}

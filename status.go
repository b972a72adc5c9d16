package raft

import (
	"fmt"
	"time"
)

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
	// Changing: a change of the membership is under way. It waits for its
	// commit, for learners that are to vote, or for the end of the joint
	// membership.
	Changing bool
	// Ignored counts messages that were malformed, stale or from strangers.
	Ignored uint64

	// Of a leader only; elsewhere they are zero.

	// TransferTo is to whom leadership is being transferred, 0: nobody.
	TransferTo NodeID
	// Uncommitted is the size in bytes, 64 per entry included, of this term's
	// entries, its first one aside, that are not committed yet or not durable
	// here. Config.MaxUncommittedBytes bounds it.
	Uncommitted int
	// CommitDeferred is for how much longer, at most, this leader commits
	// nothing since a lease of an earlier leader's may last (see SetLease);
	// 0: it commits. Proposals and reads wait meanwhile, and it ends by itself.
	CommitDeferred time.Duration
	// Peers are the other members, ordered by ID, as this leader sees them.
	// The slice is the caller's.
	Peers []PeerStatus
}

// PeerStatus is what a leader knows of another member.
type PeerStatus struct {
	ID    NodeID
	State PeerState
	// Voter and Outgoing are as in the membership in force; who is neither
	// is a learner.
	Voter    bool
	Outgoing bool
	// Marked: its storage is marked, and it counts in no quorum.
	Marked bool

	Match    Index // all up to here is durable there and the same as here
	Verified Index // all up to here has been received there, durable or not
	Next     Index // the next entry to send
	// Lag is by how many entries Match is behind the leader's log.
	Lag uint64

	// InFlight is how many messages with entries are on the way and not
	// received there as far as it has told; InFlightBytes is the size of
	// their entries. Window is how many bytes, overhead included, it can
	// take, as far as it has told.
	InFlight      int
	InFlightBytes uint64
	Window        uint64

	// LastContact is how long ago it was heard from, or, if it never was, how
	// long this leader has known it. It is as of the last input to the
	// replica, which is a heartbeat interval ago at most.
	LastContact time.Duration
}

// Status returns the state, as of the last input.
func (r *Raft) Status() Status {
	s := Status{
		ID:         r.cfg.ID,
		Group:      r.cfg.Group,
		Role:       r.role,
		Term:       r.term,
		Leader:     r.leader,
		Commit:     r.commit,
		Applied:    r.applied,
		Durable:    r.durable(),
		First:      r.log.base + 1,
		Last:       r.log.last,
		Snapshot:   r.log.snapshot.index,
		Marked:     !r.unmarked,
		Removed:    r.members.removed,
		Membership: r.members.latest().Membership,
		Changing:   r.changePending(),
		Ignored:    r.ignored,
	}
	if r.role == Leader {
		s.TransferTo, s.Uncommitted = r.leading.transferee, r.uncommitted()
		s.CommitDeferred = r.commitDeferred()
		s.Peers = make([]PeerStatus, len(r.peers))
		for i := range r.peers {
			s.Peers[i] = r.peerStatus(&r.peers[i])
		}
	}
	return s
}

func (r *Raft) peerStatus(p *progress) PeerStatus {
	return PeerStatus{
		ID: p.id, State: p.state, Voter: p.voter, Outgoing: p.outgoing, Marked: p.marked,
		Match: p.match, Verified: p.verified, Next: p.next, Lag: uint64(r.log.last - p.match),
		InFlight: len(p.inFlight), InFlightBytes: p.bytes, Window: p.window,
		LastContact: time.Duration(r.now - p.contact),
	}
}

// changePending reports whether a change of the membership is under way.
func (r *Raft) changePending() bool {
	latest := r.members.latest()
	return latest.Index > r.commit || isJoint(&latest.Membership) || hasIntent(&latest.Membership)
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

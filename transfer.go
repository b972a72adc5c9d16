package raft

import "github.com/seed-6281cb22/raft/raftpb"

// Leadership transfer (dissertation §3.10): the leader stops taking proposals,
// lets the target catch up, and tells it to campaign at once.

// TransferLeadership begins to hand leadership over to a voter, or with 0 to
// the one that is furthest. Until it ends, within an election timeout, Propose
// and ChangeMembership return ErrTransferring. It ends with another leader, or
// with an EventTransferFailed: when the time is over, or when the target cannot
// lead any more; then this replica goes on.
//
// Errors: ErrNotLeader; ErrTransferring when another target is being tried; a
// *MembershipError when there is no such voter, or its storage is marked;
// ErrStopped.
func (r *Raft) TransferLeadership(now Instant, to NodeID) error {
	r.advance(now)
	l := r.leading
	switch {
	case r.err != nil:
		return r.err
	case r.role != Leader:
		return r.notLeader()
	case to == r.cfg.ID:
		return &MembershipError{to, "leads already"}
	case l.transferee != 0 && (to == 0 || to == l.transferee):
		return nil
	case l.transferee != 0:
		return ErrTransferring
	}
	p := r.successor(to)
	switch {
	case p == nil && to == 0:
		return &MembershipError{Reason: "no other voter could lead"}
	case p == nil:
		return &MembershipError{to, "is not a voter that could lead"}
	}
	l.transferee, l.transferUntil = p.id, r.now.Add(r.cfg.ElectionTimeout)
	p.notify = true
	r.event(Event{Kind: EventTransferBegun, Peer: p.id})
	return nil
}

// successor returns the voter with that id, or, for 0, the one that is furthest,
// of several the one of the highest priority.
func (r *Raft) successor(id NodeID) *progress {
	var best *progress
	for i := range r.peers {
		p := &r.peers[i]
		if !p.voter || p.marked || id != 0 && p.id != id {
			continue
		}
		if best == nil || p.match > best.match || p.match == best.match && p.priority > best.priority {
			best = p
		}
	}
	return best
}

// handOver tells the target to campaign once it holds the whole log. From then
// on nothing is appended until the transfer ends, else the target would lose for
// want of it.
func (r *Raft) handOver() {
	l := r.leading
	if l.transferee == 0 || l.handedOver {
		return
	}
	if p := r.peer(l.transferee); p != nil && p.match == r.log.last {
		l.handedOver = true
		r.send(&Message{Type: raftpb.TimeoutNow, To: p.id})
	}
}

// handOverAgain is part of every heartbeat: what was sent may have been lost.
func (r *Raft) handOverAgain() {
	if l := r.leading; l.handedOver {
		r.send(&Message{Type: raftpb.TimeoutNow, To: l.transferee})
	}
}

// transferFailed ends a transfer without another leader.
func (r *Raft) transferFailed() {
	l := r.leading
	r.event(Event{Kind: EventTransferFailed, Peer: l.transferee})
	l.transferee, l.transferUntil, l.handedOver = 0, 0, false
}

// checkTransfer gives a transfer up whose time is over, or whose target is no
// voter any more (scenario E6).
func (r *Raft) checkTransfer() {
	l := r.leading
	if l.transferee != 0 && (r.now >= l.transferUntil || r.successor(l.transferee) == nil) {
		r.transferFailed()
	}
}

// transferDeadline is when checkTransfer is next needed.
func (r *Raft) transferDeadline() Instant {
	if r.leading.transferee == 0 {
		return Never
	}
	return r.leading.transferUntil
}

// resign makes a leader that is no voter any more a follower, and has the best
// of the voters campaign at once, so that nobody waits for an election timeout.
func (r *Raft) resign() {
	if p := r.successor(0); p != nil {
		r.send(&Message{Type: raftpb.TimeoutNow, To: p.id})
	}
	r.leading.round++
	r.bidFarewell()
	r.becomeFollower(r.term, 0)
	if !isMember(&r.members.latest().Membership, r.cfg.ID) {
		r.noteRemoval()
	}
}

// handleTimeoutNow: the leader asks for an election at once, without a pre-vote,
// which its other followers would refuse.
func (r *Raft) handleTimeoutNow(m *Message) {
	if r.role == Leader || r.leader != m.From || !r.mayCampaign() || !r.unmarked {
		r.ignore(m, "cannot campaign for this leader")
		return
	}
	r.campaign()
}

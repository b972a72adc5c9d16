package raft

import "time"

// What a leader watches for those who watch it. It decides nothing: who asks for
// no Events pays nothing for it.

// peerReport is what has been reported of a peer.
type peerReport struct {
	state PeerState
	lost  bool
}

// commitWatch finds out that commits have stalled.
type commitWatch struct {
	commit  Index   // the commit index …
	since   Instant // … since when, while entries wait
	stalled bool    // it has been reported

	deferred bool    // it has been reported that commits are …
	from     Instant // … from then on
}

// watch is part of every Ready of a leader: it reports what has changed since
// the last one.
func (r *Raft) watch() {
	for i := range r.peers {
		p := &r.peers[i]
		if p.state != p.told.state {
			p.told.state = p.state
			r.event(Event{Kind: EventPeerState, Peer: p.id, State: p.state, Index: p.match})
		}
		if lost := r.now >= p.contact.Add(r.cfg.ElectionTimeout); lost != p.told.lost {
			p.told.lost = lost
			kind := EventPeerBack
			if lost {
				kind = EventPeerLost
			}
			r.event(Event{Kind: kind, Peer: p.id})
		}
	}
	r.watchDeferral()
	r.watchCommit()
}

// Why a leader gives up leading by itself.
const (
	reasonNoQuorum    = "no quorum was heard from for an election timeout"
	reasonDiskStalled = "a write has not ended for an election timeout, and others write"
)

func (r *Raft) reportStepDown() {
	reason := reasonNoQuorum
	if r.now >= r.blocking() {
		reason = reasonDiskStalled
	}
	r.event(Event{Kind: EventSteppedDown, Reason: reason})
}

func (r *Raft) watchCommit() {
	w := &r.leading.watched
	switch {
	case r.commit > w.commit || r.commit == r.log.last:
		if w.stalled {
			r.event(Event{Kind: EventCommitResumed, Index: r.commit})
		}
		w.commit, w.since, w.stalled = r.commit, r.now, false
	case !w.stalled && r.now >= w.since.Add(r.cfg.ElectionTimeout):
		w.stalled = true
		r.event(Event{Kind: EventCommitStalled, Index: r.commit, Duration: time.Duration(r.now - w.since)})
	}
}

// watchDeferral reports that this leader commits nothing for a while, since a
// lease of an earlier leader's may last.
func (r *Raft) watchDeferral() {
	w := &r.leading.watched
	deferred := r.leading.deferral.lease != 0
	switch {
	case deferred == w.deferred:
		return
	case deferred:
		w.from = r.now
		r.event(Event{Kind: EventCommitDeferred, Index: r.commit, Duration: r.commitDeferred()})
	default:
		r.event(Event{Kind: EventCommitDeferralEnded, Index: r.commit, Duration: time.Duration(r.now - w.from)})
	}
	w.deferred = deferred
}

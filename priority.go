package raft

import "time"

// Election priority: a wish of the operator's, replicated in the membership,
// where leaders should be. It changes nothing about who may lead, so nothing
// about safety. A leader hands over to a voter that should rather lead, by a
// transfer like any other; and who should not lead waits a little longer before
// it campaigns, so that the other one usually is the first.

const (
	// patience is for how many election timeouts a voter of higher priority
	// must have been fit to lead before leadership is handed to it, and how
	// many are between the first two attempts.
	patience = 4
	// maxYieldBackoff bounds how often that time doubles.
	maxYieldBackoff = 6
)

// yielding is where a leader stands with handing over to who should lead.
type yielding struct {
	to        NodeID  // who has been fit to lead, 0: nobody is …
	since     Instant // … since then
	notBefore Instant // of the next attempt
	attempts  uint8   // in this term
}

// preferred returns the voter of the highest priority above this leader's that
// is fit to lead: it is heard from, its storage is not marked, and it holds all
// that is committed. Nil: there is none.
func (r *Raft) preferred() *progress {
	var best *progress
	for i := range r.peers {
		p := &r.peers[i]
		fit := p.voter && !p.marked && p.priority > r.members.selfPriority && p.state == replicating &&
			p.match >= r.commit && r.now < p.contact.Add(r.cfg.ElectionTimeout)
		if fit && (best == nil || p.priority > best.priority) {
			best = p
		}
	}
	return best
}

// yield is part of every heartbeat: it begins to hand over to who should lead.
// Each attempt waits twice as long as the one before it.
func (r *Raft) yield() {
	l := r.leading
	y, p := &l.yielding, r.preferred()
	switch {
	case p == nil:
		y.to = 0
		return
	case p.id != y.to:
		y.to, y.since = p.id, r.now
	}
	wait := patience * r.cfg.ElectionTimeout
	if r.now < max(y.since.Add(wait), y.notBefore) || l.transferee != 0 || l.resigning || r.members.changing {
		return
	}
	y.notBefore = r.now.Add(wait << y.attempts)
	y.attempts = min(y.attempts+1, maxYieldBackoff)
	_ = r.TransferLeadership(r.now, p.id) // it is fit: nothing speaks against it
}

// deference is how much longer this replica waits before it campaigns: half an
// election timeout if another voter, that is not the leader which may be gone,
// has a higher priority. So an election may be delayed by it, and is never
// prevented.
func (r *Raft) deference() time.Duration {
	for i := range r.peers {
		if p := &r.peers[i]; p.voter && p.id != r.leader && p.priority > r.members.selfPriority {
			return r.cfg.ElectionTimeout / 2
		}
	}
	return 0
}

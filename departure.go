package raft

import "slices"

// A removed member is told, or it would campaign for ever (scenario E10): its
// leader goes on sending it the log until it has acknowledged the commit of its
// removal, for a while. One that missed that, since it was cut off or since the
// leader died, asks for votes when it is back; the leader that hears of it sends
// it the log again. Pre-vote keeps it from disturbing anybody meanwhile.

// departure is a peer that is no member any more.
type departure struct {
	id      NodeID
	removal Index   // of the membership that lacks it
	round   uint64  // the first one in which it hears that this is committed, 0: none yet
	until   Instant // how long to try
}

const (
	// maxDepartures bounds those who are told at the same time.
	maxDepartures = 16
	// farewellTimeouts is for how many election timeouts each is told.
	farewellTimeouts = 20
)

// depart begins to tell a peer that it is no member. It must not be one, nor be
// told already.
func (r *Raft) depart(p progress) {
	r.departWith(p, departure{
		id: p.id, removal: r.members.latest().Index,
		until: r.now.Add(farewellTimeouts * r.cfg.ElectionTimeout),
	})
}

func (r *Raft) departWith(p progress, d departure) {
	if len(r.leading.departures) >= maxDepartures {
		return
	}
	p.voter, p.outgoing = false, false
	at, _ := slices.BinarySearchFunc(r.peers, p.id, func(p progress, id NodeID) int {
		if p.id < id {
			return -1
		}
		return 1
	})
	r.peers = slices.Insert(r.peers, at, p)
	r.leading.departures = append(r.leading.departures, d)
	r.event(Event{Kind: EventFarewell, Peer: p.id})
}

// syncDepartures follows a change of the membership, of which old were the peers:
// who is a member now does not depart, who has ceased to be one does.
func (r *Raft) syncDepartures(old []progress) {
	l := &r.leading
	departing := l.departures
	l.departures = nil
	for i := range old {
		p := old[i]
		if r.peer(p.id) != nil {
			continue
		}
		if k := slices.IndexFunc(departing, func(d departure) bool { return d.id == p.id }); k >= 0 {
			r.departWith(p, departing[k])
		} else {
			r.depart(p)
		}
	}
}

// departStranger is for a node that asks for votes and is no member.
func (r *Raft) departStranger(id NodeID) {
	if r.role != Leader || r.peer(id) != nil || r.members.latest().Index > r.commit {
		return
	}
	p := progress{id: id}
	p.reset(r.log.last+1, r.now)
	p.heartbeat = true
	r.depart(p)
}

// bidFarewell is part of every heartbeat, at the beginning of a round.
func (r *Raft) bidFarewell() {
	for i := range r.leading.departures {
		if d := &r.leading.departures[i]; d.round == 0 && r.commit >= d.removal {
			d.round = r.leading.round
		}
	}
	r.endDepartures(func(d *departure) bool { return r.now >= d.until })
}

// departed takes a reply of p's into account: it ends the departure of one who
// knows.
func (r *Raft) departed(p *progress, round uint64) {
	if len(r.leading.departures) == 0 {
		return
	}
	r.endDepartures(func(d *departure) bool {
		return d.id == p.id && d.round != 0 && round >= d.round && p.match >= d.removal
	})
}

// endDepartures forgets the peers whose departure is over.
func (r *Raft) endDepartures(over func(*departure) bool) {
	r.leading.departures = slices.DeleteFunc(r.leading.departures, func(d departure) bool {
		if !over(&d) {
			return false
		}
		r.peers = slices.DeleteFunc(r.peers, func(p progress) bool { return p.id == d.id })
		r.event(Event{Kind: EventFarewell, Peer: d.id})
		return true
	})
}

// noteRemoval is called when the commit index has become the leader's: then the
// membership that is known to be committed is no older than the one by which
// the leader knows this replica, or does not know it any more.
func (r *Raft) noteRemoval() {
	s := &r.members
	m := s.committed(r.commit)
	if m.Index == s.judged && s.judgedOnce {
		return
	}
	s.judged, s.judgedOnce = m.Index, true
	member := slices.ContainsFunc(m.Membership.Members, func(m Member) bool { return m.ID == r.cfg.ID })
	if s.was && !member {
		s.removed = true
		r.event(Event{Kind: EventRemoved, Index: m.Index})
	}
	s.was = s.was || member
}

// departing returns the peers that are being told that they are no members.
func (r *Raft) departing() []NodeID {
	var ids []NodeID
	for i := range r.leading.departures {
		ids = append(ids, r.leading.departures[i].id)
	}
	return ids
}

package raft

import (
	"slices"

	"github.com/seed-6281cb22/raft/raftpb"
)

// A removed member is told, or it would campaign for ever (scenario E10), in
// two ways.
//
// With every heartbeat its leader sends it a farewell, an AppendEntries that
// says that its receiver is no member, until it has answered one, or for a
// while. A farewell needs no log: it is not for the removed to know what became
// of the group. So who departs counts nowhere, receives no entries and no
// snapshot, and holds nothing back.
//
// One that missed this, since it was cut off or since the leader died, asks for
// votes when it is back, and hears of its removal from whomever it asks. Up to
// then it disturbs nobody: its log lacks its removal, which is committed, so
// nobody who has committed it votes for it, nor pre-votes.

// departure is of one that is no member any more.
type departure struct {
	id      NodeID
	removal Index   // of the membership that lacks it
	round   uint64  // of its first farewell, 0: none yet
	until   Instant // how long to try
}

const (
	// maxDepartures bounds those who are told at the same time.
	maxDepartures = 16
	// farewellTimeouts is for how many election timeouts each is told.
	farewellTimeouts = 20
)

// depart begins to tell id that it is no member.
func (r *Raft) depart(id NodeID) {
	l := r.leading
	if len(l.departures) < maxDepartures && !slices.ContainsFunc(l.departures, func(d departure) bool { return d.id == id }) {
		until := r.now.Add(farewellTimeouts * r.cfg.ElectionTimeout)
		l.departures = append(l.departures, departure{id: id, removal: r.members.latest().Index, until: until})
		r.event(Event{Kind: EventFarewellBegun, Peer: id})
	}
}

// syncDepartures follows a change of the membership, of which old were the
// peers: who has ceased to be one departs, who is one again does not.
func (r *Raft) syncDepartures(old []progress) {
	r.endDepartures(func(d *departure) bool { return r.peer(d.id) != nil })
	for i := range old {
		if id := old[i].id; r.peer(id) == nil {
			r.depart(id)
		}
	}
}

// removalOf returns the index of a committed membership that lacks the sender of
// a pre-vote, 0 if there is none that it has no later one of. It is no later
// than what is committed here if its log's last entry is not: of two logs that
// which is less up to date holds no committed entry that the other lacks. And
// to have become a voter it must have been a member in one that was committed,
// before; so it was removed, and not merely never added.
func (r *Raft) removalOf(m *Message) Index {
	term, known := r.log.term(r.commit)
	if !known || term < m.LogTerm || term == m.LogTerm && r.commit < m.Index {
		return 0
	}
	in := r.members.committed(r.commit)
	if isMember(&in.Membership, m.From) || isMember(&r.members.latest().Membership, m.From) || in.Index > r.commit {
		return 0
	}
	return in.Index
}

// hearRemoval takes from the answer to a pre-vote that this replica was removed.
// The answer's term does not matter: what was committed is. It is an old one
// if this replica knows of a later membership, or follows a leader by now: to
// that it is a member, and may have been added again. (If that leader does not
// know of the removal, it will not last, and then this replica asks again.)
func (r *Raft) hearRemoval(m *Message) {
	if r.leader == 0 && m.Commit > r.members.committed(r.commit).Index && !r.members.removed && r.knowsItself() {
		r.noteRemoval()
	}
}

// bidFarewell is part of every heartbeat, right after its round has begun.
func (r *Raft) bidFarewell() {
	r.endDepartures(func(d *departure) bool { return r.now >= d.until })
	for i := range r.leading.departures {
		d := &r.leading.departures[i]
		if r.commit < d.removal {
			continue
		}
		if d.round == 0 {
			d.round = r.leading.round
		}
		r.send(&Message{Type: raftpb.AppendEntries, To: d.id, Reject: true, Round: r.leading.round})
	}
}

// departed takes an answer of one that is no member into account, and reports
// whether it was told.
func (r *Raft) departed(m *Message) bool {
	if r.role != Leader {
		return false
	}
	n := len(r.leading.departures)
	r.endDepartures(func(d *departure) bool { return d.id == m.From && d.round != 0 && m.Round >= d.round })
	return len(r.leading.departures) < n
}

func (r *Raft) endDepartures(over func(*departure) bool) {
	if len(r.leading.departures) == 0 {
		return
	}
	r.leading.departures = slices.DeleteFunc(r.leading.departures, func(d departure) bool {
		if !over(&d) {
			return false
		}
		r.event(Event{Kind: EventFarewellEnded, Peer: d.id})
		return true
	})
}

// hearMembership takes from an AppendEntries whether its leader knows this
// replica as a member. A farewell is believed if it comes in a round of its own,
// as it is sent: else one that was delayed could reach a node that has been
// added again. And nobody is removed that does not know of having been a
// member: a node that has been added again with empty storage.
func (r *Raft) hearMembership(m *Message) {
	f := &r.following
	switch {
	case !m.Reject && m.Round >= f.round:
		r.members.removed = false
	case m.Reject && m.Round > f.round && !r.members.removed && r.knowsItself():
		r.noteRemoval()
	}
}

// knowsItself reports whether this replica is a member as far as it knows.
func (r *Raft) knowsItself() bool {
	return isMember(&r.members.latest().Membership, r.cfg.ID) || isMember(&r.members.committed(r.commit).Membership, r.cfg.ID)
}

func isMember(m *Membership, id NodeID) bool {
	return slices.ContainsFunc(m.Members, func(member Member) bool { return member.ID == id })
}

// noteRemoval: this replica is no member any more, and does not campaign.
func (r *Raft) noteRemoval() {
	r.members.removed = true
	r.event(Event{Kind: EventRemoved, Index: r.members.latest().Index})
}

// departing returns those who are being told that they are no members.
func (r *Raft) departing() []NodeID {
	if r.role != Leader {
		return nil
	}
	var ids []NodeID
	for i := range r.leading.departures {
		ids = append(ids, r.leading.departures[i].id)
	}
	return ids
}

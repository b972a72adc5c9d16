package raft

import (
	"time"

	"github.com/seed-6281cb22/raft/raftpb"
)

// A follower's half of forwarding; replica_inbox.go has the leader's.
//
// A proposal gets its sequence number when it is first sent, and is meant for
// the leader of one term. The leader takes an origin's proposals in sequence
// order and answers with the index that it gave them, so a lost message shows
// as a gap, and everything behind the gap stays unanswered. What is unanswered
// is sent again, the lowest first, until it is answered or the term ends;
// after that the log alone decides (see replica_proposals.go).

// forwarding is where this replica stands with the leader of a term. The
// proposals meant for it have the sequence numbers from first on: a term's are
// contiguous, since all new ones go to its leader.
type forwarding struct {
	term     Term
	first    uint64        // the lowest one not answered
	sent     uint64        // the next one to send; the ones below are on their way
	bytes    int           // of data, on their way and unanswered
	resendAt Instant       // when to go back to first, if first < sent
	backoff  time.Duration // how long an answer may take; doubles as long as none comes
}

// forwardWindow is how many messages' worth may be on their way. What exceeds
// it waits without a sequence number, and ends definitely if it is given up.
const forwardWindow = 4

// enter begins a term. The data of the old one is sent to nobody any more.
func (f *forwarding) enter(term Term, p *proposals) {
	for s := f.first; s < p.next; s++ {
		if slot := p.at(s); slot != nil {
			f.answered(slot)
		}
	}
	*f = forwarding{term: term, first: p.next, sent: p.next}
}

// answered releases what was kept to send the proposal in slot again.
func (f *forwarding) answered(slot *pending) {
	if slot.sent {
		f.bytes -= len(slot.data)
	}
	slot.data, slot.unanswered, slot.sent = nil, false, false
}

// advance moves first to the lowest one not answered.
func (f *forwarding) advance(p *proposals) {
	for ; f.first < p.next; f.first++ {
		if slot := p.at(f.first); slot != nil && slot.unanswered {
			break
		}
	}
	f.sent = max(f.sent, f.first)
}

// goBack makes everything unanswered unsent.
func (f *forwarding) goBack(p *proposals) {
	for s := f.first; s < f.sent; s++ {
		if slot := p.at(s); slot != nil {
			slot.sent = false
		}
	}
	f.sent, f.bytes = f.first, 0
}

// forwardDeadline is when something is to be sent again.
func (r *replica) forwardDeadline() Instant {
	if f := &r.forward; f.first < f.sent && r.core.Leader() != 0 {
		return f.resendAt
	}
	return Never
}

// forwardTo sends proposals to the leader, if one is known.
func (r *replica) forwardTo(now Instant, leader NodeID) {
	f, p := &r.forward, &r.proposals
	f.advance(p)
	if leader == 0 {
		return
	}
	if f.first < f.sent && now >= f.resendAt {
		f.goBack(p)
		f.backoff = min(2*f.backoff, r.cfg.ElectionTimeout)
		f.resendAt = now.Add(f.backoff)
		r.sendForward(leader)
	}
	for f.bytes < forwardWindow*r.cfg.MaxMessageBytes {
		if f.sent == p.next && (p.waiting.empty() || f.first < f.sent && !r.mayRoute()) {
			return
		}
		if f.first == f.sent {
			f.backoff = r.cfg.HeartbeatInterval
			f.resendAt = now.Add(f.backoff)
		} else if f.backoff > r.cfg.HeartbeatInterval {
			return // nothing more before what was sent again is answered
		}
		r.sendForward(leader)
	}
}

// sendForward sends one message of unsent proposals, and of waiting ones, which
// thereby get their sequence numbers.
func (r *replica) sendForward(leader NodeID) {
	f, p := &r.forward, &r.proposals
	start, bytes := len(r.arena), 0
	take := func(slot *pending, sequence uint64) {
		bytes += len(slot.data)
		f.bytes += len(slot.data)
		slot.sent = true
		r.arena = append(r.arena, r.entry(slot.data, slot.checksum, sequence))
	}
	fits := func(data []byte) bool {
		return len(r.arena) == start || bytes+len(data) <= r.cfg.MaxMessageBytes
	}
	for ; f.sent < p.next; f.sent++ {
		slot := p.at(f.sent)
		if slot == nil || !slot.unanswered {
			continue // answered out of order
		}
		if !fits(slot.data) {
			break
		}
		take(slot, f.sent)
	}
	for f.sent == p.next && !p.waiting.empty() && fits(p.waiting.head.data) {
		waiting := p.waiting.head
		r.dequeue(waiting)
		slot := p.add(waiting, f.term, 0)
		slot.data, slot.checksum, slot.unanswered = waiting.data, waiting.checksum, true
		take(slot, f.sent)
		f.sent++
	}
	if len(r.arena) == start {
		return
	}
	r.outbox = append(r.outbox, Message{
		Type:    raftpb.Propose,
		Group:   r.cfg.Group,
		From:    r.cfg.ID,
		To:      leader,
		Term:    f.term,
		Context: f.first,
		Entries: r.arena[start:len(r.arena):len(r.arena)],
	})
}

// forwardAnswered takes the leader's answer to forwarded proposals. An answer
// of another term, from another node or to an earlier run says nothing.
func (r *replica) forwardAnswered(now Instant, m *Message) {
	f, p := &r.forward, &r.proposals
	if m.Term != f.term || m.Term != r.core.Term() || m.From != r.core.Leader() || m.Round != r.incarnation {
		return
	}
	if !m.Reject && (m.Index == 0 || m.Index > raftpb.MaxIndex) {
		return
	}
	for s := max(m.Context, f.first); s < f.sent && s-m.Context < uint64(m.Match); s++ {
		slot := p.at(s)
		if slot == nil || !slot.unanswered {
			continue
		}
		if m.Reject {
			r.resolve(now, slot, refused(len(slot.data), m.Window), -1)
			continue
		}
		f.answered(slot)
		slot.index = m.Index + Index(s-m.Context)
	}
	before := f.first
	f.advance(p)
	if f.first > before {
		f.backoff = r.cfg.HeartbeatInterval
		f.resendAt = now.Add(f.backoff)
	}
}

// refused is why a leader took none of size bytes: limit is the largest that
// it takes, or 0 if it has no room, or damaged.
func refused(size int, limit uint64) error {
	switch limit {
	case 0:
		return ErrOverloaded
	case damaged:
		return errDamagedProposal
	}
	return tooLarge(size, int(limit))
}

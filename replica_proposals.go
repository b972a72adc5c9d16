package raft

import "fmt"

// How a proposal ends.
//
// A proposal waits without a sequence number until it is given to a leader:
// admitted to this replica's own log, or forwarded. Until then it is in
// nobody's log, and whatever ends it is definite. From then on it is pending,
// and the log alone decides:
//
//   - It is met, by its origin, among the applied entries: a success.
//   - It was given to the leader of term T, which can only have put it into
//     the log in term T. Terms never decrease along a log. So once an entry of
//     a higher term is applied and the proposal has not been met, it is lost
//     for good, whether or not anyone ever told its index: ErrNotCommitted. An
//     entry that is merely appended says nothing (scenario H10).
//   - An installed snapshot skips entries, and the proposal may be among
//     them: ErrOutcomeUnknown.
//
// A proposal is never given to a second leader: the first may have kept it.
var (
	errLost    = fmt.Errorf("%w: a later leader's entry is committed instead", ErrNotCommitted)
	errSkipped = fmt.Errorf("%w: it may be among the entries that an installed snapshot covers", ErrOutcomeUnknown)
)

// proposalOverhead is what a proposal counts for beside its data.
const proposalOverhead = 128

// proposals are this replica's own that have not ended.
type proposals struct {
	waiting      futureList // not given to a leader yet
	waitingBytes int        // of data
	bytes        int        // what all of them count for, waiting and pending

	// The pending ones, by sequence number: a ring of 2^n slots.
	ring        []pending
	first, next uint64 // of all that are not free, first <= sequence < next
}

// pending is a proposal that was given to a leader.
type pending struct {
	future *future // nil: its caller has given up
	term   Term    // of the leader; 0: this slot is free
	index  Index   // in that leader's log, 0: not known
	size   int     // what it counts for

	// Of a forwarded one, see forwarding.
	data       []byte // while it may have to be sent again
	checksum   uint32 // of data
	unanswered bool
	sent       bool
}

// at returns the slot of a sequence number, nil if it has none.
func (p *proposals) at(sequence uint64) *pending {
	if sequence < p.first || sequence >= p.next {
		return nil
	}
	return &p.ring[sequence&uint64(len(p.ring)-1)]
}

// add gives the next sequence number to f, which has left the waiting list.
func (p *proposals) add(f *future, term Term, index Index) *pending {
	if p.next-p.first == uint64(len(p.ring)) {
		p.grow()
	}
	f.seq = p.next
	p.next++
	slot := p.at(f.seq)
	*slot = pending{future: f, term: term, index: index, size: len(f.data) + proposalOverhead}
	return slot
}

func (p *proposals) grow() {
	ring := make([]pending, max(16, 2*len(p.ring)))
	for s := p.first; s < p.next; s++ {
		ring[s&uint64(len(ring)-1)] = *p.at(s)
	}
	p.ring = ring
}

// free ends the pending proposal in slot, that of sequence.
func (p *proposals) free(slot *pending) {
	p.bytes -= slot.size
	*slot = pending{}
	for p.first < p.next && p.at(p.first).term == 0 {
		p.first++
	}
	if p.first == p.next && len(p.ring) > 4096 {
		p.ring = nil // what a burst needed is not kept
	}
}

// propose takes a proposal. An error refuses it.
func (r *replica) propose(now Instant, f *future) error {
	if err := r.refusal(); err != nil {
		return r.refuse(err)
	}
	if len(f.data) > r.cfg.MaxEntryBytes {
		return r.refuse(tooLarge(len(f.data), r.cfg.MaxEntryBytes))
	}
	p := &r.proposals
	size := len(f.data) + proposalOverhead
	if p.bytes > 0 && p.bytes+size > r.cfg.MaxPendingBytes {
		r.overload()
		return r.refuse(ErrOverloaded)
	}
	r.metrics.Proposals++
	f.began = now
	p.bytes += size
	p.waitingBytes += len(f.data)
	p.waiting.push(f)
	if r.core.Role() != Leader || r.mayRoute() {
		r.settle(now)
	}
	return nil
}

// abandon gives up a proposal whose caller does not wait any longer. It
// returns false if it has ended already: its end is in its channel, or soon
// will be. Otherwise err says what is known.
func (r *replica) abandon(f *future, cause error) (err error, ok bool) {
	p := &r.proposals
	if f.list != nil {
		r.dequeue(f)
		p.bytes -= len(f.data) + proposalOverhead
		r.metrics.ProposalsNotCommitted++
		return fmt.Errorf("%w: %w", ErrNotCommitted, cause), true
	}
	slot := p.at(f.seq)
	if slot == nil || slot.future != f {
		return nil, false
	}
	r.metrics.ProposalsUnknown++
	slot.future = nil // the slot stays: its sequence number is taken
	return fmt.Errorf("%w: %w", ErrOutcomeUnknown, cause), true
}

// dequeue takes a proposal off the waiting list.
func (r *replica) dequeue(f *future) {
	r.proposals.waiting.remove(f)
	r.proposals.waitingBytes -= len(f.data)
}

// resolve ends the pending proposal in slot.
func (r *replica) resolve(now Instant, slot *pending, err error, result int) {
	if slot.future != nil {
		r.countProposal(now, slot.future, err)
		r.fx.done = append(r.fx.done, completion{future: slot.future, err: err, result: result})
	}
	r.forward.answered(slot)
	r.proposals.free(slot)
}

// met resolves an own proposal that has been applied.
func (r *replica) met(now Instant, e *Entry, result int) {
	if e.Origin.Node != r.cfg.ID || e.Origin.Incarnation != r.incarnation {
		return
	}
	if slot := r.proposals.at(e.Origin.Sequence); slot != nil && slot.term == e.Term {
		r.resolve(now, slot, nil, result)
	}
}

// loseBefore resolves the pending proposals that were given to leaders of
// terms below term, of which an entry has just been met.
func (r *replica) loseBefore(now Instant, term Term) {
	p := &r.proposals
	for s := p.first; s < p.next; s++ {
		if slot := p.at(s); slot != nil && slot.term != 0 && slot.term < term {
			r.resolve(now, slot, errLost, -1)
		}
	}
}

// skipTo resolves the pending proposals that may be among the entries that a
// snapshot covers.
func (r *replica) skipTo(now Instant, snapshot *Snapshot) {
	p := &r.proposals
	for s := p.first; s < p.next; s++ {
		slot := p.at(s)
		switch {
		case slot == nil || slot.term == 0:
		case slot.term > snapshot.Term && slot.index != 0 && slot.index <= snapshot.Index:
			r.resolve(now, slot, errLost, -1) // an earlier term's entry is committed at its index
		case slot.term > snapshot.Term:
			// What its leader appended lies above the snapshot.
		case slot.term == snapshot.Term && slot.index > snapshot.Index:
		default:
			r.resolve(now, slot, errSkipped, -1)
		}
	}
}

// endProposals ends all of them when the replica ends.
func (r *replica) endProposals(cause error) {
	p := &r.proposals
	for f := p.waiting.head; f != nil; f = p.waiting.head {
		r.dequeue(f)
		r.metrics.ProposalsNotCommitted++
		r.complete(f, fmt.Errorf("%w: %w", ErrNotCommitted, cause))
	}
	for s := p.first; s < p.next; s++ {
		if slot := p.at(s); slot != nil && slot.term != 0 {
			r.resolve(0, slot, fmt.Errorf("%w: %w", ErrOutcomeUnknown, cause), -1)
		}
	}
	p.bytes = 0
}

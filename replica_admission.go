package raft

import "errors"

// Admission makes the batches. Proposals wait, on the leader's own waiting
// list or in the inbox of forwarded ones, and move on together when
//
//   - no write of this replica is in flight: the disk is idle, or
//   - all that was admitted has committed, so that a hung disk of the leader
//     does not gate a healthy quorum, or
//   - a message's worth of bytes waits.
//
// A follower forwards by the same rule, its writes are the group's, or when
// nothing that it has forwarded is unanswered: its disk may never be idle.
//
// Admitting each at once costs more than twice the CPU per proposal.
func (r *replica) mayRoute() bool {
	return !r.held && (r.durable == r.saved ||
		r.core.Commit() >= r.core.Last() ||
		r.proposals.waitingBytes+r.inbox.bytes >= r.cfg.MaxMessageBytes)
}

// hold makes proposals and reads wait when several calls end with the same
// input. Each of those who are answered may ask again at once, and the first of
// them would find an idle disk, or no read under way, and have all others wait
// for a batch of one. Whoever answers them calls release when they have had the
// time to ask.
func (r *replica) hold() { r.held = r.held || holds(r.fx) }

// holds reports whether a replica is held that has these effects.
func holds(fx *effects) bool { return len(fx.done) > 1 }

// release ends a hold.
func (r *replica) release(now Instant) {
	if r.held = false; r.ended == nil {
		r.settle(now)
	}
}

func (r *replica) proposalsWait() bool { return !r.proposals.waiting.empty() || !r.inbox.empty() }

// route moves waiting proposals to the leader, whoever that is.
func (r *replica) route(now Instant) {
	r.syncTerm()
	if r.core.Role() == Leader {
		if r.proposalsWait() {
			r.admit(now)
		}
		return
	}
	r.forwardTo(now, r.core.Leader())
}

// syncTerm forgets, when the term has changed, what was about the leader of the
// one before.
func (r *replica) syncTerm() {
	if term := r.core.Term(); term != r.forward.term {
		r.forward.enter(term, &r.proposals)
		r.inbox.clear() // never admitted, and meant for that term's leader only
		r.metrics.admissions = nil
	}
}

// admit moves what waits into the leader's log, a message's worth at a time.
// What the core has no room for goes on waiting; MaxPendingBytes bounds it.
func (r *replica) admit(now Instant) {
	for r.mayRoute() && r.inbox.full != r.settled() {
		forwarded, own := r.gather(r.cfg.MaxMessageBytes)
		if len(r.batch) == 0 {
			return
		}
		first, err := r.core.Propose(now, r.batch)
		r.batch = reuse(r.batch)
		if errors.Is(err, ErrOverloaded) {
			r.inbox.full = r.settled()
		}
		if err != nil {
			return
		}
		r.answerForwarded(r.inbox.take(forwarded), first)
		r.admitted(own, first+Index(forwarded))
		r.metrics.admitted(now, forwarded+own, r.core.Last())
	}
}

// settlement is what must change before a core that has refused more may take
// it. The zero settlement is none.
type settlement struct {
	commit  Index
	durable uint64
	applied Index
}

func (r *replica) settled() settlement {
	return settlement{r.core.Commit() + 1, r.durable, r.apply.index}
}

// gather puts entries of at most limit bytes of data, at least one entry, into
// r.batch, and returns how many are forwarded and how many this replica's own.
// The two kinds take turns at being first, so that neither starves.
func (r *replica) gather(limit int) (forwarded, own int) {
	r.inbox.turn = !r.inbox.turn
	half := limit
	if !r.proposals.waiting.empty() && r.inbox.turn {
		half = limit / 2
	}
	bytes := 0
	for _, e := range r.inbox.entries[r.inbox.head:] {
		if bytes += len(e.Data); bytes > half && len(r.batch) > 0 {
			bytes -= len(e.Data)
			break
		}
		r.batch = append(r.batch, e)
		forwarded++
	}
	sequence := r.proposals.next
	for f, next := r.proposals.waiting.head, (*future)(nil); f != nil; f = next {
		next = f.next
		e := r.entry(f.kind, f.data, f.checksum, sequence)
		if !e.Intact() {
			r.refuseDamaged(f)
			continue
		}
		if bytes += len(f.data); bytes > limit && len(r.batch) > 0 {
			break
		}
		r.batch = append(r.batch, e)
		sequence++
		own++
	}
	return forwarded, own
}

// refuseDamaged ends a waiting proposal whose data has changed since it was
// proposed. In the log it would stop every replica that applies it; from here
// on, what changes does so on one of them.
func (r *replica) refuseDamaged(f *future) {
	r.dequeue(f)
	r.proposals.bytes -= len(f.data) + proposalOverhead
	r.countProposal(0, f, errDamagedProposal)
	r.complete(f, errDamagedProposal)
}

// entry returns an entry of this replica's own.
func (r *replica) entry(kind EntryType, data []byte, checksum uint32, sequence uint64) Entry {
	e := Entry{Type: kind, Data: data, Checksum: checksum}
	e.Origin.Node, e.Origin.Incarnation, e.Origin.Sequence = r.cfg.ID, r.incarnation, sequence
	return e
}

// admitted records that the first n waiting proposals are in the log, from
// index first on.
func (r *replica) admitted(n int, first Index) {
	term := r.core.Term()
	for i := range n {
		f := r.proposals.waiting.head
		r.dequeue(f)
		r.proposals.add(f, term, first+Index(i))
	}
}

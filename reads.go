package raft

// Read barriers. All that wait while none is being confirmed share the next
// request to the core, so any number of them costs one round at a time. A
// request may be lost with a message or a leader; it is then made again, with
// an id that was never used, so that a late answer confirms nothing that was
// asked after it (scenario R2).

type reads struct {
	waiting futureList // for the next request
	asked   futureList // for the answer to request id
	asking  bool       // there is such a request
	id      uint64
	leader  NodeID // when it was made, or failed
	term    Term
	retryAt Instant // when to ask again, under the same leader

	confirmed []confirmedReads // wait for their index to be applied
}

type confirmedReads struct {
	index Index
	calls *futureList
}

// readBarrier takes a read barrier. An error refuses it.
func (r *replica) readBarrier(now Instant, f *future) error {
	if r.ended != nil {
		return r.ended
	}
	r.reads.waiting.push(f)
	r.moved = true
	if r.mayAskRead(now) {
		r.settle(now)
	}
	return nil
}

// abandonRead gives up a read barrier whose caller does not wait any longer.
// It returns false if it has ended already.
func (r *replica) abandonRead(f *future) bool {
	if f.list == nil {
		return false
	}
	f.list.remove(f)
	return true
}

// mayAskRead reports whether a request is to be made.
func (r *replica) mayAskRead(now Instant) bool {
	q := &r.reads
	leader := r.core.Leader()
	switch {
	case leader == 0 || q.waiting.empty() && q.asked.empty():
		return false
	case leader != q.leader || r.core.Term() != q.term:
		return true // whatever was asked of the one before is lost
	default:
		return now >= q.retryAt
	}
}

// askRead makes a request for all that wait, if it is time.
func (r *replica) askRead(now Instant) {
	if !r.mayAskRead(now) {
		return
	}
	q := &r.reads
	q.asked.append(&q.waiting)
	q.id++
	q.leader, q.term = r.core.Leader(), r.core.Term()
	err := r.core.ReadIndex(now, q.id)
	switch {
	case err != nil:
		r.askLater(now)
	case q.leader == r.cfg.ID:
		q.asking, q.retryAt = true, Never // nothing between us and the core can be lost
	default:
		q.asking, q.retryAt = true, now.Add(r.cfg.ElectionTimeout)
	}
}

// askLater is for a request that failed: not at once again, except of another
// leader.
func (r *replica) askLater(now Instant) {
	r.reads.asking = false
	r.reads.retryAt = now.Add(r.cfg.HeartbeatInterval)
}

// readAnswered takes the core's answer to a request.
func (r *replica) readAnswered(now Instant, answer ReadState) {
	q := &r.reads
	if !q.asking || answer.ID != q.id {
		return
	}
	if !answer.OK {
		r.askLater(now)
		return
	}
	q.asking, q.retryAt = false, now
	if answer.Index <= r.apply.index {
		r.completeReads(&q.asked)
		return
	}
	if !q.asked.empty() {
		calls := new(futureList)
		calls.append(&q.asked)
		q.confirmed = append(q.confirmed, confirmedReads{answer.Index, calls})
	}
}

// readsApplied ends the barriers whose index has been applied.
func (r *replica) readsApplied() {
	q := &r.reads
	kept := q.confirmed[:0]
	for _, c := range q.confirmed {
		if c.index <= r.apply.index {
			r.completeReads(c.calls)
		} else {
			kept = append(kept, c)
		}
	}
	clear(q.confirmed[len(kept):])
	q.confirmed = kept
}

func (r *replica) completeReads(calls *futureList) {
	for f := calls.pop(); f != nil; f = calls.pop() {
		r.complete(f, nil)
	}
}

// readDeadline is when to ask again.
func (r *replica) readDeadline() Instant {
	q := &r.reads
	if r.core.Leader() == 0 || q.waiting.empty() && q.asked.empty() {
		return Never
	}
	return q.retryAt
}

// endReads ends all of them when the replica ends.
func (r *replica) endReads(cause error) {
	q := &r.reads
	q.asked.append(&q.waiting)
	for _, c := range q.confirmed {
		q.asked.append(c.calls)
	}
	q.confirmed = nil
	for f := q.asked.pop(); f != nil; f = q.asked.pop() {
		r.complete(f, cause)
	}
}

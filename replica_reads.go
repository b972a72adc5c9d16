package raft

import "time"

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
	askedAt Instant // when the request was made
	retryAt Instant // when to ask, or ask again

	confirmed []confirmedReads // wait for their index to be applied

	// fresh: everything that was committed then has been applied here.
	fresh Instant
}

// confirmedReads wait for index to be applied. Then everything that was
// committed at since has been.
type confirmedReads struct {
	index Index
	since Instant
	calls *futureList
}

// longAgo is before every Instant of this process's.
const longAgo Instant = -1 << 62

// readBarrier takes a read barrier. An error refuses it.
func (r *replica) readBarrier(now Instant, f *future) error {
	if err := r.refusal(); err != nil {
		return err
	}
	r.metrics.Reads++
	f.began = now
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
	r.metrics.ReadsFailed++
	return true
}

// mayAskRead reports whether a request is to be made.
func (r *replica) mayAskRead(now Instant) bool { return now >= r.readDeadline() }

// readDeadline is when a request is to be made.
func (r *replica) readDeadline() Instant {
	q := &r.reads
	if r.held || r.core.Leader() == 0 || q.waiting.empty() && q.asked.empty() {
		return Never
	}
	return q.retryAt
}

// askRead makes a request for all that wait, if it is time.
func (r *replica) askRead(now Instant) {
	if !r.mayAskRead(now) {
		return
	}
	q := &r.reads
	q.asked.append(&q.waiting)
	q.askedAt = now
	q.id++
	switch err := r.core.ReadIndex(now, q.id); {
	case err != nil:
		r.askLater(now)
	case r.core.Leader() == r.cfg.ID:
		// Nothing between us and the core can be lost; it says so when it
		// ceases to lead.
		q.asking, q.retryAt = true, Never
	default:
		q.asking, q.retryAt = true, now.Add(r.cfg.ElectionTimeout)
	}
}

// askLater is for a request that failed.
func (r *replica) askLater(now Instant) {
	r.reads.asking, r.reads.retryAt = false, now.Add(r.cfg.HeartbeatInterval)
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
	if r.hasApplied(answer.Index) {
		q.fresh = max(q.fresh, q.askedAt)
		r.completeReads(now, &q.asked)
		return
	}
	if !q.asked.empty() {
		calls := new(futureList)
		calls.append(&q.asked)
		q.confirmed = append(q.confirmed, confirmedReads{answer.Index, q.askedAt, calls})
	}
}

// hasApplied reports whether the state machine holds everything up to index.
func (r *replica) hasApplied(index Index) bool { return index <= r.apply.index }

// awaitApplied ends f when index has been applied. abandonRead gives it up. An
// error refuses it.
func (r *replica) awaitApplied(now Instant, index Index, f *future) error {
	if err := r.refusal(); err != nil {
		return err
	}
	r.metrics.Reads++
	f.began = now
	if r.hasApplied(index) {
		r.metrics.ReadsCompleted++
		r.complete(f, nil)
		return nil
	}
	calls := new(futureList)
	calls.push(f)
	r.reads.confirmed = append(r.reads.confirmed, confirmedReads{index, longAgo, calls})
	return nil
}

// isFresh reports whether everything that was committed maxAge ago, or before
// that, has been applied here.
func (r *replica) isFresh(now Instant, maxAge time.Duration) bool {
	return now-r.reads.fresh < Instant(maxAge)
}

// beginLeaseRead is Raft.BeginLeaseRead.
func (r *replica) beginLeaseRead(now Instant) (LeaseRead, bool) {
	if r.refusal() != nil {
		return LeaseRead{}, false
	}
	last := r.core.Last()
	read, ok := r.core.BeginLeaseRead(now)
	if r.core.Last() > last { // a renewal
		r.settle(now)
	}
	return read, ok
}

// leaseReadValid is Raft.LeaseReadValid.
func (r *replica) leaseReadValid(now Instant, read LeaseRead) bool {
	return r.ended == nil && r.core.LeaseReadValid(now, read)
}

// readsApplied ends the barriers whose index has been applied.
func (r *replica) readsApplied(now Instant) {
	q := &r.reads
	kept := q.confirmed[:0]
	for _, c := range q.confirmed {
		if r.hasApplied(c.index) {
			q.fresh = max(q.fresh, c.since)
			r.completeReads(now, c.calls)
		} else {
			kept = append(kept, c)
		}
	}
	clear(q.confirmed[len(kept):])
	q.confirmed = kept
}

func (r *replica) completeReads(now Instant, calls *futureList) {
	for f := calls.pop(); f != nil; f = calls.pop() {
		r.metrics.ReadsCompleted++
		r.metrics.readLatency.since(f.began, now)
		r.complete(f, nil)
	}
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
		r.metrics.ReadsFailed++
		r.complete(f, cause)
	}
}

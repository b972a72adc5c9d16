package raft

import "time"

// What a replica watches for those who watch it, beside its core: its disk, its
// state machine, and whether it has to refuse proposals.

type watched struct {
	overloaded bool
	refused    uint64 // since it is
	diskSlow   bool
	applySlow  bool
	applying   Instant // when the state machine's present task began; Never: there is none
}

// slow is how long a write or a task of the state machine may take before it is
// reported: a leader whose disk stalls for twice as long, and not the others', steps down.
func (r *replica) slow() time.Duration { return r.cfg.ElectionTimeout / 2 }

// event reports something that the core does not know of. EventEnded is the
// last one.
func (r *replica) event(e Event) {
	if r.ended != nil {
		return
	}
	e.Term, e.Role, e.Leader = r.core.Term(), r.core.Role(), r.core.Leader()
	r.fx.events = append(r.fx.events, e)
	r.metrics.countEvents(r.fx.events[len(r.fx.events)-1:])
}

// taskEnds notes that the state machine's present task has been done.
func (r *replica) taskEnds(now Instant, t *task) {
	if t.kind == taskApply {
		r.metrics.applyLatency.since(r.watched.applying, now)
	}
	r.watched.applying = Never
}

// watch is part of every input.
func (r *replica) watch(now Instant) {
	w := &r.watched
	if w.overloaded && r.proposals.bytes <= r.cfg.MaxPendingBytes/2 && r.inbox.size() <= r.cfg.MaxPendingBytes/2 {
		r.event(Event{Kind: EventOverloadEnded, Count: w.refused})
		w.overloaded, w.refused = false, 0
	}
	r.watchTask(now, r.core.writeSince(), &w.diskSlow, EventDiskSlow, EventDiskRecovered)
	r.watchTask(now, w.applying, &w.applySlow, EventApplySlow, EventApplyRecovered)
}

// watchTask reports that something which began at since is slow, or is not any
// more.
func (r *replica) watchTask(now, since Instant, reported *bool, slow, recovered EventKind) {
	is := now > since && now-since >= Instant(r.slow())
	if is == *reported {
		return
	}
	*reported = is
	if is {
		r.event(Event{Kind: slow, Duration: time.Duration(now - since)})
	} else {
		r.event(Event{Kind: recovered})
	}
}

// overload notes that a proposal was refused for want of room.
func (r *replica) overload() {
	w := &r.watched
	w.refused++
	if !w.overloaded {
		w.overloaded = true
		r.event(Event{Kind: EventOverloadBegun})
	}
}

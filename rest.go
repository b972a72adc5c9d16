package raft

// What a core keeps while it is idle. A busy one reuses its memory, so that it
// allocates nothing for an entry, and a burst of work leaves it with as much as
// the burst has needed. Of many groups in one process most are idle most of the
// time: so a core for which there was no work for an election timeout gives that
// memory back, once, and takes some again with the next entry. None of it is
// ever seen in what the core does.

// worked puts off the rest: there may be more of the same. Work is what ends in
// the state machine, and reads.
func (r *Raft) worked() { r.restAt = r.now.Add(r.cfg.ElectionTimeout) }

// rest gives back what is kept for later, when it is time. It is called with
// every heartbeat, on both sides of it.
func (r *Raft) rest() {
	if r.now >= r.restAt {
		r.giveBack()
	}
}

func (r *Raft) giveBack() {
	if !r.apply.fetched {
		r.apply.batch = nil // the host's, if it is still at work on it
	}
	r.reads = unlessEmpty(r.reads)
	r.writes.inFlight = unlessEmpty(r.writes.inFlight)
	heartbeats := 1
	if l := r.leading; l != nil {
		heartbeats = len(r.peers)
		l.reads = unlessEmpty(l.reads)
		for i := range r.peers {
			r.peers[i].inFlight = unlessEmpty(r.peers[i].inFlight)
		}
	}
	if cap(r.messages) > heartbeats && len(r.messages) == 0 {
		r.messages, r.handedOut = nil, 0
	}
	if r.log.window.rest() {
		r.restAt = Never
	}
}

// rest gives up the memory of a window that is empty, and reports whether it is.
func (w *window) rest() bool {
	if w.len() > 0 {
		return false
	}
	w.entries, w.sums, w.head, w.tail = nil, nil, 0, 0
	return true
}

// unlessEmpty returns s, or nil for one without elements, and so its memory.
func unlessEmpty[E any](s []E) []E {
	if len(s) == 0 {
		return nil
	}
	return s
}

package raft

// rest gives back what a replica keeps for later, when its core does, see rest.go.
// It ends every input.
func (r *replica) rest() {
	resting := r.core.restAt == Never
	if resting == r.resting {
		return
	}
	r.resting = resting
	if !resting {
		return
	}
	if p := &r.proposals; p.first == p.next {
		p.ring = nil
	}
	if r.inbox.empty() {
		r.inbox.entries, r.inbox.head = nil, 0
	}
	if len(r.outbox) == 0 {
		r.outbox, r.arena = nil, nil
	}
	r.batch = unlessEmpty(r.batch)
	r.apply.tasks = unlessEmpty(r.apply.tasks)
	r.metrics.admissions = unlessEmpty(r.metrics.admissions)
}

package raft

import "slices"

// What the model checker needs of a core beside its inputs: to try several of
// them from one state, and to let a timer fire as an event of its own.

// clone returns a copy that draws from random: what either core does
// afterwards never affects the other. What is never changed in place is
// shared: the data of entries, memberships, and snapshots.
func (r *Raft) clone(random Random) *Raft {
	c := *r
	c.cfg.Random = random
	c.log.runs = slices.Clone(r.log.runs)
	c.log.window = r.log.window.clone()
	c.members.history = slices.Clone(r.members.history)
	c.peers = slices.Clone(r.peers)
	for i := range c.peers {
		c.peers[i].inFlight = slices.Clone(r.peers[i].inFlight)
	}
	c.writes.inFlight = slices.Clone(r.writes.inFlight)
	c.held = slices.Clone(r.held)
	for i := range c.held {
		c.held[i].m.Entries = slices.Clone(r.held[i].m.Entries)
	}
	c.apply.batch = nil
	if r.apply.fetched {
		c.apply.batch = slices.Clone(r.apply.batch)
	}
	c.leading = r.leading.clone()

	c.messages, c.handedOut = slices.Clone(r.messages), 0
	for i := range c.messages {
		c.messages[i].Entries = slices.Clone(r.messages[i].Entries)
	}
	c.logReads = slices.Clone(r.logReads)
	c.snapshots = slices.Clone(r.snapshots)
	c.reads = slices.Clone(r.reads)
	c.events = slices.Clone(r.events)
	return &c
}

func (l *leaderState) clone() *leaderState {
	if l == nil {
		return nil
	}
	c := *l
	c.reads = slices.Clone(l.reads)
	c.promotions = slices.Clone(l.promotions)
	c.departures = slices.Clone(l.departures)
	return &c
}

// clone copies the live entries only.
func (w *window) clone() window {
	c := window{first: w.first, sum: w.sum}
	if w.len() > 0 {
		size := max(windowMinimum, w.len())
		c.entries, c.sums = make([]Entry, size), make([]uint64, size)
		c.tail = copy(c.entries, w.entries[w.head:w.tail])
		copy(c.sums, w.sums[w.head:w.tail])
	}
	return c
}

// fireElectionTimer: no leader was heard from in time, and the disk, however
// long it takes, has not stalled.
func (r *Raft) fireElectionTimer() {
	if r.role == Leader {
		return
	}
	r.writesAreRecent()
	r.election.deadline = r.now
	r.Tick(r.now)
}

// fireHeartbeatTimer: a heartbeat is due, and a quorum was heard from.
func (r *Raft) fireHeartbeatTimer() {
	if r.role != Leader {
		return
	}
	r.writesAreRecent()
	for i := range r.peers {
		r.peers[i].contact = r.now
	}
	r.leading.heartbeat = r.now
	r.Tick(r.now)
}

// fireQuorumTimer: no peer was heard from for an election timeout.
func (r *Raft) fireQuorumTimer() {
	if r.role != Leader {
		return
	}
	r.writesAreRecent()
	for i := range r.peers {
		r.peers[i].contact = r.now.Add(-r.cfg.ElectionTimeout)
	}
	r.leading.heartbeat = Never
	r.Tick(r.now)
	if r.role == Leader { // its own vote is a quorum
		r.leading.heartbeat = r.now
	}
}

func (r *Raft) writesAreRecent() {
	for i := range r.writes.inFlight {
		r.writes.inFlight[i].since = r.now
	}
}

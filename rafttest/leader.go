package rafttest

import (
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/memberchange"
	"github.com/seed-6281cb22/raft/internal/quorum"
)

func (s *settings) electionTimeout() time.Duration {
	if s.raft.ElectionTimeout == 0 {
		return raft.DefaultElectionTimeout
	}
	return s.raft.ElectionTimeout
}

// running says that the node's process is up and its replica has not ended.
func (n *node) running() bool { return n.up && n.replica.Err() == nil }

// err says why the node does not run.
func (n *node) err() error {
	switch {
	case n.up:
		return n.replica.Err()
	case n.refusal != nil:
		return n.refusal
	}
	return errDown
}

// leader returns the node that leads and is followed by a majority, or, in a
// joint membership, by one of each configuration, nil if there is none.
func (e *engine) leader() *node {
	for _, n := range e.nodes {
		if !n.running() {
			continue
		}
		s := n.status()
		if s.Role != raft.Leader {
			continue
		}
		if e.followed(n, &s) {
			return n
		}
	}
	return nil
}

// followed reports whether enough nodes follow a leader.
func (e *engine) followed(n *node, s *raft.Status) bool {
	var voters, outgoing, follow, followOutgoing int
	for i := range s.Membership.Members {
		m, follows := &s.Membership.Members[i], 0
		if m.ID == n.id {
			follows = 1
		} else if m.ID > raft.NodeID(len(e.nodes)) {
			follows = 0 // a test has added one that has not joined
		} else if f := e.node(m.ID); f.running() && e.reach(n, f) && e.reach(f, n) {
			if o := f.status(); o.Leader == n.id && o.Term == s.Term {
				follows = 1
			}
		}
		if m.Voter {
			voters, follow = voters+1, follow+follows
		}
		if m.Outgoing {
			outgoing, followOutgoing = outgoing+1, followOutgoing+follows
		}
	}
	return follow >= quorum.Size(voters) && (outgoing == 0 || followOutgoing >= quorum.Size(outgoing))
}

// elect lets a node win an election, within so many election timeouts: the
// others' timers stand still, so that they follow nobody after a while and do
// not campaign. A leader must be heard by nobody until it steps down.
func (e *engine) elect(n *node, timeouts int) {
	limit := e.now.Add(time.Duration(timeouts) * e.cfg.electionTimeout())
	if old := e.leader(); old != nil {
		e.hold(old)
		e.network.Isolate(old.id)
		e.runUntil(limit, func() bool { return !old.running() || old.status().Role != raft.Leader })
		e.network.Rejoin(old.id)
	}
	e.hold(n)
	e.runUntil(limit, func() bool { return e.leader() == n })
	e.hold(nil)
}

// hold lets nobody's timer fire but one node's; nil ends that.
func (e *engine) hold(but *node) {
	for _, n := range e.nodes {
		n.held = but != nil && n != but
		if !n.held && n.missed {
			n.missed = false
			n.later(0, n.timerFires)
		}
	}
}

// agreed says that all members that run have applied all that any of them has
// committed, and that the same is in all logs.
func (e *engine) agreed() bool {
	var last raft.Index
	var first = true
	members := e.membership()
	for _, n := range e.nodes {
		if !n.running() || n.paused || !memberchange.Has(members, n.id) {
			continue
		}
		s := n.status()
		if s.Applied != s.Last || s.Commit != s.Last || !first && s.Last != last || s.Marked {
			return false
		}
		last, first = s.Last, false
	}
	return true
}

// compareMachines requires that state machines that have applied the same are
// equal.
func (e *engine) compareMachines() {
	type seen struct {
		n       *node
		content []byte
	}
	by := map[position]seen{}
	for _, n := range e.nodes {
		if !n.running() {
			continue
		}
		content, err := n.machine.content()
		if err != nil {
			e.fail("state machines", "node %d gives no snapshot: %v", n.id, err)
			return
		}
		pos := n.machine.position()
		other, ok := by[pos]
		if !ok {
			by[pos] = seen{n, content}
			continue
		}
		if string(other.content) != string(content) {
			e.fail("state machines", "nodes %d and %d have applied the same %d commands, and their snapshots differ: %q and %q",
				other.n.id, n.id, pos.count, clip(other.content), clip(content))
		}
	}
}

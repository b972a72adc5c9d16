package rafttest

import (
	"slices"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bridge"
	"github.com/seed-6281cb22/raft/internal/memberchange"
	"github.com/seed-6281cb22/raft/raftpb"
)

// within requires a condition to come true within so many election timeouts.
func (e *engine) within(timeouts int, what string, condition func() bool) bool {
	limit := time.Duration(timeouts) * e.cfg.electionTimeout()
	ok := e.runUntil(e.now.Add(limit), condition)
	if !ok && e.failure == nil {
		e.fail("liveness", "%s: not within %v after the faults have stopped", what, limit)
	}
	return ok
}

// majorityLives is what must come true when a majority is well and the others
// are lost to it for good: it has a leader, every call to it ends, and it takes
// new ones.
func (e *engine) majorityLives(majority []*node) bool {
	ended := func() bool {
		return !slices.ContainsFunc(e.calls.open, func(c *call) bool { return slices.Contains(majority, c.n) })
	}
	return e.within(30, "a leader of the majority that is left", func() bool { return e.leader() != nil }) &&
		e.within(60, "every call to the majority that is left has ended", ended)
}

// finish is what must come true once nothing goes wrong any more: liveness, and
// that all nodes agree, hold no more than they may, and leave nothing behind
// when they end.
func (e *engine) finish() {
	if !e.within(30, "a leader that a majority follows", func() bool { return e.leader() != nil }) ||
		!e.within(60, "the last change of the membership has come to its end", e.settled) ||
		!e.within(60, "who was removed knows it, or is silent", e.dismissed) {
		return
	}
	e.dismiss()
	if !e.within(60, "every call has ended", func() bool { return len(e.calls.open) == 0 }) ||
		!e.within(60, "all nodes have applied the same", e.agreed) ||
		// One that finds damage only now must still catch up.
		!e.within(60, "all nodes hold nothing back", func() bool { return e.quiet() && e.agreed() }) ||
		!e.within(memberchange.MayLead, "no voter of higher priority than the leader's is fit to lead", e.preferredLeads) ||
		!e.within(60, "all nodes have applied the same under who leads now", func() bool { return e.quiet() && e.agreed() }) {
		return
	}
	e.checkAddresses()
	for _, m := range e.membership().Members {
		e.checkBounds(e.node(m.ID))
	}
	e.compareMachines()
	e.calls.settle()
	if e.failure == nil {
		e.close()
	}
}

// dismiss closes the nodes that are no members and still run: nobody tells them
// what they wait for.
func (e *engine) dismiss() {
	members := e.membership()
	for _, n := range e.nodes {
		if n.running() && !n.closing && !memberchange.Has(members, n.id) {
			n.retired = true
			n.close(func() {})
		}
	}
}

// preferredLeads says that no voter with a higher priority than the leader's is
// fit to lead.
func (e *engine) preferredLeads() bool {
	leader := e.leader()
	return leader != nil && !memberchange.Outranked(e.membership(), leader.id, func(m *raftpb.Member) bool {
		return !e.checks.of(e.node(m.ID)).marked
	})
}

// quiet says that all members run, and that none without work holds anything
// back: no message, write, read or proposal.
func (e *engine) quiet() bool {
	var v bridge.View
	members := e.membership()
	for _, n := range e.nodes {
		if !memberchange.Has(members, n.id) {
			continue
		}
		if !n.running() {
			return false
		}
		bridge.Inspect(n.replica.Core(), &v)
		if v.Held > 0 || v.InFlightWrites > 0 || v.PendingReads > 0 || v.UncommittedBytes > 0 {
			return false
		}
		for i := range v.Peers {
			if p := &v.Peers[i]; v.Role == bridge.Leader && (p.InFlight > 0 || p.InFlightBytes > 0) {
				return false
			}
		}
	}
	return true
}

// checkBounds: logs and disks are bounded. A snapshot may have been due while
// the one before was taken; and package wal may forget a compaction when the
// process ends, until the next snapshot.
func (e *engine) checkBounds(n *node) {
	s, c := n.status(), &e.cfg.raft
	kept := s.Last + 1 - s.First
	if limit := 3*c.SnapshotEntries + max(c.TrailingEntries, 0) + 100; c.SnapshotEntries > 0 && e.checks.of(n).snapshot && kept > raft.Index(limit) {
		e.fail("bounds", "node %d keeps entries %d to %d, with a snapshot every %d and %d trailing", n.id, s.First, s.Last, c.SnapshotEntries, c.TrailingEntries)
	}
	content, err := n.machine.content()
	if err != nil {
		e.fail("state machines", "node %d gives no snapshot: %v", n.id, err)
		return
	}
	// Package wal: about three times the live entries, and some segments:
	// spares, torn tails, those that many restarts in a row have begun, and
	// those with what is left of what damage has cost.
	live := int64(0)
	for i := range e.ledger.records {
		if r := &e.ledger.records[i]; r.index >= s.First {
			live += int64(len(r.command))
		}
	}
	const perEntry = 100
	limit := 40*e.cfg.segmentBytes + 3*(live+perEntry*int64(kept)) + 3*int64(len(content)) + 1<<16
	if used := n.disk.fs.Used(); used > limit {
		e.fail("bounds", "node %d uses %d bytes of its disk, with %d entries of %d bytes and a state of %d", n.id, used, kept, live, len(content))
	}
}

// close ends all nodes as a service does, after which nothing may be left.
func (e *engine) close() {
	e.closing = true
	for _, n := range e.nodes {
		if !n.up {
			continue
		}
		n.replica.Close()
		n.transport.Close()
	}
	idle := func() bool {
		for _, n := range e.nodes {
			if n.up && (!n.replica.Idle() || n.syncing) {
				return false
			}
		}
		return true
	}
	if !e.runUntil(e.now.Add(time.Minute), idle) && e.failure == nil {
		e.fail("leaks", "a closed node is still at work after a minute")
	}
	for _, n := range e.nodes {
		if !n.up {
			continue
		}
		if err := n.log.Close(); err != nil && !n.disk.faulted {
			e.fail("storage", "node %d: closing the log: %v", n.id, err)
		}
	}
}

package rafttest

import (
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bridge"
)

// finish is what must come true once nothing goes wrong any more: liveness, and
// that all nodes agree, hold no more than they may, and leave nothing behind
// when they end.
func (e *engine) finish() {
	if e.failure != nil {
		return
	}
	timeout := e.cfg.electionTimeout()
	within := func(timeouts int, checker, what string, condition func() bool) bool {
		limit := time.Duration(timeouts) * timeout
		ok := e.runUntil(e.now.Add(limit), condition)
		if !ok && e.failure == nil {
			e.fail(checker, "%s: not within %v after the faults have stopped", what, limit)
		}
		return ok
	}
	if !within(30, "liveness", "a leader that a majority follows", func() bool { return e.leader() != nil }) ||
		!within(60, "liveness", "every call has ended", func() bool { return len(e.calls.open) == 0 }) ||
		!within(60, "liveness", "all nodes have applied the same", e.agreed) {
		return
	}
	e.run(e.now.Add(2 * timeout))
	for _, n := range e.nodes {
		if e.failure == nil {
			e.checkIdle(n)
		}
	}
	if e.failure == nil {
		e.compareMachines()
		e.calls.settle()
	}
	if e.failure == nil {
		e.close()
	}
}

// checkIdle: a node without work holds nothing back, and its log and disk are
// bounded.
func (e *engine) checkIdle(n *node) {
	if !n.running() {
		e.fail("liveness", "node %d does not run: %v", n.id, n.err())
		return
	}
	var v bridge.View
	bridge.Inspect(n.replica.Core(), &v)
	if v.Held > 0 || v.InFlightWrites > 0 || v.PendingReads > 0 || v.UncommittedBytes > 0 {
		e.fail("leaks", "node %d is idle and holds %d messages, %d writes, %d reads and %d uncommitted bytes",
			n.id, v.Held, v.InFlightWrites, v.PendingReads, v.UncommittedBytes)
	}
	for i := range v.Peers {
		if p := &v.Peers[i]; v.Role == bridge.Leader && (p.InFlight > 0 || p.InFlightBytes > 0) {
			e.fail("leaks", "leader %d is idle, and %d messages of %d bytes are on the way to peer %d: %+v", n.id, p.InFlight, p.InFlightBytes, p.ID, *p)
		}
	}
	s := n.status()
	if every, c := e.cfg.raft.SnapshotEntries, &e.cfg.raft; every > 0 && c.TrailingEntries != 0 {
		// A snapshot may have been due while the one before was taken.
		limit := raft.Index(3*every + max(c.TrailingEntries, 0) + 100)
		if s.Last+1-s.First > limit {
			e.fail("bounds", "node %d keeps entries %d to %d, with a snapshot every %d and %d trailing", n.id, s.First, s.Last, every, c.TrailingEntries)
		}
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

package rafttest

import (
	"fmt"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/tape"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

// An engine is the world of a simulation: virtual time, a queue of what will
// happen, the network and the nodes. Everything happens in one goroutine, and
// whatever is left to chance is a decision of the tape.
type engine struct {
	now      raft.Instant
	sequence uint64
	queue    []event // a heap by (at, sequence)
	network  *inmem.Manual
	tape     *tape.Tape
	nodes    []*node // node i+1 is nodes[i]
	cfg      settings
	machine  func(*node) (hostedMachine, error)
	blocked  map[link]bool // by a partition

	ledger     ledger
	calls      calls
	checks     checks
	transcript notes

	happened   Counts
	closing    bool  // nodes end on purpose
	failure    error // the first thing that was found wrong
	events     uint64
	moved      raft.Instant // when time has passed last …
	standstill int          // … and how many events there were since
	hash       uint64       // rolling, of all states
}

// event is something that will happen to a node, or, without one, to the
// world. One of an earlier life of its node does not.
type event struct {
	at       raft.Instant
	sequence uint64
	node     *node
	life     int
	kind     eventKind
	timer    uint64      // of eventTimer: only the latest one counts
	step     func() bool // of eventStep: again, until it returns false
	do       func()      // of eventCall
}

type eventKind uint8

const (
	eventCall eventKind = iota
	eventStep
	eventTimer
)

// newEngine makes a world with nodes that have not been started.
func newEngine(decisions *tape.Tape, cfg settings, machine func(*node) (hostedMachine, error)) *engine {
	e := &engine{tape: decisions, cfg: cfg, machine: machine, happened: Counts{}}
	e.transcript.e = e
	e.network = inmem.NewManual(inmem.Options{Random: networkRandom{decisions}, Faults: cfg.network})
	e.blocked = map[link]bool{}
	for i := range cfg.nodes {
		e.nodes = append(e.nodes, newNode(e, raft.NodeID(i+1), machine))
	}
	e.checks.init(e)
	return e
}

func (e *engine) node(id raft.NodeID) *node { return e.nodes[id-1] }

// fail notes that something is wrong. Only the first one counts: what follows
// may be its consequence.
func (e *engine) fail(checker, format string, args ...any) {
	if e.failure == nil {
		e.failure = &violation{checker, fmt.Sprintf(format, args...)}
		e.transcript.note(nil, "FAILURE: %v", e.failure)
	}
}

// violation is what a checker has found.
type violation struct {
	checker string
	text    string
}

func (v *violation) Error() string { return v.checker + ": " + v.text }

// after has do happen after a delay.
func (e *engine) after(delay time.Duration, do func()) {
	e.push(event{at: e.now.Add(delay), kind: eventCall, do: do})
}

// next returns when the next thing happens, raft.Never if nothing does.
func (e *engine) next() raft.Instant {
	at, ok := e.network.Next()
	if !ok {
		at = raft.Never
	}
	if len(e.queue) > 0 {
		at = min(at, e.queue[0].at)
	}
	return at
}

// step lets the next thing happen, unless that is after until. It returns
// false when nothing is left until then, or something has failed.
func (e *engine) step(until raft.Instant) bool {
	at := e.next()
	if at > until || e.failure != nil {
		return false
	}
	if e.now = max(e.now, at); e.now > e.moved {
		e.moved, e.standstill = e.now, 0
	}
	if e.standstill++; e.standstill > 100_000 {
		e.fail("liveness", "time stands still: more than 100000 events at one instant")
	}
	if e.events++; e.cfg.maxEvents > 0 && e.events > e.cfg.maxEvents {
		e.fail("liveness", "more than %d events: something goes on and on", e.cfg.maxEvents)
	}
	e.tape.Begin()
	if due, ok := e.network.Next(); ok && due <= e.now {
		e.network.Advance(e.now)
		e.mix(1)
	} else {
		e.network.Advance(e.now) // it tells the time to what sends
		e.handle(e.pop())
	}
	for _, n := range e.nodes {
		if n.dying {
			n.die()
		}
	}
	e.tape.End()
	return true
}

// run lets everything happen until an instant, which it then is.
func (e *engine) run(until raft.Instant) {
	for e.step(until) {
	}
	if e.failure == nil {
		e.now = max(e.now, until)
	}
}

// runUntil lets things happen until a condition holds, and reports whether it
// does, at an instant or before.
func (e *engine) runUntil(until raft.Instant, condition func() bool) bool {
	for !condition() {
		if !e.step(until) {
			if e.failure == nil {
				e.now = max(e.now, until)
			}
			return condition()
		}
	}
	return true
}

func (e *engine) handle(ev event) {
	n := ev.node
	if n != nil {
		if ev.life != n.life {
			return
		}
		if n.paused {
			n.deferred = append(n.deferred, ev)
			return
		}
	}
	switch ev.kind {
	case eventCall:
		ev.do()
	case eventTimer:
		if ev.timer == n.timer {
			n.timerFires()
		}
	case eventStep:
		if ev.step() && !n.dying {
			n.run(ev.step)
		}
	}
	if n != nil {
		n.touched()
	} else {
		e.mix(0)
	}
}

// mix takes a number into the rolling hash.
func (e *engine) mix(v uint64) {
	h := (e.hash ^ v ^ uint64(e.now)) * 0x9e3779b97f4a7c15
	e.hash = h ^ h>>29
}

func (a *event) before(b *event) bool {
	return a.at < b.at || a.at == b.at && a.sequence < b.sequence
}

func (e *engine) push(ev event) {
	e.sequence++
	ev.sequence = e.sequence
	e.queue = append(e.queue, ev)
	q := e.queue
	for i := len(q) - 1; i > 0; {
		parent := (i - 1) / 2
		if !q[i].before(&q[parent]) {
			break
		}
		q[i], q[parent] = q[parent], q[i]
		i = parent
	}
}

func (e *engine) pop() event {
	q := e.queue
	first, last := q[0], len(q)-1
	q[0], q[last] = q[last], event{}
	q = q[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			break
		}
		if child+1 < last && q[child+1].before(&q[child]) {
			child++
		}
		if !q[child].before(&q[i]) {
			break
		}
		q[i], q[child] = q[child], q[i]
		i = child
	}
	e.queue = q
	return first
}

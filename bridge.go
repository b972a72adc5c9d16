package raft

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/seed-6281cb22/raft/internal/bridge"
)

func init() {
	bridge.Start = func(config, machine any, env bridge.Environment) (bridge.Replica, error) {
		m := &steppedMachine{typedMachine[any]{sm: machine.(StateMachine[any])}}
		x, err := start(config.(Config), m, steppedEnvironment{env})
		if err != nil {
			return nil, err
		}
		return stepped{x}, nil
	}
}

// steppedEnvironment is the environment of an executor that is driven by hand.
type steppedEnvironment struct {
	bridge.Environment
}

func (e steppedEnvironment) now() Instant                { return Instant(e.Now()) }
func (e steppedEnvironment) random() [3]uint64           { return e.Random() }
func (e steppedEnvironment) arm(_ *executor, at Instant) { e.Arm(int64(at)) }
func (e steppedEnvironment) run(step func() bool)        { e.Run(step) }
func (e steppedEnvironment) yield(do func())             { e.Run(func() bool { do(); return false }) }

// A step takes as long as whoever drives it wants, whatever it does.
func (e steppedEnvironment) wait(context.Context, time.Duration) {}

func (e steppedEnvironment) sendSnapshot(_ *executor, m Message, body io.ReadSeeker, done func(error)) {
	e.SendSnapshot(m, body, done)
}

// pull takes all at once: whoever drives this may end without a word, and would
// leave behind a goroutine for whatever is taken by half.
func (e steppedEnvironment) pull(pieces iter.Seq[[]byte]) (func() ([]byte, bool), func()) {
	var all [][]byte
	for p := range pieces {
		all = append(all, bytes.Clone(p))
	}
	next := func() (p []byte, ok bool) {
		if ok = len(all) > 0; ok {
			p, all = all[0], all[1:]
		}
		return p, ok
	}
	return next, func() {}
}

func (e steppedEnvironment) ended(f *future, err error) {
	c := f.owner.(*steppedCall)
	if c.guarded == nil {
		c.ended(c.result, err)
	} else if err = c.guarded.waited(err); err != nil {
		c.ended(nil, err)
	} else {
		e.run(c.proceed)
	}
}

// stepped is an executor that is driven by hand.
type stepped struct {
	x *executor
}

// steppedCall is a future with a result and a function in place of a goroutine
// that waits.
type steppedCall struct {
	future
	x      *executor
	kind   steppedKind
	result any
	ended  func(result any, err error)

	// Of a LeaseRead or a StaleRead.
	guarded *guardedRead
	look    func() any
	looked  bool
}

// steppedKind is what a steppedCall asks for.
type steppedKind uint8

const (
	steppedProposal steppedKind = iota
	steppedRead
	steppedChange
	steppedTransfer
	steppedSnapshot
)

// GiveUp implements bridge.Call.
func (c *steppedCall) GiveUp(cause error) (error, bool) {
	c.x.mu.Lock()
	defer c.x.unlock()
	switch c.kind {
	case steppedRead:
		return cause, c.x.replica.abandonRead(&c.future)
	case steppedChange:
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, cause), c.x.replica.abandonMember(&c.future)
	case steppedTransfer:
		return cause, c.x.replica.abandonMember(&c.future)
	case steppedSnapshot:
		return cause, c.x.replica.abandonSnapshot(&c.future)
	}
	return c.x.replica.abandon(&c.future, cause)
}

func (s stepped) newCall(kind steppedKind, ended func(any, error)) *steppedCall {
	c := &steppedCall{x: s.x, kind: kind, ended: ended}
	c.owner = c
	return c
}

func (s stepped) Propose(command []byte, ended func(any, error)) (bridge.Call, error) {
	c := s.newCall(steppedProposal, ended)
	c.command(command)
	s.x.mu.Lock()
	err := s.x.replica.propose(s.x.now(), &c.future)
	s.x.unlock()
	return c, err
}

func (s stepped) ReadBarrier(ended func(any, error)) (bridge.Call, error) {
	c := s.newCall(steppedRead, ended)
	s.x.mu.Lock()
	err := s.x.replica.readBarrier(s.x.now(), &c.future)
	s.x.unlock()
	return c, err
}

func (s stepped) LeaseRead(look func() any, ended func(any, error)) bridge.Call {
	return s.guard(s.x.beginLeaseRead(), look, ended)
}

func (s stepped) StaleRead(maxAge time.Duration, look func() any, ended func(any, error)) (bridge.Call, error) {
	g, err := s.x.beginStaleRead(maxAge)
	if err != nil {
		return nil, err
	}
	return s.guard(g, look, ended), nil
}

func (s stepped) guard(g guardedRead, look func() any, ended func(any, error)) bridge.Call {
	c := s.newCall(steppedRead, ended)
	c.guarded, c.look = &g, look
	s.x.env.run(c.proceed)
	return c
}

// proceed is Node.guardedRead, one step at a time: the state machine may be read
// long before it is asked whether that counts.
func (c *steppedCall) proceed() bool {
	g := c.guarded
	switch {
	case c.looked:
		if c.looked = false; g.counts() {
			c.ended(c.result, nil)
			return false
		}
	case g.ready:
		c.result, c.looked = c.look(), true
	default:
		err := g.wait(&c.future)
		if err == nil {
			return false // until it ends
		}
		if err = g.waited(err); err != nil {
			c.ended(nil, err)
			return false
		}
	}
	return true
}

func (s stepped) ChangeMembership(changes any, ended func(any, error)) (bridge.Call, error) {
	c := s.newCall(steppedChange, ended)
	s.x.mu.Lock()
	err := s.x.replica.changeMembership(s.x.now(), &c.future, changes.([]Change))
	s.x.unlock()
	return c, err
}

func (s stepped) TransferLeadership(to NodeID, ended func(any, error)) (bridge.Call, error) {
	c := s.newCall(steppedTransfer, ended)
	s.x.mu.Lock()
	err := s.x.replica.transferLeadership(s.x.now(), &c.future, to)
	s.x.unlock()
	return c, err
}

func (s stepped) TakeSnapshot(ended func(any, error)) (bridge.Call, error) {
	c := s.newCall(steppedSnapshot, ended)
	s.x.mu.Lock()
	err := s.x.replica.takeSnapshot(s.x.now(), &c.future)
	s.x.unlock()
	return c, err
}

func (s stepped) HandOver(ended func(any, error)) bool {
	c := s.newCall(steppedTransfer, ended)
	s.x.mu.Lock()
	defer s.x.unlock()
	return s.x.replica.handOver(s.x.now(), &c.future)
}

func (s stepped) Core() any { return s.x.replica.core }

func (s stepped) Fire() { s.x.fire() }

func (s stepped) BeginReceive(m *Message) (bool, error) { return s.x.beginReceive(m) }

func (s stepped) Receive(m *Message, body io.Reader) error { return s.x.receive(m, body) }

func (s stepped) EndReceive(m *Message, err error) error { return s.x.endReceive(m, err) }

func (s stepped) Close() { s.x.end(ErrClosed) }

func (s stepped) Err() error { return s.x.err() }

func (s stepped) Idle() bool {
	select {
	case <-s.x.idle:
		return true
	default:
		return false
	}
}

// steppedMachine hands results to steppedCalls.
type steppedMachine struct {
	typedMachine[any]
}

func (m *steppedMachine) deliver(i int, f *future) { f.owner.(*steppedCall).result = m.results[i] }

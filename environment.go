package raft

import (
	"context"
	"io"
	"iter"
	"runtime"
	"time"
)

// An environment is what an executor runs in: a clock, a timer, chance, and
// somebody who does what is done outside the lock. In production that is real
// time and goroutines; in a simulation, one thread and virtual time. Nothing
// above it knows the difference.
type environment interface {
	now() Instant
	random() [3]uint64 // what tells this run of the process from all others
	// arm has x.fire called at an instant, once, in place of any that was
	// given before; at Never, not at all.
	arm(x *executor, at Instant)
	// run calls step beside everything else, until it returns false.
	run(step func() bool)
	// yield calls do when others that are ready to run have had a turn.
	yield(do func())
	// wait waits, until ctx ends at the latest.
	wait(ctx context.Context, d time.Duration)
	// sendSnapshot sends a snapshot, and says how that ended, by done.
	sendSnapshot(x *executor, m Message, body io.ReadSeeker, done func(error))
	// pull lets pieces be taken one by one, as iter.Pull does: each is valid
	// until the next is asked for.
	pull(pieces iter.Seq[[]byte]) (next func() ([]byte, bool), stop func())
	// ended hands a call back to whoever waits for it.
	ended(f *future, err error)
}

// realTime is the environment of production.
type realTime struct {
	start time.Time // the origin of Instants
	timer *time.Timer
}

func (e *realTime) now() Instant { return Instant(time.Since(e.start)) }

func (e *realTime) random() [3]uint64 { return randomWords() }

func (e *realTime) arm(x *executor, at Instant) {
	switch {
	case at == Never:
		if e.timer != nil {
			e.timer.Stop()
		}
	case e.timer == nil:
		e.timer = time.AfterFunc(e.until(at), x.fire)
	default:
		e.timer.Reset(e.until(at))
	}
}

func (e *realTime) until(at Instant) time.Duration { return max(0, time.Duration(at-e.now())) }

func (e *realTime) run(step func() bool) { go doSteps(step) }

func (e *realTime) yield(do func()) {
	runtime.Gosched()
	do()
}

func doSteps(step func() bool) {
	for step() {
	}
}

func (e *realTime) wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (e *realTime) sendSnapshot(x *executor, m Message, body io.ReadSeeker, done func(error)) {
	done(x.cfg.Transport.SendSnapshot(x.ctx, m, body))
}

func (e *realTime) pull(pieces iter.Seq[[]byte]) (func() ([]byte, bool), func()) {
	return iter.Pull(pieces)
}

func (e *realTime) ended(f *future, err error) { f.done <- err }

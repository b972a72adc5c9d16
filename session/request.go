package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/seed-6281cb22/raft"
)

// Proposer is where a Client proposes its commands. A raft.Node with a Machine
// is one. So is a stub that hands commands to such a node elsewhere; its errors
// should be those of raft.Node.Propose where it knows them, and any other error
// means that the outcome is unknown.
type Proposer[R any] interface {
	Propose(ctx context.Context, command []byte) (Result[R], error)
}

// How long a Client waits before it proposes again: a random time up to a
// bound, which doubles from the first of these to the last.
const (
	firstPause = 4 * time.Millisecond
	lastPause  = time.Second
)

// requester proposes until the outcome is known.
type requester[R any] struct {
	proposers []Proposer[R]
	attempt   time.Duration // the longest
	good      atomic.Uint32 // the proposer that answered last
}

// request is a command that is proposed again and again.
type request struct {
	unknown bool // an earlier proposal of it may have been applied, or may yet be
	refused int  // proposers in a row that have ended
	pause   time.Duration
}

// do proposes what encode returns until its outcome is known, or ctx ends. An
// error is ErrResultNotKept, raft.ErrOutcomeUnknown or raft.ErrNotCommitted.
func (q *requester[R]) do(ctx context.Context, encode func() []byte) (Result[R], error) {
	r := request{pause: firstPause}
	for at := q.good.Load(); ; at++ {
		if err := ctx.Err(); err != nil {
			return Result[R]{}, r.end(err)
		}
		at %= uint32(len(q.proposers))
		result, err := q.propose(ctx, q.proposers[at], encode())
		if err == nil && result.Status != Busy {
			q.good.Store(at)
			return result, r.answered(result.Status)
		}
		if r.failed(err, len(q.proposers)) {
			return Result[R]{}, r.end(err)
		}
		r.wait(ctx)
	}
}

func (q *requester[R]) propose(ctx context.Context, p Proposer[R], command []byte) (Result[R], error) {
	ctx, cancel := context.WithTimeout(ctx, q.attempt)
	defer cancel()
	return p.Propose(ctx, command)
}

// failed takes note of a proposer's error, nil if the session was busy, and says
// whether it is the last.
func (r *request) failed(err error, proposers int) (final bool) {
	switch {
	case err == nil:
	case errors.Is(err, raft.ErrTooLarge):
		return true
	case errors.Is(err, raft.ErrOutcomeUnknown):
		r.unknown = true
	case errors.Is(err, raft.ErrNotCommitted), errors.Is(err, raft.ErrOverloaded), errors.Is(err, raft.ErrNotLeader):
	case errors.Is(err, raft.ErrClosed), errors.Is(err, raft.ErrStopped), errors.Is(err, raft.ErrRemoved):
		r.refused++
		return r.refused == proposers
	default:
		r.unknown = true
	}
	r.refused = 0
	return false
}

// answered returns the error of an answer.
func (r *request) answered(s Status) error {
	switch s {
	case OK:
		return nil
	case ResultNotKept:
		return ErrResultNotKept
	case Expired, Malformed: // not applied now
	default:
		r.unknown = true
	}
	return r.end(s.Err())
}

// end returns the error of a command that has no result.
func (r *request) end(cause error) error {
	outcome := raft.ErrNotCommitted
	if r.unknown {
		outcome = raft.ErrOutcomeUnknown
	}
	if errors.Is(cause, outcome) {
		return fmt.Errorf("session: %w", cause)
	}
	return fmt.Errorf("session: %w: %w", outcome, cause)
}

// wait waits a while before the next proposal, or until ctx ends.
func (r *request) wait(ctx context.Context) {
	timer := time.NewTimer(rand.N(r.pause))
	defer timer.Stop()
	r.pause = min(2*r.pause, lastPause)
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

package session

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/seed-6281cb22/raft"
)

// Options configure a Client. The zero value is a good choice.
type Options struct {
	// Limits are put in force by opening the session, see there. All
	// clients should give the same.
	Limits Limits
	// AttemptTimeout is how long one proposer is given for one command
	// before the next one is asked. Default: 2 s. It should be several
	// election timeouts, since a proposal waits where there is no leader.
	AttemptTimeout time.Duration
}

// DefaultAttemptTimeout is that of Options.
const DefaultAttemptTimeout = 2 * time.Second

// Client proposes commands in a session. Its methods may be called
// concurrently; it has no goroutines of its own.
type Client[R any] struct {
	requester[R]
	limits Limits
	id     ID
	opened time.Time // when the reply came: not before the entry was applied

	mu          sync.Mutex
	next        uint64        // sequence number
	outstanding []uint64      // sequence numbers whose calls have not ended, ascending
	changed     chan struct{} // closed when outstanding changes, and replaced
	ended       error         // not nil: no more commands are taken
}

// Open opens a session. The proposers are the same group's nodes, or stubs for
// them; the client stays with one as long as it answers, and tries the next
// when it does not. An open that has to be repeated may leave sessions behind
// that nobody uses, until they expire.
//
// The error is a *raft.ConfigError, or as of Client.Propose.
func Open[R any](ctx context.Context, opts Options, proposers ...Proposer[R]) (*Client[R], error) {
	if len(proposers) == 0 {
		return nil, &raft.ConfigError{Field: "session proposers", Reason: "must not be empty"}
	}
	limits := opts.Limits.withDefaults()
	if err := limits.validate(); err != nil {
		return nil, err
	}
	if opts.AttemptTimeout < 0 {
		return nil, &raft.ConfigError{Field: "session.Options.AttemptTimeout", Reason: "must not be negative"}
	}
	if opts.AttemptTimeout == 0 {
		opts.AttemptTimeout = DefaultAttemptTimeout
	}
	c := &Client[R]{
		requester: requester[R]{proposers: slices.Clone(proposers), attempt: opts.AttemptTimeout},
		limits:    limits,
		next:      1,
		changed:   make(chan struct{}),
	}
	open := command{kind: kindOpen, id: ID{Nonce: randomNonce()}, limits: limits}
	result, err := c.do(ctx, open.encode)
	if err != nil {
		return nil, err
	}
	c.id, c.opened = result.Session, time.Now()
	return c, nil
}

// ID returns the session's.
func (c *Client[R]) ID() ID { return c.id }

// Propose has a command applied exactly once, and returns its result. It
// proposes it again and again, on one node after the other, until the outcome
// is known or ctx ends. Limits.MaxInFlight calls may be in flight at once,
// counted from the oldest; others wait. Commands that are in flight at the same
// time are applied in any order. The command must not be changed before
// Propose returns.
//
// Errors, see errors.Is:
//
//   - raft.ErrNotCommitted: it has not been applied and never will be.
//   - raft.ErrOutcomeUnknown: it may have been applied, or may yet be. This
//     remains only where ctx has ended, the session has expired, or all
//     proposers are closed. It cannot be applied any more once another command
//     of this Client succeeds that was begun when this call, and all that were
//     begun before it, had ended.
//   - ErrResultNotKept: it has been applied, but its result is lost.
//
// Beside the first two stands the cause: ctx.Err(), ErrExpired, ErrMalformed
// where the node has no Machine that understands this package, raft.ErrTooLarge,
// or raft.ErrClosed, raft.ErrStopped and raft.ErrRemoved where the client or all
// proposers have ended. After ErrExpired a new session is needed.
func (c *Client[R]) Propose(ctx context.Context, payload []byte) (R, error) {
	var none R
	sequence, err := c.begin(ctx)
	if err != nil {
		return none, fmt.Errorf("session: %w: %w", raft.ErrNotCommitted, err)
	}
	defer c.end(sequence)
	result, err := c.request(ctx, command{kind: kindCommand, sequence: sequence, payload: payload})
	return result.Value, err
}

// KeepAlive uses the session, so that it does not expire. A client that
// proposes commands does not need it. Errors are as of Propose.
func (c *Client[R]) KeepAlive(ctx context.Context) error {
	if err := c.err(); err != nil {
		return fmt.Errorf("session: %w: %w", raft.ErrNotCommitted, err)
	}
	_, err := c.request(ctx, command{kind: kindKeepAlive})
	return err
}

// Close closes the session, so that it need not expire. From then on the client
// takes no commands. It waits until the calls in flight have ended. If ctx ends
// before, or the nodes do not answer, the session will expire; Close may also
// be called again.
func (c *Client[R]) Close(ctx context.Context) error {
	c.stop(raft.ErrClosed)
	for {
		c.mu.Lock()
		waiting, changed := len(c.outstanding), c.changed
		c.mu.Unlock()
		if waiting == 0 {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("session: close: %d calls are in flight: %w", waiting, ctx.Err())
		}
	}
	_, err := c.request(ctx, command{kind: kindClose})
	if errors.Is(err, ErrExpired) {
		return nil
	}
	return err
}

// request proposes a command of this session, stamped anew each time.
func (c *Client[R]) request(ctx context.Context, cmd command) (Result[R], error) {
	cmd.id = c.id
	result, err := c.do(ctx, func() []byte {
		cmd.age = milliseconds(time.Since(c.opened))
		cmd.acknowledged = c.acknowledged()
		return cmd.encode()
	})
	if errors.Is(err, ErrExpired) {
		c.stop(ErrExpired)
	}
	return result, err
}

// begin returns the sequence number for a new command, as soon as there is room
// for it.
func (c *Client[R]) begin(ctx context.Context) (uint64, error) {
	for {
		c.mu.Lock()
		if c.ended != nil {
			defer c.mu.Unlock()
			return 0, c.ended
		}
		if len(c.outstanding) == 0 || c.next-c.outstanding[0] < uint64(c.limits.MaxInFlight) {
			defer c.mu.Unlock()
			c.next++
			c.outstanding = append(c.outstanding, c.next-1)
			return c.next - 1, nil
		}
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// end says that the call for a sequence number has ended: whatever it returned,
// the outcome will not be asked for again.
func (c *Client[R]) end(sequence uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, _ := slices.BinarySearch(c.outstanding, sequence)
	c.outstanding = slices.Delete(c.outstanding, i, i+1)
	c.wake()
}

// stop has the client take no more commands.
func (c *Client[R]) stop(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil {
		c.ended = err
		c.wake()
	}
}

// wake wakes all that wait for a change. mu is held.
func (c *Client[R]) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Client[R]) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// acknowledged returns the lowest sequence number whose outcome may still be
// asked for.
func (c *Client[R]) acknowledged() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.outstanding) == 0 {
		return c.next
	}
	return c.outstanding[0]
}

func randomNonce() uint64 {
	var b [8]byte
	cryptorand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}

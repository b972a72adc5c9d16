package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bubble"
)

var _ Proposer[int] = (*raft.Node[Result[int]])(nil)

// scripted is a Proposer that answers as it is told: by the first of its
// answers that has not been given, and when there are no more, by a Machine.
type scripted struct {
	*replica
	mu      sync.Mutex
	answers []reply
	calls   int
	last    command
}

func (p *scripted) Propose(ctx context.Context, b []byte) (Result[string], error) {
	p.mu.Lock()
	p.calls++
	p.last, _ = decodeCommand(b)
	if len(p.answers) > 0 {
		answer := p.answers[0]
		p.answers = p.answers[1:]
		p.mu.Unlock()
		return answer(ctx, b)
	}
	defer p.mu.Unlock()
	return p.one(b), nil
}

func (p *scripted) script(answers ...reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers = answers
}

// reply is a proposer's answer.
type reply = func(ctx context.Context, command []byte) (Result[string], error)

func fails(errs ...error) reply {
	return func(context.Context, []byte) (Result[string], error) { return Result[string]{}, errors.Join(errs...) }
}

func answers(s Status) reply {
	return func(context.Context, []byte) (Result[string], error) { return answer(s), nil }
}

// hangs until the context ends, as a node without a leader does.
func hangs(ctx context.Context, _ []byte) (Result[string], error) {
	<-ctx.Done()
	return Result[string]{}, fmt.Errorf("%w: %w", raft.ErrNotCommitted, ctx.Err())
}

// applies, and does not say so.
func (p *scripted) applies(err error) reply {
	return func(_ context.Context, b []byte) (Result[string], error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.one(b)
		return Result[string]{}, err
	}
}

// virtual runs a test in virtual time.
func virtual(t *testing.T, test func(t *testing.T, ctx context.Context)) {
	synctest.Test(t, func(t *testing.T) { test(t, t.Context()) })
}

// scriptedClient returns a client with a session on one scripted proposer.
func scriptedClient(t *testing.T, opts Options) (*Client[string], *scripted) {
	t.Helper()
	p := &scripted{replica: newReplica(t)}
	c, err := Open(t.Context(), opts, Proposer[string](p))
	require.NoError(t, err)
	return c, p
}

func TestClientProposesUntilTheOutcomeIsKnown(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c, p := scriptedClient(t, Options{})
		p.script(
			fails(raft.ErrNotCommitted), fails(raft.ErrOverloaded), fails(&raft.NotLeaderError{}), answers(Busy),
			fails(raft.ErrClosed, raft.ErrNotCommitted), hangs,
			p.applies(raft.ErrOutcomeUnknown), p.applies(errors.New("connection reset")),
		)
		result, err := c.Propose(ctx, []byte("a"))
		require.NoError(t, err)
		require.Equal(t, "1:a", result)
		require.Equal(t, []string{"a"}, p.journal.all())
		require.Equal(t, 1+9, p.calls)

		result, err = c.Propose(ctx, []byte("b"))
		require.NoError(t, err)
		require.Equal(t, "2:b", result)
		require.Equal(t, c.ID(), p.last.id)
	})
}

// What an error says of the command.
func TestClientErrors(t *testing.T) {
	other := errors.New("connection reset")
	for name, test := range map[string]struct {
		answers []reply
		is      []error
		isNot   []error
	}{
		"context ends, never taken": {
			[]reply{fails(raft.ErrOverloaded), hangs, hangs, hangs, hangs},
			[]error{raft.ErrNotCommitted, context.DeadlineExceeded}, []error{raft.ErrOutcomeUnknown},
		},
		"context ends, outcome unknown": {
			[]reply{fails(raft.ErrOutcomeUnknown), hangs, hangs, hangs, hangs},
			[]error{raft.ErrOutcomeUnknown, context.DeadlineExceeded}, []error{raft.ErrNotCommitted},
		},
		"a stub's own error is an unknown outcome": {
			[]reply{fails(other), hangs, hangs, hangs, hangs},
			[]error{raft.ErrOutcomeUnknown, context.DeadlineExceeded}, []error{raft.ErrNotCommitted},
		},
		"too large": {
			[]reply{fails(raft.ErrTooLarge)},
			[]error{raft.ErrNotCommitted, raft.ErrTooLarge}, []error{raft.ErrOutcomeUnknown},
		},
		"all nodes ended": {
			[]reply{fails(raft.ErrClosed)},
			[]error{raft.ErrNotCommitted, raft.ErrClosed}, []error{raft.ErrOutcomeUnknown},
		},
		"all nodes were removed": {
			[]reply{fails(raft.ErrRemoved)},
			[]error{raft.ErrNotCommitted, raft.ErrRemoved}, []error{raft.ErrOutcomeUnknown, context.DeadlineExceeded},
		},
		"a node ends in the middle": {
			[]reply{fails(raft.ErrOutcomeUnknown, raft.ErrStopped), fails(raft.ErrStopped)},
			[]error{raft.ErrOutcomeUnknown, raft.ErrStopped}, []error{raft.ErrNotCommitted},
		},
		"expired": {
			[]reply{fails(raft.ErrNotCommitted), answers(Expired)},
			[]error{raft.ErrNotCommitted, ErrExpired}, []error{raft.ErrOutcomeUnknown},
		},
		"expired, perhaps after it was applied": {
			[]reply{fails(raft.ErrOutcomeUnknown), answers(Expired)},
			[]error{raft.ErrOutcomeUnknown, ErrExpired}, []error{raft.ErrNotCommitted},
		},
		"malformed": {
			[]reply{answers(Malformed)},
			[]error{raft.ErrNotCommitted, ErrMalformed}, []error{raft.ErrOutcomeUnknown},
		},
		"acknowledged": {
			[]reply{answers(Acknowledged)},
			[]error{raft.ErrOutcomeUnknown, ErrAcknowledged}, []error{raft.ErrNotCommitted},
		},
		"result not kept": {
			[]reply{fails(raft.ErrOutcomeUnknown), answers(ResultNotKept)},
			[]error{ErrResultNotKept}, []error{raft.ErrOutcomeUnknown, raft.ErrNotCommitted},
		},
		"of a later version": {
			[]reply{answers(99)},
			[]error{raft.ErrOutcomeUnknown}, []error{raft.ErrNotCommitted},
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtual(t, func(t *testing.T, ctx context.Context) {
				c, p := scriptedClient(t, Options{})
				p.script(test.answers...)
				ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
				defer cancel()
				_, err := c.Propose(ctx, []byte("a"))
				for _, is := range test.is {
					require.ErrorIs(t, err, is)
				}
				for _, not := range test.isNot {
					require.NotErrorIs(t, err, not)
				}
			})
		})
	}
}

// A proposer that hangs or has ended is left for the next, and one that answers
// is stayed with.
func TestClientTriesTheNextProposer(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		shared := newReplica(t)
		a, b, d := &scripted{replica: shared}, &scripted{replica: shared}, &scripted{replica: shared}
		c, err := Open[string](ctx, Options{AttemptTimeout: time.Second}, a, b, d)
		require.NoError(t, err)
		require.Equal(t, []int{1, 0, 0}, []int{a.calls, b.calls, d.calls})
		a.script(fails(raft.ErrClosed))
		b.script(hangs)
		start := time.Now()
		_, err = c.Propose(ctx, nil)
		require.NoError(t, err)
		require.WithinRange(t, time.Now(), start.Add(time.Second), start.Add(time.Second+2*lastPause))
		_, err = c.Propose(ctx, nil)
		require.NoError(t, err)
		require.Equal(t, []int{2, 1, 2}, []int{a.calls, b.calls, d.calls})

		// Two of three have ended; the third is overloaded now and then.
		a.script(fails(raft.ErrClosed), fails(raft.ErrClosed))
		b.script(fails(raft.ErrStopped), fails(raft.ErrStopped))
		d.script(fails(raft.ErrOverloaded), fails(raft.ErrOverloaded))
		_, err = c.Propose(ctx, nil)
		require.NoError(t, err)
		d.script(fails(raft.ErrClosed))
		a.script(fails(raft.ErrClosed))
		b.script(fails(raft.ErrClosed))
		_, err = c.Propose(ctx, nil)
		require.ErrorIs(t, err, raft.ErrClosed)
	})
}

func TestClientPausesLongerAndLonger(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c, p := scriptedClient(t, Options{})
		var refusals []reply
		for range 1000 {
			refusals = append(refusals, fails(raft.ErrOverloaded))
		}
		p.script(refusals...)
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		_, err := c.Propose(ctx, nil)
		require.ErrorIs(t, err, raft.ErrNotCommitted)
		require.Greater(t, p.calls, 60)
		require.Less(t, p.calls, 300)
	})
}

// A session that expires between two proposals of a command: the client cannot
// know any more whether the first was applied, nor is the second.
func TestClientWhoseSessionExpiresBeforeTheRepeat(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		for _, outcome := range []error{raft.ErrOutcomeUnknown, raft.ErrNotCommitted} {
			limits := Limits{MaxSessions: 1}
			c, p := scriptedClient(t, Options{Limits: limits})
			p.script(func(ctx context.Context, b []byte) (Result[string], error) {
				if outcome == raft.ErrOutcomeUnknown {
					p.applies(nil)(ctx, b)
				}
				p.open(limits)
				return Result[string]{}, outcome
			})
			_, err := c.Propose(ctx, []byte("a"))
			require.ErrorIs(t, err, outcome)
			require.ErrorIs(t, err, ErrExpired)
			require.Len(t, p.journal.all(), map[error]int{raft.ErrOutcomeUnknown: 1}[outcome])
			_, err = c.Propose(ctx, []byte("b"))
			require.ErrorIs(t, err, raft.ErrNotCommitted, "it is not even proposed")
		}
	})
}

// A call that was given up has ended: its result is not kept for it, and later
// it is not applied.
func TestClientAcknowledgesWhatWasGivenUp(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c, p := scriptedClient(t, Options{})
		var late []byte
		p.script(func(ctx context.Context, b []byte) (Result[string], error) {
			late = b
			<-ctx.Done()
			return Result[string]{}, fmt.Errorf("%w: %w", raft.ErrOutcomeUnknown, ctx.Err())
		})
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		_, err := c.Propose(short, []byte("late"))
		require.ErrorIs(t, err, raft.ErrOutcomeUnknown)
		_, err = c.Propose(ctx, []byte("next"))
		require.NoError(t, err)
		require.Equal(t, answer(Acknowledged), p.one(late))
		require.Equal(t, []string{"next"}, p.journal.all())
	})
}

// Calls beyond MaxInFlight, counted from the oldest, wait.
func TestClientBoundsWhatIsInFlight(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c, p := scriptedClient(t, Options{Limits: Limits{MaxInFlight: 3}})
		release := make(chan struct{})
		p.script(func(context.Context, []byte) (Result[string], error) {
			<-release
			return applied("first"), nil
		})
		var group sync.WaitGroup
		group.Go(func() { c.Propose(ctx, []byte("first")) })
		synctest.Wait()
		for range 2 {
			_, err := c.Propose(ctx, []byte("beside"))
			require.NoError(t, err)
			require.EqualValues(t, 1, p.last.acknowledged)
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := c.Propose(short, []byte("given up while it waits"))
		require.ErrorIs(t, err, raft.ErrNotCommitted)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		group.Go(func() {
			_, err := c.Propose(ctx, []byte("fourth"))
			require.NoError(t, err)
		})
		synctest.Wait()
		require.Len(t, p.journal.all(), 2)
		close(release)
		group.Wait()
		require.Len(t, p.journal.all(), 3)
		require.EqualValues(t, 4, p.last.acknowledged)
	})
}

func TestClientKeepAlive(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		shared := newReplica(t)
		proposer := Proposer[string](&scripted{replica: shared})
		opts := Options{Limits: Limits{TTL: time.Second}}
		kept, err := Open(ctx, opts, proposer)
		require.NoError(t, err)
		idle, err := Open(ctx, opts, proposer)
		require.NoError(t, err)
		for range 3 {
			bubble.Sleep(900 * time.Millisecond)
			require.NoError(t, kept.KeepAlive(ctx))
		}
		_, err = idle.Propose(ctx, nil)
		require.ErrorIs(t, err, ErrExpired)
		calls := shared.next
		_, err = idle.Propose(ctx, nil)
		require.ErrorIs(t, err, ErrExpired)
		require.ErrorIs(t, idle.KeepAlive(ctx), ErrExpired)
		require.Equal(t, calls, shared.next, "a client knows that its session has expired")
		_, err = kept.Propose(ctx, nil)
		require.NoError(t, err)
	})
}

func TestClientClose(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c, p := scriptedClient(t, Options{})
		release := make(chan struct{})
		p.script(func(_ context.Context, b []byte) (Result[string], error) {
			<-release
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.one(b), nil
		})
		var group sync.WaitGroup
		group.Go(func() {
			_, err := c.Propose(ctx, []byte("in flight"))
			require.NoError(t, err)
		})
		synctest.Wait()
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		require.ErrorIs(t, c.Close(short), context.DeadlineExceeded)
		_, err := c.Propose(ctx, nil)
		require.ErrorIs(t, err, raft.ErrClosed)
		require.ErrorIs(t, err, raft.ErrNotCommitted)
		require.ErrorIs(t, c.KeepAlive(ctx), raft.ErrClosed)

		group.Go(func() { require.NoError(t, c.Close(ctx)) })
		synctest.Wait()
		require.Len(t, p.table.places, 1)
		close(release)
		group.Wait()
		require.Empty(t, p.table.places)
		require.NoError(t, c.Close(ctx), "again")
	})
}

func TestOpenRefusesBadOptions(t *testing.T) {
	p := Proposer[string](&scripted{replica: newReplica(t)})
	for name, opts := range map[string]Options{
		"MaxSessions":    {Limits: Limits{MaxSessions: -1}},
		"MaxInFlight":    {Limits: Limits{MaxInFlight: maxInFlight + 1}},
		"MaxResultBytes": {Limits: Limits{MaxResultBytes: -1}},
		"TTL":            {Limits: Limits{TTL: time.Microsecond}},
		"AttemptTimeout": {AttemptTimeout: -1},
	} {
		_, err := Open(t.Context(), opts, p)
		var config *raft.ConfigError
		require.ErrorAs(t, err, &config, name)
		require.Contains(t, config.Field, name)
	}
	_, err := Open[string](t.Context(), Options{})
	require.ErrorContains(t, err, "proposers")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Open(ctx, Options{}, p)
	require.ErrorIs(t, err, context.Canceled)
}

// unreliable is a network of proposers before one log: it loses commands and
// answers, repeats commands, and delivers them late and in another order.
type unreliable struct {
	*replica
	mu     sync.Mutex
	random *rand.Rand
}

func (u *unreliable) Propose(ctx context.Context, b []byte) (Result[string], error) {
	u.mu.Lock()
	fate, delay := u.random.IntN(7), time.Duration(u.random.IntN(200))*time.Millisecond
	u.mu.Unlock()
	unknown := fmt.Errorf("%w: lost", raft.ErrOutcomeUnknown)
	switch fate {
	case 0:
		return Result[string]{}, raft.ErrNotCommitted
	case 1:
		return Result[string]{}, unknown
	case 2: // applied, the answer is lost
		u.commit(b)
		return Result[string]{}, unknown
	case 3, 4: // applied later, perhaps after the next proposal of the same
		time.AfterFunc(delay, func() { u.commit(b) })
		return Result[string]{}, unknown
	case 5: // applied now and later
		time.AfterFunc(delay, func() { u.commit(b) })
	}
	select {
	case <-time.After(delay):
		return u.commit(b), nil
	case <-ctx.Done():
		return Result[string]{}, fmt.Errorf("%w: %w", raft.ErrOutcomeUnknown, ctx.Err())
	}
}

func (u *unreliable) commit(b []byte) Result[string] {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.one(b)
}

// Clients with many commands in flight, some of which are given up: what
// succeeded is applied once and with that result, what is definitely not
// applied is not, and nothing is applied twice.
func TestClientsOverAnUnreliableNetwork(t *testing.T) {
	for seed := range uint64(20) {
		virtual(t, func(t *testing.T, ctx context.Context) {
			u := &unreliable{replica: newReplica(t), random: rand.New(rand.NewPCG(seed, 1))}
			var mu sync.Mutex
			outcomes := map[string]error{}
			results := map[string]string{}
			var group sync.WaitGroup
			for client := range 5 {
				c, err := Open[string](ctx, Options{Limits: Limits{MaxInFlight: 4}, AttemptTimeout: 150 * time.Millisecond}, u)
				require.NoError(t, err)
				for worker := range 6 {
					group.Go(func() {
						for i := range 20 {
							ctx, cancel := ctx, context.CancelFunc(func() {})
							if i%5 == 4 {
								ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
							}
							payload := fmt.Sprintf("%d.%d.%d", client, worker, i)
							result, err := c.Propose(ctx, []byte(payload))
							cancel()
							mu.Lock()
							outcomes[payload], results[payload] = err, result
							mu.Unlock()
						}
					})
				}
			}
			group.Wait()
			bubble.Sleep(time.Second) // what is on the way arrives

			times, kinds := map[string]int{}, map[string]int{}
			for i, payload := range u.journal.all() {
				times[payload]++
				if outcomes[payload] == nil {
					require.Equal(t, fmt.Sprintf("%d:%s", i+1, payload), results[payload])
				}
			}
			for payload, err := range outcomes {
				switch {
				case err == nil:
					kinds["applied"]++
					require.Equal(t, 1, times[payload], payload)
				case errors.Is(err, raft.ErrNotCommitted):
					kinds["not applied"]++
					require.Zero(t, times[payload], payload)
				default:
					kinds["unknown"]++
					require.ErrorIs(t, err, raft.ErrOutcomeUnknown)
					require.LessOrEqual(t, times[payload], 1, payload)
				}
			}
			require.Len(t, kinds, 3, "%v", kinds)
		})
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-6281cb22/raft"
)

// load is many clients at work on a cluster at once. Each is at home on one
// replica, so that all replicas get requests, and goes on to the next one
// when its own is gone.
type load struct {
	cluster *cluster
	clients int

	done         atomic.Int64 // requests that have succeeded
	notCommitted atomic.Int64 // attempts repeated that were definitely not committed
	unknown      atomic.Int64 // attempts repeated whose outcome was unknown

	mu        sync.Mutex
	writes    []write
	latencies []time.Duration
}

// write is an acknowledged one.
type write struct {
	key     string
	version raft.Index
	node    raft.NodeID // that acknowledged it
	begun   time.Time   // when the acknowledged attempt was
	ended   time.Time
}

// Keys are numbered, and a key's value follows from it, so that whoever holds
// an acknowledgement knows what must be there.
func keyOf(n int) string        { return fmt.Sprintf("key-%06d", n) }
func valueOf(key string) string { return strings.Repeat(key+" ", 10) }

// put writes the keys lo to hi-1 and remembers what was acknowledged.
func (l *load) put(ctx context.Context, lo, hi int) error {
	return l.each(ctx, lo, hi, func(ctx context.Context, home int, key string) error {
		w, err := l.putOne(ctx, home, key)
		if err != nil {
			return fmt.Errorf("put %s: %w", key, err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.writes = append(l.writes, w)
		return nil
	})
}

// putOne writes one key, as often as it takes to get an acknowledgement.
func (l *load) putOne(ctx context.Context, home int, key string) (write, error) {
	c := command{op: opPut, key: key, value: valueOf(key)}
	for {
		r, err := l.replica(&home)
		if err != nil {
			return write{}, err
		}
		begun := time.Now()
		version, err := r.apply(ctx, c)
		if err == nil {
			return write{key: key, version: version, node: r.id, begun: begun, ended: time.Now()}, nil
		}
		if ctx.Err() != nil || errors.Is(err, errMalformed) || errors.Is(err, raft.ErrTooLarge) {
			return write{}, err
		}
		if outcomeOf(err) == unknown {
			// It may be in effect, or may yet be. Here it is safe to repeat
			// it: writing a key's only value twice is like writing it once.
			// Commands that are not so need a request id in the state machine.
			l.unknown.Add(1)
		} else {
			l.notCommitted.Add(1)
		}
		if errors.Is(err, raft.ErrStopped) || errors.Is(err, raft.ErrClosed) || errors.Is(err, raft.ErrRemoved) {
			home++ // this replica is gone
		}
		if err := pause(ctx, err); err != nil {
			return write{}, err
		}
	}
}

// get reads the keys lo to hi-1, linearizably, and checks them.
func (l *load) get(ctx context.Context, lo, hi int) error {
	return l.each(ctx, lo, hi, func(ctx context.Context, home int, key string) error {
		r, err := l.replica(&home)
		if err != nil {
			return err
		}
		it, found, err := r.read(ctx, key)
		if err != nil {
			return fmt.Errorf("get %s from node %d: %w", key, r.id, err)
		}
		if !found || it.value != valueOf(key) {
			return fmt.Errorf("get %s from node %d: acknowledged, but got %q", key, r.id, it.value)
		}
		return nil
	})
}

// each lets the clients do work for the keys lo to hi-1, each client one key
// after the other. It ends when all is done, or with the first error.
func (l *load) each(ctx context.Context, lo, hi int, work func(ctx context.Context, home int, key string) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	next.Store(int64(lo))

	var clients sync.WaitGroup
	for i := range l.clients {
		clients.Go(func() {
			var latencies []time.Duration
			for n := int(next.Add(1)) - 1; n < hi && ctx.Err() == nil; n = int(next.Add(1)) - 1 {
				begun := time.Now()
				if err := work(ctx, i, keyOf(n)); err != nil {
					cancel(err)
					break
				}
				latencies = append(latencies, time.Since(begun))
				l.done.Add(1)
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			l.latencies = append(l.latencies, latencies...)
		})
	}
	clients.Wait()
	return context.Cause(ctx)
}

// replica returns the replica that a client is at home on, or the next one
// that runs, which becomes its home.
func (l *load) replica(home *int) (*replica, error) {
	for range l.cluster.replicas {
		if r := l.cluster.replicas[*home%len(l.cluster.replicas)].Load(); r != nil {
			return r, nil
		}
		*home++
	}
	return nil, errors.New("no replica is running")
}

// pause waits a moment before a request that failed with err is repeated.
func pause(ctx context.Context, err error) error {
	wait := time.Millisecond
	if errors.Is(err, raft.ErrOverloaded) {
		wait = 20 * time.Millisecond
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// percentile returns the latency that the fraction p of all requests kept.
func (l *load) percentile(p float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.latencies) == 0 {
		return 0
	}
	slices.Sort(l.latencies)
	return l.latencies[int(p*float64(len(l.latencies)-1))]
}

// firstAfter returns the first acknowledged one of the writes that began after
// t, of which there must be one.
func (l *load) firstAfter(t time.Time) (first write) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.writes {
		if w.begun.After(t) && (first.key == "" || w.ended.Before(first.ended)) {
			first = w
		}
	}
	return first
}

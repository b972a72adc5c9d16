package raft

import (
	"context"
	"fmt"
	"time"
)

// LeaseRead is a linearizable read: it calls read, which reads the state machine
// on this node, as if it had been called after ReadBarrier. Where this node leads
// with a valid lease (see SetLease and Config.Clock) that costs neither a message
// nor a wait for any other node; elsewhere it costs what ReadBarrier does. The
// lease only makes it cheap: with correct clocks it is linearizable either way.
//
// The lease must last until read has returned. If it has not, read is called a
// second time, after a ReadBarrier: so it sets its results anew each time, and
// nothing that it has found counts before LeaseRead returns.
//
// Reads keep the lease going: where they come more often than every half of it,
// an empty entry is committed for each half in which nothing else is. A group
// that nobody reads writes nothing.
//
// It returns what read returned the last time, or the error of ReadBarrier.
func (n *Node[R]) LeaseRead(ctx context.Context, read func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return n.guardedRead(ctx, n.x.beginLeaseRead(), read)
}

// StaleRead is a read of bounded age: it calls read, which reads the state
// machine on this node, when that holds everything that was acknowledged anywhere
// longer than maxAge before the call. It costs nothing where a ReadBarrier or a
// StaleRead on this node has confirmed that of late, and else what ReadBarrier
// does: so a node that is read all the time asks the leader once in every maxAge,
// and one that is cut off goes on for as long.
//
// The age counts on this process's monotonic clock, in which time that the
// machine was suspended may be missing; no other clock is involved. For a read
// of any age at all, read the state machine without asking.
//
// It returns what read returned, or the error of ReadBarrier.
func (n *Node[R]) StaleRead(ctx context.Context, maxAge time.Duration, read func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g, err := n.x.beginStaleRead(maxAge)
	if err != nil {
		return err
	}
	return n.guardedRead(ctx, g, read)
}

// guardedRead takes g through its steps.
func (n *Node[R]) guardedRead(ctx context.Context, g guardedRead, read func() error) error {
	for {
		for !g.ready {
			if err := n.makeReady(ctx, &g); err != nil {
				return err
			}
		}
		if err := read(); g.counts() {
			return err
		}
	}
}

// makeReady waits for what g waits for.
func (n *Node[R]) makeReady(ctx context.Context, g *guardedRead) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c := n.newCall()
	defer n.free(c)
	err := g.wait(&c.future)
	if err == nil {
		err = n.awaitRead(ctx, &c.future)
	}
	return g.waited(err)
}

// awaitRead waits for the end of a call about reads, or gives it up when ctx
// ends.
func (n *Node[R]) awaitRead(ctx context.Context, f *future) error {
	select {
	case err := <-f.done:
		return err
	case <-ctx.Done():
	}
	n.x.mu.Lock()
	given := n.x.replica.abandonRead(f)
	n.x.mu.Unlock()
	if given {
		return fmt.Errorf("raft: read barrier: %w", ctx.Err())
	}
	return <-f.done
}

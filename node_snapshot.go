package raft

import (
	"context"
	"fmt"
	"io"
)

// TakeSnapshot takes a snapshot of this node's state machine and waits until it
// is committed in the storage. It returns the index of the storage's newest
// snapshot then, which holds at least all that this node had applied when the
// call came; if there is one already, none is taken. It works on any node, and
// compacts the log as snapshots that are taken by themselves do.
//
// Errors: ErrNoSnapshot when nothing has been applied yet; what the state
// machine or the storage failed with, and the node goes on; ErrClosed,
// ErrStopped and ErrRemoved; ctx.Err(), and the snapshot may come all the same.
func (n *Node[R]) TakeSnapshot(ctx context.Context) (Index, error) {
	begin := func(f *future) error { return n.x.replica.takeSnapshot(n.x.now(), f) }
	if err, _ := n.await(ctx, begin, n.x.replica.abandonSnapshot); err != nil {
		return 0, fmt.Errorf("raft: take a snapshot: %w", err)
	}
	n.x.mu.Lock()
	defer n.x.mu.Unlock()
	return n.x.replica.snapshots.newest, nil
}

// ExportSnapshot writes a backup to w: a snapshot that holds at least all that
// this node had applied when the call came, of which it takes one as
// TakeSnapshot does. ImportSnapshot makes a new cluster of it. After a
// ReadBarrier the backup holds everything that was committed before that.
//
// The backup describes itself and is protected by checksums. It is complete
// only if the error is nil: what was written to a file must still be synced and
// closed without an error. Errors are those of TakeSnapshot, of w, and a
// *CorruptError when the stored snapshot is damaged.
func (n *Node[R]) ExportSnapshot(ctx context.Context, w io.Writer) (Backup, error) {
	if _, err := n.TakeSnapshot(ctx); err != nil {
		return Backup{}, err
	}
	return n.x.exportSnapshot(ctx, w)
}

func (x *executor) exportSnapshot(ctx context.Context, w io.Writer) (Backup, error) {
	if err := x.beginWork(); err != nil {
		return Backup{}, err
	}
	defer x.endWork()
	s, body, err := x.cfg.Storage.OpenSnapshot()
	if err != nil {
		return Backup{}, fmt.Errorf("raft: export a snapshot: %w", err)
	}
	defer body.Close()
	b := Backup{Cluster: x.cluster, Group: x.cfg.Group, Snapshot: s}
	bound := &boundWriter{ctx, &boundWriter{x.ctx, w}}
	if _, err = bound.Write(b.header()); err == nil {
		err = copySnapshot(bound, body, &s)
	}
	if x.ctx.Err() != nil && err != nil {
		err = x.err()
	}
	if err != nil {
		return Backup{}, fmt.Errorf("raft: export a snapshot: %w", err)
	}
	return b, nil
}

// beginWork lets the executor wait for its caller, until endWork, before it is
// idle. The error is why the replica has ended.
func (x *executor) beginWork() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.replica.ended == nil {
		x.working++
	}
	return x.replica.ended
}

func (x *executor) endWork() {
	x.mu.Lock()
	x.working--
	x.unlock()
}

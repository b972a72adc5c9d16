package main

import (
	"context"
	"errors"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/storage/wal"
	"github.com/seed-6281cb22/raft/transport/tcp"
)

// replica is one member of the cluster: the store, and beneath it the node
// that replicates it, its log on disk and its connections to the others.
type replica struct {
	id        raft.NodeID
	store     *store
	node      *raft.Node[result]
	log       *wal.Log
	transport *tcp.Transport
}

// open starts the replica that cfg describes, on the log in directory dir.
// cfg's Storage and Transport are filled in here; the transport is the
// replica's from now on.
func open(cfg raft.Config, dir string, transport *tcp.Transport) (*replica, error) {
	log, err := wal.Open(dir, wal.Options{Logger: cfg.Logger})
	if err != nil {
		return nil, errors.Join(err, transport.Close())
	}
	cfg.Storage = log.Storage(cfg.Group)
	cfg.Transport = transport

	store := newStore()
	node, err := raft.Start(cfg, store)
	if err != nil {
		return nil, errors.Join(err, transport.Close(), log.Close())
	}
	return &replica{id: cfg.ID, store: store, node: node, log: log, transport: transport}, nil
}

// apply replicates a command and returns what it did. It works on any
// replica. The error is nil, one of the store's (nothing was changed), or one
// of raft's, which outcome explains.
func (r *replica) apply(ctx context.Context, c command) (raft.Index, error) {
	if err := c.validate(); err != nil {
		return 0, err
	}
	result, err := r.node.Propose(ctx, c.encode())
	if err != nil {
		return 0, err
	}
	return result.version, result.err
}

// read returns a key's value as of some moment during the call: after the
// barrier, this replica has applied all that was acknowledged before.
func (r *replica) read(ctx context.Context, key string) (item, bool, error) {
	if err := r.node.ReadBarrier(ctx); err != nil {
		return item{}, false, err
	}
	it, found := r.store.get(key)
	return it, found, nil
}

// readStale returns a key's value as this replica has it: perhaps an old one.
// It asks nobody, so it works without a quorum too.
func (r *replica) readStale(key string) (item, bool) { return r.store.get(key) }

// changeMembership adds or removes a member. It works on the leader.
func (r *replica) changeMembership(ctx context.Context, change raft.Change) error {
	return r.node.ChangeMembership(ctx, change)
}

func (r *replica) status() raft.Status { return r.node.Status() }

func (r *replica) hash() string { return r.store.hash() }

// close ends the replica in good order: what uses a part goes before it.
func (r *replica) close(ctx context.Context) error {
	return errors.Join(r.node.Close(ctx), r.transport.Close(), r.log.Close())
}

// crash takes the network and then the disk away beneath the running node,
// without a word to the others: calls in flight end as they may. It is as near
// to a crash as one process allows; the end-to-end test kills real processes.
// It returns the time from which on nothing was heard from the replica.
func (r *replica) crash() time.Time {
	r.transport.Close()
	silent := time.Now()
	r.log.Close()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	r.node.Close(ended) // only frees what the node holds
	return silent
}

// outcome is what an error of apply says about the command.
type outcome string

const (
	notCommitted outcome = "not committed" // it is not in effect and never will be
	unknown      outcome = "unknown"       // it may be in effect, or may yet be
)

func outcomeOf(err error) outcome {
	if errors.Is(err, raft.ErrOutcomeUnknown) {
		return unknown
	}
	for _, definite := range []error{
		errNotFound, errConflict, errMalformed,
		raft.ErrNotCommitted, raft.ErrOverloaded, raft.ErrTooLarge, raft.ErrClosed, raft.ErrStopped, raft.ErrRemoved,
		raft.ErrNotLeader, raft.ErrChangePending, raft.ErrTransferring,
	} {
		if errors.Is(err, definite) {
			return notCommitted
		}
	}
	return unknown
}

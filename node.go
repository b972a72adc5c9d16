package raft

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
)

// Node is a running replica of a group, with its state machine, whose results
// are of type R. Its methods may be called concurrently.
//
// It neither opens nor closes its storage and its transport, which must
// outlive it.
type Node[R any] struct {
	x     *executor
	calls sync.Pool // of *call[R]
}

// call is a future with room for a result.
type call[R any] struct {
	future
	result R
}

func (n *Node[R]) newCall() *call[R] {
	if c, ok := n.calls.Get().(*call[R]); ok {
		return c
	}
	c := &call[R]{future: future{done: make(chan error, 1)}}
	c.owner = c
	return c
}

// free takes back a call that has ended, or that was refused or given up.
func (n *Node[R]) free(c *call[R]) {
	var none R
	c.result, c.data, c.checksum, c.seq = none, nil, 0, 0
	n.calls.Put(c)
}

// Propose replicates a command and returns its result, once it is committed
// and applied on this node. It works on any node: a follower passes it on to
// the leader, and while there is none it waits. The command is copied.
//
// It ends when ctx does, at the latest, and needs no deadline. An error says
// what has become of the command, see also [errors.Is]:
//
//   - ErrTooLarge, ErrOverloaded: nothing was taken.
//   - ErrNotCommitted: it is not committed and never will be. It may be
//     proposed again.
//   - ErrOutcomeUnknown: it may have been committed, or may yet be.
//
// Beside one of these last two stands the cause, if there is one: ctx.Err(),
// ErrClosed, ErrRemoved, or ErrStopped and what stopped the replica. One of
// these three without them is for a call that came after the end: nothing was
// taken.
func (n *Node[R]) Propose(ctx context.Context, command []byte) (R, error) {
	var none R
	if err := ctx.Err(); err != nil {
		return none, fmt.Errorf("%w: %w", ErrNotCommitted, err)
	}
	if limit := n.x.cfg.MaxEntryBytes; len(command) > limit { // before it is copied
		n.x.mu.Lock()
		defer n.x.mu.Unlock()
		return none, n.x.replica.refuse(tooLarge(len(command), limit))
	}
	c := n.newCall()
	defer n.free(c)
	c.command(bytes.Clone(command))

	n.x.mu.Lock()
	err := n.x.replica.propose(n.x.now(), &c.future)
	n.x.unlock()
	if err != nil {
		return none, err
	}
	select {
	case err = <-c.done:
		return c.result, err
	case <-ctx.Done():
	}
	n.x.mu.Lock()
	err, given := n.x.replica.abandon(&c.future, ctx.Err())
	n.x.unlock()
	if given {
		return none, err
	}
	err = <-c.done // it has ended, just now
	return c.result, err
}

// ReadBarrier waits until this node has applied everything that was committed
// when it was called. A read of the state machine after it is linearizable. It
// works on any node, and while there is no leader it waits.
//
// It ends when ctx does, with ctx.Err(), and needs no deadline. Other errors
// are ErrClosed and ErrStopped.
func (n *Node[R]) ReadBarrier(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c := n.newCall()
	defer n.free(c)

	n.x.mu.Lock()
	err := n.x.replica.readBarrier(n.x.now(), &c.future)
	n.x.unlock()
	if err != nil {
		return err
	}
	return n.awaitRead(ctx, &c.future)
}

// ChangeMembership changes the membership by all of changes at once, and waits
// until the end of it: those that are to vote have caught up with the log, and
// the membership is committed. It works on the leader only; elsewhere it returns
// a *NotLeaderError.
//
// Voters change through joint consensus, any number of them at once, the leader
// included: it hands over when the change is done. One change at a time: see
// ErrChangePending. But as long as one waits for somebody to catch up, another
// may take its place, for instance one that removes who does not come.
//
// Errors: a *MembershipError when the change is impossible, or none;
// ErrChangePending and ErrTransferring, to be tried again later; then nothing
// has changed. ErrNotCommitted: it was lost with its leader. ErrOutcomeUnknown,
// beside it the cause: ctx.Err(), or what ended this node. The change may go on
// then, and may be asked for again.
func (n *Node[R]) ChangeMembership(ctx context.Context, changes ...Change) error {
	err, given := n.await(ctx, func(f *future) error { return n.x.replica.changeMembership(n.x.now(), f, changes) }, n.x.replica.abandonMember)
	if given {
		return fmt.Errorf("raft: change of membership: %w: %w", ErrOutcomeUnknown, err)
	}
	return err
}

// TransferLeadership hands leadership over to a voter, or with 0, to resign, to
// the one that is furthest, and returns when another node leads. It works on the
// leader only; elsewhere it returns a *NotLeaderError. Proposals wait meanwhile,
// an election timeout at most. Whom leadership should go to in the long run is
// for SetPriority: a voter of higher priority takes it back.
//
// Errors: ErrTransferFailed, and this node goes on leading, or yet another one
// does; ErrTransferring when another target is being tried; a *MembershipError
// when no such voter could lead; ctx.Err(), ErrClosed, ErrStopped.
func (n *Node[R]) TransferLeadership(ctx context.Context, to NodeID) error {
	err, given := n.await(ctx, func(f *future) error { return n.x.replica.transferLeadership(n.x.now(), f, to) }, n.x.replica.abandonMember)
	if given {
		return fmt.Errorf("raft: transfer of leadership: %w", err)
	}
	return err
}

// await begins a call and waits for its end, or gives it up when ctx ends, by
// abandon, which returns false if it has ended.
func (n *Node[R]) await(ctx context.Context, begin func(*future) error, abandon func(*future) bool) (err error, given bool) {
	if err := ctx.Err(); err != nil {
		return err, true
	}
	f := &future{done: make(chan error, 1)}
	n.x.mu.Lock()
	err = begin(f)
	n.x.unlock()
	if err != nil {
		return err, false
	}
	select {
	case err = <-f.done:
		return err, false
	case <-ctx.Done():
	}
	n.x.mu.Lock()
	given = abandon(f)
	n.x.unlock()
	if given {
		return ctx.Err(), true
	}
	return <-f.done, false
}

// Status returns the replica's state at this moment, on a leader with its view
// of every other member.
func (n *Node[R]) Status() Status {
	n.x.mu.Lock()
	defer n.x.mu.Unlock()
	return n.x.replica.core.Status()
}

// Metrics returns the node's figures at this moment.
func (n *Node[R]) Metrics() Metrics {
	n.x.mu.Lock()
	defer n.x.mu.Unlock()
	return n.x.replica.allMetrics()
}

// Done is closed when the replica has ended, by Close or by a failure of its
// storage or its state machine. Close is still to be called after a failure.
func (n *Node[R]) Done() <-chan struct{} { return n.x.done }

// Err is why the replica has ended: nil while it runs, ErrClosed after Close,
// ErrRemoved when it is no member any more, or an error that is ErrStopped and
// wraps what failed.
func (n *Node[R]) Err() error { return n.x.err() }

// Close ends the replica and all calls: those that may have reached a log with
// ErrOutcomeUnknown, others with ErrNotCommitted, all with ErrClosed. A leader
// hands over to another voter first, for an election timeout at most, so that
// nobody misses it for longer. Close waits until the node makes no more calls to
// its state machine, storage and transport, or until ctx ends, whose error it
// returns then. It may be called more than once.
func (n *Node[R]) Close(ctx context.Context) error {
	n.x.handOver(ctx)
	n.x.end(ErrClosed)
	select {
	case <-n.x.idle:
		return nil
	default:
	}
	select {
	case <-n.x.idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("raft: close: the state machine, a snapshot or the transport is still busy: %w", ctx.Err())
	}
}

// typedMachine is a StateMachine as the executor sees it.
type typedMachine[R any] struct {
	sm       StateMachine[R]
	commands []Entry // reused, for batches that hold other entries too
	results  []R
}

func (m *typedMachine[R]) apply(entries []Entry) error {
	commands := entries
	for i := range entries {
		if entries[i].Type != EntryCommand {
			commands = m.filter(entries)
			break
		}
	}
	if len(commands) == 0 {
		return nil
	}
	m.results = slices.Grow(m.results[:0], len(commands))[:len(commands)]
	return m.sm.Apply(commands, m.results)
}

// filter returns the commands among entries.
func (m *typedMachine[R]) filter(entries []Entry) []Entry {
	for i := range entries {
		if entries[i].Type == EntryCommand {
			m.commands = append(m.commands, entries[i])
		}
	}
	return m.commands
}

func (m *typedMachine[R]) deliver(i int, f *future) { f.owner.(*call[R]).result = m.results[i] }

func (m *typedMachine[R]) release() {
	m.commands, m.results = reuse(m.commands), reuse(m.results)
}

func (m *typedMachine[R]) snapshot() (io.WriterTo, error) { return m.sm.Snapshot() }

func (m *typedMachine[R]) restore(r io.Reader) error { return m.sm.Restore(r) }

func (m *typedMachine[R]) hasher() StateHasher {
	h, _ := m.sm.(StateHasher)
	return h
}

func (m *typedMachine[R]) durable() bool {
	_, ok := m.sm.(DurableStateMachine[R])
	return ok
}

func (m *typedMachine[R]) lastApplied() Index {
	if durable, ok := m.sm.(DurableStateMachine[R]); ok {
		return durable.LastApplied()
	}
	return 0
}

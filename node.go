package raft

import "context"

// (being written) The signatures of a running replica.

// Node is a running replica of a group, with its state machine.
type Node[R any] struct{}

// Start starts a replica.
func Start[R any](cfg Config, sm StateMachine[R]) (*Node[R], error) { panic("node") }

// Propose replicates a command, waits until it is applied here, and returns its result. Works on any node.
func (n *Node[R]) Propose(ctx context.Context, command []byte) (R, error) { panic("node") }

// ReadBarrier: after it returns nil, a local read is linearizable.
func (n *Node[R]) ReadBarrier(ctx context.Context) error { panic("node") }

// Status returns the replica's state.
func (n *Node[R]) Status() Status { panic("node") }

// Done is closed when the replica has ended, by Close or by a failure.
func (n *Node[R]) Done() <-chan struct{} { panic("node") }

// Err is why the replica ended; nil while it runs, ErrClosed after Close.
func (n *Node[R]) Err() error { panic("node") }

// Close stops the replica.
func (n *Node[R]) Close(ctx context.Context) error { panic("node") }

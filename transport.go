package raft

import (
	"context"
	"io"
)

// Transport carries messages between the nodes of a cluster: one for a
// process, shared by its groups. Packages transport/tcp and transport/inmem
// implement it.
//
// All methods may be called concurrently. The opener closes the transport,
// after the nodes that use it.
type Transport interface {
	// Start begins to accept and to dial. It is called once, with a node id
	// and a Handler, and before it nothing is sent or delivered. Connections
	// are made only with nodes that name the same cluster and the id that is
	// expected of them.
	Start(self Identity, h Handler) error

	// SetPeer gives the address of a node; an empty one forgets it and ends
	// its connections. A node that nobody has named can be sent to once it
	// has been heard: one that joins knows no address yet, and answers.
	SetPeer(id NodeID, address string)

	// Send sends messages, each to its To. It takes what it needs before it
	// returns (the slice and its Entries slices are the caller's again;
	// Data of entries is immutable and may be kept), and never blocks: what
	// cannot be queued is dropped, and said so by Handler.Unreachable.
	// Messages to one node arrive in order or not at all, as a rule, but
	// Raft needs neither.
	Send(messages []Message)

	// SendSnapshot sends m, an InstallSnapshot, followed by the snapshot's
	// data, on a connection of its own, and returns when the receiver has
	// accepted all of it, with an error otherwise or when ctx ends. It reads
	// m.Snapshot.Size bytes from the beginning of body, and only while it
	// runs.
	SendSnapshot(ctx context.Context, m Message, body io.ReadSeeker) error

	// Close ends all connections, goroutines and calls of SendSnapshot, which
	// return ErrClosed. When it returns, no method of the Handler is running,
	// and none is called any more. It may be called again.
	Close() error
}

// Handler receives what a Transport gets from others. Its methods may be
// called concurrently, and may be called from within no method of Transport.
type Handler interface {
	// Deliver hands over messages that arrived together. The slice and its
	// Entries slices are the transport's again when it returns, but the Data
	// of entries is not overwritten any more.
	Deliver(messages []Message)

	// DeliverSnapshot hands over an InstallSnapshot and its data, exactly
	// m.Snapshot.Size bytes, and returns nil once it is accepted. An error
	// is told to the sender. It may take as long as the data takes.
	DeliverSnapshot(m Message, body io.Reader) error

	// Unreachable says that messages to a node were dropped, or that its
	// connection broke.
	Unreachable(id NodeID)
}

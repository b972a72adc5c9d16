// Package bridge leads from this module's test kit to what package raft does
// not export: a core's inner state, and a replica that is driven by hand. Raft
// sets its variables when it is initialized; so bridge cannot import raft, and
// what is one of its types is any here.
package bridge

import (
	"io"
	"time"

	"github.com/seed-6281cb22/raft/raftpb"
)

// Environment is what a replica that is driven by hand runs in. It calls none
// of the replica's methods, and none of the functions that it is given, from
// within its own.
type Environment interface {
	// Now is the replica's time, a raft.Instant.
	Now() int64
	// Random returns what tells this run of the replica from all others.
	Random() [3]uint64
	// Arm asks for a call of Replica.Fire at an instant, in place of any that
	// was asked for before; at math.MaxInt64, for none.
	Arm(at int64)
	// Run asks for calls of step, at whatever times, until it returns false.
	Run(step func() bool)
	// SendSnapshot sends m and body, and calls done when that has ended, once.
	// Until then body is its own.
	SendSnapshot(m raftpb.Message, body io.ReadSeeker, done func(error))
}

// Replica is a running replica: what stands behind a raft.Node, apart from the
// goroutines.
type Replica interface {
	// Core returns the *raft.Raft in it.
	Core() any
	// Fire is for the time that Environment.Arm asked for.
	Fire()
	// Propose proposes a command, which is the replica's from now on. ended is
	// called when the call ends, once, unless it is refused by an error or
	// given up. GiveUp returns the error that the caller would see, false if
	// the call has ended.
	Propose(command []byte, ended func(result any, err error)) (Call, error)
	// ReadBarrier is Propose for read barriers, without a result.
	ReadBarrier(ended func(result any, err error)) (Call, error)
	// LeaseRead and StaleRead are raft.Node's: look reads the state machine, at
	// some time of Environment.Run's, and if what it returned last counts that is
	// the result.
	LeaseRead(look func() any, ended func(result any, err error)) Call
	StaleRead(maxAge time.Duration, look func() any, ended func(result any, err error)) (Call, error)
	// ChangeMembership is Propose for changes of the membership, a
	// []raft.Change, and TransferLeadership for transfers, both without a
	// result.
	ChangeMembership(changes any, ended func(result any, err error)) (Call, error)
	TransferLeadership(to raftpb.NodeID, ended func(result any, err error)) (Call, error)
	// TakeSnapshot is Propose for snapshots, without a result.
	TakeSnapshot(ended func(result any, err error)) (Call, error)
	// HandOver is what raft.Node's Close does before it ends the replica. It
	// returns false if there is nothing to wait for; else ended is called.
	HandOver(ended func(result any, err error)) bool
	// BeginReceive, Receive and EndReceive are the steps of raft.Handler's
	// DeliverSnapshot: if the data is wanted, all three are called, and if not
	// the error is the answer to the sender, as EndReceive's is.
	BeginReceive(m *raftpb.Message) (wanted bool, err error)
	Receive(m *raftpb.Message, body io.Reader) error
	EndReceive(m *raftpb.Message, err error) error
	// Close ends the replica and every call.
	Close()
	// Err is why the replica has ended, nil while it runs.
	Err() error
	// Idle reports that the replica has ended and that none of its steps
	// remains.
	Idle() bool
}

// Call is a call that waits.
type Call interface {
	GiveUp(cause error) (error, bool)
}

// Start is raft.Start for an Environment: config is a raft.Config, machine a
// raft.StateMachine[any]. Of the storage, what Save is given first must be done
// when Save returns.
var Start func(config, machine any, env Environment) (Replica, error)

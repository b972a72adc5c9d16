// Package contender is what the end-to-end benchmarks ask of a Raft library: a
// durable node with a state machine that does nothing but count. Each library
// has a package below this one that answers it.
package contender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// Config describes one node of a cluster that is the same on all nodes.
type Config struct {
	Node   int      // 1 to len(Addrs)
	Addrs  []string // where node i+1 listens, and is dialed
	Dir    string   // of this node alone; empty for a new one, else what it recovers from
	Timing Timing   // of elections
	Keep   uint64   // entries of the log that stay after a snapshot, for those who lag behind

	Machine *Machine `json:"-"` // of this node

	// SnapshotEvery makes a node take a snapshot, and free what its log has
	// before it, after so many entries. 0: only when it is asked to.
	SnapshotEvery uint64
}

// Timing says how soon a silent leader is replaced.
type Timing string

const (
	// Default is what the library does if it is not told anything else, or what
	// its documentation gives as the example where it has no default.
	Default Timing = "default"
	// Aggressive is the same for all: an election timeout of 100 ms, a heartbeat
	// every 10 ms, or the nearest to it that the library can do.
	Aggressive Timing = "aggressive"
)

// Node is one running node. All methods may be called from many goroutines.
type Node interface {
	// Leader returns the node that this one takes for the leader, 0 for none.
	Leader() int

	// Term returns the node's term.
	Term() uint64

	// Propose returns nil when data is committed, by synced logs of a majority,
	// and applied to the machine of the node that it was called on. An error says
	// nothing of whether it was. data is the node's own from then on.
	Propose(ctx context.Context, data []byte) error

	// Read returns nil when this node's machine has all that was acknowledged
	// before the call: a linearizable read could be answered now. It does so
	// with a round of messages to a majority, not by clocks, if the library
	// offers that.
	Read(ctx context.Context) error

	// Snapshot takes a snapshot of what is applied now, and frees the log before
	// it, but for Config.Keep entries.
	Snapshot() error

	// Close ends the node in an orderly way.
	Close() error
}

// Start begins a node. The first time, all nodes of Addrs are its cluster.
type Start func(Config) (Node, error)

// ErrNotLeader is returned by Propose and Read of libraries that serve them on
// the leader only.
var ErrNotLeader = errors.New("not the leader")

// Machine is the state machine of a node: it counts, and has a state of
// SnapshotBytes that nobody looks at.
type Machine struct {
	SnapshotBytes int64 // how long its snapshots are; at least 20

	applied  atomic.Uint64
	restored atomic.Uint64
}

// Apply takes one operation.
func (m *Machine) Apply([]byte) { m.applied.Add(1) }

// Applied returns how many operations are in the state.
func (m *Machine) Applied() uint64 { return m.applied.Load() }

// Restored returns how many times the state came from a snapshot.
func (m *Machine) Restored() uint64 { return m.restored.Load() }

// WriteSnapshot writes the state: the count, and what fills it up.
func (m *Machine) WriteSnapshot(w io.Writer, applied uint64) error {
	if _, err := fmt.Fprintf(w, "%020d", applied); err != nil {
		return err
	}
	filler := make([]byte, 1<<20)
	for left := m.SnapshotBytes - 20; left > 0; left -= int64(len(filler)) {
		if _, err := w.Write(filler[:min(left, int64(len(filler)))]); err != nil {
			return err
		}
	}
	return nil
}

// ReadSnapshot replaces the state by what WriteSnapshot wrote.
func (m *Machine) ReadSnapshot(r io.Reader) error {
	count := make([]byte, 20)
	if _, err := io.ReadFull(r, count); err != nil {
		return err
	}
	var applied uint64
	if _, err := fmt.Sscanf(string(count), "%d", &applied); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	m.applied.Store(applied)
	m.restored.Add(1)
	return nil
}

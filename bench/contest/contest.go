// Package contest has what all contenders of bench core and bench codec share:
// the cases, the loops that are measured, and the exchange of lines by which a
// contender, in a process of its own, takes a turn when it is asked to.
//
// It is a module of its own, which requires nothing: two versions of one
// contender cannot be in one module, and neither may decide what the other is
// built with.
package contest

import "time"

// Kind says what is done in a turn, again and again.
type Kind string

// The kinds. What is one operation stands behind each.
const (
	Propose   Kind = "propose"   // a proposal that is committed and applied
	Heartbeat Kind = "heartbeat" // the leader's heartbeat, and all its answers
	Vote      Kind = "vote"      // an election, from the timeout until the term's first entry is committed
	Read      Kind = "read"      // a linearizable read's index
	Idle      Kind = "idle"      // a heartbeat interval of a whole group, each in turn
	Memory    Kind = "memory"    // Sample.Bytes is what one replica holds
	CatchUp   Kind = "catch up"  // a follower that was cut off gets Behind entries
	Diverge   Kind = "diverge"   // a former leader's tail of Behind entries is replaced by as many
	Encode    Kind = "encode"    // an AppendEntries of Calls entries
	Decode    Kind = "decode"    // the same, as Variant says
)

// Case is what is measured.
type Case struct {
	Kind    Kind
	Variant string // Encode, Decode: one of the contender's
	Voters  int
	Bytes   int  // of each proposal's or entry's data
	Calls   int  // Propose: how often Propose is called before the replicas' next turn; Read: how many reads at once
	PerCall int  // Propose: how many entries each call has
	Wire    bool // each message is encoded and decoded
	Groups  int  // Idle, Memory: how many there are
	Behind  int  // CatchUp, Diverge: how many entries
}

// Sample is what was done in one turn.
type Sample struct {
	Ops      int
	Elapsed  time.Duration
	CPU      time.Duration // of the whole process, user and system
	Mallocs  uint64
	Bytes    uint64 // allocated; Memory: held, by one replica
	Messages uint64 // between replicas, where they are counted
}

// Wire says how messages reach a replica.
type Wire bool

// The two ways.
const (
	HandedOver Wire = false // as they are
	Encoded    Wire = true  // encoded and decoded
)

// Contender is a library that takes part.
type Contender struct {
	// Cluster returns a group of that many voters, numbered from 0, one of
	// which leads.
	Cluster func(voters int, wire Wire) (Cluster, error)
	// Codec returns what is to be timed.
	Codec func(c Case) (operation func() error, err error)
}

// Cluster is a group of replicas in one goroutine. Its storages are memory,
// its messages are handed over at once. Each method returns when nothing is
// left to do.
type Cluster interface {
	// Leader returns who leads, of those that are not cut off.
	Leader() int
	// Propose has node propose data, in so many calls with so many entries
	// each, before any replica does anything else.
	Propose(node int, data []byte, calls, perCall int) error
	// Heartbeat lets the leader's time pass, by one heartbeat interval.
	Heartbeat() error
	// Interval lets the time of all replicas that are not cut off pass, by
	// one heartbeat interval.
	Interval() error
	// Read asks for the index of n reads at once.
	Read(n int) error
	// Cut cuts a replica off: all messages from and to it are lost. Heal
	// ends that for all.
	Cut(node int)
	Heal()
	// Applied returns how many entries a replica has applied.
	Applied(node int) uint64
	// Messages returns how many have been handed over so far.
	Messages() uint64
	// Compact has all storages forget what all replicas have applied.
	Compact() error
}

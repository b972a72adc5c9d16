// Package transporttest checks that a raft.Transport keeps its contract, the
// doc comments of raft.Transport and raft.Handler:
//
//	func TestTransport(t *testing.T) {
//		transporttest.Run(t, transporttest.Options{New: func(t testing.TB) *transporttest.Network {
//			return &transporttest.Network{
//				Open: func(id raft.NodeID, address string) (raft.Transport, string, error) {
//					transport, err := mytransport.Listen(address)
//					if err != nil {
//						return nil, "", err
//					}
//					return transport, transport.Address(), nil
//				},
//			}
//		}})
//	}
//
// Run checks each part of the contract by a subtest of its own, on a Network
// of its own. During all of them it also asserts what always holds: only what
// was sent is delivered, to whom and by whom it was meant, whatever the sender
// does to its slices afterwards; what was delivered is not overwritten; of a
// snapshot the announced bytes arrive or an error; no Handler is called after
// Close; a message arrives or Unreachable is told. It is meant to be run with
// -race.
//
// A transport on TCP says so in Options, and has a Proxy put between its nodes
// that cuts, stalls, cuts to pieces and corrupts what they say. The Proxy may
// be used by itself, too.
//
// What the contract leaves open, the checks leave open: a transport may drop
// any message, as long as it says so, and what it does with messages to its own
// node is its affair. But without faults it must get entries of 3 MiB through,
// and take two snapshots at a time.
package transporttest

import (
	"testing"
	"time"

	"github.com/seed-6281cb22/raft"
)

// The clusters that the suite's nodes belong to, the second one where a check
// is about strangers. Node ids are 1 to 9. Whoever issues certificates for
// nodes needs to know.
const (
	Cluster      = "transporttest"
	OtherCluster = "another cluster"
)

// Network is where the transports of one check find each other.
type Network struct {
	// Open makes a transport for a node, which is not started, and returns
	// the address at which others reach it. The address given is that of an
	// earlier transport of the same node, closed meanwhile, which the new one
	// takes; an empty one leaves the choice to Open. It is called by one
	// goroutine at a time. The suite closes what it opens.
	Open func(id raft.NodeID, address string) (raft.Transport, string, error)
}

// Options say what is tested, and how long. Only New is required.
type Options struct {
	// New makes a network for one check. What it needs cleaned up is
	// registered with t.Cleanup.
	New func(t testing.TB) *Network

	// TCP says that the addresses are "host:port" of TCP listeners, so that
	// a Proxy can be put before them. It is that of a TCP connection, on
	// which a peer that is silent, or takes nothing, is noticed within
	// Patience.
	TCP bool

	// Resumes says that SendSnapshot goes on after a connection broke, where
	// it was. It is checked with TCP.
	Resumes bool

	// QueueBytes is how much the transport keeps for a peer that takes
	// nothing; it drops what comes beyond. Zero: it has no bound, and none is
	// checked.
	QueueBytes int

	// Silence is how long a peer may say nothing, or take nothing, before
	// the transport gives it up. Zero: it does not, or that is not checked.
	Silence time.Duration

	// Unordered says that messages may overtake each other or arrive twice
	// though no connection breaks, as the contract allows.
	Unordered bool

	// Serial says that a Handler that hangs may hold up messages between
	// other nodes, as in a simulation that delivers them one by one.
	Serial bool

	// Seeds is the number of random runs. Zero means 5.
	Seeds int

	// FirstSeed is that of the first random run; the others follow it. A
	// failure says which one it was.
	FirstSeed uint64

	// Patience is how long the suite waits for what must happen before it
	// says that it did not. Zero means 20 s.
	Patience time.Duration
}

func (o Options) withDefaults() Options {
	if o.Seeds == 0 {
		o.Seeds = 5
	}
	if o.Patience == 0 {
		o.Patience = 20 * time.Second
	}
	return o
}

// Check checks a part of the contract.
type Check struct {
	// Name names the part.
	Name string
	// Run does it. A violation is reported as a failure of t. It ends with
	// t.Skip if the transport does not promise what it checks.
	Run func(t testing.TB, o Options)
}

// Checks returns what Run runs, in this order: for a harness that is no
// testing.T, or to run one by itself.
func Checks() []Check {
	var all []Check
	for _, c := range checks {
		all = append(all, Check{Name: c.name, Run: func(t testing.TB, o Options) {
			t.Helper()
			begin(t, o).run(c)
		}})
	}
	return all
}

// Run checks a transport. Each part of the contract is a subtest.
func Run(t *testing.T, o Options) {
	t.Helper()
	for _, c := range Checks() {
		t.Run(c.Name, func(t *testing.T) { c.Run(t, o) })
	}
}

// check is a part of the contract, and what it needs of the transport.
type check struct {
	name  string
	needs func(Options) (lacks string) // nil: nothing
	run   func(*suite)
}

var checks = []check{
	{name: "Start", run: checkStart},
	{name: "BeforeStart", run: checkBeforeStart},
	{name: "Cluster", run: checkCluster},
	{name: "Node", run: checkNode},
	{name: "Answer", run: checkAnswer},
	{name: "Forget", run: checkForget},
	{name: "Address", run: checkAddress},
	{name: "Restart", run: checkRestart},
	{name: "Fields", run: checkFields},
	{name: "Sizes", run: checkSizes},
	{name: "Ownership", run: checkOwnership},
	{name: "Kept", run: checkKept},
	{name: "Order", needs: needsOrder, run: checkOrder},
	{name: "Concurrent", run: checkConcurrent},
	{name: "SendReturns", run: checkSendReturns},
	{name: "Independent", needs: needsIndependence, run: checkIndependent},
	{name: "Memory", needs: needsQueueBytes, run: checkMemory},
	{name: "Unreachable", run: checkUnreachable},
	{name: "Callbacks", run: checkCallbacks},
	{name: "Close", run: checkClose},
	{name: "CloseInTraffic", run: checkCloseInTraffic},
	{name: "CloseWaits", run: checkCloseWaits},
	{name: "Goroutines", run: checkGoroutines},
	{name: "Snapshot", run: checkSnapshot},
	{name: "SnapshotAnswer", run: checkSnapshotAnswer},
	{name: "SnapshotSize", run: checkSnapshotSize},
	{name: "SnapshotBody", run: checkSnapshotBody},
	{name: "SnapshotCancel", run: checkSnapshotCancel},
	{name: "SnapshotNobody", run: checkSnapshotNobody},
	{name: "SnapshotClose", run: checkSnapshotClose},
	{name: "SnapshotConcurrent", run: checkSnapshotConcurrent},
	{name: "SnapshotSlow", needs: needsSilence, run: checkSnapshotSlow},
	{name: "SnapshotLarge", run: checkSnapshotLarge},
	{name: "Random", run: checkRandom},
	{name: "Fragments", needs: needsTCP, run: checkFragments},
	{name: "Cut", needs: needsTCP, run: checkCut},
	{name: "CutHandshake", needs: needsTCP, run: checkCutHandshake},
	{name: "Corrupt", needs: needsTCP, run: checkCorrupt},
	{name: "Stall", needs: needsTCP, run: checkStall},
	{name: "Reroute", needs: needsTCP, run: checkReroute},
	{name: "SnapshotCut", needs: needsTCP, run: checkSnapshotCut},
	{name: "SnapshotResume", needs: needsResumption, run: checkSnapshotResume},
}

func lacks(missing bool, what string) string {
	if missing {
		return what
	}
	return ""
}

func needsOrder(o Options) string        { return lacks(o.Unordered, "Options.Unordered is set") }
func needsIndependence(o Options) string { return lacks(o.Serial, "Options.Serial is set") }
func needsTCP(o Options) string          { return lacks(!o.TCP, "Options.TCP is not set") }
func needsResumption(o Options) string {
	return lacks(!o.Resumes || !o.TCP, "Options.Resumes or Options.TCP is not set")
}
func needsSilence(o Options) string    { return lacks(o.Silence == 0, "Options.Silence is 0") }
func needsQueueBytes(o Options) string { return lacks(o.QueueBytes == 0, "Options.QueueBytes is 0") }

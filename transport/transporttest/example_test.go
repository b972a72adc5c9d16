package transporttest_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/inmem"
	"github.com/seed-6281cb22/raft/transport/transporttest"
)

// inMemory is how transports in memory are tested. In a test function:
// transporttest.Run(t, inMemory).
var inMemory = transporttest.Options{
	Serial: true, // it delivers messages one by one
	New: func(t testing.TB) *transporttest.Network {
		network := inmem.NewNetwork(inmem.Options{})
		t.Cleanup(func() { network.Close() })
		return &transporttest.Network{Open: func(id raft.NodeID, _ string) (raft.Transport, string, error) {
			return network.Transport(id), fmt.Sprint("node ", id), nil
		}}
	},
}

// verdict is a testing.TB for use outside of a test.
type verdict struct {
	testing.TB
	what string
}

func (v *verdict) Helper()               {}
func (v *verdict) Cleanup(func())        {}
func (v *verdict) Logf(string, ...any)   {}
func (v *verdict) Fatal(...any)          { v.Fatalf("") }
func (v *verdict) Fatalf(string, ...any) { v.what = "FAILED"; runtime.Goexit() }
func (v *verdict) Skip(...any)           { v.what = "left out"; runtime.Goexit() }

func Example() {
	for _, check := range transporttest.Checks() {
		v := &verdict{what: "ok"}
		done := make(chan struct{})
		go func() {
			defer close(done)
			check.Run(v, inMemory)
		}()
		<-done
		fmt.Println(check.Name, v.what)
	}
	// Output:
	// Start ok
	// BeforeStart ok
	// Cluster ok
	// Node ok
	// Answer ok
	// Forget ok
	// Address ok
	// Restart ok
	// Fields ok
	// Sizes ok
	// Ownership ok
	// Kept ok
	// Order ok
	// Concurrent ok
	// SendReturns ok
	// Independent left out
	// Memory left out
	// Unreachable ok
	// Callbacks ok
	// Close ok
	// CloseInTraffic ok
	// CloseWaits ok
	// Goroutines ok
	// Snapshot ok
	// SnapshotAnswer ok
	// SnapshotSize ok
	// SnapshotBody ok
	// SnapshotCancel ok
	// SnapshotNobody ok
	// SnapshotClose ok
	// SnapshotConcurrent ok
	// SnapshotSlow left out
	// SnapshotLarge ok
	// Random ok
	// Fragments left out
	// Cut left out
	// CutHandshake left out
	// Corrupt left out
	// Stall left out
	// Reroute left out
	// SnapshotCut left out
	// SnapshotResume left out
}

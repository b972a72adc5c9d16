package inmem_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/inmem"
	"github.com/seed-6281cb22/raft/transport/transporttest"
)

func newNetwork(opts inmem.Options) func(testing.TB) *transporttest.Network {
	return func(t testing.TB) *transporttest.Network {
		network := inmem.NewNetwork(opts)
		t.Cleanup(func() { network.Close() })
		return &transporttest.Network{Open: func(id raft.NodeID, _ string) (raft.Transport, string, error) {
			return network.Transport(id), fmt.Sprint("node ", id), nil
		}}
	}
}

func TestConformance(t *testing.T) {
	transporttest.Run(t, transporttest.Options{New: newNetwork(inmem.Options{}), Serial: true})
}

// With delays, and messages that overtake each other or come twice.
func TestConformanceWithDelays(t *testing.T) {
	transporttest.Run(t, transporttest.Options{
		New: newNetwork(inmem.Options{Seed: 1, Faults: inmem.Faults{
			MinDelay: 10 * time.Microsecond, MaxDelay: 300 * time.Microsecond, Duplicate: 0.1,
		}}),
		Serial:    true,
		Unordered: true,
	})
}

package inmem_test

import (
	"fmt"
	"io"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

// echo answers each message with the next index, up to 3.
type echo struct {
	transport raft.Transport
	network   *inmem.Manual
}

func (e echo) Deliver(messages []raft.Message) {
	for _, m := range messages {
		fmt.Printf("%v: node %d hears %d from node %d\n", time.Duration(e.network.Now()), m.To, m.Index, m.From)
		if m.Index < 3 {
			e.transport.Send([]raft.Message{{Type: m.Type, From: m.To, To: m.From, Index: m.Index + 1}})
		}
	}
}

func (e echo) DeliverSnapshot(raft.Message, io.Reader) error { return nil }
func (e echo) Unreachable(raft.NodeID)                       {}

// Two nodes talk in virtual time, driven by hand.
func Example() {
	network := inmem.NewManual(inmem.Options{
		Seed:   1,
		Faults: inmem.Faults{MinDelay: 5 * time.Millisecond},
	})
	defer network.Close()
	var first raft.Transport
	for id := raft.NodeID(2); id >= 1; id-- {
		transport := network.Transport(id)
		if err := transport.Start(raft.Identity{Cluster: "example", Node: id}, echo{transport, network}); err != nil {
			fmt.Println(err)
			return
		}
		first = transport
	}
	first.SetPeer(2, "node 2")
	first.Send([]raft.Message{{Type: raftpb.AppendEntries, From: 1, To: 2, Index: 1}})
	for at, ok := network.Next(); ok; at, ok = network.Next() {
		network.Advance(at)
	}
	// Output:
	// 5ms: node 2 hears 1 from node 1
	// 10ms: node 1 hears 2 from node 2
	// 15ms: node 2 hears 3 from node 1
}

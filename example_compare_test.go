package raft_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/storage/memory"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

// hashedCounter is a counter that can be compared with others, if it does as
// they do.
type hashedCounter struct {
	counter
	wrong uint64 // what it counts too much
}

func (c *hashedCounter) Apply(entries []raft.Entry, results []uint64) error {
	c.sum += c.wrong
	return c.counter.Apply(entries, results)
}

func (c *hashedCounter) StateHash() (uint64, error) { return c.sum, nil }

// One of three state machines has a defect. It is found when the states are
// compared, and named by an EventDiverged on every node.
func ExampleStateHasher() {
	network := inmem.NewNetwork(inmem.Options{})
	defer network.Close()
	members := []raft.Member{{ID: 1, Address: "a"}, {ID: 2, Address: "b"}, {ID: 3, Address: "c"}}
	named := make(chan raft.NodeID, 10)
	var nodes []*raft.Node[uint64]
	for _, m := range members {
		machine := &hashedCounter{}
		cfg := raft.Config{
			ID:                m.ID,
			Storage:           memory.New(),
			Transport:         network.Transport(m.ID),
			Bootstrap:         members,
			ElectionTimeout:   100 * time.Millisecond,
			CompareStateEvery: 10,
		}
		switch m.ID {
		case 1:
			cfg.OnEvent = func(e raft.Event) {
				if e.Kind == raft.EventDiverged {
					named <- e.Peer
				}
			}
		case 3:
			machine.wrong = 1
		}
		node, err := raft.Start(cfg, machine)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer node.Close(context.Background())
		nodes = append(nodes, node)
	}
	for i := range 10 {
		if _, err := nodes[0].Propose(context.Background(), []byte{byte(i)}); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println("node", <-named, "has diverged")
	<-nodes[2].Done()
	fmt.Println(errors.Is(nodes[2].Err(), raft.ErrDiverged))
	// Output:
	// node 3 has diverged
	// true
}

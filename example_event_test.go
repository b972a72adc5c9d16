package raft_test

import (
	"context"
	"fmt"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/storage/memory"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

// All that is observable comes as an Event, in order, one at a time.
func ExampleConfig_onEvent() {
	network := inmem.NewNetwork(inmem.Options{})
	defer network.Close()
	node, err := raft.Start(raft.Config{
		ID:        1,
		Storage:   memory.New(),
		Transport: network.Transport(1),
		Bootstrap: []raft.Member{{ID: 1, Address: "here"}},
		OnEvent: func(e raft.Event) {
			switch e.Kind {
			case raft.EventRole:
				fmt.Printf("%v of term %d\n", e.Role, e.Term)
			case raft.EventEnded:
				fmt.Println("ended:", e.Err)
			}
		},
	}, &counter{})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = node.Propose(context.Background(), []byte{1})
	fmt.Println("proposed:", err)
	node.Close(context.Background())
	// Unordered output:
	// pre-candidate of term 0
	// candidate of term 1
	// leader of term 1
	// proposed: <nil>
	// ended: raft: closed
}

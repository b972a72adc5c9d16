package raft_test

import (
	"bytes"
	"context"
	"fmt"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/storage/memory"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

// A backup of a cluster of one founds a new cluster of two.
func ExampleImportSnapshot() {
	network := inmem.NewNetwork(inmem.Options{})
	defer network.Close()
	ctx := context.Background()
	node, err := raft.Start(raft.Config{
		ID: 1, Storage: memory.New(), Transport: network.Transport(1),
		Bootstrap: []raft.Member{{ID: 1, Address: "one"}},
	}, &counter{})
	check(err)
	defer node.Close(ctx)
	_, err = node.Propose(ctx, []byte{40})
	check(err)

	var file bytes.Buffer // in a service, an *os.File, to be synced and closed
	backup, err := node.ExportSnapshot(ctx, &file)
	check(err)
	fmt.Println("up to entry", backup.Snapshot.Index, "of", len(backup.Snapshot.Membership.Members), "member")

	// Every founding member imports the same file, and starts.
	members := []raft.Member{{ID: 11, Address: "eleven"}, {ID: 12, Address: "twelve"}}
	var restored [2]*raft.Node[uint64]
	for i, m := range members {
		cfg := raft.Config{ID: m.ID, Storage: memory.New(), Transport: network.Transport(m.ID), Bootstrap: members}
		_, err := raft.ImportSnapshot(cfg, bytes.NewReader(file.Bytes()))
		check(err)
		restored[i], err = raft.Start(cfg, &counter{})
		check(err)
		defer restored[i].Close(ctx)
	}
	sum, err := restored[1].Propose(ctx, []byte{2})
	fmt.Println(sum, err)
	// Output:
	// up to entry 2 of 1 member
	// 42 <nil>
}

package raft_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/storage/memory"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

// A cluster moves: a node joins, takes the lead, and the old one is removed,
// without a moment in which commands are not taken.
func ExampleNode_ChangeMembership() {
	network := inmem.NewNetwork(inmem.Options{})
	defer network.Close()
	ctx := context.Background()
	start := func(id raft.NodeID, bootstrap ...raft.Member) *raft.Node[uint64] {
		node, err := raft.Start(raft.Config{
			ID:        id,
			Cluster:   "sums",
			Storage:   memory.New(),
			Transport: network.Transport(id),
			Bootstrap: bootstrap,
		}, &counter{})
		check(err)
		return node
	}
	first := start(1, raft.Member{ID: 1, Address: "one"})
	defer first.Close(ctx)
	_, err := first.Propose(ctx, []byte{40})
	check(err)

	// A node that joins has no Bootstrap: it learns of its peers from the log.
	second := start(2)
	defer second.Close(ctx)
	check(first.ChangeMembership(ctx, raft.AddVoter(2, "two")))

	// Only the leader changes the membership; here, after it has handed over.
	check(first.TransferLeadership(ctx, 2))
	check(second.ChangeMembership(ctx, raft.Remove(1)))

	<-first.Done() // it is told
	fmt.Println(errors.Is(first.Err(), raft.ErrRemoved), second.Status().Membership.Members)
	sum, err := second.Propose(ctx, []byte{2})
	fmt.Println(sum, err)
	// Output:
	// true [{2 two true false false 0 Stay}]
	// 42 <nil>
}

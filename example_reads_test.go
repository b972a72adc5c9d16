package raft_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/storage/memory"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

// account is a counter that is read while commands are applied.
type account struct {
	mu sync.Mutex
	counter
}

func (a *account) Apply(entries []raft.Entry, results []uint64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counter.Apply(entries, results)
}

func (a *account) balance() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sum
}

// Linearizable reads that cost no message on the leader, and reads of a bounded
// age that cost none anywhere.
func ExampleNode_LeaseRead() {
	network := inmem.NewNetwork(inmem.Options{})
	defer network.Close()
	ctx := context.Background()
	service := &account{}
	node, err := raft.Start(raft.Config{
		ID:        1,
		Storage:   memory.New(),
		Transport: network.Transport(1),
		Bootstrap: []raft.Member{{ID: 1, Address: "one"}},
		// A daemon keeps this machine's time to within five milliseconds.
		Clock: raft.SystemClock{MaxError: 5 * time.Millisecond},
	}, service)
	check(err)
	defer node.Close(ctx)

	_, err = node.Propose(ctx, []byte{42})
	check(err)

	// Leases are the group's, not a node's: they are set once, in its log.
	check(node.ChangeMembership(ctx, raft.SetLease(400*time.Millisecond)))

	// The function may be called twice, so it sets what it returns anew.
	var sum uint64
	check(node.LeaseRead(ctx, func() error {
		sum = service.balance()
		return nil
	}))
	fmt.Println("now:", sum)

	// Whatever was acknowledged longer than a second ago is seen.
	check(node.StaleRead(ctx, time.Second, func() error {
		sum = service.balance()
		return nil
	}))
	fmt.Println("a second ago at most:", sum)
	// Output:
	// now: 42
	// a second ago at most: 42
}

package wal_test

import (
	"fmt"
	"os"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/storage/wal"
)

func Example() {
	dir, err := os.MkdirTemp("", "wal")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	log, err := wal.Open(dir, wal.Options{})
	if err != nil {
		panic(err)
	}
	done := make(chan error)
	log.Storage(1).Save(raft.Write{
		HardState: raft.HardState{Term: 1},
		Entries:   []raft.Entry{{Index: 1, Term: 1, Data: []byte("hello")}},
	}, func(err error) { done <- err })
	fmt.Println("durable:", <-done)
	if err := log.Close(); err != nil {
		panic(err)
	}

	log, err = wal.Open(dir, wal.Options{})
	if err != nil {
		panic(err)
	}
	defer log.Close()
	state, err := log.Storage(1).Load()
	if err != nil {
		panic(err)
	}
	entries, err := log.Storage(1).Entries(nil, state.First, state.Last+1, 1<<20)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%d: %s\n", entries[0].Index, entries[0].Data)
	// Output:
	// durable: <nil>
	// 1: hello
}

func ExampleOpen_locked() {
	dir, err := os.MkdirTemp("", "wal")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	log, err := wal.Open(dir, wal.Options{})
	if err != nil {
		panic(err)
	}
	defer log.Close()
	_, err = wal.Open(dir, wal.Options{})
	_, locked := err.(*wal.LockedError)
	fmt.Println("in use:", locked)
	// Output: in use: true
}

func ExampleInspect() {
	dir, err := os.MkdirTemp("", "wal")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	log, err := wal.Open(dir, wal.Options{})
	if err != nil {
		panic(err)
	}
	done := make(chan error)
	log.Storage(7).Save(raft.Write{
		HardState: raft.HardState{Term: 1},
		Entries:   []raft.Entry{{Index: 1, Term: 1, Data: []byte("hello")}},
	}, func(err error) { done <- err })
	if err := <-done; err != nil {
		panic(err)
	}
	if err := log.Close(); err != nil {
		panic(err)
	}

	found, err := wal.Inspect(dir)
	if err != nil {
		panic(err)
	}
	for _, g := range found.Groups {
		fmt.Printf("group %d: entries %d to %d\n", g.Group, g.State.First, g.State.Last)
	}
	fmt.Println("damage:", len(found.Damage), "in use:", found.InUse)
	// Output:
	// group 7: entries 1 to 1
	// damage: 0 in use: false
}

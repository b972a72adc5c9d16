package raft_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"sync"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/storage/wal"
	"github.com/seed-6281cb22/raft/transport/tcp"
)

// Registers is the service: values by name. It does not know of its replicas.
type Registers struct {
	mu     sync.Mutex
	values map[string]string
}

// Apply executes committed commands, "name=value", on every node alike.
func (s *Registers) Apply(entries []raft.Entry, results []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range entries {
		name, value, _ := strings.Cut(string(e.Data), "=")
		results[i] = s.values[name] // for the proposer: the value it replaces
		s.values[name] = value
	}
	return nil
}

// Snapshot captures the state, which then stands for the log so far.
func (s *Registers) Snapshot() (io.WriterTo, error) {
	data, err := json.Marshal(s.values)
	return bytes.NewReader(data), err
}

// Restore replaces the state by that of a snapshot.
func (s *Registers) Restore(r io.Reader) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values = make(map[string]string)
	return json.NewDecoder(r).Decode(&s.values)
}

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "registers-")
	check(err)
	defer os.RemoveAll(dir)

	// What a node needs: a log on disk, and a connection to the others.
	disk, err := wal.Open(dir, wal.Options{})
	check(err)
	defer disk.Close()
	network, err := tcp.Listen("127.0.0.1:0", tcp.Options{})
	check(err)
	defer network.Close()

	// Here the cluster is one node. For three, run three processes, each with
	// its own ID, directory and address, and with the same list of all three.
	service := &Registers{values: make(map[string]string)}
	node, err := raft.Start(raft.Config{
		ID:        1,
		Storage:   disk.Storage(0),
		Transport: network,
		Bootstrap: []raft.Member{{ID: 1, Address: network.Addr().String(), Voter: true}},
	}, service)
	check(err)
	defer node.Close(ctx)

	// Any node takes commands. When Propose returns, the command is durable on
	// a majority, and applied here.
	_, err = node.Propose(ctx, []byte("color=blue"))
	check(err)
	old, err := node.Propose(ctx, []byte("color=green"))
	check(err)

	// After ReadBarrier, a read of this node's state is linearizable.
	check(node.ReadBarrier(ctx))
	service.mu.Lock()
	defer service.mu.Unlock()
	fmt.Printf("color was %s and is %s\n", old, service.values["color"])
	// Output: color was blue and is green
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

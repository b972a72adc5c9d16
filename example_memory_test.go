package raft_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/storage/memory"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

// counter is a state machine: a command adds its first byte, and its result is
// the sum.
type counter struct{ sum uint64 }

func (c *counter) Apply(entries []raft.Entry, results []uint64) error {
	for i := range entries {
		c.sum += uint64(entries[i].Data[0])
		results[i] = c.sum
	}
	return nil
}

func (c *counter) Snapshot() (io.WriterTo, error) { return counterSnapshot(c.sum), nil }

func (c *counter) Restore(r io.Reader) error { return binary.Read(r, binary.BigEndian, &c.sum) }

type counterSnapshot uint64

func (s counterSnapshot) WriteTo(w io.Writer) (int64, error) {
	return 8, binary.Write(w, binary.BigEndian, uint64(s))
}

// A cluster of one, in memory. A durable one of three differs only in what the
// storage and the transport are (packages storage/wal and transport/tcp), and
// in the length of the Bootstrap list.
func ExampleStart_inMemory() {
	network := inmem.NewNetwork(inmem.Options{})
	defer network.Close()
	node, err := raft.Start(raft.Config{
		ID:        1,
		Storage:   memory.New(),
		Transport: network.Transport(1),
		Bootstrap: []raft.Member{{ID: 1, Address: "here"}},
	}, &counter{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	defer node.Close(ctx)

	for _, n := range []byte{1, 2, 3} {
		sum, err := node.Propose(ctx, []byte{n})
		fmt.Println(sum, err)
	}
	// Output:
	// 1 <nil>
	// 3 <nil>
	// 6 <nil>
}

package tcp_test

import (
	"fmt"
	"io"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/seed-6281cb22/raft/transport/tcp"
)

// printer is a Handler that shows what arrives. A service does not write one:
// the replicas of package raft are the handlers.
type printer struct{ done chan struct{} }

func (p printer) Deliver(messages []raft.Message) {
	for _, m := range messages {
		fmt.Printf("node %d sends entry %d: %s\n", m.From, m.Entries[0].Index, m.Entries[0].Data)
		close(p.done)
	}
}

func (p printer) DeliverSnapshot(raft.Message, io.Reader) error { return nil }
func (p printer) Unreachable(raft.NodeID)                       {}

// Two transports in one process: one sends a message to the other.
func Example() {
	arrived := make(chan struct{})
	var transports []*tcp.Transport
	for id := raft.NodeID(1); id <= 2; id++ {
		transport, err := tcp.Listen("127.0.0.1:0", tcp.Options{})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer transport.Close()
		if err := transport.Start(raft.Identity{Cluster: "example", Node: id}, printer{arrived}); err != nil {
			fmt.Println(err)
			return
		}
		transports = append(transports, transport)
	}
	transports[0].SetPeer(2, transports[1].Addr().String())
	transports[0].Send([]raft.Message{{
		Type: raftpb.AppendEntries, From: 1, To: 2, Term: 1,
		Entries: []raft.Entry{{Term: 1, Index: 1, Data: []byte("hello")}},
	}})
	<-arrived
	// Output: node 1 sends entry 1: hello
}

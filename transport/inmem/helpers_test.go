package inmem

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
)

const ms = time.Millisecond

// at returns an instant of the network's time.
func at(d time.Duration) raft.Instant { return raft.Instant(d) }

// recorder is a Handler that writes down what it gets.
type recorder struct {
	mu          sync.Mutex // for tests whose network drives itself; those use indexes and arrivals
	now         func() raft.Instant
	messages    []raft.Message
	times       []time.Duration
	deliveries  int
	unreachable []raft.NodeID
	onDeliver   func([]raft.Message)
	onSnapshot  func(raft.Message, io.Reader) error
}

func (r *recorder) Deliver(messages []raft.Message) {
	r.mu.Lock()
	r.deliveries++
	for _, m := range messages {
		m.Entries = append([]raft.Entry(nil), m.Entries...)
		r.messages = append(r.messages, m)
		r.times = append(r.times, time.Duration(r.now()))
	}
	r.mu.Unlock()
	if r.onDeliver != nil {
		r.onDeliver(messages)
	}
}

func (r *recorder) DeliverSnapshot(m raft.Message, body io.Reader) error {
	return r.onSnapshot(m, body)
}

func (r *recorder) Unreachable(id raft.NodeID) { r.unreachable = append(r.unreachable, id) }

// indexes returns the Index of each message, which tells them apart.
func (r *recorder) indexes() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []int
	for _, m := range r.messages {
		all = append(all, int(m.Index))
	}
	return all
}

// arrivals returns when the messages came.
func (r *recorder) arrivals() []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.times)
}

type node struct {
	*Transport
	*recorder
}

// join starts a node that knows nodes 1 to 3.
func join(t testing.TB, n *Network, id raft.NodeID) *node {
	transport := n.Transport(id)
	r := &recorder{now: n.Now}
	require.NoError(t, transport.Start(raft.Identity{Cluster: "test", Node: id}, r))
	for peer := raft.NodeID(1); peer <= 3; peer++ {
		if peer != id {
			transport.SetPeer(peer, fmt.Sprint("node ", peer))
		}
	}
	return &node{transport, r}
}

func heartbeat(from, to raft.NodeID, n int) raft.Message {
	return raft.Message{Type: raftpb.AppendEntries, From: from, To: to, Term: 1, Index: raft.Index(n)}
}

func (n *node) send(to raft.NodeID, numbers ...int) {
	for _, i := range numbers {
		n.Send([]raft.Message{heartbeat(n.id, to, i)})
	}
}

// manual returns a network with nodes 1 and 2.
func manual(t testing.TB, opts Options) (network *Manual, a, b *node) {
	network = NewManual(opts)
	return network, join(t, network.Network, 1), join(t, network.Network, 2)
}

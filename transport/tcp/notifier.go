package tcp

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/seed-6281cb22/raft"
)

// notifyInterval is the least time between two reports of the same peer: the
// answer to a report may be a message that is dropped again.
const notifyInterval = 10 * time.Millisecond

// notifier calls Handler.Unreachable from a goroutine of its own: those who
// find out may hold locks that the Handler needs.
type notifier struct {
	wake chan struct{}

	mu      sync.Mutex
	pending []raft.NodeID // each at most once
}

func newNotifier() *notifier { return &notifier{wake: make(chan struct{}, 1)} }

// unreachable has a peer reported. Reports of one peer that has not been
// reported yet are one.
func (n *notifier) unreachable(id raft.NodeID) {
	n.mu.Lock()
	if !slices.Contains(n.pending, id) {
		n.pending = append(n.pending, id)
	}
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *notifier) take() []raft.NodeID {
	n.mu.Lock()
	defer n.mu.Unlock()
	ids := n.pending
	n.pending = nil
	return ids
}

// run reports until ctx ends.
func (n *notifier) run(ctx context.Context, handler raft.Handler) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		}
		for _, id := range n.take() {
			if ctx.Err() != nil {
				return
			}
			handler.Unreachable(id)
		}
		pause.Reset(notifyInterval)
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
	}
}

package inmem

import (
	"context"
	"fmt"
	"io"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// Transport is one node's raft.Transport. Network.Transport makes them.
//
// All methods may be called concurrently, none but Send, SetPeer and
// StartSnapshot from within a method of the Handler (with a Manual network,
// Close as well).
type Transport struct {
	network *Network
	id      raft.NodeID

	// Guarded by network.mu.
	self      raft.Identity
	handler   raft.Handler
	closed    bool
	peers     map[raft.NodeID]bool // known by SetPeer, or by what came from them
	reported  map[raft.NodeID]bool // an Unreachable is on its way
	calls     int                  // of the Handler, running
	transfers []*transfer          // of snapshots, to and from this node

	batch wire.Batch // of whoever delivers
}

var _ raft.Transport = (*Transport)(nil)

// Start lets messages in and out. The node id must be the one that the
// transport was made for.
func (t *Transport) Start(self raft.Identity, h raft.Handler) error {
	t.network.mu.Lock()
	defer t.network.mu.Unlock()
	switch {
	case t.closed:
		return raft.ErrClosed
	case t.handler != nil:
		return fmt.Errorf("raft/inmem: Start was called before")
	case self.Node != t.id:
		return &raft.ConfigError{Field: "Identity.Node", Reason: fmt.Sprintf("is %d, the transport is node %d's", self.Node, t.id)}
	case h == nil:
		return &raft.ConfigError{Field: "Handler", Reason: "must not be nil"}
	}
	t.self, t.handler = self, h
	return nil
}

// SetPeer makes a node known, whatever the address, or, with an empty one,
// forgets it.
func (t *Transport) SetPeer(id raft.NodeID, address string) {
	t.network.mu.Lock()
	defer t.network.mu.Unlock()
	if address == "" {
		delete(t.peers, id)
	} else {
		t.peers[id] = true
	}
}

// Send schedules messages. Handler.Unreachable is called later for nodes that
// are not known, not there or of another cluster, and when a damaged message
// arrives, but not for what is lost or blocked on the way. Before Start and
// after Close, Send does nothing.
func (t *Transport) Send(messages []raft.Message) {
	n := t.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if !t.running() {
		return
	}
	n.tick()
	for i := range messages {
		m := &messages[i]
		if !t.peers[m.To] || m.To == t.id {
			n.scheduler.stats.Undeliverable++
			n.report(t.id, m.To)
			continue
		}
		if n.upgraded[t.id] {
			n.scheduler.send(link{t.id, m.To}, nextVersion(m))
			n.scheduler.send(link{t.id, m.To}, unknownMessage(m))
			continue
		}
		frame := make([]byte, 0, wire.HeaderBytes+m.EncodedLen())
		n.scheduler.send(link{t.id, m.To}, wire.AppendMessage(frame, m))
	}
	n.arm()
}

// SendSnapshot sends a snapshot as StartSnapshot does, and waits for its end,
// or for ctx. With a Manual network somebody else must drive it meanwhile.
func (t *Transport) SendSnapshot(ctx context.Context, m raft.Message, body io.ReadSeeker) error {
	done := make(chan error, 1)
	tr, err := t.startSnapshot(m, body, func(err error) { done <- err })
	if err != nil {
		return err
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		tr.finish(context.Cause(ctx))
		return <-done
	}
}

// Close ends the transport. What it has sent and is still in flight arrives
// all the same. When Close returns, no method of the Handler is running or
// will be called (with a Manual network: other than that which calls Close).
func (t *Transport) Close() error {
	n := t.network
	n.mu.Lock()
	transfers := t.transfers
	t.transfers = nil
	t.closed = true
	if n.transports[t.id] == t {
		delete(n.transports, t.id)
	}
	n.mu.Unlock()
	for _, tr := range transfers {
		tr.closed(t)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, tr := range transfers {
		if tr.to == t && tr.awaited {
			n.snapshotReceived(tr, raft.ErrClosed)
		}
	}
	for t.calls > 0 && n.clock != nil {
		n.ended.Wait()
	}
	return nil
}

// running says that the transport is started and not closed. network.mu is
// held.
func (t *Transport) running() bool { return t.handler != nil && !t.closed }

// call calls the Handler, if the transport is running. network.mu is held, but
// not during the call.
func (t *Transport) call(f func(raft.Handler)) {
	if !t.running() {
		return
	}
	n := t.network
	t.calls++
	n.mu.Unlock()
	f(t.handler)
	n.mu.Lock()
	t.calls--
	n.ended.Broadcast()
}

package tcp

import (
	"context"

	"github.com/seed-6281cb22/raft"
)

// peer is a node that this one dials, at one address. When the address
// changes, another peer takes its place.
type peer struct {
	t       *Transport
	id      raft.NodeID
	address string
	// learned says that the address is not from SetPeer but from the node's
	// own Hello; it lives as long as its connections.
	learned bool
	senders [lanes]*sender

	ctx    context.Context
	cancel context.CancelFunc
}

func newPeer(t *Transport, id raft.NodeID, address string) *peer {
	p := &peer{t: t, id: id, address: address}
	p.ctx, p.cancel = context.WithCancel(t.ctx)
	for lane := range p.senders {
		p.senders[lane] = newSender(p, laneID(lane))
	}
	return p
}

// add queues messages, each in its lane, and returns how many of them it had to
// drop.
func (p *peer) add(messages []raft.Message) (dropped int) {
	for len(messages) > 0 {
		lane, n := laneOf(&messages[0]), 1
		for n < len(messages) && laneOf(&messages[n]) == lane {
			n++
		}
		dropped += p.senders[lane].out.add(messages[:n])
		messages = messages[n:]
	}
	return dropped
}

// retryNow ends the pauses before the next attempts to connect: there is a
// reason to believe that the node can be reached.
func (p *peer) retryNow() {
	for _, s := range p.senders {
		s.retryNow()
	}
}

func (p *peer) status() PeerStatus {
	status := PeerStatus{ID: p.id, Address: p.address, Connected: true}
	for _, s := range p.senders {
		connected, err := s.status()
		status.Connected = status.Connected && connected
		status.QueuedBytes += s.out.queuedBytes()
		if status.Err == nil {
			status.Err = err
		}
	}
	return status
}

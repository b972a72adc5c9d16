package tcp

import (
	"cmp"
	"slices"
	"sync/atomic"

	"github.com/seed-6281cb22/raft"
)

// Stats counts what a transport has done since it was opened.
type Stats struct {
	MessagesSent     uint64 // written to a connection
	BytesSent        uint64 // of messages, with their frames
	Writes           uint64 // batches of messages written
	MessagesDropped  uint64 // not sent: unknown peer, full queue, too large, or no connection
	MessagesReceived uint64 // handed to the Handler
	BytesReceived    uint64 // of messages, pings and their frames

	Connects          uint64 // connections made to peers, for messages: two for each
	ConnectFailures   uint64 // attempts that failed
	Accepted          uint64 // incoming connections that introduced themselves and were welcome
	Refused           uint64 // incoming handshakes refused by either side, see HandshakeError
	TurnedAway        uint64 // incoming connections closed unheard: too many handshakes at once
	Abandoned         uint64 // incoming connections that ended before they had introduced themselves, or inside a frame
	TimedOut          uint64 // incoming connections closed because they were silent or too slow
	Garbage           uint64 // incoming connections closed for bytes that break the protocol
	SnapshotsSent     uint64 // and accepted by the receiver
	SnapshotsResumed  uint64 // times that one that is sent went on after its connection broke
	SnapshotsReceived uint64 // and accepted by the Handler
	SnapshotsFailed   uint64 // of either kind
}

// counters is Stats while it is being counted.
type counters struct {
	messagesSent, bytesSent, writes, messagesDropped, messagesReceived, bytesReceived atomic.Uint64
	connects, connectFailures, accepted, refused, garbage                             atomic.Uint64
	turnedAway, abandoned, timedOut                                                   atomic.Uint64
	snapshotsSent, snapshotsResumed, snapshotsReceived, snapshotsFailed               atomic.Uint64
}

// Stats returns the counters.
func (t *Transport) Stats() Stats {
	c := &t.counters
	return Stats{
		MessagesSent:      c.messagesSent.Load(),
		BytesSent:         c.bytesSent.Load(),
		Writes:            c.writes.Load(),
		MessagesDropped:   c.messagesDropped.Load(),
		MessagesReceived:  c.messagesReceived.Load(),
		BytesReceived:     c.bytesReceived.Load(),
		Connects:          c.connects.Load(),
		ConnectFailures:   c.connectFailures.Load(),
		Accepted:          c.accepted.Load(),
		Refused:           c.refused.Load(),
		TurnedAway:        c.turnedAway.Load(),
		Abandoned:         c.abandoned.Load(),
		TimedOut:          c.timedOut.Load(),
		Garbage:           c.garbage.Load(),
		SnapshotsSent:     c.snapshotsSent.Load(),
		SnapshotsResumed:  c.snapshotsResumed.Load(),
		SnapshotsReceived: c.snapshotsReceived.Load(),
		SnapshotsFailed:   c.snapshotsFailed.Load(),
	}
}

// PeerStatus is what a transport knows of a peer.
type PeerStatus struct {
	ID      raft.NodeID
	Address string
	// Connected says that there are connections to send messages on, both
	// for those with entries and for the others.
	Connected bool
	// QueuedBytes wait to be sent, or are being written.
	QueuedBytes int
	// Err is why the last attempt to connect failed, or the last connection
	// ended; a *HandshakeError if the two nodes refused each other. Nil
	// while Connected.
	Err error
}

// Peers returns the peers that the transport dials, ordered by id.
func (t *Transport) Peers() []PeerStatus {
	t.mu.RLock()
	defer t.mu.RUnlock()
	all := make([]PeerStatus, 0, len(t.peers))
	for _, p := range t.peers {
		all = append(all, p.status())
	}
	slices.SortFunc(all, func(a, b PeerStatus) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

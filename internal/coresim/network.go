package coresim

import (
	"math/bits"

	"github.com/seed-6281cb22/raft/internal/tape"
	"github.com/seed-6281cb22/raft/raftpb"
)

// network is what is on its way. Each pair of nodes has a link, a queue of
// messages in the order in which they were sent.
type network struct {
	parcels []parcel
	free    []int32
	links   [MaxNodes * 8]link
	// pending has a bit for each link with messages on it, at 8 * receiver +
	// sender.
	pending uint64
}

// parcel is a message with memory for its entries.
type parcel struct {
	m       raftpb.Message
	entries []raftpb.Entry
}

// link is a ring of parcels.
type link struct {
	queue [linkLength]int32
	head  uint32
	count uint32
}

// linkLength bounds a link, as a transport's send queue is: who sends more
// loses what was sent first.
const linkLength = 128

func (n *network) reset() {
	for n.pending != 0 {
		at := bits.TrailingZeros64(n.pending)
		for n.links[at].count > 0 {
			n.release(n.take(at, 0))
		}
	}
}

// linksTo returns the links with messages for a node.
func (n *network) linksTo(to int) uint64 { return n.pending & (0xff << (8 * to)) }

// send puts a copy of m on a link.
func (n *network) send(from, to int, m *raftpb.Message) {
	at := 8*to + from
	l := &n.links[at]
	if l.count == linkLength {
		n.release(n.take(at, 0))
	}
	var k int32
	if last := len(n.free) - 1; last >= 0 {
		k, n.free = n.free[last], n.free[:last]
	} else {
		k = int32(len(n.parcels))
		n.parcels = append(n.parcels, parcel{})
	}
	p := &n.parcels[k]
	p.m = *m
	if len(m.Entries) > 0 {
		p.entries = append(p.entries[:0], m.Entries...)
		p.m.Entries = p.entries
	}
	l.queue[(l.head+l.count)%linkLength] = k
	l.count++
	n.pending |= 1 << at
}

// take removes the message at a position of a link, and returns its parcel,
// which must be released. The first one takes the place of a later one.
func (n *network) take(at int, position uint32) int32 {
	l := &n.links[at]
	k := l.queue[(l.head+position)%linkLength]
	l.queue[(l.head+position)%linkLength] = l.queue[l.head]
	l.head = (l.head + 1) % linkLength
	if l.count--; l.count == 0 {
		n.pending &^= 1 << at
	}
	return k
}

// peek returns the message at a position of a link.
func (n *network) peek(at int, position uint32) *raftpb.Message {
	l := &n.links[at]
	return &n.parcels[l.queue[(l.head+position)%linkLength]].m
}

// release makes a parcel's memory free.
func (n *network) release(k int32) { n.free = append(n.free, k) }

// pick decides for one of some links, of which there is one.
func pickLink(t *tape.Tape, links uint64) int {
	for range t.Intn(bits.OnesCount64(links)) {
		links &= links - 1
	}
	return bits.TrailingZeros64(links)
}

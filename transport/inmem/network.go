package inmem

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// Options configure a network.
type Options struct {
	// Seed determines everything that is drawn.
	Seed uint64
	// Random, if not nil, is drawn from instead. It is called by one
	// goroutine at a time.
	Random raft.Random
	// Faults is what happens on all links, to begin with.
	Faults Faults
}

// Network connects transports. Its methods may be called concurrently.
type Network struct {
	// clock is nil if the network is driven by hand.
	clock func() raft.Instant
	timer *time.Timer // fires deliver; nil as long as nothing was scheduled

	mu         sync.Mutex
	ended      sync.Cond // a call of a Handler, or deliver, has ended
	scheduler  scheduler
	transports map[raft.NodeID]*Transport
	upgraded   map[raft.NodeID]bool
	delivering bool
	closed     bool
}

// NewNetwork returns a network that delivers by itself: from a goroutine that
// runs while something is due, one message at a time. Under testing/synctest,
// create it inside the bubble. The caller closes it.
func NewNetwork(opts Options) *Network {
	start := time.Now()
	n := newNetwork(opts)
	n.clock = func() raft.Instant { return raft.Instant(time.Since(start)) }
	return n
}

func newNetwork(opts Options) *Network {
	n := &Network{
		scheduler:  newScheduler(opts),
		transports: map[raft.NodeID]*Transport{},
		upgraded:   map[raft.NodeID]bool{},
	}
	n.ended.L = &n.mu
	return n
}

// Transport returns a transport for a node. It takes the place of an earlier
// one of the same node, as after a restart; what is in flight to the node will
// reach the new one once it is started.
func (n *Network) Transport(id raft.NodeID) *Transport {
	n.mu.Lock()
	defer n.mu.Unlock()
	t := &Transport{network: n, id: id, peers: map[raft.NodeID]bool{}, reported: map[raft.NodeID]bool{}, closed: n.closed}
	n.transports[id] = t
	return t
}

// SetFaults changes the faults of all links that have none of their own, for
// messages sent from now on.
func (n *Network) SetFaults(f Faults) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.scheduler.faults = f
}

// SetLinkFaults gives one direction between two nodes faults of its own, for
// messages sent from now on.
func (n *Network) SetLinkFaults(from, to raft.NodeID, f Faults) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.scheduler.links[link{from, to}] = f
}

// Block cuts one direction between two nodes: what is on the way is lost, and
// so is what is sent. The nodes are not told.
func (n *Network) Block(from, to raft.NodeID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.scheduler.blocked[link{from, to}] = true
}

// Heal undoes Block.
func (n *Network) Heal(from, to raft.NodeID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.scheduler.blocked, link{from, to})
}

// Isolate cuts a node off from all others, both ways.
func (n *Network) Isolate(id raft.NodeID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.scheduler.isolated[id] = true
}

// Rejoin undoes Isolate.
func (n *Network) Rejoin(id raft.NodeID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.scheduler.isolated, id)
}

// HealAll undoes every Block, Isolate and SetLinkFaults.
func (n *Network) HealAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.scheduler.blocked)
	clear(n.scheduler.isolated)
	clear(n.scheduler.links)
}

// Upgrade has a node speak a next version of the wire format from now on, as
// one does in the middle of a rolling upgrade: with fields and a message type
// that this version does not know.
func (n *Network) Upgrade(id raft.NodeID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.upgraded[id] = true
}

// Downgrade undoes Upgrade.
func (n *Network) Downgrade(id raft.NodeID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.upgraded, id)
}

// Now returns the network's time, which begins at 0.
func (n *Network) Now() raft.Instant {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tick()
	return n.scheduler.now
}

// Stats returns the counters.
func (n *Network) Stats() Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.scheduler.stats
}

// Close closes all transports of the network, in order of their ids. What is in
// flight is lost. It must not be called from within a Handler.
func (n *Network) Close() error {
	n.mu.Lock()
	n.closed = true
	transports := make([]*Transport, 0, len(n.transports))
	for _, t := range n.transports {
		transports = append(transports, t)
	}
	slices.SortFunc(transports, func(a, b *Transport) int { return cmp.Compare(a.id, b.id) })
	if n.timer != nil {
		n.timer.Stop()
	}
	n.mu.Unlock()
	for _, t := range transports {
		t.Close()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.delivering && n.clock != nil {
		n.ended.Wait()
	}
	return nil
}

// tick takes the time from the clock, if there is one. mu is held.
func (n *Network) tick() {
	if n.clock != nil {
		n.scheduler.now = max(n.scheduler.now, n.clock())
	}
}

// arm sets the timer to the next event. mu is held.
func (n *Network) arm() {
	due, ok := n.scheduler.next()
	if n.clock == nil || n.delivering || n.closed || !ok {
		return
	}
	wait := time.Duration(due - n.clock())
	if n.timer == nil {
		n.timer = time.AfterFunc(wait, n.deliver)
		return
	}
	n.timer.Reset(wait)
}

// deliver is what the timer does: all that is due, including what becomes due
// meanwhile. Only one runs at a time.
func (n *Network) deliver() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.delivering || n.closed {
		return
	}
	n.delivering = true
	for !n.closed {
		e, ok := n.scheduler.take(n.clock())
		if !ok {
			break
		}
		n.handle(e)
	}
	n.delivering = false
	n.ended.Broadcast()
	n.arm()
}

// handle has an event happen. mu is held, and released while a Handler runs.
func (n *Network) handle(e event) {
	switch e.kind {
	case messageArrives:
		n.messageArrives(e)
	case snapshotArrives:
		n.snapshotArrives(e)
	case snapshotEnds:
		n.snapshotEnds(e)
	case unreachable:
		if t := n.transports[e.link.to]; t != nil {
			delete(t.reported, e.link.from)
			t.call(func(h raft.Handler) { h.Unreachable(e.link.from) })
		}
	}
}

// messageArrives delivers a message, together with those that follow it
// directly on the same link at the same time.
func (n *Network) messageArrives(first event) {
	l := first.link
	to := n.destination(l)
	for e, ok := first, true; ok; e, ok = n.scheduler.takeWith(first) {
		switch {
		case n.scheduler.cut(l):
			n.scheduler.stats.Blocked++
		case to == nil:
			n.scheduler.stats.Undeliverable++
			n.report(l.from, l.to)
		case !to.decode(e.frame):
			n.scheduler.stats.Corrupted++
			n.report(l.from, l.to)
		}
	}
	if to == nil || len(to.batch.Messages()) == 0 {
		return
	}
	to.peers[l.from] = true // whoever is heard can be answered
	n.scheduler.stats.Delivered += uint64(len(to.batch.Messages()))
	to.call(func(h raft.Handler) { h.Deliver(to.batch.Messages()) })
	to.batch.Reset()
}

// destination returns the transport that l leads to, if it takes what comes
// from there. mu is held.
func (n *Network) destination(l link) *Transport {
	from, to := n.transports[l.from], n.transports[l.to]
	switch {
	case to == nil || !to.running():
		return nil
	case from != nil && from.running() && from.self.Cluster != to.self.Cluster:
		return nil
	}
	return to
}

// report has id reported to the node at as unreachable, soon. mu is held.
func (n *Network) report(at, id raft.NodeID) {
	t := n.transports[at]
	if t == nil || !t.running() || t.reported[id] {
		return
	}
	t.reported[id] = true
	n.scheduler.schedule(0, event{kind: unreachable, link: link{from: id, to: at}})
}

// decode adds the message in frame to the batch.
func (t *Transport) decode(frame []byte) bool {
	f, _, err := wire.Parse(frame, len(frame))
	return err == nil && f.Kind == wire.KindMessage && t.batch.Add(f.Payload) == nil
}

// Manual is a network that its owner drives, in virtual time. It has no
// goroutine and waits for nobody: Handlers are called by Advance.
//
// All nodes act at the network's time: Advance to an instant before letting a
// node do what it does then.
type Manual struct {
	*Network
}

// NewManual returns a network at time 0.
func NewManual(opts Options) *Manual { return &Manual{newNetwork(opts)} }

// Next returns when the next thing will happen, false if nothing is in flight.
func (m *Manual) Next() (raft.Instant, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.scheduler.next()
}

// Advance lets the time be to, delivering everything that is due until then,
// in order of time and, at the same time, of sending, and including what the
// Handlers send meanwhile. (Without any delay, nodes that always answer keep it
// from returning.) It must not be called from within a Handler, nor by two
// goroutines at once.
func (m *Manual) Advance(to raft.Instant) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		e, ok := m.scheduler.take(to)
		if !ok {
			break
		}
		m.handle(e)
	}
	m.scheduler.now = max(m.scheduler.now, to)
}

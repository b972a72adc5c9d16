package transporttest

import (
	"sync"

	"github.com/seed-6281cb22/raft"
)

// checkStart: a node has an id and a Handler, and is started once.
func checkStart(s *suite) {
	a, b := s.open(1, nil), s.join(2)
	self := raft.Identity{Cluster: Cluster, Node: 1}
	s.fails(a.transport.Start(raft.Identity{Cluster: Cluster}, a), "Start without a node id")
	s.fails(a.transport.Start(self, nil), "Start without a Handler")
	a.start()
	s.fails(a.transport.Start(self, a), "Start after Start")
	a.know(b)
	b.know(a)
	s.reach(a, b)
	s.reach(b, a)
}

// checkBeforeStart: before Start nothing is sent and nothing is delivered, but
// peers can be named.
func checkBeforeStart(s *suite) {
	a, b := s.open(1, nil), s.open(2, nil)
	a.know(b)
	early := a.send(s.message(a, 2))[0]
	s.fails(a.sendSnapshot(2, 100).wait(), "SendSnapshot before Start")
	a.start()
	a.send(s.message(a, 2))
	b.know(a)
	s.mu.Lock()
	delivered := len(b.got)
	s.mu.Unlock()
	if delivered > 0 {
		s.Fatal("a message was delivered to a Handler before Start")
	}
	b.start()
	s.reach(a, b)
	s.reach(b, a)
	s.undelivered(early, "though it was sent before Start")
}

// undelivered fails the test if a message was delivered.
func (s *suite) undelivered(l *letter, why string) {
	s.Helper()
	s.mu.Lock()
	delivered := l.delivered
	s.mu.Unlock()
	if delivered > 0 {
		s.Fatalf("a message arrived %s: %s", why, l.what)
	}
}

// checkCluster: nodes of different clusters have nothing to do with each other.
func checkCluster(s *suite) {
	a, b, stranger := s.join(1), s.join(2), s.open(3, nil)
	stranger.cluster = OtherCluster
	stranger.start()
	for _, h := range []*host{a, b, stranger} {
		for _, other := range []*host{a, b, stranger} {
			if h != other {
				h.know(other)
			}
		}
	}
	s.tells(a, 3, "which belongs to another cluster")
	s.tells(stranger, 1, "which belongs to another cluster")
	s.fails(a.sendSnapshot(3, 100).wait(), "SendSnapshot to a node of another cluster")
	s.reach(a, b) // is not disturbed
	s.reach(b, a)
}

// checkNode: whoever is at the address of another node does not get what is
// for that one.
func checkNode(s *suite) {
	a, other := s.join(1), s.join(3)
	a.setPeer(2, other.address)
	s.tells(a, 2, "at whose address is another node")
	s.tells(a, 2, "again")
	transfer := a.sendSnapshot(2, 100)
	s.fails(transfer.wait(), "SendSnapshot to an address with another node")
	a.know(other)
	s.reach(a, other)
}

// checkAnswer: a node that has heard from another one can answer it, though
// nobody has told it an address: one that joins knows nobody.
func checkAnswer(s *suite) {
	a, b := s.join(1), s.join(2)
	a.know(b)
	s.reach(a, b)
	s.reach(b, a)
}

// checkForget: a node that is forgotten is sent nothing, until it is named
// again.
func checkForget(s *suite) {
	early, quiet := s.open(4, nil), s.join(5)
	early.know(quiet)
	early.setPeer(5, "")
	early.start()
	s.tells(early, 5, "which was forgotten before Start")

	a, b, c := s.join(1), s.open(2, nil), s.join(3)
	a.know(b)
	a.know(c)
	s.reach(a, c)
	waiting := a.send(s.message(a, 2), s.withData(a, 2, 100))
	a.setPeer(2, "")
	s.arrive(waiting)
	// It is not started, and so has not made itself known.
	forgotten := a.send(s.message(a, 2))[0]
	s.await("node 1 is told Unreachable(2), which was forgotten", func() bool { return a.unreachable[2] > forgotten.told })
	s.fails(a.sendSnapshot(2, 100).wait(), "SendSnapshot to a node that was forgotten")
	a.setPeer(2, "")
	a.setPeer(9, "") // which was never known
	b.start()
	s.reach(a, c)
	a.know(b)
	s.reach(a, b)
	s.undelivered(forgotten, "at a node that was forgotten when it was sent")
	a.know(b) // known already
	s.reach(a, b)
}

// checkAddress: a node that comes back at another address is reached there.
func checkAddress(s *suite) {
	a, b := s.pair()
	s.reach(a, b)
	s.reach(b, a)
	b.close()
	moved := s.join(2)
	a.know(moved)
	s.reach(a, moved)
	moved.know(a)
	s.reach(moved, a)
	s.ok(a.sendSnapshot(2, 1000).wait(), "SendSnapshot to a node that has moved")
	// To an address where nobody is, and back.
	c := s.open(3, nil)
	c.close()
	a.setPeer(2, c.address)
	a.know(moved)
	s.reach(a, moved)
}

// checkRestart: a node that comes back at its address is reached again, by
// those who talked to it before and without being told anything.
func checkRestart(s *suite) {
	a, b := s.pair()
	for round := range 3 {
		s.reach(a, b)
		s.reach(b, a)
		b.close()
		if round > 0 {
			s.tells(a, 2, "which was closed")
		}
		before := b
		b = s.open(2, before)
		b.start()
		s.reach(a, b)
		b.know(a)
		s.reach(b, a)
		s.ok(a.sendSnapshot(2, 1000).wait(), "SendSnapshot to a node that has restarted")
	}
}

// checkUnreachable: what cannot be sent is told, each time.
func checkUnreachable(s *suite) {
	a, b, gone := s.join(1), s.join(2), s.open(3, nil)
	gone.close()
	for range 3 {
		s.tells(a, 2, "whose address is unknown")
	}
	a.know(gone)
	for range 3 {
		s.tells(a, 3, "which is not there")
	}
	a.know(b)
	s.reach(a, b)
	b.close()
	for range 3 {
		s.tells(a, 2, "which was closed")
	}
	// What is for one node does not keep others from getting theirs.
	c := s.join(4)
	a.know(c)
	s.reach(a, c)
	letters := a.send(s.message(a, 3), s.message(a, 4), s.message(a, 9), s.message(a, 4))
	s.arrive(letters)
	s.allDelivered([]*letter{letters[1], letters[3]})
}

// checkCallbacks: no method of the Handler is called from within one of the
// transport: whoever calls Send may hold the lock that the Handler takes.
func checkCallbacks(s *suite) {
	a, b, gone := s.guarded(1), s.guarded(2), s.guarded(3)
	gone.close()
	a.know(gone)
	s.tells(a, 9, "which is not known")
	s.tells(a, 3, "which is not there")
	a.setPeer(3, "")
	a.know(b)
	s.reach(a, b)
	s.reach(b, a)
	b.close()
	s.tells(a, 2, "which was closed")
}

// guarded makes a node whose Handler waits for calls of its transport to
// return, and starts it.
func (s *suite) guarded(id raft.NodeID) *host {
	s.Helper()
	h := s.open(id, nil)
	h.guard = new(sync.RWMutex)
	h.start()
	return h
}

package transporttest

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/seed-6281cb22/raft"
)

// checkFields: every type of message arrives with each of its fields, those
// of its entries included, for any group.
func checkFields(s *suite) {
	a, b := s.pair()
	s.reach(a, b)
	for _, t := range types {
		s.allDelivered(a.send(varied(1, 2, t)...))
	}
	var messages []raft.Message
	for group := range raft.GroupID(300) {
		m := s.message(a, 2)
		m.Group = group << (group % 60)
		messages = append(messages, m)
	}
	s.allDelivered(a.send(messages...))
}

// checkSizes: entries arrive whatever their size and their number.
func checkSizes(s *suite) {
	a, b := s.pair()
	s.reach(a, b)
	for _, size := range []int{0, 1, 127, 128, 4095, 4096, 1<<16 - 1, 1 << 16, 1<<16 + 1, 1<<20 + 7, 3 << 20} {
		s.allDelivered(a.send(s.withData(a, 2, size, size/2, 0, size/3)))
	}
	for _, count := range []int{1, 2, 100, 20000} {
		sizes := make([]int, count)
		for i := range sizes {
			sizes[i] = i % 50
		}
		s.allDelivered(a.send(s.withData(a, 2, sizes...)))
	}
	empty := s.withData(a, 2, 0, 0)
	empty.Entries[0].Data, empty.Entries[1].Data = nil, []byte{}
	s.allDelivered(a.send(empty, raft.Message{From: 1, To: 2}))
	a.send() // nothing
}

// checkOwnership: what Send was given is the caller's again when it returns.
// Everything that the suite sends is overwritten then; here it is much at once.
func checkOwnership(s *suite) {
	a, b, c := s.join(1), s.join(2), s.join(3)
	a.know(b)
	a.know(c)
	s.reach(a, b)
	s.reach(a, c)
	for range 20 {
		var batch []raft.Message
		for i := range 50 {
			batch = append(batch, s.withData(a, raft.NodeID(2+i%2), i, 50, i))
		}
		s.arrive(a.send(batch...))
	}
}

// checkKept: the Data of an entry that was delivered may be kept. All that was
// delivered is looked at again at the end of each check; here it is much.
func checkKept(s *suite) {
	a, b := s.pair()
	for i := range 200 {
		s.arrive(a.send(s.withData(a, 2, 100+i, 3*i), s.withData(a, 2, 70), s.withData(a, 2, 40*i)))
	}
	s.ok(a.sendSnapshot(2, 300_000).wait(), "SendSnapshot")
	s.reach(a, b)
}

// checkOrder: without faults, messages arrive in order and once, and nobody is
// said to be unreachable.
func checkOrder(s *suite) {
	a, b := s.pair()
	s.reach(a, b)
	s.reach(b, a)
	s.mu.Lock()
	first, told := len(b.got), a.unreachable[2]
	s.mu.Unlock()
	var all []*letter
	for range 50 {
		var batch []raft.Message
		for i := range 40 {
			batch = append(batch, s.withData(a, 2, 5*i))
		}
		letters := a.send(batch...)
		s.allDelivered(letters)
		all = append(all, letters...)
	}
	for range 2000 {
		all = append(all, a.send(s.withData(a, 2, 10))...)
	}
	s.allDelivered(all)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := a.unreachable[2] - told; n > 0 {
		s.violated("node 1 was told %d times that node 2 is unreachable, which got everything", n)
	}
	s.judgeOrder(b.got[first:])
}

// judgeOrder: the context of the suite's messages grows. mu is held.
func (s *suite) judgeOrder(got []kept) {
	last := uint64(0)
	for i := range got {
		switch context := got[i].message.Context; {
		case context == last:
			s.violated("a message arrived twice: %s", describe(&got[i].message))
		case context < last:
			s.violated("a message arrived after a later one, of context %d: %s", last, describe(&got[i].message))
		default:
			last = context
		}
	}
}

// checkConcurrent: all methods may be called concurrently, and so may the
// Handler's; in both directions at once.
func checkConcurrent(s *suite) {
	var hosts []*host
	for id := raft.NodeID(1); id <= 4; id++ {
		hosts = append(hosts, s.join(id))
	}
	for _, h := range hosts {
		for _, other := range hosts {
			if h != other {
				h.know(other)
			}
		}
	}
	var mu sync.Mutex
	var all []*letter
	var group sync.WaitGroup
	for _, h := range hosts {
		for sender := range 3 {
			group.Go(func() {
				for i := range 100 {
					var batch []raft.Message
					for _, other := range hosts {
						if other != h {
							batch = append(batch, s.withData(h, other.id, i, sender))
						}
					}
					letters := h.post(batch...)
					mu.Lock()
					all = append(all, letters...)
					mu.Unlock()
				}
			})
		}
		group.Go(func() {
			for i := range 100 {
				h.transport.SetPeer(raft.NodeID(10+i%3), fmt.Sprintf("127.0.0.1:%d", 1+i%2))
				h.transport.SetPeer(raft.NodeID(10+i%3), "")
			}
		})
	}
	s.returns("Send or SetPeer, in one of 16 goroutines,", group.Wait)
	s.arrive(all)
	for _, h := range hosts {
		s.reach(hosts[0], hosts[3])
		s.reach(h, hosts[h.id%4])
	}
}

// checkSendReturns: Send never blocks, whatever the receiver does.
func checkSendReturns(s *suite) {
	a, hanging, unstarted, gone := s.join(1), s.join(2), s.open(3, nil), s.open(4, nil)
	gone.close()
	for _, h := range []*host{hanging, unstarted, gone} {
		a.know(h)
	}
	s.reach(a, hanging)
	hanging.hang()
	for range 100 {
		for _, id := range []raft.NodeID{2, 3, 4, 9} {
			a.send(s.withData(a, id, 100_000), s.message(a, id))
		}
	}
	hanging.release()
	unstarted.start()
	s.reach(a, hanging)
	s.reach(a, unstarted)
}

// checkIndependent: a Handler that hangs holds up neither other nodes nor
// messages of others to other nodes.
func checkIndependent(s *suite) {
	a, hanging, c := s.join(1), s.join(2), s.join(3)
	for _, h := range []*host{hanging, c} {
		a.know(h)
		h.know(a)
	}
	s.reach(a, hanging)
	hanging.hang()
	for range 50 {
		a.send(s.withData(a, 2, 100_000))
		s.reach(a, c)
		s.reach(c, a)
	}
	hanging.release()
	s.reach(a, hanging)
}

// checkMemory: what waits for a peer that takes nothing is bounded, and what is
// dropped is told. The receiver's share is not counted: it has taken it.
func checkMemory(s *suite) {
	const size = 64 << 10
	a, hanging, unstarted := s.join(1), s.join(2), s.open(3, nil)
	a.know(hanging)
	a.know(unstarted)
	s.reach(a, hanging)
	hanging.hang()
	defer hanging.release()
	total, limit := int64(8*s.o.QueueBytes+32<<20), int64(3*s.o.QueueBytes+16<<20)
	for _, h := range []*host{hanging, unstarted} {
		before, first := heap(), a.send(s.message(a, h.id))[0]
		for sent := int64(0); sent < total; sent += size {
			a.send(s.withData(a, h.id, size))
		}
		if grown := heap() - before; grown > limit {
			s.Fatalf("%d bytes for a node that takes nothing keep %d bytes in memory, with QueueBytes %d", total, grown, s.o.QueueBytes)
		}
		s.await("it is told that messages were dropped", func() bool { return a.unreachable[h.id] > first.told })
	}
}

// heap returns the bytes in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

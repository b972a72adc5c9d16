package transporttest

import (
	"io"
	"math/rand/v2"
	"time"

	"github.com/seed-6281cb22/raft"
)

// through puts a proxy between a and b: a knows b by its address.
func (s *suite) through(a, b *host) *Proxy {
	s.Helper()
	p, err := NewProxy(b.address)
	s.ok(err, "NewProxy")
	s.proxies = append(s.proxies, p)
	a.setPeer(b.id, p.Address())
	return p
}

// star returns a node and others that it reaches through a proxy each. They
// know it, too, directly.
func (s *suite) star(n int) (center *host, others []*host, proxies []*Proxy) {
	s.Helper()
	center = s.join(1)
	for i := range n {
		h := s.join(raft.NodeID(2 + i))
		proxies = append(proxies, s.through(center, h))
		h.know(center)
		others = append(others, h)
	}
	return center, others, proxies
}

// inOrder judges the order of messages with entries, which are of one kind.
func (s *suite) inOrder(hosts ...*host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.o.Unordered {
		return
	}
	for _, h := range hosts {
		var got []kept
		for i := range h.got {
			if len(h.got[i].message.Entries) > 0 {
				got = append(got, h.got[i])
			}
		}
		s.judgeOrder(got)
	}
}

// checkFragments: what arrives in pieces is put together, whatever the pieces.
func checkFragments(s *suite) {
	center, others, proxies := s.star(4)
	plans := []Plan{{Piece: 1}, {Piece: 7}, {Piece: 100}, {Piece: 1000, Delay: 100_000}}
	for i, p := range proxies {
		p.SetPlan(func(int) Plan { return plans[i] })
		p.Cut() // what it has accepted before
	}
	var told []int
	for _, h := range others {
		s.reach(center, h)
	}
	s.mu.Lock()
	for _, h := range others {
		told = append(told, center.unreachable[h.id])
	}
	s.mu.Unlock()
	var transfers []*transfer
	var letters []*letter
	for _, h := range others {
		transfers = append(transfers, center.sendSnapshot(h.id, 20_000))
		for i := range 30 {
			letters = append(letters, center.send(s.withData(center, h.id, 10*i, 0, i))...)
		}
	}
	s.allDelivered(letters)
	for _, t := range transfers {
		s.ok(t.wait(), "SendSnapshot over a connection that breaks it to pieces")
	}
	s.inOrder(others...)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, h := range others {
		if center.unreachable[h.id] > told[i] {
			s.violated("Unreachable(%d) was told, which got everything, though in pieces", h.id)
		}
	}
}

// checkCut: what was on a connection that breaks arrives or is told, the others
// follow on another connection, and nothing is delivered that was not sent.
func checkCut(s *suite) {
	s.faulty(func(r *rand.Rand) Action {
		if r.IntN(3) == 0 {
			return End
		}
		return Cut
	})
}

// checkCorrupt: damage is noticed, wherever it is, and ends the connection.
func checkCorrupt(s *suite) {
	s.faulty(func(*rand.Rand) Action { return Corrupt })
}

// faulty sends over connections that each have a fault, at an offset that a
// seed gives.
func (s *suite) faulty(action func(*rand.Rand) Action) {
	const connections = 6
	center, others, proxies := s.star(6)
	s.Logf("seed %d", s.o.FirstSeed)
	for i, p := range proxies {
		random := rand.New(rand.NewPCG(s.o.FirstSeed, uint64(i)))
		p.SetPlan(func(n int) Plan {
			if n >= connections {
				return Plan{}
			}
			return Plan{Faults: []Fault{s.randomFault(random, action, 1<<16)}}
		})
		p.Cut() // what it has accepted before
	}
	done := func(p *Proxy) bool { return p.Accepted() > connections }
	rounds := 0
	s.untilAll(proxies, done, func(i int) []*letter {
		if rounds++; rounds%(8*len(proxies)) < len(proxies) {
			proxies[i].Cut() // one that is not used so much that its fault would come
		}
		var batch []raft.Message
		for range 5 {
			batch = append(batch, s.withData(center, others[i].id, 3000, 1, 500))
		}
		return center.send(batch...)
	})
	for _, h := range others {
		s.reach(center, h)
	}
	s.inOrder(others...)
}

// randomFault draws one at an offset below a limit, more often an early one:
// the handshakes are there. What comes back is never much.
func (s *suite) randomFault(r *rand.Rand, action func(*rand.Rand) Action, limit int64) Fault {
	f := Fault{Direction: Direction(r.IntN(2)), Action: action(r)}
	if f.Direction == FromTarget {
		limit = min(limit, 1<<7)
	}
	for f.At = limit; f.At > 1 && r.IntN(3) > 0; {
		f.At /= 2
	}
	f.At = r.Int64N(f.At)
	return f
}

// untilAll sends something through each proxy, again and again until each is
// done, and waits each time until it has arrived or was told to be dropped.
// Meanwhile each must see new connections.
func (s *suite) untilAll(proxies []*Proxy, done func(*Proxy) bool, send func(i int) []*letter) {
	s.Helper()
	accepted, since := make([]int, len(proxies)), make([]time.Time, len(proxies))
	for rest := true; rest; {
		rest = false
		var letters []*letter
		for i, p := range proxies {
			if done(p) {
				continue
			}
			rest = true
			if n := p.Accepted(); n != accepted[i] || since[i].IsZero() {
				accepted[i], since[i] = n, time.Now()
			} else if time.Since(since[i]) > s.o.Patience {
				s.Fatalf("no new connection was made for %v in place of one that broke", s.o.Patience)
			}
			letters = append(letters, send(i)...)
		}
		s.arrive(letters)
	}
}

// checkCutHandshake: a connection that breaks after any number of bytes is made
// again.
func checkCutHandshake(s *suite) {
	const each = 40
	center, others, proxies := s.star(6)
	for i, p := range proxies {
		direction := Direction(i % 2)
		p.SetPlan(func(n int) Plan {
			at := int64(n*3 + i/2) // every byte of the first 120
			switch {
			case n >= each+10:
				return Plan{}
			case n >= each: // and some that are further away, in a handshake of TLS
				at = 120 + int64(n-each)*311
			}
			return Plan{Faults: []Fault{{direction, at, Cut}}}
		})
		p.Cut()
	}
	done := func(p *Proxy) bool { return p.Accepted() > each+10 }
	s.untilAll(proxies, done, func(i int) []*letter {
		proxies[i].Cut() // a connection that has got beyond its handshake
		return center.send(s.withData(center, others[i].id, 4000))
	})
	for _, h := range others {
		s.reach(center, h)
	}
	s.inOrder(others...)
}

// checkStall: a connection that stands still, in either direction or in both,
// is noticed, and given up for another one.
func checkStall(s *suite) {
	center, others, proxies := s.star(4)
	for _, h := range others {
		s.reach(center, h)
		s.reach(h, center)
	}
	waiting := s.newGate()
	defer waiting.open()
	s.mu.Lock()
	var before []int
	for _, h := range others {
		before = append(before, center.unreachable[h.id])
	}
	s.mu.Unlock()
	// The last one stalls in the middle of a snapshot.
	last := len(others) - 1
	t := center.sendSnapshot(others[last].id, 1<<40)
	s.await("DeliverSnapshot", func() bool { return t.letter.received })
	for i, directions := range [][]Direction{{ToTarget}, {FromTarget}, {ToTarget, FromTarget}, {ToTarget}} {
		proxies[i].Stall(directions...)
		center.send(s.withData(center, others[i].id, 100))
	}
	s.await("Unreachable is told of all nodes whose connections stand still", func() bool {
		for i, h := range others {
			if center.unreachable[h.id] == before[i] {
				return false
			}
		}
		return true
	})
	s.fails(t.wait(), "SendSnapshot over a connection that stands still")
	s.await("DeliverSnapshot returns", func() bool { return others[last].running == 0 })
	for i, p := range proxies {
		p.Resume()
		s.reach(center, others[i])
	}
	s.install(center, others[last].id, 1000)
}

// checkSnapshotCut: a snapshot over a connection with a fault, of any kind and
// anywhere, arrives as it is, or fails on both sides.
func checkSnapshotCut(s *suite) {
	const rounds, size = 12, 3 << 20
	s.Logf("seed %d", s.o.FirstSeed)
	random := rand.New(rand.NewPCG(s.o.FirstSeed, 1))
	center, others, proxies := s.star(4)
	for _, h := range others {
		s.reach(center, h)
	}
	for round := range rounds {
		var transfers []*transfer
		for i, p := range proxies {
			action := []Action{Cut, End, Corrupt}[random.IntN(3)]
			fault := s.randomFault(random, func(*rand.Rand) Action { return action }, size*5/4)
			p.SetPlan(func(n int) Plan {
				if n > 0 {
					return Plan{}
				}
				return Plan{Faults: []Fault{fault}}
			})
			transfers = append(transfers, center.sendSnapshot(others[i].id, random.Int64N(size)*int64(round%4)/3))
		}
		for _, t := range transfers {
			t.wait() // whatever it returns: it is judged what was delivered
		}
	}
	for i, p := range proxies {
		p.SetPlan(nil)
		s.install(center, others[i].id, size)
	}
}

// checkReroute: what is on its way when a node's address changes arrives or is
// told, though it was the caller who had the connection ended.
func checkReroute(s *suite) {
	center, others, proxies := s.star(2)
	for i, h := range others {
		s.reach(center, h)
		proxies[i].Stall(ToTarget)
		letters := center.send(s.withData(center, h.id, 10), s.message(center, h.id), s.withData(center, h.id, 100_000))
		if i == 0 {
			s.through(center, h)
		} else {
			center.setPeer(h.id, "")
		}
		s.arrive(letters)
	}
	s.reach(center, others[0])
}

// checkSnapshotResume: a snapshot whose connection breaks goes on where it was.
// It is delivered once, and what has arrived is not sent again.
func checkSnapshotResume(s *suite) {
	const size = 8 << 20
	center, others, proxies := s.star(1)
	receiver, p := others[0], proxies[0]
	s.reach(center, receiver)
	for _, action := range []Action{Cut, End} {
		calls := 0
		receiver.handles(func(m raft.Message, r io.Reader) error {
			s.mu.Lock()
			calls++
			s.mu.Unlock()
			return readAll(m, r)
		})
		p.SetPlan(func(n int) Plan {
			if n > 2 {
				return Plan{}
			}
			return Plan{Faults: []Fault{{ToTarget, int64(2+n) << 20, action}}}
		})
		before := p.Bytes(ToTarget)
		s.ok(center.sendSnapshot(receiver.id, size).wait(), "SendSnapshot over connections that break")
		// A cut loses what is in buffers, however much that is; an end does
		// not.
		if sent := p.Bytes(ToTarget) - before; action == End && sent > size+size/4 {
			s.Fatalf("a snapshot of %d bytes whose connection broke three times took %d bytes", size, sent)
		}
		s.mu.Lock()
		again := calls
		s.mu.Unlock()
		if again != 1 {
			s.Fatalf("DeliverSnapshot was called %d times for one snapshot", again)
		}
	}
}

package transporttest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft"
)

// suite is one check under way: the nodes, and what they have told each other.
type suite struct {
	testing.TB
	o   Options
	net *Network

	mu      sync.Mutex
	changed chan struct{} // closed when something has happened
	hosts   []*host
	sent    map[fingerprint]*letter // all that was given to Send and to SendSnapshot
	numbers uint64                  // tell messages apart
	gates   []*gate
	proxies []*Proxy
	wrong   string // the first violation of what always holds
}

func begin(t testing.TB, o Options) *suite {
	t.Helper()
	return &suite{TB: t, o: o.withDefaults(), changed: make(chan struct{}), sent: map[fingerprint]*letter{}}
}

func (s *suite) run(c check) {
	s.Helper()
	if c.needs != nil {
		if reason := c.needs(s.o); reason != "" {
			s.Skip("left out: " + reason)
		}
	}
	s.net = s.o.New(s.TB)
	defer s.abandon() // after a failure
	c.run(s)
	s.end()
}

// renew ends all that a part of a check has begun, and begins with another
// network.
func (s *suite) renew() {
	s.Helper()
	s.end()
	s.net = s.o.New(s.TB)
	s.hosts, s.sent = nil, map[fingerprint]*letter{}
}

// end closes what is open and judges what was delivered until then.
func (s *suite) end() {
	s.Helper()
	for _, h := range s.hosts {
		h.close()
	}
	for _, p := range s.proxies {
		p.Close()
	}
	for _, h := range s.hosts {
		h.judgeKept()
	}
	s.judge()
}

// abandon closes what a check that has failed has left open. It lets go of
// handlers that hang, and waits for nothing.
func (s *suite) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.proxies {
		p.Close()
	}
	for _, g := range s.gates {
		g.openLocked()
	}
	for _, h := range s.hosts {
		if !h.closed {
			go h.transport.Close()
		}
	}
}

// gate is what a Handler waits at, until the check opens it or has failed.
type gate struct {
	s      *suite
	way    chan struct{}
	isOpen bool // guarded by s.mu
}

func (s *suite) newGate() *gate {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := &gate{s: s, way: make(chan struct{})}
	s.gates = append(s.gates, g)
	return g
}

func (g *gate) open() {
	g.s.mu.Lock()
	defer g.s.mu.Unlock()
	g.openLocked()
}

// openLocked is open with s.mu held.
func (g *gate) openLocked() {
	if !g.isOpen {
		g.isOpen = true
		close(g.way)
	}
}

// pass waits until the gate is open.
func (g *gate) pass() { <-g.way }

// violated records that something is wrong that always holds. mu is held.
func (s *suite) violated(format string, args ...any) {
	if s.wrong == "" {
		s.wrong = fmt.Sprintf(format, args...)
	}
	s.happened()
}

// happened wakes those who wait. mu is held.
func (s *suite) happened() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// judge fails the test if something was wrong.
func (s *suite) judge() {
	s.Helper()
	s.mu.Lock()
	wrong := s.wrong
	s.mu.Unlock()
	if wrong != "" {
		s.Fatal(wrong)
	}
}

// await waits until a condition holds, which is asked with mu held.
func (s *suite) await(what string, condition func() bool) {
	s.Helper()
	if !s.holds(condition, s.o.Patience) {
		s.Fatalf("not within %v: %s", s.o.Patience, what)
	}
}

// holds says whether a condition holds, now or within a time. What always
// holds is judged meanwhile.
func (s *suite) holds(condition func() bool, within time.Duration) bool {
	s.Helper()
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	for {
		s.mu.Lock()
		ok, wrong, changed := condition(), s.wrong, s.changed
		s.mu.Unlock()
		if wrong != "" {
			s.Fatal(wrong)
		}
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-timeout.C:
			return false
		}
	}
}

// returns calls a function that must not block.
func (s *suite) returns(what string, f func()) {
	s.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	timeout := time.NewTimer(s.o.Patience)
	defer timeout.Stop()
	select {
	case <-done:
	case <-timeout.C:
		s.judge()
		s.Fatalf("%s has not returned for %v", what, s.o.Patience)
	}
}

func (s *suite) ok(err error, what string) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v", what, err)
	}
}

func (s *suite) fails(err error, what string) {
	s.Helper()
	if err == nil {
		s.Fatalf("%s: no error", what)
	}
}

// pair returns two nodes, 1 and 2, that know each other.
func (s *suite) pair() (a, b *host) {
	s.Helper()
	a, b = s.join(1), s.join(2)
	a.know(b)
	b.know(a)
	return a, b
}

// reach sends messages from a to b until one arrives. Of the others a must be
// told.
func (s *suite) reach(a, b *host) {
	s.Helper()
	deadline := time.Now().Add(s.o.Patience)
	var sent []*letter
	for arrived := false; !arrived; {
		latest := a.send(s.message(a, b.id))[0]
		sent = append(sent, latest)
		s.await(fmt.Sprintf("a message from node %d to node %d arrives, or Unreachable(%d) is told", a.id, b.id, b.id), func() bool {
			arrived = slices.ContainsFunc(sent, func(l *letter) bool { return l.delivered > 0 })
			return arrived || a.unreachable[b.id] > latest.told
		})
		if !arrived && time.Now().After(deadline) {
			s.Fatalf("no message from node %d has reached node %d for %v", a.id, b.id, s.o.Patience)
		}
	}
}

// arrive waits until each of some letters was delivered, or its sender told
// that one was not.
func (s *suite) arrive(letters []*letter) {
	s.Helper()
	s.await("all messages arrive, or Unreachable is told", func() bool {
		for _, l := range letters {
			if l.delivered == 0 && l.from.unreachable[l.to] == l.told {
				return false
			}
		}
		return true
	})
}

// allDelivered waits until each of some letters was delivered.
func (s *suite) allDelivered(letters []*letter) {
	s.Helper()
	n := 0
	if !s.holds(func() bool {
		for n < len(letters) && letters[n].delivered > 0 {
			n++
		}
		return n == len(letters)
	}, s.o.Patience) {
		s.Fatalf("of %d messages on a network without faults, only the first %d arrived, and then not this one: %v", len(letters), n, letters[n].what)
	}
}

// tells sends a message from a to a node and waits until a was told that it was
// dropped.
func (s *suite) tells(a *host, id raft.NodeID, why string) {
	s.Helper()
	letter := a.send(s.message(a, id))[0]
	s.await(fmt.Sprintf("node %d is told Unreachable(%d), %s", a.id, id, why), func() bool { return a.unreachable[id] > letter.told })
}

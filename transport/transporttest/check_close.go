package transporttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"time"

	"github.com/seed-6281cb22/raft"
)

// checkClose: after Close the transport does nothing, and says so.
func checkClose(s *suite) {
	a, b := s.pair()
	s.reach(a, b)
	a.close()
	s.returns("Close after Close", func() { s.ok(a.transport.Close(), "Close after Close") })
	a.send(s.message(a, 2), s.message(a, 9))
	a.setPeer(2, "")
	a.know(b)
	if err := a.transport.Start(raft.Identity{Cluster: Cluster, Node: 1}, a); err == nil {
		s.Fatal("Start after Close: no error")
	}
	if err := a.sendSnapshot(2, 10).wait(); !errors.Is(err, raft.ErrClosed) {
		s.Fatalf("SendSnapshot after Close returned: %v", err)
	}
	for range 3 {
		s.tells(b, 1, "which was closed")
	}
	unstarted := s.open(3, nil)
	unstarted.close()
	if err := unstarted.transport.Start(raft.Identity{Cluster: Cluster, Node: 3}, unstarted); !errors.Is(err, raft.ErrClosed) {
		s.Fatalf("Start after Close returned: %v", err)
	}
	c := s.join(4)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() { c.closeNow() })
	}
	s.returns("Close, called four times at once,", group.Wait)
}

// checkCloseInTraffic: Close returns while messages and snapshots come and go,
// and no method of the Handler is called after it.
func checkCloseInTraffic(s *suite) {
	for range 10 {
		a, b, c := s.join(1), s.join(2), s.join(3)
		for _, h := range []*host{a, b, c} {
			for _, other := range []*host{a, b, c} {
				if h != other {
					h.know(other)
				}
			}
		}
		s.reach(a, b)
		stop := make(chan struct{})
		var group sync.WaitGroup
		for _, h := range []*host{a, b, c} {
			group.Go(func() {
				for s.chatter(h, stop) {
				}
			})
		}
		t, u := b.sendSnapshot(1, 1<<40), a.sendSnapshot(2, 1<<40)
		s.reach(c, a)
		s.reach(b, c)
		a.close()
		b.close()
		close(stop)
		s.returns("Send", group.Wait)
		s.fails(t.wait(), "SendSnapshot to a node that was closed meanwhile")
		s.fails(u.wait(), "SendSnapshot from a node that was closed meanwhile")
		s.renew()
	}
}

// chatter sends a message to everybody, and waits until each has arrived or was
// told to be dropped. It returns false when it is to stop.
func (s *suite) chatter(h *host, stop chan struct{}) bool {
	var letters []*letter
	for id := raft.NodeID(1); id <= 4; id++ {
		if id != h.id {
			letters = append(letters, h.post(s.withData(h, id, 100), s.message(h, id))...)
		}
	}
	for len(letters) > 0 {
		s.mu.Lock()
		l, changed := letters[0], s.changed
		done := l.delivered > 0 || h.unreachable[l.to] > l.told
		s.mu.Unlock()
		if done {
			letters = letters[1:]
			continue
		}
		select {
		case <-changed:
		case <-stop:
			return false
		}
	}
	return true
}

// checkCloseWaits: Close waits for the Handler, whose calls have returned when
// it does, and for nothing else: not for a peer that takes nothing, nor one
// that does not answer.
func checkCloseWaits(s *suite) {
	a, hanging, unstarted := s.join(1), s.join(2), s.open(3, nil)
	a.know(hanging)
	a.know(unstarted)
	s.reach(a, hanging)
	hanging.hang()
	for range 50 {
		a.send(s.withData(a, 2, 100_000), s.withData(a, 3, 100_000))
	}
	t := a.sendSnapshot(3, 1000)
	s.await("Deliver hangs", func() bool { return hanging.held > 0 })
	if !s.o.Serial {
		a.close()
		s.fails(t.wait(), "SendSnapshot, with Close meanwhile")
	}

	// Its own Handler hangs. Close may wait for that; it is let go by what
	// else the suite does meanwhile, on another network, once Close does wait,
	// or has returned, which it must not.
	id, closed := make(chan string, 1), make(chan error, 1)
	go func() {
		id <- goroutineID()
		closed <- hanging.closeNow()
	}()
	s.net = s.o.New(s.TB)
	c := s.join(4)
	for range 3 {
		c.setPeer(9, "")
		s.tells(c, 9, "which is not known")
	}
	for goroutine := <-id; busy(goroutine); {
		<-time.After(time.Millisecond)
	}
	hanging.release()
	s.returns("Close, after the Handler has returned,", func() { s.ok(<-closed, "Close") })
}

// goroutineID returns the number of the goroutine that calls.
func goroutineID() string {
	stack := make([]byte, 64)
	return strings.Fields(string(stack[:runtime.Stack(stack, false)]))[1] // goroutine 7 [running]:
}

// busy reports whether the goroutine with that number neither waits for anything
// nor has ended.
func busy(id string) bool {
	stacks := make([]byte, 1<<20)
	for n := len(stacks); n == len(stacks); {
		stacks = make([]byte, 2*len(stacks))
		n = runtime.Stack(stacks, true)
	}
	_, state, _ := strings.Cut(string(stacks), "goroutine "+id+" [")
	return strings.HasPrefix(state, "run") // running, runnable
}

// checkGoroutines: Close ends all goroutines of the transport.
func checkGoroutines(s *suite) {
	label := fmt.Sprintf("transporttest %p", s)
	pprof.Do(context.Background(), pprof.Labels("check", label), func(context.Context) {
		a, b, gone := s.join(1), s.join(2), s.open(3, nil)
		gone.close()
		a.know(b)
		a.know(gone)
		b.know(a)
		s.reach(a, b)
		s.reach(b, a)
		s.tells(a, 3, "which is not there")
		s.ok(a.sendSnapshot(2, 1000).wait(), "SendSnapshot")
		t := a.sendSnapshot(2, 1<<40)
		s.await("the body is read", func() bool { return t.body.started })
		unstarted := s.open(4, nil)
		a.know(unstarted)
		a.send(s.message(a, 4))
		a.close()
		b.close()
		unstarted.close()
		s.fails(t.wait(), "SendSnapshot, with Close meanwhile")
	})
	// One that has said its last word may still be about to end, which nobody
	// announces.
	deadline := time.Now().Add(s.o.Patience)
	for left := labelled(label); left != ""; left = labelled(label) {
		if time.Now().After(deadline) {
			s.Fatalf("goroutines that were begun by the transports, or by what they began, outlive Close:\n%s", left)
		}
		<-time.After(time.Millisecond)
	}
}

// labelled returns the stacks of the goroutines that have a label, which each
// goroutine has from the one that began it.
func labelled(label string) string {
	var profile bytes.Buffer
	pprof.Lookup("goroutine").WriteTo(&profile, 1)
	var all []string
	for _, stack := range strings.Split(profile.String(), "\n\n") {
		if strings.Contains(stack, label) {
			all = append(all, stack)
		}
	}
	return strings.Join(all, "\n\n")
}

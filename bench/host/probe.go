package host

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ProbeEvery is how often a probe tries: the resolution of what it finds.
const ProbeEvery = 2 * time.Millisecond

// probe tries to write on one node, again and again, without waiting for
// earlier attempts, and keeps the attempts that succeeded.
type probe struct {
	stopped <-chan struct{}
	stop    context.CancelFunc

	mu       sync.Mutex
	attempts []attempt
	more     chan struct{} // closed at the next success
}

type attempt struct{ began, ended time.Time }

// Probe begins to probe a node.
func (h *Host) Probe(node int, _ *struct{}) error {
	n := h.nodes[node]
	if n == nil {
		return errNoNode
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &probe{stopped: ctx.Done(), stop: stop, more: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.probes == nil {
		h.probes = map[int]*probe{}
	}
	if old := h.probes[node]; old != nil {
		old.stop()
	}
	h.probes[node] = p
	go func() {
		tick := time.NewTicker(ProbeEvery)
		defer tick.Stop()
		atOnce := make(chan struct{}, 2000)
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			select {
			case atOnce <- struct{}{}:
			default:
				continue // too many wait already
			}
			go func() {
				defer func() { <-atOnce }()
				ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
				defer cancel()
				began := time.Now()
				if n.Propose(ctx, make([]byte, 16)) == nil {
					p.add(attempt{began, time.Now()})
				}
			}()
		}
	}()
	return nil
}

func (p *probe) add(a attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attempts = append(p.attempts, a)
	close(p.more)
	p.more = make(chan struct{})
}

// first returns the end of the attempt that succeeded first of those begun at
// or after t.
func (p *probe) first(t time.Time) (ended time.Time, more <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.attempts {
		if !a.began.Before(t) && (ended.IsZero() || a.ended.Before(ended)) {
			ended = a.ended
		}
	}
	return ended, p.more
}

var errNoProbe = errors.New("host: no probe on this node")

// Await asks a probe for the first success of an attempt begun after Since.
type Await struct {
	Node   int
	Since  time.Time
	Within time.Duration
}

// Await returns when the first attempt begun after a.Since succeeded.
func (h *Host) Await(a Await, ended *time.Time) error {
	h.mu.Lock()
	p := h.probes[a.Node]
	h.mu.Unlock()
	if p == nil {
		return errNoProbe
	}
	timeout := time.After(a.Within)
	for {
		t, more := p.first(a.Since)
		if !t.IsZero() {
			*ended = t
			return nil
		}
		select {
		case <-more:
		case <-p.stopped:
			return errors.New("host: the probe has ended")
		case <-timeout:
			return errors.New("host: no write succeeded in time")
		}
	}
}

// Successes are the times at which writes of a probe were acknowledged.
type Successes struct {
	Node  int
	Since time.Time // when the first of them began, or later
}

// Successes returns them in order.
func (h *Host) Successes(s Successes, ended *[]time.Time) error {
	h.mu.Lock()
	p := h.probes[s.Node]
	h.mu.Unlock()
	if p == nil {
		return errNoProbe
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.attempts {
		if !a.began.Before(s.Since) {
			*ended = append(*ended, a.ended)
		}
	}
	return nil
}

// StopProbe ends a probe.
func (h *Host) StopProbe(node int, _ *struct{}) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.probes[node]; p != nil {
		p.stop()
		delete(h.probes, node)
	}
	return nil
}

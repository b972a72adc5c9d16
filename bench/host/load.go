package host

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Load is clients that each wait for an answer before they ask again.
type Load struct {
	ID       int // of StopLoad
	Node     int // that all clients use
	Clients  int
	Bytes    int  // of each write
	Reads    bool // linearizable reads instead of writes
	Warmup   time.Duration
	Duration time.Duration // 0: until StopLoad
}

// Result is what came of a Load after its warm-up.
type Result struct {
	Operations          uint64
	Errors              uint64
	Elapsed             time.Duration
	P50, P99, P999, Max time.Duration
	Used                Usage // by this process
}

// Rate returns operations per second.
func (r Result) Rate() float64 { return float64(r.Operations) / r.Elapsed.Seconds() }

// Load runs a load to its end. It is an error if no operation succeeds.
func (h *Host) Load(l Load, reply *Result) error {
	node := h.nodes[l.Node]
	if node == nil {
		return errNoNode
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	h.mu.Lock()
	if h.loads == nil {
		h.loads = map[int]context.CancelFunc{}
	}
	h.loads[l.ID] = cancel
	h.mu.Unlock()

	var (
		measuring atomic.Bool
		failed    atomic.Uint64
		clients   sync.WaitGroup
		mu        sync.Mutex
		all       []time.Duration
	)
	for range l.Clients {
		clients.Go(func() {
			var took []time.Duration
			for ctx.Err() == nil {
				began := time.Now()
				var err error
				if l.Reads {
					err = node.Read(ctx)
				} else {
					err = node.Propose(ctx, make([]byte, l.Bytes))
				}
				switch {
				case ctx.Err() != nil:
				case err != nil:
					failed.Add(1)
					select {
					case <-time.After(time.Millisecond):
					case <-ctx.Done():
					}
				case measuring.Load(): // ends in the measured time, wherever it began
					took = append(took, time.Since(began))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
		})
	}
	if l.Warmup > 0 {
		pause(ctx, l.Warmup)
	}
	failed.Store(0)
	before, began := usage(), time.Now()
	measuring.Store(true)
	pause(ctx, l.Duration)
	measuring.Store(false)
	elapsed, used := time.Since(began), usage().Sub(before)
	cancel()
	clients.Wait()
	if len(all) == 0 {
		return errors.New("host: no operation succeeded")
	}
	slices.Sort(all)
	at := func(per1000 int) time.Duration { return all[min(len(all)*per1000/1000, len(all)-1)] }
	*reply = Result{
		Operations: uint64(len(all)), Errors: failed.Load(), Elapsed: elapsed,
		P50: at(500), P99: at(990), P999: at(999), Max: all[len(all)-1], Used: used,
	}
	return nil
}

// pause waits for d, or, if that is 0, until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	var end <-chan time.Time
	if d > 0 {
		end = time.After(d)
	}
	select {
	case <-ctx.Done():
	case <-end:
	}
}

// StopLoad ends a load that runs; its Load returns what came of it.
func (h *Host) StopLoad(id int, _ *struct{}) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	stop := h.loads[id]
	if stop == nil {
		return errors.New("host: no such load")
	}
	stop()
	return nil
}

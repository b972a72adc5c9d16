package transport

import (
	"errors"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed-6281cb22/raft/bench/internal/turns"
)

// subject is what is measured: open connections, and work to do on them.
type subject interface {
	// run works for about the length, and returns when all that it has sent
	// has arrived.
	run(length time.Duration) (work, error)
	Close() error
}

// work is what was done in a turn.
type work struct {
	messages  int // or round trips, or snapshots
	bytes     int64
	latencies []time.Duration // of round trips; the subject's again with the next turn
}

// sample is what was measured in a turn.
type sample struct {
	messages int
	bytes    int64
	elapsed  time.Duration
	p50, p99 time.Duration // 0: no round trips
	mallocs  uint64        // of the whole process
	cpu      time.Duration // of the whole process: both ends are in it
}

func measure(s subject, length time.Duration) (sample, error) {
	runtime.GC() // the garbage of the one before is not this one's to collect
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, start := turns.CPUTime(), time.Now()
	w, err := s.run(length)
	m := sample{messages: w.messages, bytes: w.bytes, elapsed: time.Since(start), cpu: turns.CPUTime() - cpu}
	runtime.ReadMemStats(&after)
	m.mallocs = after.Mallocs - before.Mallocs
	if len(w.latencies) > 0 {
		slices.Sort(w.latencies)
		m.p50, m.p99 = turns.Median(w.latencies), turns.Quantile(w.latencies, 99, 100)
	}
	return m, err
}

// patience is how long a subject waits for what must arrive.
const patience = 30 * time.Second

var errStuck = errors.New("what was sent does not arrive")

// meter counts what arrives.
type meter struct {
	arrived  atomic.Int64
	progress chan struct{} // holds a token when something has arrived
}

func newMeter() *meter { return &meter{progress: make(chan struct{}, 1)} }

func (m *meter) add(n int) {
	m.arrived.Add(int64(n))
	select {
	case m.progress <- struct{}{}:
	default:
	}
}

// wait waits until n have arrived, in all.
func (m *meter) wait(n int64) error {
	if m.arrived.Load() >= n {
		return nil
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for m.arrived.Load() < n {
		select {
		case <-m.progress:
		case <-timeout.C:
			return errStuck
		}
	}
	return nil
}

// pace says when to look at the clock: not after each of many small messages.
type pace struct {
	end   time.Time
	check int64 // bytes
}

func newPace(length time.Duration) *pace { return &pace{end: time.Now().Add(length)} }

// over says, after so many bytes in all, whether the turn is over.
func (p *pace) over(bytes int64) bool {
	if bytes < p.check {
		return false
	}
	p.check = bytes + 16<<10
	return !time.Now().Before(p.end)
}

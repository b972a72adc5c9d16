package wal

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/seed-6281cb22/raft/bench/internal/turns"
)

// sample is what was measured in one turn of a log.
type sample struct {
	entries  int
	elapsed  time.Duration
	p50, p99 time.Duration // of the time from a saver's call to its return
	syncs    int64
	cpu      time.Duration // of the whole process: the log's background work is in it
}

// measure has all savers append entries, each one after the other, for as long
// as the turn is.
func measure(l durableLog, savers []saver, entryBytes int, length time.Duration) (sample, error) {
	runtime.GC() // the garbage of the log before is not this one's to collect
	latencies := make([][]time.Duration, len(savers))
	errs := make([]error, len(savers))
	syncs, cpu := l.syncs(), turns.CPUTime()
	start := time.Now()
	var wait sync.WaitGroup
	for i, save := range savers {
		wait.Go(func() { latencies[i], errs[i] = saveUntil(start.Add(length), save, entryBytes) })
	}
	wait.Wait()
	s := sample{elapsed: time.Since(start), syncs: l.syncs() - syncs, cpu: turns.CPUTime() - cpu}
	all := slices.Concat(latencies...)
	s.entries = len(all)
	if s.entries > 0 {
		slices.Sort(all)
		s.p50, s.p99 = all[len(all)/2], all[len(all)*99/100]
	}
	return s, errors.Join(errs...)
}

// saveUntil appends at least one entry. Each has data of its own, since a log
// may keep it.
func saveUntil(end time.Time, save saver, entryBytes int) (latencies []time.Duration, err error) {
	for now := time.Now(); ; {
		if err := save(make([]byte, entryBytes)); err != nil {
			return latencies, err
		}
		last := now
		now = time.Now()
		latencies = append(latencies, now.Sub(last))
		if !now.Before(end) {
			return latencies, nil
		}
	}
}

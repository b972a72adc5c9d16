package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// soak runs seeds on all cores until the time is over or something is found.
func soak(ctx context.Context, args []string, out, errs io.Writer) (int, error) {
	flags := newFlags("soak", errs)
	duration := flags.Duration("duration", time.Minute, "how long to run")
	seeds := flags.Uint64("seeds", 0, "run so many seeds instead, of each engine")
	first := flags.Uint64("seed", 0, "the first seed; 0: one that differs from day to day, and is printed")
	nodes := flags.Int("nodes", 0, "the size of every cluster; 0: drawn")
	only := flags.String("engine", "", "stack (the whole library) or core (bare cores); both, if not given")
	workers := flags.Int("workers", runtime.GOMAXPROCS(0), "how many to run at the same time")
	if err := parse(flags, args, 0); err != nil {
		return 0, err
	}
	names := engineNames
	if *only != "" {
		names = []string{*only}
	}
	if *first == 0 {
		*first = uint64(time.Now().Unix())
	}
	s := &soaking{out: out, started: time.Now(), tallies: map[string]*tally{}, seeds: *seeds}
	for _, name := range names {
		if newEngine(name, *nodes) == nil {
			return 0, fmt.Errorf("no engine %q; there are %s", name, strings.Join(engineNames, " and "))
		}
		s.tallies[name] = &tally{next: *first}
	}
	if *nodes < 0 || *nodes > maxNodes {
		return 0, fmt.Errorf("-nodes %d: there can be 1 to %d, or 0", *nodes, maxNodes)
	}
	if *seeds > 0 {
		*duration = 1 << 62
	}
	fmt.Fprintf(out, "seeds from %d on, %d at a time\n", *first, *workers)
	ctx, stop := context.WithTimeout(ctx, *duration)
	defer stop()
	s.stop = stop
	var running sync.WaitGroup
	for range max(1, *workers) {
		running.Go(func() { s.work(ctx, names, func(name string) engine { return newEngine(name, *nodes) }) })
	}
	s.watch(&running)
	return s.summary(names), nil
}

// soaking is a soak under way.
type soaking struct {
	out     io.Writer
	started time.Time
	stop    context.CancelFunc
	seeds   uint64 // of each engine, 0: no limit

	mu      sync.Mutex
	tallies map[string]*tally // by engine; the map itself does not change
	failure string
}

// tally is what an engine has done.
type tally struct {
	next  uint64 // seed
	taken uint64 // seeds
	busy  time.Duration
	seeds uint64
	total outcome
}

// work runs seeds of the engine that has had the least time so far.
func (s *soaking) work(ctx context.Context, names []string, newEngine func(name string) engine) {
	engines := map[string]engine{}
	for _, name := range names {
		engines[name] = newEngine(name)
	}
	for ctx.Err() == nil {
		name, seed, ok := s.take(names)
		if !ok {
			return
		}
		began := time.Now()
		o, err := engines[name].run(seed)
		s.mu.Lock()
		t := s.tallies[name]
		t.busy += time.Since(began)
		t.seeds++
		t.total.add(o)
		if err != nil && s.failure == "" {
			s.failure = err.Error()
			s.stop()
		}
		s.mu.Unlock()
	}
}

// take returns what to run next.
func (s *soaking) take(names []string) (name string, seed uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range names {
		t := s.tallies[n]
		if s.seeds > 0 && t.taken >= s.seeds {
			continue
		}
		if !ok || t.busy < s.tallies[name].busy {
			name, ok = n, true
		}
	}
	if ok {
		seed = s.tallies[name].next
		s.tallies[name].next++
		s.tallies[name].taken++
	}
	return name, seed, ok
}

// watch shows how far the work has come until it is done: on a terminal in a
// line that changes, else in a line now and then.
func (s *soaking) watch(running *sync.WaitGroup) {
	done := make(chan struct{})
	go func() {
		running.Wait()
		close(done)
	}()
	line := newStatusLine(s.out)
	defer line.clear()
	ticker := time.NewTicker(line.interval)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
			line.show(s.progress())
		}
	}
}

func (s *soaking) progress() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var parts []string
	for _, name := range engineNames {
		if t := s.tallies[name]; t != nil {
			parts = append(parts, fmt.Sprintf("%s: %d seeds, %s events, %.1f h simulated",
				name, t.seeds, count(t.total.events), t.total.virtual.Hours()))
		}
	}
	return fmt.Sprintf("%v  %s", time.Since(s.started).Round(time.Second), strings.Join(parts, " · "))
}

// summary says what was done and found, and returns the status.
func (s *soaking) summary(names []string) int {
	for _, name := range names {
		t := s.tallies[name]
		fmt.Fprintf(s.out, "%s: %d seeds in %v, %s events (%s per second and core), %.1f hours simulated, %s client operations checked, %s entries committed\n",
			name, t.seeds, time.Since(s.started).Round(time.Second), count(t.total.events), count(rate(t.total.events, t.busy)),
			t.total.virtual.Hours(), count(t.total.operations), count(t.total.commits))
		var faults []string
		for _, fault := range slices.Sorted(maps.Keys(t.total.faults)) {
			faults = append(faults, fmt.Sprintf("%s %s", count(t.total.faults[fault]), fault))
		}
		fmt.Fprintf(s.out, "  faults: %s\n", strings.Join(faults, ", "))
	}
	if s.failure != "" {
		fmt.Fprintf(s.out, "\nFOUND\n%s\n", s.failure)
		return found
	}
	fmt.Fprintln(s.out, "nothing found")
	return clean
}

func rate(n uint64, busy time.Duration) uint64 {
	if busy <= 0 {
		return 0
	}
	return uint64(float64(n) / busy.Seconds())
}

// count writes a large number with groups of three digits.
func count(n uint64) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

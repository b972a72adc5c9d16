package coresim

import (
	"flag"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft/internal/tape"
	"github.com/stretchr/testify/require"
)

var (
	from = flag.Uint64("coresim.from", 0, "first seed of TestSwarm")
	runs = flag.Uint64("coresim.runs", 300, "number of seeds of TestSwarm")
)

// TestSwarm runs many seeds. What a failing one prints is how to repeat it.
func TestSwarm(t *testing.T) {
	var s Simulator
	total := Result{}
	begin := time.Now()
	for seed := *from; seed < *from+*runs; seed++ {
		result, err := s.Run(Config{}, tape.FromSeed(seed))
		if err != nil {
			_, err = s.Run(Config{Transcript: true}, tape.FromSeed(seed))
			t.Fatalf("go test ./internal/coresim -run TestSwarm -coresim.from %d -coresim.runs 1\n%s\n%v",
				seed, err.(*Failure).Transcript, err)
		}
		total.add(&result)
	}
	t.Log(total.String(), time.Since(begin))
	for k, n := range total.Counts {
		require.True(t, n > 0 || *runs < 100, "no seed has a %v", Kind(k))
	}
}

func (r *Result) add(o *Result) {
	r.Events += o.Events
	r.Virtual += o.Virtual
	r.Commits += o.Commits
	r.Terms += o.Terms
	for k := range o.Counts {
		r.Counts[k] += o.Counts[k]
	}
}

func (r *Result) String() string {
	s := fmt.Sprintf("%d events, %v of virtual time, %d entries committed, %d terms", r.Events, r.Virtual, r.Commits, r.Terms)
	for k, n := range r.Counts {
		s += fmt.Sprintf(", %v %d", Kind(k), n)
	}
	return s
}

// The same tape gives the same run, on one processor and on two, in fresh
// memory and in that of another run.
func TestRunsAreDeterministic(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var used Simulator
	for seed := range uint64(40) {
		runtime.GOMAXPROCS(1)
		first, err := Run(Config{}, tape.FromSeed(seed))
		require.NoError(t, err)
		runtime.GOMAXPROCS(2)
		second, err := used.Run(Config{}, tape.FromSeed(seed))
		require.NoError(t, err)
		require.Equal(t, first, second)
		require.NotZero(t, first.Hash)
	}
}

// BenchmarkEvents measures the swarm's mix, with all checks on.
func BenchmarkEvents(b *testing.B) {
	b.ReportAllocs()
	var s Simulator
	events, seed := 0, uint64(0)
	for b.Loop() {
		result, err := s.Run(Config{}, tape.FromSeed(seed))
		require.NoError(b, err)
		events += result.Events
		seed++
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(events)/float64(b.N), "events/op")
}

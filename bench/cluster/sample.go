package cluster

import (
	"time"

	"github.com/seed-6281cb22/raft/bench/contender/all"
	"github.com/seed-6281cb22/raft/bench/host"
	"github.com/seed-6281cb22/raft/bench/internal/turns"
)

// sample is what was measured in a turn.
type sample struct {
	host.Result
	cpu       time.Duration // of all processes
	allocated float64       // bytes, likewise
	flushes   float64       // of the disk
}

// newSample puts together what the process with the clients has measured, and
// what was seen from outside in about the same time.
func newSample(r host.Result, before, after observed) sample {
	scale := r.Elapsed.Seconds() / after.others.at.Sub(before.others.at).Seconds()
	return sample{
		Result:    r,
		cpu:       r.Used.CPU + time.Duration(scale*float64(after.others.cpu-before.others.cpu)),
		allocated: float64(r.Used.Allocated) + scale*float64(after.others.allocated-before.others.allocated),
		flushes:   scale * float64(after.flushes-before.flushes),
	}
}

func (s sample) rate() float64 { return s.Rate() }

func (s sample) p50() float64 { return float64(s.P50) }

func (s sample) cpuPerOperation() float64 { return float64(s.cpu) / float64(s.Operations) }

func (s sample) allocatedPerOperation() float64 { return s.allocated / float64(s.Operations) }

func (s sample) flushesPerOperation() float64 { return s.flushes / float64(s.Operations) }

// result is what a contender did under a workload: a sample of each round.
type result struct {
	*fleet
	samples []sample
}

// of returns the median of a figure.
func (r *result) of(figure func(sample) float64) float64 {
	return turns.Median(turns.Each(r.samples, figure))
}

func (r *result) duration(figure func(sample) time.Duration) time.Duration {
	return turns.Rounded(turns.Median(turns.Each(r.samples, figure)))
}

// against compares with another contender, round by round.
func (r *result) against(to *result, figure func(sample) float64) []float64 {
	return turns.Ratios(r.samples, to.samples, figure)
}

// best leaves each contender the GOMAXPROCS that is best for it: by the median
// time of one client, and by the throughput of several.
func best(w workload, results []*result) (best []*result) {
	for _, r := range results {
		last := len(best) - 1
		switch {
		case last < 0 || best[last].name != r.name:
			best = append(best, r)
		case w.clients == 1 && r.of(sample.p50) < best[last].of(sample.p50),
			w.clients > 1 && r.of(sample.rate) > best[last].of(sample.rate):
			best[last] = r
		}
	}
	return best
}

// find returns the result of one contender, nil if it was not measured.
func find(results []*result, name string) *result {
	for _, r := range results {
		if r.name == name {
			return r
		}
	}
	return nil
}

// bestPeer returns the other library with the most throughput, nil if there is
// none.
func bestPeer(results []*result) (peer *result) {
	for _, r := range results {
		if r.name != Floor && r.name != all.Ours && (peer == nil || r.of(sample.rate) > peer.of(sample.rate)) {
			peer = r
		}
	}
	return peer
}

package raft

import "math/bits"

// tally is a Histogram that is being counted. It has the buckets from the lowest
// to the highest that holds something: most of a process's replicas are idle,
// and what one measures seldom differs by more than a few powers of two.
type tally struct {
	count, sum uint64
	low        int // the bucket that buckets[0] is
	buckets    []uint64
}

// observe counts a value.
func (t *tally) observe(v uint64) {
	t.count++
	t.sum += v
	i := min(bits.Len64(max(v, 1)-1), HistogramBuckets-1)
	if i < t.low || i >= t.low+len(t.buckets) {
		t.reach(i)
	}
	t.buckets[i-t.low]++
}

// reach makes room for bucket i, which has none.
func (t *tally) reach(i int) {
	low, end := i, i+1
	if n := len(t.buckets); n > 0 {
		low, end = min(low, t.low), max(end, t.low+n)
	}
	buckets := make([]uint64, end-low)
	copy(buckets[max(t.low-low, 0):], t.buckets)
	t.low, t.buckets = low, buckets
}

// since counts how many microseconds, rounded up, have passed since began.
func (t *tally) since(began, now Instant) {
	t.observe(uint64(max(now-began, 0)+999) / 1000)
}

func (t *tally) histogram() Histogram {
	h := Histogram{Count: t.count, Sum: t.sum}
	copy(h.Buckets[t.low:], t.buckets)
	return h
}

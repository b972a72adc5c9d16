package raft

// HistogramBuckets is the number of a Histogram's buckets.
const HistogramBuckets = 26

// Histogram counts values, whole numbers, in buckets that double in width:
// 1, 2, 4, … up to 2^24, and what is larger. With microseconds that reaches
// 16.8 seconds, with bytes 16 MiB.
type Histogram struct {
	Count uint64 // of all values
	Sum   uint64 // of all values
	// Buckets[i] counts the values that are at most Bound(i) and more than
	// Bound(i-1). They are not cumulative.
	Buckets [HistogramBuckets]uint64
}

// Bound returns the largest value that bucket i counts: 2^i, and for the last
// one 2^64-1.
func (h *Histogram) Bound(i int) uint64 {
	if i >= HistogramBuckets-1 {
		return 1<<64 - 1
	}
	return 1 << i
}

// Quantile returns the bound of the bucket that the q-quantile, 0 <= q <= 1, is
// in: it is less than twice the quantile, rounded up to 1. It is 0 if there are
// no values.
func (h *Histogram) Quantile(q float64) uint64 {
	rank, seen := uint64(q*float64(h.Count)), uint64(0)
	for i, n := range h.Buckets {
		if seen += n; n > 0 && (seen > rank || seen == h.Count) {
			return h.Bound(i)
		}
	}
	return 0
}

package wal

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
)

// BenchmarkEntries reads entries that were written some megabytes ago, as a
// follower asks for them that is so far behind: one, or as many as go into a
// message. The page cache holds the files.
func BenchmarkEntries(b *testing.B) {
	for _, size := range []int{128, 1024} {
		for _, bytes := range []int{1, 64 << 10, 1 << 20} {
			for _, cache := range []int{0, -1} {
				b.Run(fmt.Sprintf("size=%d/max=%d/cache=%d", size, bytes, cache), func(b *testing.B) {
					benchmarkEntries(b, size, bytes, Options{CacheBytes: cache})
				})
			}
		}
	}
}

func benchmarkEntries(b *testing.B, size, maxBytes int, opts Options) {
	const total, perWrite = 8 << 20, 64
	log, err := Open(b.TempDir(), opts)
	require.NoError(b, err)
	defer log.Close()
	s := log.Storage(1)
	data := make([]byte, size)
	batch := make([]raft.Entry, perWrite)
	next := raft.Index(1)
	for int(next)*size < total {
		for i := range batch {
			batch[i] = raft.Entry{Index: next, Term: 1, Data: data}
			next++
		}
		require.NoError(b, saveOne(s, write(1, 0, batch...)))
	}
	var buf []raft.Entry
	read, lo := 0, raft.Index(1)
	b.ReportAllocs()
	for b.Loop() {
		buf, err = s.Entries(buf[:0], lo, next, maxBytes)
		if err != nil || len(buf) == 0 {
			b.Fatal(err)
		}
		read += len(buf)
		if lo += raft.Index(len(buf)); lo >= next {
			lo = 1
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(read), "ns/entry")
}

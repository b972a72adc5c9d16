package wal

import (
	"sort"
	"sync"
	"unsafe"
)

// cache holds the newest bytes of the log: of each batch that is durable, what
// was written of its saves' entries. It is found by the place in the log, so
// what is replaced, compacted or relocated is found no more without being
// looked for, since no location leads there, and makes room when its turn
// comes. No place is ever written twice, and so none is ever stale.
//
// A nil cache holds nothing.
//
// Entries that it holds are copied out, and checked as if they came from the
// disk. Whoever keeps one pins nothing of the cache.
type cache struct {
	mu         sync.Mutex
	chunks     []*chunk // ascending by place
	maxChunks  int
	chunkBytes int // of a chunk's data
	maxExtents int // of a chunk
}

// chunk is some of the bytes. What is there is never changed, so that it can be
// read while more is appended; its memory is used again when it is the oldest
// one and nobody reads it.
type chunk struct {
	buf     []byte
	extents []extent // ascending by place, and where they are in buf, too
	readers int
}

// extent says that the bytes of a chunk from at on, up to the next extent or
// the end, are those of a segment from off on.
type extent struct {
	segment, off uint32
	at           uint32
}

const (
	maxChunkBytes = 256 << 10 // all included
	minChunks     = 16
	extentBytes   = int(unsafe.Sizeof(extent{}))
	chunkOverhead = int(unsafe.Sizeof(chunk{}) + unsafe.Sizeof(&chunk{}))
)

// newCache returns a cache that takes size bytes, at least minCacheBytes, in
// all, and takes none of them before they are needed.
func newCache(size int) *cache {
	whole := min(size/minChunks, maxChunkBytes)
	return &cache{
		chunks:     make([]*chunk, 0, size/whole),
		maxChunks:  size / whole,
		chunkBytes: whole - whole/8,
		maxExtents: (whole/8 - chunkOverhead) / extentBytes,
	}
}

// keep adds the entries that a batch has saved, now that it is durable in a
// segment from base on. What it relocates is old, and behind them.
func (c *cache) keep(b *batch, segment uint32, base int64) {
	lo, hi := uint32(0), uint32(0)
	for i := range b.ops {
		o := &b.ops[i]
		if o.err != nil || o.kind != recordSave || o.entries == o.entriesEnd {
			continue
		}
		if hi == 0 {
			lo = b.entries[o.entries].off
		}
		last := b.entries[o.entriesEnd-1]
		hi = last.off + last.size
	}
	c.put(segment, base+int64(lo), b.buf[lo:hi])
}

// put adds bytes that were written to a segment at off. All that is put is
// behind what was put before. The cache keeps a copy.
func (c *cache) put(segment uint32, off int64, b []byte) {
	if c == nil {
		return
	}
	if tooMany := len(b) - c.maxChunks*c.chunkBytes; tooMany > 0 {
		off, b = off+int64(tooMany), b[tooMany:]
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(b) > 0 {
		k := c.roomy()
		n := min(len(b), c.chunkBytes-len(k.buf))
		k.extents = append(k.extents, extent{segment, uint32(off), uint32(len(k.buf))})
		k.buf = append(k.buf, b[:n]...)
		off, b = off+int64(n), b[n:]
	}
}

// roomy returns the newest chunk, which takes another extent.
func (c *cache) roomy() *chunk {
	if n := len(c.chunks); n > 0 {
		if k := c.chunks[n-1]; len(k.buf) < c.chunkBytes && len(k.extents) < c.maxExtents {
			return k
		}
	}
	k := &chunk{}
	if len(c.chunks) == c.maxChunks {
		if oldest := c.chunks[0]; oldest.readers == 0 {
			k = oldest
		}
		c.chunks = append(c.chunks[:0], c.chunks[1:]...)
	}
	if k.buf == nil {
		k.buf = make([]byte, 0, c.chunkBytes)
		k.extents = make([]extent, 0, c.maxExtents)
	}
	k.buf, k.extents = k.buf[:0], k.extents[:0]
	c.chunks = append(c.chunks, k)
	return k
}

// read returns the entries at locations of one segment, ascending, one after
// the other in memory of its own, or nil unless it holds all of them.
func (c *cache) read(at []location) []byte {
	if c == nil {
		return nil
	}
	r := c.beginRead(at)
	defer c.endRead(&r)
	if len(r.chunks) == 0 {
		return nil
	}
	size := 0
	for _, l := range at {
		size += int(l.size)
	}
	b := make([]byte, 0, size)
	for _, l := range at {
		var ok bool
		if b, ok = r.append(b, l); !ok {
			return nil
		}
	}
	return b
}

// cacheReader reads some chunks, as they were when it began.
type cacheReader struct {
	pinned []*chunk
	chunks []chunk // the first part of each of pinned
	extent int     // of chunks[0], in which or behind which reading goes on
}

// beginRead finds the chunks that may hold the entries, and keeps them as they
// are until endRead.
func (c *cache) beginRead(at []location) cacheReader {
	c.mu.Lock()
	defer c.mu.Unlock()
	first, last := at[0], at[len(at)-1]
	// In the last chunk that begins at the entry or before it, or later.
	from := sort.Search(len(c.chunks), func(i int) bool { return c.chunks[i].extents[0].behind(first.segment, first.off) }) - 1
	if from < 0 {
		return cacheReader{}
	}
	r := cacheReader{}
	for _, k := range c.chunks[from:] {
		if k.extents[0].behind(last.segment, last.off+last.size) {
			break
		}
		k.readers++
		r.pinned = append(r.pinned, k)
		r.chunks = append(r.chunks, chunk{buf: k.buf, extents: k.extents})
	}
	r.extent = sort.Search(len(r.chunks[0].extents), func(i int) bool { return r.chunks[0].extents[i].behind(first.segment, first.off) }) - 1
	return r
}

func (c *cache) endRead(r *cacheReader) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range r.pinned {
		k.readers--
	}
}

// behind reports whether the extent begins behind a place.
func (x extent) behind(segment, off uint32) bool {
	return x.segment > segment || x.segment == segment && x.off > off
}

// append appends an entry's bytes, if they are all there.
func (r *cacheReader) append(b []byte, at location) ([]byte, bool) {
	for at.size > 0 {
		held := r.seek(at.segment, at.off)
		if len(held) == 0 {
			return nil, false
		}
		n := min(at.size, uint32(len(held)))
		b = append(b, held[:n]...)
		at.off, at.size = at.off+n, at.size-n
	}
	return b, true
}

// seek goes forward to a place and returns what is held from there on, up to
// the end of an extent.
func (r *cacheReader) seek(segment, off uint32) []byte {
	for ; len(r.chunks) > 0; r.chunks, r.extent = r.chunks[1:], 0 {
		k := &r.chunks[0]
		for ; r.extent < len(k.extents); r.extent++ {
			x := k.extents[r.extent]
			if x.behind(segment, off) {
				return nil
			}
			end := uint32(len(k.buf))
			if r.extent+1 < len(k.extents) {
				end = k.extents[r.extent+1].at
			}
			if x.segment == segment && off-x.off < end-x.at {
				return k.buf[x.at+off-x.off : end]
			}
		}
	}
	return nil
}

package wal

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/seed-6281cb22/raft"
)

const (
	// maxFrameBytes: a frame that is larger takes no further record. So a
	// torn one does not cost all of a large batch.
	maxFrameBytes = 1 << 20
	// maxWriteBytes bounds a single raft.Write, which is one record.
	maxWriteBytes = 1 << 30
	// maxPendingBytes bounds what waits to be written.
	maxPendingBytes = min(2*maxWriteBytes, math.MaxInt)
	// maxRetainedBytes: a larger buffer is left to the garbage collector
	// after use.
	maxRetainedBytes = 4 << 20
)

// op is a record of a batch, or a refused write in its place: what is to be
// done when the batch is durable, or has failed.
type op struct {
	kind      recordKind
	group     *group
	at        int // of the record in the batch's buffer
	identity  raft.Identity
	hardState raft.HardState
	snapshot  *raft.Snapshot
	first     raft.Index // of the entries; of a compaction: of the log
	replaces  bool       // see group.advance
	// The record's part of the batch's entries and memberships.
	entries, entriesEnd         int
	memberships, membershipsEnd int

	done func(error)
	err  error // not nil: there is no record
}

// batch gathers records until they are written and synced together. Its
// buffer is what will be written, but for the frames' headers.
type batch struct {
	encoded
	frames []frameMark
	ops    []op
}

// frameMark is where a frame begins, and where its body ends.
type frameMark struct {
	start, end int
}

func (b *batch) empty() bool { return len(b.ops) == 0 && len(b.frames) == 0 }

func (b *batch) reset() {
	b.encoded.reset()
	b.frames = b.frames[:0]
	clear(b.ops)
	b.ops = b.ops[:0]
}

// room makes sure that the last frame takes another record.
func (b *batch) room() {
	if n := len(b.frames); n > 0 && b.frames[n-1].end-b.frames[n-1].start < maxFrameBytes {
		return
	}
	b.beginFrame()
}

func (b *batch) beginFrame() {
	start := alignUp(len(b.buf), frameAlign)
	b.extend(start + frameHeaderBytes)
	b.frames = append(b.frames, frameMark{start, len(b.buf)})
}

// extend fills the buffer with zeros up to size.
func (b *batch) extend(size int) {
	old := len(b.buf)
	b.buf = slices.Grow(b.buf, size-old)[:size]
	clear(b.buf[old:])
}

// add appends the record in e, whose op is o.
func (b *batch) add(e *encoded, o op) {
	b.room()
	o.at = len(b.buf)
	b.buf = append(b.buf, e.buf...)
	b.frames[len(b.frames)-1].end = len(b.buf)

	o.entries = len(b.entries)
	for _, m := range e.entries {
		m.off += uint32(o.at)
		b.entries = append(b.entries, m)
	}
	o.entriesEnd = len(b.entries)
	o.memberships = len(b.memberships)
	b.memberships = append(b.memberships, e.memberships...)
	o.membershipsEnd = len(b.memberships)
	b.ops = append(b.ops, o)
}

// addCompaction appends a record of where the group's log begins.
func (b *batch) addCompaction(g *group, e *encoded) {
	e.reset()
	e.buf = beginRecord(e.buf, recordCompact, 0, g.id)
	e.buf = binary.AppendUvarint(e.buf, uint64(g.first))
	endRecord(e.buf, 0)
	b.add(e, op{kind: recordCompact, group: g, first: g.first})
}

// maxCompactionBytes is what addCompaction takes at most.
const maxCompactionBytes = recordHeaderBytes + binary.MaxVarintLen64

// refuse takes o's place in the order of completion.
func (b *batch) refuse(o op, err error) {
	o.err = err
	b.ops = append(b.ops, o)
}

// size is what the batch takes in a segment.
func (b *batch) size() int64 { return alignUp(int64(len(b.buf)), blockSize) }

// seal gives the frames their sequence numbers, from lsn on, and completes
// the buffer. It returns the next number.
func (b *batch) seal(s salted, lsn, durableLSN uint64) uint64 {
	b.extend(int(b.size()))
	next := 0
	for i, f := range b.frames {
		for ; next < len(b.ops) && (b.ops[next].err != nil || b.ops[next].at < f.end); next++ {
			if o := &b.ops[next]; o.err == nil {
				putPrevLSN(b.buf[o.at:], o.group.lastLSN)
				o.group.lastLSN = lsn
			}
		}
		h := frameHeader{lsn: lsn, durableLSN: durableLSN, length: uint32(f.end - f.start - frameHeaderBytes)}
		if i == len(b.frames)-1 {
			h.flags = flagBatchEnd
		}
		s.put(b.buf[f.start:], h)
		lsn++
	}
	return lsn
}

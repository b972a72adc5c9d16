package wal

import (
	"fmt"

	"go.uber.org/zap"
)

// sync writes and syncs all that has been saved, as one batch, and completes
// it, while the next one gathers. It reports whether there was any. It is the
// whole of what the writer goroutine does, and needs no goroutine.
func (l *Log) sync() bool {
	l.mu.Lock()
	b := l.pending
	if b.empty() {
		l.mu.Unlock()
		return false
	}
	l.pending, l.free = l.free, nil
	err := l.failed
	l.mu.Unlock()

	base := int64(0)
	if err == nil {
		base, err = l.write(b)
	}
	l.complete(b, base, err)
	return true
}

// write makes the batch durable and returns where it is in the current
// segment.
func (l *Log) write(b *batch) (base int64, err error) {
	l.relocateInto(b)
	if len(b.frames) == 0 {
		return 0, nil // nothing but refused writes
	}
	l.stateCompactions(b, maxFrameBytes)
	// A block is left for the frame that idle appends.
	if l.current.end+b.size()+blockSize > l.current.size && l.current.end > headerBytes {
		if err := l.rotate(); err != nil {
			return 0, err
		}
	}
	seg := l.current
	base = seg.end
	if base+b.size() > maxSegmentEnd {
		return 0, fmt.Errorf("a batch of %d bytes does not fit a segment", b.size())
	}
	next := b.seal(seg.salted, l.nextLSN, l.durableLSN)
	if err := writeFull(seg.file, b.buf, base); err != nil {
		return 0, err
	}
	if err := seg.file.Sync(); err != nil {
		return 0, err
	}
	l.statedLSN = l.durableLSN
	l.nextLSN, l.durableLSN = next, next-1
	seg.end += b.size()
	seg.size = max(seg.size, seg.end)
	return base, nil
}

// rotate begins a new segment, which says where the old one ends: all of that
// is synced before, the frame of idle included.
func (l *Log) rotate() error {
	if l.durableLSN+1 != l.nextLSN {
		if err := l.current.file.Sync(); err != nil {
			return err
		}
		l.durableLSN = l.nextLSN - 1
	}
	return l.newSegment(nil)
}

// maxSegmentEnd is as far as a location reaches.
const maxSegmentEnd = 1<<32 - 1

// complete makes a durable batch part of the state, or a failed one the end
// of the log, and tells those who wait. No lock is held then.
func (l *Log) complete(b *batch, base int64, err error) {
	l.mu.Lock()
	if err == nil {
		l.apply(b, l.current.number, base)
	} else {
		if l.failed == nil {
			l.failed = fmt.Errorf("wal: writing to %s failed, and nothing more is written: %w", l.dir, err)
			l.logger.Error("the log has failed for good", zap.String("dir", l.dir), zap.Error(err))
		}
		err = l.failed
	}
	l.mu.Unlock()
	for i := range b.ops {
		o := &b.ops[i]
		if o.done == nil {
			continue
		}
		if o.err != nil {
			o.done(o.err)
		} else {
			o.done(err)
		}
	}
	if err == nil {
		l.cache.keep(b, l.current.number, base) // when no one waits for it
	}
	b.reset()
	l.mu.Lock()
	l.free = b
	l.mu.Unlock()
}

// stateCompactions adds to a batch where the logs of groups begin that have
// been compacted, up to about a number of bytes. It may overtake the saves in
// the batch, which Compact has made sure does no harm.
func (l *Log) stateCompactions(b *batch, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.compacted), bytes/maxCompactionBytes)
	for _, g := range l.compacted[:n] {
		b.addCompaction(g, &l.cleaning.encoded)
		g.unstated = false
	}
	l.compacted = append(l.compacted[:0], l.compacted[n:]...)
}

// idle states, by a frame that no one waits for, that the last batch is
// durable: damage to it is then known as such. And it states compactions that
// no batch has taken along.
func (l *Log) idle() {
	l.mu.Lock()
	failed, compacted := l.failed, len(l.compacted)
	l.mu.Unlock()
	seg := l.current
	if failed != nil || l.statedLSN == l.durableLSN && compacted == 0 {
		return
	}
	if seg.end+blockSize > seg.size { // a batch has filled it: a new one says so, too
		if err := l.rotate(); err != nil {
			l.mu.Lock()
			l.failed = fmt.Errorf("wal: beginning a segment in %s failed, and nothing more is written: %w", l.dir, err)
			l.mu.Unlock()
		}
		return
	}
	b := &batch{}
	b.beginFrame()
	l.stateCompactions(b, int(min(maxFrameBytes, seg.size-seg.end))-frameHeaderBytes)
	next := b.seal(seg.salted, l.nextLSN, l.durableLSN)
	if err := writeFull(seg.file, b.buf, seg.end); err != nil {
		l.mu.Lock()
		l.failed = fmt.Errorf("wal: writing to %s failed, and nothing more is written: %w", l.dir, err)
		l.mu.Unlock()
		return
	}
	l.nextLSN, l.statedLSN = next, l.durableLSN
	seg.end += b.size()
}

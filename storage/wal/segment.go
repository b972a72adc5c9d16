package wal

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/seed-6281cb22/raft/internal/vfs"
)

// Names of files: a segment's and a spare's are their number.
const (
	segmentSuffix = ".wal"
	spareSuffix   = ".spare"    // pre-written, to become a segment
	tempSuffix    = ".tmp"      // being written; Open removes it
	tornSuffix    = ".torn"     // a torn tail that Open has cut, kept for inspection
	lockName      = "LOCK"      // holds nothing
	snapSuffix    = ".snapshot" // see snapshot.go
)

// The log keeps three spares for Open, so that it opens on a full disk, again
// and again: one for what was not known to be durable, and two that take
// turns, since a segment to which nothing was written is free only when its
// successor exists. What the log frees beyond maxSpares is removed: they are
// enough for what a node's default snapshot frees at once (64 MiB), so that a
// steady log writes no new files.
const (
	reservedSpares = 3
	wantedSpares   = 4
	maxSpares      = 16
)

func segmentName(number uint32) string { return fmt.Sprintf("%08x%s", number, segmentSuffix) }

// parseNumber returns the number in a segment's or spare's name.
func parseNumber(name, suffix string) (uint32, bool) {
	base, ok := strings.CutSuffix(name, suffix)
	if !ok || len(base) != 8 {
		return 0, false
	}
	n, err := strconv.ParseUint(base, 16, 32)
	return uint32(n), err == nil && n > 0
}

// segment is a file of the log's chain.
type segment struct {
	number uint32
	name   string // path
	file   vfs.File
	header segmentHeader
	salted salted
	size   int64 // of the file
	end    int64 // of what has been written; the writer's
	live   int64 // bytes of entries that are needed; under Log.mu
	// baseless: Open has found its checkpoint damaged. That takes nothing, as
	// long as the chain does not begin with it.
	baseless bool
}

// readSegmentHeader returns the first valid copy of the header that bears a
// number, or else the first valid one, and where it is: a file that is used
// again has had a header before.
func readSegmentHeader(f vfs.File, number uint32) (h segmentHeader, at int64, valid bool, err error) {
	buf := make([]byte, segmentHeaderBytes)
	for copyAt := int64(0); copyAt < headerBytes && !(valid && h.number == number); copyAt += blockSize {
		n, err := f.ReadAt(buf, copyAt)
		if err != nil && err != io.EOF {
			return segmentHeader{}, 0, false, err
		}
		if found, ok := decodeSegmentHeader(buf[:n]); ok && (!valid || found.number == number) {
			h, at, valid = found, copyAt, true
		}
	}
	return h, at, valid, nil
}

// writeHeader writes both copies of the header, or the one at from up to to,
// and syncs that. All that the header vouches for has been synced before.
func (s *segment) writeHeader(from, to int64) error {
	buf := make([]byte, headerBytes)
	copy(buf, s.header.encode())
	copy(buf[blockSize:], buf[:segmentHeaderBytes])
	if err := writeFull(s.file, buf[from:to], from); err != nil {
		return err
	}
	return s.file.Sync()
}

func writeFull(f vfs.File, b []byte, off int64) error {
	n, err := f.WriteAt(b, off)
	if err == nil && n != len(b) {
		err = io.ErrShortWrite
	}
	return err
}

// newNumber returns the number for a new segment or spare: none is ever used
// again.
func (l *Log) newNumber() uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.highestNumber++
	return l.highestNumber
}

func (l *Log) path(name string) string { return filepath.Join(l.dir, name) }

// newSegment begins a segment: with a checkpoint and, in Open, with what the
// last segment holds above the LSN that is known to be durable. The header
// comes last, when all of that is synced, and brings the segment into being.
func (l *Log) newSegment(carry *batch) error {
	seg, err := l.segmentFile(carry != nil)
	if err != nil {
		return err
	}
	firstNeeded, checkpoint := l.checkpoint(&seg.header)
	next := checkpoint.seal(seg.salted, l.nextLSN, l.durableLSN)
	err = writeFull(seg.file, checkpoint.buf, headerBytes)
	seg.end = headerBytes + checkpoint.size()
	carryBase := seg.end
	if err == nil && carry != nil && len(carry.frames) > 0 {
		next = carry.seal(seg.salted, next, l.durableLSN)
		err = writeFull(seg.file, carry.buf, seg.end)
		seg.end += carry.size()
	}
	if err == nil {
		err = seg.file.Sync()
	}
	if err == nil {
		seg.header.durableLSN = next - 1
		err = seg.writeHeader(0, headerBytes)
	}
	if err != nil {
		seg.file.Close()
		return err
	}
	l.nextLSN, l.durableLSN, l.statedLSN = next, next-1, next-1
	l.mu.Lock()
	l.current = seg
	l.segments[seg.number] = seg
	l.chain = append(l.chain, seg)
	if carry != nil {
		l.apply(carry, seg.number, carryBase)
	}
	freed := l.unchain(firstNeeded)
	if carry != nil {
		freed = append(freed, l.leaveOut()...)
	}
	l.mu.Unlock()
	for _, s := range freed {
		l.recycle(s)
	}
	if carry != nil && len(freed) > 0 {
		if err := l.fs.SyncDir(l.dir); err != nil { // see takeSpare
			return err
		}
	}
	l.chooseCleaning()
	l.provideSpare()
	return nil
}

// segmentFile makes a spare into the file of the next segment, under its name
// and with a salt, but without a header: it does not exist yet.
func (l *Log) segmentFile(opening bool) (*segment, error) {
	spare, err := l.takeSpare(opening)
	if err != nil {
		return nil, err
	}
	number := l.newNumber()
	seg := &segment{number: number, name: l.path(segmentName(number))}
	if err := l.fs.Rename(spare, seg.name); err != nil {
		return nil, err
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return nil, err
	}
	if seg.file, err = l.fs.Open(seg.name); err != nil {
		return nil, err
	}
	if seg.size, err = seg.file.Size(); err != nil {
		seg.file.Close()
		return nil, err
	}
	seg.header = segmentHeader{version: formatVersion, number: seg.number, salt: l.random(), firstLSN: l.nextLSN, size: seg.size}
	h := &seg.header
	switch {
	case opening && l.dispensable():
		prev := &l.current.header
		h.prevNumber, h.prevEnd, h.prevLSN = prev.prevNumber, prev.prevEnd, prev.prevLSN
	case l.current != nil:
		h.prevNumber, h.prevEnd, h.prevLSN = l.current.number, l.current.end, l.nextLSN-1
	}
	seg.salted = newSalted(seg.header.salt)
	return seg, nil
}

// dispensable reports whether the segment that Open has found to be the last
// one holds nothing but its checkpoint: the chain leaves it out then. One with
// any group's record is a link in that group's chain of LSNs, also if the
// record holds no entry but a vote.
func (l *Log) dispensable() bool {
	if l.current == nil || slices.Contains(l.kept, l.current.number) {
		return false
	}
	for _, g := range l.list {
		if g.lastLSN >= l.current.header.firstLSN {
			return false
		}
	}
	return true
}

// leaveOut removes the segment before the last one from the chain, if Open's
// new segment does not name it. The caller holds mu.
func (l *Log) leaveOut() []*segment {
	n := len(l.chain) - 2
	if n < 0 || l.chain[n].number == l.current.header.prevNumber {
		return nil
	}
	left := l.chain[n]
	delete(l.segments, left.number)
	l.chain = append(l.chain[:n], l.current)
	l.lastSegment = nil
	return []*segment{left}
}

// checkpoint composes the batch that begins a segment, and returns the first
// segment that is needed from then on.
func (l *Log) checkpoint(h *segmentHeader) (firstNeeded uint32, b *batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	firstNeeded = h.number
	for i, s := range l.chain {
		if s.live > 0 {
			for i > 0 && l.chain[i].baseless {
				i--
			}
			firstNeeded = l.chain[i].number
			break
		}
	}
	b = &batch{}
	b.beginFrame()
	b.buf = appendCheckpointHead(b.buf, firstNeeded, h)
	b.buf = l.appendDamage(b.buf)
	for _, g := range l.list {
		if !g.lost && g.lastLSN > 0 {
			b.buf = g.appendCheckpoint(b.buf)
		}
	}
	b.frames[0].end = len(b.buf)
	for _, g := range l.compacted {
		g.unstated = false
	}
	l.compacted = l.compacted[:0]
	return firstNeeded, b
}

// unchain removes the segments below firstNeeded from the chain.
func (l *Log) unchain(firstNeeded uint32) []*segment {
	n := 0
	for n < len(l.chain) && l.chain[n].number < firstNeeded {
		delete(l.segments, l.chain[n].number)
		n++
	}
	freed := append([]*segment(nil), l.chain[:n]...)
	l.chain = append(l.chain[:0], l.chain[n:]...)
	l.lastSegment = nil
	return freed
}

// recycle makes a segment that is not needed a spare, or removes it. That it
// fails or is forgotten in a crash does no harm: Open does it again.
func (l *Log) recycle(s *segment) {
	s.file.Close()
	l.recycleFile(segmentName(s.number), s.number, s.size)
}

func (l *Log) recycleFile(name string, number uint32, size int64) {
	if slices.Contains(l.kept, number) {
		return
	}
	l.mu.Lock()
	enough := len(l.spares) >= maxSpares
	l.mu.Unlock()
	if enough || size != l.opts.SegmentBytes {
		if err := l.fs.Remove(l.path(name)); err != nil {
			l.logger.Warn("cannot remove a segment that is not needed", zap.String("file", name), zap.Error(err))
		}
		return
	}
	spare := l.path(fmt.Sprintf("%08x%s", number, spareSuffix))
	if err := l.fs.Rename(l.path(name), spare); err != nil {
		l.logger.Warn("cannot recycle a segment that is not needed", zap.String("file", name), zap.Error(err))
		return
	}
	l.mu.Lock()
	l.spares = append(l.spares, spare)
	l.mu.Unlock()
}

// takeSpare returns the path of a spare, written now if there is none.
// reservedSpares are left for Open.
//
// A file is renamed twice, by recycleFile and here, and the first must be
// durable before the second: a power loss could leave two names for it. Open
// syncs the directory in between; later a file waits behind at least
// reservedSpares others, and each that is taken brings a sync.
func (l *Log) takeSpare(opening bool) (string, error) {
	keep := reservedSpares
	if opening {
		keep = 0
	}
	l.preparing.Lock()
	defer l.preparing.Unlock()
	for {
		l.mu.Lock()
		if len(l.spares) > keep {
			spare := l.spares[0]
			l.spares = append(l.spares[:0], l.spares[1:]...)
			l.mu.Unlock()
			return spare, nil
		}
		l.mu.Unlock()
		if err := l.prepareSpare(); err != nil {
			return "", err
		}
	}
}

// prepareSpare writes another spare. The caller holds l.preparing.
func (l *Log) prepareSpare() error {
	number := l.newNumber()
	temp := l.path(fmt.Sprintf("%08x%s", number, tempSuffix))
	spare := l.path(fmt.Sprintf("%08x%s", number, spareSuffix))
	if err := l.writeSpare(temp); err != nil {
		l.fs.Remove(temp)
		return err
	}
	if err := l.fs.Rename(temp, spare); err != nil {
		return err
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return err
	}
	l.mu.Lock()
	l.spares = append(l.spares, spare)
	l.mu.Unlock()
	return nil
}

func (l *Log) writeSpare(name string) error {
	f, err := l.fs.Create(name)
	if err != nil {
		return err
	}
	if err := vfs.WriteZeros(f, l.opts.SegmentBytes); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// provideSpare writes spares ahead of their need. A failure is left to the
// one who needs it.
func (l *Log) provideSpare() {
	prepare := func() {
		l.preparing.Lock()
		defer l.preparing.Unlock()
		for {
			l.mu.Lock()
			enough := len(l.spares) >= wantedSpares || l.closing
			l.mu.Unlock()
			if enough {
				return
			}
			if err := l.prepareSpare(); err != nil {
				l.logger.Warn("cannot prepare a segment ahead of its need", zap.Error(err))
				return
			}
		}
	}
	if l.manual() {
		prepare()
		return
	}
	l.background.Go(prepare)
}

package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

// Open opens the log in a directory, which it creates if need be, and recovers
// what survived. No one else may have it open: the error is a *LockedError
// then. A file of a newer version gives a *VersionError. A *raft.CorruptError
// says that nothing can be made of the log; damage that concerns some groups
// only is found by their Load.
//
// Open never appends to a segment that it found: what the last one holds and
// is not known to be durable is written again into a fresh one and synced. It
// may have been read from the page cache; were it acknowledged as it is, a
// power loss could take it yet.
func Open(dir string, opts Options) (*Log, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Log{
		dir: dir, opts: opts, fs: opts.FS, logger: opts.Logger,
		groups:   map[raft.GroupID]*group{},
		segments: map[uint32]*segment{},
		pending:  &batch{},
		free:     &batch{},
		nextLSN:  1,
		wake:     make(chan struct{}, 1),
		finished: make(chan struct{}),
	}
	l.accountFunc = l.account
	if opts.CacheBytes > 0 {
		l.cache = newCache(opts.CacheBytes)
	}
	l.scratch.New = func() any { return &encoded{} }
	if err := l.fs.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("wal: creating %s: %w", dir, err)
	}
	l.lock, err = l.fs.Lock(l.path(lockName))
	if errors.Is(err, vfs.ErrLocked) {
		return nil, &LockedError{Dir: dir}
	}
	if err != nil {
		return nil, fmt.Errorf("wal: locking %s: %w", dir, err)
	}
	if err := l.recover(); err != nil {
		for _, s := range l.segments {
			s.file.Close()
		}
		l.lock.Close()
		var typed *VersionError
		var corrupt *raft.CorruptError
		if errors.As(err, &typed) || errors.As(err, &corrupt) {
			return nil, err
		}
		return nil, fmt.Errorf("wal: opening %s: %w", dir, err)
	}
	if l.manual() {
		opts.Manual.Sync, opts.Manual.Idle = l.sync, l.idle
		opts.Manual.Pending = l.hasPending
	} else {
		go l.run()
	}
	return l, nil
}

func (l *Log) hasPending() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.pending.empty()
}

// unused is a segment file that is not part of the log.
type unused struct {
	name   string
	number uint32
	size   int64
}

func (l *Log) recover() error {
	// What an earlier life has renamed may not be durable yet, if it was
	// killed before it could sync the directory. Open builds on it: it removes
	// the snapshots that a newer one replaces, and renames files again, of
	// which a power loss could leave two names for one file.
	if err := l.fs.SyncDir(l.dir); err != nil {
		return err
	}
	names, err := l.fs.List(l.dir)
	if err != nil {
		return err
	}
	found, free, err := l.survey(names)
	if err != nil {
		return err
	}
	l.forgetTorn(names)
	carry := &batch{}
	r := &replay{l: l, carry: carry, seen: map[*group]uint64{}}
	if len(found) > 0 {
		older, err := l.link(found)
		if err != nil {
			return err
		}
		for _, s := range older {
			s.file.Close()
			free = append(free, unused{segmentName(s.number), s.number, s.size})
		}
		if err := r.run(); err != nil {
			return err
		}
		r.keepDamaged(names)
		l.current = l.chain[len(l.chain)-1]
	}
	if err := l.surveySnapshots(names); err != nil {
		return err
	}
	for _, f := range free {
		l.recycleFile(f.name, f.number, f.size)
	}
	if len(free) > 0 { // the next segment may take one of them
		if err := l.fs.SyncDir(l.dir); err != nil {
			return err
		}
	}
	if err := l.newSegment(carry); err != nil {
		return err
	}
	for _, g := range l.list {
		g.tail = g.last()
	}
	r.refuseDamagedEntries()
	return nil
}

// survey sorts the files of the directory. A segment without a valid header
// that bears its own number does not exist: it is free.
func (l *Log) survey(names []string) (found []*segment, free []unused, err error) {
	var spares []string
	var others []*segment // files with the header of another one, mostly of their earlier life
	for _, name := range names {
		if strings.HasSuffix(name, tempSuffix) {
			if err := l.fs.Remove(l.path(name)); err != nil {
				return nil, nil, err
			}
			continue
		}
		if number, ok := parseNumber(name, spareSuffix); ok {
			l.highestNumber = max(l.highestNumber, number)
			seg, _, err := l.openSegment(name, 0)
			if err != nil {
				return nil, nil, err
			}
			seg.file.Close()
			others = append(others, seg)
			spares = append(spares, name)
			continue
		}
		number, ok := parseNumber(name, segmentSuffix)
		if !ok {
			continue
		}
		l.highestNumber = max(l.highestNumber, number)
		seg, valid, err := l.openSegment(name, number)
		if err != nil {
			return nil, nil, err
		}
		if valid {
			l.segments[number] = seg // closed on failure
			found = append(found, seg)
			continue
		}
		seg.file.Close()
		others = append(others, seg)
		free = append(free, unused{name, number, seg.size})
	}
	for _, f := range free {
		// What is older than the newest one would not be needed anyway, or
		// is missed by those that follow it.
		if len(found) > 0 && f.number < found[len(found)-1].number {
			continue
		}
		if err := l.neverExisted(f); err != nil {
			return nil, nil, err
		}
	}
	newest := uint32(0)
	if len(found) > 0 {
		newest = found[len(found)-1].number
	}
	for _, other := range others {
		if err := misnamed(other, newest); err != nil {
			return nil, nil, err
		}
	}
	for _, name := range spares {
		if err := l.surveySpare(name); err != nil {
			return nil, nil, err
		}
	}
	return found, free, nil
}

// misnamed refuses a file whose valid header is that of a segment above the
// newest one found. A file is used again only when a later segment has a
// synced header, so this is a segment that someone has renamed.
func misnamed(file *segment, newest uint32) error {
	if n := file.header.number; n > newest {
		return corruptLog(file.name, 0, fmt.Sprintf("the file is segment %d, and should be named %s; the newest segment of the right name is %d", n, segmentName(n), newest))
	}
	return nil
}

// neverExisted refuses a segment without a valid header whose frames say that
// it had one: those that are written before a segment's header do not know
// the segment's own first frame to be durable, those behind it do. It refuses
// one that has been cut, too, since a file has its size before it is named as a
// segment.
func (l *Log) neverExisted(f unused) error {
	file, err := l.fs.Open(l.path(f.name))
	if err != nil {
		return err
	}
	data := make([]byte, f.size)
	n, err := file.ReadAt(data, 0)
	file.Close()
	if err != nil && err != io.EOF {
		return err
	}
	data = data[:n]
	if len(data) < minSegmentBytes {
		return corruptLog(l.path(f.name), int64(len(data)), "the file has been cut, or is none of the log's: it is shorter than a segment")
	}
	const head = headerBytes + frameHeaderBytes
	length := uint64(binary.LittleEndian.Uint32(data[head+4:]))
	if length > uint64(len(data)-head-recordHeaderBytes) {
		return nil
	}
	rec := record{kind: recordKind(data[head]), bytes: data[head : head+recordHeaderBytes+int(length)]}
	_, salt, err := decodeCheckpointHead(&rec, f.number)
	if err != nil {
		return nil // stale, or blank
	}
	s := newSalted(salt)
	first, ok := s.header(data[headerBytes:])
	if !ok {
		return nil
	}
	if walk(data, s, first.lsn).durableLSN >= first.lsn {
		return corruptLog(l.path(f.name), 0, "the header of a segment with acknowledged frames is damaged")
	}
	return nil
}

// maxTorn is how many torn tails are kept for inspection.
const maxTorn = 4

// forgetTorn removes the oldest torn tails.
func (l *Log) forgetTorn(names []string) {
	torn := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !strings.HasSuffix(name, tornSuffix) })
	for len(torn) >= maxTorn {
		if err := l.fs.Remove(l.path(torn[0])); err != nil {
			l.logger.Warn("cannot remove an old torn tail", zap.String("file", torn[0]), zap.Error(err))
		}
		torn = torn[1:]
	}
}

func (l *Log) surveySpare(name string) error {
	f, err := l.fs.Open(l.path(name))
	if err != nil {
		return err
	}
	size, err := f.Size()
	f.Close()
	if err != nil {
		return err
	}
	if size != l.opts.SegmentBytes {
		return l.fs.Remove(l.path(name))
	}
	l.spares = append(l.spares, l.path(name))
	return nil
}

func (l *Log) openSegment(name string, number uint32) (seg *segment, valid bool, err error) {
	seg = &segment{number: number, name: l.path(name)}
	if seg.file, err = l.fs.Open(seg.name); err != nil {
		return nil, false, err
	}
	seg.size, err = seg.file.Size()
	if err == nil {
		seg.header, _, valid, err = readSegmentHeader(seg.file, number)
	}
	valid = valid && seg.header.number == number // not if it is a spare, number 0
	if err == nil && valid && seg.header.version > formatVersion {
		err = &VersionError{File: seg.name, Version: seg.header.version, Supported: formatVersion}
	}
	if err != nil {
		seg.file.Close()
		return nil, false, err
	}
	seg.salted = newSalted(seg.header.salt)
	return seg, valid, nil
}

// link makes the chain out of the segments found, ascending: from the first
// one that the last one's checkpoint needs. It returns the older ones.
//
// A checkpoint that is damaged has said nothing that the frames before it do
// not, so the chain then begins with the first segment that is still there:
// what has been freed since was not needed.
func (l *Log) link(found []*segment) (older []*segment, err error) {
	last := found[len(found)-1]
	if last.size < last.header.size {
		return nil, corruptLog(last.name, last.size, fmt.Sprintf("the newest segment has been cut, from %d to %d bytes", last.header.size, last.size))
	}
	needed, damage, err := l.firstNeeded(last)
	if err != nil {
		return nil, err
	}
	for seg := last; ; {
		l.chain = append(l.chain, seg)
		if seg.number == needed {
			break
		}
		prev := l.segments[seg.header.prevNumber]
		if prev == nil || prev.number >= seg.number || prev.number < needed {
			if damage == nil {
				return nil, corruptLog(l.path(segmentName(seg.header.prevNumber)), 0,
					fmt.Sprintf("the segment is missing, or its header is damaged; segment %d follows it", seg.number))
			}
			if seg == last {
				return nil, damage
			}
			break
		}
		seg = prev
	}
	slices.Reverse(l.chain)
	for _, seg := range found {
		if !slices.Contains(l.chain, seg) {
			delete(l.segments, seg.number)
			older = append(older, seg)
		}
	}
	return older, nil
}

// firstNeeded reads the head of a segment's checkpoint. It was synced before
// the header was written, so if it is not there it is damaged, and nothing is
// known to be needed.
func (l *Log) firstNeeded(seg *segment) (needed uint32, damage *raft.CorruptError, err error) {
	body, err := l.checkpointBody(seg)
	if err != nil {
		return 0, nil, err
	}
	if all, err := records(body); err == nil && len(all) > 0 {
		if needed, _, err := decodeCheckpointHead(&all[0], seg.number); err == nil {
			return needed, nil, nil
		}
	}
	damage = corruptLog(seg.name, headerBytes, "the checkpoint of the newest segment is damaged")
	l.logger.Error("the newest segment's checkpoint is damaged", zap.String("segment", seg.name))
	return 0, damage, nil
}

// checkpointBody returns the body of a segment's first frame, nil if that is
// damaged.
func (l *Log) checkpointBody(seg *segment) ([]byte, error) {
	buf := make([]byte, headerBytes+frameHeaderBytes)
	for {
		n, err := seg.file.ReadAt(buf[headerBytes:], headerBytes)
		if err != nil && err != io.EOF {
			return nil, err
		}
		h, ok := seg.salted.header(buf[headerBytes : headerBytes+n])
		size := headerBytes + frameHeaderBytes + int64(h.length)
		if !ok || size > seg.size || h.lsn != seg.header.firstLSN {
			return nil, nil
		}
		if int64(len(buf)) == size {
			_, body, _, _ := (&walked{}).frameAt(buf, seg.salted, headerBytes)
			return body, nil
		}
		buf = make([]byte, size)
	}
}

package wal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

// Inspection is what a directory holds: the segments as they are on disk, and
// what Open would make of them. It is the caller's.
type Inspection struct {
	Dir string
	// InUse says that the log is open in some process. What was read may then
	// be of different moments, and damage that is reported may be none.
	InUse bool
	// Segments are the files that have a valid header of their own number,
	// ascending.
	Segments []SegmentInfo
	// Others are all other files, ascending by name.
	Others []FileInfo
	// Groups are those that the log knows, ascending, unless Open refuses the
	// whole log.
	Groups []GroupInfo
	// Damage is all that is damaged, of what was ever acknowledged.
	Damage []*raft.CorruptError
	// Refused is why Open would fail, "" if it would not.
	Refused string
}

// FileInfo is a file of a log's directory that is not a segment in use.
type FileInfo struct {
	Name  string
	Bytes int64
	Kind  string // what it is for, in words
}

// SegmentInfo is a segment file. All offsets are within it.
type SegmentInfo struct {
	Name    string
	Number  uint32
	Version uint32
	Salt    uint64
	Bytes   int64 // of the file
	End     int64 // of what has been written to it, as far as it is intact
	// FirstLSN is that of its first frame. Frames up to DurableLSN are known
	// to have been synced, by the header or by any frame.
	FirstLSN, DurableLSN uint64
	// Prev is the number of the segment before, 0 for none, which ends at
	// PrevEnd with the frame PrevLSN.
	Prev    uint32
	PrevEnd int64
	PrevLSN uint64
	// Needed says that the log still reads it.
	Needed bool
	Frames []FrameInfo
	Gaps   []GapInfo
}

// FrameInfo is an intact frame.
type FrameInfo struct {
	Offset     int64
	LSN        uint64
	DurableLSN uint64 // the highest that was known to be synced when it was written
	Bytes      int    // of its body
	BatchEnd   bool   // the next frame is on the next block
	Records    []RecordInfo
	Malformed  string // why Records lacks some, "" if it does not
}

// GapInfo is where frames should be and none is intact, although one follows.
type GapInfo struct {
	Offset      int64
	First, Last uint64 // LSNs of the frames that are missing
}

// RecordInfo is a record of a frame. The pointers are nil for what it does not
// hold.
type RecordInfo struct {
	Kind        string
	Group       raft.GroupID
	PrevLSN     uint64 // of the frame with the group's record before
	Offset      int64
	Bytes       int
	HardState   *raft.HardState
	Identity    *raft.Identity
	Snapshot    *raft.Snapshot
	First, Last raft.Index     // of its entries; of a checkpoint those that the log holds; First of a compaction, too
	Runs        []raft.TermRun // their terms
	FirstNeeded uint32         // segment, in the head of a checkpoint
	Malformed   string         // why it is not understood, "" if it is
}

// GroupInfo is the state of a group.
type GroupInfo struct {
	Group raft.GroupID
	State raft.State
	Bytes int64 // of the entries it holds, as they are on disk
	// Refused is why Load would fail, or why an entry or the snapshot's data
	// cannot be read; "" if all of it was read and is right.
	Refused string
}

// Inspect reads all of the log in a directory and writes nothing: the files
// are opened for reading only, and what Open would change is kept in memory.
// While it runs it holds the directory's lock, so that Open fails meanwhile;
// if the log is in use, it reads it nevertheless and says so. Damage is part of
// the result and no error; an error says that the directory cannot be read.
func Inspect(dir string) (*Inspection, error) {
	i := &Inspection{Dir: filepath.Clean(dir)}
	lock, err := vfs.LockExisting(filepath.Join(dir, lockName))
	if errors.Is(err, vfs.ErrLocked) {
		i.InUse = true
	} else if err != nil {
		return nil, fmt.Errorf("wal: inspecting %s: %w", dir, err)
	}
	if lock != nil {
		defer lock.Close()
	}
	fsys, err := vfs.Overlay(i.Dir)
	if err == nil {
		err = i.files(fsys)
	}
	if err != nil {
		return nil, fmt.Errorf("wal: inspecting %s: %w", dir, err)
	}
	i.recovered(fsys)
	return i, nil
}

// files lists the directory and reads the segments.
func (i *Inspection) files(fsys vfs.FS) error {
	names, err := fsys.List(i.Dir)
	if err != nil {
		return err
	}
	l := &Log{dir: i.Dir, fs: fsys}
	for _, name := range names {
		kind := fileKind(name)
		if number, ok := parseNumber(name, segmentSuffix); ok {
			seg, why, err := i.segment(l, name, number)
			if err != nil {
				return err
			}
			if seg != nil {
				i.Segments = append(i.Segments, *seg)
				continue
			}
			kind = why
		}
		f, err := fsys.Open(l.path(name))
		if err != nil {
			return err
		}
		size, err := f.Size()
		f.Close()
		if err != nil {
			return err
		}
		i.Others = append(i.Others, FileInfo{Name: name, Bytes: size, Kind: kind})
	}
	return nil
}

func fileKind(name string) string {
	_, isSpare := parseNumber(name, spareSuffix)
	_, _, isSnapshot := parseSnapshotName(name)
	switch {
	case isSpare:
		return "spare segment"
	case isSnapshot:
		return "snapshot"
	case name == lockName:
		return "lock"
	case strings.HasSuffix(name, tornSuffix):
		return "torn tail, cut by an earlier recovery"
	case strings.HasSuffix(name, tempSuffix):
		return "temporary"
	}
	return "not of the log"
}

// segment reads a segment, or says why the file is none.
func (i *Inspection) segment(l *Log, name string, number uint32) (info *SegmentInfo, why string, err error) {
	seg, valid, err := l.openSegment(name, number)
	var newer *VersionError
	if errors.As(err, &newer) {
		return nil, "segment in a newer format", nil
	}
	if err != nil {
		return nil, "", err
	}
	defer seg.file.Close()
	if !valid {
		return nil, "segment without a header of its own", nil
	}
	data := make([]byte, seg.size)
	n, err := seg.file.ReadAt(data, 0)
	if err != nil && err != io.EOF {
		return nil, "", err
	}
	h := &seg.header
	info = &SegmentInfo{
		Name: name, Number: number, Version: h.version, Salt: h.salt, Bytes: seg.size,
		FirstLSN: h.firstLSN, Prev: h.prevNumber, PrevEnd: h.prevEnd, PrevLSN: h.prevLSN,
	}
	w := walk(data[:n], seg.salted, h.firstLSN)
	info.DurableLSN = max(h.durableLSN, w.durableLSN)
	for j := range w.frames {
		info.Frames = append(info.Frames, frameInfo(seg, data, &w.frames[j]))
	}
	for _, hole := range w.holes {
		if hole.next > 0 {
			info.Gaps = append(info.Gaps, GapInfo{Offset: int64(hole.off), First: hole.lsn, Last: hole.next - 1})
		}
	}
	info.End = int64(w.holes[len(w.holes)-1].off)
	return info, "", nil
}

func frameInfo(seg *segment, data []byte, f *frame) FrameInfo {
	h, _ := seg.salted.header(data[f.off:])
	info := FrameInfo{
		Offset: int64(f.off), LSN: f.lsn, DurableLSN: h.durableLSN,
		Bytes: len(f.body), BatchEnd: h.flags&flagBatchEnd != 0,
	}
	all, err := records(f.body)
	if err != nil {
		info.Malformed = err.Error()
	}
	for j := range all {
		r := recordInfo(&all[j], seg.number)
		r.Offset = info.Offset + frameHeaderBytes + int64(all[j].off)
		info.Records = append(info.Records, r)
	}
	return info
}

func recordInfo(r *record, segment uint32) RecordInfo {
	info := RecordInfo{Kind: r.kind.String(), Group: r.group, PrevLSN: r.prevLSN, Bytes: len(r.bytes)}
	var err error
	switch r.kind {
	case recordCheckpointHead:
		info.FirstNeeded, _, err = decodeCheckpointHead(r, segment)
	case recordCheckpoint:
		var g *group
		if g, err = decodeCheckpoint(r); err == nil {
			info.HardState, info.Identity, info.Snapshot = &g.hardState, &g.identity, &g.snapshot
			info.First, info.Last, info.Runs = g.first, g.last(), g.runs
		}
	case recordLost:
		_, _, err = decodeDamage(r)
	case recordSave, recordRelocate, recordCompact, recordDamaged:
		var o op
		var e encoded
		err = r.decode(&o, &e)
		info.entries(r, &o, &e)
	default:
		err = errors.New("a kind that this version does not know")
	}
	if err != nil {
		info.Malformed = err.Error()
	}
	return info
}

func (i *RecordInfo) entries(r *record, o *op, e *encoded) {
	if r.kind == recordSave {
		i.HardState, i.Snapshot = &o.hardState, o.snapshot
	}
	if o.identity != (raft.Identity{}) {
		i.Identity = &o.identity
	}
	if r.kind == recordCompact {
		i.First = o.first
	}
	if len(e.entries) == 0 {
		return
	}
	i.First, i.Last = o.first, o.first+raft.Index(len(e.entries))-1
	for j, m := range e.entries {
		if n := len(i.Runs); n == 0 || i.Runs[n-1].Term != m.term {
			i.Runs = append(i.Runs, raft.TermRun{First: o.first + raft.Index(j), Term: m.term})
		}
	}
}

// String names the kind as docs/wal-format.md does.
func (k recordKind) String() string {
	switch k {
	case recordSave:
		return "save"
	case recordRelocate:
		return "relocate"
	case recordCheckpoint:
		return "checkpoint"
	case recordCheckpointHead:
		return "checkpoint head"
	case recordCompact:
		return "compaction"
	case recordDamaged:
		return "damaged entry"
	case recordLost:
		return "damage"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// recovered opens the log, with all changes kept in memory, and reads every
// entry and every snapshot.
func (i *Inspection) recovered(fsys vfs.FS) {
	size := int64(defaultSegmentBytes)
	if n := len(i.Segments); n > 0 && i.Segments[n-1].Bytes%blockSize == 0 {
		size = min(max(i.Segments[n-1].Bytes, minSegmentBytes), maxSegmentBytes)
	}
	l, err := Open(i.Dir, Options{FS: fsys, SegmentBytes: size})
	if err != nil {
		i.Refused = err.Error()
		i.damaged(err)
		return
	}
	defer l.Close()
	for _, e := range l.damage {
		i.damaged(e)
	}
	l.mu.Lock()
	for j := range i.Segments {
		i.Segments[j].Needed = l.segments[i.Segments[j].Number] != nil
	}
	groups := slices.Clone(l.list)
	l.mu.Unlock()
	slices.SortFunc(groups, func(a, b *group) int { return cmp.Compare(a.id, b.id) })
	for _, g := range groups {
		info := GroupInfo{Group: g.id}
		if err := info.read(l.Storage(g.id)); err != nil {
			info.Refused = err.Error()
			i.damaged(err)
		}
		l.mu.Lock()
		for _, at := range g.locations {
			info.Bytes += int64(at.size)
		}
		l.mu.Unlock()
		i.Groups = append(i.Groups, info)
	}
}

// damaged notes damage, once.
func (i *Inspection) damaged(err error) {
	var corrupt *raft.CorruptError
	if errors.As(err, &corrupt) && !slices.Contains(i.Damage, corrupt) {
		i.Damage = append(i.Damage, corrupt)
	}
}

// inspectBytes is how much of a log is in memory at once.
const inspectBytes = 4 << 20

// read loads a group and reads its snapshot and entries. The error is the
// first one.
func (i *GroupInfo) read(s raft.Storage) error {
	var err error
	if i.State, err = s.Load(); err != nil {
		return err
	}
	_, r, err := s.OpenSnapshot()
	switch {
	case err == nil:
		_, err = io.Copy(io.Discard, r)
		r.Close()
	case errors.Is(err, raft.ErrNoSnapshot):
		err = nil
	}
	for lo := i.State.First; lo <= i.State.Last && err == nil; {
		var some []raft.Entry
		some, err = s.Entries(nil, lo, i.State.Last+1, inspectBytes)
		lo += raft.Index(len(some))
	}
	return err
}

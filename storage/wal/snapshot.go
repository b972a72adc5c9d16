package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

// A snapshot's data is in a file of its own, named by group, index and term:
// the data from offset 0 on, then the CRC32C of each of its chunks (u32), the
// encoded raft.Snapshot, and a trailer:
//
//	 0  magic, 8 bytes             20  length of the raft.Snapshot, u32
//	 8  format version, u32        24  group, u64
//	12  size of the data, u64      32  zero, u32
//	                               36  CRC32C of all between data and here, u32
//
// A chunk's checksum is seeded by its number. Having one for each, a reader
// may seek and still never sees a damaged byte.
const (
	snapshotMagic        = "RAFTSNAP"
	snapshotTrailerBytes = 40
	chunkBytes           = 64 << 10
)

func chunkCRC(number int64, data []byte) uint32 { return entryCRC(uint64(number), data) }

func snapshotName(group raft.GroupID, s *raft.Snapshot) string {
	return fmt.Sprintf("%016x-%016x-%016x%s", uint64(group), uint64(s.Index), uint64(s.Term), snapSuffix)
}

func parseSnapshotName(name string) (group raft.GroupID, index raft.Index, ok bool) {
	var term uint64
	base, ok := strings.CutSuffix(name, snapSuffix)
	if !ok || len(base) != 3*16+2 {
		return 0, 0, false
	}
	_, err := fmt.Sscanf(base, "%016x-%016x-%016x", (*uint64)(&group), (*uint64)(&index), &term)
	return group, index, err == nil
}

// surveySnapshots finds each group's newest snapshot and removes the others.
func (l *Log) surveySnapshots(names []string) error {
	newest := map[raft.GroupID]string{}
	for _, name := range names { // ascending, thus by group and index
		group, _, ok := parseSnapshotName(name)
		if !ok {
			continue
		}
		if older, ok := newest[group]; ok {
			if err := l.fs.Remove(l.path(older)); err != nil {
				return err
			}
		}
		newest[group] = name
	}
	for _, name := range names {
		group, _, ok := parseSnapshotName(name)
		if !ok || newest[group] != name {
			continue
		}
		f, meta, err := openSnapshotFile(l.fs, l.path(name), group)
		l.mu.Lock()
		g := l.group(group)
		g.committedErr = err
		if err == nil {
			g.committed = meta.snapshot
			f.Close()
		}
		l.mu.Unlock()
	}
	return nil
}

// snapshotMeta is what stands behind a snapshot's data.
type snapshotMeta struct {
	snapshot raft.Snapshot
	chunks   []uint32 // checksums
}

func (m *snapshotMeta) encode(group raft.GroupID) []byte {
	var b []byte
	for _, crc := range m.chunks {
		b = binary.LittleEndian.AppendUint32(b, crc)
	}
	start := len(b)
	b = m.snapshot.Append(b)
	length := len(b) - start
	b = append(b, snapshotMagic...)
	b = binary.LittleEndian.AppendUint32(b, formatVersion)
	b = binary.LittleEndian.AppendUint64(b, m.snapshot.Size)
	b = binary.LittleEndian.AppendUint32(b, uint32(length))
	b = binary.LittleEndian.AppendUint64(b, uint64(group))
	b = binary.LittleEndian.AppendUint32(b, 0)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// openSnapshotFile opens a snapshot and reads what stands behind its data.
func openSnapshotFile(fsys vfs.FS, name string, group raft.GroupID) (vfs.File, *snapshotMeta, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, nil, err
	}
	meta, err := readSnapshotMeta(f, name, group)
	if err == nil {
		err = meta.bears(name, group)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, meta, nil
}

// bears returns an error unless the file's name is that of the snapshot in it.
func (m *snapshotMeta) bears(name string, group raft.GroupID) error {
	if filepath.Base(name) == snapshotName(group, &m.snapshot) {
		return nil
	}
	return corruptGroups(name, 0, fmt.Sprintf("the file holds another snapshot, of index %d and term %d", m.snapshot.Index, m.snapshot.Term),
		raft.IndexRange{Group: group, First: 1, Last: m.snapshot.Index})
}

func readSnapshotMeta(f vfs.File, name string, group raft.GroupID) (*snapshotMeta, error) {
	corrupt := func(off int64, reason string) error {
		return corruptGroups(name, off, reason, raft.IndexRange{Group: group, First: 1})
	}
	total, err := f.Size()
	if err != nil {
		return nil, err
	}
	at := total - snapshotTrailerBytes
	if at < 0 {
		return nil, corrupt(0, "the snapshot has no trailer")
	}
	t := make([]byte, snapshotTrailerBytes)
	if _, err := f.ReadAt(t, at); err != nil && err != io.EOF {
		return nil, err
	}
	if string(t[:8]) != snapshotMagic {
		return nil, corrupt(at, "the snapshot has no trailer")
	}
	size, length := binary.LittleEndian.Uint64(t[12:]), int64(binary.LittleEndian.Uint32(t[20:]))
	if size > uint64(at) || length > at-int64(size) {
		return nil, corrupt(at, "the snapshot's trailer is damaged")
	}
	chunks := (int64(size) + chunkBytes - 1) / chunkBytes
	if at-int64(size)-length != 4*chunks {
		return nil, corrupt(at, "the snapshot's trailer is damaged")
	}
	b := make([]byte, total-int64(size))
	if _, err := f.ReadAt(b, int64(size)); err != nil && err != io.EOF {
		return nil, err
	}
	sum := len(b) - 4
	if crc32.Checksum(b[:sum], castagnoli) != binary.LittleEndian.Uint32(b[sum:]) ||
		raft.GroupID(binary.LittleEndian.Uint64(t[24:])) != group {
		return nil, corrupt(int64(size), "the snapshot's metadata is damaged")
	}
	// Not before the checksum: a damaged version is damage. So every version
	// keeps the trailer and what its checksum is of.
	if v := binary.LittleEndian.Uint32(t[8:]); v > formatVersion {
		return nil, &VersionError{File: name, Version: v, Supported: formatVersion}
	}
	m := &snapshotMeta{chunks: make([]uint32, chunks)}
	for i := range m.chunks {
		m.chunks[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	if err := m.snapshot.Unmarshal(b[4*chunks : 4*chunks+length]); err != nil {
		return nil, corrupt(int64(size), err.Error())
	}
	return m, nil
}

func (l *Log) createSnapshot(g *group, s raft.Snapshot) (raft.SnapshotWriter, error) {
	if s.Index == 0 {
		return nil, errors.New("wal: a snapshot of index 0 has no data")
	}
	if s.Index > raft.MaxIndex {
		return nil, fmt.Errorf("wal: group %d: the snapshot's index %d is above %d", g.id, s.Index, raft.MaxIndex)
	}
	l.mu.Lock()
	refused := g.refused
	if l.closing {
		refused = raft.ErrClosed
	}
	l.snapshotsBegun++
	temp := l.path(fmt.Sprintf("%016x-%d%s", uint64(g.id), l.snapshotsBegun, tempSuffix))
	l.mu.Unlock()
	if refused != nil {
		return nil, refused
	}
	f, err := l.fs.Create(temp)
	if err != nil {
		return nil, fmt.Errorf("wal: creating a snapshot: %w", err)
	}
	s.Size, s.Checksum = 0, 0
	s.Membership.Members = slices.Clone(s.Membership.Members)
	return &snapshotWriter{log: l, group: g, file: f, temp: temp, meta: snapshotMeta{snapshot: s}}, nil
}

// snapshotWriter is a raft.SnapshotWriter.
type snapshotWriter struct {
	log   *Log
	group *group
	file  vfs.File // nil: closed
	temp  string
	meta  snapshotMeta
	chunk []byte // not yet written
	err   error  // of the first write that failed
	ended bool   // Commit was called: the file is no longer the writer's
}

var errCommitted = errors.New("wal: the snapshot's Commit was called before")

func (w *snapshotWriter) Write(b []byte) (int, error) {
	if w.file == nil {
		return 0, raft.ErrClosed
	}
	if w.ended {
		return 0, errCommitted
	}
	written := 0
	for len(b) > 0 && w.err == nil {
		n := min(len(b), chunkBytes-len(w.chunk))
		w.chunk = append(w.chunk, b[:n]...)
		b = b[n:]
		written += n
		if len(w.chunk) == chunkBytes {
			w.flush()
		}
	}
	return written, w.err
}

func (w *snapshotWriter) flush() {
	s := &w.meta.snapshot
	if len(w.chunk) == 0 || w.err != nil {
		return
	}
	if w.err = writeFull(w.file, w.chunk, int64(s.Size)); w.err != nil {
		return
	}
	w.meta.chunks = append(w.meta.chunks, chunkCRC(int64(len(w.meta.chunks)), w.chunk))
	s.Checksum = crc32.Update(s.Checksum, castagnoli, w.chunk)
	s.Size += uint64(len(w.chunk))
	w.chunk = w.chunk[:0]
}

func (w *snapshotWriter) Commit() error {
	if w.file == nil {
		return raft.ErrClosed
	}
	if w.ended {
		return errCommitted
	}
	w.ended = true
	w.flush()
	if w.err == nil {
		w.err = writeFull(w.file, w.meta.encode(w.group.id), int64(w.meta.snapshot.Size))
	}
	if w.err == nil {
		w.err = w.file.Sync()
	}
	if w.err != nil {
		return fmt.Errorf("wal: writing a snapshot: %w", w.err)
	}
	return w.log.commitSnapshot(w)
}

func (w *snapshotWriter) Close() error {
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	if w.temp != "" {
		err = w.log.fs.Remove(w.temp)
	}
	return err
}

// commitSnapshot makes a snapshot that is written and synced visible, and
// removes the one that it replaces.
func (l *Log) commitSnapshot(w *snapshotWriter) error {
	l.committing.Lock()
	defer l.committing.Unlock()
	g, s := w.group, &w.meta.snapshot
	l.mu.Lock()
	older := g.committed
	l.mu.Unlock()
	if s.Index < older.Index {
		return nil // not the newest: it may be deleted, which Close does
	}
	name := l.path(snapshotName(g.id, s))
	if err := l.fs.Rename(w.temp, name); err != nil {
		return fmt.Errorf("wal: committing a snapshot: %w", err)
	}
	w.temp = ""
	if err := l.fs.SyncDir(l.dir); err != nil {
		return fmt.Errorf("wal: committing a snapshot: %w", err)
	}
	l.mu.Lock()
	g.committed, g.committedErr = *s, nil
	l.mu.Unlock()
	if old := l.path(snapshotName(g.id, &older)); older.Index > 0 && old != name {
		if err := l.fs.Remove(old); err != nil {
			l.logger.Warn("cannot remove a snapshot that is not needed", zap.String("file", old), zap.Error(err))
		}
	}
	return nil
}

func (l *Log) openSnapshot(g *group) (raft.Snapshot, io.ReadSeekCloser, error) {
	for {
		l.mu.Lock()
		s, err := g.committed, g.committedErr
		switch {
		case l.closing:
			err = raft.ErrClosed
		case err == nil && g.lost:
			err = g.refused
		case err == nil && s.Index == 0:
			err = raft.ErrNoSnapshot
		}
		l.mu.Unlock()
		if err != nil {
			return raft.Snapshot{}, nil, err
		}
		name := l.path(snapshotName(g.id, &s))
		f, meta, err := openSnapshotFile(l.fs, name, g.id)
		if errors.Is(err, fs.ErrNotExist) {
			l.mu.Lock()
			replaced := g.committed.Index != s.Index
			l.mu.Unlock()
			if replaced {
				continue
			}
		}
		if err != nil {
			return raft.Snapshot{}, nil, err
		}
		return meta.snapshot, &snapshotReader{name: name, group: g.id, file: f, meta: meta, chunk: -1}, nil
	}
}

// snapshotReader reads a snapshot's data, every chunk checked before any of
// its bytes is returned.
type snapshotReader struct {
	name  string
	group raft.GroupID
	file  vfs.File
	meta  *snapshotMeta
	pos   int64
	chunk int64 // the number of the one in buf
	buf   []byte
}

func (r *snapshotReader) Read(b []byte) (int, error) {
	if r.pos >= int64(r.meta.snapshot.Size) {
		return 0, io.EOF
	}
	if len(b) == 0 {
		return 0, nil
	}
	if err := r.load(r.pos / chunkBytes); err != nil {
		return 0, err
	}
	n := copy(b, r.buf[r.pos%chunkBytes:])
	r.pos += int64(n)
	return n, nil
}

func (r *snapshotReader) load(chunk int64) error {
	if r.chunk == chunk {
		return nil
	}
	off := chunk * chunkBytes
	size := min(chunkBytes, int64(r.meta.snapshot.Size)-off)
	if r.buf == nil {
		r.buf = make([]byte, min(chunkBytes, int64(r.meta.snapshot.Size)))
	}
	r.buf, r.chunk = r.buf[:size], -1
	if _, err := r.file.ReadAt(r.buf, off); err != nil && err != io.EOF {
		return fmt.Errorf("wal: reading a snapshot: %w", err)
	}
	if chunkCRC(chunk, r.buf) != r.meta.chunks[chunk] {
		return corruptGroups(r.name, off, "the snapshot's data is damaged", raft.IndexRange{Group: r.group, First: 1, Last: r.meta.snapshot.Index})
	}
	r.chunk = chunk
	return nil
}

func (r *snapshotReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += int64(r.meta.snapshot.Size)
	}
	if offset < 0 {
		return 0, errors.New("wal: seek to before the start of a snapshot")
	}
	r.pos = offset
	return offset, nil
}

func (r *snapshotReader) Close() error { return r.file.Close() }

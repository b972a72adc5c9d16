package wal

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

// segmentReads tells of each read of all of a segment, and can fail them.
type segmentReads struct {
	vfs.FS
	begun chan string // buffered
	fail  string
}

func (s *segmentReads) Open(name string) (vfs.File, error) {
	f, err := s.FS.Open(name)
	return segmentRead{f, s, name}, err
}

type segmentRead struct {
	vfs.File
	reads *segmentReads
	name  string
}

func (f segmentRead) ReadAt(b []byte, off int64) (int, error) {
	if off == 0 && len(b) > blockSize {
		f.reads.begun <- f.name
		if f.name == f.reads.fail {
			return 0, errUnreadable
		}
	}
	return f.File.ReadAt(b, off)
}

var errUnreadable = errors.New("the disk cannot read this")

// longLog returns a closed log of some segments, their names and its entries.
func longLog(t *testing.T) (fs *vfs.Mem, names []string, last raft.Index) {
	d := newDisk(t)
	d.mustOpen()
	for next := raft.Index(1); len(d.segments()) < 6; next++ {
		d.save(1, write(1, 0, raft.Entry{Index: next, Term: 1, Data: bytes.Repeat([]byte{byte(next)}, 3*blockSize)}))
		last = next
	}
	names = d.segments()
	require.NoError(t, d.log.Close())
	return d.fs, names, last
}

// While Open replays a segment it reads the next one; each of them once.
func TestOpenReadsAhead(t *testing.T) {
	fs, names, last := longLog(t)
	reads := &segmentReads{FS: fs, begun: make(chan string, 100)}
	replayed := 0
	var begun []string
	log, err := Open(dir, Options{FS: reads, SegmentBytes: minSegmentBytes, Progress: func(int64, int64) {
		replayed++
		for len(begun) < min(replayed+1, len(names)) {
			select {
			case name := <-reads.begun:
				begun = append(begun, name)
			case <-time.After(20 * time.Second):
				require.Fail(t, "a segment is not read ahead")
			}
		}
	}})
	require.NoError(t, err)
	defer log.Close()
	require.Equal(t, names, begun)
	require.Empty(t, reads.begun)
	got, err := log.Storage(1).Entries(nil, 1, last+1, 1<<30)
	require.NoError(t, err)
	require.Len(t, got, int(last))
	for _, e := range got {
		require.Equal(t, bytes.Repeat([]byte{byte(e.Index)}, 3*blockSize), e.Data)
	}
}

// A segment that cannot be read fails Open, whichever it is.
func TestOpenFailsOnAnUnreadableSegment(t *testing.T) {
	fs, names, _ := longLog(t)
	for _, name := range names {
		reads := &segmentReads{FS: fs, begun: make(chan string, 100), fail: name}
		_, err := Open(dir, Options{FS: reads, SegmentBytes: minSegmentBytes})
		require.ErrorIs(t, err, errUnreadable)
	}
	log, err := Open(dir, Options{FS: fs, SegmentBytes: minSegmentBytes})
	require.NoError(t, err)
	require.NoError(t, log.Close())
}

// What is being replayed is not touched by the reading of what comes next.
func TestReadingAheadTakesOtherMemory(t *testing.T) {
	fs, names, _ := longLog(t)
	var chain []*segment
	for _, name := range names {
		f, err := fs.Open(name)
		require.NoError(t, err)
		defer f.Close()
		chain = append(chain, &segment{name: name, file: f, size: minSegmentBytes, header: segmentHeader{prevEnd: minSegmentBytes}})
	}
	segments := newAhead(chain, false)
	defer segments.end()
	for _, name := range names {
		data, err := segments.next()
		require.NoError(t, err)
		if next := segments.reading; next != nil {
			next <- <-next // it has been read
		}
		want, _ := fs.Bytes(name)
		require.Equal(t, want, data)
	}
}

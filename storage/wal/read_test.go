package wal

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

// readHook calls after, once, when a file has been read.
type readHook struct {
	vfs.FS
	after func()
}

func (h *readHook) Open(name string) (vfs.File, error) {
	f, err := h.FS.Open(name)
	return hookedFile{f, h}, err
}

type hookedFile struct {
	vfs.File
	hook *readHook
}

func (f hookedFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	if after := f.hook.after; after != nil {
		f.hook.after = nil
		after()
	}
	return n, err
}

// readMeanwhile reads a log of four entries of term 2, which takes two reads,
// and calls meanwhile between them.
func readMeanwhile(t *testing.T, meanwhile func(d *disk)) ([]raft.Entry, error) {
	d := newDisk(t)
	d.mustOpen()
	require.NoError(t, d.log.Close())
	hook := &readHook{FS: d.fs}
	log, err := Open(dir, Options{FS: hook, Manual: d.drive, SegmentBytes: d.bytes, CacheBytes: -1})
	require.NoError(t, err)
	d.log = log
	d.save(1, write(2, 0, entries(1, 2, 2)...))
	d.save(2, write(1, 0, raft.Entry{Index: 1, Term: 1, Data: make([]byte, maxGapBytes+1)}))
	d.save(1, write(2, 4, entries(3, 2, 2)...))
	hook.after = func() { meanwhile(d) }
	return log.Storage(1).Entries(nil, 1, 5, 1<<20)
}

// Entries reads in pieces. What it returns is the log as it was at one moment,
// whatever becomes of it between two of them.
func TestEntriesAreOfOneMoment(t *testing.T) {
	t.Run("replaced", func(t *testing.T) {
		got, err := readMeanwhile(t, func(d *disk) { d.save(1, write(3, 0, entries(1, 3, 4)...)) })
		require.NoError(t, err)
		require.Equal(t, entries(1, 2, 2), got)
	})
	t.Run("shorter", func(t *testing.T) {
		got, err := readMeanwhile(t, func(d *disk) { d.save(1, write(3, 0, entries(2, 3, 1)...)) })
		require.NoError(t, err)
		require.Equal(t, entries(1, 2, 2), got)
	})
	t.Run("snapshot installed", func(t *testing.T) {
		got, err := readMeanwhile(t, func(d *disk) {
			s := raft.Snapshot{Index: 9, Term: 3}
			w := write(3, 9)
			w.Snapshot = &s
			d.save(1, w)
		})
		require.NoError(t, err)
		require.Equal(t, entries(1, 2, 2), got)
	})
	t.Run("compacted", func(t *testing.T) {
		got, err := readMeanwhile(t, func(d *disk) {
			d.snapshot(1, raft.Snapshot{Index: 4, Term: 2}, "s")
			require.NoError(t, d.log.Storage(1).Compact(3))
		})
		require.NoError(t, err)
		require.Equal(t, entries(1, 2, 2), got)
	})
	t.Run("longer", func(t *testing.T) {
		got, err := readMeanwhile(t, func(d *disk) { d.save(1, write(3, 0, entries(5, 3, 1)...)) })
		require.NoError(t, err)
		require.Equal(t, entries(1, 2, 4), got)
	})
}

// A log that becomes shorter, and whose file is used for something else,
// before any of it has been read gives what is left of it.
func TestEntriesReplacedBeforeTheyAreRead(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	d.save(1, write(2, 0, entries(1, 2, 4)...))
	r := reader{storage: d.log.Storage(1).(*storage), lo: 1, hi: 5}
	_, err := r.locate(1 << 20)
	require.NoError(t, err)
	d.save(1, write(3, 0, entries(1, 3, 2)...))
	p, err := r.locate(1 << 20)
	require.NoError(t, err)
	got, err := p.read(nil)
	require.NoError(t, err)
	require.Equal(t, entries(1, 3, 2), got)
	require.Equal(t, raft.Index(3), r.hi)
}

// An entry of the right index, a valid one, but of another term is damage: a
// write that went to the wrong place.
func TestEntryOfAnotherTermIsDamage(t *testing.T) {
	d := newDisk(t)
	d.cache = -1
	d.mustOpen()
	d.save(1, write(2, 0, entry(1, 1)))
	d.save(1, write(2, 0, entry(1, 2)))
	at := d.log.groups[1].locations[0]
	d.fs.Corrupt(d.segments()[0], func(data []byte) {
		text := entry(1, 1).Data
		end := bytes.Index(data, text) + len(text)
		copy(data[at.off:], data[end-int(at.size):end])
	})
	_, err := d.log.Storage(1).Entries(nil, 1, 2, 1<<20)
	var corrupt *raft.CorruptError
	require.ErrorAs(t, err, &corrupt)
	require.Contains(t, corrupt.Reason, "of term 1")
	require.Equal(t, []raft.IndexRange{{Group: 1, First: 1, Last: 1}}, corrupt.Ranges)
}

// From the moment that Close closes the files, reads say that the log is
// closed, also while it still refuses what has been saved meanwhile.
func TestEntriesWhileTheLogCloses(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	d.save(1, write(1, 0, entries(1, 1, 3)...))
	d.drive.Idle()
	d.log.cache = nil
	var saveErr, readErr error
	d.fs.SetHook(func(op *vfs.Op) error {
		if op.Kind == vfs.OpSync { // of Close
			d.queue(1, write(1, 0, entries(4, 1, 1)...), func(err error) {
				saveErr = err
				_, readErr = d.log.Storage(1).Entries(nil, 1, 4, 1000)
			})
		}
		return nil
	})
	require.NoError(t, d.log.Close())
	require.ErrorIs(t, saveErr, raft.ErrClosed)
	require.ErrorIs(t, readErr, raft.ErrClosed)
}

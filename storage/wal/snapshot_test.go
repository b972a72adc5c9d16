package wal

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

// A process is killed in the Commit of a snapshot, after the rename and before
// that is durable. The next Open finds two snapshots, and may remove the older
// one only when the newer one's name is durable: whenever power fails in that
// Open, one of them is there.
func TestOlderSnapshotStaysUntilTheNewerIsDurable(t *testing.T) {
	for n := 1; ; n++ {
		d := newDisk(t)
		d.mustOpen()
		d.save(1, write(1, 20, entries(1, 1, 20)...))
		d.snapshot(1, raft.Snapshot{Index: 5, Term: 1}, "five")
		require.NoError(t, d.log.Storage(1).Compact(5))
		for range 2 { // a checkpoint states the compaction
			require.NoError(t, d.log.Close())
			d.mustOpen()
		}
		d.fs.SetHook(func(op *vfs.Op) error {
			if op.Kind == vfs.OpSyncDir {
				return vfs.ErrCrashed
			}
			return nil
		})
		require.Error(t, d.trySnapshot(1, raft.Snapshot{Index: 10, Term: 1}, "ten"))
		d.fs.SetHook(nil)
		d.fs.Kill()
		crashed := d.crashAt(n, func() { d.open() })
		d.crash(vfs.Last)
		state, err := d.log.Storage(1).Load()
		require.NoError(t, err, "crash at call %d of Open", n)
		require.GreaterOrEqual(t, state.Snapshot.Index, raft.Index(5), "crash at call %d of Open", n)
		if !crashed {
			require.Equal(t, raft.Index(10), state.Snapshot.Index)
			return
		}
	}
}

// A snapshot at an index that no entry can have is refused without harm. The
// highest possible index is like any other.
func TestSnapshotIndexIsBounded(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	d.save(1, write(1, 0, entries(1, 1, 2)...))
	for _, index := range []raft.Index{raft.MaxIndex + 1, math.MaxUint64} {
		_, err := d.log.Storage(1).CreateSnapshot(raft.Snapshot{Index: index, Term: 1})
		require.ErrorContains(t, err, "is above")
	}
	require.EqualValues(t, 2, d.load(1).Last)
	s := raft.Snapshot{Index: raft.MaxIndex, Term: 1}
	d.snapshot(1, s, "the end")
	w := write(1, raft.MaxIndex)
	w.Snapshot = &s
	d.save(1, w)
	for range 3 {
		state := d.load(1)
		require.Equal(t, raft.MaxIndex, state.Snapshot.Index)
		require.Equal(t, raft.MaxIndex, state.Last)
		d.crash(vfs.Nothing)
	}
}

// A snapshot's file under the name of another index, term or group is not what
// it says it is: its group is refused, and the file stays.
func TestSnapshotUnderAnotherName(t *testing.T) {
	five := raft.Snapshot{Index: 5, Term: 1}
	for _, c := range []struct {
		what  string
		group raft.GroupID
		as    raft.Snapshot
	}{
		{"index", 1, raft.Snapshot{Index: 8, Term: 1}},
		{"term", 1, raft.Snapshot{Index: 5, Term: 2}},
		{"group", 2, five},
	} {
		t.Run(c.what, func(t *testing.T) {
			d := newDisk(t)
			d.mustOpen()
			d.save(1, write(1, 10, entries(1, 1, 10)...))
			d.save(2, write(1, 10, entries(1, 1, 10)...))
			d.save(3, write(1, 10, entries(1, 1, 10)...))
			d.snapshot(1, five, "five")
			require.NoError(t, d.log.Close())
			name := filepath.Join(dir, snapshotName(c.group, &c.as))
			require.NoError(t, d.fs.Rename(filepath.Join(dir, snapshotName(1, &five)), name))
			for range 2 {
				d.mustOpen()
				var corrupt *raft.CorruptError
				_, err := d.log.Storage(c.group).Load()
				require.ErrorAs(t, err, &corrupt)
				require.Equal(t, name, corrupt.File)
				_, _, err = d.log.Storage(c.group).OpenSnapshot()
				require.ErrorAs(t, err, &corrupt)
				require.EqualValues(t, 10, d.load(3).Last)
				require.NoError(t, d.log.Close())
			}
		})
	}
}

// A damaged version in a snapshot's trailer is damage, and a newer one, in a
// trailer that is whole, is that of a newer library.
func TestSnapshotOfANewerVersion(t *testing.T) {
	five := raft.Snapshot{Index: 5, Term: 1}
	d := newDisk(t)
	d.mustOpen()
	d.save(1, write(1, 10, entries(1, 1, 10)...))
	d.snapshot(1, five, "five")
	require.NoError(t, d.log.Close())
	name := filepath.Join(dir, snapshotName(1, &five))
	d.fs.Corrupt(name, func(b []byte) { b[len(b)-snapshotTrailerBytes+8+2] ^= 1 })
	d.mustOpen()
	_, err := d.log.Storage(1).Load()
	var corrupt *raft.CorruptError
	require.ErrorAs(t, err, &corrupt)
	require.Equal(t, name, corrupt.File)
	require.NoError(t, d.log.Close())

	d.fs.Corrupt(name, func(b []byte) {
		b[len(b)-snapshotTrailerBytes+8+2] ^= 1
		b[len(b)-snapshotTrailerBytes+8] = formatVersion + 1
		meta, sum := b[len("five"):len(b)-4], b[len(b)-4:]
		binary.LittleEndian.PutUint32(sum, crc32.Checksum(meta, castagnoli))
	})
	d.mustOpen()
	_, err = d.log.Storage(1).Load()
	var version *VersionError
	require.ErrorAs(t, err, &version)
	require.Equal(t, VersionError{File: name, Version: formatVersion + 1, Supported: formatVersion}, *version)
}

// After Commit the file is that of a committed snapshot: the writer cannot
// change it any more, and a second Commit is a mistake.
func TestSnapshotWriterEndsWithCommit(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	w, err := d.log.Storage(1).CreateSnapshot(raft.Snapshot{Index: 5, Term: 1})
	require.NoError(t, err)
	_, err = w.Write([]byte("abc"))
	require.NoError(t, err)
	require.NoError(t, w.Commit())
	n, err := w.Write(make([]byte, 2*chunkBytes))
	require.Error(t, err)
	require.Zero(t, n)
	require.Error(t, w.Commit())
	require.NoError(t, w.Close())
	d.crash(vfs.Nothing)
	s, r, err := d.log.Storage(1).OpenSnapshot()
	require.NoError(t, err)
	require.EqualValues(t, 3, s.Size)
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "abc", string(data))
}

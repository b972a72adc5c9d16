package wal

import (
	"math"
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

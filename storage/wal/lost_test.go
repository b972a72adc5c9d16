package wal

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

// lostGroup makes a log in which group 1 has lost its last write to damage
// that no Open has seen yet, and returns the damaged segment.
func lostGroup(t *testing.T) (d *disk, damaged string) {
	d = newDisk(t)
	d.mustOpen()
	d.save(1, write(1, 0, entries(1, 1, 2)...))
	d.save(3, write(1, 0, entries(1, 1, 2)...))
	d.snapshot(1, raft.Snapshot{Index: 1, Term: 1}, "s")
	d.save(1, write(1, 2, entries(3, 1, 2)...))
	damaged, off := d.lastFrame()
	d.save(3, write(1, 0, entries(3, 1, 2)...))
	d.save(2, write(1, 0, entries(1, 1, 2)...))
	d.save(2, write(1, 0, entries(3, 1, 2)...))
	d.fs.Corrupt(damaged, func(b []byte) { b[off+frameHeaderBytes+5] ^= 1 })
	return d, damaged
}

// goesOnDamaged expects that group 1 is refused for what is damaged in a
// segment, that a group which is not known is, too, and the others not.
func (d *disk) goesOnDamaged(damaged string) *raft.CorruptError {
	d.t.Helper()
	e := d.refused(1)
	require.Equal(d.t, damaged, e.File)
	require.Equal(d.t, []raft.IndexRange{{Group: 1, First: 3}}, e.Ranges)
	_, _, err := d.log.Storage(1).OpenSnapshot()
	require.Equal(d.t, e, err)
	_, err = d.log.Storage(1).Entries(nil, 2, 3, 1)
	require.Equal(d.t, e, err)
	require.Equal(d.t, []raft.IndexRange{{Group: 1, First: 3}, {Group: 9, First: 1}}, d.refused(9).Ranges)
	for group := raft.GroupID(2); group <= 3; group++ {
		state := d.load(group)
		d.read(group, state.First, state.Last+1)
	}
	return e
}

// overwrite makes the log rotate with entries of group 2 that replace each
// other.
func (d *disk) overwrite(times int) {
	d.t.Helper()
	for range times {
		d.save(2, write(d.load(2).HardState.Term+1, 0, raft.Entry{Index: 1, Term: d.load(2).HardState.Term + 1, Data: make([]byte, 3*blockSize)}))
	}
}

// TestDamagePinsNothing: after an Open that has refused a group, segments are
// freed as usual, but for those with what is left of it, which stay as they are.
// Each later Open refuses the same group with the same error, although it does
// not read them.
func TestDamagePinsNothing(t *testing.T) {
	d, damaged := lostGroup(t)
	content, _ := d.fs.Bytes(damaged)
	d.crash(vfs.Nothing)
	first := *d.goesOnDamaged(damaged)
	between := d.log.current.name
	for range 4 {
		d.overwrite(40)
		require.NotContains(t, d.segments(), damaged)
		require.Less(t, len(d.segments()), 12)
		require.NotContains(t, d.fs.Names(), between)
		after, _ := d.fs.Bytes(damaged)
		require.Equal(t, content, after)
		between = d.log.current.name
		d.crash(vfs.Nothing)
		require.Equal(t, first, *d.goesOnDamaged(damaged))
	}
	require.Len(t, d.log.damage, 1)
	require.Len(t, d.log.kept, 1)

	require.NoError(t, d.log.Close())
	require.NoError(t, d.fs.Remove(damaged)) // by whoever has examined it
	d.mustOpen()
	require.Equal(t, first, *d.goesOnDamaged(damaged))
	require.Empty(t, d.log.kept)
}

// What a group has written elsewhere stays, too.
func TestAllOfALostGroupStays(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	d.save(1, write(1, 0, entries(1, 1, 2)...))
	first := d.log.current.name
	d.overwrite(1)
	require.NotEqual(t, first, d.log.current.name)
	d.save(1, write(1, 2, entries(3, 1, 2)...))
	damaged, off := d.lastFrame()
	d.overwrite(1)
	d.save(1, write(1, 2, entries(5, 1, 2)...))
	last := d.log.current.name
	d.overwrite(1)
	d.fs.Corrupt(damaged, func(b []byte) { b[off+frameHeaderBytes+5] ^= 1 })
	contents := map[string][]byte{}
	for _, name := range []string{first, damaged, last} {
		contents[name], _ = d.fs.Bytes(name)
	}
	for range 3 {
		d.crash(vfs.Nothing)
		require.Equal(t, damaged, d.refused(1).File)
		d.overwrite(40)
		for name, want := range contents {
			got, _ := d.fs.Bytes(name)
			require.Equal(t, want, got)
		}
	}
	require.Less(t, len(d.segments()), 12)
}

// An Open that finds no more than what is known leaves no segment behind.
func TestDamagedLogIsOpenedOftenInBoundedSpace(t *testing.T) {
	d, damaged := lostGroup(t)
	d.crash(vfs.Nothing)
	d.overwrite(20)
	d.crash(vfs.Nothing)
	n := len(d.segments())
	for range 10 {
		require.NoError(t, d.log.Close())
		d.mustOpen()
	}
	require.LessOrEqual(t, len(d.segments()), n+1)
	d.goesOnDamaged(damaged)
}

// A second damage is told from the first, and none is forgotten.
func TestSecondDamage(t *testing.T) {
	d, damaged := lostGroup(t)
	d.crash(vfs.Nothing)
	d.overwrite(20)
	d.save(3, write(1, 4, entries(5, 1, 1)...))
	second, off := d.lastFrame()
	d.save(2, write(1000, 0, entry(1, 1000)))
	d.save(2, write(1000, 0, entry(2, 1000)))
	d.fs.Corrupt(second, func(b []byte) { b[off+frameHeaderBytes+5] ^= 1 })
	for range 4 {
		d.crash(vfs.Nothing)
		require.Equal(t, damaged, d.refused(1).File)
		require.Equal(t, []raft.IndexRange{{Group: 1, First: 3}}, d.refused(1).Ranges)
		require.Equal(t, second, d.refused(3).File)
		require.Equal(t, []raft.IndexRange{{Group: 3, First: 5}}, d.refused(3).Ranges)
		require.Len(t, d.log.damage, 2)
		d.overwrite(40)
		require.Contains(t, d.fs.Names(), damaged)
		require.Contains(t, d.fs.Names(), second)
	}
}

// TestDamageIsNotForgottenInCrashes: the Open that finds damage, and what
// follows, crashes at each of its calls, and so does the next one.
func TestDamageIsNotForgottenInCrashes(t *testing.T) {
	for n := 1; ; n += stride(3) {
		d, damaged := lostGroup(t)
		content, _ := d.fs.Bytes(damaged)
		lives := func() {
			if d.open() == nil {
				for range 12 {
					d.queue(2, write(2, 0, raft.Entry{Index: 1, Term: 2, Data: make([]byte, 3*blockSize)}), func(error) {})
					d.sync()
				}
			}
		}
		d.fs.Crash(vfs.Nothing)
		more := d.crashAt(n, lives)
		d.fs.SetHook(nil)
		d.fs.Crash(survivals[n%len(survivals)].Survival)
		d.crashAt(n/2+1, lives)
		d.crash(survivals[(n+1)%len(survivals)].Survival)
		d.goesOnDamaged(damaged)
		d.overwrite(10)
		d.crash(vfs.Nothing)
		d.goesOnDamaged(damaged)
		after, _ := d.fs.Bytes(damaged)
		require.Equal(t, content, after)
		require.Len(t, d.log.kept, 1)
		if !more {
			require.Greater(t, n, 30)
			return
		}
	}
}

// A checkpoint that rots takes nothing, while the segments before it are
// there. So they stay as long as it is needed: the log never begins with it.
func TestDamagedCheckpointIsNoBeginning(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	d.save(3, write(1, 0, entries(1, 1, 2)...))
	d.overwrite(2)
	d.save(1, write(1, 0, entries(1, 1, 2)...))
	damaged := d.log.current
	d.overwrite(2)
	require.Contains(t, d.segments()[1:len(d.segments())-1], damaged.name)
	d.fs.Corrupt(damaged.name, func(b []byte) { b[headerBytes+frameHeaderBytes+5] ^= 1 })
	for range 40 {
		d.crash(vfs.Nothing)
		require.Empty(t, d.log.damage)
		require.Equal(t, entries(1, 1, 2), d.read(1, 1, 3))
		require.Equal(t, entries(1, 1, 2), d.read(3, 1, 3))
		d.overwrite(3)
	}
	require.NotContains(t, d.segments(), damaged.name, "in the end it is freed")
}

// A segment's file has had a header before, of a lower number. That the first
// sector is as it was then hides no more than a damaged one does: least of all
// when a segment that stays because of damage would be the newest instead.
func TestStaleHeaderHidesNoSegment(t *testing.T) {
	d, damaged := lostGroup(t)
	d.crash(vfs.Nothing)
	stale, _ := d.fs.Bytes(damaged)
	d.overwrite(20)
	d.save(2, write(2000, 0, entry(1, 2000)))
	d.crash(vfs.Nothing)
	for range 2 {
		d.crash(vfs.Nothing)
		want := d.load(2)
		require.EqualValues(t, 2000, want.HardState.Term)
		require.NoError(t, d.log.Close())
		d.fs.Corrupt(d.log.current.name, func(b []byte) { copy(b[:512], stale) })
		d.mustOpen()
		require.Equal(t, want, d.load(2))
		d.goesOnDamaged(damaged)
	}
}

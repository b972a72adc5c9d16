package wal

import (
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

// TestScenarioW1: at a rotation nothing relies on a write to the old segment
// that is not synced: whatever is acknowledged survives a crash, at any call,
// that only the newest segment's writes survive.
func TestScenarioW1(t *testing.T) {
	newestOnly := vfs.Nothing
	newestOnly.Names = vfs.Everything.Names
	for n := 1; ; n++ {
		d, m := newDisk(t), newModel()
		crashed := d.crashAt(n, func() { script(d, m) })
		newest := ""
		for _, name := range d.fs.Names() {
			if strings.HasSuffix(name, segmentSuffix) {
				newest = name
			}
		}
		newestOnly.Writes = func(name string, unsynced []vfs.Write) []vfs.Write {
			if name == newest {
				return unsynced
			}
			return nil
		}
		d.crash(newestOnly)
		m.check(d)
		if !crashed {
			break
		}
	}
}

// TestScenarioW1IdleFrame: the frame that idle appends is not synced, and a
// new segment must not say that it is part of the old one until it is.
func TestScenarioW1IdleFrame(t *testing.T) {
	for n := 1; n < 20; n++ {
		d := newDisk(t)
		d.mustOpen()
		for i := range n {
			d.save(1, write(1, 0, entry(raft.Index(i+1), 1)))
			if i%3 != 0 {
				d.drive.Idle()
			}
		}
		d.crash(vfs.Nothing)
		require.Empty(t, d.log.damage)
		require.EqualValues(t, n, d.load(1).Last)
	}
}

// TestScenarioW5: what is acknowledged is in files whose names are durable.
func TestScenarioW5(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	for i := raft.Index(1); i <= 30; i++ { // several segments
		d.save(1, write(1, 0, entry(i, 1)))
		d.snapshot(1, raft.Snapshot{Index: i, Term: 1}, "s")
		d.fs.Crash(vfs.Nothing)
		d.mustOpen()
		require.Equal(t, i, d.load(1).Last)
		require.Equal(t, i, d.load(1).Snapshot.Index)
	}
}

// TestScenarioW6: after a failed sync, a failed or short write or a full disk
// no write succeeds any more, even if the disk would take it, and what was
// acknowledged before is there after a restart.
func TestScenarioW6(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		kind vfs.OpKind
		keep int
		err  error
	}{
		{"failed sync", vfs.OpSync, 0, broken},
		{"failed write", vfs.OpWrite, 0, broken},
		{"short write", vfs.OpWrite, 100, io.ErrShortWrite},
		{"full disk", vfs.OpWrite, 0, syscall.ENOSPC},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDisk(t)
			d.mustOpen()
			d.save(1, write(1, 0, entry(1, 1)))
			d.fs.SetHook(func(op *vfs.Op) error {
				if op.Kind != c.kind {
					return nil
				}
				op.Keep = c.keep
				return c.err
			})
			var results []error
			note := func(err error) { results = append(results, err) }
			d.queue(1, write(1, 0, entry(2, 1)), note)
			d.queue(2, write(1, 0, entry(1, 1)), note)
			d.sync()
			calls := 0
			d.fs.SetHook(func(*vfs.Op) error { calls++; return nil })
			d.queue(1, write(1, 0, entry(3, 1)), note)
			d.queue(2, write(1, 0, entry(1, 1)), note)
			d.sync()
			d.drive.Idle()
			require.Zero(t, calls, "nothing is tried again")
			require.Len(t, results, 4)
			for _, err := range results {
				require.ErrorIs(t, err, c.err)
			}
			_, err := d.log.Storage(1).Load()
			require.ErrorIs(t, err, c.err)
			require.Equal(t, entries(1, 1, 1), d.read(1, 1, 2))
			require.ErrorIs(t, d.log.Close(), c.err)
			d.crash(vfs.Nothing)
			require.EqualValues(t, 1, d.load(1).Last)
		})
	}
}

// TestScenarioW6PageCache: after a failed sync the page cache shows, as clean,
// what is not on the disk. The next process reads it and builds on it, and
// then the power fails.
func TestScenarioW6PageCache(t *testing.T) {
	broken := errors.New("broken")
	for n := 1; ; n++ {
		d, m := newDisk(t), newModel()
		count, failed := 0, false
		d.fs.SetHook(func(op *vfs.Op) error {
			if op.Kind != vfs.OpSync {
				return nil
			}
			if count++; count == n {
				failed = true
				return broken
			}
			return nil
		})
		script(d, m)
		d.fs.SetHook(nil)
		d.fs.Kill()
		d.mustOpen()
		m.check(d)
		d.crash(vfs.Nothing)
		m.check(d)
		goesOn(d, m)
		if !failed {
			break
		}
	}
}

// TestScenarioW8: nothing is acknowledged before it is synced.
func TestScenarioW8(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	var last vfs.Op
	d.fs.SetHook(func(op *vfs.Op) error {
		if op.Mutates() {
			last = *op
		}
		return nil
	})
	for i := raft.Index(1); i <= 20; i++ {
		current := ""
		d.queue(1, write(1, 0, entry(i, 1)), func(err error) {
			require.NoError(t, err)
			require.Equal(t, vfs.OpSync, last.Kind)
			current = last.Name
		})
		d.sync()
		require.Equal(t, d.log.current.name, current)
	}
}

// TestScenarioW9: one hot group among many idle ones, each of which keeps an
// entry: disk use stays bounded, and the idle groups lose nothing.
func TestScenarioW9(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	const idle = 30
	for g := raft.GroupID(2); g < 2+idle; g++ {
		d.save(g, write(1, 0, entries(1, 1, 2)...))
	}
	hot := d.log.Storage(1)
	most := int64(0)
	for i := raft.Index(1); i <= 1000; i++ {
		d.save(1, write(1, i-1, entry(i, 1)))
		if i%8 == 0 {
			d.snapshot(1, raft.Snapshot{Index: i, Term: 1}, "s")
			require.NoError(t, hot.Compact(i))
		}
		if i == 500 {
			d.crash(vfs.Nothing)
			hot = d.log.Storage(1)
		}
		most = max(most, d.fs.Used())
	}
	require.Less(t, most, int64(20*minSegmentBytes))
	d.crash(vfs.Nothing)
	for g := raft.GroupID(2); g < 2+idle; g++ {
		require.EqualValues(t, 2, d.load(g).Last)
		require.Equal(t, entries(1, 1, 2), d.read(g, 1, 3))
	}
	require.EqualValues(t, 1000, d.load(1).Last)
}

// TestScenarioW9ThousandGroups: one hot group among a thousand idle ones, each
// of which keeps an entry. Disk use stays bounded, and the hot group's writes
// cost as many syncs as they do without the others.
func TestScenarioW9ThousandGroups(t *testing.T) {
	const batches = 400
	run := func(idle raft.GroupID) (d *disk, syncs int, most int64) {
		d = newDisk(t)
		d.bytes = 2 << 20 // 2 KiB for each group, as Options says
		d.mustOpen()
		for g := raft.GroupID(2); g < 2+idle; g++ {
			d.queue(g, write(1, 0, entries(1, 1, 1)...), nil)
		}
		d.sync()
		d.fs.SetHook(func(op *vfs.Op) error {
			if op.Kind == vfs.OpSync {
				syncs++
			}
			return nil
		})
		for i := raft.Index(1); i <= batches; i++ {
			d.save(1, write(1, i-1, raft.Entry{Index: i, Term: 1, Data: make([]byte, 120<<10)}))
			if i%8 == 0 {
				d.compact(1, i, 1)
			}
			most = max(most, d.fs.Used())
		}
		return d, syncs, most
	}
	_, alone, _ := run(0)
	d, syncs, most := run(1000)
	t.Logf("%d batches: %d syncs, %d without other groups; at most %d MiB of disk", batches, syncs, alone, most>>20)
	require.Less(t, syncs, alone*11/10)
	require.Less(t, most, 14*d.bytes)
	d.crash(vfs.Nothing)
	for g := raft.GroupID(2); g < 1002; g++ {
		require.Equal(t, entries(1, 1, 1), d.read(g, 1, 2))
	}
	require.EqualValues(t, batches, d.load(1).Last)
}

// TestScenarioH14: a batch carries a group's relocated tail behind newer
// entries of the same group: replay truncates nothing and brings nothing back.
func TestScenarioH14(t *testing.T) {
	for _, c := range []struct {
		name string
		w    raft.Write
		want []raft.Entry
	}{
		{"appended", write(2, 0, entry(4, 2)), append(entries(1, 1, 3), entry(4, 2))},
		{"replaced", write(2, 0, entry(2, 2)), []raft.Entry{entry(1, 1), entry(2, 2)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDisk(t)
			d.mustOpen()
			d.save(2, write(1, 0, entries(1, 1, 3)...))
			// The hot group does without entries, so that all that is needed
			// of the old segments is the idle group's.
			for len(d.log.cleaning.todo) == 0 {
				w := write(1, 0)
				d.queue(1, w, nil)
				d.log.sync()
			}
			old := d.log.groups[2].locations[0].segment
			d.save(2, c.w)
			require.Empty(t, d.log.cleaning.todo)
			require.NotEqual(t, old, d.log.groups[2].locations[0].segment, "relocated")
			next := raft.Index(len(c.want)) + 1
			for range 3 {
				require.EqualValues(t, next-1, d.load(2).Last)
				require.Equal(t, c.want, d.read(2, 1, next))
				d.crash(vfs.Nothing)
			}
			d.rotate(1, 1)
			require.Greater(t, d.log.chain[0].number, old, "the old segment is not needed any more")
			d.crash(vfs.Nothing)
			require.Equal(t, c.want, d.read(2, 1, next))
		})
	}
}

// TestScenarioH15: a full disk opens, at whatever call the log was cut off;
// and a checkpoint never states a HardState whose entries did not land.
func TestScenarioH15(t *testing.T) {
	for n := 1; ; n += 3 {
		d, m := newDisk(t), newModel()
		crashed := d.crashAt(n, func() {
			if d.open() == nil && d.log.Close() == nil {
				d.fs.SetCapacity(d.fs.Used()) // not one block more, from now on
				script(d, m)
			}
		})
		d.fs.SetHook(nil)
		for _, s := range survivals {
			d.fs.Crash(s.Survival)
			d.mustOpen()
			m.check(d)
		}
		if !crashed {
			require.ErrorIs(t, d.log.failed, nil)
			break
		}
	}
}

// TestScenarioH18: a crash between a snapshot writer's Commit and the write
// that installs it, and a restore that is interrupted and begun again.
func TestScenarioH18(t *testing.T) {
	for _, c := range []struct {
		name        string
		snapshot    raft.Snapshot
		first, last raft.Index
	}{
		{"beyond the log", raft.Snapshot{Index: 100, Term: 3}, 101, 100},
		{"another term", raft.Snapshot{Index: 4, Term: 2}, 5, 4},
		{"the log holds it", raft.Snapshot{Index: 4, Term: 1}, 1, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDisk(t)
			d.mustOpen()
			d.save(1, write(3, 2, entries(1, 1, 5)...))
			d.snapshot(1, c.snapshot, "data")
			for range 3 { // restores that are interrupted
				d.crash(vfs.Nothing)
				state := d.load(1)
				require.Equal(t, c.snapshot.Index, state.Snapshot.Index)
				require.EqualValues(t, len("data"), state.Snapshot.Size)
				require.Equal(t, c.first, state.First)
				require.Equal(t, c.last, state.Last)
				require.Equal(t, raft.HardState{Term: 3, Commit: 2}, state.HardState)
			}
			next := c.last + 1
			d.save(1, write(3, c.snapshot.Index, entry(next, 3)))
			for range 2 {
				d.crash(vfs.Nothing)
				state := d.load(1)
				require.Equal(t, c.first, state.First)
				require.Equal(t, next, state.Last)
				require.Equal(t, []raft.Entry{entry(next, 3)}, d.read(1, next, next+1))
			}
		})
	}
}

// TestContradictionsAreRefused: states that no sequence of writes leads to.
func TestContradictionsAreRefused(t *testing.T) {
	t.Run("commit beyond the log", func(t *testing.T) {
		d := newDisk(t)
		d.mustOpen()
		d.save(1, write(1, 7, entries(1, 1, 5)...))
		for range 3 {
			d.crash(vfs.Nothing)
			require.Equal(t, []raft.IndexRange{{Group: 1, First: 6, Last: 7}}, d.refused(1).Ranges)
		}
	})
	t.Run("snapshot without data", func(t *testing.T) {
		d := newDisk(t)
		d.mustOpen()
		w := write(1, 5)
		w.Snapshot = &raft.Snapshot{Index: 5, Term: 1}
		d.save(1, w)
		d.crash(vfs.Nothing)
		d.refused(1)
	})
	t.Run("lost snapshot", func(t *testing.T) {
		d := newDisk(t)
		d.mustOpen()
		d.save(1, write(1, 5, entries(1, 1, 5)...))
		d.snapshot(1, raft.Snapshot{Index: 4, Term: 1}, "s")
		require.NoError(t, d.log.Storage(1).Compact(4))
		d.crash(vfs.Nothing)
		d.log.Close()
		require.NoError(t, d.fs.Remove(filepath.Join(dir, snapshotName(1, &raft.Snapshot{Index: 4, Term: 1}))))
		require.NoError(t, d.fs.SyncDir(dir))
		d.mustOpen()
		require.EqualValues(t, 5, d.load(1).Last, "what was compacted was still there")
	})
	t.Run("damaged snapshot", func(t *testing.T) {
		d := newDisk(t)
		d.mustOpen()
		d.save(1, write(1, 5, entries(1, 1, 5)...))
		d.snapshot(1, raft.Snapshot{Index: 4, Term: 1}, "s")
		d.fs.Corrupt(filepath.Join(dir, snapshotName(1, &raft.Snapshot{Index: 4, Term: 1})), func(b []byte) { b[len(b)-1] ^= 1 })
		d.crash(vfs.Nothing)
		d.refused(1)
	})
}

// TestWrongWritesAreRefused: they fail, with all later ones of their group and
// no other's.
func TestWrongWritesAreRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		w    raft.Write
	}{
		{"gap", write(1, 0, entry(7, 1))},
		{"entries that do not follow each other", write(1, 0, entry(6, 1), entry(8, 1))},
		{"gap after a snapshot", raft.Write{Snapshot: &raft.Snapshot{Index: 9, Term: 1}, Entries: entries(11, 1, 1)}},
		{"snapshot of no index", raft.Write{Snapshot: &raft.Snapshot{Index: math.MaxUint64, Term: 1}}},
		{"snapshot above all indexes", raft.Write{Snapshot: &raft.Snapshot{Index: raft.MaxIndex + 1, Term: 1}}},
		{"entry above all indexes", raft.Write{Snapshot: &raft.Snapshot{Index: raft.MaxIndex, Term: 1}, Entries: entries(raft.MaxIndex+1, 1, 1)}},
		{"another identity", raft.Write{Identity: raft.Identity{Cluster: "c", Node: 2}}},
		{"no membership", write(1, 0, raft.Entry{Index: 6, Term: 1, Type: raft.EntryMembership, Data: []byte{0xff}})},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDisk(t)
			d.mustOpen()
			first := write(1, 0, entries(1, 1, 5)...)
			first.Identity = raft.Identity{Cluster: "c", Node: 1}
			d.save(1, first)
			var results []error
			note := func(err error) { results = append(results, err) }
			d.queue(1, c.w, note)
			d.queue(1, write(1, 0, entry(6, 1)), note)
			d.sync()
			require.Len(t, results, 2)
			require.Error(t, results[0])
			require.Error(t, results[1])
			d.save(2, write(1, 0, entry(1, 1)))
			d.crash(vfs.Nothing)
			require.EqualValues(t, 5, d.load(1).Last)
		})
	}
}

// TestNewerVersion: a file of a newer format is refused by name.
func TestNewerVersion(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	name := d.log.current.name
	require.NoError(t, d.log.Close())
	d.fs.Corrupt(name, func(b []byte) {
		h, ok := decodeSegmentHeader(b)
		require.True(t, ok)
		h.version = formatVersion + 1
		copy(b, h.encode())
	})
	err := d.open()
	var version *VersionError
	require.ErrorAs(t, err, &version)
	require.Equal(t, VersionError{File: name, Version: 2, Supported: 1}, *version)
}

// TestSegmentSizeMayChange from one Open to the next.
func TestSegmentSizeMayChange(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	next := d.rotate(1, 1)
	for _, blocks := range []int64{16, 8, 20} {
		d.bytes = blocks * blockSize
		d.crash(vfs.Nothing)
		require.Equal(t, next-1, d.load(1).Last)
		next = d.rotate(1, d.rotate(1, next))
		require.Equal(t, entries(1, 1, int(next-1)), d.read(1, 1, next))
		require.EqualValues(t, d.bytes, d.log.current.size)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, bytes := range []int64{-1, 1, minSegmentBytes - blockSize, minSegmentBytes + 1, 2 << 30} {
		_, err := Open(dir, Options{FS: vfs.NewMem(), SegmentBytes: bytes})
		require.ErrorContains(t, err, fmt.Sprint(bytes))
	}
	for _, bytes := range []int{1, minCacheBytes - 1} {
		_, err := Open(dir, Options{FS: vfs.NewMem(), CacheBytes: bytes})
		require.ErrorContains(t, err, fmt.Sprint(bytes))
	}
}

// A segment that Open finds to be the last one may hold a vote and no entries:
// it is a link in its group's chain all the same, and Open keeps it.
func TestVoteInASegmentWithoutEntriesSurvivesEveryOpen(t *testing.T) {
	for _, group := range []raft.GroupID{1, 2} { // with entries before, and without
		d := newDisk(t)
		d.mustOpen()
		d.save(1, write(1, 0, entries(1, 1, 3)...))
		require.NoError(t, d.log.Close())
		d.mustOpen()
		vote := raft.HardState{Term: 7, Vote: 3}
		d.save(group, raft.Write{HardState: vote})
		require.NoError(t, d.log.Close())
		for range 5 {
			d.mustOpen()
			s, err := d.log.Storage(group).Load()
			require.NoError(t, err)
			require.Equal(t, vote, s.HardState)
			require.NoError(t, d.log.Close())
		}
	}
}

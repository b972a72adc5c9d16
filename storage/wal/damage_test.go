package wal

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

// walkFile returns what a segment file holds now.
func (d *disk) walkFile(name string) *walked {
	data, ok := d.fs.Bytes(name)
	require.True(d.t, ok)
	h, ok := decodeSegmentHeader(data)
	require.True(d.t, ok)
	return walk(data, newSalted(h.salt), h.firstLSN)
}

// lastFrame returns the file and the offset of the newest frame.
func (d *disk) lastFrame() (string, int) {
	name := d.log.current.name
	frames := d.walkFile(name).frames
	return name, frames[len(frames)-1].off
}

// zero overwrites a block.
func (d *disk) zero(name string, off int) {
	d.fs.Corrupt(name, func(b []byte) { clear(b[off : off+blockSize]) })
}

// refused expects that Load refuses a group, and returns the error.
func (d *disk) refused(group raft.GroupID) *raft.CorruptError {
	d.t.Helper()
	_, err := d.log.Storage(group).Load()
	var corrupt *raft.CorruptError
	require.ErrorAs(d.t, err, &corrupt)
	return corrupt
}

// TestScenarioW2: a zeroed block in the middle is not the end.
func TestScenarioW2(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	d.save(1, write(1, 0, entries(1, 1, 2)...))
	d.save(1, write(1, 2, entries(3, 1, 2)...))
	name, off := d.lastFrame()
	d.save(1, write(1, 4, entries(5, 1, 2)...))
	d.zero(name, off)
	d.crash(vfs.Nothing)
	err := d.refused(1)
	require.Equal(t, name, err.File)
	require.EqualValues(t, off, err.Offset)
	require.Equal(t, []raft.IndexRange{{Group: 1, First: 3, Last: 4}}, err.Ranges)
}

// TestScenarioW3: a torn payload under an intact header is cut when it was
// never acknowledged, and what is cut is kept aside.
func TestScenarioW3(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	d.save(1, write(1, 0, entries(1, 1, 2)...))
	big := raft.Entry{Index: 3, Term: 1, Data: bytes.Repeat([]byte("x"), blockSize)}
	d.crashAt(2, func() { // the write, not the sync
		d.queue(1, write(1, 0, big), func(err error) { require.Error(t, err) })
		d.sync()
	})
	d.crash(vfs.Fraction(1, 2))
	require.EqualValues(t, 2, d.load(1).Last)
	require.Contains(t, strings.Join(d.fs.Names(), " "), tornSuffix)
	d.save(1, write(1, 0, entry(3, 1)))
	d.crash(vfs.Nothing)
	require.Equal(t, entries(1, 1, 3), d.read(1, 1, 4))
}

// rotate writes to a group until a new segment begins.
func (d *disk) rotate(group raft.GroupID, next raft.Index) raft.Index {
	for segments := d.log.current; d.log.current == segments; next++ {
		d.save(group, write(1, 0, entry(next, 1)))
	}
	return next
}

// TestScenarioW4: damage to a sealed segment is refused, as is a missing one.
func TestScenarioW4(t *testing.T) {
	build := func(t *testing.T) (*disk, string, raft.Index) {
		d := newDisk(t)
		d.mustOpen()
		next := d.rotate(1, 1)
		next = d.rotate(1, next)
		return d, d.log.chain[1].name, next
	}
	t.Run("every frame", func(t *testing.T) {
		d, name, _ := build(t)
		for i, f := range d.walkFile(name).frames {
			d, name, next := build(t)
			d.fs.Corrupt(name, func(b []byte) { b[f.off+frameHeaderBytes] ^= 1 })
			d.crash(vfs.Nothing)
			if i == 0 { // the checkpoint, which says nothing new
				require.Equal(t, next-1, d.load(1).Last)
			} else {
				require.Equal(t, name, d.refused(1).File)
			}
		}
	})
	t.Run("cut short", func(t *testing.T) {
		d, name, _ := build(t)
		frames := d.walkFile(name).frames
		f, err := d.fs.Open(name)
		require.NoError(t, err)
		require.NoError(t, f.Truncate(int64(frames[len(frames)-1].off)))
		require.NoError(t, f.Sync())
		d.crash(vfs.Nothing)
		require.Equal(t, name, d.refused(1).File)
	})
	t.Run("missing", func(t *testing.T) {
		for _, i := range []int{0, 1} {
			d, _, _ := build(t)
			name := d.log.chain[i].name
			require.NoError(t, d.fs.Remove(name))
			require.NoError(t, d.fs.SyncDir(dir))
			d.fs.Crash(vfs.Nothing)
			err := d.open()
			var corrupt *raft.CorruptError
			require.ErrorAs(t, err, &corrupt)
			require.Equal(t, name, corrupt.File)
		}
	})
	t.Run("one copy of a header", func(t *testing.T) {
		d, name, next := build(t)
		d.zero(name, 0)
		d.crash(vfs.Nothing)
		require.Equal(t, next-1, d.load(1).Last)
	})
	t.Run("both copies of a header", func(t *testing.T) {
		d, name, _ := build(t)
		d.zero(name, 0)
		d.zero(name, blockSize)
		d.fs.Crash(vfs.Nothing)
		var corrupt *raft.CorruptError
		require.ErrorAs(t, d.open(), &corrupt)
		require.Equal(t, name, corrupt.File)
	})
}

// TestDamagedNewestHeader: a segment whose header is lost, in both copies, does
// not vanish with what was acknowledged in it.
func TestDamagedNewestHeader(t *testing.T) {
	for _, segments := range []int{1, 2} {
		d := newDisk(t)
		d.mustOpen()
		next := raft.Index(1)
		if segments == 2 {
			next = d.rotate(1, next)
		}
		d.save(1, write(1, 0, entry(next, 1)))
		name := d.log.current.name
		d.zero(name, 0)
		d.zero(name, blockSize)
		before, _ := d.fs.Bytes(name)
		for range 2 {
			d.fs.Crash(vfs.Nothing)
			var corrupt *raft.CorruptError
			require.ErrorAs(t, d.open(), &corrupt)
			require.Equal(t, name, corrupt.File)
			after, _ := d.fs.Bytes(name)
			require.Equal(t, before, after)
		}
	}
}

// TestTornTailsAreBounded: a machine that crashes often keeps only the last
// few torn tails.
func TestTornTailsAreBounded(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	for range 10 {
		d.crashAt(2, func() {
			d.queue(1, write(1, 0, raft.Entry{Index: 1, Term: 1, Data: bytes.Repeat([]byte("x"), blockSize)}), func(error) {})
			d.sync()
		})
		d.crash(vfs.Fraction(1, 2))
	}
	torn := 0
	for _, name := range d.fs.Names() {
		if strings.HasSuffix(name, tornSuffix) {
			torn++
		}
	}
	require.Equal(t, maxTorn, torn)
}

// TestDamageWhileOpen: an entry that rots after Open is refused when it is
// read from the disk.
func TestDamageWhileOpen(t *testing.T) {
	d := newDisk(t)
	d.cache = -1
	d.mustOpen()
	d.save(1, write(1, 0, entries(1, 1, 3)...))
	at := d.log.groups[1].locations[1]
	d.fs.Corrupt(d.log.current.name, func(b []byte) { b[at.off+at.size-1] ^= 1 })
	got, err := d.log.Storage(1).Entries(nil, 1, 2, 1000)
	require.NoError(t, err)
	require.Equal(t, entries(1, 1, 1), got)
	_, err = d.log.Storage(1).Entries(nil, 1, 4, 1000)
	var corrupt *raft.CorruptError
	require.ErrorAs(t, err, &corrupt)
	require.Equal(t, []raft.IndexRange{{Group: 1, First: 2, Last: 2}}, corrupt.Ranges)
	require.EqualValues(t, at.off, corrupt.Offset)
}

// TestScenarioW7: damage neither shortens the log nor lowers the commit index,
// however often it is opened, and the damaged segment stays as it is.
func TestScenarioW7(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	d.save(1, write(1, 0, entries(1, 1, 2)...))
	name, off := d.lastFrame()
	d.save(1, write(1, 2, entries(3, 1, 2)...))
	d.fs.Corrupt(name, func(b []byte) { b[off+frameHeaderBytes+5] ^= 1 })
	before, _ := d.fs.Bytes(name)
	for range 3 {
		d.crash(vfs.Nothing)
		d.refused(1)
		var saveErr error
		d.queue(1, write(1, 2, entry(5, 1)), func(err error) { saveErr = err })
		d.sync()
		require.Error(t, saveErr)
		after, ok := d.fs.Bytes(name)
		require.True(t, ok)
		require.Equal(t, before, after)
	}
}

// TestScenarioH16: a damaged frame was the last of group 1: it is refused.
// Group 2 has a later record that says that none of its own is missing, so it
// goes on. A group that no one knows may have been in the frame alone.
func TestScenarioH16(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	d.save(1, write(1, 0, entries(1, 1, 2)...))
	d.save(2, write(1, 0, entries(1, 1, 2)...))
	d.save(1, write(1, 2, entries(3, 1, 2)...))
	name, off := d.lastFrame()
	d.save(2, write(1, 2, entries(3, 1, 2)...))
	d.zero(name, off)
	next := raft.Index(5)
	for range 3 {
		d.crash(vfs.Nothing)
		require.Contains(t, d.refused(1).Ranges, raft.IndexRange{Group: 1, First: 3})
		d.refused(3)
		require.Equal(t, next-1, d.load(2).Last)
		next = d.rotate(2, next) // the damage is in a sealed segment now
		require.Equal(t, entries(1, 1, int(next)-1), d.read(2, 1, next))
	}
}

// TestIdleFrameTellsDamageFromATear: damage to the last batch looks like a torn
// write until a later frame states that the batch was durable.
func TestIdleFrameTellsDamageFromATear(t *testing.T) {
	for _, idle := range []bool{false, true} {
		d := newDisk(t)
		d.mustOpen()
		d.save(1, write(1, 0, entries(1, 1, 2)...))
		d.save(1, write(1, 2, entries(3, 1, 2)...))
		name, off := d.lastFrame()
		if idle {
			require.NoError(t, d.log.Close())
		}
		d.zero(name, off)
		d.crash(vfs.Nothing)
		if idle {
			d.refused(1)
		} else {
			require.EqualValues(t, 2, d.load(1).Last, "the documented limit")
		}
	}
}

// TestScenarioH12: two frames in one write, the first one torn; both are cut,
// and the second does not come back to life when one of the same length is
// written in the place of the first.
func TestScenarioH12(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	d.save(1, write(1, 0, entry(1, 1)))
	big := func(fill byte) raft.Write {
		return write(1, 0, raft.Entry{Index: 2, Term: 1, Data: bytes.Repeat([]byte{fill}, maxFrameBytes)})
	}
	fail := func(err error) { require.Error(t, err) }
	d.fs.SetHook(func(op *vfs.Op) error {
		if op.Kind == vfs.OpWrite && len(op.Data) > maxFrameBytes {
			op.Keep = len(op.Data)
			return vfs.ErrCrashed
		}
		return nil
	})
	d.queue(1, big('a'), fail)
	d.queue(2, write(1, 0, entries(1, 1, 3)...), fail)
	d.sync()
	d.fs.SetHook(nil)
	torn := vfs.Everything
	torn.Writes = func(_ string, unsynced []vfs.Write) []vfs.Write {
		for i := range unsynced {
			if len(unsynced[i].Data) > maxFrameBytes {
				clear(unsynced[i].Data[10*vfs.Sector : 11*vfs.Sector])
			}
		}
		return unsynced
	}
	d.crash(torn)
	require.EqualValues(t, 1, d.load(1).Last)
	require.Equal(t, raft.State{First: 1}, d.load(2), "it was synced by the same call as what is lost")
	d.save(1, big('b'))
	for range 2 {
		d.crash(vfs.Everything)
		require.EqualValues(t, 2, d.load(1).Last)
		require.Equal(t, raft.State{First: 1}, d.load(2))
	}
}

// TestScenarioW10: frames of another life of the file, even if their sequence
// numbers follow on, are not taken for new ones; nor do they make the end of
// the log look damaged.
func TestScenarioW10(t *testing.T) {
	build := func(seed uint64, n int) *disk {
		d := newDisk(t)
		d.seed = seed
		d.mustOpen()
		for i := range n {
			d.save(1, write(1, 0, entry(raft.Index(i+1), 1)))
		}
		return d
	}
	earlier := build(100, 4)
	d := build(200, 2)
	name, off := d.lastFrame()
	require.Equal(t, earlier.log.current.name, name)
	stale, _ := earlier.fs.Bytes(name)
	after := alignUp(off+1, blockSize)
	for _, f := range newestFrames(t, stale, 2) {
		require.GreaterOrEqual(t, f.off, after)
	}
	d.fs.Corrupt(name, func(b []byte) { copy(b[after:], stale[after:]) })
	d.crash(vfs.Nothing)
	require.EqualValues(t, 2, d.load(1).Last)
	require.Equal(t, entries(1, 1, 2), d.read(1, 1, 3))
}

func newestFrames(t *testing.T, data []byte, n int) []frame {
	h, ok := decodeSegmentHeader(data)
	require.True(t, ok)
	frames := walk(data, newSalted(h.salt), h.firstLSN).frames
	return frames[len(frames)-n:]
}

// TestScenarioH13: a payload that contains a frame, right but for the salt,
// which its author cannot know, does not pass for one behind a torn write.
func TestScenarioH13(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	d.save(1, write(1, 0, entry(1, 1)))
	crafted := &batch{}
	var e encoded
	w := write(9, 0, entries(1, 9, 3)...)
	require.NoError(t, e.save(2, &w))
	crafted.add(&e, op{kind: recordSave, group: newGroup(2)})
	crafted.seal(newSalted(12345), d.log.nextLSN+1, d.log.nextLSN)
	var payload []byte
	for range frameAlign { // in every alignment
		payload = append(append(payload, crafted.buf[:alignUp(crafted.frames[0].end, frameAlign)]...), 0)
	}
	payload = append(payload, bytes.Repeat([]byte{0xee}, 2*blockSize)...)
	d.crashAt(2, func() {
		d.queue(1, write(1, 0, raft.Entry{Index: 2, Term: 1, Data: payload}), func(err error) { require.Error(t, err) })
		d.sync()
	})
	d.crash(vfs.Fraction(1, 2)) // the end is torn
	require.EqualValues(t, 1, d.load(1).Last)
	require.Equal(t, raft.State{First: 1}, d.load(2))
}

// Files with a valid header that names a newer segment than any that is under
// its own name: someone has renamed them. What they hold was acknowledged.
func TestMisnamedSegmentsAreRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		rename func(d *disk, segments []string)
	}{
		{"the two newest swapped", func(d *disk, s []string) {
			a, b := s[len(s)-2], s[len(s)-1]
			require.NoError(d.t, d.fs.Rename(a, dir+"/x"))
			require.NoError(d.t, d.fs.Rename(b, a))
			require.NoError(d.t, d.fs.Rename(dir+"/x", b))
		}},
		{"the newest named as a spare", func(d *disk, s []string) {
			newest := s[len(s)-1]
			require.NoError(d.t, d.fs.Rename(newest, strings.TrimSuffix(newest, segmentSuffix)+spareSuffix))
		}},
		{"the newest with a higher number", func(d *disk, s []string) {
			require.NoError(d.t, d.fs.Rename(s[len(s)-1], dir+"/"+segmentName(99)))
		}},
		{"the newest in place of an older one", func(d *disk, s []string) {
			require.NoError(d.t, d.fs.Rename(s[len(s)-1], s[len(s)-2]))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDisk(t)
			d.mustOpen()
			next := raft.Index(1)
			for range 3 {
				next = d.rotate(1, next)
			}
			segments := d.segments()
			require.NoError(t, d.log.Close())
			c.rename(d, segments)
			require.NoError(t, d.fs.SyncDir(dir))
			names := d.fs.Names()
			for range 2 {
				var corrupt *raft.CorruptError
				require.ErrorAs(t, d.open(), &corrupt)
				require.Contains(t, corrupt.Reason, "should be named")
				require.Equal(t, names, d.fs.Names(), "nothing is touched")
			}
		})
	}
}

package wal

import (
	"encoding/binary"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

// requireLive expects that each segment counts just the entries that are found
// in it: too many would pin it, too few free it.
func (d *disk) requireLive() {
	d.t.Helper()
	live := map[uint32]int64{}
	for _, g := range d.log.list {
		for _, at := range g.locations {
			live[at.segment] += int64(at.size)
		}
	}
	for _, s := range d.log.chain {
		require.Equal(d.t, live[s.number], s.live, "segment %d", s.number)
	}
}

// TestLiveBytes: whatever becomes of entries, segments count those they hold.
func TestLiveBytes(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	d := newDisk(t)
	d.mustOpen()
	for n := range raft.Index(400) {
		group := raft.GroupID(1 + random.IntN(3))
		state := d.load(group)
		switch {
		case random.IntN(15) == 0:
			s := raft.Snapshot{Index: state.Last + n, Term: state.HardState.Term + 1}
			d.snapshot(group, s, "s")
			w := write(s.Term, s.Index)
			w.Snapshot = &s
			d.save(group, w)
		case !cacheStep(d, random, group, state):
			d.crash(vfs.Nothing)
		}
		d.requireLive()
	}
}

// TestMembershipsFollowTheLog: a group's memberships are those of the entries
// it holds, after entries were replaced and compacted, and when they are known
// from a checkpoint only.
func TestMembershipsFollowTheLog(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	at := func(index raft.Index, term raft.Term, node raft.NodeID) raft.Entry {
		m := membership(node)
		return raft.Entry{Index: index, Term: term, Type: raft.EntryMembership, Data: m.Append(nil)}
	}
	expect := func(want ...raft.MembershipAt) {
		t.Helper()
		require.Equal(t, want, d.load(1).Memberships)
		for range 2 { // the second time from a checkpoint, where the entries have been relocated to
			d.overwrite(40)
			d.crash(vfs.Nothing)
			require.Equal(t, want, d.load(1).Memberships)
		}
	}
	d.save(1, write(1, 0, entry(1, 1), at(2, 1, 2), at(3, 1, 3), entry(4, 1), at(5, 1, 5)))
	two, three := raft.MembershipAt{Index: 2, Membership: membership(2)}, raft.MembershipAt{Index: 3, Membership: membership(3)}
	expect(two, three, raft.MembershipAt{Index: 5, Membership: membership(5)})
	d.save(1, write(2, 0, entry(5, 2), at(6, 2, 6)))
	six := raft.MembershipAt{Index: 6, Membership: membership(6)}
	expect(two, three, six)
	d.snapshot(1, raft.Snapshot{Index: 1, Term: 1}, "s")
	require.NoError(t, d.log.Storage(1).Compact(1))
	expect(two, three, six)
	d.snapshot(1, raft.Snapshot{Index: 2, Term: 1}, "s")
	require.NoError(t, d.log.Storage(1).Compact(2))
	expect(three, six)
}

// TestUnknownRecordIsDamage: a record of a kind that is not known, in a frame
// that is intact, may be anything of its group.
func TestUnknownRecordIsDamage(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	d.save(2, write(1, 0, entries(1, 1, 2)...))
	d.save(1, write(1, 0, entries(1, 1, 2)...))
	name, off := d.lastFrame()
	d.save(2, write(1, 0, entries(3, 1, 2)...))
	seg := d.log.current
	d.fs.Corrupt(name, func(b []byte) {
		h, ok := seg.salted.header(b[off:])
		require.True(t, ok)
		b[off+frameHeaderBytes] = 99
		seg.salted.put(b[off:], h)
	})
	d.crash(vfs.Nothing)
	require.Contains(t, d.refused(1).Reason, "unknown kind 99")
	require.EqualValues(t, 4, d.load(2).Last)
}

// A record whose entries do not follow each other is malformed, although each
// of them is intact.
func TestEntriesOfARecordFollowEachOther(t *testing.T) {
	for _, indexes := range [][]raft.Index{{1, 2}, {1, 3}, {2, 2}, {2, 1}} {
		var e, into encoded
		e.buf = beginRecord(nil, recordRelocate, 0, 1)
		e.buf = binary.AppendUvarint(e.buf, uint64(len(indexes)))
		for _, index := range indexes {
			start := len(e.buf)
			entry := entry(index, 1)
			b := entry.Append(append(e.buf, make([]byte, entryHeaderBytes)...))
			e.sealEntry(b, start, 1, 1)
			e.buf = b
		}
		endRecord(e.buf, 0)
		all, err := records(e.buf)
		require.NoError(t, err)
		err = all[0].decode(&op{}, &into)
		if indexes[1] == indexes[0]+1 {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, errFormat, "%v", indexes)
		}
	}
}

// byteCounter counts the bytes that are read.
type byteCounter struct {
	vfs.FS
	bytes atomic.Int64
}

func (c *byteCounter) Open(name string) (vfs.File, error) {
	f, err := c.FS.Open(name)
	return byteCountedFile{f, c}, err
}

type byteCountedFile struct {
	vfs.File
	counter *byteCounter
}

func (f byteCountedFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	f.counter.bytes.Add(int64(n))
	return n, err
}

// TestEntriesReadsLittle: no more is read from the disk than what was asked
// for, small gaps, and no large ones.
func TestEntriesReadsLittle(t *testing.T) {
	d := newDisk(t)
	counter := &byteCounter{FS: d.fs}
	d.mustOpen()
	require.NoError(t, d.log.Close())
	log, err := Open(dir, Options{FS: counter, Manual: d.drive, SegmentBytes: 256 << 10, CacheBytes: -1})
	require.NoError(t, err)
	d.log = log
	for i := range raft.Index(8) {
		d.save(1, write(1, 0, raft.Entry{Index: i + 1, Term: 1, Data: make([]byte, 1000)}))
		d.save(2, write(1, 0, raft.Entry{Index: 1, Term: 1, Data: make([]byte, 16<<10)}))
	}
	for _, c := range []struct {
		lo, hi   raft.Index
		maxBytes int
		want     int // entries
	}{{1, 9, 0, 1}, {1, 9, 1500, 1}, {1, 9, 2500, 2}, {3, 4, 1 << 20, 1}, {1, 9, 1 << 20, 8}} {
		counter.bytes.Store(0)
		got, err := log.Storage(1).Entries(nil, c.lo, c.hi, c.maxBytes)
		require.NoError(t, err)
		require.Len(t, got, c.want)
		require.Less(t, counter.bytes.Load(), int64(c.want+1)*1100, "%+v", c)
	}
	var dense []raft.Entry
	for i := range raft.Index(100) {
		dense = append(dense, raft.Entry{Index: i + 1, Term: 1, Data: make([]byte, 1000)})
	}
	d.save(3, write(1, 0, dense...))
	counter.bytes.Store(0)
	got, err := log.Storage(3).Entries(nil, 1, 101, 5500)
	require.NoError(t, err)
	require.Len(t, got, 5)
	require.Less(t, counter.bytes.Load(), int64(7*1100))
}

// A checkpoint that says of a group's last record that it was another one than
// what was read shows that one is missing, although the group is in the same
// state without it.
func TestCheckpointShowsThatARecordIsMissing(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	d.save(1, write(1, 0, entries(1, 1, 2)...))
	d.save(1, write(1, 0))
	name, off := d.lastFrame()
	d.save(2, write(1, 0, entries(1, 1, 2)...))
	d.rotate(2, 3)
	d.fs.Corrupt(name, func(b []byte) { b[off+frameHeaderBytes+5] ^= 1 })
	d.crash(vfs.Nothing)
	require.Equal(t, name, d.refused(1).File)
	d.load(2)
}

// TestNewestSegmentIsCut: not even one of which nothing is left but its name
// is taken for the end of the log.
func TestNewestSegmentIsCut(t *testing.T) {
	for _, size := range []int64{0, 100, 3 * blockSize, minSegmentBytes - 1} {
		d := newDisk(t)
		d.mustOpen()
		d.save(1, write(1, 0, entries(1, 1, 2)...))
		name := d.log.current.name
		f, err := d.fs.Open(name)
		require.NoError(t, err)
		require.NoError(t, f.Truncate(size))
		require.NoError(t, f.Sync())
		d.fs.Crash(vfs.Nothing)
		var corrupt *raft.CorruptError
		require.ErrorAs(t, d.open(), &corrupt, "%d bytes", size)
		require.Equal(t, name, corrupt.File)
		require.Contains(t, corrupt.Reason, "cut")
	}
}

// A header whose both copies are damaged, anywhere, is none.
func TestHeaderIsChecked(t *testing.T) {
	for at := 12; at < 80; at++ {
		if at == 20 || at >= 52 && at < 56 {
			at += 4 // between the numbers
		}
		d := newDisk(t)
		d.mustOpen()
		d.save(1, write(1, 0, entries(1, 1, 2)...))
		name := d.log.current.name
		d.fs.Corrupt(name, func(b []byte) { b[at], b[blockSize+at] = b[at]^1, b[blockSize+at]^1 })
		d.fs.Crash(vfs.Nothing)
		var corrupt *raft.CorruptError
		require.ErrorAs(t, d.open(), &corrupt, "at %d", at)
		require.Contains(t, corrupt.Reason, "the header of a segment")
	}
}

// TestReplacedSnapshotsAreRemoved: of each group's snapshots one is left.
func TestReplacedSnapshotsAreRemoved(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	for group := raft.GroupID(1); group <= 2; group++ {
		d.save(group, write(1, 9, entries(1, 1, 9)...))
		for index := raft.Index(1); index <= 9; index += 2 {
			d.snapshot(group, raft.Snapshot{Index: index, Term: 1}, "s")
		}
	}
	left := 0
	for _, name := range d.fs.Names() {
		if _, _, ok := parseSnapshotName(filepath.Base(name)); ok {
			left++
		}
	}
	require.Equal(t, 2, left)
}

// TestLargeBatchIsStated: also a batch that fills a segment, or is larger, is
// known to be durable once the writer is idle, so that damage to it is known.
func TestLargeBatchIsStated(t *testing.T) {
	for _, size := range []int64{minSegmentBytes - headerBytes - blockSize - 200, minSegmentBytes, 3 * minSegmentBytes} {
		d := newDisk(t)
		d.mustOpen()
		d.save(1, write(1, 0, raft.Entry{Index: 1, Term: 1, Data: make([]byte, size)}))
		name, off := d.lastFrame()
		d.drive.Idle()
		segments := len(d.segments())
		d.drive.Idle()
		require.Len(t, d.segments(), segments, "it is said once")
		d.fs.Corrupt(name, func(b []byte) { b[off+frameHeaderBytes+500] ^= 1 })
		d.crash(vfs.Everything)
		require.Equal(t, name, d.refused(1).File, "%d bytes", size)
	}
}

// An idle writer that cannot begin a segment fails the log, as a busy one does.
func TestIdleWriterFails(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	d.save(1, write(1, 0, raft.Entry{Index: 1, Term: 1, Data: make([]byte, minSegmentBytes)}))
	d.fs.SetHook(func(op *vfs.Op) error {
		if op.Mutates() {
			return errUnreadable
		}
		return nil
	})
	d.drive.Idle()
	d.fs.SetHook(nil)
	var saveErr error
	d.queue(1, write(1, 0, entry(2, 1)), func(err error) { saveErr = err })
	d.sync()
	require.ErrorIs(t, saveErr, errUnreadable)
}

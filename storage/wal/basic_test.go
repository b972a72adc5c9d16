package wal

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

func membership(ids ...raft.NodeID) raft.Membership {
	var m raft.Membership
	for _, id := range ids {
		m.Members = append(m.Members, raft.Member{ID: id, Address: "a", Voter: true})
	}
	return m
}

func membershipEntry(index raft.Index, term raft.Term, m raft.Membership) raft.Entry {
	return raft.Entry{Index: index, Term: term, Type: raft.EntryMembership, Data: m.Append(nil)}
}

func TestEmptyStorage(t *testing.T) {
	d := newDisk(t)
	for range 3 {
		d.mustOpen()
		require.Equal(t, raft.State{First: 1}, d.load(1))
		_, _, err := d.log.Storage(1).OpenSnapshot()
		require.ErrorIs(t, err, raft.ErrNoSnapshot)
		require.NoError(t, d.log.Close())
	}
}

func TestLoadReturnsWhatWasSaved(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	founding := membership(1, 2, 3)
	identity := raft.Identity{Cluster: "c", Node: 2}
	d.save(7, raft.Write{Identity: identity, HardState: raft.HardState{Term: 1}, Snapshot: &raft.Snapshot{Membership: founding}})
	d.save(7, write(2, 0, entries(1, 1, 3)...))
	joined := membership(1, 2, 3, 4)
	d.save(7, write(3, 2, append(entries(4, 2, 2), membershipEntry(6, 3, joined))...))
	want := raft.State{
		Identity:    identity,
		HardState:   raft.HardState{Term: 3, Commit: 2},
		Snapshot:    raft.Snapshot{Membership: founding},
		First:       1,
		Last:        6,
		Runs:        []raft.TermRun{{First: 1, Term: 1}, {First: 4, Term: 2}, {First: 6, Term: 3}},
		Memberships: []raft.MembershipAt{{Index: 6, Membership: joined}},
	}
	require.Equal(t, want, d.load(7))
	for range 3 {
		require.NoError(t, d.log.Close())
		d.mustOpen()
		require.Equal(t, want, d.load(7))
		require.Equal(t, append(entries(1, 1, 3), entries(4, 2, 2)...), d.read(7, 1, 6))
	}

	d.save(7, write(4, 2, entries(5, 4, 1)...))
	want.HardState.Term = 4
	want.Last = 5
	want.Runs = []raft.TermRun{{First: 1, Term: 1}, {First: 4, Term: 2}, {First: 5, Term: 4}}
	want.Memberships = nil
	require.Equal(t, want, d.load(7), "a conflicting suffix is replaced")
	d.crash(vfs.Nothing)
	require.Equal(t, want, d.load(7))
	require.Equal(t, raft.State{First: 1}, d.load(8), "another group")
}

func TestEntriesHonoursItsLimits(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	s := d.log.Storage(1)
	data := bytes.Repeat([]byte("x"), 100)
	for i := raft.Index(1); i <= 20; i++ {
		d.save(1, write(1, 0, raft.Entry{Index: i, Term: 1, Data: data}))
	}
	for _, c := range []struct {
		lo, hi   raft.Index
		maxBytes int
		want     int
	}{
		{1, 21, 1 << 20, 20},
		{1, 21, 2000, 20},
		{1, 21, 1999, 19},
		{5, 21, 300, 3},
		{5, 21, 0, 1},
		{5, 21, 99, 1},
		{5, 21, 100, 1},
		{5, 21, 199, 1},
		{5, 6, 1 << 20, 1},
		{5, 5, 1 << 20, 0},
	} {
		got, err := s.Entries(nil, c.lo, c.hi, c.maxBytes)
		require.NoError(t, err)
		require.Len(t, got, c.want, "%+v", c)
		for i := range got {
			require.Equal(t, c.lo+raft.Index(i), got[i].Index)
		}
	}
	_, err := s.Entries(nil, 1, 22, 1)
	require.Error(t, err, "beyond the end")

	d.snapshot(1, raft.Snapshot{Index: 10, Term: 1}, "s")
	require.Error(t, s.Compact(11), "no snapshot covers it")
	require.NoError(t, s.Compact(10))
	_, err = s.Entries(nil, 10, 12, 1)
	require.ErrorIs(t, err, raft.ErrCompacted)
	require.Len(t, d.read(1, 11, 21), 10)
}

func TestSnapshotData(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	data := bytes.Repeat([]byte("0123456789abcdef"), 3*chunkBytes/16)
	data = append(data, "tail"...)
	d.save(1, write(1, 5, entries(1, 1, 9)...))
	meta := raft.Snapshot{Index: 5, Term: 1, Membership: membership(1)}
	d.snapshot(1, meta, string(data))
	for range 2 {
		got, r, err := d.log.Storage(1).OpenSnapshot()
		require.NoError(t, err)
		require.EqualValues(t, len(data), got.Size)
		require.NotZero(t, got.Checksum)
		all, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, data, all)
		_, err = r.Seek(chunkBytes-1, io.SeekStart)
		require.NoError(t, err)
		two := make([]byte, 2)
		_, err = io.ReadFull(r, two)
		require.NoError(t, err)
		require.Equal(t, "f0", string(two))
		require.NoError(t, r.Close())
		state := d.load(1)
		require.Equal(t, got, state.Snapshot)
		require.EqualValues(t, 9, state.Last)
		d.crash(vfs.Nothing)
	}

	_, old, err := d.log.Storage(1).OpenSnapshot()
	require.NoError(t, err)
	d.snapshot(1, raft.Snapshot{Index: 7, Term: 1}, "newer")
	d.snapshot(1, raft.Snapshot{Index: 6, Term: 1}, "too late")
	all, err := io.ReadAll(old)
	require.NoError(t, err, "a reader outlives a newer snapshot")
	require.Equal(t, data, all)
	got, r, err := d.log.Storage(1).OpenSnapshot()
	require.NoError(t, err)
	require.EqualValues(t, 7, got.Index)
	all, err = io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "newer", string(all))

	w, err := d.log.Storage(1).CreateSnapshot(raft.Snapshot{Index: 8, Term: 1})
	require.NoError(t, err)
	_, err = w.Write([]byte("not committed"))
	require.NoError(t, err)
	d.crash(vfs.Everything)
	require.EqualValues(t, 7, d.load(1).Snapshot.Index)
	for _, name := range d.fs.Names() {
		require.NotContains(t, name, tempSuffix)
	}

	d.fs.Corrupt(dir+"/"+snapshotName(1, &raft.Snapshot{Index: 7, Term: 1}), func(b []byte) { b[2] ^= 1 })
	_, r, err = d.log.Storage(1).OpenSnapshot()
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	var corrupt *raft.CorruptError
	require.ErrorAs(t, err, &corrupt)
}

func TestRotationAndRecycling(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	s := d.log.Storage(1)
	for i := raft.Index(1); i <= 200; i++ {
		d.save(1, write(1, i-1, entry(i, 1)))
		if i%10 == 0 {
			d.snapshot(1, raft.Snapshot{Index: i - 5, Term: 1}, "s")
			require.NoError(t, s.Compact(i-5))
		}
		require.LessOrEqual(t, len(d.log.chain), 5)
		require.LessOrEqual(t, len(d.log.spares), maxSpares)
	}
	for range 3 {
		state := d.load(1)
		require.EqualValues(t, 195, state.Snapshot.Index)
		require.EqualValues(t, 200, state.Last)
		require.Equal(t, entries(196, 1, 5), d.read(1, 196, 201))
		d.crash(vfs.Nothing)
	}

	// Of what is freed at once, more than maxSpares is given back.
	d.load(1)
	last := raft.Index(200)
	for len(d.log.chain) < maxSpares+8 {
		last++
		d.save(1, write(1, last-1, entry(last, 1)))
	}
	d.snapshot(1, raft.Snapshot{Index: last - 1, Term: 1}, "s")
	require.NoError(t, d.log.Storage(1).Compact(last-1))
	for begun := d.log.current.number; d.log.current.number == begun; { // which frees the others
		last++
		d.save(1, write(1, last-1, entry(last, 1)))
	}
	require.LessOrEqual(t, len(d.log.chain), 5)
	require.Len(t, d.log.spares, maxSpares)
}

// A log that is compacted every eight segments, like that of a node by default,
// uses its files again, and writes no new ones.
func TestSteadyLogWritesNoNewFiles(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	s, last := d.log.Storage(1), raft.Index(0)
	save := func() {
		last++
		d.save(1, write(1, last-1, raft.Entry{Index: last, Term: 1, Data: make([]byte, 4000)}))
	}
	eightSegments := func() {
		for begin := len(d.log.chain); len(d.log.chain) < begin+8; {
			save()
		}
		d.snapshot(1, raft.Snapshot{Index: last - 1, Term: 1}, "s")
		require.NoError(t, s.Compact(last-1))
		for begun := d.log.current.number; d.log.current.number == begun; { // which frees the others
			save()
		}
	}
	eightSegments()
	eightSegments()
	for range 3 {
		before := d.log.highestNumber
		eightSegments()
		require.EqualValues(t, 9, d.log.highestNumber-before, "one number for each segment, none for a new file")
	}
}

func TestLargeWrites(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	var all []raft.Entry
	for i := raft.Index(1); i <= 5; i++ {
		e := raft.Entry{Index: i, Term: 1, Data: bytes.Repeat([]byte{byte(i)}, 3*minSegmentBytes)}
		all = append(all, e)
		d.save(1, write(1, 0, e))
		d.save(2, write(1, 0, entry(i, 1)))
	}
	for range 2 {
		require.Equal(t, all, d.read(1, 1, 6))
		require.Equal(t, entries(1, 1, 5), d.read(2, 1, 6))
		d.crash(vfs.Nothing)
	}
}

// TestOpenReadsEachByteOnce, and says how far it has come. Headers and the
// newest checkpoint are read before, to find the others.
func TestOpenReadsEachByteOnce(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	next := raft.Index(1)
	for range 5 {
		next = d.rotate(1, next)
	}
	require.NoError(t, d.log.Close())
	read := map[string]int{}
	d.fs.SetHook(func(op *vfs.Op) error {
		if op.Kind == vfs.OpRead && strings.HasSuffix(op.Name, segmentSuffix) && op.Off == 0 {
			op.Alter = func(data []byte) {
				if len(data) > blockSize {
					read[op.Name]++
				}
			}
		}
		return nil
	})
	var reports []int64
	total := int64(0)
	log, err := Open(dir, Options{FS: d.fs, SegmentBytes: d.bytes, Progress: func(done, of int64) {
		reports = append(reports, done)
		total = of
	}})
	require.NoError(t, err)
	require.NoError(t, log.Close())
	require.GreaterOrEqual(t, len(read), 5)
	for name, times := range read {
		require.Equal(t, 1, times, name)
	}
	require.Equal(t, int64(len(read))*d.bytes, total)
	require.Len(t, reports, len(read))
	require.Equal(t, total, reports[len(reports)-1])
}

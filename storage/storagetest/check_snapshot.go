package storagetest

import (
	"bytes"
	"io"

	"github.com/seed-6281cb22/raft"
)

// checkSnapshotCommit: nothing of a snapshot is visible before Commit, all of
// it afterwards, and nothing if the writer is closed without.
func checkSnapshotCommit(s *suite) {
	s.saved(write(1, 0, entries(1, 1, 9)...))
	s.saved(write(1, 9))
	for i, size := range []int{0, 1, 5000, 300_000} {
		meta := raft.Snapshot{
			Index: raft.Index(i + 2), Term: 1,
			Membership: membership(1, 2), MembershipIndex: 1,
		}
		s.discarded(meta, size)
		if reason := s.now().differingSnapshot(s.s); reason != "" {
			s.Fatalf("after Close without Commit: %s", reason)
		}
		s.restart()
		s.snapshot(meta, snapshotData(meta.Index, size))
		if reason := s.now().differingSnapshot(s.s); reason != "" {
			s.Fatalf("after Commit: %s", reason)
		}
		s.restart()
	}
}

// discarded writes a snapshot and does not commit it.
func (s *suite) discarded(meta raft.Snapshot, size int) {
	s.Helper()
	w, err := s.s.CreateSnapshot(meta)
	s.ok(err, "CreateSnapshot")
	data := snapshotData(meta.Index, size+100)
	n, err := w.Write(data)
	s.ok(err, "Write")
	if n != len(data) {
		s.Fatalf("Write returns %d instead of %d", n, len(data))
	}
	clear(data) // the caller's
	if reason := s.now().differingSnapshot(s.s); reason != "" {
		s.Fatalf("before Commit: %s", reason)
	}
	s.ok(w.Close(), "Close of the writer")
}

// checkSnapshotNewest: of committed snapshots the one with the highest index
// is the newest, in whatever order they are written and committed.
func checkSnapshotNewest(s *suite) {
	s.saved(write(1, 0, entries(1, 1, 20)...))
	s.saved(write(1, 20))
	later, err := s.s.CreateSnapshot(raft.Snapshot{Index: 4, Term: 1})
	s.ok(err, "CreateSnapshot")
	_, err = io.WriteString(later, "begun first, committed last")
	s.ok(err, "Write")
	for _, index := range []raft.Index{6, 10, 8, 12} {
		s.snapshot(raft.Snapshot{Index: index, Term: 1}, snapshotData(index, 2000))
		if reason := s.now().differingSnapshot(s.s); reason != "" {
			s.Fatalf("after the commit of a snapshot at %d: %s", index, reason)
		}
	}
	s.ok(later.Commit(), "Commit of an older snapshot")
	s.ok(later.Close(), "Close of an older snapshot")
	if reason := s.now().differingSnapshot(s.s); reason != "" {
		s.Fatalf("after the commit of an older snapshot: %s", reason)
	}
	s.restart()
}

// checkSnapshotReader: a reader seeks, several read at once, and one outlives
// its snapshot's replacement.
func checkSnapshotReader(s *suite) {
	s.saved(write(1, 0, entries(1, 1, 9)...))
	s.saved(write(1, 9))
	data := snapshotData(3, 200_000)
	s.snapshot(raft.Snapshot{Index: 3, Term: 1}, data)
	_, first, err := s.s.OpenSnapshot()
	s.ok(err, "OpenSnapshot")
	_, second, err := s.s.OpenSnapshot()
	s.ok(err, "OpenSnapshot")
	s.reads(first, data[:100_000])
	s.seeks(second, data)
	s.snapshot(raft.Snapshot{Index: 5, Term: 1}, snapshotData(5, 100_000))
	s.ok(s.compact(5), "Compact")
	s.reads(first, data[100_000:])
	if n, err := first.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		s.Fatalf("Read at the end of a snapshot: %d, %v instead of io.EOF", n, err)
	}
	s.ok(first.Close(), "Close of a reader")
	s.seeks(second, data)
	s.ok(second.Close(), "Close of a reader")
	s.restart()
}

// reads expects that the reader goes on with want.
func (s *suite) reads(r io.Reader, want []byte) {
	s.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil {
		s.Fatalf("reading a snapshot: %v", err)
	}
	if !bytes.Equal(got, want) {
		s.Fatal("a snapshot's reader returns other data than was written")
	}
}

func (s *suite) seeks(r io.ReadSeeker, data []byte) {
	s.Helper()
	size := int64(len(data))
	for _, c := range []struct {
		offset int64
		whence int
		want   int64
	}{
		{0, io.SeekStart, 0},
		{size - 7, io.SeekStart, size - 7},
		{-1000, io.SeekCurrent, size - 1007},
		{-size, io.SeekEnd, 0},
		{65_535, io.SeekCurrent, 65_535},
	} {
		at, err := r.Seek(c.offset, c.whence)
		s.ok(err, "Seek")
		if at != c.want {
			s.Fatalf("Seek(%d, %d) returns %d instead of %d", c.offset, c.whence, at, c.want)
		}
		n := min(5, size-at)
		s.reads(r, data[at:at+n])
		_, err = r.Seek(-n, io.SeekCurrent)
		s.ok(err, "Seek")
	}
}

// checkSnapshotAndLog: from Commit on, Load returns the snapshot, with the log
// above it only if the log holds the entry of its index and term. It does not
// matter whether a Write has installed it.
func checkSnapshotAndLog(s *suite) {
	for _, c := range []struct {
		name        string
		snapshot    raft.Snapshot
		first, last raft.Index // the lowest First
	}{
		{"in the log", raft.Snapshot{Index: 4, Term: 1}, 1, 9},
		{"at the log's end", raft.Snapshot{Index: 9, Term: 2}, 1, 9},
		{"of another term than the log's entry", raft.Snapshot{Index: 7, Term: 3}, 8, 7},
		{"beyond the log", raft.Snapshot{Index: 50, Term: 2}, 51, 50},
		{"right behind the log", raft.Snapshot{Index: 10, Term: 2}, 11, 10},
	} {
		s.saved(write(1, 0, entries(1, 1, 5)...))
		s.saved(write(2, 4, append(entries(6, 2, 3), membershipEntry(9, 2, 1, 2))...))
		c.snapshot.Membership = membership(1, 2, 3)
		s.snapshot(c.snapshot, snapshotData(c.snapshot.Index, 100))
		for range 2 {
			state := s.restart()
			if state.Last != c.last || state.First < c.first || state.Snapshot.Index != c.snapshot.Index {
				s.Fatalf("a snapshot %s: Load returns %+v", c.name, state)
			}
		}
		next := c.last + 1
		s.saved(write(3, c.snapshot.Index, entries(next, 3, 2)...))
		s.restart()
		s.close()
		s.newDevice()
		s.load()
	}
}

// checkInstall: a Write with a snapshot replaces the log, atomically with what
// else it has.
func checkInstall(s *suite) {
	s.saved(raft.Write{Identity: raft.Identity{Cluster: "c", Node: 1}, HardState: raft.HardState{Term: 1}})
	s.saved(write(1, 5, append(entries(1, 1, 8), membershipEntry(9, 1, 1, 2))...))
	for i, index := range []raft.Index{20, 40, 60} {
		term := raft.Term(i + 2)
		meta := raft.Snapshot{Index: index, Term: term, Membership: membership(1, 2, 3)}
		s.snapshot(meta, snapshotData(index, 3000))
		w := write(term, index)
		w.Snapshot = &s.snapshots[len(s.snapshots)-1].Snapshot
		if i > 0 {
			w.Entries = entries(index+1, term, 3)
		}
		s.saved(w)
		s.below(index + 1)
		s.restart()
		s.saved(write(term, index, entries(s.now().last()+1, term, 2)...))
		s.restart()
	}
}

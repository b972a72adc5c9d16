package storagetest

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/seed-6281cb22/raft"
)

// checkEmpty: empty storage is empty, and stays so.
func checkEmpty(s *suite) {
	for range 2 {
		if state := s.restart(); state.First != 1 || state.Last != 0 {
			s.Fatalf("Load of empty storage returns First %d and Last %d instead of 1 and 0", state.First, state.Last)
		}
	}
}

// checkLoad: everything in a Write is there after a restart, the vote and the
// founding membership included, and each field of an entry.
func checkLoad(s *suite) {
	s.saved(raft.Write{
		Seq:       1,
		Identity:  raft.Identity{Cluster: "storagetest", Node: 3},
		HardState: raft.HardState{Term: 1, Vote: 3},
		Snapshot:  &raft.Snapshot{Membership: membership(1, 2, 3)},
	})
	s.restart()
	s.saved(raft.Write{Seq: 2, HardState: raft.HardState{Term: 2, Vote: 1, Unmarked: true}})
	s.restart()
	full := raft.Entry{
		Index: 2, Term: 2, Data: bytes.Repeat([]byte{0, 0xff, '\n'}, 100),
		Origin:   raft.Entry{}.Origin,
		Earliest: 1 << 60, Latest: 1<<60 + 1, Checksum: 0xdeadbeef,
	}
	full.Origin.Node, full.Origin.Incarnation, full.Origin.Sequence = 1<<63, 1<<62, 1<<61
	s.saved(write(2, 0, raft.Entry{Index: 1, Term: 2, Type: raft.EntryEmpty}, full))
	s.restart()
	s.saved(write(3, 2, entries(3, 3, 3)...))
	s.saved(write(raft.MaxTerm, 3)) // no vote any more, and no entries
	s.restart()
	s.restart()
}

// checkDone: done is called once for each write, in order, however many are
// under way. Each call of done is judged, see life.
func checkDone(s *suite) {
	var all []pending
	for i := raft.Index(1); i <= 300; i++ {
		all = append(all, s.save(write(1, i-1, entry(i, 1))))
	}
	s.durable(all...)
	// What is not awaited is durable after Close.
	for i := raft.Index(301); i <= 400; i++ {
		s.save(write(1, i-1, entry(i, 1)))
	}
	s.restart()
}

// checkOwnership: what Save was given is the caller's again when it returns.
func checkOwnership(s *suite) {
	w := raft.Write{
		HardState: raft.HardState{Term: 1},
		Snapshot:  &raft.Snapshot{Membership: membership(1, 2)},
		Entries:   entries(1, 1, 20),
	}
	p := s.save(w)
	for i := range w.Entries {
		w.Entries[i] = raft.Entry{Index: 99, Term: 99, Data: []byte("the caller's")}
	}
	w.Snapshot.Membership.Members[0] = raft.Member{ID: 99}
	*w.Snapshot = raft.Snapshot{Index: 99, Term: 99}
	s.durable(p)
	if reason := differingEntries(s.s, 1, s.now().entries); reason != "" {
		s.Fatal(reason)
	}
	s.restart()

	buf, err := s.s.Entries(nil, 1, 21, 1<<20)
	s.ok(err, "Entries")
	clear(buf) // the caller's
	if reason := differingEntries(s.s, 1, s.now().entries); reason != "" {
		s.Fatal(reason)
	}
}

// checkSuffix: entries replace the log from the first of them on, with all
// that came behind, also when they are fewer.
func checkSuffix(s *suite) {
	s.saved(write(1, 0, entries(1, 1, 9)...))
	s.saved(write(2, 0, entries(5, 2, 2)...))
	for range 2 {
		if reason := s.now().differs(s.s, s.restart(), 0); reason != "" {
			s.Fatal(reason)
		}
	}
	s.saved(write(3, 4, entries(7, 3, 5)...))
	s.saved(write(4, 4, entries(7, 4, 1)...))
	s.restart()
	s.saved(write(5, 4, entries(5, 5, 1)...))
	s.saved(write(6, 4, entries(6, 6, 1)...))
	s.restart()
	s.saved(write(7, 4, entries(5, 7, 30)...))
	s.restart()
}

// checkSuffixInFlight: the same with all writes under way at once, and with an
// entry that is replaced and comes back (A, C, A).
func checkSuffixInFlight(s *suite) {
	s.saved(write(1, 0, entries(1, 1, 4)...))
	for term := raft.Term(2); term < 20; term += 2 {
		a := write(term, 4, entries(5, 2, 3)...)
		c := write(term+1, 4, entries(5, term+1, 1)...)
		back := write(term+1, 4, entries(5, 2, 1)...)
		s.durable(s.save(a), s.save(c), s.save(back))
		if reason := differingEntries(s.s, 1, s.now().entries); reason != "" {
			s.Fatal(reason)
		}
	}
	s.restart()
}

// checkTerms: the term of every entry is known without reading it.
func checkTerms(s *suite) {
	index, term := raft.Index(1), raft.Term(1)
	for i := range 40 {
		n := 1 + i%4
		s.save(write(term, 0, entries(index, term, n)...))
		index += raft.Index(n)
		if i%3 > 0 {
			term += raft.Term(i % 3)
		}
	}
	s.restart()
	// A write that has several terms, and one that cuts within a run.
	s.saved(write(term, 0, append(entries(20, term, 3), entries(23, term+1, 2)...)...))
	s.restart()
	s.saved(write(term+2, 0, entries(22, term+2, 1)...))
	s.restart()
}

// checkMemberships: those in the log above the snapshot are known without
// reading it, and go with the entries that hold them.
func checkMemberships(s *suite) {
	founding := raft.Write{HardState: raft.HardState{Term: 1}, Snapshot: &raft.Snapshot{Membership: membership(1)}}
	s.saved(founding)
	s.saved(write(1, 0, entry(1, 1), membershipEntry(2, 1, 1, 2), entry(3, 1), membershipEntry(4, 1, 1, 2, 3)))
	s.restart()
	s.saved(write(2, 3, entry(4, 2), entry(5, 2), membershipEntry(6, 2, 1, 2, 4)))
	s.restart()
	s.saved(write(3, 5, entry(6, 3)))
	s.restart()
	s.saved(write(3, 6, membershipEntry(7, 3, 1, 2, 5), membershipEntry(8, 3, 2, 5)))
	s.saved(write(3, 8))
	s.snapshot(raft.Snapshot{Index: 7, Term: 3, Membership: membership(1, 2, 5), MembershipIndex: 7}, []byte("seven"))
	s.restart()
	s.ok(s.compact(7), "Compact")
	s.restart()
}

// checkEntries: Entries appends to its buffer, keeps its limits, and returns at
// least one entry.
func checkEntries(s *suite) {
	data := bytes.Repeat([]byte("x"), 100)
	var all []raft.Entry
	for i := raft.Index(1); i <= 20; i++ {
		all = append(all, raft.Entry{Index: i, Term: 1, Data: data})
	}
	s.saved(write(1, 0, all[:7]...))
	s.saved(write(1, 0, all[7:]...))
	s.saved(write(1, 0, raft.Entry{Index: 21, Term: 1, Type: raft.EntryEmpty}))
	for range 2 {
		for _, c := range []struct {
			lo, hi   raft.Index
			maxBytes int
			want     int
		}{
			{1, 21, 1 << 30, 20},
			{1, 21, 2000, 20},
			{1, 21, 1999, 19},
			{5, 21, 300, 3},
			{6, 10, 399, 3},
			{5, 21, 0, 1},
			{5, 21, 99, 1},
			{5, 21, 100, 1},
			{5, 21, 199, 1},
			{5, 6, 1 << 30, 1},
			{20, 22, 100, 2}, // the last one has no data
			{5, 5, 1 << 30, 0},
			{22, 22, 1 << 30, 0},
		} {
			what := fmt.Sprintf("Entries(buf, %d, %d, %d)", c.lo, c.hi, c.maxBytes)
			before := entries(90, 9, 2)
			got, err := s.s.Entries(slices.Clone(before), c.lo, c.hi, c.maxBytes)
			s.ok(err, what)
			want := append(before, s.now().entries[c.lo-1:int(c.lo)-1+c.want]...)
			if len(got) != len(want) {
				s.Fatalf("%s appends %d entries instead of %d", what, len(got)-2, c.want)
			}
			if !slices.EqualFunc(got, want, sameEntry) {
				s.Fatalf("%s returns %s instead of %s", what, showAll(got), showAll(want))
			}
		}
		s.restart()
	}
}

// checkCompact: entries above what is compacted stay; those below are there,
// or the error is ErrCompacted.
func checkCompact(s *suite) {
	s.saved(write(1, 0, entries(1, 1, 10)...))
	s.saved(write(2, 20, entries(11, 2, 20)...))
	for _, through := range []raft.Index{5, 10, 15} {
		snapshot := raft.Snapshot{Index: through, Term: 1}
		if through > 10 {
			snapshot.Term = 2
		}
		s.snapshot(snapshot, []byte("s"))
		s.ok(s.compact(through-1), "Compact")
		s.compactedUpTo(through - 1)
		s.ok(s.compact(through), "Compact")
		s.ok(s.compact(through-3), "Compact of less than before")
		s.compactedUpTo(through)
		state := s.restart()
		s.below(state.First)
		s.saved(write(2, through+1))
	}
	// All of it: the log goes on.
	s.saved(write(2, 30))
	s.snapshot(raft.Snapshot{Index: 30, Term: 2}, []byte("s"))
	s.ok(s.compact(30), "Compact")
	s.saved(write(3, 30, entries(31, 3, 2)...))
	s.compactedUpTo(30)
	s.restart()
}

// compactedUpTo reads on both sides of what was compacted.
func (s *suite) compactedUpTo(through raft.Index) {
	s.Helper()
	c := s.now()
	if reason := differingEntries(s.s, through+1, c.entries[through+1-c.first:]); reason != "" {
		s.Fatal(reason)
	}
	for lo := c.first; lo <= through; lo++ {
		got, err := s.s.Entries(nil, lo, lo+1, 1<<20)
		switch {
		case isErr(err, raft.ErrCompacted):
		case err != nil:
			s.Fatalf("reading entry %d, compacted up to %d: %v", lo, through, err)
		case len(got) != 1 || !sameEntry(got[0], c.entries[lo-c.first]):
			s.Fatalf("reading entry %d, compacted up to %d: %s", lo, through, showAll(got))
		}
	}
}

// below expects that nothing is found below the log's first index.
func (s *suite) below(first raft.Index) {
	s.Helper()
	if first == 1 {
		return
	}
	if got, err := s.s.Entries(nil, first-1, first, 1<<20); !isErr(err, raft.ErrCompacted) {
		s.Fatalf("reading below the log's first index %d: %s, %v instead of ErrCompacted", first, showAll(got), err)
	}
}

package wal

import (
	"fmt"
	"slices"
	"sort"

	"github.com/seed-6281cb22/raft"
)

// group is what the log knows of one group: the durable state, and where each
// of its entries is. The writer changes it when a batch has become durable,
// Compact when it forgets entries, both under Log.mu.
type group struct {
	id        raft.GroupID
	identity  raft.Identity
	hardState raft.HardState
	snapshot  raft.Snapshot // the one last installed by a Write
	committed raft.Snapshot // the newest one with data, Index 0: none

	committedErr error // not nil: that one cannot be read

	first       raft.Index // of locations
	prevTerm    raft.Term  // of the entry before first
	runs        []raft.TermRun
	memberships []raft.MembershipAt // held by entries from first on
	locations   []location          // of entries first, first+1, …
	cuts        uint64              // how many times the log has lost a suffix, or all of it

	lastLSN   uint64 // of the frame with the newest record of the group; the writer's
	provenLSN uint64 // of the frame up to which no record of the group is missing; Open's

	tail raft.Index // last index, writes that are not yet durable included
	// replacing is how many writes that are not yet durable replace entries,
	// and replaceFrom the lowest index that any of them replaces.
	replacing   int
	replaceFrom raft.Index
	unstated    bool // first is not on disk: the group is in Log.compacted

	refused error // not nil: the group is damaged, or was given a wrong write
	lost    bool  // acknowledged records of it are missing; refused says more
}

func newGroup(id raft.GroupID) *group { return &group{id: id, first: 1} }

// last is the index of the last entry, or first-1.
func (g *group) last() raft.Index { return g.first + raft.Index(len(g.locations)) - 1 }

// term returns the term of the entry at index, or of the one before the first.
func (g *group) term(index raft.Index) (raft.Term, bool) {
	if index+1 == g.first {
		return g.prevTerm, true
	}
	if index < g.first || index > g.last() {
		return 0, false
	}
	i := sort.Search(len(g.runs), func(i int) bool { return g.runs[i].First > index })
	return g.runs[i-1].Term, true
}

// terms returns those of n entries that are held, from index on.
func (g *group) terms(index raft.Index, n int) []raft.Term {
	all := make([]raft.Term, n)
	run := sort.Search(len(g.runs), func(i int) bool { return g.runs[i].First > index }) - 1
	for i := range all {
		if run+1 < len(g.runs) && g.runs[run+1].First == index+raft.Index(i) {
			run++
		}
		all[i] = g.runs[run].Term
	}
	return all
}

// live tells the account of live bytes that an entry is somewhere or, with a
// negative sign, no longer is.
type live func(at location, sign int64)

// apply makes a record part of the state, after its frame has become durable
// in segment at base: the offset of the buffer that the entries' count from.
func (g *group) apply(o *op, e *encoded, segment uint32, base int64, account live) error {
	entries := e.entries[o.entries:o.entriesEnd]
	switch o.kind {
	case recordRelocate, recordDamaged:
		g.relocate(o.first, entries, segment, base, account)
		return nil
	case recordCompact:
		if o.first > g.last()+1 {
			return fmt.Errorf("%w: a log from %d to %d begins at %d", errFormat, g.first, g.last(), o.first)
		}
		g.compact(o.first-1, account) // nothing, unless it is Open that applies it
		return nil
	}
	if o.identity != (raft.Identity{}) {
		g.identity = o.identity
	}
	g.hardState = o.hardState
	if o.snapshot != nil {
		g.install(*o.snapshot, account)
	}
	if len(entries) == 0 {
		return nil
	}
	if o.first < g.first || o.first > g.last()+1 {
		return fmt.Errorf("%w: entries from %d on do not fit a log from %d to %d", errFormat, o.first, g.first, g.last())
	}
	g.truncate(o.first, account)
	for i, m := range entries {
		at := location{segment: segment, off: uint32(base) + m.off, size: m.size}
		account(at, 1)
		g.locations = append(g.locations, at)
		if n := len(g.runs); n == 0 || g.runs[n-1].Term != m.term {
			g.runs = append(g.runs, raft.TermRun{First: o.first + raft.Index(i), Term: m.term})
		}
	}
	g.memberships = append(g.memberships, e.memberships[o.memberships:o.membershipsEnd]...)
	return nil
}

// install replaces the log by a snapshot.
func (g *group) install(s raft.Snapshot, account live) {
	for _, at := range g.locations {
		account(at, -1)
	}
	g.cuts++
	g.snapshot = s
	g.first = s.Index + 1
	g.prevTerm = s.Term
	g.runs, g.memberships, g.locations = nil, nil, nil
}

// truncate removes the entries from index on.
func (g *group) truncate(index raft.Index, account live) {
	if index > g.last() {
		return
	}
	g.cuts++
	keep := int(index - g.first)
	for _, at := range g.locations[keep:] {
		account(at, -1)
	}
	g.locations = g.locations[:keep]
	for len(g.runs) > 0 && g.runs[len(g.runs)-1].First >= index {
		g.runs = g.runs[:len(g.runs)-1]
	}
	for len(g.memberships) > 0 && g.memberships[len(g.memberships)-1].Index >= index {
		g.memberships = g.memberships[:len(g.memberships)-1]
	}
}

// compact forgets the entries up to and including through, which is held.
func (g *group) compact(through raft.Index, account live) {
	if through < g.first {
		return
	}
	g.prevTerm, _ = g.term(through)
	n := int(through - g.first + 1)
	for _, at := range g.locations[:n] {
		account(at, -1)
	}
	g.first = through + 1
	// Cloned when most of the array is dead, so that memory is given back.
	g.locations = g.locations[n:]
	if len(g.locations) < n {
		g.locations = slices.Clone(g.locations)
	}
	i := sort.Search(len(g.runs), func(i int) bool { return g.runs[i].First > g.first })
	g.runs = slices.Clone(g.runs[i-1:])
	g.runs[0].First = g.first
	if len(g.locations) == 0 {
		g.runs = nil
	}
	i = sort.Search(len(g.memberships), func(i int) bool { return g.memberships[i].Index >= g.first })
	g.memberships = slices.Clone(g.memberships[i:])
}

// relocate notes that entries are now found elsewhere, as far as the log
// still holds them. It never changes what the log holds.
func (g *group) relocate(first raft.Index, entries []entryMeta, segment uint32, base int64, account live) {
	for i, m := range entries {
		index := first + raft.Index(i)
		if term, ok := g.term(index); !ok || term != m.term || index < g.first {
			continue
		}
		at := location{segment: segment, off: uint32(base) + m.off, size: m.size}
		account(g.locations[index-g.first], -1)
		account(at, 1)
		g.locations[index-g.first] = at
	}
}

// check returns why a write cannot be taken.
func (g *group) check(w *raft.Write) error {
	if g.refused != nil {
		return g.refused
	}
	if w.Identity != (raft.Identity{}) && g.identity != (raft.Identity{}) && w.Identity != g.identity {
		return &raft.IdentityError{Stored: g.identity, Given: w.Identity}
	}
	if w.Snapshot != nil && w.Snapshot.Index > raft.MaxIndex {
		return fmt.Errorf("wal: group %d: the snapshot's index %d is above %d", g.id, w.Snapshot.Index, raft.MaxIndex)
	}
	if n := len(w.Entries); n > 0 && w.Entries[n-1].Index > raft.MaxIndex {
		return fmt.Errorf("wal: group %d: the index of an entry, %d, is above %d", g.id, w.Entries[n-1].Index, raft.MaxIndex)
	}
	first, tail := g.first, g.tail
	if w.Snapshot != nil {
		first, tail = w.Snapshot.Index+1, w.Snapshot.Index
	}
	if len(w.Entries) > 0 {
		if i := w.Entries[0].Index; i < first || i > tail+1 {
			return fmt.Errorf("wal: group %d: entries from %d on do not fit a log from %d to %d", g.id, i, first, tail)
		}
	}
	return nil
}

// advance notes a write that has been taken. It reports whether the write
// replaces entries, which then counts as replacing until it has been applied.
func (g *group) advance(w *raft.Write) (replaces bool) {
	if w.Snapshot != nil {
		g.tail = w.Snapshot.Index
	}
	n := len(w.Entries)
	if n == 0 {
		return false
	}
	if first := w.Entries[0].Index; first <= g.tail {
		if g.replacing == 0 || first < g.replaceFrom {
			g.replaceFrom = first
		}
		g.replacing++
		replaces = true
	}
	g.tail = w.Entries[n-1].Index
	return replaces
}

// compactable returns how far the log may be compacted now, at most through
// an index: what a write under way replaces must be there when it lands.
func (g *group) compactable(through raft.Index) raft.Index {
	if g.replacing > 0 {
		through = min(through, g.replaceFrom-1)
	}
	return min(through, g.last())
}

package raft

import (
	"fmt"
	"slices"
	"sort"
)

// entryOverhead is what an entry costs in memory and on the wire beside its
// data, in the accounts that keep memory bounded.
const entryOverhead = 64

func entrySize(e *Entry) int { return len(e.Data) + entryOverhead }

// raftLog is the core's view of the log: the terms of all of it, and the
// entries of a window at its end. The rest is in the storage, and the core
// asks for it by LogRead.
type raftLog struct {
	// base is the highest index that is compacted; entries start at base+1.
	// baseTerm is its term, 0 where that is unknown.
	base     Index
	baseTerm Term
	last     Index
	// runs gives the term of every entry in (base, last].
	runs     []TermRun
	snapshot snapshotEnd // of the newest one here
	window   window

	// stamp is the clock interval of the last entry that has one, as far as
	// that is in memory; stamped says that it is the last entry's.
	stamp   interval
	stamped bool
}

// snapshotEnd is the last entry that a snapshot covers: all that the core needs
// of it once it is installed.
type snapshotEnd struct {
	index Index
	term  Term
	stamp interval
}

func endOf(s *Snapshot) snapshotEnd {
	return snapshotEnd{s.Index, s.Term, interval{s.Earliest, s.Latest}}
}

func newLog(s *State) raftLog {
	l := raftLog{base: s.First - 1, last: s.Last, runs: slices.Clone(s.Runs), snapshot: endOf(&s.Snapshot)}
	if l.base == l.snapshot.index {
		l.baseTerm = l.snapshot.term
	}
	l.window.first = l.last + 1
	l.restamp()
	return l
}

// term returns the term of the entry at i, and whether it is known: it is for
// 0, for every entry that the log holds, and for the snapshot's index.
func (l *raftLog) term(i Index) (Term, bool) {
	switch {
	case i == 0:
		return 0, true
	case i == l.snapshot.index:
		return l.snapshot.term, true
	case i == l.base:
		return l.baseTerm, l.baseTerm != 0
	case i < l.base || i > l.last:
		return 0, false
	}
	return l.runs[l.run(i)].Term, true
}

// run returns the position in runs of the run that holds i, base < i <= last.
func (l *raftLog) run(i Index) int {
	n := len(l.runs)
	if l.runs[n-1].First <= i { // nearly always
		return n - 1
	}
	return sort.Search(n, func(k int) bool { return l.runs[k].First > i }) - 1
}

func (l *raftLog) lastTerm() Term {
	t, _ := l.term(l.last)
	return t
}

// upToDate reports whether a log that ends with (index, term) is at least as
// up to date as this one (§5.4.1).
func (l *raftLog) upToDate(index Index, term Term) bool {
	own := l.lastTerm()
	return term > own || term == own && index >= l.last
}

// hint returns the highest index <= limit whose term is known and at most
// term, with its term. It is where two logs may still agree when they are
// known to differ above limit or in later terms. Terms below the log's start
// are not known; base stands for all of them.
func (l *raftLog) hint(limit Index, term Term) (Index, Term) {
	i := min(limit, l.last)
	for i > l.base {
		k := l.run(i)
		if l.runs[k].Term <= term {
			return i, l.runs[k].Term
		}
		i = l.runs[k].First - 1
	}
	t, _ := l.term(i)
	return i, t
}

// appended takes note of entries that have been put into the window, from last+1
// on. stamped is the position of the last one that has a clock interval, negative if
// none has.
func (l *raftLog) appended(entries []Entry, stamped int) {
	last := len(entries) - 1
	l.last += Index(len(entries))
	term := Term(0) // of no entry
	if n := len(l.runs); n > 0 {
		term = l.runs[n-1].Term
	}
	if entries[last].Term != term { // terms never decrease along a log
		for i := range entries {
			if e := &entries[i]; e.Term != term {
				term = e.Term
				l.runs = append(l.runs, TermRun{First: e.Index, Term: term})
			}
		}
	}
	if stamped >= 0 {
		l.stamp = intervalOf(&entries[stamped])
	}
	l.stamped = stamped == last
}

// restamp finds out the clock interval of the last entry, where it can.
func (l *raftLog) restamp() {
	l.stamp = interval{}
	switch w := &l.window; {
	case l.last == l.snapshot.index:
		l.stamp = l.snapshot.stamp
	case w.len() > 0 && l.last >= w.first:
		l.stamp = intervalOf(w.at(l.last))
	}
	l.stamped = l.stamp.known()
}

// truncate removes the entries from i on.
func (l *raftLog) truncate(i Index) {
	l.last = i - 1
	for n := len(l.runs); n > 0 && l.runs[n-1].First >= i; n-- {
		l.runs = l.runs[:n-1]
	}
	l.window.truncate(i)
	l.restamp()
}

// compact forgets the entries up to through, which the snapshot covers.
func (l *raftLog) compact(through Index) {
	if through <= l.base {
		return
	}
	l.baseTerm, _ = l.term(through)
	l.base = through
	k := 0
	for k+1 < len(l.runs) && l.runs[k+1].First <= through+1 {
		k++
	}
	l.runs = append(l.runs[:0], l.runs[k:]...)
	switch {
	case l.last == through:
		l.runs = l.runs[:0]
	default:
		l.runs[0].First = through + 1
	}
	l.window.dropBelow(through + 1)
}

// reset replaces the log by a snapshot.
func (l *raftLog) reset(s *Snapshot) {
	l.snapshot = endOf(s)
	l.base, l.baseTerm, l.last = s.Index, s.Term, s.Index
	l.runs = l.runs[:0]
	l.window.reset(s.Index + 1)
	l.restamp()
}

// check returns those of the entries that the storage has read which were
// asked for, or an error: err, or that they are not what the log says of their
// indexes and terms.
func (l *raftLog) check(request LogRead, entries []Entry, err error) ([]Entry, error) {
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("storage returned no entry from %d on", request.Lo)
	}
	entries = entries[:min(len(entries), int(request.Hi-request.Lo))]
	for i := range entries {
		want := request.Lo + Index(i)
		t, ok := l.term(want)
		if entries[i].Index != want || !ok || entries[i].Term != t {
			return nil, fmt.Errorf("storage returned entry %d of term %d where the log has entry %d of term %d",
				entries[i].Index, entries[i].Term, want, t)
		}
	}
	return entries, nil
}

// window holds the entries [first, first+len) at the end of the log in one
// slice, with a running sum of their sizes. It starts empty and grows; what
// leaves it at the front makes room at the back without an allocation.
type window struct {
	first Index
	// entries is the whole array, of which [head, tail) are live; sums[i] is
	// the running sum of sizes up to and including entries[i].
	entries []Entry
	sums    []uint64
	head    int
	tail    int
	sum     uint64 // up to the last entry
}

const (
	windowMinimum = 2    // entries of the first allocation
	windowKeep    = 1024 // entries of the largest array that an empty window keeps
)

func (w *window) len() int { return w.tail - w.head }

// next is the index after the last entry.
func (w *window) next() Index { return w.first + Index(w.len()) }

// contents says what there is among entries.
type contents struct {
	memberships int // how many
	stamped     int // position of the last one that has a clock interval, -1: none
}

// append puts copies of entries at the end. It returns these and, from the pass over
// them that it makes in any case, what there is among them.
func (w *window) append(entries []Entry) ([]Entry, contents) {
	if len(w.entries)-w.tail < len(entries) {
		w.makeRoom(len(entries))
	}
	places, sums := w.entries[w.tail:w.tail+len(entries)], w.sums[w.tail:w.tail+len(entries)]
	w.tail += copy(places, entries)
	sum, c := w.sum, contents{stamped: -1}
	for i := range sums {
		e := &entries[i]
		sum += uint64(entrySize(e))
		sums[i] = sum
		if e.Latest != 0 {
			c.stamped = i
		}
		if e.Type == EntryMembership {
			c.memberships++
		}
	}
	w.sum = sum
	return places, c
}

// makeRoom makes room for more entries at the end. It moves the live ones to the
// front of the array if that is worth it and as many as are needed fit then, and
// else to one of twice the size, or of four times or more. It is worth it where
// half of the array becomes free; of a small one, whose size matters less than the
// work, three quarters.
func (w *window) makeRoom(more int) {
	entries, sums := w.entries, w.sums
	worth := len(entries) / 2
	if len(entries) <= windowKeep/2 {
		worth = 3 * len(entries) / 4
	}
	grow := w.head < worth || len(entries) < w.len()+more
	if grow {
		size := max(windowMinimum, 2*len(entries))
		for size < w.len()+more {
			size *= 2
		}
		entries, sums = make([]Entry, size), make([]uint64, size)
	}
	n := copy(entries, w.entries[w.head:w.tail])
	copy(sums, w.sums[w.head:w.tail])
	if !grow {
		releaseData(entries[max(n, w.head):w.tail]) // below head it has been released
	}
	w.entries, w.sums, w.head, w.tail = entries, sums, 0, n
}

// slice returns the entries with lo <= index < hi, all of them in the window.
func (w *window) slice(lo, hi Index) []Entry {
	a, b := w.head+int(lo-w.first), w.head+int(hi-w.first)
	return w.entries[a:b:b]
}

// at returns the entry at i, which is in the window.
func (w *window) at(i Index) *Entry { return &w.entries[w.head+int(i-w.first)] }

// upTo is the running sum up to and including index i, clamped to the window.
func (w *window) upTo(i Index) uint64 {
	switch {
	case w.len() == 0 || i >= w.next():
		return w.sum
	case i < w.first:
		return w.sums[w.head] - uint64(entrySize(&w.entries[w.head]))
	}
	return w.sums[w.head+int(i-w.first)]
}

// bytes is the size of the entries with lo < index <= hi that are in the window.
func (w *window) bytes(lo, hi Index) int {
	if lo >= hi {
		return 0
	}
	return int(w.upTo(hi) - w.upTo(lo))
}

// fit returns hi such that [lo, hi) is at least one entry and beyond that not
// larger than limit bytes. lo is in the window.
func (w *window) fit(lo, hi Index, limit int) Index {
	hi = min(hi, w.next())
	before := w.upTo(lo - 1)
	if w.upTo(hi-1)-before <= uint64(max(limit, 0)) {
		return hi
	}
	n := sort.Search(int(hi-lo), func(k int) bool { return w.upTo(lo+Index(k))-before > uint64(max(limit, 0)) })
	return lo + Index(max(n, 1))
}

// size is that of all entries. There is one at least.
func (w *window) size() int { return int(w.sum-w.sums[w.head]) + entrySize(&w.entries[w.head]) }

// releaseData drops entries' data, which is all that they keep in memory beside
// themselves: their places will be used again. To clear them is slower.
func releaseData(entries []Entry) {
	for i := range entries {
		entries[i].Data = nil
	}
}

// dropBelow forgets the entries below i.
func (w *window) dropBelow(i Index) {
	if i <= w.first {
		return
	}
	n := min(int(i-w.first), w.len())
	releaseData(w.entries[w.head : w.head+n])
	w.head += n
	w.first += Index(n)
	if w.head == w.tail {
		w.reset(w.first)
	}
}

// truncate forgets the entries from i on.
func (w *window) truncate(i Index) {
	if i <= w.first {
		w.reset(i)
		return
	}
	if i >= w.next() {
		return
	}
	w.sum = w.upTo(i - 1)
	a := w.head + int(i-w.first)
	releaseData(w.entries[a:w.tail])
	w.tail = a
}

// reset empties the window; the next entry is first.
func (w *window) reset(first Index) {
	releaseData(w.entries[w.head:w.tail])
	w.first, w.head, w.tail = first, 0, 0
	if len(w.entries) > windowKeep {
		w.entries, w.sums = nil, nil
	}
}

package raft

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// A window does what a slice of the same entries would, counts what is among
// them, and keeps no data of what has left it in memory.
func TestWindow(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		w, first := window{first: 1}, Index(1)
		var want []Entry
		for range 100 {
			next := first + Index(len(want))
			switch random.IntN(8) {
			case 0, 1, 2, 3, 4:
				added := randomEntries(random, next)
				placed, c := w.append(added)
				require.Equal(t, added, placed)
				require.Equal(t, contentsOf(added), c)
				want = append(want, added...)
			case 5, 6:
				i := first + Index(random.IntN(len(want)+1))
				w.dropBelow(i)
				want, first = want[i-first:], i
			case 7:
				i := next - Index(random.IntN(min(len(want), 5)+1))
				w.truncate(i)
				want = want[:i-first]
			}
			sameWindow(t, &w, first, want)
		}
	}
}

func randomEntries(random *rand.Rand, next Index) []Entry {
	entries := make([]Entry, 1+random.IntN(1<<random.IntN(8)))
	for i := range entries {
		e := &entries[i]
		e.Index, e.Data = next+Index(i), make([]byte, 1+random.IntN(100))
		if random.IntN(10) == 0 {
			e.Type = EntryMembership
		}
		if random.IntN(10) == 0 {
			e.Earliest, e.Latest = 1, 2
		}
	}
	return entries
}

func contentsOf(entries []Entry) contents {
	c := contents{stamped: -1}
	for i := range entries {
		if entries[i].Type == EntryMembership {
			c.memberships++
		}
		if intervalOf(&entries[i]).known() {
			c.stamped = i
		}
	}
	return c
}

func sameWindow(t *testing.T, w *window, first Index, want []Entry) {
	t.Helper()
	require.Equal(t, first, w.first)
	require.Equal(t, len(want), w.len())
	size := 0
	for i := range want {
		size += entrySize(&want[i])
	}
	require.Equal(t, append([]Entry{}, want...), append([]Entry{}, w.slice(first, w.next())...))
	require.Equal(t, size, w.bytes(first-1, w.next()-1))
	if len(want) > 0 {
		require.Equal(t, size, w.size())
		half := first + Index(len(want)/2)
		require.Equal(t, want[:half-first], w.slice(first, half))
		require.Equal(t, size, w.bytes(first-1, half)+w.bytes(half, w.next()-1))
	}
	for i := range w.entries {
		if (i < w.head || i >= w.tail) && w.entries[i].Data != nil {
			t.Fatalf("the data of an entry that has left is still there, at %d of %d … %d", i, w.head, w.tail)
		}
	}
}

// Where as much leaves a window as comes, its array has room for four times that,
// so that what stays is moved seldom; a large one only for twice that.
func TestWindowSize(t *testing.T) {
	for n, size := range map[int]int{16: 64, 64: 256, 2048: 4096} {
		w := window{first: 1}
		for range 100 {
			for w.len() > n {
				w.dropBelow(w.first + Index(n))
			}
			w.append(make([]Entry, n))
		}
		require.Len(t, w.entries, size)
	}
}

// An AppendEntries may hold the ends of several terms. Where each begins is known
// afterwards, and of which time the last entry is.
func TestAppendedTerms(t *testing.T) {
	l := raftLog{window: window{first: 1}}
	add := func(stamped bool, terms ...Term) {
		var entries []Entry
		for i, term := range terms {
			e := Entry{Index: l.last + 1 + Index(i), Term: term}
			if stamped && i == 0 {
				e.Earliest, e.Latest = uint64(e.Index), uint64(e.Index)+1
			}
			entries = append(entries, e)
		}
		placed, c := l.window.append(entries)
		l.appended(placed, c.stamped)
	}
	add(false, 1)
	require.False(t, l.stamped)
	add(true, 1, 1, 3, 3)
	require.False(t, l.stamped)
	require.Equal(t, interval{2, 3}, l.stamp)
	add(false, 3, 4)
	require.Equal(t, interval{2, 3}, l.stamp)
	add(false, 4, 4)
	add(true, 5)
	require.True(t, l.stamped)
	require.Equal(t, interval{10, 11}, l.stamp)
	require.Equal(t, []TermRun{{First: 1, Term: 1}, {First: 4, Term: 3}, {First: 7, Term: 4}, {First: 10, Term: 5}}, l.runs)
	require.Equal(t, Index(10), l.last)
}

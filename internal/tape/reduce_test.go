package tape

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// enough is more than any test here needs.
var enough = Budget{Runs: 20_000}

// failing returns the recording of the first seed with which the program fails.
func failing(t *testing.T, fails func(*Tape) bool) *Recording {
	t.Helper()
	for seed := range uint64(10_000) {
		tape := FromSeed(seed)
		if r := tape.Record(); fails(tape) {
			return r
		}
	}
	require.Fail(t, "no seed fails")
	return nil
}

// requireFails replays r.
func requireFails(t *testing.T, r *Recording, fails func(*Tape) bool) {
	t.Helper()
	require.True(t, fails(Replay(r)), "%v no longer fails", r.Decisions)
}

// twoOf500 fails if, of 500 events, one is of kind 3 with a strength of at
// least 42 and a later one is of kind 7 with a strength of at least 10.
func twoOf500(t *Tape) bool {
	first, second := false, false
	for range 500 {
		t.Begin()
		kind, strength := t.Intn(12), t.Intn(100)
		t.End()
		if first && kind == 7 && strength >= 10 {
			second = true
		}
		if kind == 3 && strength >= 42 {
			first = true
		}
	}
	return second
}

func TestReduceLeavesTheTwoEventsThatMatter(t *testing.T) {
	r := failing(t, twoOf500)
	require.Len(t, r.Decisions, 1000)
	reduced := Reduce(r, twoOf500, enough)
	require.Equal(t, []uint64{3, 42, 7, 10}, reduced.Decisions)
	require.Equal(t, []Span{{0, 2}, {2, 4}}, reduced.Spans)
	requireFails(t, reduced, twoOf500)
}

// twoInOne fails if one transaction holds an operation of kind 2 and one of
// kind 5.
func twoInOne(t *Tape) bool {
	found := false
	for t.Intn(100) != 0 {
		t.Begin()
		two, five := false, false
		for t.Intn(6) != 0 {
			t.Begin()
			switch kind := t.Intn(9); kind {
			case 2:
				two = true
			case 5:
				five = true
			}
			t.Intn(1000)
			t.End()
		}
		found = found || two && five
		t.End()
	}
	return found
}

func TestReduceLeavesOutNestedSpans(t *testing.T) {
	r := failing(t, twoInOne)
	reduced := Reduce(r, twoInOne, enough)
	// A transaction, an operation, its kind and argument, another, its kind.
	require.Contains(t, [][]uint64{{1, 1, 2, 0, 1, 5}, {1, 1, 5, 0, 1, 2}}, reduced.Decisions)
	require.Less(t, len(reduced.Decisions), len(r.Decisions))
	requireFails(t, reduced, twoInOne)
}

func TestReduceFindsThresholds(t *testing.T) {
	const huge = 12_345_678_901_234_567
	fails := func(t *Tape) bool {
		time, noise, size := t.Uint64(), t.Chance(0.5), t.Intn(1_000_000)
		_ = noise
		return time > huge && size >= 4711
	}
	reduced := Reduce(failing(t, fails), fails, enough)
	require.Equal(t, []uint64{huge + 1, 0, 4711}, reduced.Decisions)
}

func TestReduceMakesFaultsMildThatDoNotMatter(t *testing.T) {
	// A step cannot be left out: it is counted. Its faults can.
	fails := func(t *Tape) bool {
		crashed := false
		for step := range 40 {
			t.Begin()
			lost, crash := t.Chance(0.5), t.Chance(0.5)
			t.End()
			_ = lost
			crashed = crashed || step == 30 && crash
		}
		return crashed
	}
	reduced := Reduce(failing(t, fails), fails, enough)
	want := make([]uint64, 62)
	want[61] = 1
	require.Equal(t, want, reduced.Decisions)
}

func TestReduceMakesSpansMildAsAWhole(t *testing.T) {
	// Both decisions of a step are the same, or the run is none.
	fails := func(t *Tape) bool {
		same := true
		for range 20 {
			t.Begin()
			a, b := t.Intn(2), t.Intn(2)
			same = same && a == b
			t.End()
		}
		return same && t.Chance(0.5)
	}
	all := &Recording{}
	for step := range 20 {
		all.Decisions = append(all.Decisions, 1, 1)
		all.Spans = append(all.Spans, Span{2 * step, 2*step + 2})
	}
	all.Decisions = append(all.Decisions, 1)
	want := make([]uint64, 41)
	want[40] = 1
	require.Equal(t, want, Reduce(all, fails, enough).Decisions)
}

func TestReduceLeavesOutSingleDecisionsOfARunWithoutSpans(t *testing.T) {
	fails := func(t *Tape) bool {
		seen := 0
		for range 100 {
			if v := t.Intn(50); seen == 0 && v == 31 || seen == 1 && v == 17 {
				seen++
			}
		}
		return seen == 2
	}
	require.Equal(t, []uint64{31, 17}, Reduce(failing(t, fails), fails, enough).Decisions)
}

func TestReduceCutsALongEndInFewRuns(t *testing.T) {
	fails := func(t *Tape) bool {
		first := t.Intn(10)
		for range 10_000 {
			t.Intn(10)
		}
		return first > 0
	}
	runs := 0
	counted := func(t *Tape) bool { runs++; return fails(t) }
	require.Equal(t, []uint64{1}, Reduce(failing(t, fails), counted, enough).Decisions)
	require.Less(t, runs, 50)
}

func TestReduceGoesOnWithWhatWasReallyConsumed(t *testing.T) {
	fails := func(t *Tape) bool { return t.Intn(10) == 7 }
	// 1007 is 7 modulo 10, and the rest is never asked for.
	reduced := Reduce(&Recording{Decisions: []uint64{1007, 5, 5}}, fails, Budget{Runs: 1})
	require.Equal(t, []uint64{7}, reduced.Decisions)
}

func TestReduceOfWhatFailsInAnyCaseIsEmpty(t *testing.T) {
	fails := func(t *Tape) bool {
		t.Begin() // a failure in the midst of a span
		return t.Intn(10) < 10
	}
	reduced := Reduce(failing(t, fails), fails, enough)
	require.Empty(t, reduced.Decisions)
	require.Empty(t, reduced.Spans)
}

func TestReduceReturnsWhatDoesNotFail(t *testing.T) {
	r, runs := &Recording{Decisions: []uint64{1, 2, 3}}, 0
	reduced := Reduce(r, func(*Tape) bool { runs++; return false }, enough)
	require.Same(t, r, reduced)
	require.Equal(t, 1, runs)
}

func TestReduceKeepsToItsBudgetAndStillFails(t *testing.T) {
	r := failing(t, twoOf500)
	before := len(r.Decisions)
	for _, limit := range []int{1, 2, 10, 50} {
		runs := 0
		counted := func(t *Tape) bool { runs++; return twoOf500(t) }
		reduced := Reduce(r, counted, Budget{Runs: limit})
		require.Equal(t, limit, runs, "there was more to try")
		require.LessOrEqual(t, len(reduced.Decisions), before, "a larger budget reaches no less")
		before = len(reduced.Decisions)
		requireFails(t, reduced, twoOf500)
	}
}

func TestReduceStopsWhenTold(t *testing.T) {
	r, runs := failing(t, twoOf500), 0
	counted := func(t *Tape) bool { runs++; return twoOf500(t) }
	reduced := Reduce(r, counted, Budget{Runs: 1000, Stop: func() bool { return runs == 17 }})
	require.Equal(t, 17, runs)
	requireFails(t, reduced, twoOf500)
}

func TestReduceIsDeterministicAndTriesNothingTwice(t *testing.T) {
	r := failing(t, twoInOne)
	var tried [2][][]uint64
	for i := range tried {
		Reduce(r, func(t *Tape) bool {
			tried[i] = append(tried[i], append([]uint64{}, withoutMildEnd(t.replayed.Decisions)...))
			return twoInOne(t)
		}, enough)
	}
	require.Equal(t, tried[0], tried[1])
	for i, a := range tried[0] {
		for _, b := range tried[0][:i] {
			require.NotEqual(t, b, a)
		}
	}
}

func TestReduceChangesNothingOfWhatItIsGiven(t *testing.T) {
	r := failing(t, twoInOne)
	decisions := append([]uint64{}, r.Decisions...)
	spans := append([]Span{}, r.Spans...)
	Reduce(r, twoInOne, enough)
	require.Equal(t, decisions, r.Decisions)
	require.Equal(t, spans, r.Spans)
}

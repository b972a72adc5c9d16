package quorum

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// joint is a membership, by ids; without outgoing voters it is a simple one.
type joint struct{ incoming, outgoing []int }

// tally is what an election comes to in which these ids have granted, and
// these have rejected.
func (j joint) tally(granted, rejected []int) Vote {
	count := func(voters []int) Vote {
		var b Ballot
		for _, id := range voters {
			switch {
			case slices.Contains(granted, id):
				b.Add(Granted)
			case slices.Contains(rejected, id):
				b.Add(Rejected)
			default:
				b.Add(Open)
			}
		}
		return b.Result()
	}
	if len(j.outgoing) == 0 {
		return count(j.incoming)
	}
	return Both(count(j.incoming), count(j.outgoing))
}

// reached is the commit index where each id has what match says.
func (j joint) reached(match map[int]int) int {
	values := func(voters []int) (v []int) {
		for _, id := range voters {
			v = append(v, match[id])
		}
		return v
	}
	if len(j.outgoing) == 0 {
		return Reached(values(j.incoming))
	}
	return ReachedInBoth(values(j.incoming), values(j.outgoing))
}

// Who elects, and who cannot any more, in known configurations.
func TestElectionFacts(t *testing.T) {
	ids := func(ids ...int) []int { return ids }
	for _, fact := range []struct {
		in, out, granted, rejected []int
		want                       Vote
	}{
		{in: ids(1), want: Open},
		{in: ids(1), granted: ids(1), want: Granted},
		{in: ids(1), rejected: ids(1), want: Rejected},
		{in: ids(1), granted: ids(2, 3), want: Open}, // strangers

		{in: ids(1, 2), granted: ids(1), want: Open}, // half is no majority
		{in: ids(1, 2), granted: ids(1, 2), want: Granted},
		{in: ids(1, 2), granted: ids(1), rejected: ids(2), want: Rejected},

		{in: ids(1, 2, 3), granted: ids(1), want: Open},
		{in: ids(1, 2, 3), granted: ids(1, 2), want: Granted},
		{in: ids(1, 2, 3), granted: ids(1), rejected: ids(2), want: Open},
		{in: ids(1, 2, 3), granted: ids(1, 2), rejected: ids(3), want: Granted},
		{in: ids(1, 2, 3), rejected: ids(2, 3), want: Rejected},

		{in: ids(1, 2, 3, 4), granted: ids(1, 2), want: Open},
		{in: ids(1, 2, 3, 4), granted: ids(1, 2), rejected: ids(3, 4), want: Rejected},
		{in: ids(1, 2, 3, 4), granted: ids(1, 2, 4), rejected: ids(3), want: Granted},
		{in: ids(1, 2, 3, 4, 5), granted: ids(1, 2, 4), rejected: ids(3, 5), want: Granted},
		{in: ids(1, 2, 3, 4, 5), granted: ids(1, 2), rejected: ids(3, 4, 5), want: Rejected},
		{in: ids(1, 2, 3, 4, 5), granted: ids(1, 2), rejected: ids(3, 4), want: Open},

		// {1,2,3} → {1,4,5}: 1 votes in both.
		{in: ids(1, 4, 5), out: ids(1, 2, 3), granted: ids(1), want: Open},
		{in: ids(1, 4, 5), out: ids(1, 2, 3), granted: ids(1, 4, 5), want: Open}, // the new alone
		{in: ids(1, 4, 5), out: ids(1, 2, 3), granted: ids(1, 2, 3), want: Open}, // the old alone
		{in: ids(1, 4, 5), out: ids(1, 2, 3), granted: ids(1, 2, 5), want: Granted},
		{in: ids(1, 4, 5), out: ids(1, 2, 3), granted: ids(2, 3, 4, 5), want: Granted},
		{in: ids(1, 4, 5), out: ids(1, 2, 3), granted: ids(1, 2, 3), rejected: ids(4, 5), want: Rejected},
		{in: ids(1, 4, 5), out: ids(1, 2, 3), granted: ids(1, 4, 5), rejected: ids(2, 3), want: Rejected},
		{in: ids(1, 4, 5), out: ids(1, 2, 3), granted: ids(4, 5), rejected: ids(1), want: Open},
		// {1,2} → {1}, and → {3}: all of what is small must agree.
		{in: ids(1), out: ids(1, 2), granted: ids(1), want: Open},
		{in: ids(1), out: ids(1, 2), granted: ids(1), rejected: ids(2), want: Rejected},
		{in: ids(1), out: ids(1, 2), granted: ids(1, 2), want: Granted},
		{in: ids(3), out: ids(1, 2), granted: ids(1, 2), want: Open},
		{in: ids(3), out: ids(1, 2), granted: ids(1, 2, 3), want: Granted},
		// {1,2,3} → {1,2,3,4}, and the same twice.
		{in: ids(1, 2, 3, 4), out: ids(1, 2, 3), granted: ids(1, 2), want: Open},
		{in: ids(1, 2, 3, 4), out: ids(1, 2, 3), granted: ids(1, 2, 4), want: Granted},
		{in: ids(1, 2, 3, 4), out: ids(1, 2, 3), granted: ids(1, 4), rejected: ids(2, 3), want: Rejected},
		{in: ids(1, 2, 3), out: ids(1, 2, 3), granted: ids(2, 3), want: Granted},
	} {
		j := joint{fact.in, fact.out}
		require.Equal(t, fact.want, j.tally(fact.granted, fact.rejected), "%+v", fact)
		// Which of the two is the old one makes no difference.
		if len(fact.out) > 0 {
			swapped := joint{fact.out, fact.in}
			require.Equal(t, fact.want, swapped.tally(fact.granted, fact.rejected), "%+v, swapped", fact)
		}
	}
}

// What is committed in known configurations.
func TestCommitFacts(t *testing.T) {
	ids := func(ids ...int) []int { return ids }
	type match = map[int]int
	for _, fact := range []struct {
		in, out []int
		match   match
		want    int
	}{
		{in: ids(1), match: match{1: 12}, want: 12},
		{in: ids(1), want: 0},
		{in: ids(1, 2), match: match{1: 100}, want: 0},
		{in: ids(1, 2), match: match{1: 100, 2: 101}, want: 100},
		{in: ids(1, 2, 3), match: match{1: 12}, want: 0},
		{in: ids(1, 2, 3), match: match{1: 12, 2: 5}, want: 5},
		{in: ids(1, 2, 3), match: match{1: 12, 2: 5, 3: 6}, want: 6},
		{in: ids(1, 2, 3), match: match{1: 5, 2: 5, 3: 6, 4: 9, 5: 9}, want: 5}, // strangers count for nothing
		{in: ids(1, 2, 3, 4), match: match{1: 9, 2: 9, 3: 3}, want: 3},
		{in: ids(1, 2, 3, 4), match: match{1: 9, 2: 9}, want: 0},
		{in: ids(1, 2, 3, 4, 5), match: match{1: 101, 2: 104, 3: 103, 4: 103}, want: 103},

		{in: ids(1, 4, 5), out: ids(1, 2, 3), match: match{1: 9, 4: 9, 5: 9}, want: 0},
		{in: ids(1, 4, 5), out: ids(1, 2, 3), match: match{1: 9, 2: 9, 3: 9}, want: 0},
		{in: ids(1, 4, 5), out: ids(1, 2, 3), match: match{1: 9, 2: 7, 4: 8}, want: 7},
		{in: ids(1, 4, 5), out: ids(1, 2, 3), match: match{1: 9, 2: 8, 4: 7}, want: 7},
		{in: ids(1, 4, 5), out: ids(1, 2, 3), match: match{1: 1, 2: 8, 3: 8, 4: 6, 5: 7}, want: 6},
		{in: ids(1), out: ids(1, 2), match: match{1: 9, 2: 4}, want: 4},
		{in: ids(3), out: ids(1, 2), match: match{1: 9, 2: 8, 3: 2}, want: 2},
		{in: ids(1, 2, 3, 4), out: ids(1, 2, 3), match: match{1: 9, 2: 8, 4: 7}, want: 7},
		{in: ids(1, 2, 3, 4), out: ids(1, 2, 3), match: match{1: 9, 4: 7}, want: 0},
	} {
		require.Equal(t, fact.want, joint{fact.in, fact.out}.reached(fact.match), "%+v", fact)
		if len(fact.out) > 0 {
			require.Equal(t, fact.want, joint{fact.out, fact.in}.reached(fact.match), "%+v, swapped", fact)
		}
	}
}

// Any two that win, of a joint membership and of either of its halves, share a
// voter: no two leaders, whichever of the three each of them counts by.
func TestQuorumsOfAChangeIntersect(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 3))
	subset := func() (s []int) {
		for id := 1; id <= 6; id++ {
			if rng.IntN(2) == 0 {
				s = append(s, id)
			}
		}
		return s
	}
	won := 0
	for range 200_000 {
		old, next := subset(), subset()
		if len(old) == 0 || len(next) == 0 {
			continue
		}
		a, b := subset(), subset()
		j := joint{next, old}
		for _, half := range []joint{{incoming: old}, {incoming: next}, j} {
			if j.tally(a, nil) == Granted && half.tally(b, nil) == Granted {
				won++
				require.True(t, slices.ContainsFunc(a, func(id int) bool { return slices.Contains(b, id) }), "%v %v %v %v", old, next, a, b)
			}
		}
	}
	require.Greater(t, won, 10_000)
}

// An election is won exactly when the least vote that a majority has reached is
// a granted one: the two ways to count agree.
func TestVotesAndValuesAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 4))
	for range 20_000 {
		var b Ballot
		values := make([]int, 1+rng.IntN(7))
		for i := range values {
			if values[i] = rng.IntN(2); values[i] == 1 {
				b.Add(Granted)
			} else {
				b.Add(Rejected)
			}
		}
		want := Rejected
		if Reached(values) == 1 {
			want = Granted
		}
		require.Equal(t, want, b.Result())
		require.False(t, b.Empty())
	}
}

func ExampleBoth() {
	var incoming, outgoing Ballot // {1,4,5} and {1,2,3}; 1, 4 and 5 have voted
	for _, v := range []Vote{Granted, Granted, Granted} {
		incoming.Add(v)
	}
	for _, v := range []Vote{Granted, Open, Open} {
		outgoing.Add(v)
	}
	fmt.Println(incoming.Result() == Granted, Both(incoming.Result(), outgoing.Result()) == Granted)
	// Output: true false
}

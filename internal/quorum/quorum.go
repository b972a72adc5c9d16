// Package quorum computes what a majority has reached, and what a vote has come
// to, in one configuration and in a joint one. It takes plain values, and knows
// nothing of Raft but that any two majorities of a set share a member.
package quorum

import "cmp"

// Size returns how many of n voters make a majority: the smallest number of
// which two sets cannot be disjoint. It is n/2+1, never n/2.
func Size(n int) int { return n/2 + 1 }

// Reached returns the largest value that a majority of the voters has reached,
// where values holds one value for each voter. It reorders values. Without
// voters it returns the zero value, as nobody has reached anything.
func Reached[T cmp.Ordered](values []T) T {
	if len(values) == 0 {
		var none T
		return none
	}
	// Insertion sort, descending: there are seldom more than nine.
	for i := 1; i < len(values); i++ {
		for j := i; j > 0 && values[j] > values[j-1]; j-- {
			values[j], values[j-1] = values[j-1], values[j]
		}
	}
	return values[Size(len(values))-1]
}

// ReachedInBoth returns the largest value that a majority of each of two
// configurations has reached, as agreement in a joint membership requires (§6).
// It reorders both.
func ReachedInBoth[T cmp.Ordered](incoming, outgoing []T) T {
	return min(Reached(incoming), Reached(outgoing))
}

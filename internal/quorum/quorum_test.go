package quorum

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Any two majorities share a member, and no smaller set has that property.
func TestSize(t *testing.T) {
	for n := 1; n <= 12; n++ {
		require.Greater(t, 2*Size(n), n, "two quorums of %d can be disjoint", n)
		require.LessOrEqual(t, 2*(Size(n)-1), n, "fewer than a quorum of %d would do", n)
	}
}

// SCENARIOS E9, M14: N/2 is no quorum, and neither is the wrong element of the
// sorted values. The definition, against every threshold.
func TestReached(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		values := make([]uint64, 1+rng.IntN(9))
		for i := range values {
			values[i] = rng.Uint64N(5)
		}
		want := uint64(0)
		for threshold := uint64(0); threshold < 5; threshold++ {
			have := 0
			for _, v := range values {
				if v >= threshold {
					have++
				}
			}
			if have >= Size(len(values)) {
				want = threshold
			}
		}
		require.Equal(t, want, Reached(slices.Clone(values)), "%v", values)
	}
	require.Zero(t, Reached([]uint64{}))
}

func ExampleReached() {
	match := []uint64{7, 4, 9, 4, 5} // of five voters
	fmt.Println(Reached(match), "is on", Size(5), "of 5")
	// Output: 5 is on 3 of 5
}

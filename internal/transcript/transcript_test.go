package transcript

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func verbatim(s string) string { return s }

func sample() *Recorder[string] {
	r := New(2, verbatim)
	r.Add(1, time.Millisecond, 1, "candidate of term 1")
	r.Add(1, time.Millisecond, 1, "RequestVote to 3")
	r.Add(2, 1500*time.Microsecond, 3, "RequestVote from 1:\nterm 1, last entry 0/0")
	r.Add(2, 1500*time.Microsecond, 3, "votes")
	r.Add(3, 2*time.Millisecond, 0, "drops RequestVoteReply from 3 to 1")
	r.Add(4, 3*time.Second, 1, "candidate of term 2")
	r.Add(5, 3*time.Second, 1, "RequestVote to 3")
	return r
}

func TestMerged(t *testing.T) {
	require.Equal(t, `    step         time  * 1 3
       2    0.001500s  . . 3  RequestVote from 1:
                              term 1, last entry 0/0
       2    0.001500s  . . 3  votes
       3    0.002000s  * . .  drops RequestVoteReply from 3 to 1
                       . 1 .  (2 earlier events of node 1 are not kept)
       4    3.000000s  . 1 .  candidate of term 2
       5    3.000000s  . 1 .  RequestVote to 3
`, sample().Merged(100))
	require.Equal(t, `    step         time  * 1 3
       5    3.000000s  . 1 .  RequestVote to 3
`, sample().Merged(1))
}

func TestLastOfEach(t *testing.T) {
	require.Equal(t, `the surroundings (*), the last 1 of 1 events:
       3    0.002000s  drops RequestVoteReply from 3 to 1
node 1, the last 2 of 4 events:
       4    3.000000s  candidate of term 2
       5    3.000000s  RequestVote to 3
node 3, the last 2 of 2 events:
       2    0.001500s  RequestVote from 1:
                       term 1, last entry 0/0
       2    0.001500s  votes
`, sample().LastOfEach(100))
	require.Equal(t, 3, strings.Count(sample().LastOfEach(1), "the last 1 of"))
}

func TestColumnsOfTwoDigits(t *testing.T) {
	r := New(1, verbatim)
	r.Add(1, 0, 9, "nine")
	r.Add(2, 0, 10, "ten")
	require.Equal(t, `    step         time  9 10
       1    0.000000s  9  .  nine
       2    0.000000s  . 10  ten
`, r.Merged(10))
}

func TestKeepsTheLastOfEachNodeInOrder(t *testing.T) {
	for _, perNode := range []int{0, 1, 3, 7, 100} {
		r := New(perNode, strconv.Itoa)
		perNode = max(perNode, 1)
		for i := range 50 {
			r.Add(0, 0, 1+i%3, i)
		}
		last := -1
		all := r.all()
		for _, rec := range all {
			require.Greater(t, rec.event, last)
			require.GreaterOrEqual(t, rec.event, 50-3*perNode)
			last = rec.event
		}
		require.Len(t, all, min(50, 3*perNode))
	}
}

func TestEventsBecomeTextOnlyWhenShown(t *testing.T) {
	texts := 0
	r := New(10, func(e [4]int) string { texts++; return fmt.Sprint(e) })
	for i := range 100 {
		r.Add(i, 0, 1, [4]int{i})
	}
	require.Zero(t, texts)
	r.Merged(3)
	require.Equal(t, 3, texts)
}

func TestCostsNothingWhenOffAndNoAllocationWhenFull(t *testing.T) {
	var off *Recorder[[4]int]
	require.Zero(t, testing.AllocsPerRun(100, func() { off.Add(1, 2, 3, [4]int{4}) }))
	require.Empty(t, off.Merged(10))
	require.Empty(t, off.LastOfEach(10))

	on := New(8, func([4]int) string { return "" })
	for range 8 {
		on.Add(1, 2, 3, [4]int{4})
	}
	require.Zero(t, testing.AllocsPerRun(100, func() { on.Add(1, 2, 3, [4]int{4}) }))
}

func BenchmarkAdd(b *testing.B) {
	b.Run("off", func(b *testing.B) {
		var off *Recorder[[4]int]
		for i := 0; b.Loop(); i++ {
			off.Add(i, 2, 3, [4]int{4})
		}
	})
	b.Run("on", func(b *testing.B) {
		on := New(64, func([4]int) string { return "" })
		for i := 0; b.Loop(); i++ {
			on.Add(i, 2, 3, [4]int{4})
		}
	})
}

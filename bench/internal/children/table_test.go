package children

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft/bench/contest"
)

// turn is one of 10 operations, of so many nanoseconds each.
func turn(nanos int) contest.Sample {
	cpu := time.Duration(10 * nanos)
	return contest.Sample{Ops: 10, Elapsed: 2 * cpu, CPU: cpu, Mallocs: 25, Bytes: 640, Messages: 40}
}

// The machine is slow in the second round, and all suffer alike.
var (
	fast = []contest.Sample{turn(100), turn(1000), turn(200), turn(200)}
	slow = []contest.Sample{turn(300), turn(4000), turn(400), turn(1000)}
)

func TestRowsHaveMediansAndRatiosWithinRounds(t *testing.T) {
	var out strings.Builder
	PrintHeader(&out)
	PrintRows(&out, "case", []Entrant{{Name: Ours, Variant: "fresh"}, {Name: Etcd36}}, [][]contest.Sample{fast, slow})
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Equal(t, []string{
		"| case | this library, fresh | 200 ns (200 ns–1000 ns) | 1.00 (1.00–1.00) | 400 ns | 2.50 | 64 | 4.00 |",
		"| case | etcd-raft v3.6 | 1000 ns (400 ns–4000 ns) | 4.00 (3.00–5.00) | 2000 ns | 2.50 | 64 | 4.00 |",
	}, lines[2:])
	for _, line := range lines {
		require.Equal(t, strings.Count(lines[0], "|"), strings.Count(line, "|"), line)
	}
}

func TestVerdictComparesTheMedianRatioWithTheTarget(t *testing.T) {
	require.Equal(t, "- met: case: 4.0 times as fast (3.0–5.0), target 4", Verdict("case", fast, slow, 4))
	require.Equal(t, "- missed: case: 4.0 times as fast (3.0–5.0), target 5", Verdict("case", fast, slow, 5))
}

func TestTimesHaveThreeDigits(t *testing.T) {
	for ns, expected := range map[float64]string{
		0: "0 ns", 13.6: "14 ns", 9999: "9999 ns", 10_000: "10.0 µs", 999_949: "999.9 µs", 1_234_567: "1.23ms",
	} {
		require.Equal(t, expected, nanos(ns))
	}
}

package transport

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTableHasMediansAndRatiosWithinRounds(t *testing.T) {
	turn := func(messages int) sample {
		return sample{
			messages: messages, bytes: int64(messages) * 1e6, elapsed: time.Second, p50: time.Millisecond, p99: 20 * time.Millisecond,
			mallocs: uint64(2 * messages), cpu: time.Duration(messages) * 5 * time.Microsecond,
		}
	}
	// The machine is slow in the second round, and all suffer alike.
	results := []result{
		{contender{name: "bare", bare: true}, []sample{turn(1000), turn(100), turn(1200), turn(900), turn(2000)}},
		{contender{name: "ours"}, []sample{turn(800), turn(90), turn(600), turn(720), turn(1000)}},
	}
	var out strings.Builder
	require.NoError(t, printTable(&out, results))
	var rows [][]string
	for line := range strings.Lines(out.String()) {
		rows = append(rows, strings.Fields(line))
	}
	require.Equal(t, []string{"bare", "1000", "1000", "1ms", "20ms", "2.00", "5µs"}, rows[1])
	require.Equal(t, []string{"ours", "720", "720", "0.80", "0.50–0.80", "1ms", "20ms", "2.00", "5µs"}, rows[2])
}

// Every section runs, and what it sends arrives.
func TestRun(t *testing.T) {
	var out strings.Builder
	require.NoError(t, Run(t.Context(), Options{Rounds: 1, Round: time.Millisecond, Out: &out}))
	require.Equal(t, len(sections())+1, strings.Count(out.String(), "transport/tcp, TLS"), out.String())
	require.NotContains(t, out.String(), "NaN")
}

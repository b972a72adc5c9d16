package wal

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTableHasMediansAndRatiosWithinRounds(t *testing.T) {
	turn := func(entries int, syncs int64) sample {
		return sample{
			entries: entries, elapsed: time.Second, syncs: syncs,
			p50: time.Millisecond, p99: 20 * time.Millisecond, cpu: time.Duration(entries) * 5 * time.Microsecond,
		}
	}
	// The disk is slow in the second round, and all suffer alike.
	results := []result{
		{name: bareName, samples: []sample{turn(1000, 1000), turn(100, 100), turn(1200, 1200), turn(900, 900), turn(2000, 2000)}},
		{name: oursName, samples: []sample{turn(800, 400), turn(90, 45), turn(600, 300), turn(720, 360), turn(1000, 500)}},
		{name: "other", samples: []sample{turn(400, 400), turn(50, 50), turn(450, 450), turn(360, 360), turn(500, 500)}},
	}
	var out strings.Builder
	require.NoError(t, printTable(&out, results))
	var rows [][]string
	for line := range strings.Lines(out.String()) {
		rows = append(rows, strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), bareName)))
	}
	require.Equal(t, []string{"1000", "900–1200", "1.00", "1.00–1.00", "1.25", "1.25–2.00", "1ms", "20ms", "1.00", "5µs"}, rows[1])
	require.Equal(t, []string{oursName, "720", "600–800", "0.80", "0.50–0.80", "1.00", "1.00–1.00", "1ms", "20ms", "2.00", "5µs"}, rows[2])
	require.Equal(t, []string{"other", "400", "360–450", "0.40", "0.38–0.40", "0.50", "0.50–0.56", "1ms", "20ms", "1.00", "5µs"}, rows[3])
}

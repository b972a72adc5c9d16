package recovery

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft/bench/contender/all"
	"github.com/seed-6281cb22/raft/bench/host"
)

// The test binary is also the program that runs the nodes.
func TestMain(m *testing.M) { os.Exit(host.MainOfTests(m.Run, all.Libraries)) }

// rows returns the cells of a table's rows that begin with name.
func rows(out, name string) (found [][]string) {
	for line := range strings.Lines(out) {
		if cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|"); strings.TrimSpace(cells[0]) == name {
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			found = append(found, cells)
		}
	}
	return found
}

func TestRecovery(t *testing.T) {
	if testing.Short() {
		t.Skip("clusters of processes take seconds: left out by -short")
	}
	var out strings.Builder
	require.NoError(t, Run(t.Context(), Options{Dir: t.TempDir(), Libraries: []string{all.Ours}, Bytes: 1 << 20, Runs: 1, Out: &out}))
	found := rows(out.String(), all.Ours)
	require.Len(t, found, 3, out.String())
	require.Len(t, found[0], 4)
	require.Len(t, found[1], 8)
	require.Len(t, found[2], 10)
}

func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("clusters of processes take seconds: left out by -short")
	}
	var out strings.Builder
	require.NoError(t, RunMemory(t.Context(), MemoryOptions{Dir: t.TempDir(), Libraries: []string{all.Ours}, Bytes: 100, Duration: 2 * time.Second, Out: &out}))
	found := rows(out.String(), all.Ours)
	require.Len(t, found, 2, out.String())
	require.Len(t, found[0], 7)
	require.Len(t, found[1], 12)
}

func TestSlicesGrowAndEndSmall(t *testing.T) {
	require.Equal(t, 40*time.Millisecond, nextSlice(fillStart, 10, 90))
	require.Equal(t, fillSlice, nextSlice(fillSlice, 10, 90))
	require.Equal(t, fillSlice/4, nextSlice(fillSlice, 80, 20))
	require.Equal(t, fillStart, nextSlice(fillSlice, 999, 1))
}

func TestCatchUpTable(t *testing.T) {
	at := func(before, during int) catchUp {
		return catchUp{
			took:   2 * time.Duration(during) * time.Second,
			before: host.Result{P99: time.Duration(before) * time.Millisecond, Max: time.Duration(10*before) * time.Millisecond},
			during: host.Result{P99: time.Duration(during) * time.Millisecond, Max: time.Duration(10*during) * time.Millisecond},
			taking: time.Duration(before) * time.Second, whileTaking: host.Result{P99: 7 * time.Millisecond},
		}
	}
	opts := Options{Libraries: []string{"one"}, Bytes: 8_000_000}
	samples := [][]catchUp{{at(1, 2), at(2, 8), at(10, 30)}}
	var out strings.Builder
	opts.Out = &out
	printCatchUps(&out, opts, byLog, samples)
	require.Equal(t, [][]string{{"one", "16s (4s–1m0s)", "0", "2ms", "8ms", "3.00", "20ms", "80ms"}}, rows(out.String(), "one"))
	out.Reset()
	opts.Bytes = 1 << 30
	printCatchUps(&out, opts, bySnapshot, samples)
	require.Equal(t, [][]string{{"one", "16s (4s–1m0s)", "67", "2ms", "8ms", "3.00", "20ms", "80ms", "2s (1s–10s)", "7ms"}}, rows(out.String(), "one"))
	require.Contains(t, out.String(), "1024 MiB behind catches up by snapshot")
}

func TestRestartAndMemoryTables(t *testing.T) {
	var out strings.Builder
	printRestarts(&out, 3_000_000_000, []*single{{library: "one", samples: []restart{{time.Second, 3 * time.Second}}}})
	require.Equal(t, [][]string{{"one", "1s", "3s", "1000"}}, rows(out.String(), "one"))
	out.Reset()
	printMemory(&out, []memory{{
		library: "one", nothing: host.Usage{Heap: 1 << 20, Resident: 10 << 20, Goroutines: 5},
		leaderRest:   host.Usage{Heap: 3 << 20, Resident: 14 << 20, Goroutines: 20},
		followerRest: host.Usage{Heap: 2 << 20, Resident: 9 << 20, Goroutines: 15},
		load:         watched{peakHeap: 30 << 20, peakResident: 50 << 20, goroutines: 300, operations: 1000, elapsed: 2 * time.Second},
		after:        host.Usage{Heap: 7 << 20},
	}})
	found := rows(out.String(), "one")
	require.Equal(t, []string{"one", "2.00 MiB", "4.00 MiB", "15", "1.00 MiB", "-1.00 MiB", "10"}, found[0])
	require.Equal(t, []string{"one", "30.00 MiB", "50.00 MiB", "300", "500"}, found[1][:5])
	require.Equal(t, "7.00 MiB", found[1][11])
}

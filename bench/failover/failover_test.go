package failover

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft/bench/contender"
	"github.com/seed-6281cb22/raft/bench/contender/all"
	"github.com/seed-6281cb22/raft/bench/host"
	"github.com/seed-6281cb22/raft/bench/internal/rig"
)

// The test binary is also the program that runs the nodes.
func TestMain(m *testing.M) { os.Exit(host.MainOfTests(m.Run, all.Libraries)) }

// Each fault once: what this library promises is that writes go on.
func TestFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("processes that are killed, paused and cut off take seconds: left out by -short")
	}
	r, err := rig.New(t.Context(), t.TempDir(), 3, rig.Parts{Network: true, Disks: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	s := &subject{library: all.Ours, timing: contender.Default, limit: 20 * time.Second, rig: r}
	require.NoError(t, s.restart(t.Context()))
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			if why := f.possible(r); why != nil {
				t.Skip(why)
			}
			sample, err := s.turn(t.Context(), f)
			require.NoError(t, err)
			require.False(t, sample.never)
			require.Positive(t, sample.outage)
			require.Positive(t, sample.after)
			t.Logf("%+v", sample)
		})
	}
}

func TestLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("clusters of processes take seconds: left out by -short")
	}
	var out strings.Builder
	require.NoError(t, RunLoad(t.Context(), LoadOptions{
		Dir: t.TempDir(), Libraries: []string{all.Ours}, Timings: []contender.Timing{contender.Default}, Duration: time.Second, Out: &out,
	}))
	require.Regexp(t, `\| raft \| default \| \d+ \| [1-9]s \| [1-9]\d+ \|.*\| 0 \|\n`, out.String())
}

func TestLoadWithStalls(t *testing.T) {
	if testing.Short() {
		t.Skip("clusters of processes take seconds: left out by -short")
	}
	var out strings.Builder
	require.NoError(t, RunLoad(t.Context(), LoadOptions{
		Dir: t.TempDir(), Libraries: []string{all.Ours}, Timings: []contender.Timing{contender.Default}, Duration: 4 * time.Second, Stalls: true, Out: &out,
	}))
	require.Regexp(t, `\| raft \| default \| \d+ \| \d+s \| [1-9]\d+ \|.*\| [1-9] \|\n`, out.String())
}

func milliseconds(values ...int) (samples []sample) {
	for _, v := range values {
		samples = append(samples, sample{outage: time.Duration(v) * time.Millisecond, after: 3 * time.Millisecond})
	}
	return samples
}

func TestTableHasDistributionsAndStanding(t *testing.T) {
	never := sample{outage: 30 * time.Second, never: true}
	results := []result{
		{library: all.Ours, samples: milliseconds(100, 400, 200, 300, 150)},
		{library: "fast", samples: milliseconds(500, 600, 700, 800, 1000)},
		{library: "stuck", samples: []sample{never, never, never}},
		{library: "sometimes", samples: append(milliseconds(100, 900), never)},
		{library: "absent"},
	}
	var out strings.Builder
	require.NoError(t, print(&out, contender.Default, faults[0], results))
	require.Contains(t, out.String(), "Leader killed (SIGKILL), default settings")
	require.Contains(t, out.String(), "| raft | 5 | 100 ms | 150 ms | 200 ms | 300 ms | 400 ms | 400 ms | 3 ms | 3 ms |\n")
	require.Contains(t, out.String(), "| stuck | 3 | > 30000 ms | > 30000 ms |")
	require.Contains(t, out.String(), "| sometimes | 3 | 100 ms | 100 ms | 900 ms | > 30000 ms |")
	require.Contains(t, out.String(), "| absent | 0 |")
	require.Contains(t, out.String(), "raft: 0.29 of the best peer's median (fast). Target: at most 0.5, met.")
	require.True(t, results[2].hopeless())
	require.False(t, results[3].hopeless())

	out.Reset()
	results[0].samples = milliseconds(400)
	require.NoError(t, print(&out, contender.Default, faults[0], results))
	require.Contains(t, out.String(), "0.57 of the best peer's median (fast). Target: at most 0.5, missed.")
}

func TestHistogram(t *testing.T) {
	counts, never := bins(append(milliseconds(0, 10, 49, 50, 99, 100), sample{never: true}), 100*time.Millisecond, 4)
	require.Equal(t, []int{2, 1, 1, 2}, counts)
	require.Equal(t, 1, never)
	require.Equal(t, "█▄ ▁", bars([]int{16, 8, 0, 1}))
	require.Equal(t, "█ ", bars([]int{1, 0}))
}

func TestLongestGap(t *testing.T) {
	began := time.Unix(100, 0)
	at := func(seconds ...int) (times []time.Time) {
		for _, s := range seconds {
			times = append(times, began.Add(time.Duration(s)*time.Second))
		}
		return times
	}
	require.Equal(t, 3*time.Second, longestGap(began, at(3)))
	require.Equal(t, 4*time.Second, longestGap(began, at(1, 2, 6, 7)))
	require.Zero(t, longestGap(began, nil))
}

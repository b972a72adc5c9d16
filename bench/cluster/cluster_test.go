package cluster

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft/bench/contender/all"
	"github.com/seed-6281cb22/raft/bench/host"
	"github.com/stretchr/testify/require"
)

// The test's binary is its own host.
func TestMain(m *testing.M) { os.Exit(host.MainOfTests(m.Run, Libraries())) }

// Everything runs, in one process and in three: nothing is measured here.
func TestRun(t *testing.T) {
	for _, processes := range []string{"in one process", "in three processes"} {
		t.Run(processes, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			var out bytes.Buffer
			o := Options{
				Dir: t.TempDir(), Rounds: 1, Round: 30 * time.Millisecond, Only: []string{all.Ours},
				Season: 1, SeasonSeconds: 1,
				Cases: regexp.MustCompile(processes + ", fsync, (writes of 16 B|linearizable reads), 1 clients"),
				Plot:  t.TempDir(), CPUProfiles: t.TempDir(), Out: &out, Log: t.Output(),
			}
			require.NoError(t, Run(ctx, o))
			t.Log(out.String())
			require.Contains(t, out.String(), "Three nodes "+processes+", fsync, writes of 16 B")
			require.Contains(t, out.String(), "Three nodes "+processes+", fsync, linearizable reads")
			require.NotContains(t, out.String(), "without fsync")
			require.Regexp(t, `p50 ≤ 1.15 × floor +\| writes of 16 B +\| 1 client `, out.String())
			require.NotContains(t, out.String(), "failed")

			left, err := os.ReadDir(o.Dir)
			require.NoError(t, err)
			require.Empty(t, left, "the logs are removed")
			drawn, err := filepath.Glob(filepath.Join(o.Plot, "*.svg"))
			require.NoError(t, err)
			require.Len(t, drawn, 2)
			profiles, err := filepath.Glob(filepath.Join(o.CPUProfiles, "raft-GOMAXPROCS-*-three-nodes-in-*-fsync-writes-of-16-B-1-client-round-1-process-*.pprof"))
			require.NoError(t, err)
			require.Len(t, profiles, map[string]int{"in one process": 2, "in three processes": 6}[processes])
		})
	}
}

func TestRunRefuses(t *testing.T) {
	ctx := context.Background()
	require.ErrorContains(t, Run(ctx, Options{Rounds: 0, Round: time.Second}), "must be positive")
	require.ErrorContains(t, Run(ctx, Options{Rounds: 1}), "must be positive")
	require.ErrorContains(t, Run(ctx, Options{Rounds: 1, Round: time.Second, Only: []string{"nobody"}}), `no contender "nobody"`)
}

// What a user interrupts leaves no processes and no files.
func TestRunIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	o := Options{Dir: t.TempDir(), Rounds: 1, Round: time.Second, Quick: true, Only: []string{all.Ours}, Out: t.Output(), Log: t.Output()}
	require.ErrorIs(t, Run(ctx, o), context.Canceled)
	left, err := os.ReadDir(o.Dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestSections(t *testing.T) {
	full := Options{}.sections()
	require.Len(t, full, 4)
	for _, s := range full {
		require.Len(t, s.workloads, 12)
	}
	require.Len(t, Options{Plot: "somewhere"}.sections()[0].workloads, 18)

	quick := Options{Quick: true}.sections()
	require.Len(t, quick, 1)
	require.Equal(t, []workload{{bytes: 16, clients: 1}, {bytes: 16, clients: 256}, {reads: true, clients: 1}, {reads: true, clients: 256}}, quick[0].workloads)

	some := Options{Cases: regexp.MustCompile("without fsync, writes.* 16 clients")}.sections()
	require.Len(t, some, 2)
	require.Equal(t, []workload{{bytes: 16, clients: 16}, {bytes: 1024, clients: 16}}, some[1].workloads)
}

func TestFlushesOf(t *testing.T) {
	require.EqualValues(t, 577, flushesOf("1413138   405496 478027242 11087922 28214694  1518530 1274450392  8168987        0  2715532 20923279  1146932      121 1096719720   578817      577  1087550\n"))
	require.Zero(t, flushesOf("1 2 3 4 5 6 7 8 9 10 11"), "an old kernel")
	require.Zero(t, flushesOf(""))
}

func TestFreeAddrs(t *testing.T) {
	addrs, err := freeAddrs(60)
	require.NoError(t, err)
	different := map[string]bool{}
	for _, a := range addrs {
		different[a] = true
	}
	require.Len(t, different, 60)
}

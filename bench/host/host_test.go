package host_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft/bench/contender"
	"github.com/seed-6281cb22/raft/bench/contender/all"
	"github.com/seed-6281cb22/raft/bench/host"
	"github.com/stretchr/testify/require"
)

// The test's binary is its own host.
func TestMain(m *testing.M) { os.Exit(host.MainOfTests(m.Run, all.Libraries)) }

func TestClusterInOneProcess(t *testing.T) {
	configs := clusterOf(t, 3)
	p := run(t, configs...)
	leader := waitForLeader(t, p)

	r, err := p.Load(host.Load{Node: leader, Clients: 4, Bytes: 16, Warmup: 10 * time.Millisecond, Duration: 100 * time.Millisecond})
	require.NoError(t, err)
	require.Positive(t, r.Operations)
	require.Zero(t, r.Errors)
	require.GreaterOrEqual(t, r.Elapsed, 100*time.Millisecond)
	require.Positive(t, r.P50)
	require.LessOrEqual(t, r.P50, r.P99)
	require.Positive(t, r.Used.CPU)
	require.Positive(t, r.Used.Allocated)
	s, err := p.Status(leader)
	require.NoError(t, err)
	require.GreaterOrEqual(t, s.Applied, r.Operations)

	r, err = p.Load(host.Load{Node: leader, Clients: 4, Reads: true, Duration: 50 * time.Millisecond})
	require.NoError(t, err)
	require.Positive(t, r.Operations)
	after, err := p.Status(leader)
	require.NoError(t, err)
	require.Less(t, after.Applied-s.Applied, r.Operations, "reads are no writes")

	require.NoError(t, p.Snapshot(leader))

	profile := filepath.Join(t.TempDir(), "profile")
	require.NoError(t, p.Profile(profile))
	require.Error(t, p.Profile(profile), "one at a time")
	require.NoError(t, p.StopProfile())
	require.Error(t, p.StopProfile())
	written, err := os.Stat(profile)
	require.NoError(t, err)
	require.Positive(t, written.Size())
	require.NoError(t, p.Close())
}

func TestLoadThatIsStopped(t *testing.T) {
	p := run(t, clusterOf(t, 3)...)
	leader := waitForLeader(t, p)
	type outcome struct {
		host.Result
		err error
	}
	done := make(chan outcome)
	go func() {
		r, err := p.Load(host.Load{ID: 7, Node: leader, Clients: 2, Bytes: 16})
		done <- outcome{r, err}
	}()
	before, err := p.Status(leader)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		s, err := p.Status(leader)
		return err == nil && s.Applied > before.Applied+5
	}, 30*time.Second, time.Millisecond)
	require.NoError(t, p.StopLoad(7))
	o := <-done
	require.NoError(t, o.err)
	require.Positive(t, o.Operations)
	require.NoError(t, p.Close())
}

// A probe tells when a write succeeds again after a leader's process was killed.
func TestProbeOfThreeProcesses(t *testing.T) {
	var processes []*host.Process
	for _, c := range clusterOf(t, 3) {
		processes = append(processes, run(t, c))
	}
	leader := waitForLeader(t, processes...)
	other := leader%3 + 1
	require.NoError(t, processes[other-1].Probe(other))
	_, err := processes[other-1].Await(other, time.Now(), 30*time.Second)
	require.NoError(t, err)

	killed := time.Now()
	processes[leader-1].Kill()
	ended, err := processes[other-1].Await(other, killed.Add(time.Millisecond), 30*time.Second)
	require.NoError(t, err)
	require.Greater(t, ended, killed)
	require.NoError(t, processes[other-1].StopProbe(other))
	_, err = processes[other-1].Await(other, killed, time.Second)
	require.ErrorContains(t, err, "no probe")
}

func clusterOf(t *testing.T, n int) (configs []contender.Config) {
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	dir := t.TempDir()
	for i := range n {
		configs = append(configs, contender.Config{
			Node: i + 1, Addrs: addrs, Dir: filepath.Join(dir, fmt.Sprint(i+1)), Timing: contender.Default, Keep: 1000,
		})
	}
	return configs
}

func run(t *testing.T, nodes ...contender.Config) *host.Process {
	p, err := host.Run(host.Options{Library: all.Ours, Nodes: nodes, SnapshotBytes: 100}, 0, t.Output())
	require.NoError(t, err)
	t.Cleanup(p.Kill)
	return p
}

// waitForLeader waits until a node says that it leads. With one process that one
// has all nodes, else each has one.
func waitForLeader(t *testing.T, processes ...*host.Process) (leader int) {
	require.Eventually(t, func() bool {
		for node := 1; node <= 3; node++ {
			s, err := processes[(node-1)%len(processes)].Status(node)
			require.NoError(t, err)
			if s.Leader == node {
				leader = node
				return true
			}
		}
		return false
	}, 30*time.Second, 5*time.Millisecond)
	return leader
}

package main

import (
	"context"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newTestCluster founds a cluster of n replicas in this process.
func newTestCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c, err := startCluster(t.TempDir(), n)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, c.close(ctx))
	})
	return c
}

// waitForSameHash waits until all replicas that run have the same state.
func (c *cluster) waitForSameHash(ctx context.Context) error {
	return waitFor(ctx, func() bool {
		replicas := c.running()
		for _, r := range replicas {
			if r.hash() != replicas[0].hash() {
				return false
			}
		}
		return true
	})
}

// 2f+1 nodes keep working with f of them down, the leader among them, and not
// with f+1 down; with f again they go on, and those that come back catch up.
func TestClusterToleratesF(t *testing.T) {
	for _, n := range []int{3, 5, 7} {
		t.Run(fmt.Sprint(n, " nodes"), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := withTimeout(t, patience)
			defer cancel()
			c := newTestCluster(t, n)
			l := &load{cluster: c, clients: 2 * n}
			leader, err := c.leader(ctx)
			require.NoError(t, err)
			require.NoError(t, l.put(ctx, 0, 100))

			f := n / 2
			down := make([]int, 0, f+1)
			for i := range f {
				down = append(down, (leader+i)%n)
			}
			for _, i := range down {
				c.crash(i)
			}
			require.NoError(t, l.put(ctx, 100, 200), "%d of %d are down", f, n)
			require.NoError(t, l.get(ctx, 0, 200))

			extra := (leader + f) % n
			c.crash(extra)
			down = append(down, extra)
			short, cancelShort := context.WithTimeout(ctx, 500*time.Millisecond)
			defer cancelShort()
			require.Error(t, l.put(short, 200, 201), "%d of %d are down", f+1, n)
			require.Error(t, l.get(short, 0, 1))

			require.NoError(t, c.restart(extra))
			require.NoError(t, l.put(ctx, 201, 300), "%d of %d are down again", f, n)
			for _, i := range down[:f] {
				require.NoError(t, c.restart(i))
			}
			require.NoError(t, c.waitForSameHash(ctx))
			for _, r := range c.running() {
				for _, w := range l.writes {
					it, found := r.readStale(w.key)
					require.True(t, found, "%s on node %d", w.key, r.id)
					require.Equal(t, valueOf(w.key), it.value)
				}
			}
			require.Len(t, l.writes, 299)
		})
	}
}

// A linearizable read through any node sees what another one has just
// acknowledged.
func TestClusterReadsWhatWasAcknowledgedElsewhere(t *testing.T) {
	t.Parallel()
	ctx, cancel := withTimeout(t, patience)
	defer cancel()
	c := newTestCluster(t, 3)
	replicas := c.running()
	for i := range 300 {
		value := fmt.Sprint(i)
		_, err := replicas[i%3].apply(ctx, put("key", value))
		require.NoError(t, err)
		for _, r := range replicas {
			it, found, err := r.read(ctx, "key")
			require.NoError(t, err)
			require.True(t, found)
			require.Equal(t, value, it.value, "node %d, after a write through node %d", r.id, replicas[i%3].id)
		}
	}
}

// All replicas crash at once; what was acknowledged is in their logs.
func TestClusterSurvivesCrashOfAll(t *testing.T) {
	t.Parallel()
	ctx, cancel := withTimeout(t, patience)
	defer cancel()
	c := newTestCluster(t, 3)
	l := &load{cluster: c, clients: 6}
	require.NoError(t, l.put(ctx, 0, 200))
	for i := range c.members {
		c.crash(i)
	}
	for i := range c.members {
		require.NoError(t, c.restart(i))
	}
	require.NoError(t, l.get(ctx, 0, 200))
}

// The demonstration, as a user runs it.
func TestDemo(t *testing.T) {
	t.Parallel()
	require.NoError(t, buildBinary())
	ctx, cancel := context.WithTimeout(t.Context(), demoHardLimit+time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, binaryPath).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, step := range []string{"elect", "write", "read", "crash", "restart", "replace", "compare", "verify", "OK: nothing that was acknowledged is lost."} {
		require.Contains(t, string(out), "\n  "+step)
	}
	require.NotContains(t, string(out), "\x1b", "no terminal control without a terminal")
}

// The check at the end of the demonstration finds what is missing, and what
// has another value.
func TestDemoVerifyFindsLoss(t *testing.T) {
	t.Parallel()
	ctx, cancel := withTimeout(t, patience)
	defer cancel()
	c := newTestCluster(t, demoReplicas)
	l := &load{cluster: c, clients: 3}
	require.NoError(t, l.put(ctx, 0, 10))
	require.NoError(t, c.waitForSameHash(ctx))

	d := &demo{cluster: c, writes: append(l.writes, write{key: keyOf(10), version: 1})}
	require.ErrorContains(t, d.verify(ctx), "3 acknowledged writes are missing, like key-000010 (version 1)")

	d.writes = l.writes
	require.ErrorContains(t, d.verify(ctx), "10 writes were acknowledged, not 8,000")

	_, err := c.running()[0].apply(ctx, put(keyOf(3), "something else"))
	require.NoError(t, err)
	require.NoError(t, c.waitForSameHash(ctx))
	require.ErrorContains(t, d.verify(ctx), "3 acknowledged writes are missing, like key-000003")

	c.crash(0)
	require.ErrorContains(t, d.verify(ctx), "2 replicas are running, not 3")
}

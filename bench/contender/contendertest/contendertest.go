// Package contendertest checks that a contender keeps what the benchmarks take
// for granted: that acknowledged writes survive, and that nodes catch up.
package contendertest

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft/bench/contender"
)

// patience is how long a cluster may take to get anywhere: the longest election
// by a peer's default settings, several times.
const patience = 30 * time.Second

// Run tests what start starts: clusters of three nodes in this process.
func Run(t *testing.T, start contender.Start) {
	t.Run("writes survive a restart of all, with a snapshot", func(t *testing.T) {
		c := newCluster(t, start, contender.Default)
		c.propose(100)
		c.read()
		for node := range c.nodes {
			c.applies(node, 100)
			require.NoError(t, c.nodes[node].Snapshot())
		}
		c.propose(50)
		require.NotZero(t, c.nodes[c.leader()].Term())
		c.restartAll()
		c.read()
		require.EqualValues(t, 150, c.machines[c.leader()].Applied())
		c.propose(1)
		for node := range c.nodes {
			c.applies(node, 151)
		}
	})

	t.Run("a follower that was down catches up by the log", func(t *testing.T) {
		c := newCluster(t, start, contender.Default)
		c.propose(10)
		down := c.follower()
		c.stop(down)
		c.propose(200)
		c.start(down)
		c.applies(down, 210)
	})

	t.Run("a follower that was down catches up by a snapshot", func(t *testing.T) {
		c := newCluster(t, start, contender.Default)
		c.propose(10)
		down := c.follower()
		c.stop(down)
		c.proposeLarge()
		for node, n := range c.nodes {
			if n != nil {
				c.applies(node, 10+large)
				require.NoError(t, n.Snapshot())
			}
		}
		c.propose(5)
		c.start(down)
		c.applies(down, 15+large)
		require.Positive(t, c.machines[down].Restored(), "the log before the snapshot was still there")
		c.restartAll()
		c.propose(1)
		for node := range c.nodes {
			c.applies(node, 16+large)
		}
	})

	t.Run("snapshots are taken every so many entries", func(t *testing.T) {
		c := newCluster(t, start, contender.Default)
		c.every = 50
		c.restartAll()
		down := c.follower()
		c.stop(down)
		c.proposeLarge()
		c.start(down)
		c.applies(down, large)
		require.Positive(t, c.machines[down].Restored())
	})

	t.Run("without a majority nothing is acknowledged, and nothing hangs", func(t *testing.T) {
		c := newCluster(t, start, contender.Aggressive)
		c.propose(10)
		leader := c.leader()
		for node := range c.nodes {
			if node != leader {
				c.stop(node)
			}
		}
		returned := make(chan [2]error, 1)
		ctx, cancel := context.WithTimeout(context.Background(), patience/3)
		defer cancel()
		go func() {
			write := c.nodes[leader].Propose(ctx, []byte("0123456789abcdef"))
			read := c.nodes[leader].Read(ctx)
			returned <- [2]error{write, read}
		}()
		select {
		case errs := <-returned:
			require.Error(t, errs[0])
			require.Error(t, errs[1])
		case <-time.After(patience):
			t.Fatal("an operation hangs")
		}
		cancel()
		require.Error(t, c.nodes[leader].Propose(ctx, []byte("0123456789abcdef")))
	})

	t.Run("many clients at once", func(t *testing.T) {
		c := newCluster(t, start, contender.Default)
		leader := c.nodes[c.leader()]
		failed := make(chan error, 64)
		for range cap(failed) {
			go func() {
				for range 20 {
					if err := leader.Propose(context.Background(), []byte("0123456789abcdef")); err != nil {
						failed <- err
						return
					}
					if err := leader.Read(context.Background()); err != nil {
						failed <- err
						return
					}
				}
				failed <- nil
			}()
		}
		for range cap(failed) {
			require.NoError(t, <-failed)
		}
		for node := range c.nodes {
			c.applies(node, uint64(20*cap(failed)))
		}
	})
}

// cluster is three nodes; one that is stopped is nil.
type cluster struct {
	t        *testing.T
	begin    contender.Start
	timing   contender.Timing
	every    uint64
	dir      string
	addrs    []string
	nodes    []contender.Node
	machines []*contender.Machine
}

func newCluster(t *testing.T, start contender.Start, timing contender.Timing) *cluster {
	c := &cluster{
		t: t, begin: start, timing: timing, dir: t.TempDir(), addrs: freeAddrs(t, 3),
		nodes: make([]contender.Node, 3), machines: make([]*contender.Machine, 3),
	}
	t.Cleanup(func() {
		for node := range c.nodes {
			c.stop(node)
		}
	})
	for node := range c.nodes {
		c.start(node)
	}
	return c
}

// freeAddrs returns addresses where nobody listens.
func freeAddrs(t *testing.T, n int) []string {
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs
}

func (c *cluster) start(node int) {
	c.machines[node] = &contender.Machine{SnapshotBytes: 3 << 20}
	var err error
	c.nodes[node], err = c.begin(contender.Config{
		Node: node + 1, Addrs: c.addrs, Dir: filepath.Join(c.dir, fmt.Sprint(node+1)),
		Timing: c.timing, Keep: 5, SnapshotEvery: c.every, Machine: c.machines[node],
	})
	require.NoError(c.t, err)
}

func (c *cluster) stop(node int) {
	if c.nodes[node] != nil {
		require.NoError(c.t, c.nodes[node].Close())
		c.nodes[node] = nil
	}
}

func (c *cluster) restartAll() {
	for node := range c.nodes {
		c.stop(node)
	}
	for node := range c.nodes {
		c.start(node)
	}
}

// leader returns a node that takes itself for the leader, as those do that it
// could not lead without.
func (c *cluster) leader() (leader int) {
	require.Eventually(c.t, func() bool {
		for node, n := range c.nodes {
			if n == nil || n.Leader() != node+1 {
				continue
			}
			agree := 0
			for _, other := range c.nodes {
				if other != nil && other.Leader() == node+1 {
					agree++
				}
			}
			if agree >= 2 {
				leader = node
				return true
			}
		}
		return false
	}, patience, 5*time.Millisecond, "no leader")
	return leader
}

func (c *cluster) follower() int { return (c.leader() + 1) % len(c.nodes) }

// propose writes n times. It begins only with a leader that answers a read; from
// then on, none of the tests gives it a reason to fail: those that write much
// have the default timing, since a busy machine is one with the aggressive.
func (c *cluster) propose(n int) { c.proposeEach(n, 16) }

// large is how many writes fill up a file of every contender's log, of at most
// 64 MiB: some free a log by whole files only.
const large = 300

func (c *cluster) proposeLarge() { c.proposeEach(large, 256<<10) }

func (c *cluster) proposeEach(n, bytes int) {
	c.t.Helper()
	c.read()
	leader := c.nodes[c.leader()]
	for range n {
		require.NoError(c.t, leader.Propose(context.Background(), make([]byte, bytes)))
	}
}

// read reads on the leader, as soon as there is one that can.
func (c *cluster) read() {
	require.Eventually(c.t, func() bool {
		return c.nodes[c.leader()].Read(context.Background()) == nil
	}, patience, 5*time.Millisecond)
}

// applies waits until a node's machine has exactly n operations.
func (c *cluster) applies(node int, n uint64) {
	c.t.Helper()
	require.Eventually(c.t, func() bool { return c.machines[node].Applied() == n },
		patience, time.Millisecond, "node %d", node+1)
}

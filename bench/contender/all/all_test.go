package all

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft/bench/contender"
	"github.com/stretchr/testify/require"
)

// patience is for a machine that does many other things.
const patience = 60 * time.Second

// What every library must do: elect a leader, write, read, take a snapshot, and
// hold after a restart what it has acknowledged.
func TestLibraries(t *testing.T) {
	for name, start := range Libraries {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			c := &cluster{t: t, start: start, dir: t.TempDir(), addrs: freeAddrs(t, 3)}
			c.open()
			leader := c.leader(ctx)
			for range 30 {
				require.NoError(t, c.nodes[leader-1].Propose(ctx, []byte("one operation")))
			}
			require.Equal(t, uint64(30), c.machines[leader-1].Applied(), "what is acknowledged is applied")
			require.NoError(t, c.nodes[leader-1].Read(ctx))
			require.Positive(t, c.nodes[leader-1].Term())
			require.NoError(t, c.nodes[leader-1].Snapshot())
			require.NoError(t, c.nodes[leader-1].Propose(ctx, []byte("one more")))
			c.close()

			c.open()
			leader = c.leader(ctx)
			require.NoError(t, c.nodes[leader-1].Read(ctx))
			require.Equal(t, uint64(31), c.machines[leader-1].Applied())
			c.close()
		})
	}
}

// cluster is three nodes in this process.
type cluster struct {
	t        *testing.T
	start    contender.Start
	dir      string
	addrs    []string
	nodes    []contender.Node
	machines []*contender.Machine
}

func (c *cluster) open() {
	c.nodes, c.machines = nil, nil
	for i := range c.addrs {
		machine := &contender.Machine{SnapshotBytes: 100}
		node, err := c.start(contender.Config{
			Node: i + 1, Addrs: c.addrs, Dir: filepath.Join(c.dir, fmt.Sprint(i+1)), Timing: contender.Default, Machine: machine,
		})
		require.NoError(c.t, err)
		c.nodes, c.machines = append(c.nodes, node), append(c.machines, machine)
	}
}

// leader waits until all nodes take the same one for the leader, and that one
// serves.
func (c *cluster) leader(ctx context.Context) int {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		leader := c.nodes[0].Leader()
		if leader != 0 && c.nodes[1].Leader() == leader && c.nodes[2].Leader() == leader &&
			c.nodes[leader-1].Read(ctx) == nil {
			return leader
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			require.Fail(c.t, "no leader")
		}
	}
}

func (c *cluster) close() {
	for _, n := range c.nodes {
		require.NoError(c.t, n.Close())
	}
}

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

func TestMachineSnapshots(t *testing.T) {
	for _, size := range []int64{20, 1000, 3 << 20} {
		m := &contender.Machine{SnapshotBytes: size}
		m.Apply(nil)
		m.Apply(nil)
		var b bytes.Buffer
		require.NoError(t, m.WriteSnapshot(&b, m.Applied()))
		require.Equal(t, int(size), b.Len())
		restored := &contender.Machine{}
		require.NoError(t, restored.ReadSnapshot(&b))
		require.Equal(t, uint64(2), restored.Applied())
	}
}

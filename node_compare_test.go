package raft_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bubble"
	"github.com/seed-6281cb22/raft/storage/memory"
	"github.com/seed-6281cb22/raft/transport/inmem"
	"github.com/stretchr/testify/require"
)

// hashedJournal is a journal that can be compared, and that may apply a command
// in another way than the others.
type hashedJournal struct {
	journal
	astray string // how this one understands "stray"
	fail   error
}

func (j *hashedJournal) Apply(entries []raft.Entry, results []int) error {
	if err := j.journal.Apply(entries, results); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, c := range j.commands {
		if c == "stray" && j.astray != "" {
			j.commands[i] = j.astray
		}
	}
	return nil
}

func (j *hashedJournal) StateHash() (uint64, error) {
	h := fnv.New64a()
	for _, c := range j.all() {
		fmt.Fprintf(h, "%d %s", len(c), c)
	}
	return h.Sum64(), j.fail
}

// comparedCluster is nodes whose states are compared every 10 commands.
type comparedCluster struct {
	t        *testing.T
	network  *inmem.Network
	members  []raft.Member
	nodes    []*raft.Node[int]
	machines []*hashedJournal
	configs  []raft.Config

	mu     sync.Mutex
	events [][]raft.Event
}

func newComparedCluster(t *testing.T, n int) *comparedCluster {
	c := &comparedCluster{t: t, network: inmem.NewNetwork(inmem.Options{Seed: 1, Faults: inmem.Faults{MinDelay: time.Millisecond, MaxDelay: 5 * time.Millisecond}})}
	for i := range n {
		c.members = append(c.members, raft.Member{ID: raft.NodeID(i + 1), Address: fmt.Sprint("node-", i+1)})
	}
	for range n {
		c.start(c.members)
	}
	t.Cleanup(func() {
		for _, node := range c.nodes {
			require.NoError(t, node.Close(context.Background()))
		}
		c.network.Close()
	})
	return c
}

func (c *comparedCluster) start(bootstrap []raft.Member) {
	i := len(c.nodes)
	c.events = append(c.events, nil)
	c.machines = append(c.machines, &hashedJournal{})
	cfg := raft.Config{
		ID: raft.NodeID(i + 1), Storage: memory.New(), Transport: c.network.Transport(raft.NodeID(i + 1)),
		Bootstrap: bootstrap, Cluster: "compared", CompareStateEvery: 10, MaxPendingBytes: 2 << 20,
		OnEvent: func(e raft.Event) {
			if e.Kind == raft.EventDiverged {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.events[i] = append(c.events[i], e)
			}
		},
	}
	node, err := raft.Start(cfg, c.machines[i])
	require.NoError(c.t, err)
	c.nodes, c.configs = append(c.nodes, node), append(c.configs, cfg)
}

// restart starts a node again, with a sound state machine, on its old storage.
func (c *comparedCluster) restart(i int) {
	require.NoError(c.t, c.nodes[i].Close(context.Background()))
	c.configs[i].Transport = c.network.Transport(raft.NodeID(i + 1))
	c.machines[i] = &hashedJournal{}
	var err error
	c.nodes[i], err = raft.Start(c.configs[i], c.machines[i])
	require.NoError(c.t, err)
}

// propose proposes on any of the nodes that run.
func (c *comparedCluster) propose(command string) {
	for i := 0; ; i++ {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		_, err := c.nodes[i%len(c.nodes)].Propose(ctx, []byte(command))
		cancel()
		if err == nil {
			return
		}
		require.True(c.t, errors.Is(err, raft.ErrNotCommitted) || errors.Is(err, raft.ErrStopped), "%v", err)
	}
}

// named waits a while, and returns whom a node has named.
func (c *comparedCluster) named(i int) (ids []raft.NodeID) {
	bubble.Sleep(time.Second)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events[i] {
		ids = append(ids, e.Peer)
	}
	slices.Sort(ids)
	return slices.Compact(ids) // once for each comparison
}

// Whose state is another one than that of a majority is named everywhere, and
// stops, be it a follower or the leader.
func TestDivergedReplicaIsNamedAndStops(t *testing.T) {
	for _, who := range []string{"leader", "follower"} {
		t.Run(who, func(t *testing.T) {
			virtual(t, func(t *testing.T, ctx context.Context) {
				c := newComparedCluster(t, 3)
				c.propose("first")
				leader := int(c.nodes[0].Status().Leader) - 1
				stray := leader
				if who == "follower" {
					stray = (leader + 1) % 3
				}
				c.machines[stray].astray = "astray"
				c.propose("stray")
				for i := range 20 {
					c.propose(fmt.Sprint(i))
				}
				<-c.nodes[stray].Done()
				err := c.nodes[stray].Err()
				require.ErrorIs(t, err, raft.ErrStopped)
				require.ErrorIs(t, err, raft.ErrDiverged)
				var diverged *raft.DivergedError
				require.ErrorAs(t, err, &diverged)
				require.NotZero(t, diverged.Index)
				require.NotEqual(t, diverged.Own, diverged.Majority)
				for i, node := range c.nodes {
					require.Equal(t, []raft.NodeID{raft.NodeID(stray + 1)}, c.named(i), "as node %d has it", i+1)
					require.Equal(t, diverged.Index, c.events[i][0].Index)
					require.Equal(t, i == stray, node.Err() != nil)
				}

				// What the log says of an earlier run does not count.
				c.restart(stray)
				for i := range 20 {
					c.propose(fmt.Sprint(i))
				}
				require.NoError(t, c.nodes[stray].ReadBarrier(ctx))
				require.Len(t, c.named(stray), 1)
				require.NoError(t, c.nodes[stray].Err())
				require.Equal(t, c.machines[(stray+1)%3].all(), c.machines[stray].all())
			})
		})
	}
}

// Nobody is named, and nobody stops, for having applied the same, a node that
// began with a snapshot or as a learner included.
func TestEqualReplicasAreNotNamed(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newComparedCluster(t, 3)
		for i := range 100 {
			c.propose(fmt.Sprint("a", i))
		}
		c.start(nil)
		var err error
		for range 3 {
			leader := c.nodes[c.nodes[0].Status().Leader-1]
			if err = leader.ChangeMembership(ctx, raft.AddLearner(4, "node-4")); err == nil {
				break
			}
		}
		require.NoError(t, err)
		for i := range 100 {
			c.propose(fmt.Sprint("b", i))
		}
		for i, node := range c.nodes {
			require.Empty(t, c.named(i))
			require.NoError(t, node.Err())
			require.Equal(t, c.machines[0].all(), c.machines[i].all())
		}
	})
}

// Learners are named, and do not count: they outvote nobody.
func TestDivergedLearner(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newComparedCluster(t, 1)
		c.propose("first")
		for id := raft.NodeID(2); id <= 4; id++ {
			c.start(nil)
			require.NoError(t, c.nodes[0].ChangeMembership(ctx, raft.AddLearner(id, fmt.Sprint("node-", id))))
			c.machines[id-1].astray = "astray"
		}
		c.propose("stray")
		for i := range 20 {
			c.propose(fmt.Sprint(i))
		}
		for i := 1; i < 4; i++ {
			<-c.nodes[i].Done()
			require.ErrorIs(t, c.nodes[i].Err(), raft.ErrDiverged)
		}
		require.Equal(t, []raft.NodeID{2, 3, 4}, c.named(0))
		require.NoError(t, c.nodes[0].Err())
	})
}

// Of two it is not known who has diverged: both are named, and nobody stops.
func TestDivergedWithoutAMajority(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newComparedCluster(t, 2)
		c.machines[0].astray = "astray"
		c.propose("stray")
		for i := range 12 {
			c.propose(fmt.Sprint(i))
		}
		for i, node := range c.nodes {
			require.Equal(t, []raft.NodeID{1, 2}, c.named(i))
			require.NoError(t, node.Err())
		}
	})
}

func TestStateHashThatFails(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newComparedCluster(t, 1)
		cause := errors.New("broken")
		c.machines[0].fail = cause
		for i := range 9 {
			c.propose(fmt.Sprint(i))
		}
		_, _ = c.nodes[0].Propose(ctx, []byte("10th"))
		<-c.nodes[0].Done()
		require.ErrorIs(t, c.nodes[0].Err(), cause)
		require.ErrorIs(t, c.nodes[0].Err(), raft.ErrStopped)
	})
}

func TestComparisonNeedsAStateHasher(t *testing.T) {
	network := inmem.NewNetwork(inmem.Options{})
	defer network.Close()
	cfg := raft.Config{ID: 1, Storage: memory.New(), Transport: network.Transport(1), Cluster: "x", CompareStateEvery: 1}
	_, err := raft.Start(cfg, &journal{})
	var wrong *raft.ConfigError
	require.ErrorAs(t, err, &wrong)
	require.Equal(t, "CompareStateEvery", wrong.Field)
}

package raft

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// swarm is one random run's faults and configuration: each run enables some,
// with some strength. Without drawing the configuration too, whole classes of
// defects stay out of reach (SCENARIOS.md, M).
type swarm struct {
	nodes                                                         int
	deliver, drop, duplicate, persist, apply, tick, read, propose int // weights
	crash, partition, compact                                     int
	reorder                                                       bool
	cfg                                                           func(*CoreConfig)
}

func drawSwarm(rng *rand.Rand) swarm {
	some := func(n int) int { // off in half of the runs
		if rng.IntN(2) == 0 {
			return 0
		}
		return 1 + rng.IntN(n)
	}
	s := swarm{
		nodes:   []int{1, 2, 3, 3, 3, 4, 5}[rng.IntN(7)],
		deliver: 20 + rng.IntN(80), persist: 5 + rng.IntN(50), apply: 5 + rng.IntN(30), tick: 1 + rng.IntN(20),
		drop: some(20), duplicate: some(20), read: some(10), propose: 2 + rng.IntN(30),
		crash: some(3), partition: some(3), compact: some(4), reorder: rng.IntN(2) == 0,
	}
	message, window, uncommitted, apply := 1<<rng.IntN(16), 1<<(6+rng.IntN(14)), 1<<(6+rng.IntN(14)), 1<<rng.IntN(16)
	s.cfg = func(c *CoreConfig) {
		c.MaxMessageBytes, c.MaxWindowBytes, c.MaxUncommittedBytes, c.MaxApplyBytes = message, window, uncommitted, apply
	}
	return s
}

var (
	randomFrom = flag.Uint64("random.from", 0, "first seed of TestRandom")
	randomRuns = flag.Uint64("random.runs", 300, "number of seeds of TestRandom")
)

// TestRandom runs cores under loss, duplication, reordering, partition and
// crashes at any step, with disks that complete writes at any time, and
// asserts every invariant after every step. When the faults stop, a leader
// must emerge and everybody must end with the same log.
func TestRandom(t *testing.T) {
	for seed := *randomFrom; seed < *randomFrom+*randomRuns; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runSwarm(t, seed, 1500) })
	}
}

func runSwarm(t testing.TB, seed uint64, steps int) {
	rng := rand.New(rand.NewPCG(seed, 7))
	s := drawSwarm(rng)
	c := newTestCluster(t, s.nodes, s.cfg)
	c.seed = seed
	reads := uint64(0)
	type action struct {
		weight int
		do     func(n *testNode)
	}
	pick := func() int {
		if s.reorder {
			return rng.IntN(len(c.net))
		}
		return 0
	}
	actions := []action{
		{s.deliver, func(*testNode) {
			if len(c.net) > 0 {
				c.deliver(pick())
			}
		}},
		{s.drop, func(*testNode) {
			if len(c.net) > 0 {
				i := pick()
				c.net = append(c.net[:i], c.net[i+1:]...)
			}
		}},
		{s.duplicate, func(*testNode) {
			if len(c.net) > 0 {
				c.receive(c.net[pick()])
			}
		}},
		{s.persist, func(n *testNode) {
			if n.r != nil && len(n.writes) > 0 {
				c.persist(n.id)
			}
		}},
		{s.apply, func(n *testNode) {
			switch {
			case n.r == nil:
			case len(n.logReads) > 0:
				c.answerLogRead(n.id)
			case len(n.sends) > 0:
				c.sendSnapshot(n.id, rng.IntN(3) == 0)
			default:
				c.applyNext(n.id)
			}
		}},
		{s.tick, func(n *testNode) {
			if n.r == nil {
				return
			}
			c.now = c.now.Add(time.Duration(rng.IntN(60)) * time.Millisecond)
			if rng.IntN(4) == 0 {
				c.now = max(c.now, min(n.r.Deadline(), c.now.Add(time.Second)))
			}
			c.tick(n.id)
		}},
		{s.propose, func(n *testNode) {
			if l := c.leader(); l != 0 {
				_ = c.propose(l, fmt.Sprint(c.steps), fmt.Sprintf("%0*d", rng.IntN(100)+1, c.steps))
			}
		}},
		{s.read, func(n *testNode) {
			if n.r != nil {
				reads++
				_ = c.readIndex(n.id, reads)
			}
		}},
		{s.crash, func(n *testNode) {
			if n.r == nil {
				c.start(n.id)
			} else {
				c.crash(n.id)
			}
		}},
		{s.partition, func(n *testNode) {
			switch rng.IntN(3) {
			case 0:
				c.heal()
			case 1:
				c.isolate(n.id)
			case 2: // one way
				from := n.id
				c.cut = func(m *Message) bool { return m.From == from }
			}
		}},
		{s.compact, func(n *testNode) {
			if n.r != nil {
				c.compact(n.id, Index(rng.IntN(10)))
			}
		}},
	}
	total := 0
	for _, a := range actions {
		total += a.weight
	}
	for range steps {
		k := rng.IntN(total)
		for _, a := range actions {
			if k -= a.weight; k < 0 {
				a.do(c.nodes[rng.IntN(len(c.nodes))])
				break
			}
		}
	}

	// The faults stop.
	c.heal()
	for _, n := range c.nodes {
		if n.r == nil {
			c.start(n.id)
		}
	}
	c.run(10 * DefaultElectionTimeout)
	l := c.leader()
	if l == 0 {
		c.failf("no leader after the faults have stopped")
	}
	if err := c.propose(l, "last"); err != nil {
		c.failf("propose: %v: leader %+v, peers %+v", err, c.node(l).r.Status(), c.node(l).r.peers)
	}
	c.run(10 * DefaultElectionTimeout)
	c.requireConsistent()
	require.Equal(t, "last", string(c.nodes[0].applied[len(c.nodes[0].applied)-1].Data))
	reads++
	c.node(l).reads = nil
	require.NoError(t, c.readIndex(l, reads))
	c.run(DefaultHeartbeatInterval)
	require.Equal(t, []ReadState{{ID: reads, Index: c.node(l).r.Commit(), OK: true}}, c.node(l).reads)
	for _, n := range c.nodes {
		require.True(t, n.r.unmarked, "node %d is still marked", n.id)
		require.Empty(t, n.r.held)
	}
}

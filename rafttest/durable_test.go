package rafttest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/tape"
)

// newJournals is New with journals that may be durable by themselves.
func newJournals(t *testing.T, nodes int, seed uint64, durable bool, change func(*raft.Config)) *Cluster[*Journal, int] {
	cfg := calm(nodes)
	cfg.durable = durable
	change(&cfg.raft)
	c := &Cluster[*Journal, int]{t, newEngine(tape.FromSeed(seed), cfg, host[*Journal, int](func() *Journal { return new(Journal) }))}
	for _, n := range c.e.nodes {
		require.NoError(t, n.start())
	}
	return c
}

// Scenario L18: the applied index and the state that it describes are one,
// whatever of both survives. The power goes at every write of a node in turn,
// with state machines that are durable by themselves and lose what they had not
// synced: every command is applied once, in order, and none is lost.
func TestScenarioL18StorageAndStateMachineAreOneWhereverThePowerGoes(t *testing.T) {
	for _, durable := range []bool{false, true} {
		t.Run(fmt.Sprint("durable by itself ", durable), func(t *testing.T) {
			reopened := 0
			for write := uint64(1); ; write++ {
				c := newJournals(t, 3, write, durable, func(cfg *raft.Config) { cfg.SnapshotEntries, cfg.TrailingEntries = 5, -1 })
				c.Elect(1)
				victim := c.node(2)
				for i := range 8 {
					c.Propose(fmt.Sprint("before ", i))
				}
				// It falls behind, so that it is sent a snapshot.
				c.Partition(2)
				for i := range 17 {
					c.Propose(fmt.Sprint("without ", i))
				}
				c.Heal()
				victim.disk.crashIn = write
				for i := range 12 {
					c.Propose(fmt.Sprint("with ", i))
				}
				if victim.up {
					victim.disk.crashIn = 0
					c.RequireConsistent()
					require.NotZero(t, c.e.happened["snapshot restored"])
					require.Greater(t, write, uint64(20), "it has written more than that")
					break
				}
				c.Restart(2)
				c.RequireConsistent()
				reopened += int(c.e.happened["state machine reopened"])
			}
			require.Equal(t, durable, reopened > 0)
		})
	}
}

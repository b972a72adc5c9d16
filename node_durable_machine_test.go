package raft_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/storage/memory"
)

// durableJournal is a journal that is durable by itself, but for what lose
// takes.
type durableJournal struct {
	journal
	indexes []raft.Index // of the commands
	asked   []raft.Index // all that Apply was ever given
}

func (j *durableJournal) Apply(entries []raft.Entry, results []int) error {
	for i := range entries {
		j.indexes = append(j.indexes, entries[i].Index)
		j.asked = append(j.asked, entries[i].Index)
	}
	return j.journal.Apply(entries, results)
}

func (j *durableJournal) LastApplied() raft.Index {
	if len(j.indexes) == 0 {
		return 0
	}
	return j.indexes[len(j.indexes)-1]
}

func (j *durableJournal) lose(n int) {
	j.commands, j.indexes = j.commands[:len(j.commands)-n], j.indexes[:len(j.indexes)-n]
}

func TestDurableStateMachine(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 1, func(cfg *raft.Config) { cfg.SnapshotEntries, cfg.TrailingEntries = 20, 10 })
		c.stop(0)
		c.storages[0] = memory.New()
		machine := &durableJournal{}
		run := func(commands int) {
			node, err := raft.Start(c.config(0), machine)
			require.NoError(t, err)
			for i := range commands {
				_, err := node.Propose(ctx, fmt.Append(nil, i))
				require.NoError(t, err)
			}
			require.NoError(t, node.ReadBarrier(ctx))
			require.NoError(t, node.Close(ctx))
			c.transport[0].Close()
		}
		run(50)
		given := len(machine.asked)
		require.Equal(t, 50, given)
		run(10)
		require.Len(t, machine.asked, 60, "nothing was applied again")
		require.Zero(t, machine.restores)
		machine.lose(3)
		run(0)
		require.Len(t, machine.commands, 60)
		require.Len(t, machine.asked, 63, "what was lost, and nothing else, was applied again")
		require.Zero(t, machine.restores)

		// The storage is lost, and the state machine is not.
		c.storages[0] = memory.New()
		_, err := raft.Start(c.config(0), machine)
		var ahead *raft.AheadError
		require.ErrorAs(t, err, &ahead)
		require.Equal(t, raft.AheadError{Applied: machine.LastApplied()}, *ahead)
		state, err := c.storages[0].Load()
		require.NoError(t, err)
		require.Zero(t, state.Identity, "nothing was written")
	})
}

package raft_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// badMemory is a storage in a machine whose memory loses a bit of the commands
// that it is told of.
type badMemory struct {
	raft.Storage
	marker string
}

func (s *badMemory) Save(w raft.Write, done func(error)) {
	for i := range w.Entries {
		if data := w.Entries[i].Data; string(data) == s.marker {
			data[0] ^= 1
		}
	}
	s.Storage.Save(w, done)
}

// What is damaged where no other checksum covers it is not applied: the replica
// stops, and says at which index; the others go on.
func TestDamagedEntryIsNotApplied(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		memories := map[raft.NodeID]*badMemory{}
		c := newCluster(t, 3, func(cfg *raft.Config) {
			memories[cfg.ID] = &badMemory{Storage: cfg.Storage}
			cfg.Storage = memories[cfg.ID]
		})
		follower := c.follower()
		c.propose(c.leader(), "before")
		memories[raft.NodeID(follower+1)].marker = "damaged"
		c.propose(c.leader(), "damaged")
		<-c.nodes[follower].Done()

		err := c.nodes[follower].Err()
		require.ErrorIs(t, err, raft.ErrStopped)
		require.ErrorIs(t, err, raft.ErrDamaged)
		var damaged *raft.DamagedEntryError
		require.ErrorAs(t, err, &damaged)
		require.Greater(t, damaged.Index, raft.Index(1))
		require.Equal(t, []string{"before"}, c.journals[follower].all())

		c.propose(c.leader(), "after")
		require.Equal(t, []string{"before", "damaged", "after"}, c.journals[c.leader()].all())
	})
}

// A state machine sees the checksums, from whichever node a command came.
func TestChecksumTravelsFromProposerToApply(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 3, nil)
		var seen []raft.Entry
		c.journals[0].apply = func(entries []raft.Entry) error {
			seen = append(seen, entries...)
			return nil
		}
		for i := range c.nodes {
			c.propose(i, fmt.Sprint("on ", i))
		}
		require.NoError(t, c.nodes[0].ReadBarrier(ctx))
		require.Len(t, seen, 3)
		for _, e := range seen {
			require.Equal(t, raftpb.Checksum(e.Data), e.Checksum)
		}
	})
}

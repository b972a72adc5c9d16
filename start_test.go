package raft_test

import (
	"context"
	"errors"
	"io"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/storage/memory"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

var errUnrestorable = errors.New("cannot be restored")

// unrestorable is a state machine whose Restore fails.
type unrestorable struct{ journal }

func (*unrestorable) Restore(io.Reader) error { return errUnrestorable }

func validConfig() raft.Config {
	network := inmem.NewManual(inmem.Options{})
	return raft.Config{
		ID: 1, Storage: memory.New(), Transport: network.Transport(1),
		Bootstrap: []raft.Member{{ID: 1, Address: "a"}, {ID: 2, Address: "b"}},
	}
}

func TestConfigValidate(t *testing.T) {
	valid := validConfig()
	require.NoError(t, valid.Validate())
	never := valid
	never.SnapshotBytes, never.SnapshotEntries, never.TrailingEntries, never.Bootstrap = -1, -1, -1, nil
	require.NoError(t, never.Validate())

	for _, c := range []struct {
		field string
		spoil func(cfg *raft.Config)
	}{
		{"ID", func(cfg *raft.Config) { cfg.ID = 0 }},
		{"Storage", func(cfg *raft.Config) { cfg.Storage = nil }},
		{"Transport", func(cfg *raft.Config) { cfg.Transport = nil }},
		{"Cluster", func(cfg *raft.Config) { cfg.Cluster = string(make([]byte, 65)) }},
		{"HeartbeatInterval", func(cfg *raft.Config) { cfg.HeartbeatInterval = -1 }},
		{"ElectionTimeout", func(cfg *raft.Config) { cfg.ElectionTimeout = 99 * time.Millisecond }},
		{"ElectionTimeout", func(cfg *raft.Config) { cfg.ElectionTimeout = 25 * time.Hour }},
		{"MaxEntryBytes", func(cfg *raft.Config) { cfg.MaxEntryBytes = -1 }},
		{"MaxEntryBytes", func(cfg *raft.Config) { cfg.MaxEntryBytes = 65 << 20 }},
		{"MaxMessageBytes", func(cfg *raft.Config) { cfg.MaxMessageBytes = -1 }},
		{"MaxWindowBytes", func(cfg *raft.Config) { cfg.MaxWindowBytes = math.MaxInt }},
		{"MaxUncommittedBytes", func(cfg *raft.Config) { cfg.MaxUncommittedBytes = -5 }},
		{"MaxApplyBytes", func(cfg *raft.Config) { cfg.MaxApplyBytes = -1 }},
		{"MaxPendingBytes", func(cfg *raft.Config) { cfg.MaxPendingBytes = -1 }},
		{"MaxPendingBytes", func(cfg *raft.Config) { cfg.MaxPendingBytes = 1 << 20 }},
		{"MaxSnapshotSends", func(cfg *raft.Config) { cfg.MaxSnapshotSends = -1 }},
		{"SnapshotRate", func(cfg *raft.Config) { cfg.SnapshotRate = -1 }},
		{"Bootstrap", func(cfg *raft.Config) { cfg.ID = 3 }},
		{"Bootstrap", func(cfg *raft.Config) { cfg.Bootstrap[1].ID = 0 }},
		{"Bootstrap", func(cfg *raft.Config) { cfg.Bootstrap[1].ID = 1 }},
		{"Bootstrap", func(cfg *raft.Config) { cfg.Bootstrap[1].Address = "" }},
		{"Bootstrap", func(cfg *raft.Config) { cfg.Bootstrap[1].Address = "a" }},
		{"Bootstrap", func(cfg *raft.Config) { cfg.Bootstrap[1].Leaving = true }},
		{"Bootstrap", func(cfg *raft.Config) { cfg.Bootstrap = make([]raft.Member, 2000) }},
	} {
		cfg := validConfig()
		c.spoil(&cfg)
		err := cfg.Validate()
		var wrong *raft.ConfigError
		require.ErrorAs(t, err, &wrong, c.field)
		require.Equal(t, c.field, wrong.Field)
		_, err = raft.Start(cfg, &journal{})
		require.ErrorAs(t, err, &wrong)
	}
	var wrong *raft.ConfigError
	_, err := raft.Start[int](valid, nil)
	require.ErrorAs(t, err, &wrong)
}

func TestIdentity(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		network := inmem.NewNetwork(inmem.Options{})
		defer network.Close()
		storage := memory.New()
		members := []raft.Member{{ID: 1, Address: "a"}}
		try := func(cfg raft.Config) error {
			cfg.Storage = storage
			transport := network.Transport(cfg.ID)
			cfg.Transport = transport
			node, err := raft.Start(cfg, &journal{})
			if err != nil {
				return err
			}
			_, err = node.Propose(ctx, []byte("x"))
			require.NoError(t, err)
			transport.Close()
			return node.Close(ctx)
		}
		var wrong *raft.ConfigError
		require.ErrorAs(t, try(raft.Config{ID: 1}), &wrong)
		require.Equal(t, "Cluster", wrong.Field, "a node that joins must be told")
		require.NoError(t, try(raft.Config{ID: 1, Bootstrap: members, Cluster: "mine"}))
		require.NoError(t, try(raft.Config{ID: 1}), "the storage knows")
		require.NoError(t, try(raft.Config{ID: 1, Cluster: "mine", Bootstrap: []raft.Member{{ID: 1, Address: "elsewhere"}}}), "used only where the storage is empty")

		var other *raft.IdentityError
		require.ErrorAs(t, try(raft.Config{ID: 1, Cluster: "another"}), &other)
		require.Equal(t, raft.Identity{Cluster: "mine", Node: 1}, other.Stored)
		require.ErrorAs(t, try(raft.Config{ID: 2}), &other)
	})
}

// Founders with the same list, in whatever order, found the same cluster;
// founders with differing lists refuse each other.
func TestFoundersWithDifferingLists(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 3, func(cfg *raft.Config) {
			switch members := append([]raft.Member(nil), cfg.Bootstrap...); cfg.ID {
			case 2:
				members[0], members[2] = members[2], members[0]
				cfg.Bootstrap = members
			case 3:
				members[0].Address = "elsewhere"
				cfg.Bootstrap = members
			}
		})
		_, err := c.nodes[0].Propose(ctx, []byte("x"))
		require.NoError(t, err, "two of three suffice")
		require.Zero(t, c.nodes[2].Status().Leader)
		require.Zero(t, c.nodes[2].Status().Last)
	})
}

// A node that joins waits for a leader to contact it.
func TestJoinerWaits(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		network := inmem.NewNetwork(inmem.Options{})
		defer network.Close()
		storage := memory.New()
		for range 2 {
			transport := network.Transport(4)
			node, err := raft.Start(raft.Config{ID: 4, Storage: storage, Transport: transport, Cluster: "mine"}, &journal{})
			require.NoError(t, err)
			short, cancel := context.WithTimeout(ctx, time.Minute)
			_, err = node.Propose(short, []byte("x"))
			cancel()
			require.ErrorIs(t, err, raft.ErrNotCommitted)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, raft.Follower, node.Status().Role)
			require.True(t, node.Status().Marked)
			transport.Close()
			require.NoError(t, node.Close(ctx))
		}
	})
}

func TestStartFailsWithTheTransport(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		network := inmem.NewNetwork(inmem.Options{})
		transport := network.Transport(1)
		network.Close()
		_, err := raft.Start(raft.Config{
			ID: 1, Storage: memory.New(), Transport: transport, Bootstrap: []raft.Member{{ID: 1, Address: "a"}},
		}, &journal{})
		require.ErrorIs(t, err, raft.ErrClosed)
	})
}

package raft_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/storage/wal"
	"github.com/seed-6281cb22/raft/transport/tcp"
)

// durable is three nodes with write-ahead logs and TCP, in real time.
type durable[R any] struct {
	tb         testing.TB
	dir        string
	logs       []*wal.Log
	transports []*tcp.Transport
	nodes      []*raft.Node[R]
}

func startDurable[R any](tb testing.TB, dir string, addresses []string, machine func(i int) raft.StateMachine[R]) *durable[R] {
	d := &durable[R]{tb: tb, dir: dir}
	var members []raft.Member
	for i, address := range addresses {
		transport, err := tcp.Listen(address, tcp.Options{})
		require.NoError(tb, err)
		d.transports = append(d.transports, transport)
		members = append(members, raft.Member{ID: raft.NodeID(i + 1), Address: transport.Addr().String()})
	}
	for i, m := range members {
		log, err := wal.Open(filepath.Join(dir, fmt.Sprint(m.ID)), wal.Options{})
		require.NoError(tb, err)
		d.logs = append(d.logs, log)
		node, err := raft.Start(raft.Config{
			ID: m.ID, Storage: log.Storage(0), Transport: d.transports[i], Bootstrap: members, Cluster: "durable",
			ElectionTimeout: 2 * time.Second, // of real time, on a machine that others use
			Clock:           raft.SystemClock{MaxError: time.Millisecond},
		}, machine(i))
		require.NoError(tb, err)
		d.nodes = append(d.nodes, node)
	}
	return d
}

func (d *durable[R]) close() {
	for i, node := range d.nodes {
		require.NoError(d.tb, node.Close(context.Background()))
		require.NoError(d.tb, d.transports[i].Close())
		require.NoError(d.tb, d.logs[i].Close())
	}
}

func TestDurableNodes(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir, addresses := t.TempDir(), []string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"}
	for run := range 2 {
		journals := []*journal{{}, {}, {}}
		d := startDurable(t, dir, addresses, func(i int) raft.StateMachine[int] { return journals[i] })
		for i := range 30 {
			position, err := d.nodes[i%3].Propose(ctx, fmt.Append(nil, i))
			require.NoError(t, err)
			require.Equal(t, 30*run+i+1, position)
		}
		for i, node := range d.nodes {
			require.NoError(t, node.ReadBarrier(ctx))
			require.Len(t, journals[i].all(), 30*(run+1))
		}
		for i, transport := range d.transports {
			addresses[i] = transport.Addr().String()
		}
		d.close()
	}
}

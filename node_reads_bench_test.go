package raft_test

import (
	"context"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/stretchr/testify/require"
)

// BenchmarkReads compares the ways to read on the leader of three nodes, on real
// logs and real TCP on loopback, where a round trip costs next to nothing.
func BenchmarkReads(b *testing.B) {
	d := startDurable(b, b.TempDir(), []string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"},
		func(int) raft.StateMachine[uint64] { return &countingMachine{} })
	b.Cleanup(d.close)
	ctx := context.Background()
	_, err := d.nodes[0].Propose(ctx, []byte("first"))
	require.NoError(b, err)
	leader := d.nodes[d.nodes[0].Status().Leader-1]
	require.NoError(b, leader.ChangeMembership(ctx, raft.SetLease(time.Second)))
	nothing := func() error { return nil }

	for _, way := range []struct {
		name string
		read func() error
	}{
		{"ReadBarrier", func() error { return leader.ReadBarrier(ctx) }},
		{"LeaseRead", func() error { return leader.LeaseRead(ctx, nothing) }},
		{"StaleRead", func() error { return leader.StaleRead(ctx, time.Second, nothing) }},
	} {
		b.Run(way.name+"/one", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, way.read())
			}
		})
		b.Run(way.name+"/many", func(b *testing.B) {
			b.SetParallelism(64)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := way.read(); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

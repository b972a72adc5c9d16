// Package ours has this library in the end-to-end benchmarks: storage/wal and
// transport/tcp, all by their defaults.
package ours

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/bench/contender"
	"github.com/seed-6281cb22/raft/storage/wal"
	"github.com/seed-6281cb22/raft/transport/tcp"
)

// group is the only one in its process, as most services have it.
const group = 1

// node is a replica with what it stands on.
type node struct {
	raft      *raft.Node[struct{}]
	log       *wal.Log
	transport *tcp.Transport
}

// Start begins a node of this library.
func Start(c contender.Config) (contender.Node, error) {
	transport, err := tcp.Listen(c.Addrs[c.Node-1], tcp.Options{})
	if err != nil {
		return nil, err
	}
	log, err := wal.Open(filepath.Join(c.Dir, "wal"), wal.Options{})
	if err != nil {
		return nil, errors.Join(err, transport.Close())
	}
	r, err := raft.Start(config(c, log.Storage(group), transport), machine{c.Machine})
	if err != nil {
		return nil, errors.Join(err, transport.Close(), log.Close())
	}
	return &node{r, log, transport}, nil
}

func config(c contender.Config, storage raft.Storage, transport raft.Transport) raft.Config {
	cfg := raft.Config{
		ID: raft.NodeID(c.Node), Group: group, Storage: storage, Transport: transport,
		SnapshotBytes: -1, SnapshotEntries: int64(c.SnapshotEvery), TrailingEntries: int64(c.Keep),
	}
	if c.SnapshotEvery == 0 {
		cfg.SnapshotEntries = -1
	}
	if c.Keep == 0 {
		cfg.TrailingEntries = -1
	}
	if c.Timing == contender.Aggressive {
		cfg.ElectionTimeout, cfg.HeartbeatInterval = 100*time.Millisecond, 10*time.Millisecond
	}
	for i, addr := range c.Addrs {
		cfg.Bootstrap = append(cfg.Bootstrap, raft.Member{ID: raft.NodeID(i + 1), Address: addr})
	}
	return cfg
}

// Leader names none while this node's storage is marked: until then nobody may
// be taken away from a new cluster ("Marked storage" in package raft), so it has
// not settled.
func (n *node) Leader() int {
	s := n.raft.Status()
	if s.Marked {
		return 0
	}
	return int(s.Leader)
}

func (n *node) Term() uint64 { return uint64(n.raft.Status().Term) }

func (n *node) Propose(ctx context.Context, data []byte) error {
	_, err := n.raft.Propose(ctx, data)
	return err
}

func (n *node) Read(ctx context.Context) error { return n.raft.ReadBarrier(ctx) }

func (n *node) Snapshot() error {
	_, err := n.raft.TakeSnapshot(context.Background())
	return err
}

func (n *node) Close() error {
	return errors.Join(n.raft.Close(context.Background()), n.transport.Close(), n.log.Close())
}

// machine is a contender.Machine as this library sees it.
type machine struct{ *contender.Machine }

func (m machine) Apply(entries []raft.Entry, _ []struct{}) error {
	for i := range entries {
		m.Machine.Apply(entries[i].Data)
	}
	return nil
}

func (m machine) Snapshot() (io.WriterTo, error) {
	return captured{m.Machine, m.Applied()}, nil
}

func (m machine) Restore(r io.Reader) error { return m.ReadSnapshot(r) }

// captured is the state as it was at some moment.
type captured struct {
	machine *contender.Machine
	applied uint64
}

func (c captured) WriteTo(w io.Writer) (int64, error) {
	counting := &countingWriter{w: w}
	err := c.machine.WriteSnapshot(counting, c.applied)
	return counting.n, err
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

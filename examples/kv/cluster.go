package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/tcp"
)

// cluster is several replicas in one process. Each has a directory and a TCP
// address of its own and shares nothing with the others.
type cluster struct {
	dir      string
	members  []raft.Member
	replicas []atomic.Pointer[replica] // nil: not running; one more than founded the cluster
}

// startCluster founds a cluster of n replicas in directory dir.
func startCluster(dir string, n int) (_ *cluster, err error) {
	c := &cluster{dir: dir, replicas: make([]atomic.Pointer[replica], n+1)}

	// All addresses must be known before the first replica starts.
	transports := make([]*tcp.Transport, n)
	for i := range transports {
		if transports[i], err = tcp.Listen("127.0.0.1:0", tcp.Options{}); err != nil {
			for _, t := range transports[:i] {
				t.Close()
			}
			return nil, err
		}
		id := raft.NodeID(i + 1)
		c.members = append(c.members, raft.Member{ID: id, Address: transports[i].Addr().String(), Voter: true})
	}
	for i, transport := range transports {
		if err := c.open(i, c.members, transport); err != nil {
			for _, t := range transports[i+1:] {
				t.Close()
			}
			return nil, errors.Join(err, c.close(context.Background()))
		}
	}
	return c, nil
}

// open starts replica i on its directory. The name of the cluster is for those
// that join it later: they have no list of its founders to tell it by.
func (c *cluster) open(i int, bootstrap []raft.Member, transport *tcp.Transport) error {
	m := c.members[i]
	dir := filepath.Join(c.dir, fmt.Sprintf("node-%d", m.ID))
	r, err := open(raft.Config{ID: m.ID, Cluster: "demonstration", Bootstrap: bootstrap}, dir, transport)
	if err != nil {
		return fmt.Errorf("node %d: %w", m.ID, err)
	}
	c.replicas[i].Store(r)
	return nil
}

// restart starts replica i again, at its address and on its directory.
func (c *cluster) restart(i int) error {
	transport, err := tcp.Listen(c.members[i].Address, tcp.Options{})
	if err != nil {
		return err
	}
	return c.open(i, nil, transport)
}

// join starts one more replica, with nothing on its disk. It waits to be made a
// member, and then learns of the others.
func (c *cluster) join() (raft.Member, error) {
	transport, err := tcp.Listen("127.0.0.1:0", tcp.Options{})
	if err != nil {
		return raft.Member{}, err
	}
	m := raft.Member{ID: raft.NodeID(len(c.members) + 1), Address: transport.Addr().String(), Voter: true}
	c.members = append(c.members, m)
	return m, c.open(len(c.members)-1, nil, transport)
}

// crash ends replica i, which runs, without a word to the others. It returns
// the time from which on nothing was heard from it.
func (c *cluster) crash(i int) time.Time { return c.replicas[i].Swap(nil).crash() }

// close ends all replicas.
func (c *cluster) close(ctx context.Context) error {
	var errs []error
	for i := range c.replicas {
		if r := c.replicas[i].Swap(nil); r != nil {
			errs = append(errs, r.close(ctx))
		}
	}
	return errors.Join(errs...)
}

// running returns the replicas that run.
func (c *cluster) running() []*replica {
	var all []*replica
	for i := range c.replicas {
		if r := c.replicas[i].Load(); r != nil {
			all = append(all, r)
		}
	}
	return all
}

// leader waits until a replica leads and has applied an entry of its term, so
// that it serves, and returns its position.
func (c *cluster) leader(ctx context.Context) (int, error) {
	found := -1
	err := waitFor(ctx, func() bool {
		for i := range c.replicas {
			if r := c.replicas[i].Load(); r != nil && r.status().Role == raft.Leader {
				found = i
				return true
			}
		}
		return false
	})
	if err != nil {
		return 0, fmt.Errorf("no leader: %w", err)
	}
	if err := c.replicas[found].Load().node.ReadBarrier(ctx); err != nil {
		return 0, fmt.Errorf("the leader does not serve: %w", err)
	}
	return found, nil
}

// waitFor waits until condition holds, or ctx ends.
func waitFor(ctx context.Context, condition func() bool) error {
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

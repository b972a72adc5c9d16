package rig

import (
	"context"
	"errors"
	"fmt"
	"net/rpc"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/seed-6281cb22/raft/bench/contender"
	"github.com/seed-6281cb22/raft/bench/host"
)

// Cluster is one library's nodes, each in a process on a host of its own. It is
// for one goroutine.
type Cluster struct {
	rig       *Rig
	options   host.Options
	config    contender.Config
	processes []*host.Process // nil: does not run
}

// Spec is what the nodes of a cluster have in common.
type Spec struct {
	Library       string
	Timing        contender.Timing
	SnapshotBytes int64
	SnapshotEvery uint64
	Keep          uint64
}

// Start starts a cluster with a node on each host. One that was there before is
// stopped, all that it has stored removed, and the hosts are well again.
func (r *Rig) Start(s Spec) (*Cluster, error) {
	if err := r.heal(); err != nil {
		return nil, err
	}
	if r.cluster != nil {
		r.cluster.Stop()
	}
	for host := range r.hosts {
		if err := emptied(r.dir(host + 1)); err != nil {
			return nil, err
		}
	}
	addrs, err := r.addresses()
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		rig:       r,
		options:   host.Options{Library: s.Library, SnapshotBytes: s.SnapshotBytes},
		config:    contender.Config{Addrs: addrs, Timing: s.Timing, SnapshotEvery: s.SnapshotEvery, Keep: s.Keep},
		processes: make([]*host.Process, r.hosts),
	}
	r.mu.Lock()
	r.cluster = c
	r.mu.Unlock()
	for node := range r.hosts {
		if err := c.Run(node + 1); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// emptied leaves a directory that has nothing in it. The directory itself
// remains: it may be where a file system is mounted.
func emptied(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// Run starts a node that does not run, with what it has stored. That it has
// started is known when it answers.
func (c *Cluster) Run(node int) error {
	log, err := os.OpenFile(c.logFile(node), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	config := c.config
	config.Node, config.Dir = node, c.rig.dir(node)
	options := c.options
	options.Nodes = []contender.Config{config}
	p, err := host.Run(options, 0, log, c.rig.prefix(node)...)
	if err != nil {
		return err
	}
	c.rig.mu.Lock()
	defer c.rig.mu.Unlock()
	c.processes[node-1] = p
	return nil
}

func (c *Cluster) logFile(node int) string {
	return filepath.Join(c.rig.root, fmt.Sprintf("log%d", node))
}

// Node returns the process of a node that runs.
func (c *Cluster) Node(node int) *host.Process { return c.processes[node-1] }

// Nodes returns the numbers of all nodes.
func (c *Cluster) Nodes() []int {
	nodes := make([]int, len(c.processes))
	for i := range nodes {
		nodes[i] = i + 1
	}
	return nodes
}

// Others returns all nodes but one.
func (c *Cluster) Others(node int) []int {
	var others []int
	for _, n := range c.Nodes() {
		if n != node {
			others = append(others, n)
		}
	}
	return others
}

// Kill ends a node as a crash would, and waits until it is gone.
func (c *Cluster) Kill(node int) {
	p := c.processes[node-1]
	p.Kill()
	c.rig.mu.Lock()
	defer c.rig.mu.Unlock()
	c.processes[node-1] = nil
}

// Pause stops a node's process where it is.
func (c *Cluster) Pause(node int) error { return c.Node(node).Signal(syscall.SIGSTOP) }

// Resume lets it go on.
func (c *Cluster) Resume(node int) error { return c.Node(node).Signal(syscall.SIGCONT) }

// Stop kills all nodes.
func (c *Cluster) Stop() {
	c.rig.thaw() // who waits for a frozen disk cannot be killed
	for i, p := range c.processes {
		if p != nil {
			c.Kill(i + 1)
		}
	}
}

// signalAll has all processes end; the rig's mutex is held.
func (c *Cluster) signalAll() {
	for _, p := range c.processes {
		if p != nil {
			p.Signal(syscall.SIGKILL) //nolint:errcheck // it may be gone
		}
	}
}

// statusTimeout is how long a node may take to say how it is.
const statusTimeout = 2 * time.Second

// Status asks a node, and does not wait for ever for one that hangs.
func (c *Cluster) Status(node int) (host.Status, error) {
	type answer struct {
		status host.Status
		err    error
	}
	answered := make(chan answer, 1)
	p := c.Node(node)
	if p == nil {
		return host.Status{}, fmt.Errorf("node %d does not run", node)
	}
	go func() {
		s, err := p.Status(node)
		answered <- answer{s, err}
	}()
	select {
	case a := <-answered:
		return a.status, a.err
	case <-time.After(statusTimeout):
		return host.Status{}, fmt.Errorf("node %d does not answer", node)
	}
}

// Settled waits until all nodes name the same leader and the same term, and have
// applied the same, and returns what the leader says. Nothing may be proposed
// meanwhile. A process that has ended by itself is started again.
func (c *Cluster) Settled(ctx context.Context, within time.Duration) (host.Status, error) {
	var last host.Status
	err := Poll(ctx, 20*time.Millisecond, within, func() (bool, error) {
		before := last
		var all []host.Status
		for _, node := range c.Nodes() {
			s, err := c.Status(node)
			if errors.Is(err, rpc.ErrShutdown) {
				if err := c.revive(node); err != nil {
					return false, err
				}
			}
			if err != nil {
				last = host.Status{}
				return false, err
			}
			all = append(all, s)
		}
		last = all[0]
		for _, s := range all {
			if s.Leader == 0 || s != last {
				err := fmt.Errorf("the nodes do not agree: %+v", all)
				last = host.Status{}
				return false, err
			}
		}
		return last == before, nil
	})
	if err != nil {
		return host.Status{}, fmt.Errorf("%s: %w\n%s", c.options.Library, err, c.Log())
	}
	return last, nil
}

// Leader waits until a node that runs takes itself for the leader.
func (c *Cluster) Leader(ctx context.Context, within time.Duration) (leader int, err error) {
	err = Poll(ctx, 10*time.Millisecond, within, func() (bool, error) {
		for _, node := range c.Nodes() {
			if c.Node(node) == nil {
				continue
			}
			s, err := c.Status(node)
			if err != nil {
				return false, err
			}
			if s.Leader == node {
				leader = node
				return true, nil
			}
		}
		return false, nil
	})
	return leader, err
}

func (c *Cluster) revive(node int) error {
	if c.Node(node) != nil {
		c.Kill(node)
	}
	return c.Run(node)
}

// Log returns the end of what each node has printed.
func (c *Cluster) Log() string {
	var all string
	for _, node := range c.Nodes() {
		b, err := os.ReadFile(c.logFile(node))
		if err == nil && len(b) > 0 {
			all += fmt.Sprintf("node %d: %s\n", node, b[max(0, len(b)-1000):])
		}
	}
	return all
}

// Poll calls f every so often until it reports true. It fails with f's last
// error, if any, when the time is over, and with ctx's when that ends.
func Poll(ctx context.Context, every, within time.Duration, f func() (bool, error)) error {
	deadline := time.After(within)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		done, err := f()
		if done && err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			if err == nil {
				err = errors.New("it did not happen in time")
			}
			return fmt.Errorf("after %v: %w", within, err)
		case <-tick.C:
		}
	}
}

// Wait lets time pass, while the cluster runs.
func Wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

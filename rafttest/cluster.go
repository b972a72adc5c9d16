package rafttest

import (
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/tape"
)

// TB is what a test gives to its cluster: a *testing.T, say.
type TB interface {
	Helper()
	Name() string
	Fatalf(format string, args ...any)
}

// Cluster is a simulated cluster whose state machines are of type M, with
// results of type R. Time passes only within its methods: those that wait run
// the simulation until what they wait for has come. It is deterministic.
//
// Whatever breaks a promise of Raft or of the library fails the test at once,
// with what happened last on every node. It is not safe for concurrent use.
type Cluster[M raft.StateMachine[R], R any] struct {
	t TB
	e *engine
}

// Option changes how New and NewCluster make a cluster.
type Option func(*options)

type options struct {
	seed   uint64
	config func(*raft.Config)
}

// Seed makes what is left to chance, which is only the election timeouts as
// long as no faults are asked for, another one than by default.
func Seed(seed uint64) Option { return func(o *options) { o.seed = seed } }

// Config lets change fill in the configuration of every node. Its ID, Group,
// Storage, Transport, Clock, Bootstrap and Cluster are the simulation's; its Clock
// is exact.
func Config(change func(*raft.Config)) Option { return func(o *options) { o.config = change } }

// New starts a cluster of so many nodes, 1 up to that, whose state machine is a
// Journal. All nodes run, and none leads yet.
func New(t TB, nodes int, opts ...Option) *Cluster[*Journal, int] {
	t.Helper()
	return NewCluster(t, nodes, func() *Journal { return new(Journal) }, opts...)
}

// NewCluster is New with state machines that machine makes: an empty one for
// every start of a node.
func NewCluster[M raft.StateMachine[R], R any](t TB, nodes int, newMachine func() M, opts ...Option) *Cluster[M, R] {
	t.Helper()
	o := options{seed: 1, config: func(*raft.Config) {}}
	for _, option := range opts {
		option(&o)
	}
	if nodes < 1 {
		t.Fatalf("rafttest: a cluster of %d nodes", nodes)
	}
	cfg := calm(nodes)
	o.config(&cfg.raft)
	c := &Cluster[M, R]{t, newEngine(tape.FromSeed(o.seed), cfg, host[M, R](newMachine))}
	c.e.transcript.start()
	for _, n := range c.e.nodes {
		if err := n.start(); err != nil {
			t.Fatalf("rafttest: node %d does not start: %v", n.id, err)
		}
	}
	return c
}

// host makes a user's state machines those of nodes.
func host[M raft.StateMachine[R], R any](newMachine func() M) func(*node) (hostedMachine, error) {
	return func(n *node) (hostedMachine, error) {
		m := &machine[M, R]{n: n, sm: newMachine()}
		return m, m.open()
	}
}

// fatalf fails the test, and shows what has happened.
func (c *Cluster[M, R]) fatalf(format string, args ...any) {
	c.t.Helper()
	c.t.Fatalf("%s\n\nrafttest: "+format, append([]any{c.e.transcript.text()}, args...)...)
}

// verify fails the test if the simulation has found anything wrong.
func (c *Cluster[M, R]) verify() {
	c.t.Helper()
	if c.e.failure != nil {
		c.fatalf("%v", c.e.failure)
	}
}

func (c *Cluster[M, R]) node(id raft.NodeID) *node {
	c.t.Helper()
	if id < 1 || int(id) > len(c.e.nodes) {
		c.fatalf("there is no node %d", id)
	}
	return c.e.node(id)
}

// running returns a node that must be up.
func (c *Cluster[M, R]) running(id raft.NodeID) *node {
	c.t.Helper()
	n := c.node(id)
	if !n.up {
		c.fatalf("node %d is down", id)
	}
	return n
}

func (c *Cluster[M, R]) electionTimeout() time.Duration { return c.e.cfg.electionTimeout() }

// await runs the simulation until a condition holds, which must be within so
// many election timeouts.
func (c *Cluster[M, R]) await(timeouts int, what string, condition func() bool) {
	c.t.Helper()
	limit := time.Duration(timeouts) * c.electionTimeout()
	ok := c.e.runUntil(c.e.now.Add(limit), condition)
	c.verify()
	if !ok {
		c.fatalf("%s: not within %v", what, limit)
	}
}

// patience is how many election timeouts a method waits before it gives up.
const patience = 50

// Now returns the virtual time, which began at 0.
func (c *Cluster[M, R]) Now() time.Duration { return time.Duration(c.e.now) }

// Run lets d of virtual time pass.
func (c *Cluster[M, R]) Run(d time.Duration) {
	c.t.Helper()
	c.e.run(c.e.now.Add(d))
	c.verify()
}

// RunUntil lets virtual time pass until a condition holds, and fails the test
// if it does not within 50 election timeouts.
func (c *Cluster[M, R]) RunUntil(condition func() bool) {
	c.t.Helper()
	c.await(patience, "RunUntil", condition)
}

// Machine returns a running node's state machine. It is to be looked at, not
// to be changed.
func (c *Cluster[M, R]) Machine(id raft.NodeID) M {
	c.t.Helper()
	return c.running(id).machine.(*machine[M, R]).sm
}

// Status returns a running node's status.
func (c *Cluster[M, R]) Status(id raft.NodeID) raft.Status {
	c.t.Helper()
	return c.running(id).status()
}

// Err says why a node is not running: because it was told so, because its last
// start failed, or because its storage or state machine did. It is nil for one
// that runs.
func (c *Cluster[M, R]) Err(id raft.NodeID) error {
	c.t.Helper()
	return c.node(id).err()
}

// Leader waits until a node leads that a majority of the members follows, and
// returns it.
func (c *Cluster[M, R]) Leader() raft.NodeID {
	c.t.Helper()
	var leader *node
	c.await(patience, "a leader that a majority follows", func() bool {
		leader = c.e.leader()
		return leader != nil
	})
	return leader.id
}

// Elect makes a node the leader, whoever leads before: it lets nobody else
// campaign meanwhile. The node must be able to win: it must reach a majority,
// and lack no entry that is committed.
func (c *Cluster[M, R]) Elect(id raft.NodeID) {
	c.t.Helper()
	n := c.running(id)
	if c.e.leader() == n {
		return
	}
	c.e.elect(n, patience)
	c.verify()
	if c.e.leader() != n {
		c.fatalf("Elect: node %d does not become the leader", id)
	}
}

// Propose proposes a command on the leader, for which it waits, and returns the
// command's result. The proposal must succeed.
func (c *Cluster[M, R]) Propose(command string) R {
	c.t.Helper()
	result, err := c.ProposeOn(c.Leader(), command)
	if err != nil {
		c.fatalf("Propose %q: %v", command, err)
	}
	return result
}

// ProposeOn proposes a command on a node, waits for the end, and returns what
// raft.Node's Propose would return. It must end within 50 election timeouts.
func (c *Cluster[M, R]) ProposeOn(id raft.NodeID, command string) (R, error) {
	c.t.Helper()
	return c.StartPropose(id, command).Wait()
}

// StartPropose proposes a command on a node and does not wait.
func (c *Cluster[M, R]) StartPropose(id raft.NodeID, command string) *Call[M, R] {
	c.t.Helper()
	return &Call[M, R]{c, c.e.propose(c.node(id), []byte(command), nil)}
}

// ReadBarrier waits until a local read on a node is linearizable, and returns
// what raft.Node's ReadBarrier would return.
func (c *Cluster[M, R]) ReadBarrier(id raft.NodeID) error {
	c.t.Helper()
	_, err := c.StartRead(id).Wait()
	return err
}

// StartRead begins a read barrier on a node and does not wait.
func (c *Cluster[M, R]) StartRead(id raft.NodeID) *Call[M, R] {
	c.t.Helper()
	return &Call[M, R]{c, c.e.read(c.node(id), nil)}
}

// Call is a proposal, or a read barrier, that was started.
type Call[M raft.StateMachine[R], R any] struct {
	c     *Cluster[M, R]
	inner *call
}

// Done reports whether the call has ended.
func (p *Call[M, R]) Done() bool { return p.inner.done }

// Result returns what the call has ended with, as raft.Node's Propose and
// ReadBarrier do. It must have ended.
func (p *Call[M, R]) Result() (R, error) {
	p.c.t.Helper()
	if !p.inner.done {
		p.c.fatalf("Result: %s has not ended", p.inner)
	}
	value, _ := p.inner.value.(R)
	return value, p.inner.err
}

// Wait runs the simulation until the call has ended, and returns its Result.
func (p *Call[M, R]) Wait() (R, error) {
	p.c.t.Helper()
	p.c.await(patience, p.inner.String()+" ends", p.Done)
	return p.Result()
}

// RequireConsistent waits until all nodes that run and are not paused have
// applied the same, and then requires that their state machines are equal and
// that every call has told the truth: what was acknowledged is there, what was
// definitely refused is not. Nodes that are cut off from the others must be
// healed, or stopped, before.
func (c *Cluster[M, R]) RequireConsistent() {
	c.t.Helper()
	c.await(patience, "all nodes that run apply the same", c.e.agreed)
	c.e.compareMachines()
	c.e.calls.settle()
	c.verify()
}

package rafttest

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/history"
	"github.com/seed-6281cb22/raft/internal/tape"
)

// Simulation says what Simulate runs: a cluster of the user's state machines,
// under faults, with clients that send the user's commands to any node. Only
// Machine and Command are required.
type Simulation[M raft.StateMachine[R], R any] struct {
	// Machine makes an empty state machine, for every start of a node.
	Machine func() M
	// Command makes a command for a client to propose.
	Command func(*Choices) []byte
	// Query makes a query, and Read answers one from a state machine. Without
	// them there are no reads. A run uses all ways to read that a raft.Node has:
	// ReadBarrier; in runs that have leases, LeaseRead, for which Read may be
	// called twice; and in some StaleRead. The first two must be linearizable;
	// the last one must hold what was acknowledged before its age, and its
	// answer is not compared with the Model.
	Query func(*Choices) []byte
	Read  func(machine M, query []byte) R
	// Model is what a single, sequential copy of the service is like at the
	// beginning. With it the answers that the clients got must be
	// linearizable. (That what was acknowledged is applied, once, in an order
	// that fits, and the same everywhere, is checked without it.)
	Model Model[R]
	// Key is the part of the model that a command or query is about; parts are
	// judged by themselves, which is much faster. Nil: there are no parts.
	Key func(request []byte) string

	// Config fills in the configuration of the nodes. What it leaves 0 differs
	// from run to run, which finds more. ID, Group, Storage, Transport, Clock,
	// Bootstrap and Cluster are the simulation's.
	Config func(*raft.Config)
	// MinNodes and MaxNodes bound the size of the cluster when it is founded.
	// 0: 3 and 7.
	MinNodes, MaxNodes int
	// Faults is what may go wrong; each run has a part of it. 0: AllFaults.
	Faults Faults
	// Duration is the virtual time after which the faults stop, at the
	// latest. 0: a minute.
	Duration time.Duration
	// Requests is how many requests the clients of a run send at most. 0: 1000.
	// (A Model judges some hundred of each key quickly.)
	Requests int
	// Seeds is how many runs there are, each with a seed of its own, from
	// First on. 0: 100.
	Seeds int
	First uint64
}

// Model is a state of a sequential copy of a service. Its methods do not change
// it. Two are the same state if they are deeply equal.
type Model[R any] interface {
	// Apply returns the state after a command, and the command's result.
	Apply(command []byte) (Model[R], R)
	// Read answers a query.
	Read(query []byte) R
}

// Result says what the runs of a Simulation went through.
type Result struct {
	Seeds   int
	Events  uint64
	Virtual time.Duration // simulated time
	Faults  Counts
	// Happened counts what else may tell whether the runs went through enough:
	// elections, starts of nodes, snapshots received and so on.
	Happened Counts

	Succeeded, NotCommitted, Unknown, Refused uint64 // proposals, by how they ended
	Reads                                     uint64
	// LeaseReads and StaleReads are those of the Reads that were asked for so.
	LeaseReads, StaleReads uint64
}

// Simulate runs a Simulation, seed after seed. A run that breaks a promise of
// Raft or of the library, or gives an answer that the Model does not, fails the
// test: with the seed, how to run it again, a reduced run that fails in the same
// way, and what happened last in that.
//
// Variables in the environment change what is run: RAFTTEST_SEED, only that seed;
// RAFTTEST_SEEDS, so many, from First or RAFTTEST_SEED on; RAFTTEST_TAPE, only the
// run in that file, which a failure has left.
func Simulate[M raft.StateMachine[R], R any](t TB, s Simulation[M, R]) Result {
	t.Helper()
	var total Result
	if path := os.Getenv("RAFTTEST_TAPE"); path != "" {
		if transcript, err := s.ReplayFile(path); err != nil {
			t.Fatalf("rafttest: %s: %v\n%s", path, err, transcript)
		}
		return total
	}
	first, seeds, err := s.seeds()
	if err != nil {
		t.Fatalf("rafttest: %v", err)
		return total
	}
	for seed := first; seed < first+uint64(seeds); seed++ {
		r := s.run(tape.FromSeed(seed), withoutTranscript)
		if r.failure != nil {
			t.Fatalf("%s", s.explain(t, seed, r))
			return total
		}
		total.add(r)
	}
	return total
}

func (s *Simulation[M, R]) requests() int {
	if s.Requests == 0 {
		return 1000
	}
	return s.Requests
}

// seeds returns the first seed and how many are run.
func (s *Simulation[M, R]) seeds() (first uint64, count int, err error) {
	first, count = s.First, s.Seeds
	if count == 0 {
		count = 100
	}
	if v := os.Getenv("RAFTTEST_SEED"); v != "" {
		count = 1
		if first, err = strconv.ParseUint(v, 10, 64); err != nil {
			return 0, 0, fmt.Errorf("RAFTTEST_SEED: %w", err)
		}
	}
	if v := os.Getenv("RAFTTEST_SEEDS"); v != "" {
		if count, err = strconv.Atoi(v); err != nil {
			return 0, 0, fmt.Errorf("RAFTTEST_SEEDS: %w", err)
		}
	}
	return first, count, nil
}

func (r *Result) add(o *outcome) {
	r.Seeds++
	r.Events += o.events
	r.Virtual += o.virtual
	r.Faults, r.Happened = r.Faults.plus(o.faults), r.Happened.plus(o.happened)
	r.Succeeded += o.calls.Succeeded
	r.NotCommitted += o.calls.NotCommitted
	r.Unknown += o.calls.Unknown
	r.Refused += o.calls.Refused
	r.Reads += o.calls.Reads - o.calls.ReadsFailed
	r.LeaseReads += o.calls.LeaseReads
	r.StaleReads += o.calls.StaleReads
}

// plus returns the sums, which do not depend on an order.
func (c Counts) plus(other Counts) Counts {
	if c == nil {
		c = Counts{}
	}
	for name, count := range other {
		c[name] += count
	}
	return c
}

// limits bound what a run is drawn to be.
type limits struct {
	minNodes, maxNodes int
	faults             Faults
	duration           time.Duration
}

func (s *Simulation[M, R]) limits() *limits {
	l := &limits{s.MinNodes, s.MaxNodes, s.Faults, s.Duration}
	if l.minNodes == 0 {
		l.minNodes = min(3, max(1, l.maxNodes))
		if l.maxNodes == 0 {
			l.minNodes = 3
		}
	}
	if l.maxNodes == 0 {
		l.maxNodes = max(7, l.minNodes)
	}
	if l.faults == 0 {
		l.faults = AllFaults
	}
	if l.duration == 0 {
		l.duration = time.Minute
	}
	return l
}

// outcome is what came of a run.
type outcome struct {
	failure          *violation
	events           uint64
	virtual          time.Duration
	hash             uint64
	faults, happened Counts
	calls            callStats
	setup            []string
	transcript       string
	visualize        func(path string) error // the history that is wrong, if it is
}

type verbosity bool

const (
	withTranscript    verbosity = true
	withoutTranscript verbosity = false
)

// run runs one tape.
func (s *Simulation[M, R]) run(decisions *tape.Tape, v verbosity) (o *outcome) {
	r := &run[M, R]{s: s}
	o = &outcome{}
	defer func() {
		if p := recover(); p != nil {
			o.failure = &violation{"panic", fmt.Sprintf("%v\n%s", p, debug.Stack())}
		}
		if r.e != nil {
			r.report(o)
		}
	}()
	var base raft.Config
	if s.Config != nil {
		s.Config(&base)
	}
	cfg, p := drawSwarm(decisions, s.limits(), base)
	o.setup = describePlan(&cfg, &p)
	r.plan = p
	r.e = newEngine(decisions, cfg, host[M, R](s.Machine))
	if v == withTranscript {
		r.e.transcript.start()
	}
	r.play()
	if r.e.failure == nil {
		r.judge(o)
	}
	return o
}

// run is one run of a simulation.
type run[M raft.StateMachine[R], R any] struct {
	s       *Simulation[M, R]
	e       *engine
	plan    plan
	nemesis nemesis
	history history.History[request, R]
	asked   int  // requests
	stopped bool // the clients send nothing more
}

// request is what a client asks.
type request struct {
	read bool
	data []byte
}

func (r *run[M, R]) report(o *outcome) {
	e := r.e
	if f, ok := e.failure.(*violation); ok && o.failure == nil {
		o.failure = f
	}
	o.events, o.virtual, o.hash, o.calls, o.faults = e.events, time.Duration(e.now), e.hash, e.calls.stats, r.nemesis.count
	o.happened = e.happened
	o.transcript = e.transcript.text()
}

// play lets a run happen: with faults, and then without.
func (r *run[M, R]) play() {
	e := r.e
	for _, n := range e.nodes {
		if err := e.restart(n); err != nil {
			return
		}
	}
	r.nemesis = nemesis{e: e, plan: &r.plan}
	r.nemesis.start()
	if r.plan.lease > 0 {
		r.nemesis.setLease()
	}
	for i := range r.plan.clients {
		r.client(i)
	}
	e.run(e.now.Add(r.plan.duration))
	if e.failure != nil {
		return
	}
	r.nemesis.stop()
	if majority := r.nemesis.majority(); majority != nil && e.tape.Chance(0.3) {
		back := r.nemesis.desert(majority)
		e.run(e.now.Add(5 * e.cfg.electionTimeout()))
		r.stopped = true
		if !e.majorityLives(majority) {
			return
		}
		back()
	}
	r.stopped = true
	e.finish()
}

// client lets a client send its next request after a while.
func (r *run[M, R]) client(id int) {
	e := r.e
	e.after(e.drawLong(r.plan.think), func() {
		if r.asked++; r.stopped || r.asked > r.s.requests() {
			return
		}
		n := e.nodes[e.tape.Intn(len(e.nodes))]
		if !e.counts(n) && e.tape.Chance(0.8) { // it would wait to be added
			n = e.nodes[e.tape.Intn(len(e.nodes))]
		}
		if r.s.Read != nil && e.tape.Chance(r.plan.reads) {
			r.ask(id, n)
		} else {
			r.propose(id, n)
		}
	})
}

func (r *run[M, R]) propose(id int, n *node) {
	e := r.e
	q := request{data: r.s.Command(&Choices{e.tape})}
	number := r.history.Invoke(id, time.Duration(e.now), q)
	var c *call
	hasty := e.tape.Chance(r.plan.hasty)
	c = e.propose(n, q.data, func(c *call) {
		switch {
		case c.err == nil:
			value, _ := c.value.(R)
			r.history.OK(number, time.Duration(e.now), value)
		case isUnknown(c.err):
			r.history.Unknown(number, time.Duration(e.now))
		default:
			r.history.Failed(number, time.Duration(e.now))
		}
		r.client(id)
	})
	r.hurry(c, hasty)
}

// ask sends a query. What a stale read returns is no part of the history: it need
// not fit in, but only be recent enough, which is checked when it ends.
func (r *run[M, R]) ask(id int, n *node) {
	e := r.e
	q := request{read: true, data: r.s.Query(&Choices{e.tape})}
	look := func() any { return r.s.Read(n.machine.(*machine[M, R]).sm, q.data) }
	hasty := e.tape.Chance(r.plan.hasty)
	lease := e.tape.Chance(r.plan.leaseReads)
	if !lease && e.tape.Chance(r.plan.staleReads) {
		r.hurry(e.staleRead(n, r.plan.maxAge, look, func(*call) { r.client(id) }), hasty)
		return
	}
	number := r.history.Invoke(id, time.Duration(e.now), q)
	ended := func(c *call) {
		switch {
		case c.err != nil:
			r.history.Failed(number, time.Duration(e.now))
		case lease:
			value, _ := c.value.(R)
			r.history.OK(number, time.Duration(e.now), value)
		default:
			value, _ := look().(R)
			r.history.OK(number, time.Duration(e.now), value)
		}
		r.client(id)
	}
	if lease {
		r.hurry(e.leaseRead(n, look, ended), hasty)
	} else {
		r.hurry(e.read(n, ended), hasty)
	}
}

// hurry gives a call up after a while.
func (r *run[M, R]) hurry(c *call, hasty bool) {
	if hasty && !c.done {
		r.e.after(r.e.draw(r.plan.lasting), func() { r.e.giveUp(c, errGivenUp) })
	}
}

// judge looks at the clients' history.
func (r *run[M, R]) judge(o *outcome) {
	if r.s.Model == nil {
		return
	}
	model := history.Model[Model[R], request, R]{
		Init: func() Model[R] { return r.s.Model },
		Apply: func(m Model[R], q request) (Model[R], R) {
			if q.read {
				return m, m.Read(q.data)
			}
			return m.Apply(q.data)
		},
	}
	if r.s.Key != nil {
		model.Key = func(q request) string { return r.s.Key(q.data) }
	}
	result := history.Check(model, &r.history, history.DefaultSteps)
	if result.Verdict == history.NotLinearizable {
		r.e.fail("linearizability", "%v", result.Err())
		o.visualize = result.VisualizePath
	}
}

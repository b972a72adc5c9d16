package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed-6281cb22/raft/internal/coresim"
	"github.com/seed-6281cb22/raft/internal/tape"
	"github.com/seed-6281cb22/raft/rafttest"
)

// An engine runs simulations, one at a time.
type engine interface {
	// run runs a seed. The error is what a user is to read of a failure.
	run(seed uint64) (outcome, error)
	// show runs a seed, or with a path what is in that file, and returns what
	// happened, and what was wrong.
	show(seed uint64, path string) (transcript string, err error)
}

var engineNames = []string{"stack", "core"}

// maxNodes is the size of the largest cluster that the engines run.
const maxNodes = 7

// newEngine returns nil if there is no engine of that name.
func newEngine(name string, nodes int) engine {
	switch name {
	case "stack":
		return &stackEngine{nodes: nodes}
	case "core":
		return &coreEngine{nodes: nodes}
	}
	return nil
}

// outcome is what runs came to.
type outcome struct {
	events     uint64
	virtual    time.Duration
	operations uint64 // of clients, whose answers were checked
	commits    uint64
	faults     map[string]uint64
}

func (o *outcome) add(other outcome) {
	o.events += other.events
	o.virtual += other.virtual
	o.operations += other.operations
	o.commits += other.commits
	if o.faults == nil {
		o.faults = map[string]uint64{}
	}
	for name, n := range other.faults {
		o.faults[name] += n
	}
}

// coreEngine simulates bare cores.
type coreEngine struct {
	nodes     int
	simulator coresim.Simulator
}

func (e *coreEngine) run(seed uint64) (outcome, error) {
	r, err := e.simulator.Run(coresim.Config{Nodes: e.nodes}, tape.FromSeed(seed))
	o := outcome{
		events:  uint64(r.Events),
		virtual: r.Virtual,
		commits: uint64(r.Commits),
		faults:  map[string]uint64{},
	}
	for k, n := range r.Counts {
		switch kind := coresim.Kind(k); {
		case kind == coresim.Propose || kind == coresim.Read:
			o.operations += uint64(n)
		case kind.Fault():
			o.faults[kind.String()] += uint64(n)
		}
	}
	if err != nil {
		err = errors.New(coresim.Explain(coresim.Config{Nodes: e.nodes}, seed).String())
	}
	return o, err
}

func (e *coreEngine) show(seed uint64, path string) (string, error) {
	decisions := tape.FromSeed(seed)
	if path != "" {
		file, err := tape.ReadFile(path)
		if err != nil {
			return "", err
		}
		decisions = tape.Replay(file.Recording)
	}
	r, err := e.simulator.Run(coresim.Config{Nodes: e.nodes, Transcript: true}, decisions)
	return r.Transcript, err
}

// stackEngine simulates the whole library.
type stackEngine struct {
	nodes int
}

// testName stands for a test in what rafttest says of a failure.
const testName = "raftsim"

// soakTest takes the failure of a simulation.
type soakTest struct {
	failure error
}

func (t *soakTest) Helper()      {}
func (t *soakTest) Name() string { return testName }
func (t *soakTest) Fatalf(format string, args ...any) {
	t.failure = fmt.Errorf(format, args...)
}

func (e *stackEngine) run(seed uint64) (outcome, error) {
	s := simulation(e.nodes)
	s.First = seed
	var t soakTest
	r := rafttest.Simulate(&t, s)
	return outcome{
		events:     r.Events,
		virtual:    r.Virtual,
		operations: r.Succeeded + r.NotCommitted + r.Unknown + r.Refused + r.Reads,
		commits:    r.Succeeded,
		faults:     r.Faults,
	}, t.failure
}

func (e *stackEngine) show(seed uint64, path string) (string, error) {
	if path != "" {
		return simulation(e.nodes).ReplayFile(path)
	}
	return simulation(e.nodes).Replay(seed)
}

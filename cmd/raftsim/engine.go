package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed-6281cb22/raft/internal/coresim"
	"github.com/seed-6281cb22/raft/internal/failure"
	"github.com/seed-6281cb22/raft/internal/tape"
	"github.com/seed-6281cb22/raft/rafttest"
)

// An engine runs simulations, one at a time.
type engine interface {
	// run runs a seed. The error is what a user is to read of a failure.
	run(seed uint64) (outcome, error)
	// show runs a seed, or with a path what is in that file, and returns what
	// happened.
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
		err = e.explain(seed, err)
	}
	return o, err
}

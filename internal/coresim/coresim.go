// Package coresim simulates a cluster of bare cores, raft.Raft without a node,
// in one goroutine and in virtual time, and checks all invariants after every
// event. Whatever happens next is a decision on a tape, the configuration
// included: every run enables some faults, with some strength, and draws its
// sizes and timeouts (swarm testing). When the faults stop, a leader must
// emerge, a proposal and reads complete, and everybody end with the same log.
//
// It is what runs by the million; package rafttest simulates the rest of the
// library too.
package coresim

import (
	"fmt"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/invariant"
	"github.com/seed-6281cb22/raft/internal/tape"
	"github.com/seed-6281cb22/raft/internal/transcript"
	"github.com/seed-6281cb22/raft/raftpb"
)

// Config says how to run. What happens is on the tape.
type Config struct {
	// Nodes is the size of the cluster, 1 to MaxNodes; 0: the tape decides.
	Nodes int
	// Transcript asks for Result.Transcript, which costs far more than the run
	// itself; a run can be repeated with it.
	Transcript bool
	// Plain leaves out snapshots, disks that fail or are lost, and Readies after
	// several inputs; and the members begin unmarked, with an empty log.
	Plain bool
	// Spare, if not nil, is asked in a crash for the newest of a node's writes
	// that must survive it.
	Spare func(id raftpb.NodeID) uint64
	// Observer, if not nil, is told of every event, and the cores report their
	// Events.
	Observer Observer

	skew int64 // of the clocks of the nodes with even ids, which are then wrong
}

// Observer watches a run.
type Observer interface {
	// Before is called before a node is given something, After when its
	// Ready has been taken. e is the Simulator's.
	Before(e *Event)
	After(e *Event)
}

// Event is what happens to one node. Of a crash and of a wiped disk, which
// happen to no core, observers hear too; then Core is nil.
type Event struct {
	Kind    Kind
	Node    raftpb.NodeID
	Message *raftpb.Message // that is delivered
	Core    *raft.Raft
	Now     raft.Instant
	Ready   *raft.Ready // in After
	Durable uint64      // the newest write of this core that is on its disk
}

// Result is what a run came to.
type Result struct {
	Events  int           // that did something
	Counts  [kinds]int    // of each Kind
	Virtual time.Duration // the time that passed in the simulation
	Hash    uint64        // of all states that were passed
	Nodes   int
	Commits raftpb.Index // entries committed
	Terms   raftpb.Term  // that began
	// LeaseReads is how many were served.
	LeaseReads int

	// Transcript is a readable account of the last events of each node.
	Transcript string
}

// Failure says at which event a run has broken which rule.
type Failure struct {
	Event     int
	Violation *invariant.Violation
}

func (f *Failure) Error() string {
	return fmt.Sprintf("event %d: %v", f.Event, f.Violation)
}

// Unwrap returns the *invariant.Violation.
func (f *Failure) Unwrap() error { return f.Violation }

// Names of checkers of this package, beside those of package invariant.
const (
	Liveness = "liveness" // when the faults have stopped, everything goes on
	Panic    = "panic"    // a core never does
	Refusal  = "refusal"  // what a correct member sends, or a storage loads, is taken
)

// Simulator runs one simulation after the other, in the same memory. The zero
// Simulator is ready to use.
type Simulator struct {
	cfg    Config
	tape   *tape.Tape
	swarm  swarm
	result Result
	check  invariant.Checker
	failed *invariant.Violation
	step   invariant.Step // memory of after
	ready  raft.Ready
	copies copies
	event  Event

	now     int64 // nanoseconds
	members raftpb.Membership
	nodes   []node
	net     network
	blocked [MaxNodes]nodeSet // whom each node cannot send to

	// Who can do what.
	up, paused, starved, broken, leaders, writing, applying, reading, sending, leasing nodeSet

	proposed   int    // entries, so far
	leaseReads uint64 // begun, so far
	// addresses is how many have been drawn.
	addresses int
	digests   []uint64 // of the state machine at each index

	transcript *transcript.Recorder[string] // nil: none
}

// Run runs one simulation. The error is a *Failure.
func (s *Simulator) Run(cfg Config, t *tape.Tape) (Result, error) {
	s.reset(cfg, t)
	s.run()
	s.result.Virtual = time.Duration(s.now)
	s.result.Commits, s.result.Nodes = s.check.Committed(), len(s.nodes)
	s.result.Transcript = s.transcript.Merged(transcriptLines)
	if s.failed == nil {
		return s.result, nil
	}
	return s.result, &Failure{Event: s.result.Events, Violation: s.failed}
}

func (s *Simulator) run() {
	defer func() {
		if p := recover(); p != nil {
			s.fail(Panic, 0, "%v", p)
		}
	}()
	s.swarm = drawSwarm(s.tape)
	if s.cfg.Nodes != 0 {
		s.swarm.nodes, s.swarm.joiners = s.cfg.Nodes, 0
	}
	if s.cfg.Plain {
		s.swarm.simplify()
	}
	s.found()
	for s.result.Events < s.swarm.events && s.failed == nil {
		s.tape.Begin()
		s.happen()
		s.tape.End()
	}
	if s.failed == nil {
		s.recoverAll()
	}
}

// Run runs one simulation, in memory of its own. The error is a *Failure.
func Run(cfg Config, t *tape.Tape) (Result, error) { return new(Simulator).Run(cfg, t) }

// Finding is the first failure of a Hunt.
type Finding struct {
	Seed    uint64
	Seeds   int // tried, this one included
	Events  int // in all of them, up to the failure
	Failure *Failure
}

// Hunt runs the seeds from, from+1, …, runs of them, until one fails. It
// returns nil if none does.
func Hunt(from, runs uint64) *Finding { return hunt(Config{}, from, runs) }

func hunt(cfg Config, from, runs uint64) *Finding {
	s, events := new(Simulator), 0
	for k := range runs {
		result, err := s.Run(cfg, tape.FromSeed(from+k))
		events += result.Events
		if err != nil {
			return &Finding{Seed: from + k, Seeds: int(k) + 1, Events: events, Failure: err.(*Failure)}
		}
	}
	return nil
}

// fail keeps the first failure.
func (s *Simulator) fail(checker string, id raftpb.NodeID, format string, args ...any) {
	if s.failed == nil {
		s.failed = &invariant.Violation{Checker: checker, Node: id, Detail: fmt.Sprintf(format, args...)}
	}
}

// reset begins a run.
func (s *Simulator) reset(cfg Config, t *tape.Tape) {
	s.check.Reset()
	s.net.reset()
	*s = Simulator{
		cfg: cfg, tape: t, check: s.check, net: s.net, copies: copies{chunks: s.copies.chunks}, nodes: s.nodes[:0], digests: s.digests[:0],
		result: Result{Hash: 14695981039346656037},
	}
	if cfg.Transcript {
		s.transcript = transcript.New(transcriptPerNode, func(line string) string { return line })
	}
}

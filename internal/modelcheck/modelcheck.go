// Package modelcheck explores all behaviours of a small group of shipping cores
// (*raft.Raft), breadth-first, and asserts every invariant in every state. It
// finds what is wrong within its bounds, by the shortest way, and says so when
// there is nothing.
//
// # What is explored
//
// Events, in every order: a message is delivered; an election timer fires, a
// heartbeat is due, a leader finds that no quorum answers; a leader takes a
// proposal; a disk completes the oldest write of its node; a node crashes and
// restarts from what its disk has completed; a node takes a snapshot and
// compacts its log; a leader is asked to change the membership, or to transfer
// leadership. Every message that was ever sent may be delivered at any
// time, any number of times, or never: so messages are delayed, reordered,
// duplicated and lost without any bound, and none of that needs an event or a
// budget of its own. A message that no future of its receiver can tell from
// none is forgotten, see dead.
//
// # What is not
//
// Reads; changes of a member's address; disks that lose what they have completed; log reads and applying that take their
// time; a sender who hears that its snapshot has arrived (it hears that it may
// not have). Options says what the bounds exclude. Time has no length: more than every
// timeout passes from one event of a node to its next, and which timers fire is
// a choice. So no pre-vote is refused because a leader was heard from lately,
// which no safety rests on.
//
// # How
//
// A global state is a number for the state of each node, numbers for the
// messages, and what the invariants must remember. What an event does to a node
// depends on that node alone, so it is computed once, by the core, and then
// looked up. States that differ only by which node is which are one: a state is
// known by the least of its 128-bit fingerprints over all permutations of the
// nodes. Fingerprints that collide would hide a state; among 10^9 states the
// odds are below 10^-20.
package modelcheck

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// Disk says what a crash does to a node's disk, beside losing the writes that
// it has not completed.
type Disk uint8

const (
	// Keeps what it has completed, as a disk must.
	Keeps Disk = iota
	// ForgetsVotes is a fault that no Raft survives, to show that the check
	// finds it.
	ForgetsVotes
)

// Symmetry says whether states that differ only by which node is which are one.
type Symmetry uint8

const (
	// Reduced takes them for one. That is exact but for one choice: a leader
	// that has removed itself asks that voter to campaign which is furthest,
	// and of equals the one with the least id.
	Reduced Symmetry = iota
	// Full explores each.
	Full
)

// Start says what the nodes begin with.
type Start uint8

const (
	// Unmarked nodes know that they have lost nothing, and have an empty log.
	Unmarked Start = iota
	// Founders hold nothing but the founding membership.
	Founders
)

// Unlimited is a bound that is none.
const Unlimited = -1

// Options bound what is explored. The zero value of a bound excludes what it
// bounds.
type Options struct {
	// Nodes is how many nodes there are, 1 to 5.
	Nodes int
	// Voters is how many of them, the first ones, found the group. The others
	// wait, with empty storage, to be added. 0: all.
	Voters int
	// MaxTerm is the highest term: at most 7. Nobody campaigns beyond it.
	MaxTerm int
	// MaxLog is the highest index, at most 7. A leader takes no proposal
	// beyond it; a state in which a new leader's first entry lies beyond it
	// is checked, and nothing is explored from there.
	MaxLog int
	// MaxProposals bounds the proposals on the way to a state, or Unlimited.
	MaxProposals int
	// MaxCrashes bounds the crashes on the way to a state, or Unlimited.
	MaxCrashes int
	// MaxTimeouts bounds the firings of election timers on the way to a
	// state, or Unlimited: terms are bounded by MaxTerm.
	MaxTimeouts int
	// MaxStepDowns bounds how often leaders find that no quorum answers, or
	// Unlimited.
	MaxStepDowns int
	// MaxRounds bounds the heartbeats of one leader in one term.
	MaxRounds int
	// MaxWrites is how many writes may be under way on a node: one with so
	// many takes no event but the completion of one, and a crash. With 0,
	// every write is complete at once, and a crash loses nothing.
	MaxWrites int
	// MaxChanges bounds the changes of the membership on the way to a state. A
	// change removes a member, or two, demotes one, adds a voter, or replaces
	// one by another. It takes up to three entries.
	MaxChanges int
	// MaxTransfers bounds the transfers of leadership on the way to a state.
	MaxTransfers int
	// MaxCompactions bounds the snapshots on the way to a state.
	MaxCompactions int
	// MaxDepth bounds the number of events on the way to a state; 0: none.
	MaxDepth int
	// MaxStates ends the exploration, incomplete, after so many; 0: none.
	MaxStates int
	// EntriesPerMessage bounds the entries of one message; 0 stands for 1.
	// Several messages may be on their way in either case.
	EntriesPerMessage int

	Start    Start
	Disk     Disk
	Symmetry Symmetry
}

// messageBytes is room for EntriesPerMessage entries, each of which the core
// takes for 64 bytes and its data, and not for one more.
func (o *Options) messageBytes() int { return 64*(max(o.EntriesPerMessage, 1)+1) - 1 }

// Validate returns an error that names the first bound out of range.
func (o *Options) Validate() error {
	for _, bound := range []struct {
		name            string
		value, min, max int
	}{
		{"Nodes", o.Nodes, 1, maxNodes},
		{"Voters", o.Voters, 0, o.Nodes},
		{"MaxChanges", o.MaxChanges, 0, 200},
		{"MaxTransfers", o.MaxTransfers, 0, 200},
		{"MaxTerm", o.MaxTerm, 1, maxTerm},
		{"MaxLog", o.MaxLog, 1, maxLog - maxTerm},
		{"MaxProposals", o.MaxProposals, Unlimited, 200},
		{"MaxCrashes", o.MaxCrashes, Unlimited, 200},
		{"MaxTimeouts", o.MaxTimeouts, Unlimited, 200},
		{"MaxStepDowns", o.MaxStepDowns, Unlimited, 200},
		{"MaxRounds", o.MaxRounds, 0, 200},
		{"MaxWrites", o.MaxWrites, 0, 200},
		{"MaxCompactions", o.MaxCompactions, 0, 200},
		{"EntriesPerMessage", o.EntriesPerMessage, 0, maxLog},
		{"MaxDepth", o.MaxDepth, 0, math.MaxInt},
		{"MaxStates", o.MaxStates, 0, math.MaxInt},
	} {
		if bound.value < bound.min || bound.value > bound.max {
			return fmt.Errorf("modelcheck: %s is %d, and must be in %d … %d", bound.name, bound.value, bound.min, bound.max)
		}
	}
	return nil
}

// Progress is how far a check is.
type Progress struct {
	States, Transitions int
	Depth               int // all states of fewer events have been explored
	Frontier            int // states of this depth that wait
	NodeStates          int // different states of a node so far
	Messages            int // different messages so far
	Elapsed             time.Duration
}

// Report is the outcome of a check.
type Report struct {
	Progress
	// Complete: every state within the bounds, MaxStates and MaxDepth among
	// them, has been explored.
	Complete bool
	// Violation is the shortest way to a broken invariant, nil if there is
	// none.
	Violation *Counterexample
}

// Counterexample is a way from the start to a state that must not be.
type Counterexample struct {
	// Broken says which invariant, and how.
	Broken string
	Events int
	// Transcript is one line for each event, and what came of it.
	Transcript []string
}

// Check explores every state within the bounds of o, or ends at the first
// violation, with ctx, or at o.MaxStates. It calls progress, if not nil, now
// and then. An error is a wrong option, or the context's; the report says how
// far it came.
func Check(ctx context.Context, o Options, progress func(Progress)) (Report, error) {
	if err := o.Validate(); err != nil {
		return Report{}, err
	}
	c := newChecker(o)
	report, err := c.run(ctx, progress)
	if err != nil && !errors.Is(err, errTooManyStates) {
		return report, fmt.Errorf("modelcheck: %w", err)
	}
	return report, nil
}

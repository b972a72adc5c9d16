package rafttest

import (
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bridge"
)

// call is a call of somebody outside, and how it ended.
type call struct {
	n       *node
	kind    callKind
	command []byte
	change  change
	to      raft.NodeID   // of a transfer
	applied raft.Index    // when a snapshot was asked for
	maxAge  time.Duration // of a stale read
	look    func() any    // reads the state machine, for a lease read or a stale one
	began   raft.Instant
	floor   uint64 // how many commands it must come after: those of calls that had ended before
	inner   bridge.Call
	ended   func(*call)

	done  bool
	count uint64 // of a success: the command's number; of a read, how many it has seen
	value any    // of a success: the command's result; of a read, what ended has put there
	err   error
	at    raft.Instant // when it ended
}

type callKind uint8

const (
	callProposal callKind = iota
	callRead
	callChange
	callTransfer
	callSnapshot
	callLeaseRead
	callStaleRead
)

// calls keeps account of all calls. Together with the ledger it decides whether
// the history is linearizable: the ledger's order is the order of the commands,
// and that it fits what the callers saw, real time included, is checked when a
// call ends.
type calls struct {
	e       *engine
	floor   uint64            // how many commands the calls that have ended have seen
	floors  []floor           // what that was, and when
	claimed map[uint64]bool   // numbers of commands that calls have ended with
	tally   map[string]*tally // by command
	order   []*tally
	open    []*call
	stats   callStats
}

// floor is how many commands calls had seen that had ended by an instant.
type floor struct {
	at    raft.Instant
	count uint64
}

// raise notes that a call ends that has seen so many commands.
func (c *calls) raise(count uint64) {
	if count > c.floor {
		c.floor = count
		c.floors = append(c.floors, floor{c.e.now, count})
	}
}

// floorAt returns what the floor was at an instant.
func (c *calls) floorAt(at raft.Instant) (count uint64) {
	after := sort.Search(len(c.floors), func(i int) bool { return c.floors[i].at > at })
	if after > 0 {
		count = c.floors[after-1].count
	}
	return count
}

// tally counts the proposals of one command.
type tally struct {
	command              string
	succeeded, uncertain int
	applied              int
}

type callStats struct {
	Proposed, Succeeded, Unknown, NotCommitted, Refused uint64
	Reads, ReadsFailed                                  uint64
	LeaseReads, StaleReads                              uint64 // of the Reads that succeeded
}

func (c *calls) init(e *engine) {
	c.e, c.claimed, c.tally = e, map[uint64]bool{}, map[string]*tally{}
}

func (c *calls) tallyOf(command []byte) *tally {
	t := c.tally[string(command)]
	if t == nil {
		t = &tally{command: string(command)}
		c.tally[t.command] = t
		c.order = append(c.order, t)
	}
	return t
}

// propose proposes a command on a node. ended, which may be nil, is called when
// the call has ended, also if it is at once.
func (e *engine) propose(n *node, command []byte, ended func(*call)) *call {
	e.calls.stats.Proposed++
	return e.begin(&call{n: n, command: command, ended: ended})
}

// read begins a read barrier on a node. When it has succeeded, ended may look at
// the node's state machine.
func (e *engine) read(n *node, ended func(*call)) *call {
	e.calls.stats.Reads++
	return e.begin(&call{n: n, kind: callRead, ended: ended})
}

// leaseRead begins a lease read on a node: look reads its state machine, perhaps
// twice.
func (e *engine) leaseRead(n *node, look func() any, ended func(*call)) *call {
	e.calls.stats.Reads++
	return e.begin(&call{n: n, kind: callLeaseRead, look: look, ended: ended})
}

// staleRead is leaseRead for a read of bounded age.
func (e *engine) staleRead(n *node, maxAge time.Duration, look func() any, ended func(*call)) *call {
	e.calls.stats.Reads++
	return e.begin(&call{n: n, kind: callStaleRead, maxAge: maxAge, look: look, ended: ended})
}

func (e *engine) begin(c *call) *call {
	c.began, c.floor = e.now, e.calls.floor
	e.calls.open = append(e.calls.open, c)
	switch {
	case !c.n.alive():
		e.calls.end(c, nil, errDown)
	case c.n.paused:
		c.n.later(0, func() { e.hand(c) })
	default:
		e.hand(c)
		c.n.touched()
	}
	return c
}

// hand gives a call to the node.
func (e *engine) hand(c *call) {
	if c.done {
		return // its caller has given up meanwhile
	}
	var err error
	ended := func(value any, err error) {
		if !c.n.dying {
			e.calls.end(c, value, err)
		}
	}
	switch c.kind {
	case callProposal:
		c.inner, err = c.n.replica.Propose(c.command, ended)
	case callRead:
		c.inner, err = c.n.replica.ReadBarrier(ended)
	case callChange:
		c.inner, err = c.n.replica.ChangeMembership(c.change.asked, ended)
	case callTransfer:
		c.inner, err = c.n.replica.TransferLeadership(c.to, ended)
	case callSnapshot:
		err = c.handSnapshot(ended)
	case callLeaseRead:
		c.inner = c.n.replica.LeaseRead(c.lookNow, ended)
	case callStaleRead:
		c.inner, err = c.n.replica.StaleRead(c.maxAge, c.lookNow, ended)
	}
	if err != nil && !c.n.dying {
		e.calls.end(c, nil, err)
	}
}

// lookNow reads the state machine, and notes how much it has seen.
func (c *call) lookNow() any {
	c.count = c.n.machine.position().count
	return c.look()
}

func (c *call) reads() bool {
	return c.kind == callRead || c.kind == callLeaseRead || c.kind == callStaleRead
}

// giveUp is for a caller that waits no longer.
func (e *engine) giveUp(c *call, cause error) {
	switch {
	case c.done || !c.n.alive():
	case c.n.paused && c.inner != nil:
	case c.inner == nil: // not handed over yet
		e.calls.end(c, nil, fmt.Errorf("%w: %w", raft.ErrNotCommitted, cause))
	default:
		if err, given := c.inner.GiveUp(cause); given {
			e.calls.end(c, nil, err)
		}
	}
}

// crashed ends the calls on a node that has ended.
func (c *calls) crashed(n *node) {
	for _, open := range append([]*call(nil), c.open...) {
		switch {
		case open.n != n || open.done:
		case open.inner == nil:
			c.end(open, nil, errDown)
		default:
			c.end(open, nil, fmt.Errorf("%w: %w", raft.ErrOutcomeUnknown, errCrashed))
		}
	}
}

// end notes how a call has ended, and checks what can be checked now.
func (c *calls) end(open *call, value any, err error) {
	if open.done {
		c.e.fail("calls", "%s ends twice, with %v and %v", open, open.err, err)
		return
	}
	open.done, open.err, open.at = true, err, c.e.now
	for i := range c.open {
		if c.open[i] == open {
			c.open = append(c.open[:i], c.open[i+1:]...)
			break
		}
	}
	c.e.transcript.ended(open)
	switch {
	case open.kind == callChange:
		c.changeEnded(open)
	case open.kind == callTransfer:
		c.transferEnded(open)
	case open.kind == callSnapshot:
		c.snapshotEnded(open)
	case open.reads() && err == nil:
		open.value = value
		c.readEnded(open)
	case open.reads():
		c.stats.ReadsFailed++
	case err == nil:
		c.succeeded(open, value.(result))
	case isUnknown(err):
		c.stats.Unknown++
		c.tallyOf(open.command).uncertain++
		if errors.Is(err, raft.ErrNotCommitted) {
			c.e.fail("calls", "%s is both unknown and not committed: %v", open, err)
		}
	case errors.Is(err, raft.ErrNotCommitted):
		c.stats.NotCommitted++
		c.tallyOf(open.command)
	default:
		c.stats.Refused++
		c.tallyOf(open.command)
	}
	if open.ended != nil {
		open.ended(open)
	}
}

func (c *calls) succeeded(open *call, r result) {
	c.stats.Succeeded++
	open.count, open.value = r.count, r.value
	c.tallyOf(open.command).succeeded++
	switch command := c.e.ledger.records[r.count-1].command; {
	case string(command) != string(open.command):
		c.e.fail("calls", "%s gets the result of %q, at index %d", open, clip(command), c.e.ledger.at(r.count).index)
	case c.claimed[r.count]:
		c.e.fail("calls", "%s gets the result of another one, at index %d", open, c.e.ledger.at(r.count).index)
	case r.count <= open.floor:
		c.e.fail("linearizability", "%s takes effect as command %d, and before it began others had ended that saw %d", open, r.count, open.floor)
	}
	c.claimed[r.count] = true
	c.raise(r.count)
}

func (c *calls) readEnded(open *call) {
	floor := open.floor
	switch open.kind {
	case callRead:
		open.count = open.n.machine.position().count
	case callLeaseRead:
		c.stats.LeaseReads++
	case callStaleRead:
		c.stats.StaleReads++
		floor = c.floorAt(open.began.Add(-longestAge(open.maxAge)))
	}
	if open.count < floor {
		c.e.fail("linearizability", "%s sees %d commands, and in time before it others had ended that saw %d", open, open.count, floor)
	}
	c.raise(open.count)
}

// settle checks the outcomes against the ledger, once it is known to hold all
// that was ever acknowledged: a command whose proposers were told that it is
// not committed is not in it.
func (c *calls) settle() {
	for i := range c.e.ledger.records {
		r := &c.e.ledger.records[i]
		c.tallyOf(r.command).applied++
	}
	for _, t := range c.order {
		switch {
		case t.applied < t.succeeded:
			c.e.fail("calls", "%q was acknowledged %d times, and is in the log %d times", clip([]byte(t.command)), t.succeeded, t.applied)
		case t.applied > t.succeeded+t.uncertain:
			c.e.fail("calls", "%q is in the log %d times; of its proposals %d succeeded, %d ended without knowing, and the others were told that it is not committed",
				clip([]byte(t.command)), t.applied, t.succeeded, t.uncertain)
		}
		t.applied = 0
	}
}

func (c *call) String() string {
	switch c.kind {
	case callRead:
		return fmt.Sprintf("a read on node %d, begun at %v,", c.n.id, time.Duration(c.began))
	case callLeaseRead:
		return fmt.Sprintf("a lease read on node %d, begun at %v,", c.n.id, time.Duration(c.began))
	case callStaleRead:
		return fmt.Sprintf("a stale read of at most %v on node %d, begun at %v,", c.maxAge, c.n.id, time.Duration(c.began))
	case callChange:
		return fmt.Sprintf("a change of the membership%s on node %d, begun at %v,", c.change.words(), c.n.id, time.Duration(c.began))
	case callTransfer:
		return fmt.Sprintf("a transfer to node %d on node %d, begun at %v,", c.to, c.n.id, time.Duration(c.began))
	case callSnapshot:
		return fmt.Sprintf("the call for a snapshot on node %d, begun at %v,", c.n.id, time.Duration(c.began))
	}
	return fmt.Sprintf("the proposal of %q on node %d, begun at %v,", clip(c.command), c.n.id, time.Duration(c.began))
}

var errGivenUp = errors.New("rafttest: the client has given up")

// isUnknown says that a proposal may have been committed, or may yet be.
func isUnknown(err error) bool { return errors.Is(err, raft.ErrOutcomeUnknown) }

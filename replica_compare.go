package raft

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Comparison of the state machines, see Config.CompareStateEvery.
//
// A leader whose replicas have applied enough commands appends a request. A
// replica that applies the request, which ends a batch, hashes its state, and
// proposes the hash as an entry like any other. So all see the same answers, in
// the same order, and come to the same conclusion about a request: whoever's
// answer is not that of a majority of all voters has diverged.
//
// Nothing waits for an answer. One that does not come, since its replica was
// down, has restored a snapshot that covers the request, or had no room, is not
// missed. What stands in the log of an earlier run is passed over, since that
// has been concluded already.

// comparison is where a replica stands with that.
type comparison struct {
	after    Index  // up to here the log is of earlier runs
	commands uint64 // applied since the last request
	asked    Term   // in which this leader has made a request that has not been applied yet
	requests []compared
}

// maxCompared is how many requests are remembered. Answers to older ones are
// not looked at.
const maxCompared = 4

// compared is a request, with the answers so far.
type compared struct {
	index   Index
	answers []stateHash
}

// stateHash is the answer of a node.
type stateHash struct {
	node     NodeID
	hash     uint64
	reported bool
}

// DivergedError says that this replica's state machine was in another state
// than those of a majority of the voters, after the same commands: it does
// not depend on the commands alone, or its memory or its disk was damaged. The
// replica has stopped, since what it answers may be wrong. It is an ErrDiverged.
//
// What it has stored may be wrong as well. Take it away, the state machine's own
// storage included, and start the node again, empty and without Bootstrap.
type DivergedError struct {
	Index    Index // after which the states were compared
	Own      uint64
	Majority uint64
}

func (e *DivergedError) Error() string {
	return fmt.Sprintf("raft: state machine has diverged: after entry %d the hash of its state is %016x, and that of a majority %016x: start the node again with empty storage and without Bootstrap",
		e.Index, e.Own, e.Majority)
}

// Is reports that a DivergedError is an ErrDiverged.
func (e *DivergedError) Is(target error) bool { return target == ErrDiverged }

// pushCommitted queues what is to be applied, so that a request for the hash of
// the state ends a task.
func (r *replica) pushCommitted(entries []Entry) {
	for len(entries) > 0 {
		n := 1 + slices.IndexFunc(entries, func(e Entry) bool { return r.requestsHash(&e) })
		if n == 0 {
			n = len(entries)
		}
		r.apply.push(task{kind: taskApply, entries: entries[:n:n], hash: r.requestsHash(&entries[n-1])})
		entries = entries[n:]
	}
}

// requestsHash reports whether e asks for a hash, and not an earlier run.
func (r *replica) requestsHash(e *Entry) bool {
	return e.Type == EntryStateHash && len(e.Data) == 0 && e.Index > r.compare.after
}

// stateHashApplied takes a request or an answer that comes next in the log. The
// error is that this replica's state machine has diverged.
func (r *replica) stateHashApplied(e *Entry, t *task) error {
	c := &r.compare
	switch {
	case e.Index <= c.after:
	case len(e.Data) == 0:
		if len(c.requests) == maxCompared {
			c.requests = slices.Delete(c.requests, 0, 1)
		}
		c.requests = append(c.requests, compared{index: e.Index})
		c.commands, c.asked = 0, 0
		if t.hashed {
			answer := binary.BigEndian.AppendUint64(nil, uint64(e.Index))
			r.proposeStateHash(binary.BigEndian.AppendUint64(answer, t.stateHash))
		}
	case len(e.Data) == 16:
		index, hash := Index(binary.BigEndian.Uint64(e.Data)), binary.BigEndian.Uint64(e.Data[8:])
		i := slices.IndexFunc(c.requests, func(q compared) bool { return q.index == index })
		if i < 0 {
			return nil
		}
		return r.compareAnswer(&c.requests[i], stateHash{node: e.Origin.Node, hash: hash}, &r.core.members.committed(e.Index).Membership)
	}
	return nil
}

// compareAnswer counts an answer, the first of its node. Learners' answers are
// compared with those of the voters, and make no majority.
func (r *replica) compareAnswer(q *compared, answer stateHash, m *Membership) error {
	if !isMember(m, answer.node) || slices.ContainsFunc(q.answers, func(a stateHash) bool { return a.node == answer.node }) {
		return nil
	}
	q.answers = append(q.answers, answer)
	voters, silent := 0, 0
	for i := range m.Members {
		if id := m.Members[i].ID; isVoter(m, id) {
			voters++
			if !slices.ContainsFunc(q.answers, func(a stateHash) bool { return a.node == id }) {
				silent++
			}
		}
	}
	most, votes := mostCommon(q.answers, m)
	switch {
	case 2*votes > voters:
		return r.reportDiverged(q, func(a *stateHash) bool { return a.hash != most }, most, "differs from that of a majority")
	case 2*(votes+silent) <= voters:
		_ = r.reportDiverged(q, func(*stateHash) bool { return true }, answer.hash, "no majority has the same")
	}
	return nil
}

// mostCommon returns the hash that most voters have answered, and how many. Of
// several it is the one that came first.
func mostCommon(answers []stateHash, m *Membership) (most uint64, votes int) {
	for i := range answers {
		same := 0
		for j := range answers {
			if answers[j].hash == answers[i].hash && isVoter(m, answers[j].node) {
				same++
			}
		}
		if same > votes {
			most, votes = answers[i].hash, same
		}
	}
	return most, votes
}

// reportDiverged names those who have diverged, each once. The error says that
// this replica has, by the hash that a majority has.
func (r *replica) reportDiverged(q *compared, diverged func(*stateHash) bool, majority uint64, reason string) (err error) {
	for i := range q.answers {
		a := &q.answers[i]
		if a.reported || !diverged(a) {
			continue
		}
		a.reported = true
		r.event(Event{Kind: EventDiverged, Peer: a.node, Index: q.index, Reason: fmt.Sprintf("its hash, %016x, %s", a.hash, reason)})
		if a.node == r.cfg.ID && a.hash != majority {
			err = &DivergedError{Index: q.index, Own: a.hash, Majority: majority}
		}
	}
	return err
}

// askStateHash makes a request, on a leader, when enough has been applied since
// the last one.
func (r *replica) askStateHash() {
	c, every := &r.compare, r.cfg.CompareStateEvery
	if every == 0 || c.commands < every || r.core.Role() != Leader || c.asked == r.core.Term() {
		return
	}
	if r.proposeStateHash(nil) {
		c.asked = r.core.Term()
	}
}

// proposeStateHash proposes an entry of this replica's own, for whose end nobody
// waits, if there is room.
func (r *replica) proposeStateHash(data []byte) bool {
	f := &future{kind: EntryStateHash}
	f.command(data)
	p := &r.proposals
	size := len(data) + proposalOverhead
	if r.closing || p.bytes > 0 && p.bytes+size > r.cfg.MaxPendingBytes {
		return false
	}
	p.bytes += size
	p.waitingBytes += len(data)
	p.waiting.push(f)
	return true
}

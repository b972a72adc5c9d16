// Package invariant checks that the cores of one group keep the rules of Raft,
// after every step, on their inner state and on everything that they hand out.
//
// A Checker is told of every event: a node starts, a step has been taken, a
// write has become durable, a node has crashed. From these it keeps a model of
// its own: what each node's log and disk hold, as runs of terms; what each term
// is about, namely who led it, the entries that it appended and the votes in
// it; and what is committed. It takes time in proportion to what an event
// changed, never to the length of a log: an index and a term name one entry
// and, by induction over the entry before it, one log up to there, so that two
// logs are compared by the term of a single entry.
//
// It depends on no implementation: the tests of package raft, the simulators
// and the model checker tell it what they do.
package invariant

import (
	"github.com/seed-6281cb22/raft/internal/bridge"
	"github.com/seed-6281cb22/raft/raftpb"
)

// Run says that the entries from First on, up to the next run or the end of
// the log, have Term.
type Run struct {
	First raftpb.Index
	Term  raftpb.Term
}

// State is what a node starts from: what its storage has loaded.
type State struct {
	HardState                  raftpb.HardState
	SnapshotIndex, First, Last raftpb.Index
	SnapshotTerm               raftpb.Term
	Runs                       []Run
	// Entries, of a node that is new to the Checker, are what of its log is
	// known; what is not is taken for what the first node says that shows it.
	Entries []raftpb.Entry
}

// Write is what a node has handed to its storage: raft.Write.
type Write struct {
	Seq       uint64 // 0: nothing
	HardState raftpb.HardState
	Snapshot  *raftpb.Snapshot
	Entries   []raftpb.Entry
}

// Step is one step of a node: it was given something, or several things, and
// its Ready has been taken and with it all that it had to say.
type Step struct {
	// Delivered is the message that it was given, and Ticked says that it was
	// a tick instead. They are unset where it was given several things.
	Delivered *raftpb.Message
	Ticked    bool

	View *bridge.View // after Ready

	// What Ready returned.
	Write     Write
	Messages  []raftpb.Message
	Committed []raftpb.Entry
	Restore   *raftpb.Snapshot
}

// Checker knows the history of one group. The zero Checker is ready to use. It
// is not safe for concurrent use.
type Checker struct {
	violation *Violation
	nodes     []node
	terms     []termFacts // ascending

	committed runs // the log that is committed, anywhere
	// commits says in which leader's term the committed log grew up to where,
	// ascending.
	commits []Run
}

// node is what the Checker knows of one node. It survives the node's crashes.
type node struct {
	id raftpb.NodeID
	up bool

	// What its disk holds, and what it has been given and does not hold yet.
	known         bool // it has been started, with this disk, before
	hard          raftpb.HardState
	disk          runs
	snapshotIndex raftpb.Index // of the newest snapshot that is committed there
	writes        []write
	// wipedIn is the highest term that had begun when the disk was last lost;
	// what others believe of it in a term up to this one may be gone.
	wipedIn raftpb.Term

	marked bool // its durable mark, as of the step before

	// What it has in memory.
	log                   runs
	first                 bool // no step has been seen since it started
	before                glance
	matches               []match
	applied               raftpb.Index
	reads                 []read
	largest, largestEntry int // bytes of the largest write, and of its largest entry
	// foundingIn is the last term in which it could found a cluster.
	foundingIn raftpb.Term
}

// glance is what is kept of the View after the step before.
type glance struct {
	role                            bridge.Role
	term                            raftpb.Term
	vote                            raftpb.NodeID
	unmarked                        bool
	commit, last, durable, verified raftpb.Index
	deadline                        int64
}

// founder reports whether a node might found a cluster: it is marked, and has
// held nothing.
func (g *glance) founder() bool { return !g.unmarked && g.last == 0 && g.vote == 0 }

// match is what a leader believed of a peer after the step before.
type match struct {
	peer  raftpb.NodeID
	index raftpb.Index
	// window is the largest that the peer has told of, or, before it has told
	// of one, what the leader assumes.
	window uint64
	told   bool
}

// read is a read that has not been answered.
type read struct {
	id    uint64
	floor raftpb.Index // what was committed when it began
}

// Reset forgets everything, and keeps the memory.
func (c *Checker) Reset() {
	for i := range c.nodes {
		n := &c.nodes[i]
		*n = node{
			disk: n.disk.empty(), log: n.log.empty(), writes: n.writes[:0], matches: n.matches[:0], reads: n.reads[:0],
		}
	}
	for i := range c.terms {
		f := &c.terms[i]
		*f = termFacts{contents: f.contents[:0], votes: f.votes[:0], acks: f.acks[:0]}
	}
	*c = Checker{nodes: c.nodes[:0], terms: c.terms[:0], committed: c.committed.empty(), commits: c.commits[:0]}
}

// Err returns the first violation, a *Violation, or nil.
func (c *Checker) Err() error {
	if c.violation == nil {
		return nil
	}
	return c.violation
}

// Committed returns the highest index that is committed.
func (c *Checker) Committed() raftpb.Index { return c.committed.last }

// node returns what is known of a node, which is nothing if it is new.
func (c *Checker) node(id raftpb.NodeID) *node {
	if n := c.find(id); n != nil {
		return n
	}
	if len(c.nodes) < cap(c.nodes) {
		c.nodes = c.nodes[:len(c.nodes)+1] // with its memory, see Reset
	} else {
		c.nodes = append(c.nodes, node{})
	}
	n := &c.nodes[len(c.nodes)-1]
	n.id = id
	return n
}

// find returns what is known of a node, nil if it is new.
func (c *Checker) find(id raftpb.NodeID) *node {
	if i := int(id) - 1; i >= 0 && i < len(c.nodes) && c.nodes[i].id == id {
		return &c.nodes[i] // nearly always
	}
	for i := range c.nodes {
		if c.nodes[i].id == id {
			return &c.nodes[i]
		}
	}
	return nil
}

// Stepped checks a step. It is to be told of every one, in their order.
func (c *Checker) Stepped(s *Step) {
	n, v := c.node(s.View.ID), s.View
	c.checkTransition(n, s)
	if s.Write.Seq != 0 {
		c.takeWrite(n, v, &s.Write)
	}
	c.checkLog(n, v)
	if v.Role == bridge.Leader {
		c.checkLeader(n, v)
	}
	if v.Commit > n.before.commit {
		c.commitAdvanced(n, v)
	}
	for i := range s.Messages {
		c.checkMessage(n, v, &s.Messages[i])
	}
	if len(s.Committed) > 0 {
		c.checkApply(n, v, s.Committed)
	}
	if s.Restore != nil {
		c.checkRestore(n, s.Restore)
	}
	c.checkBounds(n, v)
	n.first, n.marked = false, !n.hard.Unmarked
	n.before = glance{
		role: v.Role, term: v.Term, vote: v.Vote, unmarked: v.Unmarked, commit: v.Commit, last: v.Last,
		durable: v.Durable, verified: v.Verified, deadline: v.Deadline,
	}
	if n.before.founder() {
		n.foundingIn = v.Term
	}
}

// checkTransition: what may change from one state to the next.
func (c *Checker) checkTransition(n *node, s *Step) {
	v, b := s.View, &n.before
	switch {
	case !n.up:
		c.fail(Harness, n, "a step of a node that is not up")
	case v.Term < b.term:
		c.fail(Monotonic, n, "term %d after %d", v.Term, b.term)
	case v.Commit < b.commit:
		c.fail(Monotonic, n, "commit index %d after %d", v.Commit, b.commit)
	case v.Term == b.term && b.vote != 0 && v.Vote != b.vote:
		c.fail(VoteOnce, n, "its vote in term %d goes from %d to %d", v.Term, b.vote, v.Vote)
	case v.Term == b.term && b.role == bridge.Leader && v.Role != bridge.Leader && v.Role != bridge.Follower:
		c.fail(ElectionSafety, n, "a leader campaigns in its own term %d", v.Term)
	}
	if n.first {
		return
	}
	if s.Ticked && b.deadline <= v.Now && v.Deadline <= v.Now && !v.Stopped {
		c.fail(Deadline, n, "a tick at its deadline %d leaves it at %d", b.deadline, v.Deadline)
	}
	if m := s.Delivered; m != nil && m.Type == raftpb.PreVote && (v.Term != b.term || v.Vote != b.vote || v.Role != b.role) {
		c.fail(PreVoteChangesNothing, n, "a pre-vote takes it from term %d, vote %d, to term %d, vote %d",
			b.term, b.vote, v.Term, v.Vote)
	}
	if v.Unmarked && !b.unmarked {
		c.checkUnmarked(n, s)
	}
}

// checkUnmarked: a mark ends with the first vote of a founder, or when the
// leader says so of an entry that is durable here and committed.
func (c *Checker) checkUnmarked(n *node, s *Step) {
	v, b, m := s.View, &n.before, s.Delivered
	if b.founder() && v.Vote != 0 {
		return
	}
	if m == nil {
		if s.Ticked {
			c.fail(Mark, n, "its mark ends with a tick")
		}
		return // several things happened
	}
	t, known := c.termInLogOf(v.Term, m.Unmark)
	if m.Type != raftpb.AppendEntries || m.Unmark == 0 || m.Unmark > c.committed.last || !known || !n.holds(m.Unmark, t) {
		c.fail(Mark, n, "its mark ends with a %v of unmark %d, durable is %d, committed %d",
			m.Type, m.Unmark, n.disk.last, c.committed.last)
	}
}

// ReadBegun says that node was asked for an index to read at.
func (c *Checker) ReadBegun(id raftpb.NodeID, readID uint64) {
	n := c.node(id)
	n.reads = append(n.reads, read{readID, c.committed.last})
}

// ReadAnswered checks a read that was answered with an index, and forgets it.
// Answers that nobody waits for any more are no answers.
func (c *Checker) ReadAnswered(id raftpb.NodeID, readID uint64, index raftpb.Index) {
	n := c.node(id)
	for i := range n.reads {
		if n.reads[i].id != readID {
			continue
		}
		if floor := n.reads[i].floor; index < floor {
			c.fail(ReadLinearizable, n, "read %d at %d, and %d was committed when it began", readID, index, floor)
		}
		if index > c.committed.last {
			c.fail(ReadLinearizable, n, "read %d at %d, and %d is committed", readID, index, c.committed.last)
		}
		c.forgetRead(n, i)
		return
	}
}

// ReadFailed says that a read has ended without an answer.
func (c *Checker) ReadFailed(id raftpb.NodeID, readID uint64) {
	n := c.node(id)
	for i := range n.reads {
		if n.reads[i].id == readID {
			c.forgetRead(n, i)
			return
		}
	}
}

func (c *Checker) forgetRead(n *node, i int) {
	last := len(n.reads) - 1
	n.reads[i] = n.reads[last]
	n.reads = n.reads[:last]
}

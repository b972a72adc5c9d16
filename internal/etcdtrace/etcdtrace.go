// Package etcdtrace writes a simulated run of bare cores in the form that the
// TLA+ trace specification of etcd-io/raft reads, so that a specification that
// nobody here wrote can judge our runs. docs/trace.md says how to run it, what
// it can judge and what it cannot.
//
// A Recorder watches the run: it is told of every input of every core and of
// what Ready handed out after it, in the simulation's order, which is the
// trace's. When the run is over, WriteTo writes the lines.
//
// The specification describes another implementation, so what the recorder
// writes is a mapping of our steps to its steps. It shows each node's term,
// vote, log and commit index as the core has them, and chooses only which of
// the specification's steps lead there. A run that breaks the specification's
// rules gives a trace that the specification refuses, not a trace that hides it.
// The differences, and how they are mapped:
//
//   - The specification persists everything at Ready, at once, and only then
//     sends. Our writes are under way while messages go out. A Ready stands
//     where a write was handed out, if that write became durable, or where a
//     leader sent something that was received: a leader sends its entries
//     before its own disk has them (dissertation §10.2.1). A crash that then
//     loses them has no counterpart, and the recording ends there; Revealed
//     tells the simulation which writes to spare.
//   - Our acknowledgements speak of what is durable and verified, whichever
//     messages brought it; the specification's answer one message each. An
//     acknowledgement that raises the leader's match index is shown as the
//     answer to the message that ended at its index. The others are left out,
//     as if lost; and so is one without such an answer, which can only speak of
//     entries of earlier terms, that are not committed by counting.
//   - Our AppendEntries without entries starts from what the follower has
//     acknowledged and lets it commit all that it has verified; one below the
//     follower's commit index brings entries all the same; one that does not
//     fit is taken in part. The specification's does none of these, but its
//     leader may send any range of its log at any time: the message is shown
//     with the range that does the same to the follower. A message that is
//     delivered twice is shown as sent twice.
//   - The specification knows no pre-vote and no read. Their messages are left
//     out. A term that a node has only heard of in one of them is not shown
//     before it takes part in it: until then it is a follower in its old term.
//     A candidate's term is reached through as many candidacies as needed.
//   - The specification's Ready persists the commit index; here only a write
//     carries it. After a restart a node is shown with the commit index that
//     the specification remembers.
//
// Snapshots, changes of the membership and storage that is, or becomes, marked
// have no counterpart: the recording ends at the first one.
package etcdtrace

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
)

// Core is what the recorder asks of a core after an input. *raft.Raft is one.
type Core interface {
	Role() raft.Role
	Term() raft.Term
	Commit() raft.Index
}

// Recorder records a run. Its methods are called in the order of the run, one
// for each input, after Ready has been drained once.
type Recorder struct {
	voters  []raft.NodeID
	nodes   []*node // as voters
	items   []item
	mark    int // where the items of the input begin
	appends map[appendKey][]*appendSent
	asked   map[askKey]*voteAsked
	answers map[answerKey][]*answer
	ended   string
}

// item is a piece of the trace that may come to be lines. Which ones is known
// at the end only: what was received decides how its sending is shown.
type item interface {
	lines(to []event) []event
}

func (e event) lines(to []event) []event { return append(to, e) }

// New returns a recorder of a run of the given voters, none of which has
// started.
func New(voters ...raft.NodeID) *Recorder {
	r := &Recorder{
		voters:  slices.Sorted(slices.Values(voters)),
		appends: map[appendKey][]*appendSent{}, asked: map[askKey]*voteAsked{}, answers: map[answerKey][]*answer{},
	}
	for _, id := range r.voters {
		r.nodes = append(r.nodes, &node{id: id, match: make([]raft.Index, len(voters)), answered: make([]bool, len(voters))})
	}
	return r
}

// Started says that a node has started, or restarted, from s: what raft.New
// was given. At first all nodes must be started, before any other input, from
// empty, unmarked storage.
func (r *Recorder) Started(id raft.NodeID, s raft.State) {
	n := r.node(id)
	switch {
	case n == nil:
		return
	case !s.HardState.Unmarked:
		r.end("node %d starts from marked storage", id)
		return
	case s.Snapshot.Index != 0:
		r.end("node %d starts from a snapshot", id)
		return
	case n.life == nil && s.Last != 0:
		r.end("node %d has a log when the run begins", id)
		return
	}
	n.start(&s)
	r.show(n, initState, nil)
	r.mark = len(r.items)
}

// Received says that a node has stepped m.
func (r *Recorder) Received(id raft.NodeID, m *raft.Message, core Core, rd *raft.Ready) {
	n := r.node(id)
	if n == nil {
		return
	}
	switch m.Type {
	case raftpb.RequestVote:
		r.receiveRequestVote(n, m)
	case raftpb.RequestVoteReply:
		r.receiveRequestVoteReply(n, m)
	case raftpb.AppendEntries:
		r.receiveAppendEntries(n, m, core, rd)
	case raftpb.AppendEntriesReply:
		r.receiveAppendEntriesReply(n, m)
	case raftpb.InstallSnapshot:
		r.end("node %d receives a snapshot", id)
	}
	r.settle(n, core, rd)
}

// Persisted says that a node was told that its writes up to seq are durable.
func (r *Recorder) Persisted(id raft.NodeID, seq uint64, core Core, rd *raft.Ready) {
	n := r.node(id)
	if n == nil {
		return
	}
	n.life.persisted(seq)
	r.hearSelf(n)
	r.settle(n, core, rd)
}

// Stepped tells of any other input: a tick, a proposal, and so on.
func (r *Recorder) Stepped(id raft.NodeID, core Core, rd *raft.Ready) {
	if n := r.node(id); n != nil {
		r.settle(n, core, rd)
	}
}

// Crashed says that a node has crashed, and that of the writes that it handed
// out those up to seq have survived.
func (r *Recorder) Crashed(id raft.NodeID, seq uint64) {
	n := r.node(id)
	if n == nil {
		return
	}
	// A disk that loses what it has called durable is no excuse.
	if !n.crash(max(seq, n.life.durable)) {
		r.end("node %d loses, in a crash, what others have received from it", id)
	}
}

// Revealed returns the newest write of a node that must survive a crash, as a
// write that is not durable yet may, if the recording is to go on after it:
// others have received what was sent together with it.
func (r *Recorder) Revealed(id raft.NodeID) uint64 {
	if n := r.node(id); n != nil && n.life != nil {
		return n.life.revealed()
	}
	return 0
}

// Ended returns why the recording has ended before the run, "" if it has not.
func (r *Recorder) Ended() string { return r.ended }

// WriteTo writes the trace, one JSON object a line.
func (r *Recorder) WriteTo(w io.Writer) (int64, error) {
	counter := &counting{w: w}
	buffer := bufio.NewWriter(counter)
	encoder := json.NewEncoder(buffer)
	for i, e := range r.events() {
		if err := encoder.Encode(line{Tag: "trace", Time: firstTime + i, Event: e}); err != nil {
			return counter.n, fmt.Errorf("etcdtrace: %w", err)
		}
	}
	if err := buffer.Flush(); err != nil {
		return counter.n, fmt.Errorf("etcdtrace: %w", err)
	}
	return counter.n, nil
}

type counting struct {
	w io.Writer
	n int64
}

func (c *counting) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (r *Recorder) events() []event {
	var all []event
	for _, it := range r.items {
		all = it.lines(all)
	}
	return all
}

// node returns the node id, nil if there is nothing to record any more.
func (r *Recorder) node(id raft.NodeID) *node {
	i := slices.Index(r.voters, id)
	if r.ended != "" || i < 0 {
		return nil
	}
	return r.nodes[i]
}

func (r *Recorder) position(id raft.NodeID) int { return slices.Index(r.voters, id) }

func (r *Recorder) end(format string, args ...any) {
	if r.ended == "" {
		r.ended = fmt.Sprintf(format, args...)
	}
}

// show adds a line with the state that n has now.
func (r *Recorder) show(n *node, what string, m *message) {
	r.items = append(r.items, r.event(n, what, m))
}

func (r *Recorder) event(n *node, what string, m *message) event {
	conf := [2][]string{{}, {}}
	for _, id := range r.voters {
		conf[0] = append(conf[0], name(id))
	}
	return event{
		Name:  what,
		Node:  name(n.id),
		State: state{Term: uint64(n.term), Vote: name(n.vote), Commit: uint64(n.commit)},
		Role:  roleName(n.role),
		Log:   uint64(len(n.log)),
		Conf:  conf, Message: m,
	}
}

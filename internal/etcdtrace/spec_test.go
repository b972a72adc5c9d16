package etcdtrace

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// spec is a checker of traces: what the specification allows a node to do, in
// our own words, and the invariants that it states. It stands in for TLC,
// which is not at hand where these tests run, and knows nothing of the
// recorder but the lines that it has written. Of the invariants it leaves out
// MoreUpToDateCorrectInv, and mends LeaderCompletenessInv: correct runs break
// them (docs/trace.md).
//
// Each line names an action. It must be enabled in the state that the lines
// before have led to, and lead to the state that the line states; a line that
// says that a node has received something states the state before.
type spec struct {
	nodes   map[string]*specNode
	names   []string            // the configuration
	pending map[specMessage]int // sent, and not released by a Ready
	network map[specMessage]int
	entries map[specMessage][]uint64 // that an AppendEntries brings: their terms
	// committedIn are the terms in which the entries, by index-1, were first
	// committed.
	committedIn []uint64
}

type specNode struct {
	persistent
	role     string
	answered map[string]bool
	granted  map[string]bool
	match    map[string]uint64
	durable  persistent
}

type persistent struct {
	term   uint64
	vote   string
	log    []uint64 // terms
	commit uint64
}

// specMessage is all that the specification has in a message.
type specMessage struct {
	kind, from, to string
	term           uint64
	// An AppendEntries: index and logTerm are of the previous entry. A
	// request for a vote: of the candidate's last one. An acknowledgement:
	// index is what it acknowledges.
	index, logTerm uint64
	entries        int
	commit         uint64
	reject         bool
}

// checkTrace returns what is wrong with a trace, nil if it is allowed.
func checkTrace(events []event) error {
	s := &spec{nodes: map[string]*specNode{}, pending: map[specMessage]int{}, network: map[specMessage]int{}, entries: map[specMessage][]uint64{}}
	first := map[int]bool{} // the lines that state what the nodes begin with
	for i, e := range events {
		if s.nodes[e.Node] == nil {
			if err := s.begin(&e); err != nil {
				return fmt.Errorf("line %d: %w", i+1, err)
			}
			first[i] = true
		}
	}
	for i, e := range events {
		if first[i] {
			continue
		}
		n := s.nodes[e.Node]
		log, commit, role := n.log, n.commit, n.role
		err := s.step(&e)
		if err == nil && (n.commit != commit || n.role != role || !slices.Equal(log, n.log)) {
			err = s.invariants(n, len(n.log) < len(log) || !slices.Equal(n.log[:len(log)], log))
		}
		if err != nil {
			return fmt.Errorf("line %d: %s: %w", i+1, describe(e), err)
		}
	}
	return nil
}

func (s *spec) step(e *event) error {
	n := s.nodes[e.Node]
	if !slices.Equal(e.Conf[0], s.names) || len(e.Conf[1]) != 0 {
		return fmt.Errorf("configuration %v", e.Conf)
	}
	if strings.HasPrefix(e.Name, "Receive") {
		if err := n.is(e); err != nil {
			return fmt.Errorf("before: %w", err)
		}
		return s.receive(n, e)
	}
	if err := s.act(n, e); err != nil {
		return err
	}
	if err := n.is(e); err != nil {
		return fmt.Errorf("after: %w", err)
	}
	return nil
}

// begin takes what a node begins with from its first line.
func (s *spec) begin(e *event) error {
	if e.Name != initState || e.Log != 0 {
		return fmt.Errorf("first line of node %s", e.Node)
	}
	p := persistent{term: e.State.Term, vote: e.State.Vote, commit: e.State.Commit}
	s.nodes[e.Node] = &specNode{persistent: p, durable: p, role: e.Role}
	s.names = e.Conf[0]
	return nil
}

// is compares the state with the one that the line states.
func (n *specNode) is(e *event) error {
	for _, c := range []struct {
		what      string
		want, has any
	}{
		{"term", n.term, e.State.Term}, {"vote", n.vote, e.State.Vote}, {"commit", n.commit, e.State.Commit},
		{"role", n.role, e.Role}, {"log", uint64(len(n.log)), e.Log},
	} {
		if c.want != c.has {
			return fmt.Errorf("%s is %v, the line says %v", c.what, c.want, c.has)
		}
	}
	return nil
}

func demand(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

func (s *spec) act(n *specNode, e *event) error {
	self := e.Node
	switch e.Name {
	case initState: // again: a restart
		n.persistent = n.durable
		n.role, n.answered, n.granted, n.match = "StateFollower", nil, nil, nil
		maps.DeleteFunc(s.pending, func(m specMessage, _ int) bool { return m.from == self })
	case becomeCandidate:
		if err := demand(n.role != "StateLeader", "a leader campaigns"); err != nil {
			return err
		}
		n.role, n.term, n.vote = "StateCandidate", n.term+1, self
		n.answered, n.granted = map[string]bool{}, map[string]bool{}
	case becomeLeader:
		if err := demand(n.role == "StateCandidate" && s.quorum(len(n.granted)), "votes of %v", n.granted); err != nil {
			return err
		}
		n.role, n.match = "StateLeader", map[string]uint64{self: uint64(len(n.log))}
	case becomeFollower:
		if err := demand(n.role != "StateFollower", "is one already"); err != nil {
			return err
		}
		n.role = "StateFollower"
	case replicate:
		n.log = append(slices.Clip(n.log), n.term)
		return demand(n.role == "StateLeader", "not a leader")
	case commit:
		return s.advanceCommit(n)
	case ready:
		n.durable = n.persistent
		for m, k := range s.pending {
			if m.from == self {
				s.network[m] += k
				delete(s.pending, m)
			}
		}
	default:
		return s.send(n, e)
	}
	return nil
}

func (s *spec) quorum(k int) bool { return 2*k > len(s.names) }

// advanceCommit: to the highest index that a quorum has acknowledged, if that
// is of the leader's term.
func (s *spec) advanceCommit(n *specNode) error {
	for i := uint64(len(n.log)); i > n.commit; i-- {
		holders := 0
		for _, m := range n.match {
			if m >= i {
				holders++
			}
		}
		if s.quorum(holders) {
			if n.log[i-1] == n.term {
				n.commit = i
			}
			break
		}
	}
	for uint64(len(s.committedIn)) < n.commit {
		s.committedIn = append(s.committedIn, n.term)
	}
	return demand(n.role == "StateLeader", "not a leader")
}

func (s *spec) send(n *specNode, e *event) error {
	m := e.Message
	if m == nil || m.From != e.Node || m.Term != n.term || !slices.Contains(s.names, m.To) {
		return fmt.Errorf("not a message of this node and term, to a member")
	}
	switch e.Name {
	case sendRequestVoteRequest:
		if n.role != "StateCandidate" || n.answered[m.To] || m.To == m.From || m.Type != msgVote ||
			m.Index != uint64(len(n.log)) || m.LogTerm != n.lastTerm() {
			return fmt.Errorf("no such request")
		}
		s.pending[specMessage{kind: m.Type, from: m.From, to: m.To, term: m.Term, index: m.Index, logTerm: m.LogTerm}]++
	case sendRequestVoteResponse:
		if n.role != "StateCandidate" || n.answered[m.To] || m.To != m.From || m.Reject || m.Type != msgVoteResp {
			return fmt.Errorf("no such vote")
		}
		s.pending[specMessage{kind: m.Type, from: m.From, to: m.To, term: m.Term}]++
	case sendAppendEntriesResponse:
		if n.role != "StateLeader" || m.To != m.From || m.Reject || m.Index != uint64(len(n.log)) || m.Type != msgAppResp {
			return fmt.Errorf("no such acknowledgement")
		}
		s.pending[specMessage{kind: m.Type, from: m.From, to: m.To, term: m.Term, index: m.Index}]++
	case sendAppendEntriesRequest:
		end := m.Index + uint64(m.Entries)
		if n.role != "StateLeader" || m.To == m.From || m.Type != msgApp || m.Index < n.match[m.To] ||
			end > uint64(len(n.log)) || m.LogTerm != n.termAt(m.Index) || m.Commit != min(n.commit, end) {
			return fmt.Errorf("no such range")
		}
		key, entries := keyOfMessage(m), n.log[m.Index:end]
		if before, ok := s.entries[key]; ok && !slices.Equal(before, entries) {
			return fmt.Errorf("the leader's log has changed")
		}
		s.entries[key] = slices.Clone(entries)
		s.pending[key]++
	default:
		return fmt.Errorf("unknown event")
	}
	return nil
}

func keyOfMessage(m *message) specMessage {
	return specMessage{
		kind: m.Type, from: m.From, to: m.To, term: m.Term, index: m.Index, logTerm: m.LogTerm,
		entries: m.Entries, commit: m.Commit, reject: m.Reject,
	}
}

func (n *specNode) termAt(i uint64) uint64 {
	if i == 0 || i > uint64(len(n.log)) {
		return 0
	}
	return n.log[i-1]
}

func (n *specNode) lastTerm() uint64 { return n.termAt(uint64(len(n.log))) }

// receive finds the message in the network, and handles it.
func (s *spec) receive(n *specNode, e *event) error {
	m := e.Message
	if m == nil || m.To != e.Node {
		return fmt.Errorf("not a message for this node")
	}
	names := map[string]string{
		msgVote: receiveRequestVoteRequest, msgVoteResp: receiveRequestVoteResponse,
		msgApp: receiveAppendEntriesRequest, msgAppResp: receiveAppendEntriesResponse,
	}
	if names[m.Type] != e.Name {
		return fmt.Errorf("message of type %s", m.Type)
	}
	message := keyOfMessage(m)
	if s.network[message] == 0 {
		return fmt.Errorf("no such message is on its way")
	}
	s.network[message]--
	if message.term > n.term {
		n.term, n.vote, n.role = message.term, "0", "StateFollower"
	}
	switch {
	case message.kind == msgVote:
		s.vote(n, message)
	case message.kind == msgApp:
		return s.appendEntries(n, message)
	case message.term < n.term:
	case message.kind == msgVoteResp:
		if n.answered != nil {
			n.answered[message.from] = true
		}
		if n.granted != nil && !message.reject {
			n.granted[message.from] = true
		}
	case !message.reject && n.match != nil:
		n.match[message.from] = max(n.match[message.from], message.index)
	}
	return nil
}

func (s *spec) reply(m specMessage, kind string, term, index uint64, reject bool) {
	s.pending[specMessage{kind: kind, from: m.to, to: m.from, term: term, index: index, reject: reject}]++
}

func (s *spec) vote(n *specNode, m specMessage) {
	upToDate := m.logTerm > n.lastTerm() || m.logTerm == n.lastTerm() && m.index >= uint64(len(n.log))
	grant := m.term == n.term && upToDate && (n.vote == "0" || n.vote == m.from)
	if grant {
		n.vote = m.from
	}
	s.reply(m, msgVoteResp, n.term, 0, !grant)
}

func (s *spec) appendEntries(n *specNode, m specMessage) error {
	switch {
	case m.term < n.term:
		s.reply(m, msgAppResp, n.term, 0, true)
		return nil
	case n.role == "StateLeader":
		return fmt.Errorf("a second leader of term %d", m.term)
	}
	n.role = "StateFollower"
	switch {
	case m.index > uint64(len(n.log)) || n.termAt(m.index) != m.logTerm:
		s.reply(m, msgAppResp, n.term, 0, true)
		return nil
	case m.index < n.commit:
		s.reply(m, msgAppResp, n.term, n.commit, false)
		return nil
	}
	end := m.index
	for _, term := range s.entries[m] {
		if end < uint64(len(n.log)) && n.log[end] != term {
			n.log = n.log[:end]
		}
		if end == uint64(len(n.log)) {
			n.log = append(slices.Clip(n.log), term)
		}
		end++
	}
	n.commit = max(n.commit, min(m.commit, end))
	s.reply(m, msgAppResp, n.term, end, false)
	return nil
}

// invariants are those that the specification states, as far as a change of n
// can have broken them.
func (s *spec) invariants(n *specNode, truncated bool) error {
	if n.commit > uint64(len(n.log)) || n.role == "StateLeader" && n.commit > uint64(len(n.durable.log)) {
		return fmt.Errorf("commit index %d beyond the log, or the durable log", n.commit)
	}
	for _, name := range s.names {
		other := s.nodes[name]
		if err := cmp.Or(n.against(other), other.against(n), s.complete(n, other), s.complete(other, n)); err != nil {
			return err
		}
		if truncated || n == other {
			if err := s.isHeld(other); err != nil {
				return err
			}
		}
	}
	return nil
}

// isHeld: what n has committed is in the logs of one of every quorum.
func (s *spec) isHeld(n *specNode) error {
	committed, without := n.log[:n.commit], 0
	for _, name := range s.names {
		if log := s.nodes[name].log; len(log) < len(committed) || !slices.Equal(log[:len(committed)], committed) {
			without++
		}
	}
	return demand(!s.quorum(without), "a quorum lacks what is committed")
}

// against states what must hold between any two nodes.
func (a *specNode) against(b *specNode) error {
	if a != b && a.role == "StateLeader" && b.role == "StateLeader" && a.term == b.term {
		return fmt.Errorf("two leaders of term %d", a.term)
	}
	common := uint64(0)
	for common < uint64(min(len(a.log), len(b.log))) && a.log[common] == b.log[common] {
		common++
	}
	if common < min(a.commit, b.commit) {
		return fmt.Errorf("two nodes have committed different entries")
	}
	for i := common; i < uint64(min(len(a.log), len(b.log))); i++ {
		if a.log[i] == b.log[i] {
			return fmt.Errorf("logs differ at %d and match above", common+1)
		}
	}
	if a.role != "StateLeader" {
		return nil
	}
	if b.lastOf(a.term) > a.lastOf(a.term) {
		return fmt.Errorf("a follower has more entries of term %d than its leader", a.term)
	}
	return nil
}

// complete: a leader a holds what b has committed in an earlier term.
func (s *spec) complete(a, b *specNode) error {
	for i := uint64(0); a.role == "StateLeader" && i < b.commit; i++ {
		if s.committedIn[i] < a.term && a.termAt(i+1) != b.log[i] {
			return fmt.Errorf("a leader lacks entry %d, committed before its term", i+1)
		}
	}
	return nil
}

// lastOf is the last index with an entry of the given term, 0 if there is none.
func (n *specNode) lastOf(term uint64) int {
	for i := len(n.log); i > 0; i-- {
		if n.log[i-1] == term {
			return i
		}
	}
	return 0
}

// describe is a line for readers.
func describe(e event) string {
	s := fmt.Sprintf("%s %-28s %-9s term %d vote %s log %d commit %d",
		e.Node, e.Name, strings.TrimPrefix(e.Role, "State"), e.State.Term, e.State.Vote, e.Log, e.State.Commit)
	m := e.Message
	if m == nil {
		return s
	}
	s += fmt.Sprintf(" | %s %s→%s term %d index %d@%d", m.Type, m.From, m.To, m.Term, m.Index, m.LogTerm)
	if m.Type == msgApp {
		s += fmt.Sprintf(" +%d commit %d", m.Entries, m.Commit)
	}
	if m.Reject {
		s += " reject"
	}
	return s
}

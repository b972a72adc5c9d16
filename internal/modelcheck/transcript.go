package modelcheck

import (
	"fmt"
	"slices"

	"github.com/seed-6281cb22/raft"
)

// way returns the events that lead to the state of a number.
func (c *checker) way(number uint32) []event {
	var events []event
	for ; number != 0; number = c.parents[number].parent {
		events = append(events, decodeEvent(c.parents[number].event))
	}
	slices.Reverse(events)
	return events
}

// replay takes events from the start, and calls each, if not nil, after every
// one of them.
func (c *checker) replay(events []event, each func(e event, m *move, from, to *state)) state {
	s, _ := c.initial()
	for _, e := range events {
		m := c.nodes.move(c, s.nodes[e.node-1], e)
		c.answers = c.answers[:0]
		to := state{nodes: s.nodes, ghost: s.ghost, messages: s.messages}
		if m.broken == "" {
			next, _, _ := c.apply(&s, e, m)
			to = state{nodes: next.nodes, ghost: next.ghost, messages: slices.Clone(next.messages)}
		}
		if each != nil {
			each(e, m, &s, &to)
		}
		s = to
	}
	return s
}

// counterexample is the way to the state of a number, and the event there that
// breaks an invariant. Of the messages it names those that matter.
func (c *checker) counterexample(number uint32, last event, broken string) *Counterexample {
	events := append(c.way(number), last)
	matters := c.delivered(events)
	v := &Counterexample{Broken: broken}
	linef := func(format string, args ...any) { v.Transcript = append(v.Transcript, fmt.Sprintf(format, args...)) }
	c.replay(events, func(e event, m *move, from, to *state) {
		v.Events++
		linef("%3d  %s", v.Events, c.line(from, e, m))
		for _, sent := range m.sent {
			if matters[sent] && !slices.Contains(from.messages, sent) {
				linef("         sends %s", c.describe(sent))
			}
		}
		for _, a := range c.answers {
			if matters[a.with] {
				linef("         %s is answered by %s", c.describe(a.to), c.describe(a.with))
			}
		}
	})
	linef("     %s", broken)
	return v
}

// delivered returns the messages that events deliver, and those that are
// answered, on the way, by one of these.
func (c *checker) delivered(events []event) map[uint32]bool {
	delivered := map[uint32]bool{}
	for _, e := range events {
		if e.kind == deliver {
			delivered[e.message] = true
		}
	}
	var answers []answer
	c.replay(events, func(event, *move, *state, *state) { answers = append(answers, c.answers...) })
	for _, a := range slices.Backward(answers) {
		if delivered[a.with] {
			delivered[a.to] = true
		}
	}
	return delivered
}

func (c *checker) describe(message uint32) string {
	m := c.messages.of(message)
	return describe(&m)
}

func (c *checker) line(s *state, e event, m *move) string {
	what := kindNames[e.kind]
	if e.kind == deliver {
		what = c.describe(e.message)
	}
	if e.kind == changeMembership {
		what += ", " + c.changes[e.message].words
	}
	if e.kind == transfer {
		what += fmt.Sprintf(" to node %d", e.message+1)
	}
	if m.broken == "" {
		before, after := c.nodes.facts[s.nodes[e.node-1]].describe(), c.nodes.facts[m.to].describe()
		if before != after {
			what += ": " + after
		}
	}
	return fmt.Sprintf("node %d: %s", e.node, what)
}

func (f *facts) describe() string {
	return fmt.Sprintf("%s of term %d, log %v, commit %d; durable term %d, vote %d, log %v",
		roleNames[f.role], f.term, f.terms[f.base+1:f.last+1], f.commit,
		f.diskTerm, f.diskVote, f.diskTerms[f.diskBase+1:f.diskLast+1])
}

var roleNames = [...]string{
	raft.Follower: "follower", raft.PreCandidate: "pre-candidate", raft.Candidate: "candidate", raft.Leader: "leader",
}

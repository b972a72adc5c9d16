package modelcheck

import (
	"fmt"
	"slices"

	"github.com/seed-6281cb22/raft"
)

// counterexample is the way to the state of a number, and the event there that
// breaks an invariant. It is replayed from the start.
func (c *checker) counterexample(number uint32, last event, broken string) *Counterexample {
	events := []event{last}
	for ; number != 0; number = c.parents[number].parent {
		events = append(events, decodeEvent(c.parents[number].event))
	}
	slices.Reverse(events)
	s, _ := c.initial()
	v := &Counterexample{Broken: broken}
	for i, e := range events {
		m := c.nodes.move(c, s.nodes[e.node-1], e)
		v.Transcript = append(v.Transcript, fmt.Sprintf("%3d  %s", i+1, c.line(&s, e, m)))
		for _, sent := range m.sent {
			if !slices.Contains(s.messages, sent) {
				message := c.messages.of(sent)
				v.Transcript = append(v.Transcript, "         sends "+describe(&message))
			}
		}
		if m.broken != "" {
			break
		}
		to, _, _ := c.apply(&s, e, m)
		for _, a := range c.answers {
			asked, answered := c.messages.of(a.to), c.messages.of(a.with)
			v.Transcript = append(v.Transcript, fmt.Sprintf("         node %d answers %s", asked.To, describe(&asked)),
				"         by "+describe(&answered))
		}
		s = state{nodes: to.nodes, ghost: to.ghost, messages: slices.Clone(to.messages)}
	}
	v.Transcript = append(v.Transcript, "     "+broken)
	return v
}

func (c *checker) line(s *state, e event, m *move) string {
	what := kindNames[e.kind]
	if e.kind == deliver {
		message := c.messages.of(e.message)
		what = describe(&message)
	}
	if m.broken != "" {
		return fmt.Sprintf("node %d: %s", e.node, what)
	}
	before, after := c.nodes.facts[s.nodes[e.node-1]].describe(), c.nodes.facts[m.to].describe()
	if before != after {
		return fmt.Sprintf("node %d: %s: %s", e.node, what, after)
	}
	return fmt.Sprintf("node %d: %s", e.node, what)
}

func (f *facts) describe() string {
	return fmt.Sprintf("%s of term %d, log %v, commit %d; durable term %d, vote %d, log %v",
		roleNames[f.role], f.term, f.terms[min(f.base, f.last)+1:f.last+1], f.commit,
		f.diskTerm, f.diskVote, f.diskTerms[min(f.diskBase, f.diskLast)+1:f.diskLast+1])
}

var roleNames = map[raft.Role]string{
	raft.Follower: "follower", raft.PreCandidate: "pre-candidate", raft.Candidate: "candidate", raft.Leader: "leader",
}

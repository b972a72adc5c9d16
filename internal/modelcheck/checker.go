package modelcheck

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
)

// checker is one exploration.
type checker struct {
	options      Options
	permutations [][]raft.NodeID
	messages     messageTable
	nodes        nodeTable
	changes      []change
	buffer       []byte
	plain        bool // every message and every answer counts: tests compare

	seen        stateSet
	parents     []origin // of every state, by its number
	transitions int
	started     time.Time
	scratch     state
	todo        []uint32 // messages that saturate has to try
	answers     []answer
}

// origin says how a state was first reached.
type origin struct {
	parent uint32 // the number of the state before
	event  uint32 // as event.code packs it
}

// ghost is what the invariants must remember of a state's past, and what has
// been spent of the bounds on the way to it.
type ghost struct {
	leaders   [maxTerm + 1]uint8 // by term
	committed uint8              // how many entries are
	terms     [maxLog + 1]uint8  // of the committed entries, by index
	commitIn  [maxLog + 1]uint8  // the term in which each was committed
	spent     [kinds]uint8       // by kind of event
	voters    nodeSet            // of the newest membership that is committed
	absent    nodeSet            // who was no member in a committed membership
}

// state is a global state: the numbers of its nodes' states, those of the
// messages that may be delivered, ascending, and what is remembered.
type state struct {
	nodes    [maxNodes]uint32
	ghost    ghost
	messages []uint32
}

// frontier holds the states of one depth in few allocations.
type frontier struct {
	heads    []head
	messages []uint32
}

type head struct {
	nodes  [maxNodes]uint32
	number uint32
	end    uint32 // of its messages
	ghost  ghost
}

func (f *frontier) add(s *state, number uint32) {
	f.messages = append(f.messages, s.messages...)
	f.heads = append(f.heads, head{nodes: s.nodes, ghost: s.ghost, number: number, end: uint32(len(f.messages))})
}

func (f *frontier) at(i int) (s state, number uint32) {
	h, start := &f.heads[i], uint32(0)
	if i > 0 {
		start = f.heads[i-1].end
	}
	return state{nodes: h.nodes, ghost: h.ghost, messages: f.messages[start:h.end:h.end]}, h.number
}

func newChecker(o Options) *checker {
	return &checker{
		options: o, permutations: permutations(o.Nodes, o.Symmetry), started: time.Now(),
		messages: messageTable{numbers: map[string]uint32{}},
		nodes:    nodeTable{numbers: map[string]uint32{}},
		changes:  allChanges(o.Nodes),
	}
}

var errTooManyStates = errors.New("too many states")

// run explores level by level.
func (c *checker) run(ctx context.Context, progress func(Progress)) (Report, error) {
	start, broken := c.initial()
	if broken != "" {
		return c.report(0, 0, false, &Counterexample{Broken: broken}), nil
	}
	c.seen.add(c.fingerprint(&start))
	c.parents = append(c.parents, origin{})
	level, next := &frontier{}, &frontier{}
	level.add(&start, 0)
	depth := 0
	for ; len(level.heads) > 0; depth++ {
		if c.options.MaxDepth > 0 && depth >= c.options.MaxDepth {
			break
		}
		for i := range level.heads {
			if i%4096 == 0 {
				if err := ctx.Err(); err != nil {
					return c.report(depth, len(level.heads)-i, false, nil), err
				}
				if progress != nil {
					progress(c.report(depth, len(level.heads)-i, false, nil).Progress)
				}
			}
			s, number := level.at(i)
			if v := c.expand(&s, number, next); v != nil {
				return c.report(depth, len(level.heads)-i, false, v), nil
			}
			if c.options.MaxStates > 0 && len(c.parents) >= c.options.MaxStates {
				return c.report(depth, len(level.heads)-i, false, nil), errTooManyStates
			}
		}
		level, next = next, level
		next.heads, next.messages = next.heads[:0], next.messages[:0]
	}
	return c.report(depth, len(level.heads), true, nil), nil
}

func (c *checker) report(depth, waiting int, complete bool, v *Counterexample) Report {
	return Report{
		Progress: Progress{
			States: len(c.parents), Transitions: c.transitions, Depth: depth, Frontier: waiting,
			NodeStates: len(c.nodes.nodes), Messages: len(c.messages.messages), Elapsed: time.Since(c.started),
		},
		Complete: complete, Violation: v,
	}
}

// initial is the state in which all begin.
func (c *checker) initial() (s state, broken string) {
	voters := c.options.founders()
	for i := range c.options.Nodes {
		d := disk{first: 1}
		if i < voters {
			d.snapshot.Membership = foundingMembership(voters)
			d.hard.Unmarked = c.options.Start == Unmarked
			s.ghost.voters.add(i)
		} else {
			s.ghost.absent.add(i)
		}
		n, err := c.newNode(raft.NodeID(i+1), d, 0)
		if err != nil {
			return s, err.Error()
		}
		st := &step{node: n, c: c}
		st.drain()
		s.nodes[i] = c.nodes.number(c, st.node)
	}
	return s, ""
}

// fingerprint is the least one over all permutations of the nodes, so that it
// is the same for all states that differ only by which node is which.
func (c *checker) fingerprint(s *state) hash128 {
	least := c.print(s, 0)
	for p := 1; p < len(c.permutations); p++ {
		if h := c.print(s, p); h.less(least) {
			least = h
		}
	}
	return least
}

// print is the fingerprint of s with its nodes permuted.
func (c *checker) print(s *state, p int) hash128 {
	rename := c.permutations[p]
	var order [maxNodes]uint32
	for i := range c.options.Nodes {
		order[rename[i+1]-1] = s.nodes[i]
	}
	h := hash128{prime2, prime1}
	for i := range c.options.Nodes {
		h = h.withHash(c.nodes.prints[order[i]][p])
	}
	var set hash128
	for _, m := range s.messages {
		set = set.plus(c.messages.facts[m].prints[p])
	}
	return s.ghost.hash(h.withHash(set), rename)
}

func (g *ghost) hash(h hash128, rename []raft.NodeID) hash128 {
	v := uint64(g.committed)
	for _, l := range g.leaders {
		v = v<<4 | uint64(rename[l])
	}
	h = h.with(v)
	v = 0
	for i := 1; i <= int(g.committed); i++ {
		v = v<<6 | uint64(g.terms[i])<<3 | uint64(g.commitIn[i])
		if i%8 == 0 {
			h = h.with(v)
			v = 0
		}
	}
	h = h.with(v)
	v = 0
	for k, n := range g.spent {
		if v = v<<8 | uint64(n); k%8 == 7 {
			h = h.with(v)
			v = 0
		}
	}
	return h.with(v<<16 | uint64(g.voters.renamed(rename))<<8 | uint64(g.absent.renamed(rename)))
}

// expand takes every event that is possible in s.
func (c *checker) expand(s *state, number uint32, next *frontier) *Counterexample {
	for i := range c.options.Nodes {
		f := &c.nodes.facts[s.nodes[i]]
		if int(f.last) > c.options.MaxLog {
			return nil // a new leader's first entry: beyond the bounds
		}
	}
	for i := range c.options.Nodes {
		f := &c.nodes.facts[s.nodes[i]]
		for k := electionTimeout; k < kinds; k++ {
			if !f.allows[k] || !c.affords(&s.ghost, k) {
				continue
			}
			for which := range c.choices(k) {
				if v := c.follow(s, number, event{kind: k, node: raft.NodeID(i + 1), message: which}, next); v != nil {
					return v
				}
			}
		}
	}
	for _, m := range s.messages {
		to := int(c.messages.facts[m].to)
		if !c.deliverable(m, &c.nodes.facts[s.nodes[to]]) {
			continue
		}
		if v := c.follow(s, number, event{kind: deliver, node: raft.NodeID(to + 1), message: m}, next); v != nil {
			return v
		}
	}
	return nil
}

// bound returns how often events of a kind may happen on the way to a state.
func (o *Options) bound(k kind) int {
	switch k {
	case electionTimeout:
		return o.MaxTimeouts
	case stepDown:
		return o.MaxStepDowns
	case propose:
		return o.MaxProposals
	case restart:
		return o.MaxCrashes
	case compact:
		return o.MaxCompactions
	case changeMembership:
		return o.MaxChanges
	case transfer:
		return o.MaxTransfers
	}
	return Unlimited
}

// choices returns among how many events of a kind there is a choice at a node.
func (c *checker) choices(k kind) uint32 {
	switch k {
	case changeMembership:
		return uint32(len(c.changes))
	case transfer:
		return uint32(c.options.Nodes)
	}
	return 1
}

// deliverable reports whether a message may be delivered: nobody campaigns
// beyond the highest term, asked to or not.
func (c *checker) deliverable(message uint32, to *facts) bool {
	return to.allows[deliver] && (c.messages.facts[message].kind != raftpb.TimeoutNow || int(to.term) < c.options.MaxTerm)
}

func (c *checker) affords(g *ghost, k kind) bool {
	bound := c.options.bound(k)
	return bound == Unlimited || int(g.spent[k]) < bound
}

// follow takes one event, and keeps the state that it leads to, if that is new.
func (c *checker) follow(s *state, number uint32, e event, next *frontier) *Counterexample {
	c.transitions++
	m := c.nodes.move(c, s.nodes[e.node-1], e)
	if m.broken != "" {
		return c.counterexample(number, e, m.broken)
	}
	to, broken, changed := c.apply(s, e, m)
	if broken != "" {
		return c.counterexample(number, e, broken)
	}
	if !changed || !c.seen.add(c.fingerprint(to)) {
		return nil
	}
	n := uint32(len(c.parents))
	if broken := c.checkState(to, int(e.node-1)); broken != "" {
		return c.counterexample(number, e, broken)
	}
	c.parents = append(c.parents, origin{parent: number, event: e.code()})
	next.add(to, n)
	return nil
}

// apply returns the state that the move m leads to, in memory that the next
// call uses again; changed is false if it is the same one. c.answers are the
// deliveries that saturate has taken with it.
func (c *checker) apply(s *state, e event, m *move) (to *state, broken string, changed bool) {
	at := int(e.node - 1)
	to = &c.scratch
	to.nodes, to.ghost = s.nodes, s.ghost
	to.nodes[at] = m.to
	if c.options.bound(e.kind) != Unlimited {
		to.ghost.spent[e.kind]++
	}
	to.messages = merge(to.messages[:0], s.messages, m.sent)
	if len(to.messages) == len(s.messages) && m.to == s.nodes[at] {
		return to, "", false // what it has cost only excludes
	}
	if broken := c.remember(s, to, at); broken != "" {
		return to, broken, true
	}
	if !c.plain {
		c.saturate(s, to, at)
		broken = c.bury(to)
	}
	c.forget(to)
	return to, broken, true
}

// saturate delivers every message that changes nothing at its receiver but is
// answered, again and again: whoever grants a pre-vote, refuses a vote, or
// tells a stale sender the term. Messages never go, so a state with more of
// them can do all that one with fewer can, and the answers need no event of
// their own: the state without them need not be explored. from is saturated,
// and only the node at one position has changed since.
func (c *checker) saturate(from, to *state, at int) {
	c.answers = c.answers[:0]
	c.todo = c.todo[:0]
	for _, n := range to.messages {
		if int(c.messages.facts[n].to) == at {
			c.todo = append(c.todo, n)
			continue
		}
		if _, old := slices.BinarySearch(from.messages, n); !old {
			c.todo = append(c.todo, n)
		}
	}
	for len(c.todo) > 0 {
		n := c.todo[len(c.todo)-1]
		c.todo = c.todo[:len(c.todo)-1]
		k := c.messages.facts[n].to
		number := to.nodes[k]
		if !c.deliverable(n, &c.nodes.facts[number]) {
			continue
		}
		e := event{kind: deliver, node: raft.NodeID(k + 1), message: n}
		m := c.nodes.move(c, number, e)
		if m.broken != "" || m.to != number {
			continue // an event of its own
		}
		for _, sent := range m.sent {
			if i, there := slices.BinarySearch(to.messages, sent); !there {
				to.messages = slices.Insert(to.messages, i, sent)
				c.todo = append(c.todo, sent)
				c.answers = append(c.answers, answer{to: n, with: sent})
			}
		}
	}
}

// bury forgets the messages that are dead. That a core ignores them is an
// invariant too: it is checked where they are forgotten.
func (c *checker) bury(s *state) (broken string) {
	s.messages = slices.DeleteFunc(s.messages, func(n uint32) bool {
		f := &c.messages.facts[n]
		number := s.nodes[f.to]
		if !f.dead(&c.nodes.facts[number]) {
			return false
		}
		m := c.nodes.move(c, number, event{kind: deliver, node: raft.NodeID(f.to + 1), message: n})
		if broken == "" && (m.broken != "" || m.to != number || len(m.sent) > 0) {
			broken = fmt.Sprintf("a reply of the past is ignored: node %d, %s, heeds %s",
				f.to+1, c.nodes.facts[number].describe(), c.describe(n))
		}
		return true
	})
	return broken
}

// answer is a message that saturate has found.
type answer struct{ to, with uint32 }

// merge appends the union of two ascending sets.
func merge(to, a, b []uint32) []uint32 {
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] < b[0]:
			to, a = append(to, a[0]), a[1:]
		case a[0] > b[0]:
			to, b = append(to, b[0]), b[1:]
		default:
			to, a, b = append(to, a[0]), a[1:], b[1:]
		}
	}
	return append(append(to, a...), b...)
}

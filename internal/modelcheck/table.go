package modelcheck

import (
	"slices"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bridge"
)

// nodeTable numbers the states of single nodes, and knows what events do to
// them. A node's state says which node it is.
type nodeTable struct {
	numbers map[string]uint32
	nodes   []*node
	facts   []facts
	prints  []prints
	moves   [][]*move // of each: by kind, then by the place of what is delivered
}

// move is what an event does to a node.
type move struct {
	to     uint32
	sent   []uint32 // ascending
	broken string   // the invariant that it breaks by itself, "" if none
}

// facts are what the search and the invariants ask of a node all the time.
type facts struct {
	term               uint8
	role               raft.Role
	commit, base, last uint8
	verified           uint8
	unmarked           bool
	terms              [maxLog + 1]uint8 // of the core's log, by index
	diskTerm, diskVote uint8
	diskBase, diskLast uint8
	diskTerms          [maxLog + 1]uint8
	match              [maxNodes]uint8 // a leader's, by position
	allows             [kinds]bool

	voters, outgoing, members nodeSet // of the newest membership that is committed
	membership                uint8   // its index
	removed                   bool
	promotes                  bool // it leads, and may have to wait for somebody to catch up
}

func (t *nodeTable) number(c *checker, n *node) uint32 {
	c.buffer = n.print(c.buffer[:0], nil)
	if number, ok := t.numbers[string(c.buffer)]; ok {
		return number
	}
	number := uint32(len(t.nodes))
	t.numbers[string(c.buffer)] = number
	var p prints
	for i, rename := range c.permutations {
		c.buffer = n.print(c.buffer[:0], rename)
		p[i] = hash(c.buffer)
	}
	t.nodes, t.facts, t.prints = append(t.nodes, n), append(t.facts, c.factsOf(n)), append(t.prints, p)
	t.moves = append(t.moves, nil)
	return number
}

// move returns what e does to the node of a number.
func (t *nodeTable) move(c *checker, from uint32, e event) *move {
	known := &t.moves[from]
	place := int(e.kind)
	switch e.kind {
	case transfer:
		place += int(e.message)
	case changeMembership:
		place = int(transfer) + maxNodes + int(e.message)
	case deliver:
		place = int(transfer) + maxNodes + len(c.changes) + int(c.messages.facts[e.message].place)
	}
	if place < len(*known) && (*known)[place] != nil {
		return (*known)[place]
	}
	s := c.take(t.nodes[from], e)
	m := &move{broken: s.broken}
	if s.broken == "" {
		s.checkStep(&t.facts[from], e)
		m.broken = s.broken
	}
	if m.broken == "" {
		m.to = t.number(c, s.node)
		for i := range s.sent {
			m.sent = append(m.sent, c.number(&s.sent[i]))
		}
		slices.Sort(m.sent)
		m.sent = slices.Compact(m.sent)
	}
	known = &t.moves[from] // which may have moved
	for len(*known) <= place {
		*known = append(*known, nil)
	}
	(*known)[place] = m
	return m
}

func (c *checker) factsOf(n *node) facts {
	var v bridge.View
	bridge.Inspect(n.core, &v)
	d := &n.disk
	f := facts{
		term: uint8(v.Term), role: raft.Role(v.Role), unmarked: v.Unmarked,
		commit: uint8(v.Commit), base: uint8(v.Base), last: uint8(v.Last), verified: uint8(v.Verified),
		diskTerm: uint8(d.hard.Term), diskVote: uint8(d.hard.Vote), diskBase: uint8(d.first - 1), diskLast: uint8(d.last()),
	}
	for i := raft.Index(1); i <= v.Last; i++ {
		t, _ := bridge.TermAt(n.core, i)
		f.terms[i] = uint8(t)
	}
	for i := raft.Index(1); i <= d.last(); i++ {
		f.diskTerms[i] = uint8(d.term(i))
	}
	if f.role == raft.Leader {
		for i := range v.Peers {
			f.match[v.Peers[i].ID-1] = uint8(v.Peers[i].Match)
		}
	}
	for i := range v.Committed.Members {
		m := &v.Committed.Members[i]
		at := int(m.ID - 1)
		f.members.add(at)
		if m.Voter {
			f.voters.add(at)
		}
		if m.Outgoing {
			f.outgoing.add(at)
		}
	}
	f.promotes = f.role == raft.Leader && c.options.MaxChanges > 0
	f.membership, f.removed = uint8(v.CommittedIndex), v.Removed
	o := &c.options
	idle := len(n.writes) == 0 || len(n.writes) < o.MaxWrites
	leads := f.role == raft.Leader
	f.allows = [...]bool{
		deliver:         idle,
		electionTimeout: idle && !leads && int(f.term) < o.MaxTerm,
		heartbeat:       idle && leads && o.Nodes > 1 && int(v.Round) < o.MaxRounds,
		stepDown:        idle && leads && o.Nodes > 1,
		propose:         idle && leads && int(f.last) < o.MaxLog,
		persist:         len(n.writes) > 0,
		restart:         true,
		compact:         idle && v.Applied > d.snapshot.Index && d.uninstalled == nil,

		changeMembership: idle && leads && int(f.last) < o.MaxLog,
		transfer:         idle && leads,
	}
	return f
}

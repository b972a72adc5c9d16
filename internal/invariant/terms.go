package invariant

import (
	"encoding/binary"
	"math/bits"
	"sort"

	"github.com/seed-6281cb22/raft/raftpb"
)

// termFacts is what is known of a term. Its entries are made by its leader
// alone, one after the other; so they are one range of indexes, and before it,
// in every log, stands the same.
type termFacts struct {
	term   raftpb.Term
	leader raftpb.NodeID // 0: nobody has been seen to lead it
	// first is the index of the term's first entry, 0 if it is not known, and
	// previous the term of the entry before that.
	first    raftpb.Index
	previous raftpb.Term
	// contents says what the entries hold, of index lowest and up; 0: unknown.
	lowest   raftpb.Index
	contents []uint64
	votes    []ballot
	acks     []acknowledgement
}

// acknowledgement is the highest index that a node has acknowledged in a term.
type acknowledgement struct {
	node  raftpb.NodeID
	index raftpb.Index
}

// ballot is a vote that was revealed.
type ballot struct{ voter, candidate raftpb.NodeID }

// end returns the index after the last entry that is known.
func (f *termFacts) end() raftpb.Index { return f.lowest + raftpb.Index(len(f.contents)) }

// facts returns what is known of a term, nil if nothing is.
func (c *Checker) facts(t raftpb.Term) *termFacts {
	i := len(c.terms) - 1
	for range 4 { // nearly always one of the last ones
		if i < 0 || c.terms[i].term < t {
			return nil
		}
		if c.terms[i].term == t {
			return &c.terms[i]
		}
		i--
	}
	i = sort.Search(i+1, func(j int) bool { return c.terms[j].term >= t })
	if c.terms[i].term == t {
		return &c.terms[i]
	}
	return nil
}

// factsOf returns what is known of a term, and begins to know it.
func (c *Checker) factsOf(t raftpb.Term) *termFacts {
	if f := c.facts(t); f != nil {
		return f
	}
	if len(c.terms) < cap(c.terms) {
		c.terms = c.terms[:len(c.terms)+1] // with its memory, see Reset
	} else {
		c.terms = append(c.terms, termFacts{})
	}
	i := len(c.terms) - 1
	spare := c.terms[i]
	for ; i > 0 && c.terms[i-1].term > t; i-- {
		c.terms[i] = c.terms[i-1]
	}
	c.terms[i] = termFacts{term: t, contents: spare.contents[:0], votes: spare.votes[:0], acks: spare.acks[:0]}
	return &c.terms[i]
}

// newestTerm returns the highest term of which something is known.
func (c *Checker) newestTerm() raftpb.Term {
	if len(c.terms) == 0 {
		return 0
	}
	return c.terms[len(c.terms)-1].term
}

// termInLogOf returns the term of the entry at i in the log of the leader of
// term t, and whether that is known. The log is read backwards: before the
// first entry of a term stands the log of the term before.
func (c *Checker) termInLogOf(t raftpb.Term, i raftpb.Index) (raftpb.Term, bool) {
	if i == 0 {
		return 0, true
	}
	for t != 0 {
		f := c.facts(t)
		if f == nil || f.first == 0 {
			return 0, false
		}
		if i >= f.first {
			return t, i < f.end()
		}
		t = f.previous
	}
	return 0, false
}

// noteEntry: log matching (§5.3). "If two entries in different logs have the
// same index and term, then they store the same command", and "the logs are
// identical in all preceding entries": the term of the entry before, previous,
// is the same too. And no entry exists that its leader has not made.
func (c *Checker) noteEntry(n *node, f *termFacts, e *raftpb.Entry, previous raftpb.Term) {
	content := contentOf(e)
	switch i := int(e.Index - f.lowest); {
	case len(f.contents) == 0:
		c.noteCreator(n, f, e)
		f.first, f.previous, f.lowest = e.Index, previous, e.Index
		f.contents = append(f.contents, content)
		return
	case e.Index < f.lowest || i > len(f.contents):
		c.fail(LogMatching, n, "entry %d of term %d, of which %d to %d are known", e.Index, e.Term, f.lowest, f.end()-1)
		return
	case i == len(f.contents):
		c.noteCreator(n, f, e)
		f.contents = append(f.contents, content)
	case f.contents[i] == 0:
		f.contents[i] = content
	case f.contents[i] != content:
		c.fail(LogMatching, n, "entry %d of term %d holds something else than elsewhere", e.Index, e.Term)
	}
	switch {
	case f.first == 0: // adopted, and not known from its first entry on
	case e.Index > f.first && previous != e.Term, e.Index == f.first && previous != f.previous:
		c.fail(LogMatching, n, "entry %d of term %d after one of term %d, where others have another", e.Index, e.Term, previous)
	}
}

// noteCreator: n shows an entry that is new in its term.
func (c *Checker) noteCreator(n *node, f *termFacts, e *raftpb.Entry) {
	if f.leader == 0 {
		// It may have led only between two steps.
		f.leader = n.id
	}
	if f.leader != n.id {
		c.fail(LogMatching, n, "entry %d of term %d, which that term's leader, %d, has not made", e.Index, e.Term, f.leader)
	}
}

// contentOf is a number that says what an entry holds; never 0.
func contentOf(e *raftpb.Entry) uint64 {
	const prime = 0x9e3779b97f4a7c15
	h := uint64(e.Type)<<32 ^ uint64(len(e.Data)) ^ e.Origin.Sequence*prime
	data := e.Data
	for ; len(data) >= 8; data = data[8:] {
		h = bits.RotateLeft64((h^binary.LittleEndian.Uint64(data))*prime, 29)
	}
	for _, b := range data {
		h = (h ^ uint64(b)) * prime
	}
	return h | 1
}

// noteVote: one vote in a term, for all time, unless its memory was lost.
func (c *Checker) noteVote(n *node, t raftpb.Term, candidate raftpb.NodeID) {
	f := c.factsOf(t)
	for i := range f.votes {
		b := &f.votes[i]
		if b.voter != n.id {
			continue
		}
		if b.candidate != candidate && t > n.wipedIn {
			c.fail(VoteOnce, n, "it votes for %d in term %d, and has voted for %d", candidate, t, b.candidate)
		}
		b.candidate = candidate
		return
	}
	f.votes = append(f.votes, ballot{n.id, candidate})
}

// voted reports whether voter has voted for candidate.
func (f *termFacts) voted(voter, candidate raftpb.NodeID) bool {
	for i := range f.votes {
		if f.votes[i].voter == voter {
			return f.votes[i].candidate == candidate
		}
	}
	return false
}

// noteAck keeps what a node has acknowledged.
func (f *termFacts) noteAck(id raftpb.NodeID, index raftpb.Index) {
	for i := range f.acks {
		if a := &f.acks[i]; a.node == id {
			a.index = max(a.index, index)
			return
		}
	}
	f.acks = append(f.acks, acknowledgement{id, index})
}

// acked returns the highest index that a node has acknowledged.
func (f *termFacts) acked(id raftpb.NodeID) raftpb.Index {
	for i := range f.acks {
		if f.acks[i].node == id {
			return f.acks[i].index
		}
	}
	return 0
}

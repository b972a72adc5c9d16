package raft

import (
	"math"
	"slices"

	"github.com/seed-6281cb22/raft/raftpb"
)

// The leader's half of forwarding: what it takes, and once.
//
// A proposal is taken only in the term that it is meant for, and a leader
// keeps a record of every origin from which it has taken any in its term. A
// message may be lost, repeated, reordered and arbitrarily late; with the
// record none of its proposals enters the log twice (scenario H10). The
// records go with the term: nothing meant for it is taken afterwards.

// inbox holds forwarded proposals that are not in the log yet.
type inbox struct {
	entries []Entry // from head on
	head    int
	bytes   int                   // of data
	turn    bool                  // which kind comes first, see gather
	full    settlement            // when the core has refused more, if it has
	origins map[originKey]*origin // looked up only, never ranged over
}

type originKey struct {
	node        NodeID
	incarnation uint64
}

// origin is what a leader knows of one origin in its term.
type origin struct {
	next uint64 // the sequence number to take next
	runs []run  // ascending; those that the origin may still ask about
}

// run is an answer: to count proposals from the sequence number first on. They
// are in the log from index on, or, with index 0, refused.
type run struct {
	first uint64
	count uint64
	index Index
	limit uint64 // refused for their size: the largest size that is taken; or damaged
}

// damaged is the limit of a run that is refused because its checksum is not
// that of its data: in the log it would stop every replica that applies it.
const damaged = math.MaxUint64

// maxOrigins bounds the records of a term: there is one for each run of a
// member's process. Beyond it nothing of a new origin is taken.
const maxOrigins = 1 << 14

// maxAnswers bounds the answers to one message. The rest comes when the origin
// asks again.
const maxAnswers = 64

func (b *inbox) empty() bool { return b.head == len(b.entries) }

// clear forgets everything: the term has ended.
func (b *inbox) clear() { *b = inbox{} }

// take removes and returns the first n entries; they are the caller's until
// the next put.
func (b *inbox) take(n int) []Entry {
	taken := b.entries[b.head : b.head+n]
	b.head += n
	for i := range taken {
		b.bytes -= len(taken[i].Data)
	}
	return taken
}

func (b *inbox) put(e Entry) {
	if b.empty() {
		b.entries, b.head = b.entries[:0], 0
	}
	if b.head > 0 && len(b.entries) == cap(b.entries) {
		n := copy(b.entries, b.entries[b.head:])
		clear(b.entries[n:])
		b.entries, b.head = b.entries[:n], 0
	}
	b.entries = append(b.entries, e)
	b.bytes += len(e.Data)
}

// takeForwarded takes a Propose message.
func (r *replica) takeForwarded(m *Message) {
	if r.core.Role() != Leader || m.Term != r.core.Term() || !validForward(m) {
		return
	}
	r.syncTerm()
	key := originKey{m.From, m.Entries[0].Origin.Incarnation}
	o := r.inbox.origins[key]
	if o == nil {
		if len(r.inbox.origins) == maxOrigins {
			return
		}
		if r.inbox.origins == nil {
			r.inbox.origins = make(map[originKey]*origin)
		}
		// Nothing of it was taken, and so nothing answered, in this term:
		// Context is where it began.
		o = &origin{next: m.Context}
		r.inbox.origins[key] = o
	}
	o.forget(m.Context)
	answers := 0
	for i := 0; i < len(m.Entries); i++ {
		e := &m.Entries[i]
		switch s := e.Origin.Sequence; {
		case s > o.next:
			return // one before it was lost; it will be sent again
		case s == o.next:
			o.next++
			r.takeEntry(key, o, e)
		default:
			answer := o.find(s)
			if answer == nil {
				continue // in the inbox
			}
			if answers++; answers > maxAnswers {
				return
			}
			r.answer(key, *answer)
			for i+1 < len(m.Entries) && m.Entries[i+1].Origin.Sequence < answer.first+answer.count {
				i++
			}
		}
	}
}

// takeEntry takes the next proposal of an origin: into the inbox, or refuses it.
func (r *replica) takeEntry(key originKey, o *origin, e *Entry) {
	answer := run{first: e.Origin.Sequence, count: 1}
	switch {
	case !e.Intact():
		answer.limit = damaged
	case len(e.Data) > r.cfg.MaxEntryBytes:
		answer.limit = uint64(r.cfg.MaxEntryBytes)
	case !r.inbox.empty() && r.inbox.size()+len(e.Data)+proposalOverhead > r.cfg.MaxPendingBytes:
		r.overload()
	default:
		r.inbox.put(Entry{Type: e.Type, Data: e.Data, Origin: e.Origin, Checksum: e.Checksum})
		return
	}
	o.add(answer) // remembered: a late repeat must not be taken after its origin was told
	r.answer(key, answer)
}

// size is what the inbox holds.
func (b *inbox) size() int { return b.bytes + (len(b.entries)-b.head)*proposalOverhead }

// answerForwarded tells the origins of entries, in the log from index on, where
// they are.
func (r *replica) answerForwarded(entries []Entry, index Index) {
	for i := 0; i < len(entries); {
		from := &entries[i].Origin
		n := 1
		for i+n < len(entries) && continues(from, &entries[i+n].Origin, n) {
			n++
		}
		answer := run{first: from.Sequence, count: uint64(n), index: index + Index(i)}
		key := originKey{from.Node, from.Incarnation}
		if o := r.inbox.origins[key]; o != nil {
			o.add(answer)
		}
		r.answer(key, answer)
		i += n
	}
	clear(entries)
	if r.inbox.empty() {
		r.inbox.entries, r.inbox.head = reuse(r.inbox.entries), 0
	}
}

// continues reports whether b is the n-th origin after a.
func continues(a, b *raftpb.Origin, n int) bool {
	return a.Node == b.Node && a.Incarnation == b.Incarnation && a.Sequence+uint64(n) == b.Sequence
}

func (r *replica) answer(to originKey, answer run) {
	r.outbox = append(r.outbox, Message{
		Type:    raftpb.ProposeReply,
		Group:   r.cfg.Group,
		From:    r.cfg.ID,
		To:      to.node,
		Term:    r.core.Term(),
		Round:   to.incarnation,
		Context: answer.first,
		Match:   Index(answer.count),
		Index:   answer.index,
		Reject:  answer.index == 0,
		Window:  answer.limit,
	})
}

// forget drops the answers that the origin has: those to all below first.
func (o *origin) forget(first uint64) {
	n := 0
	for n < len(o.runs) && o.runs[n].first+o.runs[n].count <= first {
		n++
	}
	o.runs = slices.Delete(o.runs, 0, n)
	o.next = max(o.next, first)
}

// add inserts an answer, in order. A refusal may come before the answers to
// earlier proposals, which are in the inbox.
func (o *origin) add(answer run) {
	i := len(o.runs)
	for i > 0 && o.runs[i-1].first > answer.first {
		i--
	}
	if i > 0 && o.runs[i-1].joins(answer) {
		o.runs[i-1].count += answer.count
		return
	}
	o.runs = slices.Insert(o.runs, i, answer)
}

// joins reports whether b continues a.
func (a run) joins(b run) bool {
	if a.first+a.count != b.first || a.limit != b.limit {
		return false
	}
	if a.index == 0 || b.index == 0 {
		return a.index == b.index
	}
	return a.index+Index(a.count) == b.index
}

// find returns the answer to a sequence number, nil if there is none.
func (o *origin) find(sequence uint64) *run {
	i, _ := slices.BinarySearchFunc(o.runs, sequence, func(a run, s uint64) int {
		if a.first+a.count <= s {
			return -1
		}
		return 1
	})
	if i == len(o.runs) || o.runs[i].first > sequence {
		return nil
	}
	return &o.runs[i]
}

// validForward reports whether m is well-formed: commands of one run of its
// sender's, in ascending order.
func validForward(m *Message) bool {
	if len(m.Entries) == 0 || m.Context == 0 {
		return false
	}
	first := &m.Entries[0].Origin
	last := uint64(0)
	for i := range m.Entries {
		e := &m.Entries[i]
		o := &e.Origin
		if e.Type != EntryCommand || o.Node != m.From || o.Incarnation != first.Incarnation ||
			o.Sequence <= last || o.Sequence < m.Context || o.Sequence > 1<<62 {
			return false
		}
		last = o.Sequence
	}
	return true
}

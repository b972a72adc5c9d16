package wal

import (
	"encoding/binary"

	"go.uber.org/zap"

	"github.com/seed-6281cb22/raft"
)

// The oldest segments are cleaned, by writing again what is still needed of
// them, when the chain takes more than slackSegments segments plus slackFactor
// times the live bytes. So a log whose entries are needed costs nothing extra,
// and however few entries an idle group holds, they pin no more than that.
//
// A third of an average segment is live at that bound. A batch carries along
// half its own size, so that half again as much is written as is freed.
const (
	slackSegments = 4
	slackFactor   = 3
	// A small batch carries along smallRelocation, or an eighth of a segment
	// if that is less: cleaning is then ahead of the need, and delays no one
	// for long. A large one never more than largeRelocation.
	smallRelocation = 256 << 10
	largeRelocation = 64 << 20
)

// cleaning is the state of the cleaning of one segment. It is the writer's.
type cleaning struct {
	segment *segment // nil: none
	todo    []span
	encoded encoded
	buf     []byte
}

// span is entries of a group that follow each other.
type span struct {
	group       *group
	first, last raft.Index
}

// chooseCleaning begins to clean the oldest segment, if the chain is too long.
// What another cleaning had left to do there it goes on with.
func (l *Log) chooseCleaning() {
	c := &l.cleaning
	if c.segment != l.chain[0] || len(c.todo) == 0 {
		c.segment, c.todo = nil, c.todo[:0]
		l.cleanNext()
	}
}

// cleanNext goes on to the oldest segment behind the one that has been
// cleaned, unless what remains is short enough.
func (l *Log) cleanNext() {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &l.cleaning
	var live, size int64
	for _, s := range l.chain {
		live += s.live
		if c.segment == nil || s.number > c.segment.number {
			size += s.size
		}
	}
	for _, s := range l.chain[:len(l.chain)-1] {
		if c.segment != nil && s.number <= c.segment.number {
			continue
		}
		if size <= slackSegments*l.opts.SegmentBytes+slackFactor*live || len(l.damage) > 0 {
			return
		}
		size -= s.size
		c.segment = s
		for _, g := range l.list {
			c.todo = g.spansIn(s.number, c.todo)
		}
		if len(c.todo) > 0 {
			return
		}
	}
}

// spansIn appends the group's entries in a segment.
func (g *group) spansIn(segment uint32, spans []span) []span {
	begun := false
	for i, at := range g.locations {
		index := g.first + raft.Index(i)
		switch {
		case at.segment != segment:
			begun = false
		case begun:
			spans[len(spans)-1].last = index
		default:
			spans = append(spans, span{g, index, index})
			begun = true
		}
	}
	return spans
}

// relocateInto adds to a batch some of what is needed of the segments that are
// being cleaned. It is composed now, when the batch is written, from what is
// durable; the records before it in the batch may have newer entries, so it
// never counts for more than a second place where an entry is found.
func (l *Log) relocateInto(b *batch) {
	c := &l.cleaning
	budget := max(min(smallRelocation, int(l.opts.SegmentBytes/8)), min(largeRelocation, len(b.buf)/2))
	for budget > 0 && len(c.todo) > 0 {
		s := &c.todo[0]
		found, rest := l.locate(*s, c.segment.number, budget)
		from := c.segment
		if rest.first <= rest.last {
			*s = rest
		} else if c.todo = c.todo[1:]; len(c.todo) == 0 {
			l.cleanNext()
		}
		if len(found.at) == 0 {
			continue
		}
		o := op{kind: recordRelocate, group: found.group, first: found.first}
		size, err := l.encodeRelocation(from, &found)
		if err != nil {
			// The group's own reads report it. Its segment stays.
			l.logger.Error("cannot relocate entries of an old segment", zap.Uint64("group", uint64(found.group.id)), zap.Error(err))
			continue
		}
		budget -= size
		b.add(&c.encoded, o)
	}
}

// located is where entries of a group that follow each other are.
type located struct {
	group *group
	first raft.Index
	terms []raft.Term
	at    []location
}

// locate returns those entries at the front of s that the segment still holds,
// up to about budget bytes, and what remains of s.
func (l *Log) locate(s span, segment uint32, budget int) (located, span) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := s.group
	found := located{group: g}
	s.first = max(s.first, g.first)
	s.last = min(s.last, g.last())
	for ; s.first <= s.last && budget > 0; s.first++ {
		at := g.locations[s.first-g.first]
		if at.segment != segment {
			if len(found.at) > 0 {
				break
			}
			continue
		}
		if len(found.at) == 0 {
			found.first = s.first
		}
		term, _ := g.term(s.first)
		found.at = append(found.at, at)
		found.terms = append(found.terms, term)
		budget -= int(at.size)
	}
	return found, s
}

func (l *Log) encodeRelocation(from *segment, found *located) (size int, err error) {
	c := &l.cleaning
	e := &c.encoded
	e.reset()
	e.buf = beginRecord(e.buf, recordRelocate, 0, found.group.id)
	e.buf = binary.AppendUvarint(e.buf, uint64(len(found.at)))
	for i, at := range found.at {
		if cap(c.buf) < int(at.size) {
			c.buf = make([]byte, at.size)
		}
		buf := c.buf[:at.size]
		if _, err := from.file.ReadAt(buf, int64(at.off)); err != nil {
			return 0, err
		}
		if _, err := openEntry(found.group.id, buf); err != nil {
			return 0, err
		}
		e.entries = append(e.entries, entryMeta{term: found.terms[i], off: uint32(len(e.buf)), size: at.size})
		e.buf = append(e.buf, buf...)
	}
	endRecord(e.buf, 0)
	return len(e.buf), nil
}

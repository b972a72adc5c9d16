package wal

import (
	"encoding/binary"

	"go.uber.org/zap"

	"github.com/seed-6281cb22/raft"
)

// The oldest segment is cleaned, by writing again what is still needed of it,
// when the chain is longer than slackSegments plus slackFactor times the live
// bytes. So a log whose entries are needed costs nothing extra, and however
// few entries an idle group holds, they pin no more than that.
const (
	slackSegments = 4
	slackFactor   = 3
	// maxRelocatedBytes is what a single batch carries along.
	maxRelocatedBytes = 256 << 10
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
func (l *Log) chooseCleaning() {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &l.cleaning
	oldest := l.chain[0]
	var liveBytes int64
	for _, s := range l.chain {
		liveBytes += s.live
	}
	if int64(len(l.chain)) <= slackSegments+slackFactor*liveBytes/l.opts.SegmentBytes || len(l.damage) > 0 {
		*c = cleaning{encoded: c.encoded, buf: c.buf}
		return
	}
	if c.segment == oldest && len(c.todo) > 0 {
		return
	}
	c.segment = oldest
	c.todo = c.todo[:0]
	for _, g := range l.list {
		c.todo = g.spansIn(oldest.number, c.todo)
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

// relocateInto adds to a batch some of what is needed of the segment that is
// being cleaned. It is composed now, when the batch is written, from what is
// durable; the records before it in the batch may have newer entries, so it
// never counts for more than a second place where an entry is found.
func (l *Log) relocateInto(b *batch) {
	c := &l.cleaning
	for budget := min(maxRelocatedBytes, int(l.opts.SegmentBytes/8)); budget > 0 && len(c.todo) > 0; {
		s := &c.todo[0]
		found, rest := l.locate(*s, c.segment.number, budget)
		if rest.first > rest.last {
			c.todo = c.todo[1:]
		} else {
			*s = rest
		}
		if len(found.at) == 0 {
			continue
		}
		o := op{kind: recordRelocate, group: found.group, first: found.first}
		size, err := l.encodeRelocation(&found)
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

func (l *Log) encodeRelocation(found *located) (size int, err error) {
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
		if _, err := c.segment.file.ReadAt(buf, int64(at.off)); err != nil {
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

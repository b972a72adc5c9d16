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
		if size <= slackSegments*l.opts.SegmentBytes+slackFactor*live {
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
		from := c.segment
		found, rest := l.locate(c.todo[0], from.number, budget)
		if len(found.at) > 0 {
			o := op{kind: recordRelocate, group: found.group, first: found.first}
			n, err := l.encodeRelocation(from, &found, &o)
			if err != nil {
				// The group's own reads report it. Its segment stays.
				l.logger.Error("cannot relocate entries of an old segment", zap.String("segment", from.name), zap.Uint64("group", uint64(found.group.id)), zap.Error(err))
			} else {
				rest.first -= raft.Index(len(found.at) - n)
				budget -= len(c.encoded.buf)
				b.add(&c.encoded, o)
			}
		}
		if rest.first <= rest.last {
			c.todo[0] = rest
		} else if c.todo = c.todo[1:]; len(c.todo) == 0 {
			l.cleanNext()
		}
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

// encodeRelocation encodes what is found, up to the first damaged entry, or
// that one alone. It returns how many entries that is.
func (l *Log) encodeRelocation(from *segment, found *located, o *op) (n int, err error) {
	c := &l.cleaning
	e := &c.encoded
	e.reset()
	e.buf = beginRecord(e.buf, recordRelocate, 0, found.group.id)
	e.buf = append(e.buf, 0, 0, 0, 0, 0) // where the number will be
	for n < len(found.at) {
		at := found.at[n]
		if cap(c.buf) < int(at.size) {
			c.buf = make([]byte, at.size)
		}
		buf := c.buf[:at.size]
		if _, err := from.file.ReadAt(buf, int64(at.off)); err != nil {
			return 0, err
		}
		if _, err := openEntry(found.group.id, buf); err != nil {
			l.logger.Error("an entry is damaged", zap.String("segment", from.name), zap.Uint32("offset", at.off),
				zap.Uint64("group", uint64(found.group.id)), zap.Uint64("index", uint64(found.first)+uint64(n)))
			if n == 0 {
				o.kind = recordDamaged
				e.damaged(found, buf)
				return 1, nil
			}
			break
		}
		e.entries = append(e.entries, entryMeta{term: found.terms[n], off: uint32(len(e.buf)), size: at.size})
		e.buf = append(e.buf, buf...)
		n++
	}
	putPaddedUvarint(e.buf[recordHeaderBytes:recordHeaderBytes+5], uint64(n))
	endRecord(e.buf, 0)
	return n, nil
}

// putPaddedUvarint fills b with v, which may take fewer bytes.
func putPaddedUvarint(b []byte, v uint64) {
	for i := range b {
		b[i] = byte(v)&0x7f | 0x80
		v >>= 7
	}
	b[len(b)-1] &= 0x7f
}

// damaged encodes the first entry found, which is damaged, as it is; but for
// its length, which is known.
func (e *encoded) damaged(found *located, buf []byte) {
	e.reset()
	e.buf = beginRecord(e.buf, recordDamaged, 0, found.group.id)
	e.buf = binary.AppendUvarint(e.buf, uint64(found.first))
	e.buf = binary.AppendUvarint(e.buf, uint64(found.terms[0]))
	binary.LittleEndian.PutUint32(buf, uint32(len(buf)-entryHeaderBytes))
	e.entries = append(e.entries, entryMeta{term: found.terms[0], off: uint32(len(e.buf)), size: uint32(len(buf))})
	e.buf = append(e.buf, buf...)
	endRecord(e.buf, 0)
}

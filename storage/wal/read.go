package wal

import (
	"fmt"
	"io"
	"slices"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

const (
	// maxReadBytes is how much of a segment is read at once, unless a single
	// entry is larger.
	maxReadBytes = 256 << 10
	// maxGapBytes: what lies between two entries is read along if it is less.
	maxGapBytes = 8 << 10
)

// Entries implements raft.Storage. The entries' data is in memory of their
// own, which they share and nothing else does. They are what the log held at
// one moment: if a Write that replaces some of the log becomes durable
// meanwhile, only those read before are returned.
func (s *storage) Entries(buf []raft.Entry, lo, hi raft.Index, maxBytes int) ([]raft.Entry, error) {
	r := reader{storage: s, lo: lo, hi: hi}
	for r.lo < r.hi {
		piece, err := r.locate(maxBytes)
		if piece == nil || err != nil {
			return buf, err
		}
		before := len(buf)
		read, err := piece.read(buf)
		if err != nil {
			// The entries may have moved, or been forgotten or replaced,
			// meanwhile, and their file been used again.
			again, locateErr := r.locate(maxBytes)
			if locateErr != nil || again == nil || again.at[0] != piece.at[0] {
				continue
			}
			return buf, err
		}
		for buf = read[:before]; len(buf) < len(read); buf = read[:len(buf)+1] {
			r.taken += len(read[len(buf)].Data)
			if r.taken > maxBytes && r.read > 0 {
				return buf, nil
			}
			r.lo++
			r.read++
		}
	}
	return buf, nil
}

// reader is a call of Entries.
type reader struct {
	*storage
	lo, hi raft.Index // what remains to be read
	read   int        // entries
	taken  int        // bytes of data
	begun  bool
	cuts   uint64 // of the group, when it began
}

// piece is some entries that one read of a segment gets.
type piece struct {
	group raft.GroupID
	name  string
	file  vfs.File
	cache *cache
	first raft.Index
	at    []location
	terms []raft.Term
}

// locate returns where the entries from lo on are: at least one, and as many
// as are close enough in one segment, and surely within maxBytes. It returns
// nil when what has been read is all that is left of the log as it was.
func (r *reader) locate(maxBytes int) (*piece, error) {
	l, g := r.log, r.g
	l.mu.Lock()
	defer l.mu.Unlock()
	changed := r.begun && (g.cuts != r.cuts || r.lo < g.first)
	switch {
	case l.filesClosed:
		return nil, raft.ErrClosed
	case g.refused != nil && g.lost:
		return nil, g.refused
	case changed && r.read > 0:
		return nil, nil
	case r.lo < g.first:
		return nil, raft.ErrCompacted
	case changed && r.lo <= g.last(): // nothing has been read: another beginning
		r.hi = min(r.hi, g.last()+1)
	case r.hi > g.last()+1:
		return nil, fmt.Errorf("wal: group %d: entries up to %d asked for, and %d is the last durable one", g.id, r.hi-1, g.last())
	}
	r.begun, r.cuts = true, g.cuts
	lo := r.lo
	at := g.locations[lo-g.first : r.hi-g.first]
	n, size := 1, int(at[0].size)
	for ; n < len(at); n++ {
		end := at[n-1].off + at[n-1].size
		size += int(at[n].size)
		if size > maxBytes-r.taken || at[n].segment != at[0].segment || at[n].off < end || at[n].off-end > maxGapBytes ||
			at[n].off+at[n].size-at[0].off > maxReadBytes {
			break
		}
	}
	seg := l.segments[at[0].segment]
	if seg == nil {
		return nil, corruptGroups(l.dir, 0, "no segment holds the entry", raft.IndexRange{Group: g.id, First: lo, Last: lo})
	}
	return &piece{group: g.id, name: seg.name, file: seg.file, cache: l.cache, first: lo, at: append([]location(nil), at[:n]...), terms: g.terms(lo, n)}, nil
}

func (p *piece) corrupt(index raft.Index, reason string) error {
	return corruptGroups(p.name, int64(p.at[index-p.first].off), reason, raft.IndexRange{Group: p.group, First: index, Last: index})
}

// read appends the entries. Each is checked, wherever it comes from.
func (p *piece) read(buf []raft.Entry) ([]raft.Entry, error) {
	raw, err := p.bytes()
	if err != nil {
		return nil, err
	}
	buf = slices.Grow(buf, len(p.at))
	for i, at := range p.at {
		body, err := openEntry(p.group, raw.of(at))
		if err != nil {
			return nil, p.corrupt(p.first+raft.Index(i), err.Error())
		}
		buf = append(buf, raft.Entry{})
		e := &buf[len(buf)-1]
		if err := e.Unmarshal(body); err != nil {
			return nil, p.corrupt(p.first+raft.Index(i), err.Error())
		}
		if e.Index != p.first+raft.Index(i) || e.Term != p.terms[i] {
			return nil, p.corrupt(p.first+raft.Index(i), fmt.Sprintf("entry %d of term %d is in the place of one of term %d", e.Index, e.Term, p.terms[i]))
		}
	}
	return buf, nil
}

// rawEntries are the bytes of entries, and nothing or little else.
type rawEntries struct {
	buf   []byte
	dense bool   // one after the other: of gives them in turn
	start uint32 // if not: what buf begins with in the segment
}

// of returns the bytes of an entry, the next one.
func (r *rawEntries) of(at location) []byte {
	off := uint32(0)
	if !r.dense {
		off = at.off - r.start
	}
	b := r.buf[off : off+at.size]
	if r.dense {
		r.buf = r.buf[at.size:]
	}
	return b
}

// bytes gets the entries from memory, or from the disk. What lies between
// them is not kept if it is most of what was read.
func (p *piece) bytes() (*rawEntries, error) {
	if b := p.cache.read(p.at); b != nil {
		return &rawEntries{buf: b, dense: true}, nil
	}
	start, last := p.at[0].off, p.at[len(p.at)-1]
	raw := rawEntries{buf: make([]byte, last.off+last.size-start), start: start}
	if n, err := p.file.ReadAt(raw.buf, int64(start)); err == io.EOF {
		return nil, p.corrupt(p.first, fmt.Sprintf("the file ends %d bytes early", len(raw.buf)-n))
	} else if err != nil {
		return nil, fmt.Errorf("wal: reading %s: %w", p.name, err)
	}
	size := 0
	for _, at := range p.at {
		size += int(at.size)
	}
	if size >= len(raw.buf)/2 {
		return &raw, nil
	}
	b := make([]byte, 0, size)
	for _, at := range p.at {
		b = append(b, raw.of(at)...)
	}
	return &rawEntries{buf: b, dense: true}, nil
}

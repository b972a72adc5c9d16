package wal

import (
	"fmt"
	"io"

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
		entries, err := piece.read(s.g.id)
		if err != nil {
			// The entries may have moved, or been forgotten or replaced,
			// meanwhile, and their file been used again.
			again, locateErr := r.locate(maxBytes)
			if locateErr != nil || again == nil || again.at[0] != piece.at[0] {
				continue
			}
			return buf, err
		}
		for i := range entries {
			r.taken += len(entries[i].Data)
			if r.taken > maxBytes && r.read > 0 {
				return buf, nil
			}
			buf = append(buf, entries[i])
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
	name  string
	file  vfs.File
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
	case l.ended:
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
	return &piece{name: seg.name, file: seg.file, first: lo, at: append([]location(nil), at[:n]...), terms: g.terms(lo, n)}, nil
}

func (p *piece) corrupt(group raft.GroupID, index raft.Index, reason string) error {
	return corruptGroups(p.name, int64(p.at[index-p.first].off), reason, raft.IndexRange{Group: group, First: index, Last: index})
}

// read returns the entries. Their data does not pin what lies between them.
func (p *piece) read(group raft.GroupID) ([]raft.Entry, error) {
	start, last := p.at[0].off, p.at[len(p.at)-1]
	raw := make([]byte, last.off+last.size-start)
	if n, err := p.file.ReadAt(raw, int64(start)); err == io.EOF {
		return nil, p.corrupt(group, p.first, fmt.Sprintf("the file ends %d bytes early", len(raw)-n))
	} else if err != nil {
		return nil, fmt.Errorf("wal: reading %s: %w", p.name, err)
	}
	dense := 0
	for _, at := range p.at {
		dense += int(at.size)
	}
	arena := raw
	if dense < len(raw)/2 {
		arena = make([]byte, 0, dense)
	}
	entries := make([]raft.Entry, len(p.at))
	for i, at := range p.at {
		body, err := openEntry(group, raw[at.off-start:at.off-start+at.size])
		if err != nil {
			return nil, p.corrupt(group, p.first+raft.Index(i), err.Error())
		}
		if dense < len(raw)/2 {
			arena = append(arena, body...)
			body = arena[len(arena)-len(body):]
		}
		if err := entries[i].Unmarshal(body); err != nil {
			return nil, p.corrupt(group, p.first+raft.Index(i), err.Error())
		}
		if e := &entries[i]; e.Index != p.first+raft.Index(i) || e.Term != p.terms[i] {
			return nil, p.corrupt(group, p.first+raft.Index(i), fmt.Sprintf("entry %d of term %d is in the place of one of term %d", e.Index, e.Term, p.terms[i]))
		}
	}
	return entries, nil
}

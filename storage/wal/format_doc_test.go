package wal_test

// A reader of the log that was written from docs/wal-format.md alone. It uses
// nothing of this package, and of the library only the messages of raft.proto.

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-6281cb22/raft"
)

var table = crc32.MakeTable(crc32.Castagnoli)

func crc(seed uint32, b []byte) uint32 { return crc32.Update(seed, table, b) }

func entrySeed(group uint64) uint32 { return uint32((group + 1) * 0x9e3779b97f4a7c15 >> 32) }

// docLog is what the reader makes of a directory.
type docLog struct {
	groups  map[uint64]*docGroup
	refused string // why nothing can be made of it
	damaged uint64 // the highest LSN that is missing, 0: none
	broken  bool   // there is damage
	explain func(file string, off int, b []byte, what string)
}

type docGroup struct {
	id        uint64
	identity  raft.Identity
	hardState raft.HardState
	snapshot  raft.Snapshot
	first     raft.Index
	prevTerm  raft.Term
	entries   []docEntry // from first on
	last      uint64     // LSN of its last record
	proven    uint64     // LSN up to which none is missing
	refused   string
}

type docEntry struct {
	raft.Entry
	found bool // somewhere
	rots  bool // and damaged there
}

func (g *docGroup) end() raft.Index { return g.first + raft.Index(len(g.entries)) }

func (g *docGroup) lose(why string) {
	if g.refused == "" {
		g.refused = why
	}
}

type docSegment struct {
	name                             string
	b                                []byte
	number                           uint32
	salt, firstLSN, durable, prevLSN uint64
	prevNumber                       uint32
	prevEnd, size                    int
	magic, seed                      uint32
	frames                           []docFrame
	holes                            []docHole
	stated                           uint64 // LSN of the intact frame header that was read last
	highestDurable                   uint64
}

type docFrame struct {
	off  int
	lsn  uint64
	body []byte
}

type docHole struct{ lsn, next uint64 }

// readDoc reads a directory, given as the content of its files.
func readDoc(files map[string][]byte, explain func(string, int, []byte, string)) *docLog {
	l := &docLog{groups: map[uint64]*docGroup{}, explain: explain}
	if l.explain == nil {
		l.explain = func(string, int, []byte, string) {}
	}
	chain := l.chain(files)
	for i, s := range chain {
		l.explainHeader(s)
		durable := s.durable
		if i+1 < len(chain) {
			next := chain[i+1]
			s.b = s.b[:min(len(s.b), next.prevEnd)]
			s.walk()
			durable = next.prevLSN
		} else {
			s.walk()
			durable = max(durable, s.highestDurable)
		}
		l.replay(s, durable, i == 0)
	}
	if l.refused == "" {
		l.judge()
		l.snapshots(files)
	}
	return l
}

// chain returns the segments that are needed, ascending.
func (l *docLog) chain(files map[string][]byte) []*docSegment {
	exist := map[uint32]*docSegment{}
	newest := uint32(0)
	for name, b := range files {
		base, ok := strings.CutSuffix(name, ".wal")
		number, err := strconv.ParseUint(base, 16, 32)
		if !ok || len(base) != 8 || err != nil {
			continue
		}
		if s := l.header(name, b); s != nil && s.number == uint32(number) {
			exist[s.number] = s
			newest = max(newest, s.number)
		}
	}
	for name, b := range files {
		if l.hidden(name, b, exist, newest) {
			l.refused = "a segment is not recognized"
			return nil
		}
	}
	if newest == 0 {
		return nil
	}
	last := exist[newest]
	if len(last.b) < last.size {
		l.refused = "the newest segment has been cut"
		return nil
	}
	needed, known := uint32(0), false
	if lsn, body, _, ok := last.frame(8192); ok && lsn == last.firstLSN && len(body) >= 24 && body[0] == 4 {
		n, _ := binary.Uvarint(body[24:])
		needed, known = uint32(n), true
	}
	chain := []*docSegment{last}
	for s := last; s.number != needed; chain = append(chain, s) {
		prev := exist[s.prevNumber]
		if prev == nil && !known && s != last {
			break // the checkpoint is damaged, and repeats only what earlier frames say
		}
		if prev == nil {
			l.refused = "a segment is missing"
			return nil
		}
		s = prev
	}
	slices.Reverse(chain)
	return chain
}

// hidden reports whether a file is a segment above the newest one, and does not
// look like it.
func (l *docLog) hidden(name string, b []byte, exist map[uint32]*docSegment, newest uint32) bool {
	base, isSegment := strings.CutSuffix(name, ".wal")
	if !isSegment && !strings.HasSuffix(name, ".spare") {
		return false
	}
	if s := l.header(name, b); s != nil && s.number > newest {
		return true
	}
	number, err := strconv.ParseUint(base, 16, 32)
	if !isSegment || err != nil || uint32(number) <= newest || len(b) < 8256 {
		return false
	}
	c := &cursor{b: b[8256:], explain: func(int, []byte, string) {}}
	c.uvarint("first segment that is needed:")
	own, salt := c.uvarint("this segment:"), c.uvarint("salt:")
	if c.bad || b[8232] != 4 || own != number {
		return false
	}
	s := &docSegment{b: b, magic: 0x5246524d ^ uint32(salt>>32), seed: crc(0, binary.LittleEndian.AppendUint64(nil, salt))}
	s.frame(8192)
	s.firstLSN = s.stated
	s.walk()
	return s.firstLSN > 0 && s.highestDurable >= s.firstLSN
}

func (l *docLog) header(name string, b []byte) (first *docSegment) {
	number, _ := strconv.ParseUint(strings.TrimSuffix(name, ".wal"), 16, 32)
	for _, at := range []int{0, 4096} {
		if len(b) < at+128 {
			break
		}
		h := b[at : at+128]
		if string(h[:8]) != "RAFTWAL\n" || binary.LittleEndian.Uint32(h[12:]) != crc(crc(0, h[:12]), h[16:]) {
			continue
		}
		u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
		s := &docSegment{
			name: name, b: b, number: u32(h[16:]), salt: u64(h[24:]), firstLSN: u64(h[32:]), durable: u64(h[40:]),
			prevNumber: u32(h[48:]), prevEnd: int(u64(h[56:])), prevLSN: u64(h[64:]), size: int(u64(h[72:])),
		}
		s.magic, s.seed = 0x5246524d^uint32(s.salt>>32), crc(0, h[24:32])
		if s.number == uint32(number) {
			return s
		}
		if first == nil {
			first = s
		}
	}
	return first
}

func (l *docLog) explainHeader(s *docSegment) {
	for _, f := range []struct {
		at, size int
		what     string
	}{
		{0, 8, "magic"}, {8, 4, "version 1"}, {12, 4, "CRC"}, {16, 4, fmt.Sprintf("number %d", s.number)},
		{24, 8, "salt"}, {32, 8, fmt.Sprintf("first LSN %d", s.firstLSN)}, {40, 8, fmt.Sprintf("durable LSN %d", s.durable)},
		{48, 4, "no segment before"}, {72, 8, fmt.Sprintf("size %d", s.size)},
	} {
		l.explain(s.name, f.at, s.b[f.at:f.at+f.size], "header: "+f.what)
	}
}

// frame returns what is at an offset.
func (s *docSegment) frame(off int) (lsn uint64, body []byte, next int, ok bool) {
	if off+40 > len(s.b) {
		return 0, nil, 0, false
	}
	h := s.b[off : off+40]
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	if u32(h) != s.magic || u32(h[36:]) != crc(s.seed, h[:36]) {
		return 0, nil, 0, false
	}
	s.highestDurable = max(s.highestDurable, u64(h[16:]))
	s.stated = u64(h[8:])
	length := int(u32(h[24:]))
	if length > len(s.b)-off-40 {
		return 0, nil, 0, false
	}
	body = s.b[off+40 : off+40+length]
	unit := 8
	if u32(h[4:])&1 != 0 {
		unit = 4096
	}
	return u64(h[8:]), body, (off + 40 + length + unit - 1) / unit * unit, u32(h[28:]) == crc(s.seed, body)
}

func (s *docSegment) walk() {
	lsn, off := s.firstLSN, 8192
	for {
		found, body, next, ok := s.frame(off)
		if ok && found == lsn {
			s.frames = append(s.frames, docFrame{off, lsn, body})
			lsn, off = lsn+1, next
			continue
		}
		hole := docHole{lsn: lsn}
		for off += 8; off < len(s.b); off += 8 {
			if found, _, _, ok := s.frame(off); ok && found > lsn {
				hole.next = found
				break
			}
		}
		s.holes = append(s.holes, hole)
		if hole.next == 0 {
			return
		}
		lsn = hole.next
	}
}

func (l *docLog) replay(s *docSegment, durable uint64, first bool) {
	for _, h := range s.holes {
		if h.lsn == s.firstLSN && !first {
			h.lsn++ // the checkpoint repeats only what earlier frames say
		}
		if h.lsn <= durable && h.lsn != h.next {
			to := durable
			if h.next > 0 {
				to = h.next - 1
			}
			l.broken, l.damaged = true, max(l.damaged, to)
		}
	}
	judged := false
	for i, f := range s.frames {
		if f.lsn > durable && !judged {
			judged = true
			l.nowhere()
		}
		for _, h := range s.holes {
			if h.lsn > durable && h.lsn < f.lsn {
				return // torn
			}
		}
		h := s.b[f.off : f.off+40]
		for _, field := range []struct {
			at, size int
			what     string
		}{
			{0, 4, "magic"}, {4, 4, "last of its batch"}, {8, 8, fmt.Sprintf("LSN %d", f.lsn)},
			{16, 8, fmt.Sprintf("durable LSN %d", binary.LittleEndian.Uint64(h[16:]))},
			{24, 4, fmt.Sprintf("body of %d bytes", len(f.body))}, {28, 4, "CRC of the body"}, {36, 4, "CRC of the header"},
		} {
			l.explain(s.name, f.off+field.at, h[field.at:field.at+field.size], "frame: "+field.what)
		}
		for at := 0; at < len(f.body); {
			size := 24 + int(binary.LittleEndian.Uint32(f.body[at+4:]))
			c := &cursor{b: f.body[at : at+size], explain: func(from int, b []byte, what string) {
				l.explain(s.name, f.off+40+at+from, b, what)
			}}
			l.record(c, f.lsn, first && i == 0)
			at += size
		}
	}
}

// cursor takes values from a record.
type cursor struct {
	b       []byte
	at      int
	bad     bool
	explain func(from int, b []byte, what string)
}

func (c *cursor) take(n int, what string) []byte {
	if c.bad || n < 0 || n > len(c.b)-c.at {
		c.bad = true
		return make([]byte, 8)
	}
	b := c.b[c.at : c.at+n]
	c.explain(c.at, b, what)
	c.at += n
	return b
}

func (c *cursor) uvarint(what string) uint64 {
	v, n := binary.Uvarint(c.b[c.at:])
	c.take(n, fmt.Sprintf("%s %d", what, v))
	return v
}

func (c *cursor) message(m interface{ Unmarshal([]byte) error }, what string) {
	n := c.uvarint("length")
	if b := c.take(int(n), what); !c.bad {
		c.bad = m.Unmarshal(b) != nil
	}
}

func (c *cursor) identity() raft.Identity {
	name := string(c.take(int(c.uvarint("identity: length")), "identity: the cluster's name"))
	return raft.Identity{Cluster: name, Node: raft.NodeID(c.uvarint("identity: node"))}
}

// entry returns one and whether it is intact.
func (c *cursor) entry(group uint64) (e raft.Entry, ok bool) {
	size := binary.LittleEndian.Uint32(c.take(4, "entry: length"))
	sum := binary.LittleEndian.Uint32(c.take(4, "entry: CRC"))
	b := c.take(int(size), "entry: Entry")
	ok = !c.bad && sum == crc(entrySeed(group), b) && e.Unmarshal(b) == nil
	return e, ok
}

func (c *cursor) entries(group uint64) (all []raft.Entry) {
	for n := c.uvarint("entries:"); n > 0 && !c.bad; n-- {
		e, ok := c.entry(group)
		c.bad = c.bad || !ok
		all = append(all, e)
	}
	return all
}

func (l *docLog) record(c *cursor, lsn uint64, base bool) {
	kind := c.take(1, "record: kind")[0]
	flags := c.take(1, "record: flags")[0]
	c.at = 4
	c.take(4, "record: length of the payload")
	id := binary.LittleEndian.Uint64(c.take(8, "record: group"))
	prev := binary.LittleEndian.Uint64(c.take(8, "record: LSN of the previous one"))
	if kind == 4 {
		c.uvarint("first segment that is needed:")
		c.uvarint("this segment:")
		c.uvarint("salt:")
		return
	}
	if kind == 7 {
		l.lost(c)
		return
	}
	g := l.groups[id]
	if g == nil {
		g = &docGroup{id: id, first: 1}
		l.groups[id] = g
		if kind == 3 && !base {
			g.lose("its beginning is missing")
		}
	}
	if g.refused != "" {
		return
	}
	if kind == 3 {
		g.checkpoint(c, prev, base)
	} else {
		if prev != g.last {
			g.lose("a record is missing")
			return
		}
		g.last = lsn
		g.apply(c, kind, flags)
	}
	if c.bad {
		g.lose("malformed")
		l.broken = true
		return
	}
	g.proven = lsn
}

func (l *docLog) lost(c *cursor) {
	c.uvarint("segment")
	c.uvarint("offset")
	c.take(int(c.uvarint("reason: length")), "reason")
	for n := c.uvarint("segments that stay:"); n > 0; n-- {
		c.uvarint("segment")
	}
	for n := c.uvarint("groups:"); n > 0; n-- {
		id := c.uvarint("group")
		c.uvarint("first index")
		c.uvarint("last index")
		if l.groups[id] == nil {
			l.groups[id] = &docGroup{id: id, first: 1}
		}
		l.groups[id].lose("lost to earlier damage")
	}
	l.broken = true
}

func (g *docGroup) apply(c *cursor, kind, flags byte) {
	switch kind {
	case 1:
		c.message(&g.hardState, "HardState")
		if flags&1 != 0 {
			g.identity = c.identity()
		}
		if flags&2 != 0 {
			g.snapshot = raft.Snapshot{}
			c.message(&g.snapshot, "Snapshot")
			g.first, g.prevTerm, g.entries = g.snapshot.Index+1, g.snapshot.Term, nil
		}
		for i, e := range c.entries(g.id) {
			if c.bad || e.Index < g.first || e.Index > g.end() {
				c.bad = true
				return
			}
			if i == 0 {
				g.entries = g.entries[:e.Index-g.first]
			}
			g.entries = append(g.entries, docEntry{Entry: e, found: true})
		}
	case 2:
		for _, e := range c.entries(g.id) {
			g.relocate(docEntry{Entry: e, found: true})
		}
	case 5:
		first := raft.Index(c.uvarint("the log begins at"))
		if c.bad = c.bad || first == 0 || first > g.end(); !c.bad {
			g.compact(first)
		}
	case 6:
		e := raft.Entry{Index: raft.Index(c.uvarint("index")), Term: raft.Term(c.uvarint("term"))}
		intact, ok := c.entry(g.id)
		g.relocate(docEntry{Entry: e, found: true, rots: !ok || intact.Index != e.Index || intact.Term != e.Term})
	default:
		c.bad = true
	}
}

func (g *docGroup) relocate(e docEntry) {
	if e.Index >= g.first && e.Index < g.end() && g.entries[e.Index-g.first].Term == e.Term {
		g.entries[e.Index-g.first] = e
	}
}

func (g *docGroup) compact(first raft.Index) {
	if first > g.first {
		g.prevTerm = g.entries[first-g.first-1].Term
		g.entries = g.entries[first-g.first:]
		g.first = first
	}
}

func (g *docGroup) checkpoint(c *cursor, newest uint64, base bool) {
	stated := docGroup{id: g.id, last: newest}
	c.message(&stated.hardState, "HardState")
	stated.identity = c.identity()
	c.message(&stated.snapshot, "Snapshot")
	stated.first = raft.Index(c.uvarint("first index"))
	stated.prevTerm = raft.Term(c.uvarint("term before it"))
	held := c.uvarint("entries held:")
	stated.entries = make([]docEntry, held)
	for n := c.uvarint("term runs:"); n > 0 && !c.bad; n-- {
		first, term := raft.Index(c.uvarint("run from")), raft.Term(c.uvarint("of term"))
		for i := first; i < stated.end(); i++ {
			stated.entries[i-stated.first].Index, stated.entries[i-stated.first].Term = i, term
		}
	}
	for n := c.uvarint("memberships:"); n > 0 && !c.bad; n-- {
		c.uvarint("at index")
		c.message(&raft.Membership{}, "Membership")
	}
	switch {
	case c.bad:
	case base:
		*g = stated
	case g.last != newest || g.end() != stated.end() || g.first > stated.first ||
		g.hardState != stated.hardState || g.snapshot.Index != stated.snapshot.Index:
		c.bad = true
	default:
		g.compact(stated.first)
	}
}

package wal

import (
	"encoding/binary"
	"fmt"

	"github.com/seed-6281cb22/raft"
)

// appendCheckpointHead appends the record that begins a segment.
func appendCheckpointHead(b []byte, firstNeeded uint32, h *segmentHeader) []byte {
	start := len(b)
	b = beginRecord(b, recordCheckpointHead, 0, 0)
	b = binary.AppendUvarint(b, uint64(firstNeeded))
	b = binary.AppendUvarint(b, uint64(h.number))
	b = binary.AppendUvarint(b, h.salt)
	endRecord(b, start)
	return b
}

// decodeCheckpointHead returns the first segment that is needed, and the
// salt.
func decodeCheckpointHead(r *record, number uint32) (firstNeeded uint32, salt uint64, err error) {
	if r.kind != recordCheckpointHead {
		return 0, 0, fmt.Errorf("%w: a segment without a checkpoint", errFormat)
	}
	d := decoder{buf: r.bytes, pos: recordHeaderBytes}
	needed, own := d.uvarint(), d.uvarint()
	salt = d.uvarint()
	if d.err == nil && (own != uint64(number) || needed > own || needed == 0) {
		d.fail()
	}
	return uint32(needed), salt, d.err
}

// appendCheckpoint appends the group's state, which earlier frames and
// segments hold; but for where the entries are.
func (g *group) appendCheckpoint(b []byte) []byte {
	start := len(b)
	b = beginRecord(b, recordCheckpoint, 0, g.id)
	putPrevLSN(b[start:], g.lastLSN)
	b = appendMessage(b, &g.hardState)
	b = appendIdentity(b, g.identity)
	b = appendMessage(b, &g.snapshot)
	b = binary.AppendUvarint(b, uint64(g.first))
	b = binary.AppendUvarint(b, uint64(g.prevTerm))
	b = binary.AppendUvarint(b, uint64(len(g.locations)))
	b = binary.AppendUvarint(b, uint64(len(g.runs)))
	for _, run := range g.runs {
		b = binary.AppendUvarint(b, uint64(run.First))
		b = binary.AppendUvarint(b, uint64(run.Term))
	}
	b = binary.AppendUvarint(b, uint64(len(g.memberships)))
	for i := range g.memberships {
		b = binary.AppendUvarint(b, uint64(g.memberships[i].Index))
		b = appendMessage(b, &g.memberships[i].Membership)
	}
	endRecord(b, start)
	return b
}

// decodeCheckpoint returns a group in the state that a checkpoint states. Its
// entries are nowhere yet.
func decodeCheckpoint(r *record) (*group, error) {
	g := newGroup(r.group)
	g.lastLSN = r.prevLSN
	d := decoder{buf: r.bytes, pos: recordHeaderBytes}
	d.message(&g.hardState)
	g.identity = d.identity()
	d.message(&g.snapshot)
	g.first = raft.Index(d.uvarint())
	g.prevTerm = raft.Term(d.uvarint())
	held := d.uvarint()
	for n := d.count(2); n > 0 && d.err == nil; n-- {
		g.runs = append(g.runs, raft.TermRun{First: raft.Index(d.uvarint()), Term: raft.Term(d.uvarint())})
	}
	for n := d.count(2); n > 0 && d.err == nil; n-- {
		at := raft.MembershipAt{Index: raft.Index(d.uvarint())}
		d.message(&at.Membership)
		g.memberships = append(g.memberships, at)
	}
	if d.err == nil && !g.plausible(held) {
		d.fail()
	}
	if d.err != nil {
		return nil, d.err
	}
	g.locations = make([]location, held)
	return g, nil
}

// maxEntries bounds what a crafted checkpoint can make Open allocate.
const maxEntries = 1 << 28

// plausible reports whether the runs describe held entries from first on.
func (g *group) plausible(held uint64) bool {
	if g.first == 0 || g.first > raft.MaxIndex+1 || g.snapshot.Index > raft.MaxIndex || held > maxEntries || (held == 0) != (len(g.runs) == 0) {
		return false
	}
	last := g.first + raft.Index(held) - 1
	for i, run := range g.runs {
		switch {
		case i == 0 && run.First != g.first,
			i > 0 && run.First <= g.runs[i-1].First,
			run.First > last:
			return false
		}
	}
	return true
}

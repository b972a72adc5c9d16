package wal

import (
	"encoding/binary"
	"errors"
	"path/filepath"
	"slices"

	"go.uber.org/zap"

	"github.com/seed-6281cb22/raft"
)

// Damage that Open has found is stated by every checkpoint from then on, with
// the groups that it has cost. So nothing of it is forgotten when the segments
// behind it are freed, as usual, and the groups that are lost need none. The
// segments in which something of them is stay in the directory, for whoever
// examines them, and do not count.

// appendDamage appends a record of the damage, whose file is a segment's, and
// of the segments that stay.
func appendDamage(b []byte, e *raft.CorruptError, kept []uint32) []byte {
	start := len(b)
	b = beginRecord(b, recordLost, 0, 0)
	number, _ := parseNumber(filepath.Base(e.File), segmentSuffix)
	b = binary.AppendUvarint(b, uint64(number))
	b = binary.AppendUvarint(b, uint64(e.Offset))
	b = binary.AppendUvarint(b, uint64(len(e.Reason)))
	b = append(b, e.Reason...)
	b = binary.AppendUvarint(b, uint64(len(kept)))
	for _, number := range kept {
		b = binary.AppendUvarint(b, uint64(number))
	}
	b = binary.AppendUvarint(b, uint64(len(e.Ranges)))
	for _, r := range e.Ranges {
		b = binary.AppendUvarint(b, uint64(r.Group))
		b = binary.AppendUvarint(b, uint64(r.First))
		b = binary.AppendUvarint(b, uint64(r.Last))
	}
	endRecord(b, start)
	return b
}

// decodeDamage returns what appendDamage was given, but for the path of the
// segment.
func decodeDamage(r *record) (e *raft.CorruptError, kept []uint32, err error) {
	d := decoder{buf: r.bytes, pos: recordHeaderBytes}
	number, offset := d.uvarint(), d.uvarint()
	e = corruptGroups(segmentName(uint32(number)), int64(offset), string(d.bytes(d.count(1))))
	for n := d.count(1); n > 0 && d.err == nil; n-- {
		kept = append(kept, uint32(d.uvarint()))
	}
	for n := d.count(3); n > 0 && d.err == nil; n-- {
		e.Ranges = append(e.Ranges, raft.IndexRange{
			Group: raft.GroupID(d.uvarint()), First: raft.Index(d.uvarint()), Last: raft.Index(d.uvarint()),
		})
	}
	return e, kept, d.err
}

// appendDamage appends all damage that the next Open must know. Of what no
// group is lost to it must know that there is some: a group that is not known
// may have been there.
func (l *Log) appendDamage(b []byte) []byte {
	kept := l.kept
	for i, e := range l.damage {
		if i == 0 || len(e.Ranges) > 0 {
			b = appendDamage(b, e, kept)
			kept = nil
		}
	}
	return b
}

// stated takes over the damage that an earlier Open has found. It may still be
// there, and have been found again.
func (r *replay) stated(rec *record) error {
	e, kept, err := decodeDamage(rec)
	if err != nil {
		return err
	}
	r.l.kept = append(r.l.kept, kept...)
	ranges := e.Ranges
	e.File, e.Ranges = r.l.path(e.File), nil
	same := func(o *raft.CorruptError) bool {
		return o.File == e.File && o.Offset == e.Offset && o.Reason == e.Reason
	}
	if i := slices.IndexFunc(r.l.damage, same); i >= 0 {
		e = r.l.damage[i]
	} else {
		r.l.damage = append(r.l.damage, e)
	}
	for _, lost := range ranges {
		if g := r.l.groups[lost.Group]; g == nil || !g.lost {
			r.l.group(lost.Group).lose(e, lost)
		}
	}
	return nil
}

// lose refuses the group for good.
func (g *group) lose(e *raft.CorruptError, missing raft.IndexRange) {
	e.Ranges = append(e.Ranges, missing)
	g.lost, g.refused = true, e
}

// keepDamaged chooses what stays because of damage: segments in which the
// groups are that are lost, and those that an earlier Open has chosen, if
// they are there. What is left of those groups is not found in the log any
// more.
func (r *replay) keepDamaged(names []string) {
	l := r.l
	for _, g := range l.list {
		if !g.lost {
			continue
		}
		for _, at := range g.locations {
			if at.segment != 0 {
				l.account(at, -1)
				r.keep(at.segment)
			}
		}
		g.first, g.locations, g.runs, g.memberships = g.last()+1, nil, nil, nil
	}
	slices.Sort(l.kept)
	l.kept = slices.Compact(l.kept)
	l.kept = slices.DeleteFunc(l.kept, func(number uint32) bool { return !slices.Contains(names, segmentName(number)) })
	if len(l.damage) > 0 {
		l.logger.Error("groups of the log are damaged; what is left of them stays in the directory, until it is removed",
			zap.String("dir", l.dir), zap.Uint32s("segments", l.kept), zap.Error(errors.Join(l.damageErrors()...)))
	}
}

func (r *replay) keep(number uint32) {
	if n := len(r.l.kept); n == 0 || r.l.kept[n-1] != number {
		r.l.kept = append(r.l.kept, number)
	}
}

func (l *Log) damageErrors() (all []error) {
	for _, e := range l.damage {
		all = append(all, e)
	}
	return all
}

package wal

import (
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/seed-6281cb22/raft"
)

// replay rebuilds the groups' states from the chain of segments.
type replay struct {
	l     *Log
	carry *batch // what is above the highest LSN known to be durable
	// seen is the LSN of the last record of a group in carry.
	seen map[*group]uint64
	enc  encoded
	// found is the first damage in the chain, nil: none.
	found *raft.CorruptError
	// damagedEntries are those of which a record says so.
	damagedEntries []damagedEntry
}

// damagedEntry is an entry that the log holds, unless it has been replaced or
// forgotten since.
type damagedEntry struct {
	group *group
	index raft.Index
}

// refuseDamagedEntries refuses the groups whose logs hold an entry of which a
// record says that it is damaged.
func (r *replay) refuseDamagedEntries() {
	for _, e := range r.damagedEntries {
		if e.index < e.group.first || e.index > e.group.last() {
			continue
		}
		s := storage{r.l, e.group}
		if _, err := s.Entries(nil, e.index, e.index+1, 0); err != nil && e.group.refused == nil {
			e.group.refused = err
		}
	}
}

// run replays the chain, whose last segment may end in a torn write.
func (r *replay) run() error {
	l := r.l
	var done, total int64
	for _, seg := range l.chain {
		total += seg.size
	}
	segments := newAhead(l.chain, l.manual())
	defer segments.end()
	for i, seg := range l.chain {
		durable := uint64(0)
		last := i == len(l.chain)-1
		if !last {
			durable = l.chain[i+1].header.prevLSN
		}
		data, err := segments.next()
		if err != nil {
			return err
		}
		w := walk(data, seg.salted, seg.header.firstLSN)
		if last {
			durable = max(seg.header.durableLSN, w.durableLSN)
			if err := r.confirmHeader(seg, w); err != nil {
				return err
			}
		}
		r.segment(seg, w, durable, i == 0)
		if last {
			r.saveTorn(seg, data, w)
			l.nextLSN, l.durableLSN, l.statedLSN = durable+1, durable, durable
		}
		if done += seg.size; l.opts.Progress != nil {
			l.opts.Progress(done, total)
		}
	}
	r.judge()
	return nil
}

// confirmHeader makes sure that the last segment's header is durable, if
// nothing in the segment shows that it once was: it may come from the page
// cache, and the next segment builds on it. The bytes are the same, and yet a
// power loss may ruin what is being written: so the copies are written one
// after the other, the one that was read last.
func (r *replay) confirmHeader(seg *segment, w *walked) error {
	if w.highestLSN > seg.header.durableLSN {
		return nil
	}
	_, readAt, _, err := readSegmentHeader(seg.file, seg.number)
	if err != nil {
		return err
	}
	for _, copyAt := range []int64{blockSize - readAt, readAt} {
		if err := seg.writeHeader(copyAt, copyAt+blockSize); err != nil {
			return err
		}
	}
	return nil
}

// segment replays the frames up to durable and carries those above it. A hole
// up to durable is damage, the first one above it the end.
func (r *replay) segment(seg *segment, w *walked, durable uint64, first bool) {
	holes := w.holes
	seg.end = int64(holes[len(holes)-1].off)
	for i := range w.frames {
		f := &w.frames[i]
		for holes[0].lsn < f.lsn && holes[0].lsn <= durable {
			r.hole(seg, holes[0], durable, first)
			holes = holes[1:]
		}
		if holes[0].lsn < f.lsn { // torn: what follows was not acknowledged
			seg.end = min(seg.end, int64(holes[0].off))
			return
		}
		if f.lsn > durable {
			seg.end = min(seg.end, int64(f.off))
		}
		r.frame(seg, f, f.lsn > durable, first && i == 0)
	}
	if holes[0].lsn <= durable {
		r.hole(seg, holes[0], durable, first)
	}
}

// hole notes that frames of a segment are missing that were acknowledged. The
// checkpoint has said nothing that earlier frames do not, unless the chain
// begins with it: without it no group lacks anything.
func (r *replay) hole(seg *segment, h hole, durable uint64, first bool) {
	seg.baseless = seg.baseless || h.lsn == seg.header.firstLSN
	if h.lsn == seg.header.firstLSN && !first {
		r.l.logger.Error("a checkpoint is damaged, and not needed", zap.String("segment", seg.name))
		h.lsn++
		if h.lsn == h.next || h.lsn > durable {
			return
		}
	}
	r.damaged(seg, h, durable)
}

// damaged notes that acknowledged frames are missing.
func (r *replay) damaged(seg *segment, h hole, durable uint64) {
	to := durable
	if h.next > 0 {
		to = h.next - 1
	}
	r.l.damagedLSN = max(r.l.damagedLSN, to)
	e := corruptGroups(seg.name, int64(h.off), fmt.Sprintf("acknowledged frames %d to %d are damaged or missing", h.lsn, to))
	r.note(e, seg)
	r.l.logger.Error("the log is damaged", zap.Error(e))
}

// note takes note of damage, for whose examination the segment stays.
func (r *replay) note(e *raft.CorruptError, seg *segment) {
	r.l.damage = append(r.l.damage, e)
	if r.found == nil {
		r.found = e
	}
	r.keep(seg.number)
}

func (r *replay) frame(seg *segment, f *frame, carry, base bool) {
	all, err := records(f.body)
	if err != nil {
		r.damaged(seg, hole{off: f.off, lsn: f.lsn, next: f.lsn + 1}, f.lsn)
		return
	}
	for i := range all {
		rec := &all[i]
		switch rec.kind {
		case recordCheckpointHead:
		case recordCheckpoint:
			err = r.checkpoint(seg, f, rec, base)
		case recordSave, recordRelocate, recordCompact, recordDamaged:
			err = r.save(seg, f, rec, carry)
		case recordLost:
			if r.stated(rec) != nil {
				r.damaged(seg, hole{off: f.off, lsn: f.lsn, next: f.lsn + 1}, f.lsn)
			}
		default:
			err = fmt.Errorf("%w: unknown kind %d", errFormat, rec.kind)
		}
		if err != nil {
			r.lose(r.l.group(rec.group), seg, int64(f.off+frameHeaderBytes+rec.off), err, 0)
		}
	}
}

var (
	errMissing = errors.New("an earlier record of the group is missing")
	errDiffers = errors.New("a checkpoint differs from the records before it")
)

func (r *replay) checkpoint(seg *segment, f *frame, rec *record, base bool) error {
	stated, err := decodeCheckpoint(rec)
	if err != nil {
		return err
	}
	g := r.l.groups[rec.group]
	switch {
	case g == nil && base:
		stated.tail = stated.last()
		stated.provenLSN = f.lsn
		r.l.groups[rec.group] = stated
		r.l.list = append(r.l.list, stated)
		return nil
	case g == nil:
		return errMissing
	case g.lost:
		return nil
	case g.lastLSN != stated.lastLSN:
		return errMissing
	case g.last() != stated.last() || g.first > stated.first ||
		g.hardState != stated.hardState || g.snapshot.Index != stated.snapshot.Index:
		return errDiffers
	}
	g.compact(stated.first-1, r.l.accountFunc)
	g.provenLSN = f.lsn
	return nil
}

func (r *replay) save(seg *segment, f *frame, rec *record, carry bool) error {
	g := r.l.group(rec.group)
	if g.lost {
		r.keep(seg.number)
		return nil
	}
	r.enc.reset()
	o := op{group: g}
	if err := rec.decode(&o, &r.enc); err != nil {
		return err
	}
	o.entriesEnd, o.membershipsEnd = len(r.enc.entries), len(r.enc.memberships)
	if o.kind == recordDamaged {
		r.damagedEntries = append(r.damagedEntries, damagedEntry{g, o.first})
	}
	prev := g.lastLSN
	if lsn, ok := r.seen[g]; ok {
		prev = lsn
	}
	if prev != rec.prevLSN {
		upTo := raft.Index(0)
		if o.entriesEnd > 0 && o.first > g.last()+1 {
			upTo = o.first - 1
		}
		r.lose(g, seg, int64(f.off), errMissing, upTo)
		return nil
	}
	g.provenLSN = f.lsn
	if carry {
		r.seen[g] = f.lsn
		r.enc.buf = append(r.enc.buf[:0], rec.bytes...)
		r.carry.add(&r.enc, o)
		return nil
	}
	g.lastLSN = f.lsn
	return g.apply(&o, &r.enc, seg.number, int64(f.off+frameHeaderBytes+rec.off), r.l.accountFunc)
}

// lose refuses a group: records of it are missing, or may be.
func (r *replay) lose(g *group, seg *segment, off int64, reason error, upTo raft.Index) {
	if g.lost {
		return
	}
	if r.found == nil {
		r.note(corruptGroups(seg.name, off, reason.Error()), seg)
	}
	g.lose(r.found, raft.IndexRange{Group: g.id, First: g.last() + 1, Last: upTo})
}

// judge refuses every group that the damage may concern: all but those of
// which a later record says that none is missing.
func (r *replay) judge() {
	for _, g := range r.l.list {
		g.tail = g.last()
		if r.found != nil && g.provenLSN <= r.l.damagedLSN {
			r.lose(g, nil, 0, errMissing, 0)
		}
		for i, at := range g.locations {
			if at.segment == 0 && !g.lost && g.refused == nil {
				g.refused = corruptGroups(r.l.chain[0].name, 0, "no segment holds the entry", raft.IndexRange{Group: g.id, First: g.first + raft.Index(i)})
			}
		}
	}
}

// saveTorn copies what is cut from the last segment, for whoever wants to see
// it. It never fails the recovery.
func (r *replay) saveTorn(seg *segment, data []byte, w *walked) {
	cut := -1
	for _, h := range w.holes {
		if h.lsn > max(seg.header.durableLSN, w.durableLSN) {
			cut = h.off
			break
		}
	}
	if cut < 0 || w.end <= cut {
		return // blank, or of the file's earlier lives
	}
	name := r.l.path(fmt.Sprintf("%08x-%08x%s", seg.number, cut, tornSuffix))
	r.l.logger.Warn("cutting a torn write that was never acknowledged",
		zap.String("segment", seg.name), zap.Int("offset", cut), zap.String("saved", name))
	f, err := r.l.fs.Create(name)
	if err == nil {
		_, err = f.WriteAt(data[cut:w.end], 0)
		f.Close()
	}
	if err != nil {
		r.l.logger.Warn("cannot save a torn write", zap.String("file", name), zap.Error(err))
	}
}

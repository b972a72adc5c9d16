package raft

import (
	"errors"
	"slices"
)

// writePipeline knows what has been handed to the storage and what of it is
// durable. Durability is by write sequence, never by (term, index): an index
// may be overwritten while an earlier write of it is in flight, and then that
// write's completion says nothing about what stands there now.
type writePipeline struct {
	drained   uint64 // sequence of the newest write handed out
	persisted uint64 // all writes up to this one are durable
	hardState uint64 // the write that holds the newest term, vote and mark
	inFlight  []writeRecord
	gathering writeRecord // what the next Ready will write; its seq is 0 if nothing
	snapshot  *Snapshot   // part of it
	entries   Index       // part of it: all entries from here on, 0: none
}

// writeRecord is a write that is not durable yet.
type writeRecord struct {
	seq   uint64
	first Index   // the first index that it touches, 0: none
	since Instant // when it was handed out
}

// newest returns the sequence of the newest write, handed out or not.
func (w *writePipeline) newest() uint64 {
	if w.gathering.seq != 0 {
		return w.gathering.seq
	}
	return w.drained
}

// gather makes sure that there is a next write.
func (w *writePipeline) gather() {
	w.gathering.seq = w.drained + 1
}

func (w *writePipeline) touchHardState() {
	w.gather()
	w.hardState = w.gathering.seq
}

// touchFrom says that the next write replaces everything from i on.
func (w *writePipeline) touchFrom(i Index) {
	w.gather()
	if w.gathering.first == 0 || i < w.gathering.first {
		w.gathering.first = i
	}
}

// touchEntries says that the next write holds the entries from i on.
func (w *writePipeline) touchEntries(i Index) {
	w.touchFrom(i)
	if w.entries == 0 || i < w.entries {
		w.entries = i
	}
}

// touchSnapshot says that the next write replaces the log by s. It counts as
// touching everything above commit, since all of that may have changed.
func (w *writePipeline) touchSnapshot(s *Snapshot, commit Index) {
	w.touchFrom(commit + 1)
	w.snapshot, w.entries = s, 0
}

// durableBelow returns the first index that an unpersisted write touches, or
// limit if none does below it.
func (w *writePipeline) durableBelow(limit Index) Index {
	for _, p := range w.inFlight {
		if p.first != 0 {
			limit = min(limit, p.first)
		}
	}
	if f := w.gathering.first; f != 0 {
		limit = min(limit, f)
	}
	return limit
}

// writeSince is when the oldest write that is under way was handed out, Never if
// there is none.
func (r *Raft) writeSince() Instant {
	if len(r.writes.inFlight) == 0 {
		return Never
	}
	return r.writes.inFlight[0].since
}

// stalled is the time from which on the disk has stalled, if nothing becomes
// durable before: an election timeout after the oldest write under way.
func (r *Raft) stalled() Instant {
	if len(r.writes.inFlight) == 0 {
		return Never
	}
	return r.writes.inFlight[0].since.Add(r.cfg.ElectionTimeout)
}

// blocking is the time from which on this leader stands in the way, Never if it
// does not: its disk has stalled, and for a heartbeat interval the others have been
// able to do without it. So a leader that cannot persist steps down (E13). But
// where a quorum's disks have stalled, its own among them, nobody could be
// elected: then it stays, and its heartbeats and reads go on (H6). The heartbeat
// interval is for disks that have stalled, and go on, together.
func (r *Raft) blocking() Instant {
	if r.leading.dispensable == Never {
		return Never
	}
	return max(r.stalled(), r.leading.dispensable.Add(r.cfg.HeartbeatInterval))
}

// watchDisk keeps track, with each heartbeat, of since when the others have been able
// to do without this leader, whose write has been under way for a heartbeat
// interval: they have committed what is not durable here, or a quorum of them has
// made durable all that it has received. The latter does not ask for a commit, since
// a leader may have to read its disk to bring the others up to date.
func (r *Raft) watchDisk() {
	l := r.leading
	slow := len(r.writes.inFlight) > 0 && r.now >= r.writes.inFlight[0].since.Add(r.cfg.HeartbeatInterval)
	switch {
	case !slow || r.commit <= r.durable() && !r.othersWrite():
		l.dispensable = Never
	case l.dispensable == Never:
		l.dispensable = r.now
	}
}

// othersWrite reports whether a quorum without this replica has made durable all
// that it has received.
func (r *Raft) othersWrite() bool {
	return quorumOf(r, 0, func(p *progress) uint64 {
		if p.match < p.verified {
			return 0
		}
		return 1
	}) == 1
}

// durable is the highest index up to which this replica's log is durable:
// min(last index, first index touched by any unpersisted write - 1).
func (r *Raft) durable() Index { return r.writes.durableBelow(r.log.last+1) - 1 }

// hardStateDurable reports whether term, vote and mark are durable as they are.
func (r *Raft) hardStateDurable() bool { return r.writes.hardState <= r.writes.persisted }

// heldMessage waits for the write that is the newest at its creation.
type heldMessage struct {
	seq  uint64
	term Term // current at its creation
	m    Message
}

// send completes m and hands it to the next Ready, or, since a message reveals
// the term, the vote and the mark of its sender, holds it until those are
// durable (figure 2: "Updated on stable storage before responding to RPCs").
// Of each kind at most one is held for each peer: the newest says all. It copies
// m, which is the caller's.
func (r *Raft) send(m *Message) {
	m.Group, m.From = r.cfg.Group, r.cfg.ID
	if m.Term == 0 {
		m.Term = r.term
	}
	if m.Marked {
		m.Context = r.mark
	}
	if r.hardStateDurable() {
		r.messages = append(r.messages, *m)
		return
	}
	h := heldMessage{seq: r.writes.newest(), term: r.term, m: *m}
	for i := range r.held {
		if r.held[i].m.To == m.To && r.held[i].m.Type == m.Type {
			r.held[i] = h
			return
		}
	}
	if len(r.held) < maxHeld {
		r.held = append(r.held, h)
	}
}

// maxHeld bounds the held messages: of each kind one for each member, and
// some for strangers.
const maxHeld = 4 * maxMembers

// Persisted says that all writes up to seq are durable.
func (r *Raft) Persisted(now Instant, seq uint64) {
	r.advance(now)
	w := &r.writes
	if r.err != nil || seq <= w.persisted || seq > w.drained {
		return
	}
	before := r.durable()
	w.persisted = seq
	n := 0
	for n < len(w.inFlight) && w.inFlight[n].seq <= seq {
		n++
	}
	w.inFlight = append(w.inFlight[:0], w.inFlight[n:]...)
	durable := r.durable()
	f := &r.following
	if f.windowClosed || f.ackWaiting && durable > before {
		f.ackNow, f.ackWaiting, f.windowClosed = true, f.verified > durable, false
	}
	r.releaseHeld()
	if r.role == Candidate && r.election.ownVoteSeq <= seq {
		r.countOwnVote()
	}
}

// releaseHeld sends what waited for writes that are durable now. A message of
// an earlier term would speak for a state that is no more: it is dropped.
func (r *Raft) releaseHeld() {
	if len(r.held) == 0 {
		return
	}
	r.held = slices.DeleteFunc(r.held, func(h heldMessage) bool {
		if h.seq > r.writes.persisted {
			return false
		}
		if h.term == r.term {
			r.messages = append(r.messages, h.m)
		}
		return true
	})
	if len(r.held) == 0 {
		r.held = nil // terms begin seldom: an idle core keeps nothing for it
	}
}

// PersistFailed says that a write has failed. The core stops for good: it does
// not vote, lead or acknowledge any more, and every input is ignored.
func (r *Raft) PersistFailed(now Instant, err error) {
	r.advance(now)
	r.fail(err)
}

// Ready returns, and hands over, everything that is to be done now.
func (r *Raft) Ready() (rd Ready) {
	if r.err != nil {
		return r.lastReady()
	}
	if r.role == Leader {
		r.advanceCommit()
		if r.members.changing {
			r.advanceMembership()
		}
		r.handOver()
	}
	r.releaseWindow()
	if r.role == Leader {
		r.confirmReads()
		r.replicateAll()
		if r.leading.resigning {
			r.resign()
		}
	} else if r.following.ackNow {
		r.acknowledge()
	}
	if r.cfg.Events && r.role == Leader {
		r.watch()
	}
	rd.Committed, rd.Restore = r.takeCommitted(), r.takeRestore()
	if r.writes.gathering.seq != 0 {
		r.takeWrite(&rd.Write)
	}
	if len(r.messages) > 0 || r.handedOut > 0 {
		rd.Messages = r.takeMessages()
	}
	if len(r.reads) > 0 {
		rd.Reads, r.reads = r.reads, r.reads[:0]
	}
	if r.logReads != nil {
		rd.LogReads, r.logReads = r.logReads, nil
	}
	if r.snapshots != nil {
		rd.Snapshots, r.snapshots = r.snapshots, nil
	}
	if r.events != nil {
		rd.Events, r.events = r.events, nil
	}
	return rd
}

// takeMessages hands out the messages in the memory where they have gathered: it
// is the caller's until the next call. What the last Ready has left there would
// keep entries from being freed.
func (r *Raft) takeMessages() []Message {
	m := r.messages
	if len(m) < r.handedOut {
		rest := m[len(m):r.handedOut]
		for i := range rest {
			rest[i].Entries, rest[i].Snapshot = nil, nil
		}
	}
	r.messages, r.handedOut = m[:0], len(m)
	return m
}

// lastReady reports what a failed core still has to say.
func (r *Raft) lastReady() Ready {
	rd := Ready{Reads: r.reads, Events: r.events}
	r.reads, r.events = nil, nil
	return rd
}

// Empty reports whether there is nothing to do.
func (rd *Ready) Empty() bool {
	return rd.Write.Seq == 0 && len(rd.Messages) == 0 && len(rd.Committed) == 0 && len(rd.LogReads) == 0 &&
		rd.Restore == nil && len(rd.Snapshots) == 0 && len(rd.Reads) == 0 && len(rd.Events) == 0
}

// takeWrite fills in the write that has gathered.
func (r *Raft) takeWrite(write *Write) {
	w := &r.writes
	write.Seq, write.HardState, write.Snapshot = w.gathering.seq, r.hardState(), w.snapshot
	if w.entries != 0 && w.entries <= r.log.last {
		write.Entries = r.log.window.slice(w.entries, r.log.last+1)
	}
	w.drained, w.gathering.since = w.gathering.seq, r.now
	w.inFlight = append(w.inFlight, w.gathering)
	w.gathering, w.snapshot, w.entries = writeRecord{}, nil, 0
}

// applyState is how far the state machine is.
type applyState struct {
	handedOut Index    // everything up to here has been handed out by Ready
	stamp     interval // of the entry there, as far as it is known
	batch     []Entry  // memory of Ready.Committed, and what a LogRead for it brought
	reading   Index    // Lo of the LogRead under way, 0: none
	fetched   bool     // batch was brought by a LogRead and comes with the next Ready
	// restoring is the snapshot that must be restored before anything is
	// applied; restoreDue says that Ready has not handed it out yet.
	restoreDue bool
	restoring  *Snapshot
}

func (a *applyState) restore(s Snapshot) {
	a.restoring, a.restoreDue = &s, true
	a.fetched, a.reading = false, 0
}

// Applied says that everything up to index has been applied, or, after
// Ready.Restore, restored. A restored snapshot may be a newer one than asked
// for: index says which.
func (r *Raft) Applied(now Instant, index Index) {
	r.advance(now)
	if r.err != nil {
		return
	}
	a := &r.apply
	if a.restoring == nil {
		index = min(index, a.handedOut)
	}
	r.applied = max(r.applied, index)
	if r.applied > a.handedOut { // restored
		a.handedOut, a.stamp = r.applied, interval{}
		if s := a.restoring; r.applied == s.Index {
			a.stamp = interval{s.Earliest, s.Latest}
		}
	}
	if a.restoring != nil && !a.restoreDue && r.applied >= a.restoring.Index {
		a.restoring = nil
	}
	r.members.forget(min(r.commit, r.applied))
	r.worked()
}

// applying reports whether the state machine is at work on what Ready has handed
// out, or has a snapshot to restore.
func (r *Raft) applying() bool { return r.apply.restoring != nil || r.apply.handedOut > r.applied }

// takeCommitted returns what is committed and durable here and comes next, if
// all that was handed out before has been applied.
func (r *Raft) takeCommitted() []Entry {
	a := &r.apply
	if r.applying() {
		return nil
	}
	if a.fetched {
		a.fetched = false
		return a.handOut()
	}
	lo, hi := r.applied+1, min(r.commit, r.durable())+1
	w := &r.log.window
	switch {
	case lo >= hi || a.reading != 0:
		return nil
	case lo < w.first:
		a.reading = lo
		r.logReads = append(r.logReads, LogRead{Term: r.term, Lo: lo, Hi: min(hi, w.first), MaxBytes: r.cfg.MaxApplyBytes})
		return nil
	}
	// Copied, since the window's memory moves on while this is applied.
	before := a.batch
	a.batch = append(a.batch[:0], w.slice(lo, w.fit(lo, hi, r.cfg.MaxApplyBytes))...)
	releaseData(before[min(len(a.batch), len(before)):])
	return a.handOut()
}

// handOut returns the batch, which is handed out now.
func (a *applyState) handOut() []Entry {
	a.handedOut += Index(len(a.batch))
	a.stamp = intervalOf(&a.batch[len(a.batch)-1])
	return a.batch
}

// takeRestore returns a snapshot to restore once it is durable here.
func (r *Raft) takeRestore() *Snapshot {
	a := &r.apply
	if !a.restoreDue || r.durable() < a.restoring.Index {
		return nil
	}
	a.restoreDue = false
	return a.restoring
}

// LogRead answers one of Ready.LogReads with what Storage.Entries returned.
// entries is the core's from now on. Entries that contradict the log are a
// storage that cannot be trusted, and so is an error: the core stops.
func (r *Raft) LogRead(now Instant, request LogRead, entries []Entry, err error) {
	r.advance(now)
	if r.err != nil || request.Lo == 0 || request.Hi <= request.Lo {
		return
	}
	if request.Peer != 0 {
		r.logReadForPeer(request, entries, err)
		return
	}
	a := &r.apply
	if a.reading != request.Lo || a.restoring != nil {
		return // asked before a snapshot took over
	}
	a.reading = 0
	entries, err = r.log.check(request, entries, err)
	if err != nil {
		r.fail(err)
		return
	}
	a.batch, a.fetched = entries, true
}

// releaseWindow drops entries that nobody here needs from memory: those that
// are durable, handed out to be applied, and, on a leader, committed and held
// by all followers. Beyond MaxWindowBytes it drops what is durable all the
// same, and who needs it asks by LogRead.
func (r *Raft) releaseWindow() {
	w := &r.log.window
	if w.len() == 0 {
		return
	}
	limit := r.durable() + 1
	if r.role == Leader {
		limit = min(limit, r.commit+1)
	}
	keep := min(limit, r.apply.handedOut+1)
	if r.role == Leader {
		for i := range r.peers {
			keep = min(keep, r.peers[i].match+1)
		}
	}
	w.dropBelow(keep)
	for w.len() > 0 && w.first < limit && w.size() > r.cfg.MaxWindowBytes {
		w.dropBelow(w.first + 1)
	}
}

// logReadForPeer sends entries that were read from the storage, unless the
// peer has moved on meanwhile.
func (r *Raft) logReadForPeer(request LogRead, entries []Entry, err error) {
	p := r.peer(request.Peer)
	if r.role != Leader || request.Term != r.term || p == nil || p.reading != request.Lo {
		return
	}
	p.reading = 0
	if request.Lo <= r.log.base {
		return // compacted meanwhile; replicate decides anew
	}
	if errors.Is(err, ErrCompacted) {
		r.needSnapshot(p) // the storage is a little ahead
		return
	}
	entries, err = r.log.check(request, entries, err)
	if err != nil {
		r.fail(err)
		return
	}
	if p.next != request.Lo || p.state == sendingSnapshot {
		return // what is still needed is asked for again
	}
	n := p.fitting(entries, p.room(r.cfg.MaxMessageBytes))
	if n == 0 {
		p.misfit = true
		return
	}
	size := 0
	for i := range entries[:n] {
		size += entrySize(&entries[i])
	}
	r.sendEntries(p, slices.Clone(entries[:n]), size)
}

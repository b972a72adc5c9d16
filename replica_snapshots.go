package raft

import (
	"errors"
	"fmt"
	"slices"

	"github.com/seed-6281cb22/raft/raftpb"
)

// Snapshots: taking, receiving and restoring them.
//
// A snapshot holds committed entries only, whoever took it and in whatever
// term it was sent. From that follows that these are safe, whatever crashes:
//
//   - A received snapshot is committed to the storage before the core hears of
//     it, and the core may then decline it: the term has moved on, or the log
//     has caught up. The storage's newest snapshot is then newer than the
//     core's. After a crash Load starts from it, with the log above it if that
//     agrees, and otherwise without: a log that lacks the entry (index, term)
//     of a committed prefix's end holds nothing above it that can be committed.
//   - A restore uses what OpenSnapshot gives: the newest. If it is newer than
//     the one that the core asked for, Applied says so, and the core does not
//     hand out the entries up to there: they are committed, and the state has
//     them. It is never older: whatever the core asks for was committed to
//     the storage before, and the storage keeps the newest.
//   - A local snapshot, of a lower index, that is committed while a newer one
//     is received changes nothing: the storage keeps the newest, and the core
//     is not told.
//   - A crash between a snapshot's Commit and the Write that installs it, or
//     half-way through a restore: Load returns the snapshot, and the core's
//     first wish is to restore it (scenario H18).
//
// One snapshot at a time is on its way in, from its first byte until the core
// has declined it or the state machine has been restored from it.

var (
	errBusy     = errors.New("raft: another snapshot is being received or restored")
	errDeposed  = errors.New("raft: the snapshot was asked for in an earlier term")
	errDeclined = errors.New("raft: the snapshot comes from a leader of an earlier term")
)

type snapshots struct {
	newest     Index // of those that the core knows to be in the storage
	incoming   bool  // one is being received or restored
	installing bool  // the core has accepted it

	taking  bool // one is being captured or written
	calls   []snapshotCall
	entries int64
	bytes   int64 // applied since the last one began

	applied int64     // bytes of entries since this replica's start
	marks   []logMark // how many those were at some indexes, ascending
	// kept is up to where the log will be compacted when no follower needs it
	// to catch up any more, 0: it has been.
	kept Index
}

// snapshotCall waits for a snapshot that holds all up to index.
type snapshotCall struct {
	future *future
	index  Index
}

// logMark says that the entries above index are those of the log that were
// applied once bytes had been.
type logMark struct {
	index Index
	bytes int64
}

// countApplied begins a snapshot when enough has been applied since the last.
func (r *replica) countApplied(entries, bytes int) {
	s := &r.snapshots
	s.entries += int64(entries)
	s.bytes += int64(bytes)
	s.applied += int64(bytes) + int64(entries)*entryOverhead
	r.snapshotIfDue()
}

// takeSnapshot begins a call that ends when a snapshot of all that has been
// applied here is committed in the storage. An error refuses it.
func (r *replica) takeSnapshot(now Instant, f *future) error {
	if err := r.refusal(); err != nil {
		return err
	}
	s := &r.snapshots
	index := max(r.apply.index, s.newest) // which is yet to be restored
	if index == 0 {
		return fmt.Errorf("%w: nothing has been applied", ErrNoSnapshot)
	}
	s.calls = append(s.calls, snapshotCall{f, index})
	r.endSnapshotCalls(s.newest, nil)
	r.snapshotIfDue()
	r.settle(now)
	return nil
}

// abandonSnapshot gives up a call. It returns false if it has ended already.
func (r *replica) abandonSnapshot(f *future) bool {
	s := &r.snapshots
	n := len(s.calls)
	s.calls = slices.DeleteFunc(s.calls, func(c snapshotCall) bool { return c.future == f })
	return len(s.calls) < n
}

// endSnapshotCalls ends the calls that wait for no more than index.
func (r *replica) endSnapshotCalls(index Index, err error) {
	s := &r.snapshots
	s.calls = slices.DeleteFunc(s.calls, func(c snapshotCall) bool {
		if c.index > index {
			return false
		}
		r.complete(c.future, err)
		return true
	})
}

// snapshotIfDue begins a snapshot if enough has been applied since the last, or
// a call waits for one, unless the state machine is at work: then it is asked
// again after that, since a snapshot's index is what has been applied exactly.
func (r *replica) snapshotIfDue() {
	s := &r.snapshots
	due := r.cfg.SnapshotEntries > 0 && s.entries >= r.cfg.SnapshotEntries ||
		r.cfg.SnapshotBytes > 0 && s.bytes >= r.cfg.SnapshotBytes || len(s.calls) > 0
	if !due || s.taking || s.installing || r.core.applying() {
		return
	}
	meta, err := r.core.SnapshotAt(r.apply.index)
	if err != nil {
		r.endSnapshotCalls(MaxIndex, err)
		return // the log has moved past this index
	}
	s.taking, s.entries, s.bytes = true, 0, 0
	s.mark(r.apply.index, r.cfg.CatchUpBytes)
	r.apply.push(task{kind: taskCapture, snapshot: meta})
}

// snapshotTaken says that taking a snapshot has ended: that it is committed in
// the storage, or why not. The next one is due after as much again.
func (r *replica) snapshotTaken(now Instant, meta Snapshot, err error) {
	if r.ended != nil {
		return
	}
	s := &r.snapshots
	s.taking = false
	if err != nil {
		r.event(Event{Kind: EventSnapshotNotTaken, Index: meta.Index, Err: err})
	} else {
		r.event(Event{Kind: EventSnapshotTaken, Index: meta.Index})
	}
	if err == nil && meta.Index > s.newest {
		s.newest = meta.Index
		r.compact(now, meta, r.compactable(now, meta.Index))
	}
	if err != nil {
		r.endSnapshotCalls(meta.Index, err)
	}
	r.endSnapshotCalls(s.newest, nil)
	if len(s.calls) > 0 {
		r.snapshotIfDue()
	}
	r.settle(now)
}

// compactable returns up to where the log is compacted now that there is a
// snapshot of index: TrailingEntries stay, and what a follower still needs to
// catch up, as far as that is not more than CatchUpBytes.
func (r *replica) compactable(now Instant, index Index) Index {
	s := &r.snapshots
	through := index - min(index, Index(r.cfg.TrailingEntries))
	s.kept = 0
	if keep := r.core.Compactable(now, through); keep < through {
		s.kept = through
		through = min(through, max(keep, s.within(r.cfg.CatchUpBytes)))
	}
	return through
}

func (r *replica) compact(now Instant, snapshot Snapshot, through Index) {
	r.snapshots.forgetMarks(through)
	r.core.Compacted(now, snapshot, through)
	r.io.compact(through)
}

// compactKept compacts what was kept for a follower that has caught up since, or
// is not waited for any more: the next snapshot may be long in coming.
func (r *replica) compactKept(now Instant) {
	s := &r.snapshots
	if s.kept == 0 || r.core.Compactable(now, s.kept) < s.kept {
		return
	}
	through := s.kept
	s.kept = 0
	known := &r.core.log.snapshot // nothing new to the core: its end will do
	r.compact(now, Snapshot{Index: known.index, Term: known.term}, through)
}

// mark notes how much has been applied at index. Marks are a sixteenth of limit
// apart, so that there are few of them.
func (s *snapshots) mark(index Index, limit int64) {
	if n := len(s.marks); n == 0 || s.applied-s.marks[n-1].bytes >= limit/16 {
		s.marks = append(s.marks, logMark{index, s.applied})
	}
}

// within returns the lowest index that is marked of which at most limit bytes
// of entries follow, MaxIndex if there is none.
func (s *snapshots) within(limit int64) Index {
	for _, m := range s.marks {
		if s.applied-m.bytes <= limit {
			return m.index
		}
	}
	return MaxIndex
}

// forgetMarks forgets those below the last one up to index.
func (s *snapshots) forgetMarks(index Index) {
	n := 0
	for n+1 < len(s.marks) && s.marks[n+1].index <= index {
		n++
	}
	s.marks = append(s.marks[:0], s.marks[n:]...)
}

// beginReceive says whether the data of the snapshot that m announces is
// wanted: if so, endReceive follows. If not, err is what to tell the sender.
func (r *replica) beginReceive(now Instant, m *Message) (wanted bool, err error) {
	switch {
	case r.ended != nil:
		return false, r.ended
	case m.Type != raftpb.InstallSnapshot || m.Group != r.cfg.Group || m.To != r.cfg.ID || m.Snapshot == nil || m.Snapshot.Index == 0:
		return false, fmt.Errorf("%w: not a snapshot for this replica", ErrMalformed)
	case r.core.checkMessage(m) != nil,
		m.Term == r.core.Term() && r.core.Leader() != 0 && r.core.Leader() != m.From:
		// Not after its data is committed in the storage, where the next
		// start would find it.
		return false, r.stepSnapshot(now, m)
	case m.Term < r.core.Term() || m.Snapshot.Index <= r.core.Commit():
		// The core does not install it, for the same reason, so that it does
		// not matter that the data is missing. It answers with what it has.
		return false, r.stepSnapshot(now, m)
	case r.snapshots.incoming:
		return false, errBusy
	}
	r.snapshots.incoming = true
	r.event(Event{Kind: EventSnapshotReceiving, Peer: m.From, Index: m.Snapshot.Index})
	return true, nil
}

// endReceive says that the snapshot announced by m is committed in the
// storage, or why not, and returns what to tell the sender.
func (r *replica) endReceive(now Instant, m *Message, err error) error {
	if r.ended != nil {
		return r.ended
	}
	r.snapshots.incoming = false
	if err == nil {
		err = r.stepSnapshot(now, m)
	}
	if err != nil {
		r.event(Event{Kind: EventSnapshotNotReceived, Peer: m.From, Index: m.Snapshot.Index, Err: err})
	}
	r.snapshots.incoming = r.snapshots.incoming || r.snapshots.installing
	return err
}

// stepSnapshot lets the core decide about a snapshot. It is accepted if all
// that it holds is committed here then, already or by it.
func (r *replica) stepSnapshot(now Instant, m *Message) error {
	err := r.core.Step(now, m)
	r.settle(now)
	switch {
	case r.ended != nil:
		return r.ended
	case err != nil:
		return err
	case r.core.Commit() < m.Snapshot.Index:
		return errDeclined
	}
	return nil
}

// snapshotRestored says that the state machine has been restored from the
// snapshot of index.
func (r *replica) snapshotRestored(index Index) {
	s := &r.snapshots
	s.incoming, s.installing = false, false
	s.newest = max(s.newest, index)
	s.entries, s.bytes = 0, 0
	s.marks = append(s.marks[:0], logMark{index, s.applied})
	r.endSnapshotCalls(s.newest, nil)
}

// captureToSend has the state captured in its turn, to be sent with m.
func (r *replica) captureToSend(m Message) {
	r.apply.push(task{kind: taskSend, announcement: &m})
}

// snapshotToSend returns the metadata of a capture that begins now, to be sent
// with m: the state machine has applied exactly what it has reported.
func (r *replica) snapshotToSend(m *Message) (Snapshot, error) {
	if r.core.Role() != Leader || r.core.Term() != m.Term {
		return Snapshot{}, errDeposed
	}
	s, err := r.core.SnapshotAt(r.apply.index)
	if err == nil {
		// What the log keeps for who catches up is what follows this.
		r.snapshots.mark(s.Index, r.cfg.CatchUpBytes)
	}
	return s, err
}

// snapshotSent answers one of effects.snapshots.
func (r *replica) snapshotSent(now Instant, peer NodeID, index Index, err error) {
	if r.ended != nil {
		return
	}
	if err != nil {
		r.event(Event{Kind: EventSnapshotNotSent, Peer: peer, Index: index, Err: err})
	} else {
		r.event(Event{Kind: EventSnapshotSent, Peer: peer, Index: index})
	}
	r.core.SnapshotSent(now, peer, index, err)
	r.settle(now)
}

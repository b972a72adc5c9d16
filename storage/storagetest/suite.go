package storagetest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft"
)

func isErr(err, target error) bool { return errors.Is(err, target) }

// suite is one check under way: the storage under test, and what it should
// hold.
type suite struct {
	testing.TB
	o    Options
	dev  *Device
	s    raft.Storage // nil: closed
	life *life

	// states is what the log should be before and after each write since the
	// storage was opened; acked is how many of them were reported durable.
	// The snapshots that were committed count beside them, in any state: the
	// first of snapshots that are certain, and the others in doubt, since
	// Commit failed.
	states    []content
	acked     int
	snapshots []committed
	certain   int
	compacted raft.Index
}

func begin(t testing.TB, o Options) *suite {
	t.Helper()
	o = o.withDefaults()
	s := &suite{TB: t, o: o, states: []content{{first: 1}}}
	s.newDevice()
	return s
}

// newDevice makes s a suite on another device.
func (s *suite) newDevice() {
	s.Helper()
	s.dev = s.o.New(s.TB)
	s.s, s.life, s.acked, s.certain, s.compacted = nil, nil, 0, 0, 0
	s.states, s.snapshots = []content{{first: 1}}, nil
}

func (s *suite) run(c check) {
	s.Helper()
	if c.needs != nil {
		if reason := c.needs(s.dev); reason != "" {
			s.Skip("left out: " + reason)
		}
	}
	// A failure leaves the storage open; the next check has its own device.
	s.load()
	c.run(s)
	if s.s != nil {
		s.close()
	}
}

// life is the storage from Open to Close or Crash: it records the calls of
// done.
type life struct {
	patience time.Duration
	saving   sync.Mutex // held during a call of Save

	mu        sync.Mutex
	begun     int
	completed int
	failed    error // of a write
	wrong     string
	over      bool // the device has crashed: no call of done may follow
}

// save calls Save and returns what done will be told.
func (l *life) save(s raft.Storage, w raft.Write) <-chan error {
	l.mu.Lock()
	number := l.begun
	l.begun++
	l.mu.Unlock()
	result := make(chan error, 2) // the second call, a wrong one, does not block
	l.saving.Lock()
	s.Save(w, func(err error) {
		l.done(number, err)
		select {
		case result <- err:
		default:
		}
	})
	l.saving.Unlock()
	return result
}

func (l *life) done(number int, err error) {
	l.mu.Lock()
	known := l.wrong != ""
	l.mu.Unlock()
	within := !known && l.withinSave() // which takes long if so
	l.mu.Lock()
	defer l.mu.Unlock()
	wrong := ""
	switch {
	case within:
		wrong = "done was called from within Save, or Save waits for it"
	case l.over:
		wrong = "done was called after the crash"
	case number < l.completed:
		wrong = fmt.Sprintf("done of write %d was called twice", number+1)
	case number > l.completed:
		wrong = fmt.Sprintf("done of write %d was called, and that of write %d was not yet", number+1, l.completed+1)
	case l.failed != nil && err == nil:
		wrong = fmt.Sprintf("write %d succeeded after an earlier one had failed: %v", number+1, l.failed)
	}
	if l.wrong == "" {
		l.wrong = wrong
	}
	if err != nil {
		l.failed = err
	}
	l.completed = max(l.completed, number+1)
}

// withinSave reports whether done is called from within Save: that one does
// not return before done has.
func (l *life) withinSave() bool {
	if l.saving.TryLock() {
		l.saving.Unlock()
		return false
	}
	free := make(chan struct{})
	go func() {
		l.saving.Lock()
		defer l.saving.Unlock()
		close(free)
	}()
	select {
	case <-free:
		return false
	case <-time.After(l.patience):
		return true
	}
}

// judge fails the test if a call of done was wrong.
func (s *suite) judge() {
	s.Helper()
	s.life.mu.Lock()
	wrong := s.life.wrong
	s.life.mu.Unlock()
	if wrong != "" {
		s.Fatal(wrong)
	}
}

func (s *suite) open() {
	s.Helper()
	storage, err := s.dev.Open()
	if err != nil {
		s.Fatalf("Open: %v", err)
	}
	s.s, s.life = storage, &life{patience: s.o.Patience}
}

// load opens the storage, calls Load and compares all that is there. After a
// crash any of the states may be found from the last acknowledged one on.
func (s *suite) load() raft.State {
	s.Helper()
	s.open()
	state, err := s.s.Load()
	if err != nil {
		s.Fatalf("Load: %v", err)
	}
	s.compare(state)
	return state
}

func (s *suite) compare(state raft.State) {
	s.Helper()
	why := ""
	for n := len(s.states) - 1; n >= s.acked; n-- {
		for k := len(s.snapshots); k >= s.certain; k-- {
			c := s.states[n]
			for _, snapshot := range s.snapshots[:k] {
				c = c.commit(snapshot)
			}
			reason := c.differs(s.s, state, s.compacted)
			if reason == "" {
				s.states, s.acked, s.snapshots, s.certain = []content{c}, 0, nil, 0
				return
			}
			if why == "" || n > s.acked || k > s.certain {
				why = reason
			}
		}
	}
	s.Fatalf("after Load: %s (%d writes were acknowledged of %d)", why, s.acked, len(s.states)-1)
}

// close closes the storage, after which all writes must have been completed.
func (s *suite) close() {
	s.Helper()
	err := s.dev.Close()
	s.s = nil
	s.judge()
	s.life.mu.Lock()
	missing, failed := s.life.begun-s.life.completed, s.life.failed
	s.life.mu.Unlock()
	if missing > 0 {
		s.Fatalf("Close returned, and done was not called for the last %d writes", missing)
	}
	if failed == nil && err != nil {
		s.Fatalf("Close: %v", err)
	}
	if failed == nil {
		s.acked, s.certain = len(s.states)-1, len(s.snapshots)
	}
}

// restart closes the storage, opens it again and compares.
func (s *suite) restart() raft.State {
	s.Helper()
	s.close()
	return s.load()
}

// crash crashes the device, and returns when that is over.
func (s *suite) crash() {
	s.Helper()
	s.dev.Crash()
	s.s = nil
	s.life.mu.Lock()
	s.life.over = true
	s.life.mu.Unlock()
	s.judge()
}

// now is what the storage holds if all writes are durable.
func (s *suite) now() content {
	c := s.states[len(s.states)-1]
	for _, snapshot := range s.snapshots {
		c = c.commit(snapshot)
	}
	return c
}

// pending is a write that has been saved.
type pending struct {
	number int // in states
	result <-chan error
}

func (s *suite) save(w raft.Write) pending {
	s.Helper()
	// What Save gets is no one else's, so that it may be changed afterwards.
	s.states = append(s.states, s.states[len(s.states)-1].write(cloneWrite(w)))
	return pending{len(s.states) - 1, s.life.save(s.s, w)}
}

// result waits for done.
func (s *suite) result(p pending) error {
	s.Helper()
	select {
	case err := <-p.result:
		s.judge()
		if err == nil {
			s.acked = max(s.acked, p.number)
		}
		return err
	case <-time.After(s.o.Patience):
		s.judge()
		s.Fatal("done was not called")
		return nil
	}
}

// durable waits until writes are durable.
func (s *suite) durable(all ...pending) {
	s.Helper()
	for _, p := range all {
		if err := s.result(p); err != nil {
			s.Fatalf("a write failed: %v", err)
		}
	}
}

// saved saves a write and waits until it is durable.
func (s *suite) saved(w raft.Write) {
	s.Helper()
	s.durable(s.save(w))
}

// snapshot writes and commits a snapshot.
func (s *suite) snapshot(meta raft.Snapshot, data []byte) {
	s.Helper()
	if err := s.trySnapshot(meta, data); err != nil {
		s.Fatalf("a snapshot at %d: %v", meta.Index, err)
	}
}

func (s *suite) trySnapshot(meta raft.Snapshot, data []byte) error {
	w, err := s.s.CreateSnapshot(meta)
	if err != nil {
		return err
	}
	defer w.Close()
	for rest := data; len(rest) > 0; {
		n, err := w.Write(rest[:min(len(rest), 1000)])
		if err != nil {
			return err
		}
		rest = rest[n:]
	}
	s.snapshots = append(s.snapshots, committed{meta, data}.describe())
	if err := w.Commit(); err != nil {
		return err
	}
	s.certain = len(s.snapshots)
	return w.Close()
}

func (s *suite) compact(through raft.Index) error {
	s.compacted = max(s.compacted, through)
	return s.s.Compact(through)
}

func (s *suite) ok(err error, what string) {
	s.Helper()
	if err != nil {
		s.Fatalf("%s: %v", what, err)
	}
}

// What the checks write.

func cloneWrite(w raft.Write) raft.Write {
	if w.Snapshot != nil {
		snapshot := *w.Snapshot
		snapshot.Membership.Members = append([]raft.Member(nil), snapshot.Membership.Members...)
		w.Snapshot = &snapshot
	}
	w.Entries = append([]raft.Entry(nil), w.Entries...)
	return w
}

// entry makes one whose data tells it from all others.
func entry(index raft.Index, term raft.Term) raft.Entry {
	return raft.Entry{Index: index, Term: term, Data: entryData(index, term)}
}

func entryData(index raft.Index, term raft.Term) []byte {
	return fmt.Appendf(nil, "<entry %d of term %d>", index, term)
}

func entries(first raft.Index, term raft.Term, n int) []raft.Entry {
	var all []raft.Entry
	for i := range n {
		all = append(all, entry(first+raft.Index(i), term))
	}
	return all
}

func membership(ids ...raft.NodeID) raft.Membership {
	var m raft.Membership
	for _, id := range ids {
		m.Members = append(m.Members, raft.Member{ID: id, Address: fmt.Sprintf("host%d:1", id), Voter: true})
	}
	return m
}

func membershipEntry(index raft.Index, term raft.Term, ids ...raft.NodeID) raft.Entry {
	m := membership(ids...)
	return raft.Entry{Index: index, Term: term, Type: raft.EntryMembership, Data: m.Append(nil)}
}

func write(term raft.Term, commit raft.Index, entries ...raft.Entry) raft.Write {
	return raft.Write{HardState: raft.HardState{Term: term, Commit: commit}, Entries: entries}
}

func snapshotData(index raft.Index, size int) []byte {
	unit := fmt.Appendf(nil, "<snapshot at %d>", index)
	return bytes.Repeat(unit, size/len(unit)+1)[:size]
}

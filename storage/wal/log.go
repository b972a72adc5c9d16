package wal

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

// Log is an open write-ahead log. Its methods may be called concurrently.
type Log struct {
	dir    string
	opts   Options
	fs     vfs.FS
	logger *zap.Logger
	lock   io.Closer

	mu            sync.Mutex
	groups        map[raft.GroupID]*group
	list          []*group // in the order of their creation
	pending       *batch   // gathers what Save is given
	free          *batch   // pending's successor, nil while the writer has it
	failed        error    // why no write succeeds any more
	segments      map[uint32]*segment
	chain         []*segment // ascending; the last one is written to
	lastSegment   *segment   // cache of account
	compacted     []*group   // whose first index is not on disk yet
	spares        []string   // paths
	highestNumber uint32     // of any segment or spare, ever
	closing       bool
	filesClosed   bool
	ended         bool // the writer has ended, after all files have been closed
	completing    bool // a goroutine refuses what is saved after that
	closeErr      error

	accountFunc live // the method account, as a value

	cache *cache // nil: none

	// damage is what this Open has found, or an earlier one; constant
	// afterwards.
	damage     []*raft.CorruptError
	damagedLSN uint64   // the highest that this one has found to be damaged
	kept       []uint32 // segments that stay because of damage, ascending

	// What follows is the writer's: of whoever calls sync, one at a time.
	current    *segment
	nextLSN    uint64
	durableLSN uint64 // the highest that is synced
	statedLSN  uint64 // the highest durableLSN that a frame has stated
	cleaning   cleaning

	snapshotsBegun int        // under mu
	committing     sync.Mutex // held by who commits a snapshot; never taken under mu

	preparing  sync.Mutex     // held by who writes spares; never taken under mu
	background sync.WaitGroup // who writes spares ahead
	wake       chan struct{}  // the writer has work
	finished   chan struct{}  // closed when the log is
	scratch    sync.Pool      // of *encoded
}

// idleAfter is how long the writer is without work before it states that the
// last batch is durable.
const idleAfter = 100 * time.Millisecond

func (l *Log) manual() bool { return l.opts.Manual != nil }

func (l *Log) random() uint64 {
	if l.manual() {
		return l.opts.Manual.Random()
	}
	var b [8]byte
	rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}

// group returns the group, created if need be. The caller holds mu.
func (l *Log) group(id raft.GroupID) *group {
	g := l.groups[id]
	if g == nil {
		g = newGroup(id)
		if l.current != nil && len(l.damage) > 0 {
			e := *l.damage[0] // all of it may be missing
			e.Ranges = append(slices.Clone(e.Ranges), raft.IndexRange{Group: id, First: 1})
			g.lost, g.refused = true, &e
		}
		l.groups[id] = g
		l.list = append(l.list, g)
	}
	return g
}

// account keeps each segment's count of live bytes. The caller holds mu.
func (l *Log) account(at location, sign int64) {
	if at.segment == 0 {
		return
	}
	if l.lastSegment == nil || l.lastSegment.number != at.segment {
		l.lastSegment = l.segments[at.segment]
	}
	if l.lastSegment != nil {
		l.lastSegment.live += sign * int64(at.size)
	}
}

// apply makes the batch, which is durable in a segment from base on, part of
// the groups' states. The caller holds mu.
func (l *Log) apply(b *batch, segment uint32, base int64) {
	for i := range b.ops {
		o := &b.ops[i]
		if o.err != nil || o.group.lost { // that one is Open's, and carried along
			continue
		}
		if o.replaces {
			o.group.replacing--
		}
		// Save has checked what it took, so an error is one of Open's.
		if err := o.group.apply(o, &b.encoded, segment, base, l.accountFunc); err != nil && o.group.refused == nil {
			o.group.refused = corruptGroups(l.path(segmentName(segment)), base+int64(o.at), err.Error(), raft.IndexRange{Group: o.group.id, First: o.first})
		}
	}
}

// save is Save of a group's Storage.
func (l *Log) save(g *group, w *raft.Write, done func(error)) {
	e := l.scratch.Get().(*encoded)
	err := e.save(g.id, w)
	o := op{
		kind: recordSave, group: g, done: done,
		identity: w.Identity, hardState: w.HardState,
	}
	if w.Snapshot != nil {
		s := *w.Snapshot
		s.Membership.Members = slices.Clone(s.Membership.Members)
		o.snapshot = &s
	}
	if len(w.Entries) > 0 {
		o.first = w.Entries[0].Index
	}

	l.mu.Lock()
	if checkErr := g.check(w); checkErr != nil {
		err = checkErr // the earlier failure comes first
	}
	if l.failed != nil {
		err = l.failed
	}
	if err == nil && int64(len(l.pending.buf))+int64(len(e.buf)) > maxPendingBytes {
		err = fmt.Errorf("wal: group %d: more than %d bytes wait to be written: %w", g.id, int64(maxPendingBytes), raft.ErrOverloaded)
	}
	if err == nil {
		o.replaces = g.advance(w)
		l.pending.add(e, o)
	} else {
		l.pending.refuse(o, err)
		if g.refused == nil {
			g.refused = err // after one failure every later write fails
		}
	}
	completeHere := l.ended && !l.completing && !l.manual()
	l.completing = l.completing || completeHere
	l.mu.Unlock()

	e.reset()
	l.scratch.Put(e)
	if completeHere {
		go l.completeAfterEnd()
		return
	}
	l.wakeWriter()
}

func (l *Log) wakeWriter() {
	select {
	case l.wake <- struct{}{}:
	default: // it will see what there is when it takes the one that waits
	}
}

// completeAfterEnd refuses what is saved after the writer has ended.
func (l *Log) completeAfterEnd() {
	for {
		for l.sync() {
		}
		l.mu.Lock()
		if l.pending.empty() {
			l.completing = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
	}
}

// run is the writer goroutine.
func (l *Log) run() {
	idle := time.NewTimer(idleAfter)
	defer idle.Stop()
	for {
		for l.sync() {
		}
		l.mu.Lock()
		closing := l.closing
		l.mu.Unlock()
		if closing {
			l.end()
			return
		}
		idle.Reset(idleAfter)
		select {
		case <-l.wake:
		case <-idle.C:
			l.idle()
			<-l.wake
		}
	}
}

// Close waits until all that has been saved is durable, or has failed, and
// closes the log. A later Save fails with raft.ErrClosed, and so do reads. It
// returns why the log has failed, if it has.
func (l *Log) Close() error {
	l.mu.Lock()
	first := !l.closing
	l.closing = true
	l.mu.Unlock()
	switch {
	case first && l.manual():
		for l.sync() {
		}
		l.end()
	case first:
		l.wakeWriter()
	}
	<-l.finished
	return l.closeErr
}

// end is the writer's last act.
func (l *Log) end() {
	l.idle()
	l.background.Wait()
	l.mu.Lock()
	failed := l.failed
	l.mu.Unlock()
	if failed == nil {
		failed = l.current.file.Sync()
	}
	l.closeErr = failed
	if failed == nil {
		failed = raft.ErrClosed
	}
	l.mu.Lock()
	l.failed, l.filesClosed = failed, true
	for _, s := range l.chain {
		s.file.Close()
	}
	l.mu.Unlock()
	for {
		for l.sync() { // refuses what came after
		}
		l.mu.Lock()
		l.ended = l.pending.empty()
		ended := l.ended
		l.mu.Unlock()
		if ended {
			break
		}
	}
	if err := l.lock.Close(); l.closeErr == nil {
		l.closeErr = err
	}
	close(l.finished)
}

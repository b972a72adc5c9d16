// Package storage has what is common to implementations of raft.Storage:
// Async makes one out of a simple, blocking implementation.
//
// Package storage/wal is the durable one; storage/memory is for tests.
package storage

import (
	"io"
	"slices"
	"sync"

	"github.com/seed-6281cb22/raft"
)

// Blocking is a raft.Storage whose Save returns when the write is durable, or
// has failed. All else is as raft.Storage has it: its methods may be called
// concurrently, but Save by one goroutine at a time, and Compact by one.
type Blocking interface {
	Load() (raft.State, error)
	// Save makes w durable, atomically. It may keep w.Entries and
	// w.Snapshot. After an error it is not called again.
	Save(w raft.Write) error
	Entries(buf []raft.Entry, lo, hi raft.Index, maxBytes int) ([]raft.Entry, error)
	Compact(through raft.Index) error
	CreateSnapshot(s raft.Snapshot) (raft.SnapshotWriter, error)
	OpenSnapshot() (raft.Snapshot, io.ReadSeekCloser, error)
}

// Async returns a raft.Storage that carries out the writes of b one after the
// other in a goroutine, which exists only while there are any. The queue is
// not bounded; the caller's number of writes in flight is what bounds it.
//
// A second replica may Load after the first has ended: Load waits until every
// write that was saved before has been completed.
func Async(b Blocking) raft.Storage {
	a := &async{Blocking: b}
	a.idle.L = &a.mu
	return a
}

type async struct {
	Blocking
	mu      sync.Mutex
	idle    sync.Cond
	queue   []queued
	running bool  // a goroutine works on the queue
	failed  error // of the first write that failed; the goroutine's
}

type queued struct {
	write raft.Write
	done  func(error)
}

func (a *async) Save(w raft.Write, done func(error)) {
	w.Entries = slices.Clone(w.Entries)
	if w.Snapshot != nil {
		s := *w.Snapshot
		s.Membership.Members = slices.Clone(s.Membership.Members)
		w.Snapshot = &s
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queue = append(a.queue, queued{w, done})
	if !a.running {
		a.running = true
		go a.work()
	}
}

func (a *async) work() {
	for {
		a.mu.Lock()
		queue := a.queue
		a.queue = nil
		if len(queue) == 0 {
			a.running = false
			a.idle.Broadcast()
			a.mu.Unlock()
			return
		}
		a.mu.Unlock()
		for _, q := range queue {
			if a.failed == nil {
				a.failed = a.Blocking.Save(q.write)
			}
			q.done(a.failed)
		}
	}
}

func (a *async) Load() (raft.State, error) {
	a.mu.Lock()
	for a.running {
		a.idle.Wait()
	}
	a.mu.Unlock()
	return a.Blocking.Load()
}

package raft

import "fmt"

// What the state machine has to do is a queue of tasks, done one at a time and
// in order: so Apply, Snapshot and Restore never overlap.

type taskKind uint8

const (
	taskApply   taskKind = iota // apply the commands among entries
	taskRestore                 // replace the state by the newest snapshot
	taskCapture                 // capture the state, for snapshot
	taskSend                    // capture the state, to be sent with announcement
)

// A task is for the state machine. It is answered by applied, by restored, by
// snapshotTaken when the captured state has been written, or by snapshotSent.
type task struct {
	kind     taskKind
	entries  []Entry
	snapshot Snapshot // of taskRestore: the one that the core asks for

	// Of a taskSend: the InstallSnapshot, and why it is not to be sent after all.
	announcement *Message
	refused      error

	// Of a taskApply whose last entry asks for a hash of the state then.
	hash      bool
	stateHash uint64
	hashed    bool // stateHash is there: the state machine is a StateHasher
}

// applying is where the state machine is.
type applying struct {
	tasks []task
	index Index // all up to here has been applied
	term  Term  // of the entry at index, or a later one met before
}

func (a *applying) push(t task) { a.tasks = append(a.tasks, t) }

// nextTask removes and returns the first task, which begins now.
func (r *replica) nextTask(now Instant) (task, bool) {
	a := &r.apply
	if r.ended != nil || len(a.tasks) == 0 {
		return task{}, false
	}
	t := a.tasks[0]
	n := copy(a.tasks, a.tasks[1:])
	a.tasks[n] = task{}
	a.tasks = a.tasks[:n]
	if t.kind == taskSend {
		t.snapshot, t.refused = r.snapshotToSend(t.announcement)
	}
	if t.kind != taskRestore { // which takes as long as the data is large
		r.watched.applying = now
	}
	return t, true
}

// checkIntact returns a *DamagedEntryError if one of entries is not what was
// proposed. None of them is to be applied then: what is damaged may be anything.
func checkIntact(entries []Entry) error {
	for i := range entries {
		if e := &entries[i]; !e.Intact() {
			return &DamagedEntryError{Index: e.Index, Term: e.Term}
		}
	}
	return nil
}

// applied says that a taskApply has been done. The result of a completion
// counts the commands among its entries.
func (r *replica) applied(now Instant, t *task, err error) {
	if r.ended != nil {
		return
	}
	if err != nil {
		r.end(stopped(fmt.Errorf("apply: %w", err)))
		return
	}
	commands, bytes := 0, 0
	var diverged error
	for i := range t.entries {
		e := &t.entries[i]
		bytes += len(e.Data)
		if e.Term > r.apply.term {
			r.loseBefore(now, e.Term)
			r.apply.term = e.Term
		}
		if e.Type == EntryCommand {
			r.met(now, e, commands)
			commands++
			r.compare.commands++
		}
		if e.Type == EntryStateHash {
			r.met(now, e, -1)
			if err := r.stateHashApplied(e, t); err != nil {
				diverged = err
			}
		}
	}
	if diverged != nil {
		r.end(stopped(diverged))
		return
	}
	r.apply.index = t.entries[len(t.entries)-1].Index
	r.core.Applied(now, r.apply.index)
	r.readsApplied(now)
	r.metrics.EntriesApplied += uint64(len(t.entries))
	r.metrics.BytesApplied += uint64(bytes)
	r.metrics.applyEntries.observe(uint64(len(t.entries)))
	r.countApplied(len(t.entries), bytes)
	r.askStateHash()
	r.settle(now)
}

// restored says that a taskRestore has been done: the state is that of the
// snapshot opened, which may be newer than the one that the core asked for
// (see replica_snapshots.go).
func (r *replica) restored(now Instant, t *task, opened Snapshot, err error) {
	if r.ended != nil {
		return
	}
	if err == nil && opened.Index < t.snapshot.Index {
		err = fmt.Errorf("the newest snapshot is of index %d, not of %d", opened.Index, t.snapshot.Index)
	}
	if err != nil {
		r.end(stopped(fmt.Errorf("restore snapshot: %w", err)))
		return
	}
	r.event(Event{Kind: EventSnapshotRestored, Index: opened.Index})
	r.skipTo(now, &opened)
	r.apply.index, r.apply.term = opened.Index, max(r.apply.term, opened.Term)
	r.snapshotRestored(opened.Index)
	r.core.Applied(now, r.apply.index)
	r.readsApplied(now)
	r.snapshotIfDue()
	r.settle(now)
}

package raft

import "fmt"

// What the state machine has to do is a queue of tasks, done one at a time and
// in order: so Apply, Snapshot and Restore never overlap.

type taskKind uint8

const (
	taskApply   taskKind = iota // apply the commands among entries
	taskRestore                 // replace the state by the newest snapshot
	taskCapture                 // capture the state, for snapshot
)

// A task is for the state machine. It is answered by applied, restored or
// captured.
type task struct {
	kind     taskKind
	entries  []Entry
	above    Index    // of entries, those up to this index have been applied
	snapshot Snapshot // of taskRestore: the one that the core asks for
}

// commands calls do for the commands that the state machine has to apply.
func (t *task) commands(do func(e *Entry)) {
	for i := range t.entries {
		if e := &t.entries[i]; e.Type == EntryCommand && e.Index > t.above {
			do(e)
		}
	}
}

// applying is where the state machine is.
type applying struct {
	tasks   []task
	index   Index // the core's: all up to here has been applied
	machine Index // the state machine's: above index after a restore from a newer snapshot
	term    Term  // of the last entry applied
}

func (a *applying) push(t task) { a.tasks = append(a.tasks, t) }

// nextTask removes and returns the first task.
func (r *replica) nextTask() (task, bool) {
	a := &r.apply
	if r.ended != nil || len(a.tasks) == 0 {
		return task{}, false
	}
	t := a.tasks[0]
	n := copy(a.tasks, a.tasks[1:])
	a.tasks[n] = task{}
	a.tasks = a.tasks[:n]
	return t, true
}

// applied says that a taskApply has been done. Result number i of completions
// is that of the i-th command that it applied.
func (r *replica) applied(now Instant, t *task, err error) {
	if r.ended != nil {
		return
	}
	if err != nil {
		r.end(stopped(fmt.Errorf("state machine: apply: %w", err)))
		return
	}
	result := 0
	bytes := 0
	for i := range t.entries {
		e := &t.entries[i]
		if e.Term > r.apply.term {
			r.loseBefore(e.Term)
			r.apply.term = e.Term
		}
		bytes += len(e.Data)
		switch {
		case e.Type != EntryCommand:
		case e.Index <= t.above:
			r.met(e, errSkipped, -1) // a snapshot held it: the result is gone
		default:
			r.met(e, nil, result)
			result++
		}
	}
	r.apply.index = t.entries[len(t.entries)-1].Index
	r.apply.machine = max(r.apply.machine, r.apply.index)
	r.core.Applied(now, r.apply.index)
	r.readsApplied()
	r.countApplied(len(t.entries), bytes)
	r.settle(now)
}

// restored says that a taskRestore has been done: the state is that of the
// snapshot opened.
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
	r.skipTo(&opened)
	r.apply.index, r.apply.machine = t.snapshot.Index, opened.Index
	r.apply.term = max(r.apply.term, t.snapshot.Term)
	r.snapshotRestored(opened.Index)
	r.core.Applied(now, r.apply.index)
	r.readsApplied()
	r.settle(now)
}

package wal

import (
	"fmt"
	"io"
	"slices"

	"github.com/seed-6281cb22/raft"
)

// Storage returns the part of the log that belongs to a group. It does no
// I/O. Several values for one group are the same storage.
func (l *Log) Storage(group raft.GroupID) raft.Storage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &storage{l, l.group(group)}
}

// storage is a group's view of the log.
type storage struct {
	log *Log
	g   *group
}

// Load implements raft.Storage. The memberships that it returns are not to be
// changed. When the state is older than a committed
// snapshot, the snapshot's installation is queued like a write. A replica
// that takes over from an earlier one in the same process calls it after all
// of that one's writes are done.
func (s *storage) Load() (raft.State, error) {
	l, g := s.log, s.g
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return raft.State{}, l.failed
	}
	if g.refused != nil {
		return raft.State{}, g.refused
	}
	install, err := g.judgeSnapshot(l.path)
	if err != nil {
		g.refused = err
		return raft.State{}, err
	}
	if install {
		return s.install(), nil
	}
	snapshot := g.snapshot
	if g.committed.Index > snapshot.Index {
		snapshot = g.committed
	}
	snapshot.Size, snapshot.Checksum = g.committed.Size, g.committed.Checksum
	state := raft.State{
		Identity:  g.identity,
		HardState: g.hardState,
		Snapshot:  snapshot,
		First:     g.first,
		Last:      g.last(),
		Runs:      slices.Clone(g.runs),
	}
	for _, m := range g.memberships {
		if m.Index > snapshot.Index {
			state.Memberships = append(state.Memberships, m)
		}
	}
	return state, nil
}

// install queues the installation of the committed snapshot and returns the
// state that it leads to.
func (s *storage) install() raft.State {
	l, g := s.log, s.g
	snapshot := g.committed
	e := l.scratch.Get().(*encoded)
	w := raft.Write{HardState: g.hardState, Snapshot: &snapshot}
	if err := e.save(g.id, &w); err != nil {
		panic("wal: a write without entries cannot be encoded: " + err.Error())
	}
	l.pending.add(e, op{kind: recordSave, group: g, hardState: g.hardState, snapshot: &snapshot})
	g.advance(&w) // which replaces no entry by another
	e.reset()
	l.scratch.Put(e)
	l.wakeWriter()
	return raft.State{
		Identity: g.identity, HardState: g.hardState, Snapshot: snapshot,
		First: snapshot.Index + 1, Last: snapshot.Index,
	}
}

// judgeSnapshot reports whether the committed snapshot must replace the log.
// The error is a *raft.CorruptError: the state contradicts itself.
func (g *group) judgeSnapshot(path func(string) string) (install bool, err error) {
	corrupt := func(first, last raft.Index, reason string, args ...any) error {
		return corruptGroups(path(snapshotName(g.id, &g.committed)), 0, fmt.Sprintf(reason, args...), raft.IndexRange{Group: g.id, First: first, Last: last})
	}
	c := g.committed
	switch term, held := g.term(c.Index); {
	case g.committedErr != nil:
		return false, g.committedErr
	case c.Index < g.snapshot.Index || c.Index == g.snapshot.Index && c.Index > 0 && c.Term != g.snapshot.Term:
		return false, corrupt(1, g.snapshot.Index, "the data of the snapshot at %d is missing; the newest there is at %d", g.snapshot.Index, c.Index)
	case c.Index+1 < g.first:
		return false, corrupt(c.Index+1, g.first-1, "entries between the newest snapshot and the log are missing")
	case c.Index > 0 && (!held || term != c.Term):
		install = true
	}
	last := g.last()
	if install && c.Index <= g.hardState.Commit && c.Index <= last {
		return false, corrupt(c.Index, c.Index, "the snapshot is of term %d, the committed entry there is not", c.Term)
	}
	if g.hardState.Commit > max(last, c.Index) {
		return false, corrupt(last+1, g.hardState.Commit, "index %d is known to be committed, and the log ends at %d", g.hardState.Commit, last)
	}
	return install, nil
}

// Save implements raft.Storage.
func (s *storage) Save(w raft.Write, done func(error)) { s.log.save(s.g, &w, done) }

// Compact implements raft.Storage. It costs no sync: it is written with the
// next batch, or when the writer is idle, or by Close. What a Save under way
// replaces is not forgotten.
func (s *storage) Compact(through raft.Index) error {
	l, g := s.log, s.g
	l.mu.Lock()
	defer l.mu.Unlock()
	if g.refused != nil {
		return g.refused
	}
	if covered := max(g.committed.Index, g.snapshot.Index); through > covered {
		return fmt.Errorf("wal: group %d: compact through %d: the newest snapshot is at %d", g.id, through, covered)
	}
	before := g.first
	g.compact(g.compactable(through), l.accountFunc)
	if g.first > before && !g.unstated {
		g.unstated = true
		l.compacted = append(l.compacted, g)
		l.wakeWriter() // it may have been idle for long
	}
	return nil
}

// CreateSnapshot implements raft.Storage.
func (s *storage) CreateSnapshot(snapshot raft.Snapshot) (raft.SnapshotWriter, error) {
	return s.log.createSnapshot(s.g, snapshot)
}

// OpenSnapshot implements raft.Storage.
func (s *storage) OpenSnapshot() (raft.Snapshot, io.ReadSeekCloser, error) {
	return s.log.openSnapshot(s.g)
}

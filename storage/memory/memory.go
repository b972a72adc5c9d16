// Package memory keeps a replica's log and snapshots in memory, for tests:
// nothing survives the process.
package memory

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/storage"
)

// New returns an empty storage for one replica of one group.
//
// It outlives its replica: a test that keeps it and starts another replica on
// it, after the first one has ended, finds what the first one saved. Load
// waits until everything saved before is there.
func New() raft.Storage { return storage.Async(&memory{first: 1}) }

// memory is a storage.Blocking.
type memory struct {
	mu        sync.Mutex
	identity  raft.Identity
	hardState raft.HardState
	installed raft.Snapshot // by a Write, or by Load
	committed raft.Snapshot // the newest one with data
	data      []byte        // of committed
	first     raft.Index
	prevTerm  raft.Term    // of the entry before first
	entries   []raft.Entry // from first on
}

func (m *memory) last() raft.Index { return m.first + raft.Index(len(m.entries)) - 1 }

// holds reports whether the log has, or had before it was compacted, an entry
// of that index and term at its end or within.
func (m *memory) holds(index raft.Index, term raft.Term) bool {
	switch {
	case index+1 == m.first:
		return m.prevTerm == term
	case index < m.first || index > m.last():
		return false
	}
	return m.entries[index-m.first].Term == term
}

func (m *memory) install(s raft.Snapshot) {
	m.installed = s
	m.first, m.prevTerm, m.entries = s.Index+1, s.Term, nil
}

func (m *memory) Load() (raft.State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.installed.Index > m.committed.Index {
		return raft.State{}, &raft.CorruptError{File: "memory", Reason: "the data of the installed snapshot was never committed"}
	}
	snapshot := m.installed
	if m.committed.Index > 0 {
		if !m.holds(m.committed.Index, m.committed.Term) {
			m.install(m.committed)
		}
		snapshot = m.committed
	}
	state := raft.State{
		Identity: m.identity, HardState: m.hardState, Snapshot: snapshot,
		First: m.first, Last: m.last(),
	}
	for _, e := range m.entries {
		if n := len(state.Runs); n == 0 || state.Runs[n-1].Term != e.Term {
			state.Runs = append(state.Runs, raft.TermRun{First: e.Index, Term: e.Term})
		}
		if e.Type == raft.EntryMembership && e.Index > snapshot.Index {
			at := raft.MembershipAt{Index: e.Index}
			if err := at.Membership.Unmarshal(e.Data); err != nil {
				return raft.State{}, err
			}
			state.Memberships = append(state.Memberships, at)
		}
	}
	return state, nil
}

func (m *memory) Save(w raft.Write) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if w.Identity != (raft.Identity{}) && m.identity != (raft.Identity{}) && w.Identity != m.identity {
		return &raft.IdentityError{Stored: m.identity, Given: w.Identity}
	}
	first, last := m.first, m.last()
	if w.Snapshot != nil {
		first, last = w.Snapshot.Index+1, w.Snapshot.Index
	}
	for i := range w.Entries {
		index := w.Entries[i].Index
		if i == 0 && (index < first || index > last+1) || index != w.Entries[0].Index+raft.Index(i) {
			return fmt.Errorf("memory: entry %d does not fit a log from %d to %d", index, first, last)
		}
	}
	if w.Identity != (raft.Identity{}) {
		m.identity = w.Identity
	}
	m.hardState = w.HardState
	if w.Snapshot != nil {
		m.install(*w.Snapshot)
	}
	if len(w.Entries) > 0 {
		m.entries = append(m.entries[:w.Entries[0].Index-m.first], w.Entries...)
	}
	return nil
}

func (m *memory) Entries(buf []raft.Entry, lo, hi raft.Index, maxBytes int) ([]raft.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case lo < m.first:
		return buf, raft.ErrCompacted
	case hi > m.last()+1:
		return buf, fmt.Errorf("memory: entries up to %d asked for, and %d is the last", hi-1, m.last())
	}
	taken := 0
	for i := lo; i < hi; i++ {
		e := m.entries[i-m.first]
		taken += len(e.Data)
		if taken > maxBytes && i > lo {
			break
		}
		buf = append(buf, e)
	}
	return buf, nil
}

func (m *memory) Compact(through raft.Index) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if covered := max(m.installed.Index, m.committed.Index); through > covered {
		return fmt.Errorf("memory: compact through %d: the newest snapshot is at %d", through, covered)
	}
	through = min(through, m.last())
	if through < m.first {
		return nil
	}
	n := int(through - m.first + 1)
	m.prevTerm = m.entries[n-1].Term
	m.entries = slices.Clone(m.entries[n:])
	m.first = through + 1
	return nil
}

func (m *memory) CreateSnapshot(s raft.Snapshot) (raft.SnapshotWriter, error) {
	if s.Index == 0 {
		return nil, fmt.Errorf("memory: a snapshot of index 0 has no data")
	}
	s.Membership.Members = slices.Clone(s.Membership.Members)
	return &snapshotWriter{memory: m, snapshot: s}, nil
}

func (m *memory) OpenSnapshot() (raft.Snapshot, io.ReadSeekCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.committed.Index == 0 {
		return raft.Snapshot{}, nil, raft.ErrNoSnapshot
	}
	return m.committed, reader{bytes.NewReader(m.data)}, nil
}

type reader struct{ *bytes.Reader }

func (reader) Close() error { return nil }

type snapshotWriter struct {
	memory   *memory
	snapshot raft.Snapshot
	data     []byte
	closed   bool
}

func (w *snapshotWriter) Write(b []byte) (int, error) {
	if w.closed {
		return 0, raft.ErrClosed
	}
	w.data = append(w.data, b...)
	return len(b), nil
}

func (w *snapshotWriter) Commit() error {
	if w.closed {
		return raft.ErrClosed
	}
	m := w.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	if w.snapshot.Index < m.committed.Index {
		return nil
	}
	w.snapshot.Size = uint64(len(w.data))
	w.snapshot.Checksum = crc32.Checksum(w.data, crc32.MakeTable(crc32.Castagnoli))
	m.committed, m.data = w.snapshot, slices.Clip(w.data)
	return nil
}

func (w *snapshotWriter) Close() error {
	w.closed = true
	return nil
}

package session

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/seed-6281cb22/raft"
)

// Durable is a state machine that is durable by itself: what it has applied is
// there after a restart, and LastApplied says up to where, so that no entry is
// applied again. Then the sessions must be durable with it, exactly up to the
// same entry: were they behind, a repeat would be applied again; were they
// ahead, a command that was lost would be taken for a repeat. So it stores them
// as records, a key and a value each, beside its own data.
type Durable[R any] interface {
	// Apply applies commands, as raft.StateMachine has it. When it has
	// stored their results in results, it calls update, once, also if there
	// are no entries, and stores what that returns in the same transaction
	// as its own changes: after a crash, all of it is there or nothing.
	// Transactions may become durable later, but in order.
	Apply(entries []raft.Entry, results []R, update func() Update) error

	// LastApplied returns the Update.Through that was stored last, 0 at first.
	LastApplied() raft.Index

	// Records calls yield for every record that is stored, in any order, and
	// ends with its error if there is one. The value is yield's to keep.
	Records(yield func(key uint64, value []byte) error) error

	// Snapshot captures the data, the records and LastApplied. What it returns
	// can be written more than once, see raft.DurableStateMachine.
	Snapshot() (io.WriterTo, error)

	// Restore replaces them all, in one transaction.
	Restore(r io.Reader) error
}

// Update is what a batch of commands means to the sessions.
type Update struct {
	// Through is the last entry that has been applied. Some of the entries
	// up to it have not reached the state machine, since they concern
	// nothing but sessions.
	Through raft.Index
	// Changes are the records that have changed, at most one for each key.
	Changes []Change
}

// Change stores a record, or deletes it.
type Change struct {
	Key   uint64
	Value []byte // nil: delete
}

// DurableMachine is a Machine for a state machine that is durable by itself. Its
// snapshots are those of that state machine, so all replicas of a group use the
// same of the two.
type DurableMachine[R any] struct {
	ledger[R]
	inner Durable[R]
	head  []byte // as stored
}

// NewDurable decorates a state machine that is durable by itself, and loads
// its sessions. What it returns is a *DurableMachine or, if inner is a
// raft.StateHasher, one that is a StateHasher too, as New has it. The error is
// ErrCorrupt if the records make no table.
func NewDurable[R any](inner Durable[R], codec Codec[R]) (raft.DurableStateMachine[Result[R]], error) {
	m, err := newDurable(inner, codec)
	if err != nil {
		return nil, err
	}
	if h, ok := inner.(raft.StateHasher); ok {
		return &hashedDurableMachine[R]{m, h}, nil
	}
	return m, nil
}

func newDurable[R any](inner Durable[R], codec Codec[R]) (*DurableMachine[R], error) {
	m := &DurableMachine[R]{ledger: ledger[R]{codec: codec}, inner: inner}
	if err := m.load(); err != nil {
		return nil, err
	}
	return m, nil
}

// LastApplied returns the last entry whose effects are in the state: it and
// those before it must not be applied again.
func (m *DurableMachine[R]) LastApplied() raft.Index { return m.inner.LastApplied() }

var errNoUpdate = errors.New("session: the state machine has not called update exactly once")

// Apply applies committed commands, see raft.StateMachine. After an error the
// table is ahead of what is stored: the DurableMachine must not be used again.
func (m *DurableMachine[R]) Apply(entries []raft.Entry, results []Result[R]) error {
	if len(entries) == 0 {
		return nil
	}
	defer m.release()
	m.admit(entries, results)
	calls := 0
	err := m.inner.Apply(m.commands, m.values, func() (u Update) {
		if calls++; calls == 1 {
			m.settle(results)
			u = Update{Through: entries[len(entries)-1].Index, Changes: m.changes()}
		}
		return u
	})
	if err == nil && calls != 1 {
		err = errNoUpdate
	}
	return err
}

// Snapshot captures the state, see raft.StateMachine.
func (m *DurableMachine[R]) Snapshot() (io.WriterTo, error) { return m.inner.Snapshot() }

// Restore replaces the state, see raft.StateMachine.
func (m *DurableMachine[R]) Restore(r io.Reader) error {
	if err := m.inner.Restore(r); err != nil {
		return err
	}
	return m.load()
}

// changes returns what is to be stored since the last call.
func (m *DurableMachine[R]) changes() []Change {
	t := m.table
	var changes []Change
	if head := t.head(); string(head) != string(m.head) {
		m.head = head
		changes = append(changes, Change{Key: headKey, Value: head})
	}
	slices.Sort(t.changed)
	for _, index := range slices.Compact(t.changed) {
		c := Change{Key: uint64(index)}
		if slot, ok := t.places[index]; ok {
			c.Value = t.at(slot).append(nil)
		}
		changes = append(changes, c)
	}
	t.changed = t.changed[:0]
	return changes
}

// headKey is the key of the head's record. A session's is its ID.Index.
const headKey = 0

// load makes the table from the records.
func (m *DurableMachine[R]) load() error {
	m.head, m.table = nil, newTable()
	var sessions []*session
	err := m.inner.Records(func(key uint64, value []byte) error {
		if key == headKey {
			m.head = value
			return nil
		}
		s, ok := decodeSession(value)
		if !ok || key != uint64(s.id.Index) {
			return fmt.Errorf("%w: malformed record %d", ErrCorrupt, key)
		}
		sessions = append(sessions, s)
		return nil
	})
	if err != nil {
		return fmt.Errorf("session: load: %w", err)
	}
	if m.head != nil {
		t, ok := decodeHead(m.head)
		if !ok {
			return fmt.Errorf("session: load: %w: malformed head", ErrCorrupt)
		}
		m.table = t
	}
	sortByUse(sessions)
	for _, s := range sessions {
		if err := m.table.load(s); err != nil {
			return fmt.Errorf("session: load: %w", err)
		}
	}
	m.table.record = true
	return nil
}

package session

import (
	"bufio"
	"fmt"
	"io"

	"github.com/seed-6281cb22/raft"
)

// Machine is a raft.StateMachine that applies the commands of sessions exactly
// once on the state machine that it decorates. Its snapshots hold the table of
// sessions and what the other's snapshots hold.
//
// The state machine that it decorates is given the payloads of commands only,
// in entries whose Data they are, and no Checksum. It may be read beside, as if
// it stood for itself.
type Machine[R any] struct {
	ledger[R]
	inner raft.StateMachine[R]
}

// New decorates a state machine. What it returns is a *Machine or, if inner is a
// raft.StateHasher, one that is a StateHasher too. Its hash covers the sessions
// as well, so takes longer the more there are.
//
// The error is a *raft.ConfigError if inner is a raft.DurableStateMachine: its
// sessions would be lost where its data is not, and repeats applied again. See
// NewDurable for those.
func New[R any](inner raft.StateMachine[R], codec Codec[R]) (raft.StateMachine[Result[R]], error) {
	if _, durable := inner.(raft.DurableStateMachine[R]); durable {
		return nil, &raft.ConfigError{Field: "session state machine", Reason: "must not have a method LastApplied: see session.NewDurable"}
	}
	m := newMachine(inner, codec)
	if h, ok := inner.(raft.StateHasher); ok {
		return &hashedMachine[R]{m, h}, nil
	}
	return m, nil
}

func newMachine[R any](inner raft.StateMachine[R], codec Codec[R]) *Machine[R] {
	return &Machine[R]{ledger: ledger[R]{codec: codec, table: newTable()}, inner: inner}
}

// Apply applies committed commands, see raft.StateMachine.
func (m *Machine[R]) Apply(entries []raft.Entry, results []Result[R]) error {
	defer m.release()
	m.admit(entries, results)
	if len(m.commands) > 0 {
		if err := m.inner.Apply(m.commands, m.values); err != nil {
			return err
		}
	}
	m.settle(results)
	return nil
}

// Snapshot captures the state, see raft.StateMachine. Beside what the other
// state machine does, it takes a few microseconds for 100,000 sessions.
func (m *Machine[R]) Snapshot() (io.WriterTo, error) {
	inner, err := m.inner.Snapshot()
	if err != nil {
		return nil, err
	}
	return &capture{head: m.table.head(), sessions: m.table.capture(), inner: inner}, nil
}

// Restore replaces the state, see raft.StateMachine. The error is ErrCorrupt
// where the table is malformed; nothing has changed then.
func (m *Machine[R]) Restore(r io.Reader) error {
	in := bufio.NewReader(r)
	t, err := readTable(in)
	if err != nil {
		return fmt.Errorf("session: restore: %w", err)
	}
	if err := m.inner.Restore(in); err != nil {
		return err
	}
	m.table = t
	return nil
}

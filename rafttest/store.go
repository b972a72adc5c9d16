package rafttest

import "github.com/seed-6281cb22/raft"

// store is what a state machine that is durable by itself has on its node's
// disk. Since all state machines go through one history, that is how many
// commands of the ledger it holds, after each of its transactions. A power loss
// takes any number of the last ones, but for those that were synced.
type store struct {
	synced  uint64
	written []uint64 // later transactions, in order
}

// count returns how many commands the store holds.
func (s *store) count() uint64 {
	if k := len(s.written); k > 0 {
		return s.written[k-1]
	}
	return s.synced
}

// commit ends a transaction, after which the machine is where it is now.
func (m *machine[M, R]) commit() {
	n := m.n
	if !n.e.cfg.durable || n.dying {
		return
	}
	n.store.written = append(n.store.written, m.pos.count)
	if n.e.tape.Chance(0.5) {
		n.store.sync()
	}
}

func (s *store) sync() { s.synced, s.written = s.count(), s.written[:0] }

// crash loses what was not synced, or a part of it.
func (s *store) crash(n *node) {
	if len(s.written) > 0 {
		s.written = s.written[:n.e.tape.Intn(len(s.written)+1)]
		s.sync()
	}
}

// open has an empty state machine hold what the store does.
func (m *machine[M, R]) open() error {
	l, count := &m.n.e.ledger, m.n.store.count()
	entries := make([]raft.Entry, count)
	for i := range entries {
		r := &l.records[i]
		entries[i] = raft.Entry{Term: r.term, Index: r.index, Type: raft.EntryCommand, Data: r.command}
	}
	m.pos = l.at(count)
	if count == 0 {
		return nil
	}
	m.n.e.happened["state machine reopened"]++
	return m.sm.Apply(entries, make([]R, count))
}

// durableMachine makes a machine that has a store a raft.DurableStateMachine.
type durableMachine struct{ hostedMachine }

func (m durableMachine) LastApplied() raft.Index { return m.position().index }

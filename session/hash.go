package session

import (
	"encoding/binary"
	"hash/fnv"

	"github.com/seed-6281cb22/raft"
)

// What decorates a raft.StateHasher is one, and what decorates none is none,
// since Start tells by the method.

type hashedMachine[R any] struct {
	*Machine[R]
	inner raft.StateHasher
}

// StateHash covers the sessions and the state machine that is decorated.
func (m *hashedMachine[R]) StateHash() (uint64, error) { return m.table.hashWith(m.inner) }

type hashedDurableMachine[R any] struct {
	*DurableMachine[R]
	inner raft.StateHasher
}

// StateHash covers the sessions and the state machine that is decorated.
func (m *hashedDurableMachine[R]) StateHash() (uint64, error) { return m.table.hashWith(m.inner) }

// hashWith returns a hash of the table and of inner's state.
func (t *table) hashWith(inner raft.StateHasher) (uint64, error) {
	state, err := inner.StateHash()
	if err != nil {
		return 0, err
	}
	return t.hash(state), nil
}

// hash returns a hash of the table and of a state beside it.
func (t *table) hash(state uint64) uint64 {
	h := fnv.New64a()
	var b []byte
	write := func(record []byte) {
		var size [8]byte
		binary.LittleEndian.PutUint64(size[:], uint64(len(record)))
		h.Write(size[:]) // never fails, as below
		h.Write(record)
	}
	write(t.head())
	for s := range t.byUse() {
		b = s.append(b[:0])
		write(b)
	}
	write(binary.LittleEndian.AppendUint64(nil, state))
	return h.Sum64()
}

package inmem

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
)

// What a node of a next version says is understood as far as this version
// knows it, and a message that it does not know reaches the Handler as such.
func TestUpgrade(t *testing.T) {
	network, a, b := manual(t, Options{})
	m := raft.Message{Type: raftpb.AppendEntries, From: 1, To: 2, Term: 3, Index: 1, LogTerm: 2,
		Entries: []raft.Entry{{Index: 2, Term: 3, Data: []byte("x")}}}
	network.Upgrade(1)
	a.Send([]raft.Message{m})
	network.Advance(0)
	require.Equal(t, []raft.Message{m, {Type: newType, From: 1, To: 2, Term: 3}}, b.messages)
	require.Zero(t, network.Stats().Corrupted)

	network.Downgrade(1)
	a.Send([]raft.Message{m})
	network.Advance(0)
	require.Len(t, b.messages, 3)
}

// mostly is a source of randomness that says the same thing always.
type mostly uint64

func (m mostly) Uint64() uint64 { return uint64(m) }

func TestRandomIsDrawnFromInPlaceOfSeed(t *testing.T) {
	faults := Faults{Loss: 0.5, MinDelay: ms, MaxDelay: 5 * ms}
	network, a, b := manual(t, Options{Seed: 1, Random: mostly(0), Faults: faults})
	a.send(2, 1, 2, 3)
	network.Advance(at(10 * ms))
	require.Empty(t, b.messages)
	require.EqualValues(t, 3, network.Stats().Lost)

	network, a, b = manual(t, Options{Seed: 1, Random: mostly(math.MaxUint64), Faults: faults})
	a.send(2, 1, 2, 3)
	network.Advance(at(10 * ms))
	require.Len(t, b.messages, 3)
}

package rafttest

import (
	"fmt"
	"testing"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/tape"
	"github.com/stretchr/testify/require"
)

// hashedJournal is a Journal that can be compared. Some make a mistake that no
// result shows.
type hashedJournal struct {
	Journal
	wrong uint64
}

func (j *hashedJournal) StateHash() (uint64, error) {
	return uint64(len(j.Commands())) + j.wrong, nil
}

func comparison(machine func() *hashedJournal) Simulation[*hashedJournal, int] {
	return Simulation[*hashedJournal, int]{
		Machine:  machine,
		Command:  func(c *Choices) []byte { return fmt.Appendf(nil, "%x", c.Uint64()) },
		Config:   func(c *raft.Config) { c.CompareStateEvery = 5 },
		MinNodes: 3, MaxNodes: 5,
		Seeds: 12, First: 7 << 32,
	}
}

// Under all faults, crashes, snapshots and changes of the membership included,
// nobody is said to have diverged whose state machine has applied the same.
func TestEqualStatesNeverDiffer(t *testing.T) {
	r := Simulate(t, comparison(func() *hashedJournal { return new(hashedJournal) }))
	require.NotZero(t, r.Happened["state hashed"])
	require.NotZero(t, r.Happened["snapshot restored"])
}

// One that is in another state is found.
func TestDivergedStateIsFound(t *testing.T) {
	made := 0
	s := comparison(func() *hashedJournal {
		made++
		return &hashedJournal{wrong: uint64(made / 3 % 2)} // the third and following ones
	})
	found := false
	for seed := uint64(0); seed < 20 && !found; seed++ {
		made = 0
		o := s.run(tape.FromSeed(seed), withoutTranscript)
		found = o.failure != nil && o.failure.checker == "state machines"
		require.True(t, o.failure == nil || found, "%v", o.failure)
	}
	require.True(t, found)
}

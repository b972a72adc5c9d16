package dragonboat

import (
	"io"

	"github.com/lni/dragonboat/v4/statemachine"

	"github.com/seed-6281cb22/raft/bench/contender"
)

// machine is the state machine as the library wants it: of the kind that takes
// entries in batches, and takes more of them while a snapshot is written.
type machine struct{ *contender.Machine }

func (m machine) Update(entries []statemachine.Entry) ([]statemachine.Entry, error) {
	for _, e := range entries {
		m.Apply(e.Cmd)
	}
	return entries, nil
}

func (m machine) Lookup(any) (any, error) { return nil, nil }

func (m machine) PrepareSnapshot() (any, error) { return m.Applied(), nil }

func (m machine) SaveSnapshot(
	prepared any, w io.Writer, _ statemachine.ISnapshotFileCollection, _ <-chan struct{},
) error {
	return m.WriteSnapshot(w, prepared.(uint64))
}

func (m machine) RecoverFromSnapshot(r io.Reader, _ []statemachine.SnapshotFile, _ <-chan struct{}) error {
	return m.ReadSnapshot(r)
}

func (m machine) Close() error { return nil }

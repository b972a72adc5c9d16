package hashicorp

import (
	"errors"
	"io"

	"github.com/hashicorp/raft"

	"github.com/seed-6281cb22/raft/bench/contender"
)

// machine is the state machine as the library wants it: a raft.BatchingFSM.
type machine struct{ *contender.Machine }

func (m machine) Apply(l *raft.Log) any {
	m.Machine.Apply(l.Data)
	return nil
}

// ApplyBatch is given changes of the configuration, too.
func (m machine) ApplyBatch(logs []*raft.Log) []any {
	for _, l := range logs {
		if l.Type == raft.LogCommand {
			m.Machine.Apply(l.Data)
		}
	}
	return make([]any, len(logs))
}

func (m machine) Snapshot() (raft.FSMSnapshot, error) {
	return snapshot{m.Machine, m.Applied()}, nil
}

func (m machine) Restore(r io.ReadCloser) error {
	return errors.Join(m.ReadSnapshot(r), r.Close())
}

// snapshot is the state at one point.
type snapshot struct {
	machine *contender.Machine
	applied uint64
}

func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if err := s.machine.WriteSnapshot(sink, s.applied); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

func (s snapshot) Release() {}

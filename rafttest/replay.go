package rafttest

import (
	"github.com/seed-6281cb22/raft/internal/tape"
)

// Replay runs one seed and returns what happened last in it, whether or not
// something was wrong, which the error says.
func (s Simulation[M, R]) Replay(seed uint64) (transcript string, err error) {
	return s.replay(tape.FromSeed(seed))
}

// ReplayFile is Replay for the reduced run in a file that a failure has left.
func (s Simulation[M, R]) ReplayFile(path string) (transcript string, err error) {
	file, err := tape.ReadFile(path)
	if err != nil {
		return "", err
	}
	return s.replay(tape.Replay(file.Recording))
}

func (s Simulation[M, R]) replay(decisions *tape.Tape) (string, error) {
	o := s.run(decisions, withTranscript)
	if o.failure != nil {
		return o.transcript, o.failure
	}
	return o.transcript, nil
}

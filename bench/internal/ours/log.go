package ours

import (
	"slices"

	"github.com/seed-6281cb22/raft"
)

// memoryLog is a storage that keeps the log in one slice. The core asks it for
// entries only: the terms it knows itself.
type memoryLog struct {
	hardState raft.HardState
	first     raft.Index
	entries   []raft.Entry // from first on
}

func (l *memoryLog) at(i raft.Index) *raft.Entry { return &l.entries[i-l.first] }

func (l *memoryLog) save(w *raft.Write) {
	l.hardState = w.HardState
	if len(w.Entries) > 0 {
		l.entries = append(l.entries[:w.Entries[0].Index-l.first], w.Entries...)
	}
}

// read returns a copy, since it is the core's from then on.
func (l *memoryLog) read(request raft.LogRead) []raft.Entry {
	size, hi := 0, request.Lo
	for ; hi < request.Hi; hi++ {
		if size += len(l.at(hi).Data); size > request.MaxBytes && hi > request.Lo {
			break
		}
	}
	return slices.Clone(l.entries[request.Lo-l.first : hi-l.first])
}

func (l *memoryLog) compact(through raft.Index) {
	n := copy(l.entries, l.entries[through+1-l.first:])
	for i := n; i < len(l.entries); i++ {
		l.entries[i].Data = nil
	}
	l.entries, l.first = l.entries[:n], through+1
}

package rafttest

import (
	"slices"

	"github.com/seed-6281cb22/raft"
)

// bitFlip damages what a node next receives, or reads from its log, after all
// checksums of frames and records have been verified. What it receives it must
// not take, and if it is about to apply what it has read, it must stop.
func (s *nemesis) bitFlip() bool {
	n := s.victim()
	n.flips = true
	return true
}

// remembered returns entries as they are in the memory of n.
func (n *node) remembered(entries []raft.Entry) []raft.Entry {
	if !n.flips {
		return entries
	}
	for i := range entries {
		if len(entries[i].Data) == 0 {
			continue
		}
		entries = slices.Clone(entries)
		e := &entries[i]
		e.Data = slices.Clone(e.Data)
		e.Data[n.e.tape.Intn(len(e.Data))] ^= 1 << n.e.tape.Intn(8)
		n.flips, n.disk.faulted = false, true
		n.e.happened["bit flip in memory"]++
		n.e.transcript.note(n, "a bit flips in entry %d of term %d", e.Index, e.Term)
		break
	}
	return entries
}

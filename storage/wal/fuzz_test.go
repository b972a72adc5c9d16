package wal

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

// FuzzSegment changes a segment at will, and opens it: it is read or refused,
// never a panic, and what it yields was saved. With fix the checksums of the
// last frame are made right again, so that its content is reached.
func FuzzSegment(f *testing.F) {
	f.Add(uint32(0), []byte{1, 2, 3}, false)
	f.Add(uint32(headerBytes+blockSize), []byte{0}, true)
	f.Add(uint32(headerBytes+blockSize+frameHeaderBytes+4), []byte{0xff, 0xff, 0xff, 0x7f}, true)
	f.Add(uint32(headerBytes+2*blockSize+frameHeaderBytes+recordHeaderBytes), []byte{0xff, 0xff}, true)
	f.Fuzz(func(t *testing.T, off uint32, data []byte, fix bool) {
		d := newDisk(t)
		d.mustOpen()
		saved := map[raft.GroupID][]raft.Entry{}
		for _, w := range []struct {
			group raft.GroupID
			raft.Write
		}{
			{1, write(1, 0, append(entries(1, 1, 3), membershipEntry(4, 1, membership(1)))...)},
			{2, write(2, 1, entries(1, 2, 2)...)},
			{1, write(2, 1, entries(3, 2, 3)...)},
		} {
			d.save(w.group, w.Write)
			saved[w.group] = append(saved[w.group], w.Entries...)
		}
		name := d.log.current.name
		d.fs.Corrupt(name, func(b []byte) {
			if int(off) < len(b) {
				copy(b[off:], data)
			}
			if fix {
				reseal(b)
			}
		})
		d.fs.Crash(vfs.Nothing)
		if d.open() != nil {
			return
		}
		for _, g := range []raft.GroupID{1, 2, 3} {
			s := d.log.Storage(g)
			state, err := s.Load()
			if err != nil {
				continue
			}
			got, err := s.Entries(nil, state.First, state.Last+1, 1<<20)
			if err == nil {
				require.Len(t, got, int(state.Last+1-state.First))
			}
			for _, e := range got {
				require.Contains(t, saved[g], e)
			}
		}
	})
}

// reseal makes the checksums of all frames right, where their headers can
// still be found.
func reseal(b []byte) {
	h, ok := decodeSegmentHeader(b)
	if !ok {
		return
	}
	s := newSalted(h.salt)
	for off := headerBytes; off+frameHeaderBytes <= len(b); off += blockSize {
		if f, ok := s.header(b[off:]); ok && int(f.length) <= len(b)-off-frameHeaderBytes {
			s.put(b[off:], f)
		}
	}
}

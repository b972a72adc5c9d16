package wal

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

// TestDamagedCheckpointConcernsNoGroup: a checkpoint repeats what earlier
// frames say. If one is damaged, in whatever segment but the first, every
// group opens, those without a later record, too; and the log goes on.
func TestDamagedCheckpointConcernsNoGroup(t *testing.T) {
	build := func(t *testing.T) (d *disk, hot raft.Index) {
		d = newDisk(t)
		d.mustOpen()
		d.save(2, raft.Write{HardState: raft.HardState{Term: 3, Vote: 2}})
		d.save(3, write(1, 0, entries(1, 1, 2)...)) // idle, relocated later
		next := raft.Index(1)
		for len(d.log.chain) < 4 || d.log.chain[0].number < 3 {
			next = d.rotate(1, next)
			if next < 60 {
				d.compact(1, next-1, 1)
			}
		}
		return d, next
	}
	probe, _ := build(t)
	for i, seg := range probe.log.chain[1:] {
		checkpoint := probe.walkFile(seg.name).frames[0]
		for off := checkpoint.off; off < checkpoint.off+frameHeaderBytes+len(checkpoint.body); off += 7 {
			d, next := build(t)
			require.Equal(t, seg.name, d.log.chain[1+i].name)
			d.fs.Corrupt(seg.name, func(b []byte) { b[off] ^= 0x10 })
			for range 2 {
				d.crash(vfs.Nothing)
				require.Empty(t, d.log.damage)
				require.Equal(t, next-1, d.load(1).Last)
				require.Equal(t, entries(1, 1, int(next))[d.load(1).First-1:next-1], d.read(1, d.load(1).First, next))
				require.Equal(t, raft.HardState{Term: 3, Vote: 2}, d.load(2).HardState)
				require.Equal(t, entries(1, 1, 2), d.read(3, 1, 3))
				next = d.rotate(1, next)
			}
		}
	}
}

// TestDamagedOnlyCheckpointIsRefused: there is nothing before it that says
// what it has said. Nothing is touched.
func TestDamagedOnlyCheckpointIsRefused(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	d.save(1, write(1, 0, entries(1, 1, 2)...))
	name := d.log.current.name
	d.zero(name, headerBytes)
	before, _ := d.fs.Bytes(name)
	for range 2 {
		d.fs.Crash(vfs.Nothing)
		var corrupt *raft.CorruptError
		require.ErrorAs(t, d.open(), &corrupt)
		require.Equal(t, name, corrupt.File)
		require.EqualValues(t, headerBytes, corrupt.Offset)
		after, _ := d.fs.Bytes(name)
		require.Equal(t, before, after)
	}
}

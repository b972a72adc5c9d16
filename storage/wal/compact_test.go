package wal

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

// compact takes a snapshot at an index and compacts up to it.
func (d *disk) compact(group raft.GroupID, through raft.Index, term raft.Term) {
	d.t.Helper()
	d.snapshot(group, raft.Snapshot{Index: through, Term: term}, "s")
	require.NoError(d.t, d.log.Storage(group).Compact(through))
}

// TestCompactSurvivesARestart: a process that writes less than a segment
// between two restarts keeps what it has compacted, whether it closes the log
// or is killed after a while of idleness or after another write, and neither
// its log nor the disk that it takes grows.
func TestCompactSurvivesARestart(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(d *disk)
	}{
		{"closed", func(d *disk) { require.NoError(d.t, d.log.Close()) }},
		{"idle and killed", func(d *disk) { d.drive.Idle(); d.fs.Kill() }},
		{"power loss after another write", func(d *disk) { d.save(9, write(1, 0)); d.fs.Crash(vfs.Nothing) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDisk(t)
			next := raft.Index(1)
			for life := range 40 {
				d.mustOpen()
				state := d.load(1)
				require.Equal(t, next-1, state.Last)
				if life > 0 {
					require.Equal(t, next-1, state.First, "what was compacted came back")
				}
				require.LessOrEqual(t, len(d.log.chain), slackSegments+2)
				d.save(1, write(1, 0, entries(next, 1, 5)...))
				next += 5
				d.drive.Idle() // so that the compaction is the second thing stated while idle
				d.compact(1, next-2, 1)
				c.end(d)
			}
		})
	}
}

// TestManyCompactionsWhileIdle: as many as there is room for are stated at
// once, and a few more groups than that do no harm.
func TestManyCompactionsWhileIdle(t *testing.T) {
	d := newDisk(t)
	d.bytes = 64 << 10
	d.mustOpen()
	const groups = 300
	for g := raft.GroupID(1); g <= groups; g++ {
		d.queue(g, write(1, 0, entries(1, 1, 3)...), nil)
	}
	d.sync()
	for g := raft.GroupID(1); g <= groups; g++ {
		d.compact(g, 2, 1)
	}
	d.drive.Idle()
	d.fs.Kill()
	d.mustOpen()
	for g := raft.GroupID(1); g <= groups; g++ {
		require.EqualValues(t, 3, d.load(g).First)
		require.Equal(t, entries(3, 1, 1), d.read(g, 3, 4))
	}
}

// TestCompactDoesNotOvertakeASave: a Save under way replaces entries that a
// snapshot covers already, since others have committed their successors; they
// are there when it lands.
func TestCompactDoesNotOvertakeASave(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	d.save(1, write(1, 0, entries(1, 1, 5)...))
	var results []error
	note := func(err error) { results = append(results, err) }
	d.queue(1, write(2, 4, entries(3, 2, 2)...), note)
	d.queue(1, write(2, 4, entries(5, 2, 1)...), note)
	d.compact(1, 4, 2)
	d.sync()
	require.Equal(t, []error{nil, nil}, results)
	require.EqualValues(t, 3, d.load(1).First, "as far as was possible then")
	require.Equal(t, entries(3, 2, 3), d.read(1, 3, 6))
	require.NoError(t, d.log.Storage(1).Compact(4))
	require.NoError(t, d.log.Close())
	for range 2 {
		d.crash(vfs.Nothing)
		state := d.load(1)
		require.EqualValues(t, 5, state.First)
		require.EqualValues(t, 5, state.Last)
		require.Equal(t, entries(5, 2, 1), d.read(1, 5, 6))
	}
}

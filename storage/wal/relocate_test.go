package wal

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

// TestLargeBatchesKeepTheBound: batches that fill a segment or more, each of
// them a rotation, leave the log no larger than small ones do. A few groups
// write now and then, so that what is needed is everywhere.
func TestLargeBatchesKeepTheBound(t *testing.T) {
	for _, percent := range []int{100, 150} {
		d := newDisk(t)
		d.bytes = 128 << 10
		d.mustOpen()
		random := rand.New(rand.NewPCG(1, 1))
		data := make([]byte, int(d.bytes)*percent/100-2*blockSize)
		for i := range 600 {
			group := raft.GroupID(1)
			if random.IntN(20) == 0 {
				group = raft.GroupID(2 + random.IntN(10))
			}
			d.save(group, write(1, 0, raft.Entry{Index: 1, Term: 1, Data: data}))
			if i < 300 {
				continue // not all groups have written yet
			}
			var live, size int64
			for _, s := range d.log.chain {
				live += s.live
				size += s.size
			}
			bound := ((slackSegments+1)*d.bytes + slackFactor*live) * 5 / 4
			require.LessOrEqual(t, size, bound, "batches of %d%% of a segment, the %d-th", percent, i)
		}
	}
}

// TestDamagedEntryPinsNoSegment: an entry of an idle group rots. The log is
// cleaned as usual, and the entry is refused as before: by reads, and by every
// Open once its group is asked for; until it is replaced.
func TestDamagedEntryPinsNoSegment(t *testing.T) {
	for _, damage := range []struct {
		name string
		at   uint32 // in the entry
	}{{"length", 1}, {"checksum", 5}, {"content", 20}} {
		t.Run(damage.name, func(t *testing.T) {
			d := newDisk(t)
			d.mustOpen()
			d.save(2, write(1, 0, entries(1, 1, 4)...))
			d.save(3, write(1, 0, entries(1, 1, 4)...))
			at := d.log.groups[2].locations[1]
			d.fs.Corrupt(d.log.current.name, func(b []byte) { b[at.off+damage.at] ^= 1 })
			for range 100 {
				d.save(1, write(1, 0, raft.Entry{Index: 1, Term: 1, Data: make([]byte, 2*blockSize)}))
			}
			require.LessOrEqual(t, len(d.log.chain), slackSegments+3)
			for range 3 {
				require.Equal(t, entries(1, 1, 4), d.read(3, 1, 5))
				require.Equal(t, entries(1, 1, 4)[2:], d.read(2, 3, 5))
				_, err := d.log.Storage(2).Entries(nil, 2, 3, 100)
				if damage.name == "length" { // which is known
					require.NoError(t, err)
					require.EqualValues(t, 4, d.load(2).Last)
				} else {
					var corrupt *raft.CorruptError
					require.ErrorAs(t, err, &corrupt)
					require.Equal(t, []raft.IndexRange{{Group: 2, First: 2, Last: 2}}, corrupt.Ranges)
				}
				d.crash(vfs.Nothing)
				if damage.name != "length" {
					require.Equal(t, []raft.IndexRange{{Group: 2, First: 2, Last: 2}}, d.refused(2).Ranges)
				}
			}
		})
	}
}

// TestReplacedDamagedEntryIsForgotten: a group that has replaced its damaged
// entry before the next Open is as good as new.
func TestReplacedDamagedEntryIsForgotten(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	d.save(2, write(1, 0, entries(1, 1, 4)...))
	at := d.log.groups[2].locations[1]
	d.fs.Corrupt(d.log.current.name, func(b []byte) { b[at.off+20] ^= 1 })
	for d.log.chain[0].number == at.segment {
		d.save(1, write(1, 0, raft.Entry{Index: 1, Term: 1, Data: make([]byte, 2*blockSize)}))
	}
	d.save(2, write(2, 0, entries(2, 2, 1)...))
	d.crash(vfs.Nothing)
	require.EqualValues(t, 2, d.load(2).Last)
	require.Equal(t, append(entries(1, 1, 1), entries(2, 2, 1)...), d.read(2, 1, 3))
}

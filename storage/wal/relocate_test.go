package wal

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
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

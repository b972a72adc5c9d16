package contender_test

import (
	"bytes"
	"testing"

	"github.com/seed-6281cb22/raft/bench/contender"
	"github.com/stretchr/testify/require"
)

func TestMachineSnapshots(t *testing.T) {
	for _, size := range []int64{20, 1000, 3 << 20} {
		m := &contender.Machine{SnapshotBytes: size}
		m.Apply(nil)
		m.Apply(nil)
		var b bytes.Buffer
		require.NoError(t, m.WriteSnapshot(&b, m.Applied()))
		require.Equal(t, int(size), b.Len())
		restored := &contender.Machine{}
		require.NoError(t, restored.ReadSnapshot(&b))
		require.Equal(t, uint64(2), restored.Applied())
	}
}

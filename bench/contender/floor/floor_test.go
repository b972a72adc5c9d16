package floor

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"testing"

	"github.com/seed-6281cb22/raft/bench/contender"
	"github.com/stretchr/testify/require"
)

func TestFloor(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	var nodes []*node
	machine := &contender.Machine{}
	for i := range 3 {
		n, err := Start(contender.Config{
			Node: i + 1, Addrs: []string{"", l.Addr().String(), ""}, Dir: filepath.Join(t.TempDir(), fmt.Sprint(i)), Machine: machine,
		})
		require.NoError(t, err)
		nodes = append(nodes, n.(*node))
	}
	ctx := context.Background()
	for _, bytes := range []int{16, 1024} {
		require.NoError(t, nodes[0].Propose(ctx, make([]byte, bytes)))
	}
	require.NoError(t, nodes[0].Read(ctx))
	require.ErrorIs(t, nodes[1].Propose(ctx, nil), contender.ErrNotLeader)
	require.Equal(t, uint64(2), machine.Applied())
	for _, n := range nodes {
		require.NoError(t, n.Close())
	}
	require.EqualValues(t, 2, nodes[0].written)
	require.EqualValues(t, 2, nodes[1].written, "a read writes nothing")
}

package tcp

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// A connection whose handshake took so long that a newer one of the same node
// came first does not take over.
func TestAnOvertakenConnectionDoesNotTakeOver(t *testing.T) {
	n := startNode(t, 2, Options{})
	hello := goodHello(wire.ForMessages)
	older, olderEnd := pipeLink(t, 1)
	newer, newerEnd := pipeLink(t, 2)

	s, in := n.join(newer, hello)
	same, lane := n.join(older, hello)
	require.Same(t, s, same)
	require.Same(t, in, lane)
	require.Same(t, newer, in.current)
	_, err := olderEnd.Read(make([]byte, 1))
	require.Error(t, err, "closed")

	n.leave(older, 1, s, in)
	require.Same(t, newer, in.current)
	go newerEnd.Write([]byte{1})
	_, err = newer.conn.Read(make([]byte, 1))
	require.NoError(t, err, "open")
	n.leave(newer, 1, s, in)
	require.Empty(t, n.sources)
}

func pipeLink(t *testing.T, number uint64) (l *link, end net.Conn) {
	mine, end := net.Pipe()
	t.Cleanup(func() { mine.Close(); end.Close() })
	l = newLink(mine)
	l.number = number
	return l, end
}

package tcp

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// snapshotStranger is a stranger that sends a snapshot.
type snapshotStranger struct {
	*stranger
	link *link
}

// announced returns one that has announced a snapshot.
func announced(t testing.TB, b *node, number uint64, m raft.Message) *snapshotStranger {
	s := &snapshotStranger{stranger: introduced(t, b, wire.ForSnapshot)}
	s.link = newLink(s)
	s.link.reader.SetLimit(wire.MaxControlBytes)
	s.say(announcement(number, m))
	return s
}

// said returns the frame that comes next, signs of life aside.
func (s *snapshotStranger) said(t testing.TB) wire.Frame {
	for {
		f, err := s.link.next(patience)
		require.NoError(t, err)
		if f.Kind != wire.KindAlive {
			return f
		}
	}
}

func (s *snapshotStranger) saysOffset(t testing.TB, want uint64) {
	t.Helper()
	f := s.said(t)
	require.Equal(t, wire.KindOffset, f.Kind)
	offset, err := wire.Uint64(f.Payload)
	require.NoError(t, err)
	require.Equal(t, want, offset)
}

func (s *snapshotStranger) saysResult(t testing.TB) wire.Result {
	t.Helper()
	f := s.said(t)
	require.Equal(t, wire.KindResult, f.Kind)
	r, err := wire.ParseResult(f.Payload)
	require.NoError(t, err)
	return r
}

// A transfer is known by its number and its message. One that another has taken
// the place of is over, and so is one that has a result.
func TestATransferIsNotMixedWithAnother(t *testing.T) {
	b := startNode(t, 2, Options{})
	got := b.acceptSnapshots()
	data := []byte("some data")
	m := snapshotOf(1, 2, data)
	chunk := func(from, to int) []byte { return wire.AppendFrame(nil, wire.KindChunk, data[from:to]) }

	first := announced(t, b, 7, m)
	first.saysOffset(t, 0)
	first.say(chunk(0, 4))
	waitFor(t, "arrived", func() bool { return b.transferred(7) == 4 })

	// The same sender, on another connection, while the first one seems well.
	again := announced(t, b, 7, m)
	again.saysOffset(t, 4)
	first.hears()
	again.say(chunk(4, 6))
	waitFor(t, "arrived", func() bool { return b.transferred(7) == 6 })

	// The number of one, and the message of another.
	other := m
	other.Snapshot = &raft.Snapshot{Index: 11, Term: 1, Size: uint64(len(data))}
	mixed := announced(t, b, 7, other)
	mixed.hears()
	waitFor(t, "refused", func() bool { return b.Stats().Garbage == 1 })

	// Another one, when the sender of the first one is not there.
	again.Close()
	waitFor(t, "detached", func() bool { return !b.connected(7) })
	second := announced(t, b, 8, other)
	second.saysOffset(t, 0)
	require.ErrorIs(t, receive(t, got).err, errSuperseded)

	// The first one does not come back.
	stale := announced(t, b, 7, m)
	require.Equal(t, wire.Result{Reason: errSuperseded.Error()}, stale.saysResult(t))

	second.say(append(chunk(0, len(data)), wire.AppendFrame(nil, wire.KindEnd, nil)...))
	require.Equal(t, wire.Result{Accepted: true}, second.saysResult(t))
	require.Equal(t, data, receive(t, got).data)
	late := announced(t, b, 8, other) // had not heard
	require.Equal(t, wire.Result{Accepted: true}, late.saysResult(t))
	require.Empty(t, got)
}

// connected reports whether a transfer has a connection.
func (n *node) connected(number uint64) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, tr := range n.transfers {
		if tr.id.number == number {
			return tr.connected()
		}
	}
	return false
}

// transferred returns how many bytes of a transfer have arrived.
func (n *node) transferred(number uint64) uint64 {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, tr := range n.transfers {
		if tr.id.number == number {
			return tr.has()
		}
	}
	return 0
}

// A new leader need not wait for the old one, which died while it sent.
func TestATransferWithoutItsSenderYields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		a, b := network.pair(t, Options{})
		other := network.listenNode(t, 3, "10.0.0.3:7000", Options{}).start(t)
		other.SetPeer(2, b.addr())
		_, got, goOn := interrupted(t, network, a, b, someData(1<<20))
		require.NoError(t, a.Close())
		goOn()
		synctest.Wait()
		whole := b.acceptSnapshots()
		began := time.Now()
		data := someData(1000)
		require.NoError(t, other.SendSnapshot(t.Context(), snapshotOf(3, 2, data), bytes.NewReader(data)))
		require.Zero(t, time.Since(began))
		require.ErrorIs(t, receive(t, got), errSuperseded)
		require.Equal(t, data, receive(t, whole).data)
		require.NoError(t, other.Close())
		require.NoError(t, b.Close())
	})
}

// What was still on its way on a connection that has been replaced comes again,
// from the offset that was stated on the new one.
func TestAReplacedConnectionBringsNothing(t *testing.T) {
	b := listenNode(t, 2, Options{})
	tr := &transfer{t: b.Transport, message: snapshotOf(1, 2, someData(10)), changed: make(chan struct{}, 1)}
	older, _ := pipeLink(t, 1)
	newer, _ := pipeLink(t, 2)
	first, offset := tr.attach(older)
	require.Zero(t, offset)
	chunk := wire.Frame{Kind: wire.KindChunk, Payload: someData(4)}
	got, _, err := tr.take(first, chunk)
	require.NoError(t, err)
	require.Len(t, got, 4)
	second, offset := tr.attach(newer)
	require.EqualValues(t, 4, offset)
	got, _, err = tr.take(first, chunk)
	require.NoError(t, err)
	require.Empty(t, got)
	require.EqualValues(t, 4, tr.has())

	overtaken, _ := tr.attach(older)
	require.Nil(t, overtaken, "a newer one is there")
	tr.detach(first, io.EOF)
	require.Same(t, second, tr.current, "that was another one")
}

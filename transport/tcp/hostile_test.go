package tcp

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// stranger is a connection whose bytes a test chooses.
type stranger struct {
	net.Conn
	t testing.TB
}

func call(t testing.TB, n *node) *stranger {
	conn, err := net.Dial("tcp", n.addr())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	return &stranger{conn, t}
}

func (s *stranger) say(b []byte) {
	s.t.Helper()
	_, err := s.Write(b)
	require.NoError(s.t, err)
}

// hears returns the kinds of frames that come until the connection ends.
func (s *stranger) hears() []wire.Kind {
	var kinds []wire.Kind
	l := newLink(s)
	l.reader.SetLimit(wire.MaxControlBytes)
	for {
		f, err := l.next(0)
		if err != nil {
			var e net.Error
			require.False(s.t, errors.As(err, &e) && e.Timeout(), "the connection stays open")
			return kinds
		}
		kinds = append(kinds, f.Kind)
	}
}

func goodHello(purpose wire.Purpose) wire.Hello {
	return wire.Hello{Versions: wire.Supported(), Purpose: purpose, From: raft.Identity{Cluster: "test", Node: 1}, To: 2}
}

// introduced returns a stranger that has been accepted.
func introduced(t testing.TB, n *node, purpose wire.Purpose) *stranger {
	s := call(t, n)
	s.say(wire.AppendHello(nil, goodHello(purpose)))
	require.True(t, s.isWelcome())
	return s
}

// isWelcome reads the answer to a Hello.
func (s *stranger) isWelcome() bool {
	f, err := newLink(s).next(0)
	require.NoError(s.t, err)
	w, err := wire.ParseWelcome(f)
	require.NoError(s.t, err)
	return w.Status == wire.Accepted
}

func TestMismatchesAreToldToBothSides(t *testing.T) {
	cases := map[string]struct {
		self     raft.Identity
		versions wire.Versions
		required wire.Features
		reason   error
		text     string
	}{
		"cluster": {raft.Identity{Cluster: "other", Node: 2}, wire.Supported(), 0, ErrCluster, `here is node 1 of cluster "test", there node 2 of cluster "other"`},
		"node":    {raft.Identity{Cluster: "test", Node: 3}, wire.Supported(), 0, ErrNode, "expected node 2; here is node 1, there node 3"},
		"version": {raft.Identity{Cluster: "test", Node: 2}, wire.Versions{Min: 7, Max: 9}, 0, ErrVersion, "here 1 to 1, there 7 to 9"},
		"feature": {raft.Identity{Cluster: "test", Node: 2}, wire.Supported(), 6, ErrFeature, "missing 0x6"},
		"myself":  {raft.Identity{Cluster: "test", Node: 1}, wire.Supported(), 0, ErrNode, "expected node 2; here is node 1, there node 1"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zapcore.WarnLevel)
			a, b := startNode(t, 1, Options{}), listenNode(t, c.self.Node, Options{Logger: zap.New(core)})
			b.side.Versions, b.side.Required = c.versions, c.required
			require.NoError(t, b.Start(c.self, b.recorder))
			a.SetPeer(2, b.addr())
			a.Send([]raft.Message{heartbeat(1, 2, 1)})
			require.EqualValues(t, 2, receive(t, a.unreachable))

			waitFor(t, "told to the dialer", func() bool { return a.Peers()[0].Err != nil })
			var refused *HandshakeError
			require.ErrorAs(t, a.Peers()[0].Err, &refused)
			require.ErrorIs(t, refused, c.reason)
			require.True(t, refused.Dialed)
			require.Equal(t, c.self, refused.Remote)
			require.ErrorContains(t, refused, c.text)

			waitFor(t, "told to the listener", func() bool { return logs.Len() > 0 })
			require.ErrorAs(t, loggedError(logs.All()[0]), &refused)
			require.ErrorIs(t, refused, c.reason)
			require.False(t, refused.Dialed)
			require.EqualValues(t, 1, refused.Remote.Node)
			require.Empty(t, b.messages)
		})
	}
}

func loggedError(e observer.LoggedEntry) error {
	for _, f := range e.Context {
		if err, ok := f.Interface.(error); ok {
			return err
		}
	}
	return nil
}

func TestTwoClustersRefuseEachOther(t *testing.T) {
	a, b := listenNode(t, 1, Options{}), listenNode(t, 2, Options{})
	require.NoError(t, a.Start(raft.Identity{Cluster: "one", Node: 1}, a.recorder))
	require.NoError(t, b.Start(raft.Identity{Cluster: "two", Node: 2}, b.recorder))
	a.SetPeer(2, b.addr())
	b.SetPeer(1, a.addr())
	for _, n := range []*node{a, b} {
		waitFor(t, "refused", func() bool { return errors.Is(n.Peers()[0].Err, ErrCluster) && n.Stats().Refused > 0 })
	}
}

// claim returns the header of a frame that says it is longer than it is.
func claim(kind wire.Kind, length uint32) []byte {
	b := wire.AppendFrame(nil, kind, nil)
	binary.LittleEndian.PutUint32(b, length)
	binary.LittleEndian.PutUint16(b[6:], uint16(crc32.Checksum(b[:6], crc32.MakeTable(crc32.Castagnoli))))
	return b
}

func message(m raft.Message) []byte { return wire.AppendMessage(nil, &m) }

// announcement is what a transfer of a snapshot begins with.
func announcement(number uint64, m raft.Message) []byte {
	return append(wire.AppendUint64(nil, wire.KindTransfer, number), message(m)...)
}

// The length of a message is believed only as far as its bytes arrive.
func TestAClaimedLengthAllocatesNothing(t *testing.T) {
	b := startNode(t, 2, Options{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 50 {
		s := introduced(t, b, wire.ForMessages)
		s.say(claim(wire.KindMessage, 60<<20))
		s.say(make([]byte, 100))
		s.Close()
	}
	waitFor(t, "all ended", func() bool {
		b.mu.RLock()
		defer b.mu.RUnlock()
		return len(b.incoming) == 0
	})
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(50*256<<10))
}

func TestHandshakesThatDoNotEnd(t *testing.T) {
	b := startNode(t, 2, Options{ConnectTimeout: 50 * time.Millisecond})
	hello := wire.AppendHello(nil, goodHello(wire.ForMessages))

	silent := call(t, b)
	truncated := call(t, b)
	truncated.say(hello[:len(hello)-1])
	slow := call(t, b) // a deadline for each byte would let it go on for ever
	began := time.Now()
	go func() {
		for i := range hello {
			if _, err := slow.Write(hello[i : i+1]); err != nil {
				return
			}
			<-time.After(10 * time.Millisecond)
		}
	}()
	for _, s := range []*stranger{silent, truncated, slow} {
		require.Empty(t, s.hears())
	}
	require.GreaterOrEqual(t, time.Since(began), 40*time.Millisecond)
	require.Zero(t, b.Stats().Accepted)
}

func TestTooManyConnections(t *testing.T) {
	b := startNode(t, 2, Options{MaxConnections: 1})
	first := introduced(t, b, wire.ForMessages)
	second := call(t, b)
	second.say(wire.AppendHello(nil, goodHello(wire.ForMessages)))
	require.Equal(t, []wire.Kind{wire.KindWelcome}, second.hears())
	waitFor(t, "counted", func() bool { return b.Stats().Refused == 1 })
	first.say(message(heartbeat(1, 2, 3)))
	receive(t, b.messages)

	first.Close() // whose place another may take
	waitFor(t, "room", func() bool {
		third := call(t, b)
		third.say(wire.AppendHello(nil, goodHello(wire.ForMessages)))
		return third.isWelcome()
	})
}

func TestTooManyHandshakes(t *testing.T) {
	b := startNode(t, 2, Options{MaxHandshakes: 3})
	for range 3 {
		call(t, b)
	}
	require.Empty(t, call(t, b).hears())
	require.EqualValues(t, 1, b.Stats().TurnedAway)
}

// A peer that falls silent without a word, as behind a cut cable, is noticed;
// and who has nothing to answer says nothing.
func TestASilentPeerIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		listener := network.listen("10.0.0.2:7000")
		defer listener.Close()
		a := network.listenNode(t, 1, "10.0.0.1:7000", Options{}).start(t)
		a.SetPeer(2, "10.0.0.2:7000")
		began := time.Now()
		for range lanes {
			conn, err := listener.Accept()
			require.NoError(t, err)
			go func() {
				newLink(conn).next(0)
				conn.Write(welcomeOf(func(*wire.Welcome) {}))
				io.Copy(io.Discard, conn)
			}()
		}
		synctest.Wait()
		require.True(t, a.Peers()[0].Connected)
		require.EqualValues(t, 2, receive(t, a.unreachable))
		require.Equal(t, DefaultPeerTimeout, time.Since(began))

		s := callFrom(a, "10.0.0.9")
		hello := wire.Hello{Versions: wire.Supported(), Purpose: wire.ForMessages, From: raft.Identity{Cluster: "test", Node: 3}, To: 1}
		go s.Write(wire.AppendHello(nil, hello))
		began = time.Now()
		require.Equal(t, []wire.Kind{wire.KindWelcome}, (&stranger{s, t}).hears())
		require.Equal(t, DefaultPeerTimeout, time.Since(began))
	})
}

func TestANewerConnectionTakesOver(t *testing.T) {
	b := startNode(t, 2, Options{})
	hold := make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	defer release()
	b.onDeliver = func(m []raft.Message) {
		if m[0].Index == 1 {
			<-hold
		}
	}
	older := introduced(t, b, wire.ForMessages)
	older.say(message(heartbeat(1, 2, 1)))
	waitFor(t, "delivering", func() bool { return b.Stats().BytesReceived > 0 })
	newer := introduced(t, b, wire.ForMessages)
	newer.say(message(heartbeat(1, 2, 2)))
	require.Empty(t, older.hears())
	select {
	case <-b.messages:
		require.Fail(t, "delivered beside the older connection's")
	case <-time.After(50 * time.Millisecond):
	}
	release()
	require.EqualValues(t, 1, receive(t, b.messages).Index)
	require.EqualValues(t, 2, receive(t, b.messages).Index)
}

func TestAnOlderNodeSendsFieldsThatThisOneDoesNotKnow(t *testing.T) {
	b := startNode(t, 2, Options{})
	s := introduced(t, b, wire.ForMessages)
	m := heartbeat(1, 2, 4)
	payload := append(m.Append(nil), 0xfa, 0x7f, 1, 'x') // field 2047, bytes
	s.say(wire.AppendFrame(nil, wire.KindMessage, payload))
	require.Equal(t, raftpb.AppendEntries, receive(t, b.messages).Type)
}

package tcp

import (
	"fmt"
	"io"
	"net"
	"net/netip"
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

// located is a connection from some address.
type located struct {
	net.Conn
	remote net.Addr
}

func (l located) RemoteAddr() net.Addr { return l.remote }

// callFrom connects to n from an address, and says nothing.
func callFrom(n *node, ip string) net.Conn {
	near, far := net.Pipe()
	n.listener.(*pipeListener).conns <- located{far, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), 1))}
	synctest.Wait()
	return near
}

// introduce says hello as a node and returns whether it is welcome.
func introduce(t *testing.T, conn net.Conn, id raft.NodeID) bool {
	hello := goodHello(wire.ForMessages)
	hello.From.Node = id
	if _, err := conn.Write(wire.AppendHello(nil, hello)); err != nil {
		return false
	}
	f, err := newLink(conn).next(0)
	if err != nil {
		return false
	}
	w, err := wire.ParseWelcome(f)
	require.NoError(t, err)
	return w.Status == wire.Accepted
}

// Thousands of connections from one address that say nothing do not keep out a
// node at another, nor those that are connected; and where all come from one
// address, as behind a NAT, all the slots are theirs.
func TestHalfOpenConnectionsFromOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPipes().listenNode(t, 2, "10.0.0.2:7000", Options{MaxHandshakes: 8, ConnectTimeout: time.Second}).start(t)
		connected := callFrom(b, "10.0.0.7")
		require.True(t, introduce(t, connected, 3))

		const flood = 2000
		var open []net.Conn
		for i := range flood {
			open = append(open, callFrom(b, "10.9.9.9"))
			if i == 100 {
				require.True(t, introduce(t, callFrom(b, "10.0.0.8"), 4))
			}
		}
		b.mu.RLock()
		require.Len(t, b.strangers, 8, "all from one address")
		require.LessOrEqual(t, len(b.incoming), 8+2)
		b.mu.RUnlock()
		require.EqualValues(t, flood-8, b.Stats().TurnedAway, "all but those that wait")

		require.True(t, introduce(t, open[7], 5), "none that came early is displaced by its own kind")
		go connected.Write(message(heartbeat(3, 2, 1)))
		receive(t, b.messages)
		<-time.After(time.Second)
		synctest.Wait()
		require.Empty(t, b.strangers)
		require.EqualValues(t, 7, b.Stats().TimedOut)
	})
}

// Whoever has the most makes room, the oldest first.
func TestWhoIsDisplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPipes().listenNode(t, 2, "10.0.0.2:7000", Options{MaxHandshakes: 4}).start(t)
		conns := map[string]net.Conn{}
		for i, ip := range []string{"10.0.0.1", "2001:db8:1:1::1", "2001:db8:1:1::2", "2001:db8:2:2::1", "10.0.0.3"} {
			conns[fmt.Sprint(i, " ", ip)] = callFrom(b, ip)
		}
		require.EqualValues(t, 1, b.Stats().TurnedAway)
		require.False(t, introduce(t, conns["1 2001:db8:1:1::1"], 5), "its network had two, and it was the older")
		callFrom(b, "10.0.0.1")
		require.EqualValues(t, 2, b.Stats().TurnedAway, "none has more than it")
		require.True(t, introduce(t, conns["0 10.0.0.1"], 6))
		require.True(t, introduce(t, conns["2 2001:db8:1:1::2"], 7))
		require.True(t, introduce(t, conns["3 2001:db8:2:2::1"], 8))
		require.True(t, introduce(t, conns["4 10.0.0.3"], 9))
	})
}

func TestOrigins(t *testing.T) {
	origin := func(ip string) netip.Prefix {
		return originOf(net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(ip), 1)))
	}
	require.Equal(t, origin("10.0.0.1"), origin("::ffff:10.0.0.1"))
	require.NotEqual(t, origin("10.0.0.1"), origin("10.0.0.2"))
	require.Equal(t, origin("2001:db8::1"), origin("2001:db8::ffff:1"))
	require.NotEqual(t, origin("2001:db8::1"), origin("2001:db8:0:1::1"))
	require.Equal(t, origin("fe80::1%eth0"), origin("fe80::2%eth1"))
	require.Equal(t, netip.Prefix{}, originOf(pipeAddr("x")))
}

// taped is a connection whose outgoing bytes are recorded.
type taped struct {
	net.Conn
	mu   *sync.Mutex
	tape *[]byte
}

func (c taped) Write(p []byte) (int, error) {
	c.mu.Lock()
	*c.tape = append(*c.tape, p...)
	c.mu.Unlock()
	return c.Conn.Write(p)
}

// A recorded connection, replayed, is refused with TLS. Without, there is
// nothing to know it by: old messages come again, which Raft does not mind, and
// the node whose connection it takes over makes a new one.
func TestReplayOfARecordedConnection(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network, opts := newPipes(), Options{}
				if secure {
					opts.TLS = newAuthority(t).config(t)
				}
				var mu sync.Mutex
				tapes := map[int]*[]byte{}
				network.wrap = func(n int, conn net.Conn) (net.Conn, error) {
					mu.Lock()
					defer mu.Unlock()
					tapes[n] = &[]byte{}
					return taped{conn, &mu, tapes[n]}, nil
				}
				a, b := network.listenNode(t, 1, "10.0.0.1:7000", opts).start(t), network.listenNode(t, 2, "10.0.0.2:7000", opts).start(t)
				a.SetPeer(2, b.addr())
				synctest.Wait()
				a.Send([]raft.Message{appendEntries(1, 2, 10)})
				receive(t, b.messages)
				before := b.Stats()

				mu.Lock()
				recorded := len(tapes)
				mu.Unlock()
				for n := 1; n <= recorded; n++ {
					mu.Lock()
					tape := *tapes[n]
					mu.Unlock()
					near, err := network.dial(t.Context(), b.addr())
					require.NoError(t, err)
					go io.Copy(io.Discard, near)
					near.Write(tape)
					synctest.Wait()
				}
				counted := b.Stats().incomingSince(before)
				if secure {
					require.Empty(t, b.messages)
					require.Zero(t, counted.Accepted)
					require.EqualValues(t, recorded, counted.Refused+counted.Garbage+counted.Abandoned)
				} else {
					require.Equal(t, raftpb.AppendEntries, receive(t, b.messages).Type)
					require.Equal(t, Stats{Accepted: lanes, Refused: lanes}, counted, "node 1's, and node 2's own")
				}
				<-time.After(2 * DefaultMaxBackoff) // until it is connected again
				synctest.Wait()
				a.Send([]raft.Message{appendEntries(1, 2, 20)})
				require.Len(t, receive(t, b.messages).Entries[0].Data, 20)
			})
		})
	}
}

// What a node that is welcome sends need not be reasonable: messages without
// entries, as many as fit in what a large one has left of the buffer. They are
// all delivered, but not all at once.
func TestSmallMessagesAreDeliveredInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPipes().listenNode(t, 2, "10.0.0.2:7000", Options{}).start(t)
		most, batches := 0, 0
		b.onDeliver = func(m []raft.Message) {
			batches++
			most = max(most, len(m))
		}
		conn := callFrom(b, "10.0.0.1")
		require.True(t, introduce(t, conn, 1))
		var stream []byte
		const n = 50_000
		stream = append(stream, message(appendEntries(1, 2, 4<<20))...)
		for i := range n {
			stream = append(stream, message(heartbeat(1, 2, i))...)
		}
		go io.Copy(io.Discard, conn)
		go conn.Write(stream)
		for range n + 1 {
			receive(t, b.messages)
		}
		require.Less(t, most, 10_000)
		require.Greater(t, batches, n/10_000)
	})
}

// The least that an honest sender achieves is not too slow, however the bytes
// arrive.
func TestASlowSenderIsNotTooSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPipes().listenNode(t, 2, "10.0.0.2:7000", Options{}).start(t)
		conn := callFrom(b, "10.0.0.1")
		require.True(t, introduce(t, conn, 1))
		go io.Copy(io.Discard, conn)
		stream := message(appendEntries(1, 2, 1<<20))
		const step = 1 << 10
		for len(stream) > 0 { // 128 KiB in each PeerTimeout
			n := min(step, len(stream))
			<-time.After(DefaultPeerTimeout * step / writeBytes)
			_, err := conn.Write(stream[:n])
			require.NoError(t, err)
			stream = stream[n:]
		}
		receive(t, b.messages)
		for range 100 { // nor is one that only says that it is alive
			<-time.After(wire.PingInterval)
			_, err := conn.Write(wire.AppendFrame(nil, wire.KindPing, nil))
			require.NoError(t, err)
		}
		require.Zero(t, b.Stats().TimedOut+b.Stats().Garbage)
	})
}

// A handler that has been busy for long finds many pings of an honest peer.
func TestPingsThatGatheredAreNoFlood(t *testing.T) {
	l := newLink(nil)
	for range 120 {
		require.NoError(t, l.beat())
	}
	l.firstBeat = l.firstBeat.Add(-time.Hour)
	for range 3600 * 4 {
		require.NoError(t, l.beat())
	}
	for range 10 * 3600 * 4 {
		if l.beat() != nil {
			return
		}
	}
	require.Fail(t, "no end")
}

func TestStrangersDoNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.WarnLevel)
		b := newPipes().listenNode(t, 2, "10.0.0.2:7000", Options{Logger: zap.New(core)}).start(t)
		logs.TakeAll()
		knock := func() {
			callFrom(b, "10.0.0.1").Close()
			synctest.Wait()
		}
		for range 500 {
			knock()
		}
		require.Equal(t, refusalsPerSecond, logs.Len())
		<-time.After(time.Second)
		knock()
		entries := logs.TakeAll()
		require.Len(t, entries, refusalsPerSecond+1)
		require.EqualValues(t, 500-refusalsPerSecond, entries[refusalsPerSecond].ContextMap()["unlogged"])
		require.EqualValues(t, 501, b.Stats().Abandoned)
	})
}

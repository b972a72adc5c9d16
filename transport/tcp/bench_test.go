package tcp

import (
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
)

// counting is a Handler that counts, and says when it has counted enough.
type counting struct {
	n, enough atomic.Int64
	done      chan struct{}
	answer    func()
}

func (c *counting) Deliver(messages []raft.Message) {
	if c.n.Add(int64(len(messages))) == c.enough.Load() {
		c.done <- struct{}{}
	}
	if c.answer != nil {
		c.answer()
	}
}

func (c *counting) DeliverSnapshot(_ raft.Message, body io.Reader) error {
	_, err := io.Copy(io.Discard, body)
	return err
}

func (c *counting) Unreachable(raft.NodeID) {}

// expect makes done come when n more messages have been delivered.
func (c *counting) expect(n int) { c.enough.Store(c.n.Load() + int64(n)) }

// benchPair returns two connected nodes that count.
func benchPair(t testing.TB, opts Options) (a, b *Transport, ha, hb *counting) {
	handlers := []*counting{{done: make(chan struct{}, 1)}, {done: make(chan struct{}, 1)}}
	var nodes []*Transport
	for i, h := range handlers {
		n, err := Listen("127.0.0.1:0", opts)
		require.NoError(t, err)
		t.Cleanup(func() { n.Close() })
		require.NoError(t, n.Start(raft.Identity{Cluster: "bench", Node: raft.NodeID(1 + i)}, h))
		nodes = append(nodes, n)
	}
	a, b = nodes[0], nodes[1]
	a.SetPeer(2, b.Addr().String())
	b.SetPeer(1, a.Addr().String())
	for _, n := range nodes {
		waitFor(t, "connected", func() bool { return n.Peers()[0].Connected })
	}
	return a, b, handlers[0], handlers[1]
}

// loopback returns the two ends of a bare connection.
func loopback(b *testing.B) (client, server net.Conn) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer listener.Close()
	client, err = net.Dial("tcp", listener.Addr().String())
	require.NoError(b, err)
	server, err = listener.Accept()
	require.NoError(b, err)
	b.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// window is how many messages BenchmarkOneWay has in flight.
const window = 4096

// One way, one AppendEntries with an entry of 128 bytes each. "bare" writes as
// many bytes, in writes of as many messages, to a reader that discards them.
func BenchmarkOneWay(b *testing.B) {
	for _, batch := range []int{1, 16, 64} {
		size := len(message(appendEntries(1, 2, 128)))
		b.Run(fmt.Sprintf("bare/batch=%d", batch), func(b *testing.B) {
			client, server := loopback(b)
			done := make(chan struct{})
			go func() {
				io.CopyN(io.Discard, server, int64(b.N)*int64(size))
				close(done)
			}()
			buf := make([]byte, batch*size)
			b.ResetTimer()
			for left := b.N; left > 0; left -= batch {
				client.Write(buf[:min(left, batch)*size])
			}
			<-done
			report(b)
		})
		for _, kind := range []string{"tcp", "TLS"} {
			b.Run(fmt.Sprintf("%s/batch=%d", kind, batch), func(b *testing.B) {
				opts := Options{}
				if kind == "TLS" {
					opts.TLS = newAuthority(b).config(b)
				}
				a, _, _, h := benchPair(b, opts)
				messages := make([]raft.Message, batch)
				for i := range messages {
					messages[i] = appendEntries(1, 2, 128)
				}
				b.ReportAllocs()
				b.ResetTimer()
				// A window of messages in flight, as flow control has it.
				delivered := make(chan struct{}, 1)
				h.answer = func() {
					select {
					case delivered <- struct{}{}:
					default:
					}
				}
				for sent := 0; sent < b.N; sent += batch {
					for int64(sent)-h.n.Load() > window {
						<-delivered
					}
					a.Send(messages[:min(b.N-sent, batch)])
				}
				for h.n.Load() < int64(b.N) {
					<-delivered
				}
				report(b)
				b.ReportMetric(float64(a.Stats().MessagesSent)/float64(a.Stats().Writes), "msgs/write")
			})
		}
	}
}

func report(b *testing.B) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mmsgs/s")
}

// There and back, 128 bytes each way.
func BenchmarkPingPong(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		client, server := loopback(b)
		go func() {
			buf := make([]byte, 128)
			for {
				if _, err := io.ReadFull(server, buf); err != nil {
					return
				}
				server.Write(buf)
			}
		}()
		buf := make([]byte, 128)
		b.ResetTimer()
		for range b.N {
			client.Write(buf)
			io.ReadFull(client, buf)
		}
	})
	for _, kind := range []string{"tcp", "TLS"} {
		b.Run(kind, func(b *testing.B) {
			opts := Options{}
			if kind == "TLS" {
				opts.TLS = newAuthority(b).config(b)
			}
			x, y, hx, hy := benchPair(b, opts)
			ping := []raft.Message{appendEntries(1, 2, 100)}
			pong := []raft.Message{appendEntries(2, 1, 100)}
			left := b.N
			hy.answer = func() { y.Send(pong) }
			hx.answer = func() {
				if left--; left > 0 {
					x.Send(ping)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			hx.expect(b.N)
			x.Send(ping)
			<-hx.done
		})
	}
}

func BenchmarkSnapshot(b *testing.B) {
	a, _, _, _ := benchPair(b, Options{})
	const size = 64 << 20
	m := snapshotOf(1, 2, nil)
	m.Snapshot.Size = size
	b.SetBytes(size)
	for range b.N {
		require.NoError(b, a.SendSnapshot(b.Context(), m, endless{}))
	}
}

// In the steady state nothing is allocated for a message, sent or received:
// only the data of entries, for a batch together or 64 KiB of it.
func TestSteadyStateAllocations(t *testing.T) {
	for _, c := range []struct {
		name    string
		message raft.Message
		want    float64 // allocations for a message, sent and received
	}{
		{"without entries", heartbeat(1, 2, 1), 0},
		{"urgent", requestVote(1, 2, 1), 0},
		{"with entries", appendEntries(1, 2, 128, 128, 128), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, _, _, h := benchPair(t, Options{})
			const batch, rounds = 64, 200
			messages := make([]raft.Message, batch)
			for i := range messages {
				messages[i] = c.message
			}
			round := func() {
				h.expect(batch)
				a.Send(messages)
				<-h.done
			}
			for range 100 {
				round() // buffers grow
			}
			perRound := testing.AllocsPerRun(rounds, round)
			require.InDelta(t, c.want, perRound/batch, 0.1) // beside signs of life
		})
	}
}

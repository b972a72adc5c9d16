package tcp

import (
	"io"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// fuzzFrameBytes is MaxFrameBytes of the node that is fuzzed.
const fuzzFrameBytes = minMaxFrameBytes

// stream makes the bytes of a connection of a script, so that chance gets past
// checksums: each step is one byte that says what comes next, and what it needs.
func stream(script []byte) (stream []byte) {
	next := func() (b byte) {
		if len(script) > 0 {
			b, script = script[0], script[1:]
		}
		return b
	}
	some := func(n byte) []byte {
		b := script[:min(int(n), len(script))]
		script = script[len(b):]
		return b
	}
	for len(script) > 0 && len(stream) < 1<<17 {
		switch op := next(); op % 10 {
		case 0: // anything
			stream = append(stream, some(next())...)
		case 1: // a frame of any kind
			stream = wire.AppendFrame(stream, wire.Kind(next()), some(next()))
		case 2: // a hello, almost good
			h := goodHello(wire.Purpose(next() % 5))
			h.From.Node += raft.NodeID(next() % 2)
			stream = wire.AppendHello(stream, h)
		case 3: // a good message
			stream = append(stream, message(appendEntries(1, 2, int(next()), int(next())))...)
		case 4: // heartbeats
			for i := range next() {
				stream = append(stream, message(heartbeat(1, 2, int(i)))...)
			}
		case 5: // pings
			for range next() {
				stream = wire.AppendFrame(stream, wire.KindPing, nil)
			}
		case 6: // a message of many entries that say nothing
			stream = append(stream, message(raft.Message{From: 1, To: 2, Entries: make([]raft.Entry, int(next())<<6)})...)
		case 7: // a snapshot begins
			stream = append(stream, announcement(7, snapshotOf(1, 2, some(next())))...)
		case 8: // its data
			stream = wire.AppendFrame(stream, wire.KindChunk, some(next()))
		case 9: // its end
			stream = wire.AppendFrame(stream, wire.KindEnd, nil)
		}
	}
	return stream
}

// deliverable returns how many messages of a stream the Handler is to get: all
// up to the first frame that is out of place, if node 1 may send them at all.
func deliverable(stream []byte) (n int) {
	f, used, err := wire.Parse(stream, wire.MaxHandshakeBytes)
	if err != nil || used == 0 {
		return 0
	}
	hello, err := wire.ParseHello(f)
	if err != nil || wire.Answer(wire.Ours(raft.Identity{Cluster: "test", Node: 2}), hello).Status != wire.Accepted || hello.Purpose == wire.ForSnapshot {
		return 0
	}
	limit := fuzzFrameBytes
	if hello.Purpose == wire.ForUrgent {
		limit = wire.MaxUrgentBytes
	}
	for pings := 0; pings <= 128; {
		stream = stream[used:]
		if f, used, err = wire.Parse(stream, limit); err != nil || used == 0 {
			return n
		}
		switch f.Kind {
		case wire.KindPing:
			pings++
		case wire.KindMessage:
			var b wire.Batch
			if b.Add(f.Payload) != nil || b.Messages()[0].From != hello.From.Node || b.Messages()[0].To != 2 {
				return n
			}
			n++
		default:
			return n
		}
	}
	return n
}

// Whatever comes on a connection, in pieces of any size: the Handler gets the
// messages before the first thing that is wrong and nothing else, the
// connection ends in time and is counted, memory stays in proportion, and the
// next connection works.
func FuzzConnection(f *testing.F) {
	f.Add([]byte{2, 1, 0, 3, 10, 200, 4, 20, 5, 7, 3, 1, 1}, uint8(0))
	f.Add([]byte{2, 1, 0, 4, 3, 6, 255, 4, 3}, uint8(9))
	f.Add([]byte{2, 1, 0, 5, 255, 4, 3}, uint8(3))
	f.Add([]byte{2, 3, 0, 4, 9, 3, 255, 255}, uint8(1))
	f.Add([]byte{2, 2, 0, 7, 3, 'a', 'b', 'c', 8, 3, 'a', 'b', 'c', 9}, uint8(2))
	f.Add([]byte{2, 2, 0, 7, 3, 'a', 'b', 'c', 8, 9, 'a', 'b', 'c', 9}, uint8(2))
	f.Add([]byte{4, 2, 2, 1, 0, 4, 2}, uint8(5))
	f.Add([]byte{2, 1, 0, 2, 1, 0, 4, 2}, uint8(30))
	f.Add([]byte{2, 1, 0, 1, 99, 5, 1, 2, 3, 4, 5}, uint8(30))
	f.Add([]byte{0, 10, 'G', 'E', 'T', ' ', '/'}, uint8(0))
	f.Fuzz(func(t *testing.T, script []byte, piece uint8) {
		bytes := stream(script)
		synctest.Test(t, func(t *testing.T) { fuzzConnection(t, bytes, pieceOf(bytes, piece)) })
	})
}

// pieceOf returns how many bytes are sent at once: all of them for 0, and not
// so few that it takes long.
func pieceOf(bytes []byte, piece uint8) int {
	if piece == 0 {
		return len(bytes)
	}
	return max(int(piece), len(bytes)>>11)
}

// fuzzConnection sends a stream in pieces of some size.
func fuzzConnection(t *testing.T, bytes []byte, piece int) {
	b := newPipes().listenNode(t, 2, "10.0.0.2:7000", Options{MaxFrameBytes: fuzzFrameBytes}).start(t)
	b.onSnapshot = func(_ raft.Message, body io.Reader) error { _, err := io.Copy(io.Discard, body); return err }
	conn := callFrom(b, "10.0.0.1")
	var memory [2]runtime.MemStats
	runtime.ReadMemStats(&memory[0])
	said := make(chan struct{})
	go func() { defer close(said); sayInPieces(conn, bytes, piece) }()
	began := time.Now()
	io.Copy(io.Discard, conn)
	<-said
	synctest.Wait()
	runtime.ReadMemStats(&memory[1])

	require.LessOrEqual(t, time.Since(began), 2*DefaultPeerTimeout)
	got := b.Stats()
	require.EqualValues(t, 1, got.Accepted+got.Refused+got.TurnedAway+got.TimedOut+got.Garbage+got.Abandoned-min(got.Accepted, got.TimedOut+got.Garbage+got.Abandoned))
	require.Equal(t, deliverable(bytes), len(b.messages))
	for len(b.messages) > 0 {
		m := receive(t, b.messages)
		require.Equal(t, [2]raft.NodeID{1, 2}, [2]raft.NodeID{m.From, m.To})
	}
	reads := len(bytes)/max(piece, 1) + 1 // the pipe's timers take memory for each
	require.Less(t, memory[1].TotalAlloc-memory[0].TotalAlloc, uint64(2<<20+64*len(bytes)+512*reads))

	next := callFrom(b, "10.0.0.1")
	require.True(t, introduce(t, next, 1))
	go next.Write(message(heartbeat(1, 2, 77)))
	require.EqualValues(t, 77, receive(t, b.messages).Index)
}

func sayInPieces(conn net.Conn, bytes []byte, piece int) {
	for len(bytes) > 0 {
		n := min(len(bytes), piece)
		if _, err := conn.Write(bytes[:n]); err != nil {
			return
		}
		bytes = bytes[n:]
	}
}

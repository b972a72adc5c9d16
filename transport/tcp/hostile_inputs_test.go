package tcp

import (
	"bytes"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// hostile is what somebody sends to node 2, and what becomes of it.
type hostile struct {
	bytes  []byte // sent at once
	slow   []byte // then, one in each second
	leaves bool   // and then hangs up, a second later; otherwise it waits for node 2 to do so
	tls    bool   // node 2 uses it

	want  Stats         // only the counters of incoming connections
	after time.Duration // how long it takes node 2 to hang up, at most
}

var (
	garbage   = Stats{Garbage: 1}
	refused   = Stats{Refused: 1}
	timedOut  = Stats{TimedOut: 1}
	abandoned = Stats{Abandoned: 1}
)

// accepted is s after a good handshake.
func accepted(s Stats) Stats { s.Accepted++; return s }

// helloFrom returns a Hello of node 9 to node 2, changed.
func helloFrom(change func(*wire.Hello)) []byte {
	h := wire.Hello{Versions: wire.Supported(), Purpose: wire.ForMessages, From: raft.Identity{Cluster: "test", Node: 9}, To: 2}
	change(&h)
	return wire.AppendHello(nil, h)
}

func unchanged(*wire.Hello) {}

// afterHello returns a good Hello of node 9, for messages, and what follows.
func afterHello(frames ...[]byte) []byte {
	return append(helloFrom(unchanged), bytes.Join(frames, nil)...)
}

func forSnapshot(frames ...[]byte) []byte {
	hello := helloFrom(func(h *wire.Hello) { h.Purpose = wire.ForSnapshot })
	return append(hello, bytes.Join(frames, nil)...)
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// clientHello is what a TLS client says first.
func clientHello(t *testing.T) []byte {
	near, far := net.Pipe()
	go tls.Client(near, &tls.Config{ServerName: "node"}).Handshake()
	b := make([]byte, 4096)
	n, err := io.ReadAtLeast(far, b, 100)
	require.NoError(t, err)
	far.Close()
	return b[:n]
}

// endlessHello is the first message of a TLS client (1) or server (2), as long
// as crypto/tls allows, in records of the largest size.
func endlessHello(kind byte) []byte {
	message := append([]byte{kind, 0, 0xff, 0xff}, make([]byte, 0xffff)...)
	var records []byte
	for piece := range slices.Chunk(message, 16<<10) {
		records = append(records, 0x16, 3, 1, byte(len(piece)>>8), byte(len(piece)))
		records = append(records, piece...)
	}
	return records
}

func hostileInputs(t *testing.T) map[string]hostile {
	damaged := message(appendEntries(9, 2, 100))
	damaged[len(damaged)-1] ^= 1
	shorter := message(appendEntries(9, 2, 100))
	longer := claim(wire.KindMessage, 200)
	number := wire.AppendUint64(nil, wire.KindTransfer, 7)
	install := announcement(7, snapshotOf(9, 2, []byte("data")))
	emptyEntries := bytes.Repeat([]byte{0x7a, 0}, 1<<19)
	member := raft.Message{Type: raftpb.InstallSnapshot, From: 9, To: 2, Snapshot: &raft.Snapshot{Membership: raft.Membership{Members: make([]raft.Member, 1<<17)}}}
	return map[string]hostile{
		"noise":                     {bytes: noise(100_000), want: garbage},
		"another protocol":          {bytes: []byte("GET / HTTP/1.1\r\nHost: raft\r\n\r\n"), want: garbage},
		"TLS to a plain port":       {bytes: clientHello(t), want: garbage},
		"plain to a TLS port":       {bytes: helloFrom(unchanged), tls: true, want: garbage},
		"noise to a TLS port":       {bytes: noise(100_000), tls: true, want: garbage},
		"endless TLS":               {bytes: endlessHello(1), tls: true, want: garbage},
		"silence":                   {want: timedOut, after: DefaultConnectTimeout},
		"silence to a TLS port":     {tls: true, want: timedOut, after: DefaultConnectTimeout},
		"hangs up":                  {leaves: true, want: abandoned, after: time.Second},
		"half a hello":              {bytes: helloFrom(unchanged)[:30], leaves: true, want: abandoned, after: time.Second},
		"a slow hello":              {slow: helloFrom(unchanged), want: timedOut, after: DefaultConnectTimeout},
		"a hello of 2 GiB":          {bytes: claim(wire.KindHello, 1<<31), want: garbage},
		"a hello of 513 bytes":      {bytes: claim(wire.KindHello, wire.MaxHandshakeBytes+1), want: garbage},
		"a hello that lies":         {bytes: append(claim(wire.KindHello, 40), helloFrom(unchanged)...), want: garbage},
		"a message first":           {bytes: message(heartbeat(9, 2, 1)), want: garbage},
		"a welcome first":           {bytes: wire.AppendWelcome(nil, wire.Welcome{}), want: garbage},
		"a malformed hello":         {bytes: wire.AppendFrame(nil, wire.KindHello, []byte("RAFT\x00hi\n")), want: garbage},
		"another cluster's traffic": {bytes: append(helloFrom(func(h *wire.Hello) { h.From.Cluster = "other" }), message(heartbeat(9, 2, 1))...), want: refused},
		"meant for another node":    {bytes: helloFrom(func(h *wire.Hello) { h.To = 3 }), want: refused},
		"the node's own id":         {bytes: helloFrom(func(h *wire.Hello) { h.From.Node = 2 }), want: refused},
		"nobody's id":               {bytes: helloFrom(func(h *wire.Hello) { h.From.Node = 0 }), want: refused},
		"a downgraded version":      {bytes: helloFrom(func(h *wire.Hello) { h.Versions = wire.Versions{} }), want: refused},
		"a later version":           {bytes: helloFrom(func(h *wire.Hello) { h.Versions = wire.Versions{Min: 2, Max: 9} }), want: refused},
		"an unknown feature":        {bytes: helloFrom(func(h *wire.Hello) { h.Features, h.Required = 1<<63, 1<<63 }), want: refused},
		"an unknown purpose":        {bytes: helloFrom(func(h *wire.Hello) { h.Purpose = 99 }), want: refused},

		"silence after the hello": {bytes: afterHello(), want: accepted(timedOut), after: DefaultPeerTimeout},
		"a hello again":           {bytes: afterHello(helloFrom(unchanged)), want: accepted(garbage)},
		"noise after the hello":   {bytes: afterHello(noise(100_000)), want: accepted(garbage)},
		"a damaged message":       {bytes: afterHello(damaged), want: accepted(garbage)},
		"a message of 2 GiB":      {bytes: afterHello(claim(wire.KindMessage, 1<<31)), want: accepted(garbage)},
		"above the limit":         {bytes: afterHello(claim(wire.KindMessage, DefaultMaxFrameBytes+1)), want: accepted(garbage)},
		"longer than it is":       {bytes: afterHello(longer, shorter, shorter), want: accepted(garbage)},
		"cut inside a frame":      {bytes: afterHello(shorter[:50]), leaves: true, want: accepted(abandoned), after: time.Second},
		"a slow frame":            {bytes: afterHello(), slow: append(claim(wire.KindMessage, 1<<20), make([]byte, 30)...), want: accepted(timedOut), after: 2*DefaultPeerTimeout + time.Second},
		"an unknown kind":         {bytes: afterHello(wire.AppendFrame(nil, 99, nil)), want: accepted(garbage)},
		"an alive":                {bytes: afterHello(wire.AppendUint64(nil, wire.KindAlive, 1)), want: accepted(garbage)},
		"a chunk":                 {bytes: afterHello(wire.AppendFrame(nil, wire.KindChunk, []byte("x"))), want: accepted(garbage)},
		"another node's message":  {bytes: afterHello(message(heartbeat(1, 2, 1))), want: accepted(garbage)},
		"to another node":         {bytes: afterHello(message(heartbeat(9, 3, 1))), want: accepted(garbage)},
		"no message":              {bytes: afterHello(wire.AppendFrame(nil, wire.KindMessage, []byte{0xff})), want: accepted(garbage)},
		"empty messages":          {bytes: afterHello(bytes.Repeat(wire.AppendFrame(nil, wire.KindMessage, nil), 1000)), want: accepted(garbage)},
		"empty entries":           {bytes: afterHello(wire.AppendFrame(nil, wire.KindMessage, emptyEntries)), want: accepted(garbage)},
		"empty members":           {bytes: afterHello(message(member)), want: accepted(garbage)},
		"a flood of pings":        {bytes: afterHello(bytes.Repeat(wire.AppendFrame(nil, wire.KindPing, nil), 10_000)), want: accepted(garbage)},

		"snapshot: silence":          {bytes: forSnapshot(), want: accepted(timedOut), after: DefaultPeerTimeout},
		"snapshot: a ping":           {bytes: forSnapshot(wire.AppendFrame(nil, wire.KindPing, nil)), want: accepted(garbage)},
		"snapshot: no snapshot":      {bytes: forSnapshot(number, message(heartbeat(9, 2, 1))), want: accepted(garbage)},
		"snapshot: empty members":    {bytes: forSnapshot(number, message(member)), want: accepted(garbage)},
		"snapshot: a large message":  {bytes: forSnapshot(number, claim(wire.KindMessage, wire.MaxSnapshotMessageBytes+1)), want: accepted(garbage)},
		"snapshot: no number":        {bytes: forSnapshot(message(snapshotOf(9, 2, nil))), want: accepted(garbage)},
		"snapshot: half a number":    {bytes: forSnapshot(wire.AppendFrame(nil, wire.KindTransfer, []byte("half"))), want: accepted(garbage)},
		"snapshot: chunk, no begin":  {bytes: forSnapshot(wire.AppendFrame(nil, wire.KindChunk, []byte("data"))), want: accepted(garbage)},
		"snapshot: too much data":    {bytes: forSnapshot(install, wire.AppendFrame(nil, wire.KindChunk, []byte("data and more"))), want: accepted(garbage)},
		"snapshot: too little data":  {bytes: forSnapshot(install, wire.AppendFrame(nil, wire.KindEnd, nil)), want: accepted(garbage)},
		"snapshot: an empty chunk":   {bytes: forSnapshot(install, wire.AppendFrame(nil, wire.KindChunk, nil)), want: accepted(garbage)},
		"snapshot: a chunk of 1 GiB": {bytes: forSnapshot(install, claim(wire.KindChunk, 1<<30)), want: accepted(garbage)},
		"snapshot: another's":        {bytes: forSnapshot(number, message(snapshotOf(1, 2, nil))), want: accepted(garbage)},
	}
}

// However hostile what comes is, it is counted once, its connection closed in
// time, memory stays in proportion, and another node's messages come through.
func TestHostileInputs(t *testing.T) {
	for name, h := range hostileInputs(t) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, h.run) })
	}
}

func (h hostile) run(t *testing.T) {
	network, opts := newPipes(), Options{}
	if h.tls {
		opts.TLS = newAuthority(t).config(t)
	}
	a, b := network.listenNode(t, 1, "10.0.0.1:7000", opts).start(t), network.listenNode(t, 2, "10.0.0.2:7000", opts).start(t)
	b.onSnapshot = func(_ raft.Message, body io.Reader) error { _, err := io.Copy(io.Discard, body); return err }
	a.SetPeer(2, b.addr())
	synctest.Wait()
	a.Send([]raft.Message{heartbeat(1, 2, 1)})
	receive(t, b.messages)
	before := b.Stats()

	conn, err := network.dial(t.Context(), b.addr())
	require.NoError(t, err)
	var memory [2]runtime.MemStats
	runtime.ReadMemStats(&memory[0])
	began := time.Now()
	said := make(chan struct{})
	go func() { defer close(said); h.say(conn) }()
	io.Copy(io.Discard, conn) // until one of them hangs up
	took := time.Since(began)
	conn.Close()
	<-said
	synctest.Wait()
	runtime.ReadMemStats(&memory[1])

	a.Send([]raft.Message{heartbeat(1, 2, 2)})
	require.EqualValues(t, 2, receive(t, b.messages).Index)
	require.Empty(t, b.messages, "delivered")
	require.Equal(t, h.want, b.Stats().incomingSince(before))
	require.Equal(t, before.Accepted, a.Stats().Connects, "the other node's connections")
	require.LessOrEqual(t, took, h.after)
	allocated := memory[1].TotalAlloc - memory[0].TotalAlloc
	require.Less(t, allocated, uint64(1<<20+8*len(h.bytes)))
}

// say says it all, or until nobody listens any more.
func (h hostile) say(conn net.Conn) {
	if _, err := conn.Write(h.bytes); err != nil {
		return
	}
	for i := range h.slow {
		<-time.After(time.Second)
		if _, err := conn.Write(h.slow[i : i+1]); err != nil {
			return
		}
	}
	if h.leaves {
		<-time.After(time.Second)
		conn.Close()
	}
}

// incomingSince returns what incoming connections have added to before.
func (s Stats) incomingSince(before Stats) Stats {
	return Stats{
		Accepted:   s.Accepted - before.Accepted,
		Refused:    s.Refused - before.Refused,
		TurnedAway: s.TurnedAway - before.TurnedAway,
		Abandoned:  s.Abandoned - before.Abandoned,
		TimedOut:   s.TimedOut - before.TimedOut,
		Garbage:    s.Garbage - before.Garbage,
	}
}

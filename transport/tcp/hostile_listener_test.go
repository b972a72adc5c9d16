package tcp

import (
	"bytes"
	"io"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// welcomeOf returns the good answer of node 2 to node 1, changed.
func welcomeOf(change func(*wire.Welcome)) []byte {
	w := wire.Answer(wire.Ours(raft.Identity{Cluster: "test", Node: 2}), goodHello(wire.ForMessages))
	change(&w)
	return wire.AppendWelcome(nil, w)
}

func afterWelcome(frames ...[]byte) []byte {
	return append(welcomeOf(func(*wire.Welcome) {}), bytes.Join(frames, nil)...)
}

// A dialer is as careful with who answers as a listener with who calls: it says
// what is wrong, hangs up in time, and takes no memory for it.
func TestHostileListeners(t *testing.T) {
	const silence = DefaultPeerTimeout + wire.PingInterval/2 // which no ping coincides with
	for name, c := range map[string]struct {
		answer []byte
		tls    bool   // the dialer uses it
		reason error  // of a HandshakeError
		text   string // of another error, whose words are its own
		after  time.Duration
	}{
		"silence":                   {after: DefaultConnectTimeout, text: "timeout"},
		"noise":                     {answer: noise(100_000), text: "wrong check of the header"},
		"plain, in answer to TLS":   {tls: true, answer: afterWelcome(), text: "does not look like a TLS handshake"},
		"noise, in answer to TLS":   {tls: true, answer: noise(100_000), text: "does not look like a TLS handshake"},
		"endless TLS":               {tls: true, answer: endlessHello(2), text: "too many bytes"},
		"silence, with TLS":         {tls: true, after: DefaultConnectTimeout},
		"a hello":                   {answer: helloFrom(unchanged), text: "not a welcome"},
		"a welcome of 2 GiB":        {answer: claim(wire.KindWelcome, 1<<31), text: "at most 512"},
		"a malformed welcome":       {answer: wire.AppendFrame(nil, wire.KindWelcome, []byte("RAFT\x00ok\n")), text: "too short"},
		"an unknown refusal":        {answer: welcomeOf(func(w *wire.Welcome) { w.Status = 200 }), reason: errRefused},
		"another node":              {answer: welcomeOf(func(w *wire.Welcome) { w.From.Node = 3 }), reason: ErrNode},
		"another cluster":           {answer: welcomeOf(func(w *wire.Welcome) { w.From.Cluster = "x" }), reason: ErrCluster},
		"a downgraded version":      {answer: welcomeOf(func(w *wire.Welcome) { w.Version = 0 }), reason: ErrVersion},
		"a later version":           {answer: welcomeOf(func(w *wire.Welcome) { w.Version = 2 }), reason: ErrVersion},
		"an unknown feature":        {answer: welcomeOf(func(w *wire.Welcome) { w.Features, w.Required = 1, 1 }), reason: ErrFeature},
		"too many":                  {answer: welcomeOf(func(w *wire.Welcome) { w.Status = wire.Busy }), reason: ErrTooMany},
		"silence after the welcome": {answer: afterWelcome(), text: "silent", after: silence},
		"noise after the welcome":   {answer: afterWelcome(noise(100_000)), text: "wrong check of the header"},
		"a message":                 {answer: afterWelcome(message(heartbeat(2, 1, 1))), text: "only signs of life"},
		"an unknown kind":           {answer: afterWelcome(wire.AppendFrame(nil, 99, nil)), text: "only signs of life"},
		"a sign of 2 GiB":           {answer: afterWelcome(claim(wire.KindAlive, 1<<31)), text: "at most 2048"},
		"a flood of signs":          {answer: afterWelcome(bytes.Repeat(wire.AppendUint64(nil, wire.KindAlive, 1), 10_000)), text: "a flood of signs of life"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := newPipes()
				listener := network.listen("10.0.0.2:7000")
				defer listener.Close()
				opts := Options{PeerTimeout: silence}
				if c.tls {
					opts.TLS = newAuthority(t).config(t)
				}
				a := network.listenNode(t, 1, "10.0.0.1:7000", opts).start(t)
				var memory [2]runtime.MemStats
				runtime.ReadMemStats(&memory[0])
				hungUp := make(chan time.Duration, 100)
				go func() {
					for {
						conn, err := listener.Accept()
						if err != nil {
							return
						}
						began := time.Now()
						go conn.Write(c.answer)
						go func() {
							io.Copy(io.Discard, conn)
							hungUp <- time.Since(began)
						}()
					}
				}()
				a.SetPeer(2, "10.0.0.2:7000")
				require.LessOrEqual(t, receive(t, hungUp), c.after)
				synctest.Wait()
				runtime.ReadMemStats(&memory[1])
				require.Less(t, memory[1].TotalAlloc-memory[0].TotalAlloc, uint64(1<<20))
				err := a.Peers()[0].Err
				if c.reason != nil {
					var refused *HandshakeError
					require.ErrorAs(t, err, &refused)
					require.ErrorIs(t, refused, c.reason)
					require.True(t, refused.Dialed)
				} else {
					require.ErrorContains(t, err, c.text)
				}
				require.False(t, a.Peers()[0].Connected)
			})
		})
	}
}

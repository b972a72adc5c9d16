package wire

import (
	"bytes"
	"encoding/hex"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
)

var (
	self  = raft.Identity{Cluster: "c", Node: 2}
	side  = Side{Identity: self, Versions: Versions{1, 1}, Features: 1 | 2, Required: 1}
	hello = Hello{
		Versions: Versions{1, 3},
		Purpose:  ForSnapshot,
		Features: 1<<63 | 5,
		Required: 1,
		From:     raft.Identity{Cluster: "c", Node: 1},
		To:       2,
		Address:  "10.0.0.1:7000",
	}
)

func frameOf(t *testing.T, stream []byte) Frame {
	frames, err := readAll(bytes.NewReader(stream), MaxControlBytes)
	require.Equal(t, io.EOF, err)
	require.Len(t, frames, 1)
	return frames[0]
}

func TestHandshakeRoundTrip(t *testing.T) {
	largest := hello
	largest.From.Cluster = strings.Repeat("c", MaxClusterBytes)
	largest.Address = strings.Repeat("a", MaxAddressBytes)
	for _, h := range []Hello{{}, hello, largest} {
		frame := frameOf(t, AppendHello(nil, h))
		require.LessOrEqual(t, len(frame.Payload), MaxHandshakeBytes)
		got, err := ParseHello(frame)
		require.NoError(t, err)
		require.Equal(t, h, got)
	}
	for _, w := range []Welcome{{}, {Status: Busy, Version: 3, Versions: Versions{2, 4}, Features: 9, Required: 8, From: largest.From}} {
		got, err := ParseWelcome(frameOf(t, AppendWelcome(nil, w)))
		require.NoError(t, err)
		require.Equal(t, w, got)
	}
}

// The bytes themselves are a promise to other versions.
func TestHandshakeBytes(t *testing.T) {
	require.Equal(t,
		"3d000000"+"01"+"00"+"3f86"+"066a6cf6"+
			"52414654"+"0068690a"+"01000300"+"02"+"0500000000000080"+"0100000000000000"+"0100000000000000"+"0200000000000000"+"0163"+"0d"+hex.EncodeToString([]byte("10.0.0.1:7000")),
		hex.EncodeToString(AppendHello(nil, hello)))
}

func TestLaterVersionsMayAppend(t *testing.T) {
	payload := frameOf(t, AppendHello(nil, hello)).Payload
	got, err := ParseHello(Frame{KindHello, append(payload, "more"...)})
	require.NoError(t, err)
	require.Equal(t, hello, got)
}

func TestAnswer(t *testing.T) {
	change := func(f func(*Hello)) Hello { h := hello; f(&h); return h }
	cases := map[string]struct {
		hello Hello
		want  Status
	}{
		"same":            {hello, Accepted},
		"cluster":         {change(func(h *Hello) { h.From.Cluster = "d" }), WrongCluster},
		"other node":      {change(func(h *Hello) { h.To = 3 }), WrongNode},
		"claims to be me": {change(func(h *Hello) { h.From.Node = 2 }), SameNode},
		"nobody":          {change(func(h *Hello) { h.From.Node = 0 }), SameNode},
		"too new":         {change(func(h *Hello) { h.Versions = Versions{2, 9} }), WrongVersion},
		"too old":         {change(func(h *Hello) { h.Versions = Versions{0, 0} }), WrongVersion},
		"it needs more":   {change(func(h *Hello) { h.Required |= 4 }), NoFeature},
		"I need more":     {change(func(h *Hello) { h.Features &^= 1 }), NoFeature},
		"purpose":         {change(func(h *Hello) { h.Purpose = 9 }), WrongPurpose},
		"all wrong":       {Hello{}, WrongVersion},
	}
	for name, c := range cases {
		w := Answer(side, c.hello)
		require.Equal(t, c.want, w.Status, name)
		require.Equal(t, self, w.From, name)
		require.Equal(t, c.want == Accepted, CheckWelcome(c.hello, w) == Accepted, name)
	}
}

func TestTheDialerComparesForItself(t *testing.T) {
	other := side
	other.Versions.Max = 2
	good := Answer(other, hello)
	require.Equal(t, Accepted, CheckWelcome(hello, good))
	require.EqualValues(t, 2, good.Version)

	bad := good
	bad.From.Cluster = "d"
	require.Equal(t, WrongCluster, CheckWelcome(hello, bad))
	bad = good
	bad.From.Node = 3
	require.Equal(t, WrongNode, CheckWelcome(hello, bad))
	bad = good
	bad.Version = 4
	require.Equal(t, WrongVersion, CheckWelcome(hello, bad))
	bad = good
	bad.Features = 2
	require.Equal(t, NoFeature, CheckWelcome(hello, bad))
	require.Equal(t, Features(1), Missing(hello, bad))
	bad = good
	bad.Required = 2
	require.Equal(t, NoFeature, CheckWelcome(hello, bad))
	bad = good
	bad.Status = 200
	require.NotEqual(t, Accepted, CheckWelcome(hello, bad))
	require.Contains(t, Status(200).String(), "200")
}

func TestCommonVersion(t *testing.T) {
	for _, c := range []struct {
		a, b Versions
		want uint16
	}{
		{Versions{1, 1}, Versions{1, 1}, 1},
		{Versions{1, 3}, Versions{2, 5}, 3},
		{Versions{1, 2}, Versions{3, 4}, 0},
		{Versions{3, 1}, Versions{1, 3}, 0},
	} {
		require.Equal(t, c.want, c.a.Common(c.b), c)
		require.Equal(t, c.want, c.b.Common(c.a), c)
	}
}

func TestMalformedHandshakes(t *testing.T) {
	payload := frameOf(t, AppendHello(nil, hello)).Payload
	for n := range payload {
		_, err := ParseHello(Frame{KindHello, payload[:n]})
		require.Error(t, err, n)
	}
	_, err := ParseHello(Frame{KindWelcome, payload})
	require.ErrorContains(t, err, "not a hello")
	_, err = ParseWelcome(Frame{KindWelcome, payload})
	require.ErrorContains(t, err, "wrong magic number")

	long := hello
	long.From.Cluster = strings.Repeat("c", MaxClusterBytes+1)
	_, err = ParseHello(frameOf(t, AppendHello(nil, long)))
	require.ErrorContains(t, err, "string too long")
}

func FuzzHandshake(f *testing.F) {
	f.Add(AppendHello(nil, hello)[HeaderBytes:])
	f.Add(AppendWelcome(nil, Answer(Ours(self), hello))[HeaderBytes:])
	f.Fuzz(func(t *testing.T, payload []byte) {
		if h, err := ParseHello(Frame{KindHello, payload}); err == nil {
			again := AppendHello(nil, h)[HeaderBytes:]
			require.True(t, bytes.HasPrefix(payload, again))
			w := Answer(Ours(self), h)
			if w.Status == Accepted {
				require.Equal(t, Accepted, CheckWelcome(h, w))
			}
		}
		if w, err := ParseWelcome(Frame{KindWelcome, payload}); err == nil {
			require.True(t, bytes.HasPrefix(payload, AppendWelcome(nil, w)[HeaderBytes:]))
			_ = CheckWelcome(hello, w) // must not panic
		}
	})
}

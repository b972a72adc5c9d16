package transporttest_test

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft/transport/transporttest"
)

// connect returns both ends of a connection through a proxy.
func connect(t *testing.T, plan transporttest.Plan) (p *transporttest.Proxy, dialer, target net.Conn) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	p, err = transporttest.NewProxy(listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { p.Close() })
	p.SetPlan(func(int) transporttest.Plan { return plan })
	dialer, err = net.Dial("tcp", p.Address())
	require.NoError(t, err)
	t.Cleanup(func() { dialer.Close() })
	target, err = listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { target.Close() })
	deadline := time.Now().Add(20 * time.Second)
	require.NoError(t, dialer.SetDeadline(deadline))
	require.NoError(t, target.SetDeadline(deadline))
	return p, dialer, target
}

func faultsAt(all ...transporttest.Fault) transporttest.Plan {
	return transporttest.Plan{Faults: all}
}

func read(t *testing.T, from io.Reader, n int) []byte {
	b := make([]byte, n)
	_, err := io.ReadFull(from, b)
	require.NoError(t, err)
	return b
}

func TestProxyForwards(t *testing.T) {
	for _, plan := range []transporttest.Plan{{}, {Piece: 1}, {Piece: 1000, Delay: time.Microsecond}} {
		p, dialer, target := connect(t, plan)
		data := bytes.Repeat([]byte("0123456789"), 10_000)
		for _, way := range [][2]net.Conn{{dialer, target}, {target, dialer}} {
			go way[0].Write(data)
			require.Equal(t, data, read(t, way[1], len(data)))
		}
		require.EqualValues(t, len(data), p.Bytes(transporttest.ToTarget))
		require.EqualValues(t, len(data), p.Bytes(transporttest.FromTarget))
		require.Equal(t, 1, p.Accepted())
		require.Equal(t, 1, p.Open())
		dialer.Close()
		_, err := target.Read(make([]byte, 1))
		require.Error(t, err)
	}
}

func TestProxyCuts(t *testing.T) {
	_, dialer, target := connect(t, faultsAt(transporttest.Fault{Direction: transporttest.FromTarget, At: 5, Action: transporttest.Cut}))
	target.Write([]byte("hello world"))
	got, err := io.ReadAll(dialer)
	require.LessOrEqual(t, len(got), 5)
	require.Error(t, err, "reset")
	_, err = io.ReadAll(target)
	require.Error(t, err, "reset")

	p, dialer, target := connect(t, transporttest.Plan{})
	dialer.Write([]byte("hello"))
	read(t, target, 5)
	p.Cut()
	_, err = dialer.Read(make([]byte, 1))
	require.Error(t, err)
}

func TestProxyEndsOneDirection(t *testing.T) {
	_, dialer, target := connect(t, faultsAt(transporttest.Fault{At: 5, Action: transporttest.End}))
	dialer.Write([]byte("hello world"))
	got, err := io.ReadAll(target)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
	target.Write([]byte("the other way goes on"))
	read(t, dialer, 21)
}

func TestProxyStallsAndResumes(t *testing.T) {
	p, dialer, target := connect(t, faultsAt(transporttest.Fault{At: 5, Action: transporttest.Stall}))
	dialer.Write([]byte("hello world"))
	read(t, target, 5)
	target.Write([]byte("the other way goes on"))
	read(t, dialer, 21)
	require.EqualValues(t, 5, p.Bytes(transporttest.ToTarget))
	p.Resume()
	require.Equal(t, " world", string(read(t, target, 6)))

	p.Stall(transporttest.FromTarget)
	target.Write([]byte("later"))
	dialer.Write([]byte("at once"))
	read(t, target, 7)
	require.EqualValues(t, 21, p.Bytes(transporttest.FromTarget))
	p.Resume()
	read(t, dialer, 5)

	p.Stall(transporttest.ToTarget, transporttest.FromTarget)
	dialer.Write([]byte("never"))
	require.NoError(t, p.Close(), "though it stands still")
}

func TestProxyCorruptsOneBit(t *testing.T) {
	_, dialer, target := connect(t, faultsAt(
		transporttest.Fault{At: 9, Action: transporttest.Corrupt},
		transporttest.Fault{At: 0, Action: transporttest.Corrupt},
	))
	data := bytes.Repeat([]byte{0}, 20)
	dialer.Write(data)
	data[0], data[9] = 1<<0, 1<<1
	require.Equal(t, data, read(t, target, 20))
}

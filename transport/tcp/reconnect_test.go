package tcp

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bubble"
)

// The pauses between attempts double up to MaxBackoff, and no two nodes make the
// same ones.
func TestAttemptsAreSpacedWithJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		var mu sync.Mutex
		var dials []time.Time
		network.wrap = func(int, net.Conn) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			dials = append(dials, time.Now())
			return nil, errors.New("no route")
		}
		b := network.listenNode(t, 2, "10.0.0.2:7000", Options{})
		a := network.listenNode(t, 1, "10.0.0.1:7000", Options{}).start(t)
		// One lane alone, so that the attempts are its own.
		p := newPeer(a.Transport, 2, b.addr())
		var group sync.WaitGroup
		group.Go(p.senders[bulkLane].run)
		bubble.Sleep(time.Minute)
		p.cancel()
		group.Wait()
		want := minBackoff
		distinct := map[time.Duration]bool{}
		for i := range dials[1:] {
			gap := dials[i+1].Sub(dials[i])
			require.GreaterOrEqual(t, gap, want/2)
			require.LessOrEqual(t, gap, want+time.Microsecond)
			want = min(2*want, DefaultMaxBackoff)
			distinct[gap] = true
		}
		require.Greater(t, len(dials), 60)
		require.Greater(t, len(distinct), 50)
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
	})
}

// A node that was down and dials is dialed at once, whatever the pause.
func TestAPeerThatComesBackIsDialedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		a := network.listenNode(t, 1, "10.0.0.1:7000", Options{MaxBackoff: time.Hour}).start(t)
		a.SetPeer(2, "10.0.0.2:7000")
		bubble.Sleep(24 * time.Hour)
		began := time.Now()
		b := network.listenNode(t, 2, "10.0.0.2:7000", Options{}).start(t)
		b.SetPeer(1, a.addr())
		synctest.Wait()
		require.True(t, a.Peers()[0].Connected)
		require.True(t, b.Peers()[0].Connected)
		require.Zero(t, time.Since(began))
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
	})
}

// A dial that does not end is given up after ConnectTimeout; forgetting the
// peer, and Close, end it at once, and so does another address.
func TestADialThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		b := network.listenNode(t, 2, "10.0.0.2:7000", Options{}).start(t)
		var mu sync.Mutex
		dialing := 0
		a := network.listenNode(t, 1, "10.0.0.1:7000", Options{}).start(t)
		a.opts.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			if address == b.addr() {
				return network.dial(ctx, address)
			}
			mu.Lock()
			dialing++
			mu.Unlock()
			<-ctx.Done()
			mu.Lock()
			dialing--
			mu.Unlock()
			return nil, ctx.Err()
		}
		now := func() int { mu.Lock(); defer mu.Unlock(); return dialing }
		a.SetPeer(2, "10.0.0.9:7000")
		synctest.Wait()
		require.Equal(t, lanes, now())
		bubble.Sleep(DefaultConnectTimeout)
		synctest.Wait()
		require.ErrorIs(t, a.Peers()[0].Err, context.DeadlineExceeded)
		require.Zero(t, now())

		bubble.Sleep(time.Second)
		require.Equal(t, lanes, now(), "again")
		a.SetPeer(2, b.addr())
		synctest.Wait()
		require.Zero(t, now())
		require.True(t, a.Peers()[0].Connected)
		a.Send([]raft.Message{appendEntries(1, 2, 10), requestVote(1, 2, 1)})
		receive(t, b.messages)
		receive(t, b.messages)

		a.SetPeer(2, "10.0.0.9:7000")
		synctest.Wait()
		require.Equal(t, lanes, now())
		a.SetPeer(2, "")
		synctest.Wait()
		require.Zero(t, now())
		require.Empty(t, a.Peers())

		a.SetPeer(2, "10.0.0.9:7000")
		synctest.Wait()
		began := time.Now()
		require.NoError(t, a.Close())
		require.Zero(t, time.Since(began))
		require.NoError(t, b.Close())
	})
}

// Two nodes that dial each other at the same moment get what each has dialed,
// once, and lose nothing.
func TestTwoNodesThatConnectAtOnce(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			a, b := newPipes().pair(t, Options{})
			a.Send([]raft.Message{appendEntries(1, 2, 10), requestVote(1, 2, 1)})
			b.Send([]raft.Message{appendEntries(2, 1, 10), requestVote(2, 1, 1)})
			synctest.Wait()
			for _, n := range []*node{a, b} {
				require.Len(t, n.messages, 2)
				require.EqualValues(t, lanes, n.Stats().Connects)
				require.EqualValues(t, lanes, n.Stats().Accepted)
				require.Zero(t, n.Stats().ConnectFailures)
				require.Empty(t, n.unreachable)
			}
			require.NoError(t, a.Close())
			require.NoError(t, b.Close())
		})
	}
}

// A peer that has restarted is heard at once, on its new connections, though its
// old ones, which nobody has closed, seem to be well.
func TestARestartedPeerNeedsNoTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		a := network.listenNode(t, 1, "10.0.0.1:7000", Options{}).start(t)
		old := network.listenNode(t, 2, "10.0.0.2:7000", Options{}).start(t)
		old.SetPeer(1, a.addr())
		synctest.Wait()
		began := time.Now()
		again := network.listenNode(t, 2, "10.0.0.22:7000", Options{}).start(t)
		again.SetPeer(1, a.addr())
		again.Send([]raft.Message{appendEntries(2, 1, 10), requestVote(2, 1, 1)})
		synctest.Wait()
		require.Len(t, a.messages, 2)
		a.Send([]raft.Message{appendEntries(1, 2, 10), requestVote(1, 2, 1)})
		synctest.Wait()
		require.Len(t, again.messages, 2, "at the address that it has now")
		require.Empty(t, old.messages)
		require.Zero(t, time.Since(began))
		require.NoError(t, a.Close())
		require.NoError(t, old.Close())
		require.NoError(t, again.Close())
	})
}

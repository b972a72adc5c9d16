package tcp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bubble"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// cuts are where the connections for snapshots are cut, one after the other.
type cuts struct {
	mu      sync.Mutex
	written []int // bytes after the Hello that the sender can write, then it is cut
	read    []int // the same of what the sender reads
}

// next takes where the next connection is cut. A connection that is cut nowhere
// comes when there is no more.
func (c *cuts) next() (written, read int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	take := func(list *[]int) int {
		if len(*list) == 0 {
			return 1 << 40
		}
		n := (*list)[0]
		*list = (*list)[1:]
		return n
	}
	return take(&c.written), take(&c.read)
}

// fragile is a connection that cuts look after, if it is for a snapshot.
type fragile struct {
	net.Conn
	cuts    *cuts
	hello   bool       // has been written
	read    int        // bytes left until the cut, as is written
	mu      sync.Mutex // a chunk and a ping may come together
	written int
}

func (f *fragile) Write(b []byte) (int, error) {
	if !f.hello {
		f.hello = true
		f.written, f.read = 1<<40, 1<<40
		frame, _, err := wire.Parse(b, wire.MaxHandshakeBytes)
		if err != nil {
			return 0, err
		}
		if hello, err := wire.ParseHello(frame); err != nil || hello.Purpose != wire.ForSnapshot {
			return f.Conn.Write(b)
		}
		f.written, f.read = f.cuts.next()
		f.read += len(wire.AppendWelcome(nil, wire.Welcome{From: raft.Identity{Cluster: "test"}}))
		return f.Conn.Write(b)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.written == 0 {
		return 0, net.ErrClosed
	}
	n, err := f.Conn.Write(b[:min(len(b), f.written)])
	if f.written -= n; f.written == 0 {
		f.Conn.Close()
		err = io.ErrShortWrite
	}
	return n, err
}

func (f *fragile) Read(b []byte) (int, error) {
	if f.read == 0 {
		f.Conn.Close()
		return 0, io.ErrUnexpectedEOF
	}
	n, err := f.Conn.Read(b[:min(len(b), f.read)])
	f.read -= n
	return n, err
}

// resumed sends data from node 1 to node 2 over connections that are cut, and
// returns how often it was resumed.
func resumed(t *testing.T, data []byte, c *cuts) uint64 {
	network := newPipes()
	network.wrap = func(_ int, conn net.Conn) (net.Conn, error) { return &fragile{Conn: conn, cuts: c}, nil }
	a, b := network.pair(t, Options{})
	got := b.acceptSnapshots()
	m := snapshotOf(1, 2, data)
	require.NoError(t, a.SendSnapshot(t.Context(), m, bytes.NewReader(data)))
	r := receive(t, got)
	require.NoError(t, r.err)
	require.Equal(t, m, r.message)
	require.True(t, bytes.Equal(data, r.data))
	require.Empty(t, got, "the Handler was called once")
	require.EqualValues(t, 1, a.Stats().SnapshotsSent)
	require.EqualValues(t, 1, b.Stats().SnapshotsReceived)
	require.Zero(t, b.Stats().SnapshotsFailed)
	resumes := a.Stats().SnapshotsResumed
	require.NoError(t, a.Close())
	require.NoError(t, b.Close())
	return resumes
}

// A transfer goes on wherever it was cut: at each boundary of a frame, and one
// byte before and after it, and anywhere else.
func TestASnapshotIsResumedWhereverItIsCut(t *testing.T) {
	data := someData(2*wire.MaxChunkBytes + 1000)
	const chunk = wire.HeaderBytes + wire.MaxChunkBytes
	start := len(announcement(1, snapshotOf(1, 2, data)))
	number := len(wire.AppendUint64(nil, wire.KindTransfer, 1))
	last := start + 2*chunk + wire.HeaderBytes + 1000
	end := last + wire.HeaderBytes
	var places []int
	for _, boundary := range []int{0, wire.HeaderBytes, number, number + wire.HeaderBytes, start, start + wire.HeaderBytes, start + chunk, start + 2*chunk, last, end} {
		places = append(places, boundary-1, boundary, boundary+1)
	}
	for range 30 {
		places = append(places, rand.N(end))
	}
	for _, place := range places {
		if place < 0 || place > end {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			resumes := resumed(t, data, &cuts{written: []int{place}})
			if place < start {
				require.Zero(t, resumes, place)
			} else if place > start+wire.HeaderBytes && place < end {
				require.EqualValues(t, 1, resumes, place)
			}
		})
		synctest.Test(t, func(t *testing.T) { // several times
			again := rand.N(chunk)
			resumed(t, data, &cuts{written: []int{place, again, again / 2, start, 0}})
		})
	}
}

// What the receiver says may be cut off, too: its offset, and its result.
func TestASnapshotIsResumedWhereverTheAnswerIsCut(t *testing.T) {
	data := someData(wire.MaxChunkBytes + 1)
	offset := len(wire.AppendUint64(nil, wire.KindOffset, 0))
	result := len(wire.AppendResult(nil, wire.Result{Accepted: true}))
	for place := range offset + result {
		synctest.Test(t, func(t *testing.T) { resumed(t, data, &cuts{read: []int{place, place}}) })
	}
}

// Data that takes longer than PeerTimeout, at either end, is no silence.
func TestASlowSnapshotIsNoSilence(t *testing.T) {
	for name, pause := range map[string]struct{ write, read time.Duration }{
		"slow sender":   {4 * DefaultPeerTimeout, 0},
		"slow receiver": {0, 4 * DefaultPeerTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := newPipes().pair(t, Options{})
				data := someData(5 * wire.MaxChunkBytes)
				b.onSnapshot = func(_ raft.Message, body io.Reader) error {
					got := make([]byte, len(data))
					for part := got; len(part) > 0; part = part[wire.MaxChunkBytes:] {
						bubble.Sleep(pause.read)
						if _, err := io.ReadFull(body, part[:wire.MaxChunkBytes]); err != nil {
							return err
						}
					}
					if !bytes.Equal(data, got) {
						return errors.New("other data")
					}
					_, err := io.Copy(io.Discard, body)
					return err
				}
				body := bytes.NewReader(data)
				require.NoError(t, a.SendSnapshot(t.Context(), snapshotOf(1, 2, data), &slowBody{body, body, pause.write}))
				require.Zero(t, a.Stats().SnapshotsResumed, "on one connection")
				require.NoError(t, a.Close())
				require.NoError(t, b.Close())
			})
		})
	}
}

// slowBody pauses before each read.
type slowBody struct {
	io.Seeker
	io.Reader
	pause time.Duration
}

func (s *slowBody) Read(b []byte) (int, error) {
	bubble.Sleep(s.pause)
	return s.Reader.Read(b)
}

// interrupted starts a transfer from node 1 to node 2 and returns when some of
// the data has arrived and the rest waits for the reader to be let go on.
func interrupted(t *testing.T, network *pipes, a, b *node, data []byte) (sent, got chan error, goOn func()) {
	sent, got = make(chan error, 1), make(chan error, 1)
	reading, hold := make(chan struct{}), make(chan struct{})
	b.onSnapshot = func(_ raft.Message, body io.Reader) error {
		if _, err := io.CopyN(io.Discard, body, 100); err != nil {
			return err
		}
		close(reading)
		<-hold
		_, err := io.Copy(io.Discard, body)
		got <- err
		return err
	}
	go func() { sent <- a.SendSnapshot(context.Background(), snapshotOf(1, 2, data), bytes.NewReader(data)) }()
	receive(t, reading)
	return sent, got, sync.OnceFunc(func() { close(hold) })
}

// refuse has no connections made any more.
func (n *pipes) refuse() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wrap = func(int, net.Conn) (net.Conn, error) { return nil, errors.New("no route") }
}

func TestASenderThatDiesIsWaitedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		a, b := network.pair(t, Options{})
		_, got, goOn := interrupted(t, network, a, b, someData(1<<20))
		began := time.Now()
		require.NoError(t, a.Close())
		goOn()
		require.ErrorIs(t, receive(t, got), errSenderGone)
		require.Equal(t, b.opts.resumeTime(), time.Since(began))
		require.NoError(t, b.Close())
	})
}

func TestAReceiverThatIsGoneIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		a, b := network.pair(t, Options{})
		sent, got, goOn := interrupted(t, network, a, b, someData(1<<20))
		network.refuse()
		began := time.Now()
		network.cut()
		goOn()
		require.ErrorContains(t, <-sent, "could not be resumed")
		require.Greater(t, time.Since(began), b.opts.resumeTime())
		require.Less(t, time.Since(began), b.opts.resumeTime()+DefaultPeerTimeout)
		require.ErrorIs(t, receive(t, got), errSenderGone)
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
	})
}

// A receiver that was started anew gets all of it, from the start.
func TestAReceiverThatRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		a, b := network.pair(t, Options{})
		data := someData(1 << 20)
		sent, got, goOn := interrupted(t, network, a, b, data)
		closed := make(chan error)
		go func() { closed <- b.Close() }()
		synctest.Wait()
		goOn()
		require.NoError(t, <-closed)
		require.Error(t, receive(t, got))
		b = network.listenNode(t, 2, "10.0.0.2:7000", Options{})
		whole := b.acceptSnapshots()
		b.start(t)
		require.NoError(t, receive(t, sent))
		require.True(t, bytes.Equal(data, receive(t, whole).data))
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
	})
}

// The receiver is given another address, or forgotten, while it is sent a
// snapshot.
func TestThePeerChangesDuringASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		a, b := network.pair(t, Options{})
		data := someData(1 << 20)
		sent, got, goOn := interrupted(t, network, a, b, data)
		moved := network.listenNode(t, 2, "10.0.0.22:7000", Options{})
		whole := moved.acceptSnapshots()
		moved.start(t)
		a.SetPeer(2, moved.addr())
		require.NoError(t, receive(t, sent))
		require.True(t, bytes.Equal(data, receive(t, whole).data))
		goOn()
		require.ErrorIs(t, receive(t, got), errSenderGone)

		sent, got, goOn = interrupted(t, network, a, moved, data)
		began := time.Now()
		a.SetPeer(2, "")
		require.ErrorIs(t, receive(t, sent), ErrUnknownPeer)
		require.Less(t, time.Since(began), 2*minBackoff)
		goOn()
		require.ErrorIs(t, receive(t, got), errSenderGone)
		for _, n := range []*node{a, b, moved} {
			require.NoError(t, n.Close())
		}
	})
}

func TestSnapshotsSentAtOnceAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		a, b := network.pair(t, Options{MaxSnapshots: 1})
		other := network.listenNode(t, 3, "10.0.0.3:7000", Options{}).start(t)
		a.SetPeer(3, other.addr())
		whole := other.acceptSnapshots()
		sent, got, goOn := interrupted(t, network, a, b, someData(1<<20))
		second := make(chan error, 1)
		go func() {
			second <- a.SendSnapshot(context.Background(), snapshotOf(1, 3, nil), bytes.NewReader(nil))
		}()
		ctx, cancel := context.WithCancel(t.Context())
		third := make(chan error, 1)
		go func() { third <- a.SendSnapshot(ctx, snapshotOf(1, 3, nil), bytes.NewReader(nil)) }()
		synctest.Wait()
		require.Empty(t, whole)
		cancel()
		require.ErrorIs(t, receive(t, third), context.Canceled)
		goOn()
		require.NoError(t, receive(t, sent))
		require.NoError(t, receive(t, got))
		require.NoError(t, receive(t, second))
		receive(t, whole)
		for _, n := range []*node{a, b, other} {
			require.NoError(t, n.Close())
		}
	})
}

// A receiver that has restarted begins anew. That it has less than before does
// not count as standing still.
func TestASnapshotIsResumedAfterTheReceiverHasRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		a, b := network.pair(t, Options{})
		b.acceptSnapshotsInVain()
		data := someData(40 * wire.MaxChunkBytes)
		sent := make(chan error, 1)
		body := bytes.NewReader(data)
		go func() {
			sent <- a.SendSnapshot(t.Context(), snapshotOf(1, 2, data), &slowBody{body, body, time.Second})
		}()
		bubble.Sleep(30 * time.Second)
		require.NoError(t, b.Close())
		again := network.listenNode(t, 2, b.addr(), Options{})
		got := again.acceptSnapshots()
		again.start(t)
		bubble.Sleep(20 * time.Second)
		network.cut()
		require.NoError(t, <-sent)
		require.True(t, bytes.Equal(data, (<-got).data))
		require.EqualValues(t, 2, a.Stats().SnapshotsResumed)
		require.NoError(t, a.Close())
		require.NoError(t, again.Close())
	})
}

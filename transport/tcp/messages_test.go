package tcp

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
)

func TestExchange(t *testing.T) {
	ca := newAuthority(t)
	for name, opts := range map[string]func() Options{
		"plain": func() Options { return Options{} },
		"TLS":   func() Options { return Options{TLS: ca.config(t)} },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := startNode(t, 1, opts()), startNode(t, 2, opts())
			a.SetPeer(2, b.addr())
			b.SetPeer(1, a.addr())

			sent := appendEntries(1, 2, 10, 0, 1000)
			sent.Entries[1].Data = nil
			a.Send([]raft.Message{heartbeat(1, 2, 1), sent})
			b.Send([]raft.Message{heartbeat(2, 1, 7)})

			require.EqualValues(t, 1, receive(t, b.messages).Index)
			require.Equal(t, sent, receive(t, b.messages))
			require.EqualValues(t, 7, receive(t, a.messages).Index)
			waitFor(t, "counted", func() bool { return a.Stats().MessagesSent == 2 && b.Stats().MessagesReceived == 2 })
			waitFor(t, "connected, both lanes", func() bool { return a.Peers()[0].Connected })
			require.Equal(t, []PeerStatus{{ID: 2, Address: b.addr(), Connected: true}}, a.Peers())
			waitFor(t, "accepted, both lanes", func() bool { return b.Stats().Accepted == lanes }) // a knows first
		})
	}
}

func TestMessagesArriveInOrder(t *testing.T) {
	a, b := pair(t, Options{})
	const n = 20000
	for i := range n {
		a.Send([]raft.Message{heartbeat(1, 2, 1+i), requestVote(1, 2, i)})
	}
	var bulk, urgent raft.Index
	for range 2 * n { // in order in each lane
		if m := receive(t, b.messages); m.Type == raftpb.AppendEntries {
			bulk++
			require.Equal(t, bulk, m.Index)
		} else {
			require.Equal(t, urgent, m.Index)
			urgent++
		}
	}
	require.LessOrEqual(t, b.Stats().Accepted, uint64(lanes))
}

func TestSendFromManyGoroutines(t *testing.T) {
	a := startNode(t, 1, Options{})
	peers := map[raft.NodeID]*node{}
	for id := raft.NodeID(2); id < 5; id++ {
		peers[id] = startNode(t, id, Options{})
		a.SetPeer(id, peers[id].addr())
	}
	const senders, each = 8, 500
	var group sync.WaitGroup
	for s := range senders {
		group.Go(func() {
			for i := range each {
				var batch []raft.Message
				for id := range peers {
					m := appendEntries(1, id, s, i)
					m.Context, m.Round = uint64(s), uint64(i)
					batch = append(batch, m)
				}
				a.Send(batch)
			}
		})
	}
	group.Wait()
	for _, p := range peers {
		next := make([]uint64, senders)
		for range senders * each {
			m := receive(t, p.messages)
			require.Equal(t, next[m.Context], m.Round)
			require.Len(t, m.Entries[0].Data, int(m.Context))
			require.Len(t, m.Entries[1].Data, int(m.Round))
			next[m.Context]++
		}
	}
}

func TestTheLargestEntry(t *testing.T) {
	a, b := pair(t, Options{})
	sent := appendEntries(1, 2, 64<<20)
	a.Send([]raft.Message{heartbeat(1, 2, 8), sent})
	require.EqualValues(t, 8, receive(t, b.messages).Index)
	require.EqualValues(t, 2, receive(t, a.unreachable), "beyond the queue's bound, with something before it")

	a, b = pair(t, Options{})
	a.Send([]raft.Message{sent})
	got := receive(t, b.messages)
	require.True(t, bytes.Equal(sent.Entries[0].Data, got.Entries[0].Data))
	require.Zero(t, a.Stats().MessagesDropped)
}

func TestMessagesOfOneReadAreDeliveredTogether(t *testing.T) {
	a, b := listenNode(t, 1, Options{}), listenNode(t, 2, Options{})
	calls := make(chan int, 1000)
	b.onDeliver = func(m []raft.Message) { calls <- len(m) }
	a.SetPeer(2, b.addr()) // b does not accept yet: all gathers in one batch
	a.start(t)
	var batch []raft.Message
	for i := range 500 {
		batch = append(batch, heartbeat(1, 2, 1+i))
	}
	a.Send(batch)
	b.start(t)
	first := receive(t, calls) // what fits in the buffer of an idle connection
	require.Less(t, first, 50)
	require.Equal(t, 500, first+receive(t, calls))
	waitFor(t, "counted", func() bool { return a.Stats().Writes == 1 })
}

func TestReceivedDataIsNotOverwritten(t *testing.T) {
	a, b := pair(t, Options{})
	var kept []raft.Message
	for i := range 300 {
		m := appendEntries(1, 2, 100+i, 50)
		a.Send([]raft.Message{m})
		kept = append(kept, receive(t, b.messages))
	}
	for i, m := range kept {
		require.Equal(t, appendEntries(1, 2, 100+i, 50), m)
	}
}

func TestReconnectAfterThePeersRestart(t *testing.T) {
	a := startNode(t, 1, Options{Logger: zaptest.NewLogger(t)})
	b := startNode(t, 2, Options{})
	address := b.addr()
	a.SetPeer(2, address)
	a.Send([]raft.Message{heartbeat(1, 2, 1)})
	receive(t, b.messages)

	require.NoError(t, b.Close())
	require.EqualValues(t, 2, receive(t, a.unreachable))

	transport, err := Listen(address, Options{})
	require.NoError(t, err)
	b = &node{transport, newRecorder(), 2}
	defer b.Close()
	b.start(t)
	for i := 0; ; i++ { // until one arrives: the first ones may fall into the gap
		a.Send([]raft.Message{heartbeat(1, 2, 100+i)})
		select {
		case m := <-b.messages:
			require.GreaterOrEqual(t, m.Index, raft.Index(100))
			require.LessOrEqual(t, b.Stats().Accepted, uint64(lanes))
			return
		case <-a.unreachable:
		case <-a.ctx.Done():
		}
	}
}

func TestAConnectionThatIsCutIsMadeAgain(t *testing.T) {
	var net cuttable
	a, b := startNode(t, 1, Options{Dial: net.dial}), startNode(t, 2, Options{})
	a.SetPeer(2, b.addr())
	for i := range 5 {
		waitFor(t, "connected again", func() bool { return a.Stats().Connects == uint64(lanes*(i+1)) })
		a.Send([]raft.Message{heartbeat(1, 2, i)})
		require.EqualValues(t, i, receive(t, b.messages).Index)
		net.cut()
		require.EqualValues(t, 2, receive(t, a.unreachable))
	}
}

func TestSetPeerChangesTheAddress(t *testing.T) {
	a, old := pair(t, Options{})
	a.Send([]raft.Message{heartbeat(1, 2, 1)})
	receive(t, old.messages)

	moved := startNode(t, 2, Options{})
	a.SetPeer(2, moved.addr())
	a.Send([]raft.Message{heartbeat(1, 2, 2)})
	require.EqualValues(t, 2, receive(t, moved.messages).Index)
	require.Empty(t, old.messages)
	require.Equal(t, moved.addr(), a.Peers()[0].Address)
}

func TestSetPeerForgets(t *testing.T) {
	a, b := pair(t, Options{})
	a.Send([]raft.Message{heartbeat(1, 2, 1)})
	b.Send([]raft.Message{heartbeat(2, 1, 1)})
	receive(t, a.messages)
	receive(t, b.messages)
	b.SetPeer(1, "")
	b.Send([]raft.Message{heartbeat(2, 1, 2)})
	require.EqualValues(t, 1, receive(t, b.unreachable))
	require.EqualValues(t, 2, receive(t, a.unreachable), "both directions are closed")
}

// A node that joins knows nobody, and answers the leader that calls it.
func TestAnUnknownPeerCanBeAnswered(t *testing.T) {
	leader := startNode(t, 1, Options{})
	joiner := startNode(t, 2, Options{})
	leader.SetPeer(2, joiner.addr())
	leader.Send([]raft.Message{heartbeat(1, 2, 1)})
	receive(t, joiner.messages)
	joiner.Send([]raft.Message{heartbeat(2, 1, 5)})
	require.EqualValues(t, 5, receive(t, leader.messages).Index)
	require.Equal(t, leader.addr(), joiner.Peers()[0].Address)

	require.NoError(t, leader.Close())
	waitFor(t, "forgotten with its connection", func() bool { return len(joiner.Peers()) == 0 })
}

func TestAnAdvertisedAddress(t *testing.T) {
	for _, c := range []struct{ advertised, want string }{
		{"10.1.1.1:7000", "10.1.1.1:7000"},
		{"db-1.example:7000", "db-1.example:7000"},
		{":7000", "127.0.0.1:7000"},
		{"0.0.0.0:7000", "127.0.0.1:7000"},
		{"[::]:7000", "127.0.0.1:7000"},
		{"[2001:db8::1]:7000", "[2001:db8::1]:7000"},
		{"", ""},
		{"nonsense", ""},
	} {
		a := startNode(t, 1, Options{})
		require.Equal(t, c.want, resolveAddress(c.advertised, a.Addr()), c.advertised)
	}
}

func TestWhatCannotBeSentIsReported(t *testing.T) {
	t.Run("unknown peer", func(t *testing.T) {
		a := startNode(t, 1, Options{})
		a.Send([]raft.Message{heartbeat(1, 9, 1)})
		require.EqualValues(t, 9, receive(t, a.unreachable))
		require.EqualValues(t, 1, a.Stats().MessagesDropped)
	})
	t.Run("nobody listens", func(t *testing.T) {
		a, gone := startNode(t, 1, Options{}), listenNode(t, 2, Options{})
		address := gone.addr()
		require.NoError(t, gone.Close())
		a.SetPeer(2, address)
		a.Send([]raft.Message{heartbeat(1, 2, 1)})
		require.EqualValues(t, 2, receive(t, a.unreachable))
		waitFor(t, "an error to show", func() bool { return a.Peers()[0].Err != nil })
	})
	t.Run("queue full", func(t *testing.T) {
		a, deaf := startNode(t, 1, Options{QueueBytes: 10_000}), listenNode(t, 2, Options{})
		a.SetPeer(2, deaf.addr()) // it never accepts
		for range 20 {
			a.Send([]raft.Message{appendEntries(1, 2, 1000)})
		}
		require.EqualValues(t, 2, receive(t, a.unreachable))
		require.EqualValues(t, 11, a.Stats().MessagesDropped)
		require.LessOrEqual(t, a.Peers()[0].QueuedBytes, 10_000)
	})
	t.Run("one message always fits", func(t *testing.T) {
		a, b := startNode(t, 1, Options{QueueBytes: 10}), startNode(t, 2, Options{})
		a.SetPeer(2, b.addr())
		a.Send([]raft.Message{appendEntries(1, 2, 1000)})
		require.Len(t, receive(t, b.messages).Entries, 1)
	})
	t.Run("larger than a frame", func(t *testing.T) {
		core, logs := observer.New(zapcore.ErrorLevel)
		a, b := startNode(t, 1, Options{MaxFrameBytes: 64 << 10, Logger: zap.New(core)}), startNode(t, 2, Options{})
		a.SetPeer(2, b.addr())
		a.Send([]raft.Message{appendEntries(1, 2, 64<<10), heartbeat(1, 2, 3)})
		require.EqualValues(t, 2, receive(t, a.unreachable))
		require.EqualValues(t, 3, receive(t, b.messages).Index)
		require.Equal(t, 1, logs.Len())
	})
}

// The caller of Send, and of SetPeer, may hold the lock that its Handler takes.
func TestSendDoesNotCallTheHandler(t *testing.T) {
	a := listenNode(t, 1, Options{})
	var lock sync.Mutex
	reported := make(chan raft.NodeID, 10)
	require.NoError(t, a.Start(raft.Identity{Cluster: "test", Node: 1}, lockedHandler{&lock, reported}))
	lock.Lock()
	a.Send([]raft.Message{heartbeat(1, 9, 1)})
	a.SetPeer(9, "127.0.0.1:1")
	a.SetPeer(9, "")
	require.Empty(t, reported)
	lock.Unlock()
	require.EqualValues(t, 9, receive(t, reported))
}

type lockedHandler struct {
	lock     *sync.Mutex
	reported chan raft.NodeID
}

func (h lockedHandler) Deliver([]raft.Message) {}
func (h lockedHandler) DeliverSnapshot(raft.Message, io.Reader) error {
	return nil
}

func (h lockedHandler) Unreachable(id raft.NodeID) {
	h.lock.Lock()
	defer h.lock.Unlock()
	h.reported <- id
}

func TestCloseEndsEverything(t *testing.T) {
	for range 20 {
		a, b, _, h := benchPair(t, Options{})
		closed := make(chan struct{})
		h.answer = func() {
			select {
			case <-closed:
				panic("Deliver after Close")
			default:
			}
		}
		stop := make(chan struct{})
		var group sync.WaitGroup
		group.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					a.Send([]raft.Message{heartbeat(1, 2, i)})
				}
			}
		})
		waitFor(t, "delivered", func() bool { return h.n.Load() > 0 })
		require.NoError(t, b.Close())
		close(closed)
		require.NoError(t, b.Close(), "again")
		close(stop)
		group.Wait()
		require.NoError(t, a.Close())
	}
	require.Empty(t, goroutines())
}

func TestAfterClose(t *testing.T) {
	a, b := pair(t, Options{})
	require.NoError(t, a.Close())
	a.Send([]raft.Message{heartbeat(1, 2, 1)})
	a.SetPeer(3, b.addr())
	require.ErrorIs(t, a.Start(raft.Identity{Cluster: "test", Node: 1}, a.recorder), raft.ErrClosed)
	err := a.SendSnapshot(t.Context(), snapshotOf(1, 2, nil), bytes.NewReader(nil))
	require.ErrorIs(t, err, raft.ErrClosed)

	unstarted := listenNode(t, 1, Options{})
	unstarted.Send([]raft.Message{heartbeat(1, 2, 1)})
	require.NoError(t, unstarted.Close())
}

func TestStartChecksTheIdentity(t *testing.T) {
	a := listenNode(t, 1, Options{})
	for field, self := range map[string]raft.Identity{
		"Identity.Node":    {Cluster: "test"},
		"Identity.Cluster": {Cluster: fmt.Sprintf("%065d", 1), Node: 1},
	} {
		var config *raft.ConfigError
		require.ErrorAs(t, a.Start(self, a.recorder), &config)
		require.Equal(t, field, config.Field)
	}
	a.start(t)
	require.Error(t, a.Start(raft.Identity{Cluster: "test", Node: 1}, a.recorder), "twice")
}

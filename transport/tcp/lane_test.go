package tcp

import (
	"math"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bubble"
	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

func TestTheLaneOfAMessage(t *testing.T) {
	urgent := []raftpb.MessageType{
		raftpb.PreVote, raftpb.PreVoteReply, raftpb.RequestVote, raftpb.RequestVoteReply, raftpb.TimeoutNow,
		raftpb.AppendEntries, raftpb.AppendEntriesReply, raftpb.InstallSnapshotReply, raftpb.ReadIndex, raftpb.ReadIndexReply,
	}
	for _, kind := range urgent {
		m := raft.Message{Type: kind, Index: 5, Match: 5}
		require.Equal(t, urgentLane, laneOf(&m), kind)
		m.Entries = make([]raft.Entry, 1)
		require.Equal(t, bulkLane, laneOf(&m), "%v with entries", kind)
		m.Entries, m.Snapshot = nil, &raft.Snapshot{}
		require.Equal(t, bulkLane, laneOf(&m), "%v with a snapshot", kind)
	}
	for _, kind := range []raftpb.MessageType{raftpb.InstallSnapshot, raftpb.Propose, raftpb.ProposeReply, 99} {
		require.Equal(t, bulkLane, laneOf(&raft.Message{Type: kind}), kind)
	}
	after := raft.Message{Type: raftpb.AppendEntries, Index: 6, Match: 5}
	require.Equal(t, bulkLane, laneOf(&after), "asks for what comes before it in the bulk lane")
}

// Whatever a message without entries and snapshot says, its lane takes it.
func TestUrgentMessagesFitTheirFrames(t *testing.T) {
	m := raft.Message{
		Type: raftpb.AppendEntriesReply, Reject: true, Marked: true, Transfer: true, Group: math.MaxUint64, From: math.MaxUint64,
		To: math.MaxUint64, Term: raftpb.MaxTerm, Index: raftpb.MaxIndex, LogTerm: raftpb.MaxTerm, Commit: raftpb.MaxIndex,
		Round: math.MaxUint64, Match: raftpb.MaxIndex, Verified: raftpb.MaxIndex, Window: math.MaxUint64, Context: math.MaxUint64,
		Unmark: raftpb.MaxIndex,
	}
	require.Equal(t, urgentLane, laneOf(&m))
	require.Less(t, m.EncodedLen(), 1<<10)
	require.Less(t, m.EncodedLen(), wire.MaxUrgentBytes)
}

// The receiver's Handler is busy with entries, so that its window closes and
// the sender's queue is full: votes arrive all the same, at once, and go on to
// when the connection with the entries has failed.
func TestAVoteIsNotBehindBulkData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const queue = 1 << 20
		network := newPipes()
		a, b := network.pair(t, Options{QueueBytes: queue})
		hold := make(chan struct{})
		release := sync.OnceFunc(func() { close(hold) })
		defer release()
		b.onDeliver = func(m []raft.Message) {
			if len(m[0].Entries) > 0 {
				<-hold
			}
		}
		synctest.Wait()
		bulk := appendEntries(1, 2, 64<<10)
		for range 40 {
			a.Send([]raft.Message{bulk})
			synctest.Wait()
		}
		require.EqualValues(t, 2, receive(t, a.unreachable))
		require.Greater(t, a.Stats().MessagesDropped, uint64(20))
		require.LessOrEqual(t, a.Peers()[0].QueuedBytes, queue)
		require.Greater(t, a.Peers()[0].QueuedBytes, queue/2)
		require.Empty(t, b.messages)

		for i := range 100 { // for ten times PeerTimeout
			began := time.Now()
			a.Send([]raft.Message{requestVote(1, 2, i)})
			synctest.Wait()
			m := receive(t, b.messages)
			require.Equal(t, raftpb.RequestVote, m.Type)
			require.EqualValues(t, i, m.Index)
			require.Zero(t, time.Since(began), "without waiting for anything")
			b.Send([]raft.Message{{Type: raftpb.RequestVoteReply, From: 2, To: 1, Term: 1}})
			synctest.Wait()
			require.Len(t, a.messages, i+1)
			bubble.Sleep(DefaultPeerTimeout / 10)
		}
		require.Greater(t, a.Stats().Connects+a.Stats().ConnectFailures, uint64(lanes), "the bulk connection has failed meanwhile")
		release()
		synctest.Wait()
		bubble.Sleep(2 * DefaultPeerTimeout) // until the sender has connected again
		a.Send([]raft.Message{bulk})
		synctest.Wait()
		require.NotEmpty(t, b.messages, "entries flow again")
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
	})
}

// stalling is a connection that takes no more bytes from some moment on, as one
// whose packets are lost.
type stalling struct {
	net.Conn
	purpose wire.Purpose
	stalled *atomic.Uint32 // the purpose whose connections stall
}

func (s *stalling) Write(b []byte) (int, error) {
	if s.purpose == 0 {
		f, _, err := wire.Parse(b, wire.MaxHandshakeBytes)
		if err != nil {
			return 0, err
		}
		hello, err := wire.ParseHello(f)
		if err != nil {
			return 0, err
		}
		s.purpose = hello.Purpose
	} else if uint32(s.purpose) == s.stalled.Load() {
		return 0, s.stall()
	}
	return s.Conn.Write(b)
}

// stall waits until the write's deadline.
func (s *stalling) stall() error {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	near.SetWriteDeadline(time.Now().Add(DefaultPeerTimeout))
	_, err := near.Write([]byte{0})
	return err
}

func TestEachLaneHasAQueueOfItsOwn(t *testing.T) {
	for _, c := range []struct {
		stalled wire.Purpose
		flood   raft.Message
		other   raft.Message
	}{
		{wire.ForMessages, appendEntries(1, 2, 50_000), requestVote(1, 2, 7)},
		{wire.ForUrgent, requestVote(1, 2, 7), appendEntries(1, 2, 100)},
	} {
		synctest.Test(t, func(t *testing.T) {
			const queue = 200_000
			network := newPipes()
			var stalled atomic.Uint32
			network.wrap = func(_ int, conn net.Conn) (net.Conn, error) {
				return &stalling{Conn: conn, stalled: &stalled}, nil
			}
			a, b := network.pair(t, Options{QueueBytes: queue})
			synctest.Wait()
			stalled.Store(uint32(c.stalled))
			size := c.flood.EncodedLen() + wire.HeaderBytes
			const more = 100
			sent := queue/size + more
			for range sent {
				a.Send([]raft.Message{c.flood})
			}
			synctest.Wait()
			require.EqualValues(t, more, a.Stats().MessagesDropped, "what is beyond the queue, exactly")
			require.EqualValues(t, 2, receive(t, a.unreachable))
			require.LessOrEqual(t, a.Peers()[0].QueuedBytes, queue)

			a.Send([]raft.Message{c.other})
			synctest.Wait()
			require.Equal(t, c.other, receive(t, b.messages))
			require.EqualValues(t, more, a.Stats().MessagesDropped)

			for len(a.unreachable) > 0 {
				<-a.unreachable
			}
			bubble.Sleep(DefaultPeerTimeout + time.Second)
			require.NotEmpty(t, a.unreachable, "the stalled connection is given up")
			require.NoError(t, a.Close())
			require.NoError(t, b.Close())
		})
	}
}

func TestTheUrgentQueueIsBounded(t *testing.T) {
	p := newPeer(listenNode(t, 1, Options{}).Transport, 2, "")
	defer p.cancel()
	require.Equal(t, urgentQueueBytes, p.senders[urgentLane].out.maxQueue)
	require.Equal(t, wire.MaxUrgentBytes, p.senders[urgentLane].out.maxFrame)
	require.Equal(t, DefaultQueueBytes, p.senders[bulkLane].out.maxQueue)
	require.Equal(t, DefaultMaxFrameBytes, p.senders[bulkLane].out.maxFrame)
}

// A connection for urgent messages takes no large ones, so that a peer cannot
// make the receiver buffer them on both.
func TestAnUrgentConnectionTakesNoLargeMessages(t *testing.T) {
	b := startNode(t, 2, Options{})
	s := introduced(t, b, wire.ForUrgent)
	s.say(message(requestVote(1, 2, 3)))
	require.EqualValues(t, 3, receive(t, b.messages).Index)
	s.say(claim(wire.KindMessage, wire.MaxUrgentBytes+1))
	s.hears()
	waitFor(t, "closed", func() bool { return b.Stats().Garbage == 1 })
}

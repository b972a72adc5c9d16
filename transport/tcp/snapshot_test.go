package tcp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// received is a snapshot that a Handler got.
type received struct {
	message raft.Message
	data    []byte
	err     error
}

// acceptSnapshots makes n's Handler read snapshots and accept them.
func (n *node) acceptSnapshots() <-chan received {
	got := make(chan received, 10)
	n.onSnapshot = func(m raft.Message, body io.Reader) error {
		data, err := io.ReadAll(body)
		got <- received{m, data, err}
		return err
	}
	return got
}

// endless is a body that never ends, and whose Seek always works.
type endless struct{ started chan struct{} }

func (e endless) Read(p []byte) (int, error) {
	select {
	case e.started <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (e endless) Seek(int64, int) (int64, error) { return 0, nil }

func endlessSnapshot() raft.Message {
	m := snapshotOf(1, 2, nil)
	m.Snapshot.Size = 1 << 60
	return m
}

func TestSnapshotTransfer(t *testing.T) {
	ca := newAuthority(t)
	for name, opts := range map[string]Options{"plain": {}, "TLS": {TLS: ca.config(t)}} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t, opts)
			got := b.acceptSnapshots()
			for _, size := range []int{0, 1, wire.MaxChunkBytes, 3*wire.MaxChunkBytes + 7} {
				data := someData(size)
				m := snapshotOf(1, 2, data)
				body := bytes.NewReader(data)
				body.Seek(int64(size/2), io.SeekStart) // wherever it stands
				require.NoError(t, a.SendSnapshot(t.Context(), m, body))
				r := receive(t, got)
				require.NoError(t, r.err)
				require.Equal(t, m, r.message)
				require.True(t, bytes.Equal(data, r.data))
			}
			require.EqualValues(t, 4, a.Stats().SnapshotsSent)
			require.EqualValues(t, 4, b.Stats().SnapshotsReceived)
		})
	}
}

func TestMessagesFlowBesideASnapshot(t *testing.T) {
	a, b := pair(t, Options{})
	reading, hold := make(chan struct{}), make(chan struct{})
	b.onSnapshot = func(_ raft.Message, body io.Reader) error {
		close(reading)
		<-hold
		_, err := io.Copy(io.Discard, body)
		return err
	}
	sent := make(chan error, 1)
	go func() {
		data := someData(10 << 20)
		sent <- a.SendSnapshot(context.Background(), snapshotOf(1, 2, data), bytes.NewReader(data))
	}()
	receive(t, reading)
	a.Send([]raft.Message{heartbeat(1, 2, 5)})
	require.EqualValues(t, 5, receive(t, b.messages).Index)
	close(hold)
	require.NoError(t, receive(t, sent))
}

func TestASnapshotIsRefused(t *testing.T) {
	a, b := pair(t, Options{})
	for name, handler := range map[string]func(raft.Message, io.Reader) error{
		"at once": func(raft.Message, io.Reader) error { return errors.New("no room") },
		"midway": func(_ raft.Message, body io.Reader) error {
			io.CopyN(io.Discard, body, 1<<20)
			return errors.New("no room")
		},
	} {
		b.onSnapshot = handler
		err := a.SendSnapshot(t.Context(), endlessSnapshot(), endless{})
		var refused *SnapshotError
		require.ErrorAs(t, err, &refused, name)
		require.Equal(t, &SnapshotError{Peer: 2, Reason: "no room"}, refused, name)
		require.NotErrorIs(t, err, ErrTooMany)
	}
	require.EqualValues(t, 2, b.Stats().SnapshotsFailed)
	require.EqualValues(t, 2, a.Stats().SnapshotsFailed)
}

func TestASnapshotIsAcceptedUnread(t *testing.T) {
	a, b := pair(t, Options{})
	b.onSnapshot = func(raft.Message, io.Reader) error { return nil } // it has it already
	require.NoError(t, a.SendSnapshot(t.Context(), endlessSnapshot(), endless{}))
}

func TestSnapshotsReceivedAtOnceAreBounded(t *testing.T) {
	a, b := pair(t, Options{MaxSnapshots: 1})
	other := startNode(t, 3, Options{})
	other.SetPeer(2, b.addr())
	started, hold := make(chan struct{}), make(chan struct{})
	b.onSnapshot = func(raft.Message, io.Reader) error {
		close(started)
		<-hold
		return nil
	}
	first := make(chan error, 1)
	go func() {
		first <- a.SendSnapshot(context.Background(), snapshotOf(1, 2, nil), bytes.NewReader(nil))
	}()
	receive(t, started)
	err := other.SendSnapshot(t.Context(), snapshotOf(3, 2, nil), bytes.NewReader(nil))
	require.ErrorIs(t, err, ErrTooMany)
	close(hold)
	require.NoError(t, receive(t, first))

	b.onSnapshot = func(raft.Message, io.Reader) error { return nil }
	for range 20 { // one after the other is not at once
		require.NoError(t, a.SendSnapshot(t.Context(), snapshotOf(1, 2, nil), bytes.NewReader(nil)))
	}
}

func TestASnapshotIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipes().pair(t, Options{})
		got := b.acceptSnapshotsInVain()
		ctx, cancel := context.WithCancelCause(t.Context())
		body := endless{make(chan struct{}, 1)}
		sent := make(chan error, 1)
		go func() { sent <- a.SendSnapshot(ctx, endlessSnapshot(), body) }()
		receive(t, body.started)
		reason := errors.New("enough")
		cancel(reason)
		began := time.Now()
		require.ErrorIs(t, receive(t, sent), reason)
		require.Zero(t, time.Since(began))
		require.ErrorIs(t, receive(t, got), errAborted, "the receiver hears of it")
		require.Less(t, time.Since(began), time.Second, "and does not wait for the sender")

		// While the receiver's Handler takes its time, too.
		hold, started := make(chan struct{}), make(chan struct{})
		b.onSnapshot = func(raft.Message, io.Reader) error { close(started); <-hold; return nil }
		ctx, stop := context.WithCancel(t.Context())
		go func() { sent <- a.SendSnapshot(ctx, snapshotOf(1, 2, nil), bytes.NewReader(nil)) }()
		receive(t, started)
		began = time.Now()
		stop()
		require.ErrorIs(t, receive(t, sent), context.Canceled)
		require.Zero(t, time.Since(began))
		close(hold)
	})
}

// acceptSnapshotsInVain makes n's Handler discard what it reads, and hands on
// what ended the reading.
func (n *node) acceptSnapshotsInVain() <-chan error {
	got := make(chan error, 10)
	n.onSnapshot = func(_ raft.Message, body io.Reader) error {
		_, err := io.Copy(io.Discard, body)
		got <- err
		return err
	}
	return got
}

func TestTheBodyFails(t *testing.T) {
	a, b := pair(t, Options{})
	got := b.acceptSnapshotsInVain()
	m := snapshotOf(1, 2, someData(100))
	require.ErrorIs(t, a.SendSnapshot(t.Context(), m, bytes.NewReader(someData(99))), io.ErrUnexpectedEOF)
	require.ErrorIs(t, receive(t, got), errAborted)

	b.onSnapshot = func(_ raft.Message, body io.Reader) error { // a Handler that overlooks it
		io.Copy(io.Discard, body)
		return nil
	}
	require.Error(t, a.SendSnapshot(t.Context(), m, bytes.NewReader(someData(99))))
	waitFor(t, "ended", func() bool { s := b.Stats(); return s.SnapshotsFailed+s.SnapshotsReceived == 2 })
	require.Zero(t, b.Stats().SnapshotsReceived)
}

func TestSnapshotToNobody(t *testing.T) {
	a, gone := startNode(t, 1, Options{}), listenNode(t, 2, Options{})
	err := a.SendSnapshot(t.Context(), snapshotOf(1, 2, nil), bytes.NewReader(nil))
	require.ErrorIs(t, err, ErrUnknownPeer)
	require.ErrorIs(t, a.SendSnapshot(t.Context(), heartbeat(1, 2, 1), nil), raft.ErrMalformed)

	a.SetPeer(2, gone.addr())
	require.NoError(t, gone.Close())
	require.Error(t, a.SendSnapshot(t.Context(), snapshotOf(1, 2, nil), bytes.NewReader(nil)))

	stranger := listenNode(t, 2, Options{})
	require.NoError(t, stranger.Start(raft.Identity{Cluster: "other", Node: 2}, stranger.recorder))
	a.SetPeer(2, stranger.addr())
	require.ErrorIs(t, a.SendSnapshot(t.Context(), snapshotOf(1, 2, nil), bytes.NewReader(nil)), ErrCluster)
}

// The receiver may take longer than PeerTimeout, since it says that it lives.
// So do the connections for messages, meanwhile, though nobody sends any.
func TestASlowReceiverIsWaitedFor(t *testing.T) {
	a, b := pair(t, Options{PeerTimeout: minPeerTimeout})
	for _, n := range []*node{a, b} {
		waitFor(t, "connected", func() bool { return n.Peers()[0].Connected })
	}
	b.onSnapshot = func(raft.Message, io.Reader) error {
		<-time.After(minPeerTimeout + wire.PingInterval)
		return nil
	}
	require.NoError(t, a.SendSnapshot(t.Context(), snapshotOf(1, 2, nil), bytes.NewReader(nil)))
	for _, n := range []*node{a, b} {
		require.EqualValues(t, lanes, n.Stats().Connects)
		require.Empty(t, n.unreachable)
	}
}

func TestCloseEndsSnapshots(t *testing.T) {
	for _, closer := range []string{"sender", "receiver"} {
		synctest.Test(t, func(t *testing.T) {
			a, b := newPipes().pair(t, Options{})
			got := b.acceptSnapshotsInVain()
			body := endless{make(chan struct{}, 1)}
			sent := make(chan error, 1)
			go func() { sent <- a.SendSnapshot(context.Background(), endlessSnapshot(), body) }()
			receive(t, body.started)
			began := time.Now()
			if closer == "sender" {
				require.NoError(t, a.Close())
				require.ErrorIs(t, receive(t, sent), raft.ErrClosed)
				require.Zero(t, time.Since(began))
			} else {
				require.NoError(t, b.Close())
				require.Zero(t, time.Since(began))
				require.Len(t, got, 1, "the Handler has returned")
				require.Error(t, receive(t, sent))
			}
			require.Error(t, receive(t, got))
		})
	}
}

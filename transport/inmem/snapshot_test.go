package inmem

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
	"github.com/seed-6281cb22/raft/internal/bubble"
	"github.com/seed-6281cb22/raft/raftpb"
)

func snapshotOf(from, to raft.NodeID, size int) (raft.Message, []byte) {
	data := bytes.Repeat([]byte("snapshot"), size/8+1)[:size]
	return raft.Message{Type: raftpb.InstallSnapshot, From: from, To: to, Term: 1,
		Snapshot: &raft.Snapshot{Index: 10, Term: 1, Size: uint64(size)}}, data
}

// accepting makes n read snapshots; the data and the error of the last one are
// found where it says.
func (n *node) accepting() (data *[]byte, readErr *error) {
	data, readErr = new([]byte), new(error)
	n.onSnapshot = func(_ raft.Message, body io.Reader) error {
		*data, *readErr = io.ReadAll(body)
		return *readErr
	}
	return data, readErr
}

func TestASnapshotByHand(t *testing.T) {
	network, a, b := manual(t, Options{Faults: Faults{MinDelay: 5 * ms}})
	got, _ := b.accepting()
	m, data := snapshotOf(1, 2, 1000)
	var ends []time.Duration
	require.NoError(t, a.StartSnapshot(m, bytes.NewReader(data), func(err error) {
		require.NoError(t, err)
		ends = append(ends, time.Duration(network.Now()))
	}))
	network.Advance(at(4 * ms))
	require.Nil(t, *got)
	network.Advance(at(5 * ms))
	require.Equal(t, data, *got)
	network.Advance(at(time.Second))
	require.Equal(t, []time.Duration{10 * ms}, ends)
}

func TestSnapshotsThatFail(t *testing.T) {
	refuse := errors.New("no room")
	cases := map[string]struct {
		arrange func(*Manual, *node, *node)
		during  func(*Manual)
		want    string
	}{
		"refused":             {func(_ *Manual, _, b *node) { b.onSnapshot = func(raft.Message, io.Reader) error { return refuse } }, nil, "no room"},
		"blocked":             {func(n *Manual, _, _ *node) { n.Block(1, 2) }, nil, "cut"},
		"answer blocked":      {func(n *Manual, _, _ *node) { n.Block(2, 1) }, nil, "cut"},
		"lost":                {func(n *Manual, _, _ *node) { n.SetFaults(Faults{Loss: 1}) }, nil, "cut"},
		"nobody there":        {func(_ *Manual, _, b *node) { b.Close() }, nil, "cut"},
		"blocked while read":  {func(*Manual, *node, *node) {}, func(n *Manual) { n.Isolate(1) }, "cut"},
		"sender closed":       {func(_ *Manual, a, b *node) { b.onSnapshot = func(raft.Message, io.Reader) error { return a.Close() } }, nil, "closed"},
		"receiver closed":     {func(_ *Manual, _, b *node) { b.onSnapshot = func(raft.Message, io.Reader) error { return b.Close() } }, nil, "cut"},
		"body ends too early": {func(*Manual, *node, *node) {}, nil, "unexpected EOF"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			network, a, b := manual(t, Options{})
			var readErr error
			b.onSnapshot = func(_ raft.Message, body io.Reader) error {
				if c.during != nil {
					c.during(network)
				}
				_, readErr = io.ReadAll(body)
				return nil // a Handler that overlooks it
			}
			c.arrange(network, a, b)
			m, data := snapshotOf(1, 2, 1000)
			if name == "body ends too early" {
				data = data[:999]
			}
			calls := 0
			var err error
			require.NoError(t, a.StartSnapshot(m, bytes.NewReader(data), func(e error) { calls++; err = e }))
			network.Advance(at(time.Second))
			require.Equal(t, 1, calls)
			require.ErrorContains(t, err, c.want)
			if c.during != nil {
				require.Error(t, readErr)
			}
		})
	}
	_, a, _ := manual(t, Options{})
	m, data := snapshotOf(1, 9, 10)
	require.Error(t, a.StartSnapshot(m, bytes.NewReader(data), nil), "unknown node")
	require.ErrorIs(t, a.StartSnapshot(heartbeat(1, 2, 1), bytes.NewReader(data), nil), raft.ErrMalformed)
	a.Close()
	require.ErrorIs(t, a.StartSnapshot(m, bytes.NewReader(data), nil), raft.ErrClosed)
}

func TestASnapshotInRealMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewNetwork(Options{Faults: Faults{MinDelay: 5 * ms}})
		a, b := join(t, network, 1), join(t, network, 2)
		got, _ := b.accepting()
		m, data := snapshotOf(1, 2, 1000)
		began := time.Now()
		require.NoError(t, a.SendSnapshot(t.Context(), m, bytes.NewReader(data)))
		require.Equal(t, 10*ms, time.Since(began))
		require.Equal(t, data, *got)

		// A Handler that takes its time holds up nothing else.
		b.onSnapshot = func(_ raft.Message, body io.Reader) error {
			bubble.Sleep(time.Second)
			_, err := io.ReadAll(body)
			return err
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*ms)
		defer cancel()
		a.send(2, 7)
		err := a.SendSnapshot(ctx, m, bytes.NewReader(data))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, []int{7}, b.indexes())

		// Close waits for it.
		sent := make(chan error, 1)
		go func() { sent <- a.SendSnapshot(context.Background(), m, bytes.NewReader(data)) }()
		bubble.Sleep(10 * ms)
		began = time.Now()
		require.NoError(t, b.Close())
		require.Greater(t, time.Since(began), 900*ms)
		require.ErrorIs(t, <-sent, errCut)

		b = join(t, network, 2)
		b.onSnapshot = func(raft.Message, io.Reader) error { bubble.Sleep(time.Second); return nil }
		go func() { sent <- a.SendSnapshot(context.Background(), m, bytes.NewReader(data)) }()
		bubble.Sleep(10 * ms)
		require.NoError(t, a.Close())
		require.ErrorIs(t, <-sent, raft.ErrClosed)
		require.NoError(t, network.Close())
	})
}

// patient is a Handler that is not waited for.
type patient struct {
	*recorder
	message raft.Message
	body    io.Reader
	done    func(error)
}

func (p *patient) ReceiveSnapshot(m raft.Message, body io.Reader, done func(error)) {
	p.message, p.body, p.done = m, body, done
}

func TestASnapshotThatIsNotWaitedFor(t *testing.T) {
	cases := map[string]struct {
		receive func(network *Manual, b *Transport, p *patient)
		want    string
	}{
		"accepted": {func(network *Manual, _ *Transport, p *patient) {
			network.Advance(at(time.Second)) // others go on meanwhile
			_, err := io.ReadAll(p.body)
			p.done(err)
			p.done(errors.New("a second time"))
		}, ""},
		"refused":   {func(_ *Manual, _ *Transport, p *patient) { p.done(errors.New("no room")) }, "no room"},
		"closed":    {func(_ *Manual, b *Transport, _ *patient) { b.Close() }, "cut"},
		"too late":  {func(_ *Manual, b *Transport, p *patient) { b.Close(); p.done(nil) }, "cut"},
		"partition": {func(n *Manual, _ *Transport, p *patient) { n.Block(1, 2); io.ReadAll(p.body); n.HealAll(); p.done(nil) }, "cut"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			network := NewManual(Options{Faults: Faults{MinDelay: 5 * ms}})
			a := join(t, network.Network, 1)
			b, p := network.Transport(2), &patient{recorder: &recorder{now: network.Now}}
			require.NoError(t, b.Start(raft.Identity{Cluster: "test", Node: 2}, p))
			m, data := snapshotOf(1, 2, 1000)
			var ends []error
			require.NoError(t, a.StartSnapshot(m, bytes.NewReader(data), func(err error) { ends = append(ends, err) }))
			network.Advance(at(5 * ms))
			require.Equal(t, raft.Index(10), p.message.Snapshot.Index)
			require.Empty(t, ends)

			c.receive(network, b, p)
			network.Advance(at(2 * time.Second))
			require.Len(t, ends, 1)
			if c.want == "" {
				require.NoError(t, ends[0])
			} else {
				require.ErrorContains(t, ends[0], c.want)
			}
		})
	}
}

package transporttest_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/inmem"
	"github.com/seed-6281cb22/raft/transport/transporttest"
)

// recorder is a testing.TB whose failure is not the test's.
type recorder struct {
	testing.TB
	mu      sync.Mutex
	said    []string
	failed  bool
	skipped bool
}

func (r *recorder) Helper()             {}
func (r *recorder) Logf(string, ...any) {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.mu.Lock()
	r.failed = true
	r.said = append(r.said, fmt.Sprintf(format, args...))
	r.mu.Unlock()
	runtime.Goexit()
}

func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }

func (r *recorder) Skip(...any) {
	r.skipped = true
	runtime.Goexit()
}

// runCheck runs one check and returns what it says.
func runCheck(t testing.TB, name string, o transporttest.Options) *recorder {
	all := transporttest.Checks()
	i := slices.IndexFunc(all, func(c transporttest.Check) bool { return c.Name == name })
	require.GreaterOrEqual(t, i, 0, "no check %s", name)
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		all[i].Run(r, o)
	}()
	<-done
	return r
}

// network is the one of inmem, with transports that are wrapped.
type network struct {
	t      testing.TB
	opened int
	// addresses are the nodes that have been at them.
	mu        sync.Mutex
	addresses map[string]raft.NodeID
}

// wrapped makes options for transports of inmem with something wrong. Each of
// them has another address than the earlier ones.
func wrapped(faults inmem.Faults, wrap func(n *network, inner raft.Transport) raft.Transport) func(testing.TB) *transporttest.Network {
	return func(t testing.TB) *transporttest.Network {
		inner := inmem.NewNetwork(inmem.Options{Seed: 1, Faults: faults})
		t.Cleanup(func() { inner.Close() })
		n := &network{t: t, addresses: map[string]raft.NodeID{}}
		return &transporttest.Network{Open: func(id raft.NodeID, address string) (raft.Transport, string, error) {
			n.opened++
			if address == "" {
				address = fmt.Sprintf("node %d, %d", id, n.opened)
			}
			n.mu.Lock()
			n.addresses[address] = id
			n.mu.Unlock()
			var transport raft.Transport = inner.Transport(id)
			if wrap != nil {
				transport = wrap(n, transport)
			}
			return transport, address, nil
		}}
	}
}

// wrong is a transport with one fault: what is not nil replaces a method.
type wrong struct {
	raft.Transport
	start    func(self raft.Identity, h raft.Handler) error
	setPeer  func(id raft.NodeID, address string)
	send     func(messages []raft.Message)
	snapshot func(ctx context.Context, m raft.Message, body io.ReadSeeker) error
	close    func() error

	handler raft.Handler // of the node
}

func (w *wrong) Start(self raft.Identity, h raft.Handler) error {
	w.handler = h
	if w.start == nil {
		return w.Transport.Start(self, h)
	}
	return w.start(self, h)
}

func (w *wrong) SetPeer(id raft.NodeID, address string) {
	if w.setPeer == nil {
		w.Transport.SetPeer(id, address)
		return
	}
	w.setPeer(id, address)
}

func (w *wrong) Send(messages []raft.Message) {
	if w.send == nil {
		w.Transport.Send(messages)
		return
	}
	w.send(messages)
}

func (w *wrong) SendSnapshot(ctx context.Context, m raft.Message, body io.ReadSeeker) error {
	if w.snapshot == nil {
		return w.Transport.SendSnapshot(ctx, m, body)
	}
	return w.snapshot(ctx, m, body)
}

func (w *wrong) Close() error {
	if w.close == nil {
		return w.Transport.Close()
	}
	return w.close()
}

// told tells the node that another one is unreachable, from nowhere.
func (w *wrong) told(id raft.NodeID) { go w.handler.Unreachable(id) }

// handler is what the transport calls: what is not nil replaces a method of
// the node's.
type handler struct {
	raft.Handler
	deliver     func([]raft.Message)
	snapshot    func(raft.Message, io.Reader) error
	unreachable func(raft.NodeID)
}

func (h *handler) Deliver(messages []raft.Message) {
	if h.deliver == nil {
		h.Handler.Deliver(messages)
		return
	}
	h.deliver(messages)
}

func (h *handler) DeliverSnapshot(m raft.Message, body io.Reader) error {
	if h.snapshot == nil {
		return h.Handler.DeliverSnapshot(m, body)
	}
	return h.snapshot(m, body)
}

func (h *handler) Unreachable(id raft.NodeID) {
	if h.unreachable == nil {
		h.Handler.Unreachable(id)
		return
	}
	h.unreachable(id)
}

// wrongIn makes the function that wraps a transport.
func wrongIn(change func(w *wrong)) func(*network, raft.Transport) raft.Transport {
	return func(_ *network, inner raft.Transport) raft.Transport {
		w := &wrong{Transport: inner}
		change(w)
		return w
	}
}

// wrongHandler changes what the transport calls.
func wrongHandler(change func(h *handler)) func(*network, raft.Transport) raft.Transport {
	return wrongIn(func(w *wrong) {
		w.start = func(self raft.Identity, inner raft.Handler) error {
			if inner == nil {
				return w.Transport.Start(self, nil)
			}
			h := &handler{Handler: inner}
			change(h)
			return w.Transport.Start(self, h)
		}
	})
}

// wrongMessage changes what is sent; false drops it, which is told.
func wrongMessage(change func(m *raft.Message) bool) func(*network, raft.Transport) raft.Transport {
	return wrongIn(func(w *wrong) {
		w.send = func(messages []raft.Message) {
			for _, m := range messages {
				m.Entries = slices.Clone(m.Entries)
				if to := m.To; change(&m) {
					w.Transport.Send([]raft.Message{m})
				} else {
					w.told(to)
				}
			}
		}
	})
}

// wrongBody changes the body of snapshots.
func wrongBody(change func(b *body)) func(*network, raft.Transport) raft.Transport {
	return wrongIn(func(w *wrong) {
		w.snapshot = func(ctx context.Context, m raft.Message, inner io.ReadSeeker) error {
			b := &body{ReadSeeker: inner}
			change(b)
			return w.Transport.SendSnapshot(ctx, m, b)
		}
	})
}

// body is a snapshot's as the transport reads it.
type body struct {
	io.ReadSeeker
	read func(p []byte) (int, error)
	seek func(offset int64, whence int) (int64, error)
}

func (b *body) Read(p []byte) (int, error) {
	if b.read == nil {
		return b.ReadSeeker.Read(p)
	}
	return b.read(p)
}

func (b *body) Seek(offset int64, whence int) (int64, error) {
	if b.seek == nil {
		return b.ReadSeeker.Seek(offset, whence)
	}
	return b.seek(offset, whence)
}

// fault is a wrong transport.
type fault struct {
	what  string
	finds string // the check that is meant to find it
	// network is that of the transports, wrap what is wrong with them.
	network inmem.Faults
	wrap    func(*network, raft.Transport) raft.Transport
	// naive, if not nil, makes it a naive transport over TCP instead.
	naive func(*naive)
	// promise is what the transport claims though it is not so.
	promise func(*transporttest.Options)
}

func (f *fault) options(patience time.Duration) transporttest.Options {
	o := transporttest.Options{New: wrapped(f.network, f.wrap), Serial: true, Patience: patience}
	if f.naive != nil {
		o.New, o.TCP = openNaive(f.naive), true
	}
	if f.promise != nil {
		f.promise(&o)
	}
	return o
}

// Each of these transports has one fault, and the check that is meant to find
// it does. Without the fault it passes, see package inmem.
func TestWrongTransportsFail(t *testing.T) {
	found := map[string]bool{}
	for i := range faults {
		f := &faults[i]
		found[f.finds] = true
		t.Run(f.finds+"/"+f.what, func(t *testing.T) {
			if !slices.Contains([]string{"Memory", "SnapshotLarge"}, f.finds) { // which measure
				t.Parallel()
			}
			r := runCheck(t, f.finds, f.options(300*time.Millisecond))
			require.False(t, r.skipped)
			require.True(t, r.failed, "not found")
			t.Log(r.said)
		})
	}
	for _, c := range transporttest.Checks() {
		require.True(t, found[c.Name], "no wrong transport fails %s", c.Name)
	}
}

// What a transport does not promise is not checked, and no failure.
func TestChecksOfWhatIsNotPromised(t *testing.T) {
	o := transporttest.Options{New: wrapped(inmem.Faults{}, nil), Serial: true, Unordered: true}
	for _, name := range []string{"Order", "Independent", "Memory", "SnapshotSlow", "Fragments", "Cut", "CutHandshake", "Corrupt", "Stall", "Reroute", "SnapshotCut", "SnapshotResume"} {
		r := runCheck(t, name, o)
		require.True(t, r.skipped, name)
		require.False(t, r.failed, name)
	}
}

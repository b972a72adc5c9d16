package transporttest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/seed-6281cb22/raft/transport/inmem"
	"github.com/seed-6281cb22/raft/transport/transporttest"
)

var faults = slices.Concat(peerFaults, sendFaults, closeFaults, snapshotFaults, naiveFaults)

var peerFaults = []fault{
	{what: "starts without an id", finds: "Start", wrap: wrongIn(func(w *wrong) {
		w.start = func(self raft.Identity, h raft.Handler) error {
			if self.Node == 0 {
				return nil
			}
			return w.Transport.Start(self, h)
		}
	})},
	{what: "starts without a Handler", finds: "Start", wrap: wrongIn(func(w *wrong) {
		w.start = func(self raft.Identity, h raft.Handler) error {
			if h == nil {
				return nil
			}
			return w.Transport.Start(self, h)
		}
	})},
	{what: "starts twice", finds: "Start", wrap: wrongIn(func(w *wrong) {
		started := false
		w.start = func(self raft.Identity, h raft.Handler) error {
			err := w.Transport.Start(self, h)
			if started {
				return nil
			}
			started = err == nil
			return err
		}
	})},

	{what: "keeps what is sent before Start", finds: "BeforeStart", wrap: wrongIn(func(w *wrong) {
		var early []raft.Message
		w.send = func(messages []raft.Message) {
			if w.handler == nil {
				early = slices.Clone(messages)
				return
			}
			if len(early) > 0 { // later, when the other one listens, too
				messages = slices.Concat(early, messages)
			}
			w.Transport.Send(messages)
		}
	})},
	{what: "forgets who was named before Start", finds: "BeforeStart", wrap: wrongIn(func(w *wrong) {
		w.setPeer = func(id raft.NodeID, address string) {
			if w.handler != nil {
				w.Transport.SetPeer(id, address)
			}
		}
	})},

	{what: "does not compare clusters", finds: "Cluster", wrap: wrongIn(func(w *wrong) {
		w.start = func(self raft.Identity, h raft.Handler) error {
			self.Cluster = "any"
			return w.Transport.Start(self, h)
		}
	})},

	{what: "talks to whoever is there", finds: "Node", wrap: func(n *network, inner raft.Transport) raft.Transport {
		at := map[raft.NodeID]raft.NodeID{}
		return &wrong{
			Transport: inner,
			setPeer: func(id raft.NodeID, address string) {
				n.mu.Lock()
				at[id] = n.addresses[address]
				n.mu.Unlock()
				inner.SetPeer(at[id], address)
			},
			send: func(messages []raft.Message) {
				for _, m := range messages {
					m.To = at[m.To]
					inner.Send([]raft.Message{m})
				}
			},
		}
	}},

	{what: "answers only whom it was told of", finds: "Answer", wrap: wrongIn(func(w *wrong) {
		known := map[raft.NodeID]bool{}
		w.setPeer = func(id raft.NodeID, address string) {
			known[id] = true
			w.Transport.SetPeer(id, address)
		}
		w.send = func(messages []raft.Message) {
			for _, m := range messages {
				if !known[m.To] {
					w.told(m.To)
					continue
				}
				w.Transport.Send([]raft.Message{m})
			}
		}
	})},

	{what: "does not forget", finds: "Forget", wrap: wrongIn(func(w *wrong) {
		w.setPeer = func(id raft.NodeID, address string) {
			if address != "" {
				w.Transport.SetPeer(id, address)
			}
		}
	})},
	{what: "forgets for ever", finds: "Forget", wrap: wrongIn(func(w *wrong) {
		gone := map[raft.NodeID]bool{}
		w.setPeer = func(id raft.NodeID, address string) {
			gone[id] = gone[id] || address == ""
			if gone[id] {
				address = ""
			}
			w.Transport.SetPeer(id, address)
		}
	})},
	{what: "sends later what was for one that is forgotten", finds: "Forget", wrap: wrongIn(func(w *wrong) {
		var waiting []raft.Message
		known := map[raft.NodeID]bool{}
		w.setPeer = func(id raft.NodeID, address string) {
			known[id] = address != ""
			w.Transport.SetPeer(id, address)
			if known[id] {
				w.Transport.Send(waiting)
				waiting = nil
			}
		}
		w.send = func(messages []raft.Message) {
			if !known[messages[0].To] {
				waiting = append(waiting, slices.Clone(messages)...)
			}
			w.Transport.Send(messages)
		}
	})},

	{what: "stays at the first address", finds: "Address", wrap: wrongIn(func(w *wrong) {
		first := map[raft.NodeID]string{}
		w.setPeer = func(id raft.NodeID, address string) {
			if first[id] == "" {
				first[id] = address
			}
			if address != first[id] {
				address = "" // nobody is at the old one any more
			}
			w.Transport.SetPeer(id, address)
		}
	})},

	{what: "does not connect again", finds: "Restart", wrap: wrongIn(func(w *wrong) {
		var mu sync.Mutex
		broken := map[raft.NodeID]bool{}
		w.start = func(self raft.Identity, inner raft.Handler) error {
			return w.Transport.Start(self, &handler{Handler: inner, unreachable: func(id raft.NodeID) {
				mu.Lock()
				broken[id] = true
				mu.Unlock()
				inner.Unreachable(id)
			}})
		}
		w.send = func(messages []raft.Message) {
			mu.Lock()
			defer mu.Unlock()
			if broken[messages[0].To] {
				w.told(messages[0].To)
				return
			}
			w.Transport.Send(messages)
		}
	})},

	{what: "tells once", finds: "Unreachable", wrap: wrongHandler(func(h *handler) {
		told := map[raft.NodeID]bool{}
		h.unreachable = func(id raft.NodeID) {
			if !told[id] {
				told[id] = true
				h.Handler.Unreachable(id)
			}
		}
	})},
	{what: "tells nothing", finds: "Unreachable", wrap: wrongHandler(func(h *handler) {
		h.unreachable = func(raft.NodeID) {}
	})},
	{what: "drops all for the sake of one", finds: "Unreachable", wrap: wrongIn(func(w *wrong) {
		w.send = func(messages []raft.Message) {
			for _, m := range messages {
				if m.To == 9 {
					for _, m := range messages {
						w.told(m.To)
					}
					return
				}
			}
			w.Transport.Send(messages)
		}
	})},

	{what: "tells from within Send", finds: "Callbacks", wrap: wrongIn(func(w *wrong) {
		w.send = func(messages []raft.Message) {
			if messages[0].To == 9 {
				w.handler.Unreachable(9)
				return
			}
			w.Transport.Send(messages)
		}
	})},
	{what: "tells from within SetPeer", finds: "Callbacks", wrap: wrongIn(func(w *wrong) {
		w.setPeer = func(id raft.NodeID, address string) {
			w.Transport.SetPeer(id, address)
			if address == "" {
				w.handler.Unreachable(id)
			}
		}
	})},
}

var sendFaults = []fault{
	{what: "loses a field", finds: "Fields", wrap: wrongMessage(func(m *raft.Message) bool {
		m.Transfer = false
		return true
	})},
	{what: "loses a field of entries", finds: "Fields", wrap: wrongMessage(func(m *raft.Message) bool {
		for i := range m.Entries {
			m.Entries[i].Origin.Incarnation = 0
		}
		return true
	})},
	{what: "knows no ReadIndex", finds: "Fields", wrap: wrongMessage(func(m *raft.Message) bool { return m.Type != raftpb.ReadIndex })},
	{what: "knows 256 groups", finds: "Fields", wrap: wrongMessage(func(m *raft.Message) bool {
		m.Group &= 255
		return true
	})},

	{what: "takes no more than 1 MiB", finds: "Sizes", wrap: wrongMessage(func(m *raft.Message) bool { return m.EncodedLen() < 1<<20 })},
	{what: "takes no more than 1000 entries", finds: "Sizes", wrap: wrongMessage(func(m *raft.Message) bool { return len(m.Entries) <= 1000 })},
	{what: "leaves out entries without data", finds: "Sizes", wrap: wrongMessage(func(m *raft.Message) bool {
		m.Entries = slices.DeleteFunc(m.Entries, func(e raft.Entry) bool { return len(e.Data) == 0 })
		return true
	})},

	{what: "keeps the slice", finds: "Ownership", wrap: wrongIn(func(w *wrong) {
		var before []raft.Message
		w.send = func(messages []raft.Message) {
			w.Transport.Send(before)
			before = messages
			w.told(2) // so that more is sent
		}
	})},
	{what: "keeps the slices of entries", finds: "Ownership", wrap: wrongIn(func(w *wrong) {
		var before []raft.Message
		w.send = func(messages []raft.Message) {
			w.Transport.Send(before)
			before = slices.Clone(messages)
			w.told(2)
		}
	})},

	{what: "uses the memory of Data again", finds: "Kept", wrap: wrongHandler(func(h *handler) {
		memory := make([]byte, 1<<10)
		h.deliver = func(messages []raft.Message) {
			for _, m := range messages {
				for i := range m.Entries {
					if n := copy(memory, m.Entries[i].Data); n == len(m.Entries[i].Data) {
						m.Entries[i].Data = memory[:n]
					}
				}
				h.Handler.Deliver([]raft.Message{m})
			}
		}
	})},

	{what: "duplicates", finds: "Order", network: inmem.Faults{Duplicate: 0.1}},
	{what: "overtakes", finds: "Order", network: inmem.Faults{MaxDelay: time.Millisecond}},
	{what: "tells what is not so", finds: "Order", wrap: wrongIn(func(w *wrong) {
		sent := 0
		w.send = func(messages []raft.Message) {
			w.Transport.Send(messages)
			if sent++; sent == 1000 {
				w.told(2)
			}
		}
	})},

	{what: "loses and tells nothing", finds: "Concurrent", wrap: wrongIn(func(w *wrong) {
		var sent atomic.Int64
		w.send = func(messages []raft.Message) {
			if sent.Add(1)%50 != 0 {
				w.Transport.Send(messages)
			}
		}
	})},
	{what: "delivers to others", finds: "Concurrent", wrap: wrongMessage(func(m *raft.Message) bool {
		if m.To == 4 {
			m.To = 3
		}
		return true
	})},

	{what: "Send waits for the receiver", finds: "SendReturns", wrap: func(n *network, inner raft.Transport) raft.Transport {
		w := &wrong{Transport: inner}
		w.start = func(self raft.Identity, h raft.Handler) error {
			return inner.Start(self, &handler{Handler: h, deliver: func(m []raft.Message) {
				n.mu.Lock()
				defer n.mu.Unlock()
				h.Deliver(m)
			}})
		}
		w.send = func(messages []raft.Message) {
			n.mu.Lock()
			defer n.mu.Unlock()
			inner.Send(messages)
		}
		return w
	}},

	{what: "one after the other", finds: "Independent", promise: func(o *transporttest.Options) { o.Serial = false }},

	{what: "keeps everything", finds: "Memory", promise: func(o *transporttest.Options) { o.QueueBytes = 1 << 20 }},
	{what: "drops and tells nothing", finds: "Memory", wrap: wrongMessage(func(m *raft.Message) bool {
		if len(m.Entries) > 0 {
			m.To, m.Entries = 9, nil // which is not known, so that this is told
		}
		return true
	}), promise: func(o *transporttest.Options) { o.QueueBytes = 1 << 20 }},

	{what: "changes a byte in the middle of many", finds: "Random", wrap: wrongIn(func(w *wrong) {
		w.send = func(messages []raft.Message) {
			if len(messages) > 20 && len(messages[20].Entries) > 0 && len(messages[20].Entries[0].Data) > 0 {
				messages = slices.Clone(messages)
				e := slices.Clone(messages[20].Entries)
				e[0].Data = bytes.Clone(e[0].Data)
				e[0].Data[0]++
				messages[20].Entries = e
			}
			w.Transport.Send(messages)
		}
	})},
}

var errAgain = errors.New("closed already")

var closeFaults = []fault{
	{what: "Close fails after Close", finds: "Close", wrap: wrongIn(func(w *wrong) {
		var closed atomic.Bool
		w.close = func() error {
			if closed.Swap(true) {
				return errAgain
			}
			return w.Transport.Close()
		}
	})},
	{what: "Start after Close", finds: "Close", wrap: wrongIn(func(w *wrong) {
		var closed atomic.Bool
		w.close = func() error {
			closed.Store(true)
			return w.Transport.Close()
		}
		w.start = func(self raft.Identity, h raft.Handler) error {
			if closed.Load() {
				return nil
			}
			return w.Transport.Start(self, h)
		}
	})},
	{what: "another error after Close", finds: "Close", wrap: wrongIn(func(w *wrong) {
		w.snapshot = func(ctx context.Context, m raft.Message, body io.ReadSeeker) error {
			if err := w.Transport.SendSnapshot(ctx, m, body); err != nil {
				return errAgain
			}
			return nil
		}
	})},

	{what: "goes on after Close", finds: "CloseInTraffic", wrap: wrongIn(func(w *wrong) {
		w.close = func() error { return nil }
	})},
	{what: "Close does not wait for the Handler", finds: "CloseWaits", wrap: wrongIn(func(w *wrong) {
		w.close = func() error {
			go w.Transport.Close()
			return nil
		}
	})},

	{what: "a goroutine stays", finds: "Goroutines", wrap: func(n *network, inner raft.Transport) raft.Transport {
		end := make(chan struct{})
		n.t.Cleanup(func() { close(end) })
		w := &wrong{Transport: inner}
		w.start = func(self raft.Identity, h raft.Handler) error {
			go func() { <-end }()
			return inner.Start(self, h)
		}
		return w
	}},
}

package transporttest

import (
	"io"
	"sync"

	"github.com/seed-6281cb22/raft"
)

// host is a node: a transport and its Handler, which writes down what it gets
// and judges it.
type host struct {
	s         *suite
	id        raft.NodeID
	cluster   string
	address   string
	transport raft.Transport

	// guard, if a check asks for it, is held for reading during calls of
	// the transport and taken by each call of the Handler: a transport that
	// calls the Handler from within hangs.
	guard *sync.RWMutex

	// Guarded by s.mu.
	got         []kept
	unreachable map[raft.NodeID]int
	running     int // calls of the Handler
	closed      bool
	hold        *gate // if not nil, Deliver waits at it
	held        int   // calls of Deliver that have waited, or wait
	onSnapshot  func(m raft.Message, body io.Reader) error
	accepted    []raft.Message // snapshots
}

// kept is a message as it was delivered, with the memory that its Data had.
type kept struct {
	message raft.Message
	as      fingerprint
}

// open makes a node that is not started, at the address of an earlier one if
// that is not nil.
func (s *suite) open(id raft.NodeID, earlier *host) *host {
	s.Helper()
	address := ""
	if earlier != nil {
		address = earlier.address
	}
	transport, address, err := s.net.Open(id, address)
	s.ok(err, "Open")
	h := &host{s: s, id: id, cluster: Cluster, address: address, transport: transport, unreachable: map[raft.NodeID]int{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hosts = append(s.hosts, h)
	return h
}

// join makes a node and starts it.
func (s *suite) join(id raft.NodeID) *host {
	s.Helper()
	h := s.open(id, nil)
	h.start()
	return h
}

func (h *host) start() {
	h.s.Helper()
	var err error
	h.s.returns("Start", func() {
		defer h.enterTransport()()
		err = h.transport.Start(raft.Identity{Cluster: h.cluster, Node: h.id}, h)
	})
	h.s.ok(err, "Start")
}

// know gives h the address of another node.
func (h *host) know(other *host) {
	h.s.Helper()
	h.setPeer(other.id, other.address)
}

func (h *host) setPeer(id raft.NodeID, address string) {
	h.s.Helper()
	h.s.returns("SetPeer", func() {
		defer h.enterTransport()()
		h.transport.SetPeer(id, address)
	})
}

func (h *host) enterTransport() (leave func()) {
	if h.guard == nil {
		return func() {}
	}
	h.guard.RLock()
	return h.guard.RUnlock
}

// send calls Send, which must not block, and has the slices that it was given
// overwritten when it returns.
func (h *host) send(messages ...raft.Message) []*letter {
	h.s.Helper()
	var letters []*letter
	h.s.returns("Send", func() { letters = h.post(messages...) })
	return letters
}

// post is send for goroutines of a check.
func (h *host) post(messages ...raft.Message) []*letter {
	batch := make([]raft.Message, len(messages))
	letters := make([]*letter, len(messages))
	for i := range messages {
		batch[i] = cloneMessage(&messages[i])
		letters[i] = h.s.register(h, &messages[i])
	}
	leave := h.enterTransport()
	h.transport.Send(batch)
	leave()
	for i := range batch {
		scribble(&batch[i])
	}
	return letters
}

// close closes the transport, in time, and notes that the Handler must not be
// called any more.
func (h *host) close() {
	h.s.Helper()
	h.s.mu.Lock()
	again := h.closed
	h.s.mu.Unlock()
	if again {
		return
	}
	var err error
	h.s.returns("Close", func() { err = h.closeNow() })
	h.s.ok(err, "Close")
}

func (h *host) closeNow() error {
	err := h.transport.Close()
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.closed = true
	if h.running > 0 {
		h.s.violated("Close of node %d returned while its Handler was running", h.id)
	}
	h.s.happened()
	return err
}

// enter begins a call of the Handler.
func (h *host) enter(method string) (leave func()) {
	if h.guard != nil {
		h.guard.Lock() // at once, unless a method of the transport has called
		defer h.guard.Unlock()
	}
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.running++
	if h.closed {
		h.s.violated("%s of node %d was called after Close", method, h.id)
	}
	return func() {
		h.s.mu.Lock()
		defer h.s.mu.Unlock()
		h.running--
		h.s.happened()
	}
}

// Deliver implements raft.Handler.
func (h *host) Deliver(messages []raft.Message) {
	defer h.enter("Deliver")()
	h.s.mu.Lock()
	for i := range messages {
		h.take(&messages[i])
	}
	h.s.happened()
	hold := h.hold
	if hold != nil {
		h.held++
	}
	h.s.mu.Unlock()
	if hold != nil {
		hold.pass()
	}
}

// take judges a message that was delivered, and keeps it. s.mu is held.
func (h *host) take(m *raft.Message) {
	as := fingerprintOf(m)
	letter := h.s.sent[as]
	switch {
	case letter == nil:
		h.s.violated("node %d was delivered what nobody has sent: %s", h.id, describe(m))
		return
	case letter.snapshot:
		h.s.violated("node %d was delivered the message of a snapshot by Deliver: %s", h.id, describe(m))
	case m.To != h.id:
		h.s.violated("node %d was delivered what is for node %d: %s", h.id, m.To, describe(m))
	case letter.from.cluster != h.cluster:
		h.s.violated("node %d of cluster %q was delivered what a node of cluster %q sent: %s", h.id, h.cluster, letter.from.cluster, describe(m))
	}
	letter.delivered++
	h.got = append(h.got, kept{cloneMessage(m), as})
}

// judgeKept finds what was overwritten after it was delivered.
func (h *host) judgeKept() {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	for i := range h.got {
		if fingerprintOf(&h.got[i].message) != h.got[i].as {
			h.s.violated("the Data of an entry that node %d was delivered has been overwritten since: %s", h.id, describe(&h.got[i].message))
		}
	}
}

// DeliverSnapshot implements raft.Handler.
func (h *host) DeliverSnapshot(m raft.Message, body io.Reader) error {
	defer h.enter("DeliverSnapshot")()
	h.s.mu.Lock()
	letter := h.s.sent[fingerprintOf(&m)]
	switch {
	case letter == nil || !letter.snapshot:
		h.s.violated("node %d was delivered a snapshot that nobody has sent: %s", h.id, describe(&m))
	case m.To != h.id || letter.from.cluster != h.cluster:
		h.s.violated("node %d was delivered a snapshot that is not for it: %s", h.id, describe(&m))
	}
	handle := h.onSnapshot
	if letter != nil {
		letter.received = true
	}
	h.s.happened()
	h.s.mu.Unlock()
	if letter == nil {
		return io.ErrUnexpectedEOF
	}
	if handle == nil {
		handle = readAll
	}
	err := handle(m, &judgedBody{s: h.s, message: m, body: body})
	if err == nil {
		h.s.mu.Lock()
		letter.delivered++
		h.accepted = append(h.accepted, m)
		h.s.mu.Unlock()
	}
	return err
}

// Unreachable implements raft.Handler.
func (h *host) Unreachable(id raft.NodeID) {
	defer h.enter("Unreachable")()
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	if id == 0 || id == h.id {
		h.s.violated("node %d was told Unreachable(%d)", h.id, id)
	}
	h.unreachable[id]++
	h.s.happened()
}

// hang makes calls of Deliver wait until release.
func (h *host) hang() {
	hold := h.s.newGate()
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.hold = hold
}

// release lets calls of Deliver go on that wait.
func (h *host) release() {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.hold.openLocked()
	h.hold = nil
}

package tcp

import (
	"fmt"
	"net"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// source is a node that this one receives messages from.
type source struct {
	lanes [lanes]inLane
	users int // connections, the replaced ones that have not ended included
}

// inLane is one of the ways on which messages come from a node. It has one
// connection; a newer one takes over. The two deliver at the same time.
type inLane struct {
	current *link
	turn    chan struct{} // held by the one that delivers, so that no two do at once
}

func newSource() *source {
	s := &source{}
	for i := range s.lanes {
		s.lanes[i].turn = make(chan struct{}, 1)
	}
	return s
}

// close ends the source's connections. Transport.mu is held.
func (s *source) close() {
	for _, in := range s.lanes {
		if in.current != nil {
			in.current.close()
		}
	}
}

// receiveMessages delivers messages until the connection ends. Of two
// connections of a node for the same lane the older one is closed, and the
// newer one delivers nothing before the older one has ended: messages stay in
// order, and a Handler that hangs does not gather goroutines.
func (t *Transport) receiveMessages(l *link, hello wire.Hello) error {
	if hello.Purpose == wire.ForUrgent {
		l.reader.SetLimit(wire.MaxUrgentBytes)
	}
	s, in := t.join(l, hello)
	defer t.leave(l, hello.From.Node, s, in)
	select {
	case in.turn <- struct{}{}:
		defer func() { <-in.turn }()
	case <-t.ctx.Done():
		return nil
	case <-time.After(t.opts.PeerTimeout):
		return fmt.Errorf("raft/tcp: the handler has been busy with messages of node %d for %v", hello.From.Node, t.opts.PeerTimeout)
	}

	var batch wire.Batch
	var read uint64
	var lastAlive time.Time
	for {
		for more := true; more; { // even at first: some may have come with the hello
			var err error
			more, err = t.gather(&batch, l, hello.From.Node)
			if messages := batch.Messages(); len(messages) > 0 {
				t.handler.Deliver(messages)
				t.counters.messagesReceived.Add(uint64(len(messages)))
				batch.Reset()
			}
			if err != nil {
				return err
			}
		}
		if now := time.Now(); read > 0 && now.Sub(lastAlive) >= wire.AliveInterval {
			lastAlive = now
			if err := l.write(wire.AppendUint64(nil, wire.KindAlive, read), t.opts.PeerTimeout); err != nil {
				return err
			}
		}
		n, err := l.fill(t.opts.PeerTimeout)
		if err != nil {
			return err
		}
		read += uint64(n)
		t.counters.bytesReceived.Add(uint64(n))
	}
}

// gather adds to batch the messages that have arrived completely: all of them,
// or as many as are handed over together, and then there may be more.
func (t *Transport) gather(batch *wire.Batch, l *link, from raft.NodeID) (more bool, err error) {
	for !batch.Full() {
		f, ok, err := l.reader.Next()
		if !ok || err != nil {
			return false, err
		}
		switch f.Kind {
		case wire.KindPing:
			if err := l.beat(); err != nil {
				return false, err
			}
			continue
		case wire.KindMessage:
		default:
			return false, &protocolError{fmt.Sprintf("frame of kind %d among messages", f.Kind)}
		}
		if err := t.addMessage(batch, f.Payload, from); err != nil {
			return false, err
		}
	}
	return true, nil
}

// addMessage decodes a message that came from a node.
func (t *Transport) addMessage(batch *wire.Batch, payload []byte, from raft.NodeID) error {
	if err := batch.Add(payload); err != nil {
		return &protocolError{err.Error()}
	}
	m := batch.Last()
	if m.From != from || m.To != t.self.Node {
		batch.Drop()
		return &protocolError{fmt.Sprintf("node %d sent a message from %d to %d", from, m.From, m.To)}
	}
	return nil
}

// join makes l the connection of its node for its lane, in place of an older
// one, and the node a peer if it is not one. A peer that could not be reached
// lately is dialed at once.
func (t *Transport) join(l *link, hello wire.Hello) (*source, *inLane) {
	id := hello.From.Node
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sources[id]
	if s == nil {
		s = newSource()
		t.sources[id] = s
	}
	in := &s.lanes[laneFor(hello.Purpose)]
	s.users++
	switch {
	case in.current != nil && in.current.number > l.number: // overtaken during the handshake
		l.close()
		return s, in
	case in.current != nil:
		in.current.close()
	}
	in.current = l
	t.learnPeer(id, resolveAddress(hello.Address, l.raw.RemoteAddr()))
	if p := t.peers[id]; p != nil {
		p.retryNow()
	}
	return s, in
}

func (t *Transport) leave(l *link, id raft.NodeID, s *source, in *inLane) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if in.current == l {
		in.current = nil
	}
	s.users--
	if s.users > 0 {
		return
	}
	delete(t.sources, id)
	if p := t.peers[id]; p != nil && p.learned {
		t.endPeer(p)
	}
}

// resolveAddress returns the address that a node wants to be reached at: its
// own words, with the host that it comes from if it names none.
func resolveAddress(advertised string, remote net.Addr) string {
	host, port, err := net.SplitHostPort(advertised)
	if err != nil {
		return ""
	}
	if host == "" || net.ParseIP(host).IsUnspecified() {
		from, _, err := net.SplitHostPort(remote.String())
		if err != nil {
			return ""
		}
		host = from
	}
	return net.JoinHostPort(host, port)
}

package tcp

import (
	"fmt"
	"net"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// source is a node that this one receives messages from. It has one
// connection; a newer one takes over.
type source struct {
	current *link
	users   int           // connections, the replaced ones that have not ended included
	turn    chan struct{} // held by the one that delivers, so that no two do at once
}

// receiveMessages delivers messages until the connection ends. Of a node with
// two connections the older one is closed, and the newer one delivers nothing
// before the older one has ended: messages stay in order, and a Handler that
// hangs does not gather goroutines.
func (t *Transport) receiveMessages(l *link, hello wire.Hello) error {
	s := t.join(l, hello)
	defer t.leave(l, hello.From.Node, s)
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-t.ctx.Done():
		return nil
	case <-time.After(t.opts.PeerTimeout):
		return fmt.Errorf("raft/tcp: the handler has been busy with messages of node %d for %v", hello.From.Node, t.opts.PeerTimeout)
	}

	var batch wire.Batch
	var read uint64
	var lastAlive time.Time
	for {
		n, err := l.fill(t.opts.PeerTimeout)
		if err != nil {
			return err
		}
		read += uint64(n)
		t.counters.bytesReceived.Add(uint64(n))

		for more := true; more; {
			more, err = t.gather(&batch, l.reader, hello.From.Node)
			if messages := batch.Messages(); len(messages) > 0 {
				t.handler.Deliver(messages)
				t.counters.messagesReceived.Add(uint64(len(messages)))
				batch.Reset()
			}
			if err != nil {
				return err
			}
		}
		if now := time.Now(); now.Sub(lastAlive) >= wire.AliveInterval {
			lastAlive = now
			if err := l.write(wire.AppendUint64(nil, wire.KindAlive, read), t.opts.PeerTimeout); err != nil {
				return err
			}
		}
	}
}

// gather adds to batch the messages that have arrived completely: all of them,
// or as many as are handed over together, and then there may be more.
func (t *Transport) gather(batch *wire.Batch, reader *wire.Reader, from raft.NodeID) (more bool, err error) {
	for !batch.Full() {
		f, ok, err := reader.Next()
		if !ok || err != nil {
			return false, err
		}
		switch f.Kind {
		case wire.KindPing:
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
	m := batch.Messages()[len(batch.Messages())-1]
	if m.From != from || m.To != t.self.Node {
		batch.Drop()
		return &protocolError{fmt.Sprintf("node %d sent a message from %d to %d", from, m.From, m.To)}
	}
	return nil
}

// join makes l the connection of its node, in place of an older one, and the
// node a peer if it is not one.
func (t *Transport) join(l *link, hello wire.Hello) *source {
	id := hello.From.Node
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sources[id]
	if s == nil {
		s = &source{turn: make(chan struct{}, 1)}
		t.sources[id] = s
	}
	s.users++
	switch {
	case s.current != nil && s.current.number > l.number: // overtaken during the handshake
		l.close()
		return s
	case s.current != nil:
		s.current.close()
	}
	s.current = l
	t.learnPeer(id, resolveAddress(hello.Address, l.raw.RemoteAddr()))
	return s
}

func (t *Transport) leave(l *link, id raft.NodeID, s *source) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.current == l {
		s.current = nil
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

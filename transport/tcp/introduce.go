package tcp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// maxTLSBytes bounds what is read of a connection for the handshake of TLS: enough for the certificates of a long chain, and little next to what
// crypto/tls would read.
const maxTLSBytes = 64 << 10

var errTooManyBytes = errors.New("raft/tcp: too many bytes before the introduction")

// dial connects to a peer, and returns when the two have accepted each other.
// The connection is closed when ctx ends, whenever that is; release frees what
// waits for that.
func (t *Transport) dial(ctx context.Context, id raft.NodeID, address string, purpose wire.Purpose) (l *link, release func(), err error) {
	dialing, cancel := context.WithTimeout(ctx, t.opts.ConnectTimeout)
	defer cancel()
	raw, err := t.opts.Dial(dialing, address)
	if err != nil {
		return nil, nil, err
	}
	l = newLink(raw)
	stop := context.AfterFunc(ctx, l.close)
	release = func() { stop(); l.close() }
	if err := t.introduce(dialing, l, id, address, purpose); err != nil {
		release()
		return nil, nil, err
	}
	return l, release, nil
}

// introduce is the dialer's side of TLS and of the handshake.
func (t *Transport) introduce(ctx context.Context, l *link, id raft.NodeID, address string, purpose wire.Purpose) error {
	hello := wire.Hello{
		Versions: t.side.Versions,
		Purpose:  purpose,
		Features: t.side.Features,
		Required: t.side.Required,
		From:     t.self,
		To:       id,
		Address:  t.advertise,
	}
	deadline, _ := ctx.Deadline()
	l.raw.SetDeadline(deadline)
	welcome, err := t.exchange(ctx, l, hello)
	refusal := &HandshakeError{
		Dialed:        true,
		Address:       address,
		Local:         t.self,
		Expected:      id,
		LocalVersions: [2]uint16{hello.Versions.Min, hello.Versions.Max},
	}
	if err != nil {
		return t.refused(refusal, err)
	}
	if status := wire.CheckWelcome(hello, welcome); status != wire.Accepted {
		refusal.Reason = reasonOf(status)
		refusal.Remote = welcome.From
		refusal.RemoteVersions = [2]uint16{welcome.Versions.Min, welcome.Versions.Max}
		refusal.Missing = uint64(wire.Missing(hello, welcome))
		return refusal
	}
	l.raw.SetDeadline(time.Time{})
	l.reader.SetLimit(wire.MaxControlBytes)
	return nil
}

// exchange secures the connection, says hello and returns the answer.
func (t *Transport) exchange(ctx context.Context, l *link, hello wire.Hello) (wire.Welcome, error) {
	if t.security != nil {
		limited := &limitedConn{Conn: l.raw, left: maxTLSBytes}
		secure := tls.Client(limited, t.security.client(raft.Identity{Cluster: t.self.Cluster, Node: hello.To}))
		if err := secure.HandshakeContext(ctx); err != nil {
			return wire.Welcome{}, err
		}
		limited.left = unlimited
		l.conn = secure
	}
	_, wrote := l.conn.Write(wire.AppendHello(nil, hello))
	f, err := l.next(0) // says more than a failure to write, if both fail
	if err == nil {
		err = wrote
	}
	if err != nil {
		return wire.Welcome{}, err
	}
	return wire.ParseWelcome(f)
}

// receive is the listener's side of TLS and of the handshake. It returns the
// Hello that it has accepted.
func (t *Transport) receive(l *link) (wire.Hello, error) {
	l.raw.SetDeadline(time.Now().Add(t.opts.ConnectTimeout))
	refusal := &HandshakeError{
		Address:       l.raw.RemoteAddr().String(),
		Local:         t.self,
		LocalVersions: [2]uint16{t.side.Versions.Min, t.side.Versions.Max},
	}
	if t.security != nil {
		if err := t.secure(l); err != nil {
			return wire.Hello{}, t.refused(refusal, err)
		}
	}
	f, err := l.next(0)
	if err != nil {
		return wire.Hello{}, t.refused(refusal, err) // with TLS, the dialer may refuse so late
	}
	hello, err := wire.ParseHello(f)
	if err != nil {
		return wire.Hello{}, err
	}
	welcome := wire.Answer(t.side, hello)
	if welcome.Status == wire.Accepted {
		welcome.Status, refusal.Cause = t.admission(l, hello)
	}
	if _, err := l.conn.Write(wire.AppendWelcome(nil, welcome)); err != nil {
		return wire.Hello{}, err
	}
	if welcome.Status != wire.Accepted {
		refusal.Reason = reasonOf(welcome.Status)
		refusal.Remote = hello.From
		refusal.Expected = hello.To
		refusal.RemoteVersions = [2]uint16{hello.Versions.Min, hello.Versions.Max}
		refusal.Missing = uint64(wire.Missing(hello, welcome))
		return wire.Hello{}, refusal
	}
	l.raw.SetDeadline(time.Time{})
	l.reader.SetLimit(t.opts.MaxFrameBytes)
	if hello.Purpose == wire.ForSnapshot {
		l.reader.SetLimit(min(t.opts.MaxFrameBytes, wire.MaxSnapshotMessageBytes))
	}
	return hello, nil
}

// refused returns the refusal if err is TLS's way to say it, else err.
func (t *Transport) refused(refusal *HandshakeError, err error) error {
	var identity *identityError
	switch {
	case t.security == nil:
		return err
	case errors.As(err, &identity):
		refusal.Reason, refusal.Cause = ErrNotAllowed, identity.err
	case isGarbage(err), !refusedByTLS(err):
		return err
	default:
		refusal.Reason, refusal.Cause = ErrTLS, err
	}
	return refusal
}

// admission decides about a dialer with which nothing else is wrong.
func (t *Transport) admission(l *link, hello wire.Hello) (status wire.Status, cause error) {
	if secure, ok := l.conn.(*tls.Conn); ok {
		if err := t.security.verify(hello.From, secure.ConnectionState()); err != nil {
			return wire.NotAllowed, err
		}
	}
	if !t.takeConnectionSlot(l) {
		return wire.Busy, nil
	}
	return wire.Accepted, nil
}

// secure is the listener's side of TLS.
func (t *Transport) secure(l *link) error {
	limited := &limitedConn{Conn: l.raw, left: maxTLSBytes}
	secure := tls.Server(limited, t.security.server())
	if err := secure.HandshakeContext(t.ctx); err != nil {
		if refusedByTLS(err) {
			linger(limited)
		}
		return err
	}
	limited.left = unlimited
	l.conn = secure
	return nil
}

// linger waits for the other side to hang up: a connection that is closed with
// unread data in it may lose the alert that says why.
func linger(conn *limitedConn) {
	if half, ok := conn.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		io.Copy(io.Discard, conn)
	}
}

// limitedConn is a connection of which only some bytes may be read.
type limitedConn struct {
	net.Conn
	left int // or unlimited
}

const unlimited = -1

func (c *limitedConn) Read(p []byte) (int, error) {
	if c.left == unlimited {
		return c.Conn.Read(p)
	}
	if c.left == 0 {
		return 0, errTooManyBytes
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

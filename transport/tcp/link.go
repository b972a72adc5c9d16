package tcp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// link is a connection, with the frames that come in on it. One goroutine
// reads; write may be called by several.
type link struct {
	conn   net.Conn // what is read and written: with TLS, a *tls.Conn
	raw    net.Conn // what is closed: at once, without a farewell that may block
	reader *wire.Reader
	number uint64 // of an incoming connection: a later one has a higher number

	writeMu sync.Mutex
}

func newLink(raw net.Conn) *link {
	return &link{conn: raw, raw: raw, reader: wire.NewReader(wire.MaxHandshakeBytes)}
}

func (l *link) close() { l.raw.Close() }

// write writes b, in pieces that have timeout each.
func (l *link) write(b []byte, timeout time.Duration) error {
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	for len(b) > 0 {
		piece := b[:min(len(b), writeBytes)]
		if err := l.conn.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
		if _, err := l.conn.Write(piece); err != nil {
			return err
		}
		b = b[len(piece):]
	}
	return nil
}

// fill reads once, with a deadline if timeout is not 0.
func (l *link) fill(timeout time.Duration) (int, error) {
	if timeout > 0 {
		if err := l.conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
			return 0, err
		}
	}
	n, err := l.reader.Fill(l.conn)
	if err == io.EOF && l.reader.Buffered() > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// next returns the next frame, waiting for it at most timeout at a time, or
// with timeout 0 as long as the connection's deadline says.
func (l *link) next(timeout time.Duration) (wire.Frame, error) {
	for {
		f, ok, err := l.reader.Next()
		if ok || err != nil {
			return f, err
		}
		if _, err := l.fill(timeout); err != nil {
			return wire.Frame{}, err
		}
	}
}

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
	deadline, _ := ctx.Deadline()
	l.raw.SetDeadline(deadline)
	if t.opts.TLS != nil {
		secure := tls.Client(l.raw, clientTLS(t.opts.TLS, address))
		if err := secure.HandshakeContext(ctx); err != nil {
			return err
		}
		l.conn = secure
	}
	hello := wire.Hello{
		Versions: t.side.Versions,
		Purpose:  purpose,
		Features: t.side.Features,
		Required: t.side.Required,
		From:     t.self,
		To:       id,
		Address:  t.advertise,
	}
	if _, err := l.conn.Write(wire.AppendHello(nil, hello)); err != nil {
		return err
	}
	f, err := l.next(0)
	if err != nil {
		return err
	}
	welcome, err := wire.ParseWelcome(f)
	if err != nil {
		return err
	}
	if status := wire.CheckWelcome(hello, welcome); status != wire.Accepted {
		return &HandshakeError{
			Reason:         reasonOf(status),
			Dialed:         true,
			Address:        address,
			Local:          t.self,
			Remote:         welcome.From,
			Expected:       id,
			LocalVersions:  [2]uint16{hello.Versions.Min, hello.Versions.Max},
			RemoteVersions: [2]uint16{welcome.Versions.Min, welcome.Versions.Max},
			Missing:        uint64(wire.Missing(hello, welcome)),
		}
	}
	l.raw.SetDeadline(time.Time{})
	l.reader.SetLimit(wire.MaxControlBytes)
	return nil
}

// receive is the listener's side of TLS and of the handshake. It returns the
// Hello that it has accepted.
func (t *Transport) receive(l *link) (wire.Hello, error) {
	deadline := time.Now().Add(t.opts.ConnectTimeout)
	l.raw.SetDeadline(deadline)
	if t.opts.TLS != nil {
		secure := tls.Server(l.raw, t.opts.TLS)
		ctx, cancel := context.WithDeadline(t.ctx, deadline)
		defer cancel()
		if err := secure.HandshakeContext(ctx); err != nil {
			return wire.Hello{}, err
		}
		l.conn = secure
	}
	f, err := l.next(0)
	if err != nil {
		return wire.Hello{}, err
	}
	hello, err := wire.ParseHello(f)
	if err != nil {
		return wire.Hello{}, err
	}
	welcome := wire.Answer(t.side, hello)
	if _, err := l.conn.Write(wire.AppendWelcome(nil, welcome)); err != nil {
		return wire.Hello{}, err
	}
	if welcome.Status != wire.Accepted {
		return wire.Hello{}, &HandshakeError{
			Reason:         reasonOf(welcome.Status),
			Address:        l.raw.RemoteAddr().String(),
			Local:          t.self,
			Remote:         hello.From,
			Expected:       hello.To,
			LocalVersions:  [2]uint16{welcome.Versions.Min, welcome.Versions.Max},
			RemoteVersions: [2]uint16{hello.Versions.Min, hello.Versions.Max},
			Missing:        uint64(wire.Missing(hello, welcome)),
		}
	}
	l.raw.SetDeadline(time.Time{})
	l.reader.SetLimit(t.opts.MaxFrameBytes)
	return hello, nil
}

// clientTLS returns the configuration to dial address with.
func clientTLS(c *tls.Config, address string) *tls.Config {
	if c.ServerName != "" || c.InsecureSkipVerify {
		return c
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	c = c.Clone()
	c.ServerName = host
	return c
}

// isGarbage tells bytes that break the protocol from a connection that broke.
func isGarbage(err error) bool {
	var (
		frame     *wire.FrameError
		handshake *wire.HandshakeFormatError
		protocol  *protocolError
	)
	return errors.As(err, &frame) || errors.As(err, &handshake) || errors.As(err, &protocol)
}

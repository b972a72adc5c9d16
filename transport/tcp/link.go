package tcp

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// link is a connection, with the frames that come in on it. One goroutine
// reads; write may be called by several.
type link struct {
	conn   net.Conn // what is read and written: with TLS, a *tls.Conn
	raw    net.Conn // what is closed: at once, without a farewell that may block
	reader *wire.Reader

	// Of the frame that is arriving, for fill: how much there is of it, since
	// when, and how much has come since.
	partial, gained int
	since           time.Time

	beats     int // see beat
	firstBeat time.Time

	// Of an incoming connection; the last two are guarded by Transport.mu.
	number    uint64       // a later one has a higher number
	origin    netip.Prefix // where it comes from
	displaced bool         // closed, before it introduced itself, in favour of another
	welcome   bool         // it has introduced itself

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

// fill reads once, with a deadline if timeout is not 0. It is also as long as
// two timeouts from when a frame began, or gained its last 128 KiB: so bytes
// that trickle in do not keep a connection for ever, and what write sends in
// time is not too slow.
func (l *link) fill(timeout time.Duration) (int, error) {
	if timeout > 0 {
		now := time.Now()
		if l.partial == 0 || l.partial != l.reader.Buffered() || l.gained >= writeBytes {
			l.since, l.gained = now, 0
		}
		deadline := now.Add(timeout)
		if slow := l.since.Add(2 * timeout); slow.Before(deadline) {
			deadline = slow
		}
		if err := l.conn.SetReadDeadline(deadline); err != nil {
			return 0, err
		}
	}
	n, err := l.reader.Fill(l.conn)
	l.partial = l.reader.Buffered()
	l.gained += n
	if err == io.EOF && l.partial > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// beat is called for each sign of life, and fails when there are many more of
// them than anybody who keeps to the protocol sends: one for each AliveInterval
// at most, but those of half a minute may arrive together.
func (l *link) beat() error {
	now := time.Now()
	if l.beats == 0 {
		l.firstBeat = now
	}
	l.beats++
	if l.beats > 128+4*int(now.Sub(l.firstBeat)/wire.AliveInterval) {
		return &protocolError{"a flood of signs of life"}
	}
	return nil
}

// next returns the next frame, waiting for it at most timeout at a time, or
// with timeout 0 as long as the connection's deadline says.
func (l *link) next(timeout time.Duration) (wire.Frame, error) {
	for {
		f, ok, err := l.reader.Next()
		if ok && (f.Kind == wire.KindPing || f.Kind == wire.KindAlive) {
			err = l.beat()
		}
		if ok || err != nil {
			return f, err
		}
		if _, err := l.fill(timeout); err != nil {
			return wire.Frame{}, err
		}
	}
}

// isGarbage tells bytes that break the protocol from a connection that broke.
func isGarbage(err error) bool {
	var (
		frame     *wire.FrameError
		handshake *wire.HandshakeFormatError
		protocol  *protocolError
		record    tls.RecordHeaderError
	)
	return errors.As(err, &record) || errors.As(err, &frame) || errors.As(err, &handshake) || errors.As(err, &protocol)
}

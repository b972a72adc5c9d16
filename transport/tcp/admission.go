package tcp

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// accept takes connections until the listener is closed.
func (t *Transport) accept() {
	for {
		conn, err := t.listener.Accept()
		switch {
		case err == nil:
			t.admit(conn)
		case t.ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		default: // no file descriptors left, as a rule
			t.log.Warn("cannot accept connections", zap.Error(err))
			select {
			case <-t.ctx.Done():
			case <-time.After(minBackoff):
			}
		}
	}
}

// admit serves a connection in a goroutine of its own, or closes it if there
// are too many that have not introduced themselves.
func (t *Transport) admit(conn net.Conn) {
	l := newLink(conn)
	l.origin = originOf(conn.RemoteAddr())
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || !t.makeRoom(l.origin) {
		t.counters.turnedAway.Add(1)
		conn.Close()
		return
	}
	t.admitted++
	l.number = t.admitted
	t.incoming[l] = struct{}{}
	t.strangers = append(t.strangers, l)
	t.group.Go(func() {
		t.serve(l)
		l.close()
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.incoming, l)
		if l.welcome {
			t.welcomed--
		}
	})
}

// makeRoom sees to it that there is room for one more stranger: if need be in
// place of another, of the origin that has the most. So however many
// connections come from one place, one from elsewhere gets in. A node needs
// milliseconds to introduce itself, and the oldest goes first; so what is
// displaced is seldom a node. mu is held.
func (t *Transport) makeRoom(origin netip.Prefix) bool {
	if len(t.strangers) < t.opts.MaxHandshakes {
		return true
	}
	count := func(origin netip.Prefix) (n int) {
		for _, l := range t.strangers {
			if l.origin == origin {
				n++
			}
		}
		return n
	}
	oldest, most := -1, count(origin)
	for i, l := range t.strangers {
		if n := count(l.origin); n > most {
			oldest, most = i, n
		}
	}
	if oldest < 0 {
		return false
	}
	l := t.strangers[oldest]
	l.displaced = true
	l.close()
	t.strangers = slices.Delete(t.strangers, oldest, oldest+1)
	return true
}

// originOf returns what connections are counted by: an IPv4 address, or the
// first half of an IPv6 address, all of which one host may have. What else
// there is has one origin.
func originOf(addr net.Addr) netip.Prefix {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap()
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	prefix, _ := ip.WithZone("").Prefix(bits)
	return prefix
}

// takeConnectionSlot counts a connection that is about to be welcome, if there
// are not too many.
func (t *Transport) takeConnectionSlot(l *link) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.welcomed >= t.opts.MaxConnections {
		return false
	}
	t.welcomed++
	l.welcome = true
	return true
}

// noStranger says that the handshake of l has ended, and returns whether l was
// displaced before.
func (t *Transport) noStranger(l *link) (displaced bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.strangers, l); i >= 0 {
		t.strangers = slices.Delete(t.strangers, i, i+1)
	}
	return l.displaced
}

// serve is the whole life of an incoming connection.
func (t *Transport) serve(l *link) {
	hello, err := t.receive(l)
	displaced := t.noStranger(l)
	address := zap.Stringer("address", l.raw.RemoteAddr())
	if err != nil {
		t.countStranger(err, displaced)
		if more, ok := t.refusals.take(time.Now()); ok {
			t.log.Warn("refused a connection", address, zap.Error(err), zap.Int("unlogged", more))
		}
		return
	}
	t.counters.accepted.Add(1)
	from := zap.Uint64("peer", uint64(hello.From.Node))
	t.log.Debug("accepted a connection", from, address)
	if hello.Purpose == wire.ForSnapshot {
		err = t.receiveSnapshot(l, hello.From.Node)
	} else {
		err = t.receiveMessages(l, hello)
	}
	switch {
	case isGarbage(err):
		t.counters.garbage.Add(1)
	case errors.Is(err, os.ErrDeadlineExceeded):
		t.counters.timedOut.Add(1)
	case errors.Is(err, io.ErrUnexpectedEOF):
		t.counters.abandoned.Add(1)
	}
	if t.ctx.Err() == nil && err != nil && err != io.EOF {
		t.log.Warn("connection from peer ended", from, address, zap.Error(err))
	}
}

// logBudget keeps strangers from filling a disk with what is logged of them.
type logBudget struct {
	mu      sync.Mutex
	second  time.Time // when the current one began
	spent   int       // lines in it
	skipped int       // lines that were not logged since the last one that was
}

const refusalsPerSecond = 10

// take says whether one more line may be logged, and how many were not before.
func (b *logBudget) take(now time.Time) (skipped int, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.second) >= time.Second {
		b.second, b.spent = now, 0
	}
	if b.spent == refusalsPerSecond {
		b.skipped++
		return 0, false
	}
	b.spent++
	skipped, b.skipped = b.skipped, 0
	return skipped, true
}

// countStranger counts a connection that was never welcome.
func (t *Transport) countStranger(err error, displaced bool) {
	var refused *HandshakeError
	switch {
	case displaced:
		t.counters.turnedAway.Add(1)
	case errors.As(err, &refused):
		t.counters.refused.Add(1)
	case isGarbage(err), errors.Is(err, errTooManyBytes):
		t.counters.garbage.Add(1)
	case errors.Is(err, os.ErrDeadlineExceeded):
		t.counters.timedOut.Add(1)
	case t.ctx.Err() == nil:
		t.counters.abandoned.Add(1)
	}
}

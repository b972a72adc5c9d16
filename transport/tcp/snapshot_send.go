package tcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// SendSnapshot sends m, an InstallSnapshot whose Snapshot says how much data
// there is, and the data, on a connection of its own. It reads body, from the
// offset that the receiver asks for to Snapshot.Size, only while it runs.
//
// A connection that breaks after the two have accepted each other is made again, at the
// address that the peer has then, and the data goes on where the receiver says
// that it has stopped; body is sought there. This goes on as long as the
// receiver gets more from one connection to the next, or is without it for no
// longer than twice PeerTimeout, ConnectTimeout and MaxBackoff together. How
// fast the data goes is for body to say. At most Options.MaxSnapshots calls send
// at the same time; others wait for their turn.
//
// It returns nil when the receiver's Handler has accepted the snapshot. The
// error is a *SnapshotError when the receiver did not, a *HandshakeError when
// the nodes refused each other, ErrUnknownPeer, raft.ErrClosed when the
// transport is closed, ctx's error when that has ended, or says what else
// happened to the connection. In the last three cases the receiver may have
// accepted the snapshot all the same.
func (t *Transport) SendSnapshot(ctx context.Context, m raft.Message, body io.ReadSeeker) error {
	if m.Snapshot == nil {
		return fmt.Errorf("raft/tcp: %w: an InstallSnapshot without a Snapshot", raft.ErrMalformed)
	}
	if err := t.beginSnapshot(m.To); err != nil {
		return err
	}
	defer t.group.Done()

	sending, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	s := &snapshotSend{t: t, m: m, body: body, number: rand.Uint64()}
	err := s.run(sending)
	switch {
	case err == nil:
		t.counters.snapshotsSent.Add(1)
		return nil
	case ctx.Err() != nil:
		err = fmt.Errorf("raft/tcp: sending a snapshot to node %d: %w", m.To, context.Cause(ctx))
		if s.announced {
			t.group.Go(s.abandon)
		}
	case t.ctx.Err() != nil:
		err = raft.ErrClosed
	}
	t.counters.snapshotsFailed.Add(1)
	t.log.Warn("snapshot not sent", zap.Uint64("peer", uint64(m.To)), zap.Uint64("index", uint64(m.Snapshot.Index)), zap.Error(err))
	return err
}

// beginSnapshot lets Close wait for the caller, unless it cannot succeed.
func (t *Transport) beginSnapshot(to raft.NodeID) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return raft.ErrClosed
	case t.peers[to] == nil || !t.started:
		return unknownPeer(to)
	}
	t.group.Add(1)
	return nil
}

func unknownPeer(id raft.NodeID) error {
	return fmt.Errorf("raft/tcp: node %d: %w", id, ErrUnknownPeer)
}

// peer returns the peer of that id as it is known now, nil if it is not.
func (t *Transport) peer(id raft.NodeID) *peer {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.peers[id]
}

// snapshotSend is one call of SendSnapshot.
type snapshotSend struct {
	t      *Transport
	m      raft.Message
	body   io.ReadSeeker
	number uint64 // names the transfer among all of this node

	reached   bool   // the receiver has been, once
	announced bool   // it may have heard of the snapshot
	begun     bool   // it has stated an offset
	arrived   uint64 // what the receiver has, as far as it has said
	gained    bool   // it has said more than before, since the last connection broke
}

// run makes connections until one of them brings the result.
func (s *snapshotSend) run(ctx context.Context) error {
	select {
	case s.t.sending <- struct{}{}:
		defer func() { <-s.t.sending }()
	case <-ctx.Done():
		return ctx.Err()
	}
	pause := backoff{max: s.t.opts.MaxBackoff}
	var since time.Time // of the first connection that broke without a gain
	for {
		err := s.attempt(ctx)
		if err == nil || ctx.Err() != nil || !s.mayResume(err) {
			return err
		}
		if now := time.Now(); s.gained || since.IsZero() {
			s.gained, since = false, now
			pause.reset()
		} else if now.Sub(since) > s.t.opts.resumeTime() {
			return fmt.Errorf("raft/tcp: a snapshot could not be resumed for %v: %w", now.Sub(since), err)
		}
		timer := time.NewTimer(pause.pause())
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// errPeerChanged ends an attempt at an address that is not the peer's any more.
var errPeerChanged = errors.New("raft/tcp: the peer's address has changed")

// mayResume tells a connection that broke from an answer, and from a receiver
// that could not be reached in the first place.
func (s *snapshotSend) mayResume(err error) bool {
	var (
		refused   *SnapshotError
		handshake *HandshakeError
		broken    *bodyError
		protocol  *protocolError
	)
	switch {
	case errors.Is(err, errPeerChanged):
		return true
	case !s.reached, errors.As(err, &refused), errors.As(err, &broken), errors.As(err, &protocol), errors.Is(err, ErrUnknownPeer):
		return false
	case errors.As(err, &handshake):
		return errors.Is(err, ErrTooMany)
	}
	return true
}

// attempt is one connection. nil means that the receiver has accepted.
func (s *snapshotSend) attempt(ctx context.Context) error {
	p := s.t.peer(s.m.To)
	if p == nil {
		return unknownPeer(s.m.To)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	l, release, err := s.t.dial(ctx, p.id, p.address, wire.ForSnapshot)
	if err == nil {
		s.reached = true
		err = s.converse(l)
		release()
	}
	if err != nil && p.ctx.Err() != nil && s.t.ctx.Err() == nil {
		return errPeerChanged
	}
	return err
}

// abandon tells the receiver, which would wait for this side to come back, that
// it will not. It does so on a connection of its own: on the last one, whatever
// the caller's end has cut short may be on its way. That it fails does no harm.
func (s *snapshotSend) abandon() {
	p := s.t.peer(s.m.To)
	if p == nil {
		return
	}
	l, release, err := s.t.dial(p.ctx, p.id, p.address, wire.ForSnapshot)
	if err != nil {
		return
	}
	defer release()
	if l.write(wire.AppendAbort(s.announcement(), "cancelled"), s.t.opts.PeerTimeout) != nil {
		return
	}
	if _, ended, err := s.awaitOffset(l); ended || err != nil {
		return
	}
	_ = s.awaitResult(l) // what is closed with something unread may get lost
}

// announcement is what a connection begins with.
func (s *snapshotSend) announcement() []byte {
	return wire.AppendMessage(wire.AppendUint64(nil, wire.KindTransfer, s.number), &s.m)
}

// converse is the whole conversation on a connection.
func (s *snapshotSend) converse(l *link) error {
	s.announced = true
	if err := l.write(s.announcement(), s.t.opts.PeerTimeout); err != nil {
		return err
	}
	offset, ended, err := s.awaitOffset(l)
	if ended || err != nil {
		return err
	}
	// The result may come before all is sent, and ends the sending then. The
	// receiver says all the time that it is alive; so while it is, it may
	// take the data, and its time afterwards, as slowly as it likes.
	l.raw.SetWriteDeadline(time.Time{})
	result := make(chan error, 1)
	go func() {
		result <- s.awaitResult(l)
		l.raw.SetWriteDeadline(time.Unix(1, 0))
	}()
	err = s.copyFrom(l, offset)
	var broken *bodyError
	if errors.As(err, &broken) {
		l.write(wire.AppendAbort(nil, broken.Error()), s.t.opts.PeerTimeout)
		l.close()
		<-result
		return err
	}
	return <-result // if the connection broke, it says so, too
}

// awaitOffset waits until the receiver says where to start, or has ended the
// conversation: then err is the result.
func (s *snapshotSend) awaitOffset(l *link) (offset uint64, ended bool, err error) {
	for {
		f, err := l.next(s.t.opts.PeerTimeout)
		if err != nil {
			return 0, false, err
		}
		switch f.Kind {
		case wire.KindAlive:
		case wire.KindResult:
			return 0, true, snapshotResult(f, s.m.To)
		case wire.KindOffset:
			offset, err := wire.Uint64(f.Payload)
			switch {
			case err != nil:
				return 0, false, err
			case offset > s.m.Snapshot.Size:
				return 0, false, &protocolError{"an offset beyond the snapshot's end"}
			}
			if s.begun {
				s.t.counters.snapshotsResumed.Add(1)
				s.t.log.Info("snapshot resumed", zap.Uint64("peer", uint64(s.m.To)), zap.Uint64("offset", offset))
			}
			s.begun = true
			s.arrived = min(s.arrived, offset) // a receiver that has restarted begins anew
			s.heard(offset)
			return offset, false, nil
		default:
			return 0, false, &protocolError{fmt.Sprintf("frame of kind %d where an offset is expected", f.Kind)}
		}
	}
}

// heard takes the receiver's word for how much has arrived.
func (s *snapshotSend) heard(arrived uint64) {
	if arrived > s.arrived {
		s.arrived, s.gained = arrived, true
	}
}

// awaitResult waits for the receiver's last word.
func (s *snapshotSend) awaitResult(l *link) error {
	for {
		f, err := l.next(s.t.opts.PeerTimeout)
		if err != nil {
			return err
		}
		switch f.Kind {
		case wire.KindAlive:
			arrived, err := wire.Uint64(f.Payload)
			if err != nil {
				return err
			}
			s.heard(arrived)
		case wire.KindResult:
			return snapshotResult(f, s.m.To)
		default:
			return &protocolError{fmt.Sprintf("frame of kind %d where a result is expected", f.Kind)}
		}
	}
}

func snapshotResult(f wire.Frame, to raft.NodeID) error {
	r, err := wire.ParseResult(f.Payload)
	if err != nil {
		return err
	}
	if r.Accepted {
		return nil
	}
	return &SnapshotError{Peer: to, Busy: r.Busy, Reason: r.Reason}
}

// bodyError says that the snapshot could not be read here.
type bodyError struct {
	err error
}

func (e *bodyError) Error() string { return fmt.Sprintf("raft/tcp: reading the snapshot: %v", e.err) }

func (e *bodyError) Unwrap() error { return e.err }

// copyFrom sends the data from offset on. A body that takes its time is not
// silence: until all is sent, something is written every PingInterval.
func (s *snapshotSend) copyFrom(l *link, offset uint64) error {
	if _, err := s.body.Seek(int64(offset), io.SeekStart); err != nil {
		return &bodyError{err}
	}
	w := &pingedWriter{conn: l.conn, turn: make(chan struct{}, 1)}
	copied, pinged := make(chan struct{}), make(chan struct{})
	go func() {
		w.ping(copied)
		close(pinged)
	}()
	err := copySnapshot(w, s.body, s.m.Snapshot.Size-offset)
	close(copied)
	if err != nil {
		l.raw.SetWriteDeadline(time.Now().Add(s.t.opts.PeerTimeout)) // for the ping that may be under way
	}
	<-pinged
	return err
}

// pingedWriter writes frames to a connection, and pings while none comes.
type pingedWriter struct {
	conn io.Writer
	turn chan struct{} // held by the one that writes
}

func (w *pingedWriter) Write(frame []byte) (int, error) {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	return w.conn.Write(frame)
}

// ping pings until done is closed, unless something is being written.
func (w *pingedWriter) ping(done <-chan struct{}) {
	tick := time.NewTicker(wire.PingInterval)
	defer tick.Stop()
	frame := wire.AppendFrame(nil, wire.KindPing, nil)
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		select {
		case w.turn <- struct{}{}:
			w.conn.Write(frame) // who writes next hears of an error
			<-w.turn
		default:
		}
	}
}

// copySnapshot sends size bytes of body in chunks, and that this was all.
func copySnapshot(w io.Writer, body io.Reader, size uint64) error {
	buf := make([]byte, 0, wire.HeaderBytes+min(wire.MaxChunkBytes, size))
	for size > 0 {
		n := min(wire.MaxChunkBytes, size)
		frame := wire.Begin(buf[:0])[:wire.HeaderBytes+n]
		if _, err := io.ReadFull(body, frame[wire.HeaderBytes:]); err != nil {
			return &bodyError{err}
		}
		wire.Finish(frame, 0, wire.KindChunk)
		if _, err := w.Write(frame); err != nil {
			return err
		}
		size -= n
	}
	_, err := w.Write(wire.AppendFrame(nil, wire.KindEnd, nil))
	return err
}

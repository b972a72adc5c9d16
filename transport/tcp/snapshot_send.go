package tcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// SendSnapshot sends m, an InstallSnapshot whose Snapshot says how much data
// there is, and the data, on a connection of its own. It reads body, from the
// offset that the receiver asks for to Snapshot.Size, only while it runs.
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
	address, err := t.beginSnapshot(m.To)
	if err != nil {
		return err
	}
	defer t.group.Done()

	sending, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.ctx, cancel)()
	err = t.sendSnapshot(sending, m, body, address)
	switch {
	case err == nil:
		t.counters.snapshotsSent.Add(1)
		return nil
	case ctx.Err() != nil:
		err = fmt.Errorf("raft/tcp: sending a snapshot to node %d: %w", m.To, context.Cause(ctx))
	case t.ctx.Err() != nil:
		err = raft.ErrClosed
	}
	t.counters.snapshotsFailed.Add(1)
	t.log.Warn("snapshot not sent", zap.Uint64("peer", uint64(m.To)), zap.Uint64("index", uint64(m.Snapshot.Index)), zap.Error(err))
	return err
}

// beginSnapshot returns the peer's address, and lets Close wait for the caller.
func (t *Transport) beginSnapshot(to raft.NodeID) (address string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peers[to]
	switch {
	case t.closed:
		return "", raft.ErrClosed
	case p == nil || !t.started:
		return "", fmt.Errorf("raft/tcp: node %d: %w", to, ErrUnknownPeer)
	}
	t.group.Add(1)
	return p.address, nil
}

// sendSnapshot is the whole conversation.
func (t *Transport) sendSnapshot(ctx context.Context, m raft.Message, body io.ReadSeeker, address string) error {
	l, release, err := t.dial(ctx, m.To, address, wire.ForSnapshot)
	if err != nil {
		return err
	}
	defer release()
	if err := l.write(wire.AppendMessage(nil, &m), t.opts.PeerTimeout); err != nil {
		return err
	}
	offset, err := t.awaitOffset(l, m)
	if err != nil {
		return err
	}
	if _, err := body.Seek(int64(offset), io.SeekStart); err != nil {
		return fmt.Errorf("raft/tcp: reading the snapshot: %w", err)
	}

	// The deadline of what was said so far would end a transfer that takes
	// longer.
	if err := l.conn.SetWriteDeadline(time.Time{}); err != nil {
		return err
	}
	// The result may come before all is sent, and ends the sending then. The
	// receiver says all the time that it is alive; so while it is, it may
	// take the data, and its time afterwards, as slowly as it likes.
	result := make(chan error, 1)
	go func() {
		result <- t.awaitResult(l, m.To)
		l.raw.SetWriteDeadline(time.Unix(1, 0))
	}()
	err = copySnapshot(l, body, m.Snapshot.Size-offset)
	var broken *bodyError
	if errors.As(err, &broken) {
		l.write(wire.AppendAbort(nil, broken.Error()), t.opts.PeerTimeout)
		l.close()
		<-result
		return err
	}
	return <-result // if the connection broke, it says so, too
}

// awaitOffset waits until the receiver says where to start, or refuses.
func (t *Transport) awaitOffset(l *link, m raft.Message) (uint64, error) {
	for {
		f, err := l.next(t.opts.PeerTimeout)
		if err != nil {
			return 0, err
		}
		switch f.Kind {
		case wire.KindAlive:
		case wire.KindResult:
			return 0, snapshotResult(f, m.To)
		case wire.KindOffset:
			offset, err := wire.Uint64(f.Payload)
			if err == nil && offset > m.Snapshot.Size {
				err = &protocolError{"an offset beyond the snapshot's end"}
			}
			return offset, err
		default:
			return 0, &protocolError{fmt.Sprintf("frame of kind %d where an offset is expected", f.Kind)}
		}
	}
}

// awaitResult waits for the receiver's last word.
func (t *Transport) awaitResult(l *link, to raft.NodeID) error {
	for {
		f, err := l.next(t.opts.PeerTimeout)
		if err != nil {
			return err
		}
		switch f.Kind {
		case wire.KindAlive:
		case wire.KindResult:
			return snapshotResult(f, to)
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

// copySnapshot sends size bytes of body in chunks, and that this was all.
func copySnapshot(l *link, body io.Reader, size uint64) error {
	buf := make([]byte, 0, wire.HeaderBytes+min(wire.MaxChunkBytes, size))
	for size > 0 {
		n := min(wire.MaxChunkBytes, size)
		frame := wire.Begin(buf[:0])[:wire.HeaderBytes+n]
		if _, err := io.ReadFull(body, frame[wire.HeaderBytes:]); err != nil {
			return &bodyError{err}
		}
		wire.Finish(frame, 0, wire.KindChunk)
		if _, err := l.conn.Write(frame); err != nil {
			return err
		}
		size -= n
	}
	_, err := l.conn.Write(wire.AppendFrame(nil, wire.KindEnd, nil))
	return err
}

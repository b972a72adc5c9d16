package tcp

import (
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// receiveSnapshot is the receiver's side of the conversation that SendSnapshot
// begins.
func (t *Transport) receiveSnapshot(l *link, from raft.NodeID) error {
	m, err := t.readInstallSnapshot(l, from)
	if err != nil {
		return err
	}
	if !t.takeSnapshotSlot() {
		return t.endSnapshot(l, wire.Result{Busy: true, Reason: "too many snapshots at once"})
	}
	result, err := t.takeSnapshot(l, m)
	t.releaseSnapshotSlot() // before the sender hears of it: the next one may come at once
	if err != nil {
		return err
	}
	return t.endSnapshot(l, result)
}

// takeSnapshot receives the data. An error means that there is nobody to give
// the result to.
func (t *Transport) takeSnapshot(l *link, m raft.Message) (wire.Result, error) {
	// Nothing of an earlier, broken transfer is kept yet: all is wanted.
	if err := l.write(wire.AppendUint64(nil, wire.KindOffset, 0), t.opts.PeerTimeout); err != nil {
		return wire.Result{}, err
	}
	l.reader.SetLimit(wire.MaxChunkBytes)
	body := &snapshotBody{link: l, timeout: t.opts.PeerTimeout, remaining: m.Snapshot.Size}
	err := t.deliverSnapshot(l, m, body)
	if err == nil && body.err != nil && body.err != io.EOF {
		err = body.err // accepted or not, it cannot have got all
	}
	if err != nil {
		t.counters.snapshotsFailed.Add(1)
		if isGarbage(body.err) {
			return wire.Result{}, body.err
		}
		t.log.Warn("snapshot not accepted", zap.Uint64("peer", uint64(m.From)), zap.Uint64("index", uint64(m.Snapshot.Index)), zap.Error(err))
		return wire.Result{Reason: err.Error()}, nil
	}
	t.counters.snapshotsReceived.Add(1)
	return wire.Result{Accepted: true}, nil
}

// readInstallSnapshot reads the message that a transfer begins with.
func (t *Transport) readInstallSnapshot(l *link, from raft.NodeID) (raft.Message, error) {
	f, err := l.next(t.opts.PeerTimeout)
	if err != nil {
		return raft.Message{}, err
	}
	if f.Kind != wire.KindMessage {
		return raft.Message{}, &protocolError{fmt.Sprintf("frame of kind %d where a snapshot begins", f.Kind)}
	}
	var batch wire.Batch
	if err := t.addMessage(&batch, f.Payload, from); err != nil {
		return raft.Message{}, err
	}
	m := batch.Messages()[0]
	if m.Snapshot == nil {
		return raft.Message{}, &protocolError{"a message without a snapshot where one begins"}
	}
	return m, nil
}

func (t *Transport) takeSnapshotSlot() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.snapshots >= t.opts.MaxSnapshots {
		return false
	}
	t.snapshots++
	return true
}

func (t *Transport) releaseSnapshotSlot() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.snapshots--
}

// deliverSnapshot has the Handler take the snapshot, and tells the sender
// meanwhile that this node is alive.
func (t *Transport) deliverSnapshot(l *link, m raft.Message, body *snapshotBody) error {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(wire.PingInterval)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				if l.write(wire.AppendUint64(nil, wire.KindAlive, body.read.Load()), t.opts.PeerTimeout) != nil {
					l.close()
					return
				}
			}
		}
	}()
	defer func() { close(done); <-ended }()
	return t.handler.DeliverSnapshot(m, body)
}

// endSnapshot says the last word, and waits for the sender to hang up: a
// connection that is closed with unread data in it may lose what was said.
func (t *Transport) endSnapshot(l *link, r wire.Result) error {
	if err := l.write(wire.AppendResult(nil, r), t.opts.PeerTimeout); err != nil {
		return err
	}
	l.conn.SetReadDeadline(time.Now().Add(t.opts.PeerTimeout))
	io.Copy(io.Discard, l.conn)
	return nil
}

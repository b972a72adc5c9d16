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
// begins, on one connection.
func (t *Transport) receiveSnapshot(l *link, from raft.NodeID) error {
	id, m, payload, err := t.readAnnouncement(l, from)
	if err != nil {
		return err
	}
	tr, result, err := t.joinTransfer(id, m, payload)
	switch {
	case err != nil:
		return err
	case result != nil:
		return t.endSnapshot(l, *result)
	}
	l.reader.SetLimit(wire.MaxChunkBytes)
	a, offset := tr.attach(l)
	if a == nil {
		return nil // a newer connection of the same transfer came first
	}
	if err := l.write(wire.AppendUint64(nil, wire.KindOffset, offset), t.opts.PeerTimeout); err != nil {
		return tr.lost(a, err)
	}
	return t.attend(tr, a)
}

// attend tells the sender that this node is alive, while the Handler takes the
// data, until there is a result or the connection breaks.
func (t *Transport) attend(tr *transfer, a *attachment) error {
	tick := time.NewTicker(wire.PingInterval)
	defer tick.Stop()
	for {
		select {
		case <-tr.ended:
			if tr.violation != nil {
				return tr.violation
			}
			return t.endSnapshot(a.link, tr.result)
		case err := <-a.broken:
			return err
		case <-t.ctx.Done():
			return nil
		case <-tick.C:
			if err := a.link.write(wire.AppendUint64(nil, wire.KindAlive, tr.has()), t.opts.PeerTimeout); err != nil {
				return tr.lost(a, err)
			}
		}
	}
}

// readAnnouncement reads what a transfer begins with: its number, and the
// message, which it returns encoded, too.
func (t *Transport) readAnnouncement(l *link, from raft.NodeID) (id transferID, m raft.Message, payload []byte, err error) {
	f, err := l.next(t.opts.PeerTimeout)
	if err != nil {
		return id, m, nil, err
	}
	if f.Kind != wire.KindTransfer {
		return id, m, nil, &protocolError{fmt.Sprintf("frame of kind %d where a transfer begins", f.Kind)}
	}
	id.from = from
	if id.number, err = wire.Uint64(f.Payload); err != nil {
		return id, m, nil, err
	}
	if f, err = l.next(t.opts.PeerTimeout); err != nil {
		return id, m, nil, err
	}
	if f.Kind != wire.KindMessage {
		return id, m, nil, &protocolError{fmt.Sprintf("frame of kind %d where a snapshot begins", f.Kind)}
	}
	var batch wire.Batch
	if err := t.addMessage(&batch, f.Payload, from); err != nil {
		return id, m, nil, err
	}
	m = batch.Messages()[0]
	if m.Snapshot == nil {
		return id, m, nil, &protocolError{"a message without a snapshot where one begins"}
	}
	return id, m, append([]byte(nil), f.Payload...), nil
}

// deliver has the Handler take the snapshot.
func (tr *transfer) deliver() {
	t := tr.t
	body := &snapshotBody{transfer: tr}
	err := t.handler.DeliverSnapshot(tr.message, body)
	if err == nil && body.err != nil && body.err != io.EOF {
		err = body.err // accepted or not, it cannot have got all
	}
	result := wire.Result{Accepted: true}
	if err == nil {
		t.counters.snapshotsReceived.Add(1)
	} else {
		result = wire.Result{Reason: err.Error()}
		t.counters.snapshotsFailed.Add(1)
		t.log.Warn("snapshot not accepted", zap.Uint64("peer", uint64(tr.id.from)), zap.Uint64("index", uint64(tr.message.Snapshot.Index)), zap.Error(err))
	}
	if isGarbage(body.err) {
		tr.violation = body.err
	}
	tr.end(result)
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

package raft

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// What the executor does about snapshots outside the lock; replica_snapshots.go holds
// the rules.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// restore replaces the machine's state by the newest snapshot, and returns
// which that is.
func (x *executor) restore() (Snapshot, error) {
	s, body, err := x.cfg.Storage.OpenSnapshot()
	if err != nil {
		return s, err
	}
	defer body.Close()
	return s, x.machine.restore(body)
}

// snapshotWrite writes a captured state into the storage, and then says so.
type snapshotWrite struct {
	x      *executor
	meta   Snapshot
	source io.WriterTo
	done   bool
	err    error
}

func (w *snapshotWrite) step() bool {
	x := w.x
	if !w.done {
		w.done = true
		w.err = x.storeSnapshot(w.meta, func(to io.Writer) error {
			_, err := w.source.WriteTo(&pacedWriter{x, to})
			return err
		})
		closeCaptured(w.source)
		return true
	}
	x.mu.Lock()
	x.working--
	x.snapshotTaken(w.meta, w.err)
	x.unlock()
	return false
}

// closeCaptured releases a captured state, if there is something to release.
func closeCaptured(source io.WriterTo) {
	if c, ok := source.(io.Closer); ok {
		c.Close()
	}
}

// snapshotTaken says how taking a snapshot ended. mu is held.
func (x *executor) snapshotTaken(meta Snapshot, err error) {
	x.replica.snapshotTaken(x.now(), meta, err)
}

// storeSnapshot creates a snapshot in the storage, has its data written and
// commits it.
func (x *executor) storeSnapshot(meta Snapshot, write func(io.Writer) error) error {
	w, err := x.cfg.Storage.CreateSnapshot(meta)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := write(&boundWriter{x.ctx, w}); err != nil {
		return err
	}
	return w.Commit()
}

// boundWriter fails when its context has ended, so that a long snapshot does
// not hold up Close.
type boundWriter struct {
	ctx context.Context
	w   io.Writer
}

func (b *boundWriter) Write(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.w.Write(p)
}

// sends are the snapshots that are being sent, and those that wait for that.
type sends struct {
	under   int
	waiting []SendSnapshot
	stored  bool // also of a DurableStateMachine: its captures cannot be written twice
}

// nextSends takes from those that wait what is to be sent now, which is not what
// this replica has asked for as the leader of an earlier term. It returns those
// that are sent from the storage; the state of a DurableStateMachine is captured
// for the others. mu is held.
func (x *executor) nextSends() (next []SendSnapshot) {
	q := &x.sends
	for len(q.waiting) > 0 && q.under < x.cfg.MaxSnapshotSends {
		s := q.waiting[0]
		switch {
		case s.Message.Term != x.replica.core.Term():
		case x.machine.durable() && !q.stored:
			q.under++
			x.replica.captureToSend(s.Message)
		default:
			q.under++
			x.working++
			next = append(next, s)
		}
		q.waiting = slices.Delete(q.waiting, 0, 1)
	}
	return next
}

// sendSnapshot sends the newest snapshot to a peer.
func (x *executor) sendSnapshot(m Message) {
	s, body, err := x.cfg.Storage.OpenSnapshot()
	if err != nil {
		x.snapshotSent(m.To, s.Index, err)
		return
	}
	m.Snapshot = &s
	x.env.sendSnapshot(x, m, &pacedReader{x, body}, func(err error) {
		body.Close()
		x.snapshotSent(m.To, s.Index, err)
	})
}

func (x *executor) snapshotSent(to NodeID, index Index, err error) {
	x.mu.Lock()
	x.working--
	x.sends.under--
	x.replica.snapshotSent(x.now(), to, index, err)
	x.unlock()
}

// DeliverSnapshot receives a snapshot, on the transport's goroutine.
func (x *executor) DeliverSnapshot(m Message, body io.Reader) error {
	if wanted, err := x.beginReceive(&m); !wanted {
		return err
	}
	return x.endReceive(&m, x.receive(&m, body))
}

// beginReceive says whether the data that m announces is wanted: then receive
// and endReceive follow. If not, err is what to tell the sender.
func (x *executor) beginReceive(m *Message) (wanted bool, err error) {
	x.mu.Lock()
	wanted, err = x.replica.beginReceive(x.now(), m)
	if wanted {
		x.working++
	}
	x.unlock()
	return wanted, err
}

// receive stores the data.
func (x *executor) receive(m *Message, body io.Reader) error {
	return x.storeSnapshot(*m.Snapshot, func(w io.Writer) error { return copySnapshot(w, body, m.Snapshot) })
}

// endReceive returns what to tell the sender.
func (x *executor) endReceive(m *Message, err error) error {
	x.mu.Lock()
	x.working--
	err = x.replica.endReceive(x.now(), m, err)
	x.unlock()
	return err
}

// copySnapshot copies the data of a snapshot, and checks it.
func copySnapshot(w io.Writer, body io.Reader, s *Snapshot) error {
	sum := crc32.New(castagnoli)
	n, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(body, int64(min(s.Size, 1<<62))+1))
	switch {
	case err != nil:
		return err
	case uint64(n) != s.Size:
		return fmt.Errorf("raft: got %d bytes, or more, of a snapshot of %d", n, s.Size)
	case sum.Sum32() != s.Checksum:
		return fmt.Errorf("raft: got a snapshot with checksum %08x instead of %08x", sum.Sum32(), s.Checksum)
	}
	return nil
}

package raft

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"

	"go.uber.org/zap"
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

// writeSnapshot writes a captured state into the storage.
func (x *executor) writeSnapshot(meta Snapshot, source io.WriterTo) {
	err := x.storeSnapshot(meta, func(w io.Writer) error {
		_, err := source.WriteTo(w)
		return err
	})
	if c, ok := source.(io.Closer); ok {
		c.Close()
	}
	x.mu.Lock()
	x.working--
	if err != nil {
		x.snapshotFailed(meta, err)
	}
	x.replica.snapshotTaken(x.now(), meta, err)
	x.unlock()
}

func (x *executor) snapshotFailed(meta Snapshot, err error) {
	x.log.Error("no snapshot taken", zap.Uint64("index", uint64(meta.Index)), zap.Error(err))
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

// sendSnapshot sends the newest snapshot to a peer.
func (x *executor) sendSnapshot(m Message) {
	s, body, err := x.cfg.Storage.OpenSnapshot()
	if err == nil {
		m.Snapshot = &s
		err = x.cfg.Transport.SendSnapshot(x.ctx, m, body)
		body.Close()
	}
	x.mu.Lock()
	x.working--
	if err != nil && x.replica.ended == nil {
		x.log.Warn("snapshot not sent", zap.Uint64("to", uint64(m.To)), zap.Uint64("index", uint64(s.Index)), zap.Error(err))
	}
	x.replica.snapshotSent(x.now(), m.To, s.Index, err)
	x.unlock()
}

// DeliverSnapshot receives a snapshot, on the transport's goroutine.
func (x *executor) DeliverSnapshot(m Message, body io.Reader) error {
	x.mu.Lock()
	wanted, err := x.replica.beginReceive(x.now(), &m)
	if wanted {
		x.working++
	}
	x.unlock()
	if !wanted {
		return err
	}
	err = x.storeSnapshot(*m.Snapshot, func(w io.Writer) error { return copySnapshot(w, body, m.Snapshot) })
	x.mu.Lock()
	x.working--
	err = x.replica.endReceive(x.now(), &m, err)
	x.unlock()
	return err
}

// copySnapshot copies the data of a received snapshot, and checks it.
func copySnapshot(w io.Writer, body io.Reader, s *Snapshot) error {
	sum := crc32.New(castagnoli)
	n, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(body, int64(min(s.Size, 1<<62))+1))
	switch {
	case err != nil:
		return err
	case uint64(n) != s.Size:
		return fmt.Errorf("raft: received %d bytes, or more, of a snapshot of %d", n, s.Size)
	case sum.Sum32() != s.Checksum:
		return fmt.Errorf("raft: received a snapshot with checksum %08x instead of %08x", sum.Sum32(), s.Checksum)
	}
	return nil
}

package transporttest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/transporttest"
)

var snapshotFaults = []fault{
	{what: "refuses an empty one", finds: "Snapshot", wrap: wrongIn(func(w *wrong) {
		w.snapshot = func(ctx context.Context, m raft.Message, body io.ReadSeeker) error {
			if m.Snapshot != nil && m.Snapshot.Size == 0 {
				return errors.New("empty")
			}
			return w.Transport.SendSnapshot(ctx, m, body)
		}
	})},
	{what: "begins where the body stands", finds: "Snapshot", wrap: wrongBody(func(b *body) {
		b.seek = func(int64, int) (int64, error) { return 0, nil }
	})},
	{what: "loses a field of the message", finds: "Snapshot", wrap: wrongIn(func(w *wrong) {
		w.snapshot = func(ctx context.Context, m raft.Message, body io.ReadSeeker) error {
			m.Unmark = 0
			return w.Transport.SendSnapshot(ctx, m, body)
		}
	})},
	{what: "changes a byte", finds: "Snapshot", wrap: wrongBody(func(b *body) {
		at := 0
		b.read = func(p []byte) (int, error) {
			n, err := b.ReadSeeker.Read(p)
			if i := 70_000 - at; i >= 0 && i < n {
				p[i] ^= 1
			}
			at += n
			return n, err
		}
	})},
	{what: "sends one without a Snapshot", finds: "Snapshot", wrap: wrongIn(func(w *wrong) {
		w.snapshot = func(ctx context.Context, m raft.Message, body io.ReadSeeker) error {
			if m.Snapshot == nil {
				return nil
			}
			return w.Transport.SendSnapshot(ctx, m, body)
		}
	})},

	{what: "accepted when it was sent", finds: "SnapshotAnswer", wrap: wrongIn(func(w *wrong) {
		w.snapshot = func(ctx context.Context, m raft.Message, inner io.ReadSeeker) error {
			sent, left := make(chan struct{}), int(m.Snapshot.Size)
			var once sync.Once
			b := &body{ReadSeeker: inner}
			b.read = func(p []byte) (int, error) {
				n, err := inner.Read(p)
				if left -= n; left <= 0 {
					once.Do(func() { close(sent) })
				}
				return n, err
			}
			result := make(chan error, 1)
			go func() { result <- w.Transport.SendSnapshot(ctx, m, b) }()
			select {
			case <-sent:
				return nil
			case err := <-result:
				return err
			}
		}
	})},
	{what: "gives no reason", finds: "SnapshotAnswer", wrap: wrongIn(func(w *wrong) {
		w.snapshot = func(ctx context.Context, m raft.Message, body io.ReadSeeker) error {
			if w.Transport.SendSnapshot(ctx, m, body) != nil {
				return errors.New("refused")
			}
			return nil
		}
	})},
	{what: "all must be read", finds: "SnapshotAnswer", wrap: wrongHandler(func(h *handler) {
		h.snapshot = func(m raft.Message, body io.Reader) error {
			err := h.Handler.DeliverSnapshot(m, body)
			if n, _ := io.Copy(io.Discard, body); err == nil && n > 0 {
				return errors.New("not all was read")
			}
			return err
		}
	})},

	{what: "fills up what is missing", finds: "SnapshotSize", wrap: wrongBody(func(b *body) {
		b.read = func(p []byte) (int, error) {
			n, err := b.ReadSeeker.Read(p)
			if err == io.EOF {
				clear(p)
				return len(p), nil
			}
			return n, err
		}
	})},
	{what: "ends where the body ends", finds: "SnapshotSize", wrap: wrongHandler(func(h *handler) {
		h.snapshot = func(m raft.Message, r io.Reader) error {
			return h.Handler.DeliverSnapshot(m, endsAtErrors{r})
		}
	})},
	{what: "delivers more than was announced", finds: "SnapshotSize", wrap: wrongHandler(func(h *handler) {
		h.snapshot = func(m raft.Message, r io.Reader) error {
			return h.Handler.DeliverSnapshot(m, io.MultiReader(r, bytes.NewReader([]byte("more"))))
		}
	})},

	{what: "ends where the body breaks", finds: "SnapshotBody", wrap: wrongHandler(func(h *handler) {
		h.snapshot = func(m raft.Message, r io.Reader) error {
			return h.Handler.DeliverSnapshot(m, endsAtErrors{r})
		}
	})},
	{what: "overlooks that it cannot seek", finds: "SnapshotBody", wrap: wrongBody(func(b *body) {
		b.seek = func(offset int64, whence int) (int64, error) {
			b.ReadSeeker.Seek(offset, whence)
			return offset, nil
		}
	})},

	{what: "has no context", finds: "SnapshotCancel", wrap: wrongIn(func(w *wrong) {
		w.snapshot = func(_ context.Context, m raft.Message, body io.ReadSeeker) error {
			return w.Transport.SendSnapshot(context.Background(), m, body)
		}
	})},
	{what: "goes on after it was cancelled", finds: "SnapshotCancel", wrap: wrongIn(func(w *wrong) {
		w.snapshot = func(ctx context.Context, m raft.Message, body io.ReadSeeker) error {
			result := make(chan error, 1)
			go func() { result <- w.Transport.SendSnapshot(context.Background(), m, body) }()
			select {
			case <-ctx.Done():
				return ctx.Err()
			case err := <-result:
				return err
			}
		}
	})},

	{what: "waits until somebody is there", finds: "SnapshotNobody", wrap: wrongIn(func(w *wrong) {
		w.snapshot = func(ctx context.Context, m raft.Message, body io.ReadSeeker) error {
			for {
				err := w.Transport.SendSnapshot(ctx, m, body)
				if err == nil || errors.Is(err, raft.ErrClosed) {
					return err
				}
			}
		}
	})},

	{what: "Close waits for snapshots", finds: "SnapshotClose", wrap: func(n *network, inner raft.Transport) raft.Transport {
		var group sync.WaitGroup
		w := &wrong{Transport: inner}
		n.t.Cleanup(func() { inner.Close() })
		w.snapshot = func(ctx context.Context, m raft.Message, body io.ReadSeeker) error {
			group.Add(1)
			defer group.Done()
			return inner.SendSnapshot(ctx, m, body)
		}
		w.close = func() error {
			group.Wait()
			return inner.Close()
		}
		return w
	}},

	{what: "one after the other", finds: "SnapshotConcurrent", wrap: wrongIn(func(w *wrong) {
		var mu sync.Mutex
		w.snapshot = func(ctx context.Context, m raft.Message, body io.ReadSeeker) error {
			mu.Lock()
			defer mu.Unlock()
			return w.Transport.SendSnapshot(ctx, m, body)
		}
	})},

	{what: "waits no longer than for a silent peer", finds: "SnapshotSlow", wrap: wrongIn(func(w *wrong) {
		w.snapshot = func(ctx context.Context, m raft.Message, body io.ReadSeeker) error {
			ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			defer cancel()
			return w.Transport.SendSnapshot(ctx, m, body)
		}
	}), promise: func(o *transporttest.Options) { o.Silence, o.Patience = 100*time.Millisecond, 10*time.Second }},

	{what: "has all of it in memory", finds: "SnapshotLarge", wrap: wrongIn(func(w *wrong) {
		w.snapshot = func(ctx context.Context, m raft.Message, body io.ReadSeeker) error {
			all, err := io.ReadAll(body)
			if err != nil {
				return err
			}
			return w.Transport.SendSnapshot(ctx, m, bytes.NewReader(all))
		}
	})},
}

// endsAtErrors takes every error for the end.
type endsAtErrors struct{ io.Reader }

func (r endsAtErrors) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil {
		err = io.EOF
	}
	return n, err
}

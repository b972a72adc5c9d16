package raft

import (
	"io"
	"sync"
	"time"
)

// pace lets the data of snapshots through at Config.SnapshotRate, over all that
// are written or sent at once.
type pace struct {
	mu   sync.Mutex
	free Instant // when all that was let through has had its time
}

// pieceBytes is how much goes at once.
const pieceBytes = 64 << 10

// take returns how long n bytes more have to wait, at rate bytes a second.
func (p *pace) take(now Instant, n int, rate int64) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = max(p.free, now)
	wait := time.Duration(p.free - now)
	p.free = p.free.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
	return wait
}

// let waits until n bytes more may go, or until the replica has ended.
func (x *executor) let(n int) error {
	if rate := x.cfg.SnapshotRate; rate > 0 {
		x.env.wait(x.ctx, x.pace.take(x.now(), n, rate))
	}
	return x.ctx.Err()
}

// pacedWriter is where a snapshot is written to.
type pacedWriter struct {
	x *executor
	w io.Writer
}

func (p *pacedWriter) Write(b []byte) (written int, err error) {
	for len(b) > 0 {
		piece := b[:min(len(b), pieceBytes)]
		if err := p.x.let(len(piece)); err != nil {
			return written, err
		}
		n, err := p.w.Write(piece)
		written += n
		if err != nil {
			return written, err
		}
		b = b[n:]
	}
	return written, nil
}

// pacedReader is what a snapshot is sent from.
type pacedReader struct {
	x    *executor
	body io.ReadSeeker
}

func (p *pacedReader) Read(b []byte) (int, error) {
	n, err := p.body.Read(b[:min(len(b), pieceBytes)])
	if n > 0 {
		if ended := p.x.let(n); ended != nil {
			return 0, ended
		}
	}
	return n, err
}

func (p *pacedReader) Seek(offset int64, whence int) (int64, error) {
	return p.body.Seek(offset, whence)
}

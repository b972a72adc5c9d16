package transporttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
)

// transfer is a call of SendSnapshot.
type transfer struct {
	s      *suite
	from   *host
	letter *letter
	body   *content
	cancel context.CancelFunc

	// Guarded by s.mu.
	over bool
	err  error
}

// snapshotOf makes a message for a snapshot of some size, whose data follows
// from the message's context.
func (s *suite) snapshotOf(from *host, to raft.NodeID, size int64) raft.Message {
	m := s.message(from, to)
	m.Type = raftpb.InstallSnapshot
	m.Snapshot = &raft.Snapshot{
		Index: 10, Term: 1, Size: uint64(size),
		Membership: raft.Membership{Members: []raft.Member{{ID: 1, Address: "a:1", Voter: true}, {ID: 2, Address: "b:1"}}},
	}
	return m
}

// sendSnapshot calls SendSnapshot in a goroutine.
func (h *host) sendSnapshot(to raft.NodeID, size int64) *transfer {
	h.s.Helper()
	return h.sendBody(h.s.snapshotOf(h, to, size), nil)
}

// sendBody is sendSnapshot with a body that is not as it should be.
func (h *host) sendBody(m raft.Message, change func(*content)) *transfer {
	h.s.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t := &transfer{
		s: h.s, from: h, letter: h.s.register(h, &m), cancel: cancel,
		body: &content{s: h.s, seed: m.Context, size: int64(m.Snapshot.Size)},
	}
	t.letter.snapshot = true
	if change != nil {
		change(t.body)
	}
	go func() {
		defer cancel()
		err := h.transport.SendSnapshot(ctx, m, t.body)
		h.s.mu.Lock()
		defer h.s.mu.Unlock()
		t.over, t.err, t.body.over = true, err, true
		if err == nil && t.letter.delivered == 0 {
			h.s.violated("SendSnapshot returned nil before the receiver's Handler had accepted it: %s", t.letter.what)
		}
		h.s.happened()
	}()
	return t
}

// wait waits until SendSnapshot has returned.
func (t *transfer) wait() error {
	t.s.Helper()
	t.s.await("SendSnapshot returns: "+t.letter.what, func() bool { return t.over })
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	return t.err
}

// content is the data of a snapshot, as its sender reads it: a string of bytes
// that is never in memory as a whole. It is guarded by s.mu.
type content struct {
	s        *suite
	seed     uint64
	size, at int64
	started  bool
	over     bool  // SendSnapshot has returned
	seekErr  error // of Seek
	failAt   int64 // where Read fails
	readErr  error // with what; nil: nowhere
	consumed int64 // bytes read
}

func (c *content) Read(p []byte) (int, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.over {
		c.s.violated("a snapshot's body was read after SendSnapshot had returned")
	}
	c.started = true
	c.s.happened()
	end := c.size
	if c.readErr != nil {
		end = c.failAt
	}
	if c.at >= end {
		if c.readErr != nil {
			return 0, c.readErr
		}
		return 0, io.EOF
	}
	n := copy(p, pattern(c.seed, c.at, int(min(int64(len(p)), end-c.at))))
	c.at += int64(n)
	c.consumed += int64(n)
	return n, nil
}

func (c *content) Seek(offset int64, whence int) (int64, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += c.at
	case io.SeekEnd:
		offset += c.size
	}
	if c.seekErr != nil {
		return 0, c.seekErr
	}
	if offset < 0 {
		return 0, errors.New("a negative position")
	}
	c.at = offset
	return offset, nil
}

// judgedBody is a snapshot's data as a Handler reads it. Each byte is compared
// with what was sent.
type judgedBody struct {
	s       *suite
	message raft.Message
	body    io.Reader
	at      int64
}

func (b *judgedBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	size := int64(b.message.Snapshot.Size)
	switch {
	case n < 0 || n > len(p):
		b.violated("Read returned %d for a buffer of %d bytes", n, len(p))
		return 0, io.ErrUnexpectedEOF
	case b.at+int64(n) > size:
		b.violated("more than the %d bytes were delivered that were announced", size)
	case !bytes.Equal(p[:n], pattern(b.message.Context, b.at, n)):
		b.violated("wrong data was delivered, between byte %d and byte %d", b.at, b.at+int64(n))
	}
	b.at += int64(n)
	if err == io.EOF && b.at < size {
		b.violated("io.EOF after %d bytes of %d", b.at, size)
	}
	return n, err
}

func (b *judgedBody) violated(format string, args ...any) {
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	b.s.violated("%s: %s", fmt.Sprintf(format, args...), describe(&b.message))
}

// readAll is a Handler that accepts a snapshot.
func readAll(m raft.Message, body io.Reader) error {
	n, err := io.Copy(io.Discard, body)
	if err == nil && n != int64(m.Snapshot.Size) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// handles sets what h's Handler does with snapshots.
func (h *host) handles(handle func(raft.Message, io.Reader) error) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.onSnapshot = handle
}

// flag is something that happens once.
type flag struct {
	s  *suite
	up bool // guarded by s.mu
}

func (f *flag) raise() {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.up = true
	f.s.happened()
}

func (f *flag) await(what string) {
	f.s.Helper()
	f.s.await(what, func() bool { return f.up })
}

package raft

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The state of a DurableStateMachine is sent without a copy of it in the
// storage, or in memory: what was captured is written twice. The first time,
// nothing is kept but its size and checksum, which go ahead of it. The second
// time, it is made as the transport reads it.

var (
	errNotRepeatable = errors.New("raft: WriteTo of a captured state has not written the same again")
	errCutShort      = errors.New("raft: no more of the captured state is wanted")
)

// captured reports that the state has been captured for a taskSend, or why it
// has not, and returns what is to be done outside the lock. mu is held.
func (x *executor) captured(j *job) (after func()) {
	m := j.task.announcement
	if j.err != nil {
		x.sends.under--
		x.replica.snapshotSent(x.now(), m.To, j.task.snapshot.Index, j.err)
		return func() {}
	}
	x.working++
	s := &captureSend{x: x, message: *m, meta: j.task.snapshot, source: j.source}
	return func() { x.env.run(s.step) }
}

// captureSend measures a captured state, and then sends it.
type captureSend struct {
	x        *executor
	message  Message
	meta     Snapshot
	source   io.WriterTo
	measured bool
	err      error
}

func (s *captureSend) step() bool {
	x := s.x
	if !s.measured {
		s.measured = true
		var all digest
		s.err = x.writeCaptured(s.source, &all)
		s.meta.Size, s.meta.Checksum = all.size, all.sum
		return true
	}
	if s.err != nil {
		s.end(nil, s.err)
		return false
	}
	s.message.Snapshot = &s.meta
	body := &capturedBody{x: x, source: s.source, whole: digest{s.meta.Size, s.meta.Checksum}}
	x.env.sendSnapshot(x, s.message, body, func(err error) {
		body.cut()
		s.end(body.err, err)
	})
	return false
}

// end reports how the sending ended. broken is what was wrong with the data.
func (s *captureSend) end(broken, err error) {
	closeCaptured(s.source)
	if errors.Is(broken, errNotRepeatable) {
		s.x.mu.Lock()
		s.x.sends.stored = true
		s.x.mu.Unlock()
	}
	s.x.snapshotSent(s.message.To, s.meta.Index, err)
}

// writeCaptured has a captured state written, in pieces of at most pieceBytes,
// at the rate of snapshots.
func (x *executor) writeCaptured(source io.WriterTo, to io.Writer) error {
	out := bufio.NewWriterSize(&pacedWriter{x, to}, pieceBytes)
	if _, err := source.WriteTo(out); err != nil {
		return err
	}
	return out.Flush()
}

// digest is how much data there is, and its checksum.
type digest struct {
	size uint64
	sum  uint32
}

func (d *digest) Write(p []byte) (int, error) {
	d.size += uint64(len(p))
	d.sum = crc32.Update(d.sum, castagnoli, p)
	return len(p), nil
}

// capturedBody is the body of a snapshot: a run of WriteTo that goes on as far
// as it is read. To read from somewhere else begins another run, which skips
// what comes before. The last piece is not given away before the run has ended,
// and proved to be the same as the one that was measured.
type capturedBody struct {
	x      *executor
	source io.WriterTo
	whole  digest // of the run that was measured

	offset uint64 // of what is read next
	piece  []byte // what is read next, as far as it has been made
	err    error  // that all data from here on is lost to

	// The run, if next is not nil.
	next  func() ([]byte, bool)
	stop  func()
	made  digest // by this run
	ended error  // what it ended with
}

// Read implements io.Reader.
func (b *capturedBody) Read(p []byte) (int, error) {
	for len(b.piece) == 0 {
		switch {
		case b.err != nil:
			return 0, b.err
		case b.offset >= b.whole.size:
			return 0, io.EOF
		}
		b.piece, b.err = b.advance()
	}
	n := copy(p, b.piece)
	b.piece = b.piece[n:]
	b.offset += uint64(n)
	return n, nil
}

// Seek implements io.Seeker.
func (b *capturedBody) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += int64(b.offset)
	case io.SeekEnd:
		offset += int64(b.whole.size)
	default:
		return 0, fmt.Errorf("raft: seek in a snapshot: whence %d", whence)
	}
	if offset < 0 {
		return 0, fmt.Errorf("raft: seek in a snapshot: to %d", offset)
	}
	if uint64(offset) != b.offset {
		b.cut()
		b.offset = uint64(offset)
	}
	return offset, nil
}

// advance returns what the run makes next, none if that is to be skipped.
func (b *capturedBody) advance() ([]byte, error) {
	if b.next == nil {
		b.made, b.ended = digest{}, nil
		b.next, b.stop = b.x.env.pull(b.run)
	}
	at := b.made.size
	piece, ok := b.next()
	if !ok {
		b.next = nil
		if b.ended == nil {
			b.ended = errNotRepeatable // it is shorter
		}
		return nil, b.ended
	}
	b.made.Write(piece)
	if b.made.size >= b.whole.size {
		piece = append([]byte(nil), piece...) // the run goes on
		if err := b.finish(); err != nil {
			return nil, err
		}
	}
	return piece[min(b.offset-min(b.offset, at), uint64(len(piece))):], nil
}

// finish sees the run to its end: it has made as much as it should have.
func (b *capturedBody) finish() error {
	_, more := b.next()
	b.cut()
	switch {
	case b.ended != nil && !more:
		return b.ended
	case more || b.made != b.whole:
		return errNotRepeatable
	}
	return nil
}

// run is a run of WriteTo.
func (b *capturedBody) run(yield func([]byte) bool) {
	b.ended = b.x.writeCaptured(b.source, yielder(yield))
}

// cut ends the run that is under way, if any.
func (b *capturedBody) cut() {
	if b.next != nil {
		b.stop()
	}
	b.next, b.piece = nil, nil
}

// yielder writes to whom a run is pulled by.
type yielder func([]byte) bool

func (y yielder) Write(p []byte) (int, error) {
	if !y(p) {
		return 0, errCutShort
	}
	return len(p), nil
}

package session

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/seed-6281cb22/raft"
)

// A snapshot is the magic, which ends with the version of the format; the
// length of the head, and the head; the number of sessions; for each, in the
// order of their last use, the length of its record, and the record; and then,
// to the end, the snapshot of the state machine that is decorated. Equal states
// have equal snapshots.
const magic = "sessions\x01"

// head returns what the table holds beside the sessions: session time, and the
// limits in force.
func (t *table) head() []byte {
	return appendLimits(binary.AppendUvarint(nil, t.now), t.limits)
}

// decodeHead returns a table without sessions.
func decodeHead(b []byte) (*table, bool) {
	d := decoder{b: b}
	t := newTable()
	t.now, t.limits = d.number(maxNumber), d.limits()
	return t, !d.bad && len(d.b) == 0
}

// capture is a Machine's state as it was when it was captured.
type capture struct {
	head     []byte
	sessions iter.Seq[*session]
	inner    io.WriterTo
}

// WriteTo writes the snapshot.
func (c *capture) WriteTo(w io.Writer) (int64, error) {
	counter := &countingWriter{w: w}
	out := bufio.NewWriter(counter)
	out.WriteString(magic)
	writeRecord(out, c.head)
	sessions := slices.Collect(c.sessions)
	sortByUse(sessions)
	out.Write(binary.AppendUvarint(nil, uint64(len(sessions))))
	var b []byte
	for _, s := range sessions {
		b = s.append(b[:0])
		if err := writeRecord(out, b); err != nil {
			return counter.n, err
		}
	}
	if err := out.Flush(); err != nil {
		return counter.n, err
	}
	n, err := c.inner.WriteTo(w)
	return counter.n + n, err
}

// Close releases what the decorated state machine has captured.
func (c *capture) Close() error {
	if closer, ok := c.inner.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

func writeRecord(w *bufio.Writer, record []byte) error {
	w.Write(binary.AppendUvarint(nil, uint64(len(record))))
	_, err := w.Write(record) // after an error none succeeds
	return err
}

func sortByUse(sessions []*session) {
	slices.SortFunc(sessions, func(a, b *session) int { return cmp.Compare(a.last, b.last) })
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// readTable reads a table, and leaves what follows it.
func readTable(r *bufio.Reader) (*table, error) {
	var start [len(magic)]byte
	if _, err := io.ReadFull(r, start[:]); err != nil {
		return nil, truncated(err)
	}
	if string(start[:]) != magic {
		return nil, fmt.Errorf("%w: it begins with %q", ErrCorrupt, start[:])
	}
	b, err := readRecord(r)
	if err != nil {
		return nil, err
	}
	t, ok := decodeHead(b)
	if !ok {
		return nil, fmt.Errorf("%w: malformed head", ErrCorrupt)
	}
	n, err := readNumber(r)
	if err != nil {
		return nil, err
	}
	for ; n > 0; n-- {
		b, err := readRecord(r)
		if err != nil {
			return nil, err
		}
		s, ok := decodeSession(b)
		if !ok {
			return nil, fmt.Errorf("%w: malformed session", ErrCorrupt)
		}
		if err := t.load(s); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// load adds a session as the one that was used last, after checking that the
// table may hold it.
func (t *table) load(s *session) error {
	if len(t.places) >= t.limits.MaxSessions {
		return fmt.Errorf("%w: more than %d sessions", ErrCorrupt, t.limits.MaxSessions)
	}
	var lastUse raft.Index
	earliest := s.opened
	if newest := t.at(t.order.newest()); newest != nil {
		lastUse, earliest = newest.last, max(earliest, newest.used)
	}
	if _, there := t.places[s.id.Index]; there || s.last <= lastUse || s.used < earliest || s.used > t.now {
		return fmt.Errorf("%w: session %v contradicts others", ErrCorrupt, s.id)
	}
	t.add(s)
	return nil
}

// readRecord allocates no more than it reads.
func readRecord(r *bufio.Reader) ([]byte, error) {
	size, err := readNumber(r)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if _, err := io.CopyN(&b, r, int64(min(size, 1<<62))); err != nil {
		return nil, truncated(err)
	}
	return bytes.Clone(b.Bytes()), nil
}

// readNumber reads a varint.
func readNumber(r *bufio.Reader) (uint64, error) {
	var v uint64
	for shift := 0; shift < 63; shift += 7 {
		c, err := r.ReadByte()
		if err != nil {
			return 0, truncated(err)
		}
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v, nil
		}
	}
	return 0, fmt.Errorf("%w: a number is too large", ErrCorrupt)
}

// truncated makes the end of a snapshot in the middle of its table an
// ErrCorrupt, and leaves other errors as they are.
func truncated(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: it ends too early", ErrCorrupt)
	}
	return err
}

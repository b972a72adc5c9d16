package wire

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"time"
)

// Kind says what a frame holds.
type Kind uint8

// The kinds of frames. Numbers are never reused.
const (
	KindHello    Kind = 1  // see Hello
	KindWelcome  Kind = 2  // see Welcome
	KindMessage  Kind = 3  // one encoded raftpb.Message
	KindPing     Kind = 4  // the dialer is alive; empty
	KindAlive    Kind = 5  // the listener is alive; uint64: bytes that it has read from this connection
	KindOffset   Kind = 6  // uint64: where the snapshot's data is to start
	KindChunk    Kind = 7  // a piece of the snapshot's data, not empty
	KindEnd      Kind = 8  // all of the data has been sent; empty
	KindAbort    Kind = 9  // the sender of the snapshot gives up; the reason, as text
	KindResult   Kind = 10 // see Result
	KindTransfer Kind = 11 // uint64: a number that names a snapshot's transfer among those of the dialer
)

// Fixed parts of the protocol.
const (
	// HeaderBytes is the length of a frame's header.
	HeaderBytes = 12
	// MaxHandshakeBytes bounds the payload of a Hello and of a Welcome.
	MaxHandshakeBytes = 512
	// MaxControlBytes bounds the payloads that the listener sends, and all
	// that the dialer sends but messages and chunks.
	MaxControlBytes = 2048
	// MaxUrgentBytes bounds the payload of a KindMessage on a connection for
	// urgent messages. A message without entries and snapshot has no more
	// than a few hundred bytes.
	MaxUrgentBytes = 16 << 10
	// MaxChunkBytes bounds the payload of a KindChunk.
	MaxChunkBytes = 256 << 10
	// MaxSnapshotMessageBytes bounds the InstallSnapshot that a transfer
	// begins with: it holds a membership, but no data.
	MaxSnapshotMessageBytes = 1 << 20
	// PingInterval is how often the dialer of a connection for messages, and
	// the receiver of a snapshot, say something, at least.
	PingInterval = 500 * time.Millisecond
	// AliveInterval is the least time between two KindAlive frames on a
	// connection for messages.
	AliveInterval = 250 * time.Millisecond
)

// Buffer sizes of a Reader.
const (
	readerBytes     = 64 << 10 // to begin with, or as much as the limit allows, and again after a large frame
	readerKeptBytes = 1 << 20  // larger buffers are let go when they are empty
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Frame is a frame that has been read.
type Frame struct {
	Kind    Kind
	Payload []byte // valid until the Reader's next Fill
}

// FrameError says that the bytes of a connection are no frames, or one that
// is not allowed. Nothing that follows on the connection can be trusted.
type FrameError struct {
	Reason string
}

func (e *FrameError) Error() string { return "malformed frame: " + e.Reason }

// Begin appends room for a frame's header. The caller appends the payload
// and then calls Finish.
func Begin(b []byte) []byte {
	return append(b, make([]byte, HeaderBytes)...)
}

// Finish fills in the header, at start, of the frame that ends with b.
func Finish(b []byte, start int, kind Kind) {
	header, payload := b[start:start+HeaderBytes], b[start+HeaderBytes:]
	binary.LittleEndian.PutUint32(header, uint32(len(payload)))
	header[4] = byte(kind)
	header[5] = 0
	binary.LittleEndian.PutUint16(header[6:], headerCheck(header))
	binary.LittleEndian.PutUint32(header[8:], frameCRC(header, payload))
}

// AppendFrame appends a whole frame.
func AppendFrame(b []byte, kind Kind, payload []byte) []byte {
	start := len(b)
	b = append(Begin(b), payload...)
	Finish(b, start, kind)
	return b
}

// AppendUint64 appends a frame whose payload is one number.
func AppendUint64(b []byte, kind Kind, v uint64) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint64(Begin(b), v)
	Finish(b, start, kind)
	return b
}

// Uint64 returns the number that is a frame's payload.
func Uint64(payload []byte) (uint64, error) {
	if len(payload) != 8 {
		return 0, &FrameError{fmt.Sprintf("a number of %d bytes", len(payload))}
	}
	return binary.LittleEndian.Uint64(payload), nil
}

func headerCheck(header []byte) uint16 {
	return uint16(crc32.Update(0, castagnoli, header[:6]))
}

func frameCRC(header, payload []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, header[:8]), castagnoli, payload)
}

// Reader finds the frames in a stream of bytes. Fill reads once, and Next
// yields each frame that is complete, so that whoever reads can handle all
// that arrived together. It is not safe for concurrent use.
//
// Memory follows the bytes that have arrived, never a length that is merely
// claimed: at most twice as much, or 64 KiB, or, if that is less, the limit.
type Reader struct {
	buf        []byte
	start, end int // of the bytes read and not yet taken
	limit      int // of a payload
}

// NewReader returns a Reader that refuses payloads of more than limit bytes.
func NewReader(limit int) *Reader { return &Reader{limit: limit} }

// SetLimit changes the limit, for frames that Next has not yet looked at.
func (r *Reader) SetLimit(limit int) { r.limit = limit }

// Buffered returns the number of bytes that no frame has been made of yet.
// When the stream ends, it ends inside a frame if there are any.
func (r *Reader) Buffered() int { return r.end - r.start }

// Fill reads once from src, as much as there is room for, and returns the
// number of bytes. It invalidates the payloads of earlier frames. Call it
// when Next has no more.
func (r *Reader) Fill(src io.Reader) (int, error) {
	r.makeRoom()
	n, err := src.Read(r.buf[r.end:])
	r.end += n
	if n > 0 {
		err = nil // comes again with the next read
	}
	return n, err
}

// makeRoom sees to it that buf has room after end: by moving what is left to
// the front and, if that fills the buffer, by doubling it. A connection on
// which little comes keeps the small buffer that it had while the limit was low,
// until one read fills it.
func (r *Reader) makeRoom() {
	size := min(readerBytes, HeaderBytes+r.limit)
	left := r.end - r.start
	switch {
	case left == 0 && len(r.buf) > readerKeptBytes:
		r.resize(size)
	case len(r.buf) == 0:
		r.resize(size)
	case left == len(r.buf):
		r.resize(2 * left)
	case r.end == len(r.buf) && len(r.buf) < size:
		r.resize(size)
	default:
		copy(r.buf, r.buf[r.start:r.end])
	}
	r.start, r.end = 0, left
}

// resize moves what is left to the front of a new buffer.
func (r *Reader) resize(size int) {
	buf := make([]byte, size)
	copy(buf, r.buf[r.start:r.end])
	r.buf = buf
}

// Next returns the next complete frame, or ok false when there is none yet.
// The error is a *FrameError; it comes again with each later call.
func (r *Reader) Next() (f Frame, ok bool, err error) {
	f, n, err := Parse(r.buf[r.start:r.end], r.limit)
	r.start += n
	return f, n > 0, err
}

// Parse returns the frame that b starts with and its length, or length 0 when
// b does not hold all of it. The payload, of at most limit bytes, is a part of
// b. The error is a *FrameError.
func Parse(b []byte, limit int) (f Frame, n int, err error) {
	if len(b) < HeaderBytes {
		return Frame{}, 0, nil
	}
	header := b[:HeaderBytes]
	if headerCheck(header) != binary.LittleEndian.Uint16(header[6:]) {
		return Frame{}, 0, &FrameError{"wrong check of the header"}
	}
	length := binary.LittleEndian.Uint32(header)
	if uint64(length) > uint64(limit) {
		return Frame{}, 0, &FrameError{fmt.Sprintf("%d bytes, at most %d are allowed", length, limit)}
	}
	if header[5] != 0 {
		return Frame{}, 0, &FrameError{fmt.Sprintf("unknown flags %#x", header[5])}
	}
	total := HeaderBytes + int(length)
	if len(b) < total {
		return Frame{}, 0, nil
	}
	payload := b[HeaderBytes:total:total]
	if frameCRC(header, payload) != binary.LittleEndian.Uint32(header[8:]) {
		return Frame{}, 0, &FrameError{"wrong CRC"}
	}
	return Frame{Kind: Kind(header[4]), Payload: payload}, total, nil
}

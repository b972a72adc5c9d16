package tcp

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// errAborted is wrapped by the error of a body whose sender gave up.
var errAborted = errors.New("raft/tcp: the sender gave up")

// snapshotBody is the data of a snapshot as it arrives: exactly as many bytes
// as were announced, or an error.
type snapshotBody struct {
	link      *link
	timeout   time.Duration
	read      atomic.Uint64 // bytes, for others to see
	remaining uint64        // bytes that have not arrived yet
	chunk     []byte        // what has arrived and not been read
	err       error         // for good
}

// Read implements io.Reader. io.EOF means that all of it has arrived.
func (b *snapshotBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(b.chunk) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		b.err = b.advance()
	}
	n := copy(p, b.chunk)
	b.chunk = b.chunk[n:]
	b.read.Add(uint64(n))
	return n, nil
}

// advance takes the next frame.
func (b *snapshotBody) advance() error {
	f, err := b.link.next(b.timeout)
	if err == io.EOF {
		return io.ErrUnexpectedEOF // io.EOF is for the end of the data
	}
	if err != nil {
		return err
	}
	switch f.Kind {
	case wire.KindChunk:
		if n := uint64(len(f.Payload)); n == 0 || n > b.remaining {
			return &protocolError{fmt.Sprintf("chunk of %d bytes where %d remain", n, b.remaining)}
		}
		b.remaining -= uint64(len(f.Payload))
		b.chunk = f.Payload
		return nil
	case wire.KindEnd:
		if b.remaining > 0 {
			return &protocolError{fmt.Sprintf("the snapshot ends %d bytes early", b.remaining)}
		}
		return io.EOF
	case wire.KindAbort:
		return fmt.Errorf("%w: %s", errAborted, wire.Text(f.Payload))
	}
	return &protocolError{fmt.Sprintf("frame of kind %d in a snapshot", f.Kind)}
}

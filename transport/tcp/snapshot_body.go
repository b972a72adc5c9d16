package tcp

import (
	"errors"
	"fmt"
	"io"

	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// errAborted is wrapped by the error of a body whose sender gave up.
var errAborted = errors.New("raft/tcp: the sender gave up")

// snapshotBody is the data of a snapshot as it arrives: exactly as many bytes
// as were announced, or an error. Connections may come and go meanwhile.
type snapshotBody struct {
	transfer *transfer
	chunk    []byte // what has arrived and not been read
	err      error  // for good
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
		b.chunk, b.err = b.transfer.next()
	}
	n := copy(p, b.chunk)
	b.chunk = b.chunk[n:]
	return n, nil
}

// next takes the next frame, from whatever connection there is. The chunk is
// valid until the next call.
func (tr *transfer) next() (chunk []byte, err error) {
	for {
		a, err := tr.await()
		if err != nil {
			return nil, err
		}
		f, err := a.link.next(tr.t.opts.PeerTimeout)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF // io.EOF is for the end of the data
		}
		if err != nil {
			tr.detach(a, err)
			continue
		}
		if chunk, done, err := tr.take(a, f); done || err != nil || len(chunk) > 0 {
			if done {
				err = io.EOF
			}
			return chunk, err
		}
	}
}

// take takes a frame of connection a, unless another one has replaced it: then
// the frame's data comes again on that.
func (tr *transfer) take(a *attachment, f wire.Frame) (chunk []byte, done bool, err error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.current != a {
		return nil, false, nil
	}
	remaining := tr.message.Snapshot.Size - tr.arrived
	switch f.Kind {
	case wire.KindPing:
		return nil, false, nil
	case wire.KindChunk:
		n := uint64(len(f.Payload))
		if n == 0 || n > remaining {
			return nil, false, &protocolError{fmt.Sprintf("chunk of %d bytes where %d remain", n, remaining)}
		}
		tr.arrived += n
		return f.Payload, false, nil
	case wire.KindEnd:
		if remaining > 0 {
			return nil, false, &protocolError{fmt.Sprintf("the snapshot ends %d bytes early", remaining)}
		}
		return nil, true, nil
	case wire.KindAbort:
		return nil, false, fmt.Errorf("%w: %s", errAborted, wire.Text(f.Payload))
	}
	return nil, false, &protocolError{fmt.Sprintf("frame of kind %d in a snapshot", f.Kind)}
}

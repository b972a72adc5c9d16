package tcp

import (
	"sync"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// outbox gathers the encoded messages of one lane to a peer while its sender writes
// what gathered before: two buffers that change places. Neither side ever
// waits for the other but for the time of a copy.
type outbox struct {
	maxQueue, maxFrame int
	wake               chan struct{} // holds a token when there is something to take

	mu       sync.Mutex
	pending  []byte
	messages int // in pending
	writing  int // bytes taken and not yet released
	oversize int // length of a message that was too large, until somebody has logged it
}

func newOutbox(maxQueue, maxFrame int) *outbox {
	return &outbox{maxQueue: maxQueue, maxFrame: maxFrame, wake: make(chan struct{}, 1)}
}

// add queues messages and returns how many of them it had to drop.
func (o *outbox) add(messages []raft.Message) (dropped int) {
	o.mu.Lock()
	for i := range messages {
		size := messages[i].EncodedLen()
		queued := len(o.pending) + o.writing
		if size > o.maxFrame {
			o.oversize = size
			dropped++
			continue
		}
		if queued > 0 && queued+size+wire.HeaderBytes > o.maxQueue {
			dropped++
			continue
		}
		o.pending = wire.AppendMessage(o.pending, &messages[i])
		o.messages++
	}
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return dropped
}

// take returns what has gathered, and leaves spare to gather the next in.
func (o *outbox) take(spare []byte) (batch []byte, messages int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	batch, messages = o.pending, o.messages
	o.pending, o.messages, o.writing = spare[:0], 0, len(batch)
	return batch, messages
}

// release says that a taken batch is written, or lost, and returns its buffer
// to be used again if it is not too large to keep.
func (o *outbox) release(batch []byte) (spare []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writing = 0
	if cap(batch) > keptBufferBytes {
		return nil
	}
	return batch[:0]
}

// takeOversize returns the length of a message that was dropped because it was
// larger than a frame may be, 0 if there was none since it was last asked.
func (o *outbox) takeOversize() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	size := o.oversize
	o.oversize = 0
	return size
}

// trim lets go of a large buffer in which nothing gathers.
func (o *outbox) trim() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.pending) == 0 && cap(o.pending) > idleBufferBytes {
		o.pending = nil
	}
}

// discard drops what has gathered and returns how many messages that were.
func (o *outbox) discard() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.messages
	o.messages = 0
	if o.pending = o.pending[:0]; cap(o.pending) > keptBufferBytes {
		o.pending = nil
	}
	return n
}

func (o *outbox) queuedBytes() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.pending) + o.writing
}

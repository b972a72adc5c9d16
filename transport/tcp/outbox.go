package tcp

import (
	"slices"
	"sync"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// outbox gathers the encoded messages of one lane to a peer while its sender
// writes what gathered before. Neither side ever waits for the other but for
// the time of a copy.
//
// What gathers is in chunks, which are used again: one buffer for all would be
// copied each time that it grows, and one of many megabytes would have to be
// let go after each use.
type outbox struct {
	maxQueue, maxFrame int
	wake               chan struct{} // holds a token when there is something to take

	mu       sync.Mutex
	pending  [][]byte // of whole messages each; only the last one is added to
	messages int      // in pending
	queued   int      // bytes in pending, and those taken and not yet released
	free     [][]byte // chunks to be used again
	kept     int      // bytes that free holds
	oversize int      // length of a message that was too large, until somebody has logged it
}

func newOutbox(maxQueue, maxFrame int) *outbox {
	return &outbox{maxQueue: maxQueue, maxFrame: maxFrame, wake: make(chan struct{}, 1)}
}

// add queues messages and returns how many of them it had to drop.
func (o *outbox) add(messages []raft.Message) (dropped int) {
	o.mu.Lock()
	for i := range messages {
		size := messages[i].EncodedLen()
		if size > o.maxFrame {
			o.oversize = size
			dropped++
			continue
		}
		if o.queued > 0 && o.queued+size+wire.HeaderBytes > o.maxQueue {
			dropped++
			continue
		}
		chunk := o.room(size + wire.HeaderBytes)
		*chunk = wire.AppendMessage(*chunk, &messages[i])
		o.messages++
		o.queued += size + wire.HeaderBytes
	}
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return dropped
}

// room returns the chunk to append so many bytes to. A chunk grows to
// writeBytes, and beyond that only if it is one message. mu is held.
func (o *outbox) room(bytes int) *[]byte {
	if n := len(o.pending); n > 0 {
		if last := &o.pending[n-1]; len(*last)+bytes <= writeBytes {
			return last
		}
	}
	var chunk []byte // which grows, and so is small if little is sent
	fits := func(c []byte) bool { return cap(c) >= bytes }
	switch i := slices.IndexFunc(o.free, fits); {
	case i >= 0:
		chunk = o.free[i]
		o.kept -= cap(chunk)
		o.free = slices.Delete(o.free, i, i+1)
	case len(o.pending) > 0 || bytes > writeBytes:
		chunk = make([]byte, 0, max(bytes, writeBytes))
	}
	o.pending = append(o.pending, chunk)
	return &o.pending[len(o.pending)-1]
}

// take returns what has gathered, and leaves spare to gather the next in. The
// caller releases each chunk.
func (o *outbox) take(spare [][]byte) (chunks [][]byte, messages int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	chunks, messages = o.pending, o.messages
	o.pending, o.messages = spare[:0], 0
	return chunks, messages
}

// release says that a chunk that was taken is written, or lost.
func (o *outbox) release(chunk []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.recycle(chunk)
}

// recycle keeps a chunk to be used again if that is not too much. mu is held.
func (o *outbox) recycle(chunk []byte) {
	o.queued -= len(chunk)
	if o.kept+cap(chunk) <= keptBufferBytes {
		o.kept += cap(chunk)
		o.free = append(o.free, chunk[:0])
	}
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

// trim lets go of what is kept, but for one small chunk.
func (o *outbox) trim() {
	o.mu.Lock()
	defer o.mu.Unlock()
	small := func(c []byte) bool { return cap(c) <= idleBufferBytes }
	var left [][]byte
	if i := slices.IndexFunc(o.free, small); i >= 0 {
		left = [][]byte{o.free[i]}
	}
	o.free, o.kept = left, 0
	for _, c := range left {
		o.kept += cap(c)
	}
}

// discard drops what has gathered and returns how many messages that were.
func (o *outbox) discard() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.messages
	for _, chunk := range o.pending {
		o.recycle(chunk)
	}
	o.pending, o.messages = o.pending[:0], 0
	return n
}

func (o *outbox) queuedBytes() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.queued
}

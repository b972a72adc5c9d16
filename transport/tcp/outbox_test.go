package tcp

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// Messages come out in order, none of them in two chunks; a chunk is no longer
// than what is written at once, unless it is one message.
func TestOutboxGathersInChunks(t *testing.T) {
	o := newOutbox(32<<20, 8<<20)
	sizes := []int{100, writeBytes - 1000, 100, 900, 3 * writeBytes, 100, writeBytes, 2 * writeBytes, 50}
	for range 2 { // the second time in chunks that have been used
		var want []byte
		for i, size := range sizes {
			m := appendEntries(1, 2, size)
			m.Index = raft.Index(i)
			require.Zero(t, o.add([]raft.Message{m}))
			want = wire.AppendMessage(want, &m)
		}
		require.Equal(t, len(want), o.queuedBytes())

		chunks, messages := o.take(nil)
		require.Equal(t, len(sizes), messages)
		var got []byte
		for _, c := range chunks {
			got = append(got, c...)
			frames := 0
			for rest := c; len(rest) > 0; frames++ {
				_, n, err := wire.Parse(rest, len(rest))
				require.NoError(t, err)
				require.Positive(t, n, "a message is in two chunks")
				rest = rest[n:]
			}
			require.True(t, len(c) <= writeBytes || frames == 1, "%d bytes of %d messages", len(c), frames)
			require.Equal(t, len(want), o.queuedBytes()+len(got)-len(c), "what is being written counts")
			o.release(c)
		}
		require.Equal(t, want, got)
		require.Zero(t, o.queuedBytes())
	}
}

// What waits is bounded, and so is what is kept to be used again, even after a
// long queue. It is used again, and let go when nothing is sent.
func TestOutboxBoundsItsMemory(t *testing.T) {
	const queue = 16 << 20
	o := newOutbox(queue, 8<<20)
	m := []raft.Message{appendEntries(1, 2, 10_000)}
	frame := len(wire.AppendMessage(nil, &m[0]))
	fill := func() (added int) {
		for o.add(m) == 0 {
			added++
		}
		return added
	}
	require.Equal(t, queue/frame, fill())
	chunks, messages := o.take(nil)
	require.Equal(t, queue/frame, messages)
	for _, c := range chunks {
		o.release(c)
	}
	require.LessOrEqual(t, held(o), keptBufferBytes)
	require.Greater(t, held(o), keptBufferBytes/2)
	require.Equal(t, held(o), o.kept)

	fill()
	require.Equal(t, queue/frame, o.discard())
	require.Zero(t, o.queuedBytes())
	require.LessOrEqual(t, held(o), keptBufferBytes)
	chunks, messages = o.take(nil)
	require.Empty(t, chunks)
	require.Zero(t, messages)

	var spare [][]byte
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for range keptBufferBytes / 2 / frame {
			o.add(m)
		}
		chunks, _ := o.take(spare)
		for _, c := range chunks {
			o.release(c)
		}
		clear(chunks)
		spare = chunks
	}), "chunks are used again")

	o.trim()
	require.LessOrEqual(t, held(o), idleBufferBytes)
	require.Equal(t, held(o), o.kept)
}

// held is the memory of an outbox in which nothing waits.
func held(o *outbox) (bytes int) {
	for _, c := range o.free {
		bytes += cap(c)
	}
	return bytes
}

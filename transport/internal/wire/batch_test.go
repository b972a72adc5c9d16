package wire

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
)

func message(entries int, size int) raft.Message {
	m := raft.Message{Type: raftpb.AppendEntries, Group: 7, From: 1, To: 2, Term: 3, Index: 4, Commit: 5}
	for i := range entries {
		m.Entries = append(m.Entries, raft.Entry{
			Term: 3, Index: raft.Index(5 + i), Data: bytes.Repeat([]byte{byte(i)}, size),
			Origin: raftpb.Origin{Node: 1, Incarnation: 99, Sequence: uint64(i)},
		})
	}
	return m
}

func payloadOf(m raft.Message) []byte { return m.Append(nil) }

func TestBatchGivesWhatWasSent(t *testing.T) {
	var b Batch
	for round := range 20 {
		var want []raft.Message
		for i := range 1 + round%5 {
			want = append(want, message(i*round, 3+round), message(0, 0))
		}
		buffer := make([]byte, 0, 1<<20)
		for _, m := range want {
			start := len(buffer)
			buffer = append(buffer, payloadOf(m)...)
			require.NoError(t, b.Add(buffer[start:]))
			require.Equal(t, m.Index, b.Last().Index)
			if len(want) == 3 {
				b.Messages() // once in between
			}
		}
		got := b.Messages()
		clear(buffer[:cap(buffer)]) // nothing that was handed over may be in it
		require.Equal(t, want, got)
		b.Reset()
	}
}

func TestDataOutlivesTheBatch(t *testing.T) {
	var b Batch
	require.NoError(t, b.Add(payloadOf(message(3, 10))))
	kept := b.Messages()[0].Entries[1].Data
	b.Reset()
	require.NoError(t, b.Add(payloadOf(message(30, 100))))
	require.Equal(t, bytes.Repeat([]byte{1}, 10), kept)
	require.Len(t, kept, cap(kept), "an append to it must not reach its neighbour")
}

func TestABatchForgetsWhatItHandedOver(t *testing.T) {
	var b Batch
	require.NoError(t, b.Add(payloadOf(message(100, 10)))) // beyond the first array
	b.Reset()
	require.NoError(t, b.Add(payloadOf(message(60, 10))))
	require.NoError(t, b.Add(payloadOf(message(300, 10))))
	require.Error(t, b.Add(payloadOf(message(9, 10))[:100]))
	b.Reset()
	require.NoError(t, b.Add(payloadOf(message(60, 10)))) // within it
	require.Error(t, b.Add(payloadOf(message(9, 10))[:100]))
	require.NoError(t, b.Add(payloadOf(message(1, 10))))
	b.Drop()
	b.Reset()
	for _, e := range b.entries[:cap(b.entries)] {
		require.Nil(t, e.Data)
	}
	for _, m := range b.messages[:cap(b.messages)] {
		require.Zero(t, m)
	}
}

func TestAFailedAddChangesNothing(t *testing.T) {
	var b Batch
	require.NoError(t, b.Add(payloadOf(message(2, 10))))
	require.Error(t, b.Add(payloadOf(message(3, 10))[:50]))
	require.NoError(t, b.Add(payloadOf(message(1, 5))))
	require.Equal(t, []raft.Message{message(2, 10), message(1, 5)}, b.Messages())
	b.Drop()
	require.Equal(t, []raft.Message{message(2, 10)}, b.Messages())
}

// An entry that somebody keeps keeps at most one slab in memory.
func TestWhatAnEntryPins(t *testing.T) {
	var b Batch
	require.NoError(t, b.Add(payloadOf(message(5000, 100))))
	slabs := 1
	size := 0
	entries := b.Messages()[0].Entries
	for i := range entries {
		data := entries[i].Data
		if i > 0 && uintptr(unsafe.Pointer(&data[0])) != uintptr(unsafe.Pointer(&entries[i-1].Data[0]))+100 {
			slabs++
			size = 0
		}
		size += len(data)
		require.LessOrEqual(t, size, slabBytes)
	}
	require.GreaterOrEqual(t, slabs, 5000*100/slabBytes)
	require.LessOrEqual(t, slabs, 5000*100/slabBytes+2)
}

// The smallest entries that replicas send are taken however many they are, and
// what says even less than they do is refused before it takes any memory.
func TestAMessageOfEmptyEntriesIsRefused(t *testing.T) {
	const n = 100_000
	honest := raft.Message{Type: raftpb.AppendEntries, From: 1, To: 2}
	for range n {
		honest.Entries = append(honest.Entries, raft.Entry{Term: 1, Index: 1})
	}
	var b Batch
	require.NoError(t, b.Add(payloadOf(honest)))
	require.Len(t, b.Messages()[0].Entries, n)

	member := raft.Member{ID: 1}
	snapshot := raft.Message{Snapshot: &raft.Snapshot{Membership: raft.Membership{Members: slices.Repeat([]raft.Member{member}, n)}}}
	require.NoError(t, b.Add(payloadOf(snapshot)))

	for name, hostile := range map[string]raft.Message{
		"entries": {Entries: make([]raft.Entry, n)},
		"members": {Snapshot: &raft.Snapshot{Membership: raft.Membership{Members: make([]raft.Member, n)}}},
	} {
		payload := payloadOf(hostile)
		var b Batch
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := b.Add(payload)
		runtime.ReadMemStats(&after)
		require.ErrorIs(t, err, raftpb.ErrDecode, name)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<10), name)
	}
}

func TestABatchIsFullBeforeItIsLarge(t *testing.T) {
	var b Batch
	payload := payloadOf(message(0, 0))
	n := 0
	for ; !b.Full(); n++ {
		require.NoError(t, b.Add(payload))
	}
	require.InDelta(t, fullBytes, n*(int(unsafe.Sizeof(raft.Message{}))+len(payload)), 1000)
	b.Reset()
	require.False(t, b.Full())
	require.NoError(t, b.Add(payloadOf(message(2, fullBytes/2))))
	require.True(t, b.Full())
}

func TestABatchStaysSmall(t *testing.T) {
	var b Batch
	for range 3 {
		require.NoError(t, b.Add(payloadOf(message(20000, 1))))
		for range 3 * keptMessages {
			require.NoError(t, b.Add(payloadOf(message(0, 0))))
		}
		b.Reset()
		require.LessOrEqual(t, cap(b.entries), keptEntries)
		require.LessOrEqual(t, cap(b.messages), keptMessages)
	}
}

func TestBatchAllocations(t *testing.T) {
	for _, c := range []struct{ messages, entries, want int }{
		{100, 0, 0}, {1, 1, 1}, {1, 64, 1}, {100, 1, 1}, {20, 30, 1}, {1, 1000, 2}, {100, 30, 5},
	} {
		payload := payloadOf(message(c.entries, 100))
		var b Batch
		round := func() {
			for range c.messages {
				if err := b.Add(payload); err != nil {
					t.Fatal(err)
				}
			}
			b.Messages()
			b.Reset()
		}
		round()
		round()
		require.EqualValues(t, c.want, testing.AllocsPerRun(100, round), fmt.Sprint(c))
	}
}

func TestResultRoundTrip(t *testing.T) {
	for _, r := range []Result{{Accepted: true}, {Busy: true, Reason: "later"}, {Reason: "disk full"}, {}} {
		f := frameOf(t, AppendResult(nil, r))
		got, err := ParseResult(f.Payload)
		require.NoError(t, err)
		require.Equal(t, r, got)
	}
	_, err := ParseResult(nil)
	require.Error(t, err)
	long := frameOf(t, AppendAbort(nil, string(bytes.Repeat([]byte("é"), 300))+"x"))
	require.Equal(t, KindAbort, long.Kind)
	got, err := ParseResult(append([]byte{9}, bytes.Repeat([]byte("é"), 5000)...))
	require.NoError(t, err)
	require.False(t, got.Accepted)
	require.Len(t, got.Reason, maxReasonBytes)
}

// A batch gives what decoding each payload by itself gives, and keeps none of
// the payload's memory.
func FuzzBatch(f *testing.F) {
	f.Add(payloadOf(message(3, 10)), payloadOf(message(0, 0)))
	f.Add(payloadOf(message(40, 2)), []byte{0xff})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var b Batch
		for range 2 {
			var want []raft.Message
			buffer := make([]byte, 0, 2*len(first)+len(second))
			for _, payload := range [][]byte{first, second, first} {
				var m raft.Message
				err := m.UnmarshalWithin(bytes.Clone(payload), maxInflation*len(payload))
				if err == nil {
					want = append(want, m)
				}
				buffer = append(buffer, payload...)
				added := b.Add(buffer[len(buffer)-len(payload):])
				// Of a message of too many entries one with room for some finds that
				// out later.
				require.Equal(t, err != nil, added != nil, "%v, %v", err, added)
				require.Equal(t, errors.Is(err, raftpb.ErrDecode), errors.Is(added, raftpb.ErrDecode))
			}
			require.Equal(t, len(want), len(b.Messages()))
			clear(buffer)
			for i := range want {
				require.Equal(t, want[i], b.Messages()[i])
			}
			b.Reset()
		}
	})
}

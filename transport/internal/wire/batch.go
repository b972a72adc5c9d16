package wire

import (
	"unsafe"

	"github.com/seed-6281cb22/raft"
)

// Bounds on what a Batch keeps between two batches, and on what an entry
// keeps in memory beside its own data.
const (
	slabBytes    = 64 << 10
	keptMessages = 2048
	keptEntries  = 4096
)

// maxInflation bounds the memory that a message takes for its entries, and for
// the members of its snapshot, as a multiple of its encoded length; their data
// is not counted. An entry without data takes 2 bytes on the wire if it says
// nothing at all, and 88 in memory; but one that a replica sends has at least a
// term and an index, so at least 6 bytes and less than 16 times that in memory.
const maxInflation = 16

// fullBytes is how much a batch holds when it is Full.
const fullBytes = 1 << 20

// What a message and an entry take in memory, without data.
const (
	messageBytes = int(unsafe.Sizeof(raft.Message{}))
	entryBytes   = int(unsafe.Sizeof(raft.Entry{}))
)

// AppendMessage appends m in a frame.
func AppendMessage(b []byte, m *raft.Message) []byte {
	start := len(b)
	b = m.Append(Begin(b))
	Finish(b, start, KindMessage)
	return b
}

// Batch decodes messages that arrived together, reusing its memory from one
// batch to the next. It is not safe for concurrent use.
//
// The entries' data is copied out of the buffer that it arrived in when the batch
// is complete, that of all messages together, in pieces of at most 64 KiB or one
// entry. So nothing is allocated for a message, one piece for a batch or for each
// 64 KiB of it, and an entry that somebody keeps never keeps more than 64 KiB
// beside itself in memory.
type Batch struct {
	messages []raft.Message
	entries  []raft.Entry // the messages' Entries are parts of it, as long as they fit
	wanted   int          // entries in this batch
	bytes    int          // that the batch takes in memory
	detached int          // messages whose data has been copied
}

// Add decodes one message, whose entries refer to payload until Messages is
// called. It takes memory of at most a small multiple of
// payload: a message of more entries than honest ones fit in its length is
// refused. On an error the batch is as before.
func (b *Batch) Add(payload []byte) error {
	n, used := len(b.messages), len(b.entries)
	if n < cap(b.messages) {
		b.messages = b.messages[:n+1]
	} else {
		b.messages = append(b.messages, raft.Message{})
	}
	m := &b.messages[n]
	m.Entries = b.entries[used:used]
	if err := m.UnmarshalWithin(payload, maxInflation*len(payload)); err != nil {
		clear(b.entries[used:cap(b.entries)])
		b.messages = b.messages[:n]
		return err
	}
	b.wanted += len(m.Entries)
	b.bytes += messageBytes + entryBytes*len(m.Entries) + len(payload)
	if used+len(m.Entries) <= cap(b.entries) {
		b.entries = b.entries[:used+len(m.Entries)]
	} else { // it has an array of its own, and left what it had begun
		clear(b.entries[used:cap(b.entries)])
	}
	if len(m.Entries) == 0 {
		m.Entries = nil
	}
	return nil
}

// Last returns the message that was added last, for a look at what it says
// beside its entries.
func (b *Batch) Last() *raft.Message { return &b.messages[len(b.messages)-1] }

// Drop takes back the message that was added last.
func (b *Batch) Drop() {
	b.messages = b.messages[:len(b.messages)-1]
	b.detached = min(b.detached, len(b.messages))
}

// Full says that the batch holds about a megabyte or more, and should be
// handed over before more is added: many small messages, too, take several
// times as much in memory as on the wire.
func (b *Batch) Full() bool { return b.bytes >= fullBytes }

// Messages returns the messages added since Reset. They and their Entries
// slices are valid until the next Reset, the Data of entries for ever. The
// payloads are not needed any more.
func (b *Batch) Messages() []raft.Message {
	detach(b.messages[b.detached:])
	b.detached = len(b.messages)
	return b.messages
}

// Reset empties the batch, and forgets what its messages referred to.
func (b *Batch) Reset() {
	clear(b.messages[:min(len(b.messages)+1, cap(b.messages))]) // one may have been dropped
	clear(b.entries)
	b.messages = b.messages[:0]
	b.entries = b.entries[:0]
	if cap(b.messages) > keptMessages {
		b.messages = nil
	}
	if want := min(b.wanted, keptEntries); want > cap(b.entries) {
		b.entries = make([]raft.Entry, 0, min(2*want, keptEntries))
	}
	b.wanted, b.bytes, b.detached = 0, 0, 0
}

// detach moves the data of all entries out of the buffer that it was decoded
// from.
func detach(messages []raft.Message) {
	var slab []byte
	for i := range messages {
		entries := messages[i].Entries
		for j := range entries {
			data := entries[j].Data
			if len(data) == 0 {
				continue
			}
			if len(data) > cap(slab)-len(slab) {
				slab = make([]byte, 0, slabFor(messages[i:], j))
			}
			start := len(slab)
			slab = append(slab, data...)
			entries[j].Data = slab[start:len(slab):len(slab)]
		}
	}
}

// slabFor returns how many bytes of data go together, from the first message's
// entry j on.
func slabFor(messages []raft.Message, j int) (size int) {
	for i := range messages {
		entries := messages[i].Entries[j:]
		for k := range entries {
			n := len(entries[k].Data)
			if size > 0 && size+n > slabBytes {
				return size
			}
			size += n
		}
		j = 0
	}
	return size
}

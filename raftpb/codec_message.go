package raftpb

import (
	"math"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
)

const entriesTag = 15<<3 | bytesType

// What an entry and a member take in memory, without their data and address.
const (
	entryBytes  = int(unsafe.Sizeof(Entry{}))
	memberBytes = int(unsafe.Sizeof(Member{}))
)

// EncodedLen returns the number of bytes that Append appends.
func (m *Message) EncodedLen() int {
	n := uintLen(uint64(m.Type)) +
		uintLen(uint64(m.Group)) +
		uintLen(uint64(m.From)) +
		uintLen(uint64(m.To)) +
		uintLen(uint64(m.Term)) +
		uintLen(uint64(m.Index)) +
		uintLen(uint64(m.LogTerm)) +
		uintLen(uint64(m.Commit)) +
		uintLen(m.Round) +
		uintLen(uint64(m.Match)) +
		uintLen(uint64(m.Verified)) +
		uintLen(m.Window) +
		boolLen(m.Reject) +
		uintLen(m.Context) +
		longUintLen(uintOf(m.Marked)) +
		longUintLen(uint64(m.Unmark)) +
		longUintLen(uintOf(m.Transfer))
	for i := range m.Entries {
		n += bytesLen(m.Entries[i].EncodedLen())
	}
	if m.Snapshot != nil {
		n += 1 + bytesLen(m.Snapshot.EncodedLen()) // a tag of two bytes
	}
	return n
}

// Append appends the encoding of m to b and returns the extended slice. It
// copies all that m refers to. With room for EncodedLen more bytes in b it
// does not allocate.
func (m *Message) Append(b []byte) []byte {
	b = appendUint(b, 1, uint64(m.Type))
	b = appendUint(b, 2, uint64(m.Group))
	b = appendUint(b, 3, uint64(m.From))
	b = appendUint(b, 4, uint64(m.To))
	b = appendUint(b, 5, uint64(m.Term))
	b = appendUint(b, 6, uint64(m.Index))
	b = appendUint(b, 7, uint64(m.LogTerm))
	b = appendUint(b, 8, uint64(m.Commit))
	b = appendUint(b, 9, m.Round)
	b = appendUint(b, 10, uint64(m.Match))
	b = appendUint(b, 11, uint64(m.Verified))
	b = appendUint(b, 12, m.Window)
	b = appendBool(b, 13, m.Reject)
	b = appendUint(b, 14, m.Context)
	for i := range m.Entries {
		e := &m.Entries[i]
		b = e.Append(appendLength(b, 15, e.EncodedLen()))
	}
	b = appendLongUint(b, 16, uintOf(m.Marked))
	b = appendLongUint(b, 17, uint64(m.Unmark))
	b = appendLongUint(b, 18, uintOf(m.Transfer))
	if m.Snapshot != nil {
		b = protowire.AppendTag(b, 19, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(m.Snapshot.EncodedLen()))
		b = m.Snapshot.Append(b)
	}
	return b
}

// Unmarshal sets m to the message that b encodes, whatever m was before.
//
// It reuses the array of m.Entries if that is large enough, and then decodes
// messages without a snapshot without allocating: reuse m only once nothing
// else refers to m.Entries. The entries' Data aliases b: nobody may overwrite
// b while the data, which an Entry promises to be immutable, is in use; and
// the whole array of b stays in memory as long as one of the entries does.
// Empty data is nil. The Snapshot, if any, is a new one and shares nothing.
//
// What a larger earlier message left in the array of m.Entries is cleared, so
// that its data can be freed. Only entries that a caller cut off itself, by
// shortening m.Entries, are not seen; who does that clears them.
//
// Whatever b holds, Unmarshal allocates less than 64 bytes for each byte of b,
// plus 1 KiB. The worst case is a message of empty entries, each of which
// takes 2 bytes in b and 88 in m.Entries; so who limits memory limits the
// length of b, or uses UnmarshalWithin.
//
// The error is a *DecodeError; m is then zero but for the array of m.Entries.
func (m *Message) Unmarshal(b []byte) error { return m.UnmarshalWithin(b, math.MaxInt) }

// UnmarshalWithin is Unmarshal for input that nobody vouches for: it refuses a
// message whose entries, or the members of whose Snapshot, take more than
// limit bytes in memory, before it allocates for them. Their data and
// addresses, which never take more than b does, are not counted.
func (m *Message) UnmarshalWithin(b []byte, limit int) error {
	old := m.Entries
	*m = Message{Entries: old[:0]}
	err := m.merge(b, limit)
	if err != nil {
		clear(m.Entries)
		*m = Message{Entries: old[:0]}
	}
	if n := len(m.Entries); n < len(old) {
		clear(old[n:])
	}
	return err
}

// begin sets the fields of m up to the entries, all of them zero, that b begins
// with, as far as they are in order, and returns where they end.
func (m *Message) begin(b []byte) int {
	c := cursor{b, 0}
	m.Type = MessageType(c.enum(1<<3 | varintType))
	m.Group = GroupID(c.uint(2<<3 | varintType))
	m.From = NodeID(c.uint(3<<3 | varintType))
	m.To = NodeID(c.uint(4<<3 | varintType))
	m.Term = Term(c.uint(5<<3 | varintType))
	m.Index = Index(c.uint(6<<3 | varintType))
	m.LogTerm = Term(c.uint(7<<3 | varintType))
	m.Commit = Index(c.uint(8<<3 | varintType))
	m.Round = c.uint(9<<3 | varintType)
	m.Match = Index(c.uint(10<<3 | varintType))
	m.Verified = Index(c.uint(11<<3 | varintType))
	m.Window = c.uint(12<<3 | varintType)
	m.Reject = c.uint(13<<3|varintType) != 0
	m.Context = c.uint(14<<3 | varintType)
	return c.i
}

// merge sets the fields of m, which is zero but for the array of m.Entries, that
// b holds. As protobuf has it, a field that occurs
// again replaces the earlier value; but entries are appended, and snapshots
// merged. Of both, limit bytes are allowed.
func (m *Message) merge(b []byte, limit int) error {
	maxEntries := limit / entryBytes
	for i := m.begin(b); i < len(b); {
		tag, v, end := readField(b, i)
		if end < 0 {
			return malformed("Message", i, fault(end))
		}
		switch tag {
		case 1<<3 | varintType:
			if v > math.MaxUint8 {
				return malformed("Message", i, faultEnum)
			}
			m.Type = MessageType(v)
		case 2<<3 | varintType:
			m.Group = GroupID(v)
		case 3<<3 | varintType:
			m.From = NodeID(v)
		case 4<<3 | varintType:
			m.To = NodeID(v)
		case 5<<3 | varintType:
			m.Term = Term(v)
		case 6<<3 | varintType:
			m.Index = Index(v)
		case 7<<3 | varintType:
			m.LogTerm = Term(v)
		case 8<<3 | varintType:
			m.Commit = Index(v)
		case 9<<3 | varintType:
			m.Round = v
		case 10<<3 | varintType:
			m.Match = Index(v)
		case 11<<3 | varintType:
			m.Verified = Index(v)
		case 12<<3 | varintType:
			m.Window = v
		case 13<<3 | varintType:
			m.Reject = v != 0
		case 14<<3 | varintType:
			m.Context = v
		case entriesTag:
			n, more := len(m.Entries), 1
			if n == cap(m.Entries) {
				more = countFields(b, i, entriesTag)
			}
			if n+more > maxEntries {
				return malformed("Message", i, faultLimit)
			}
			if n == cap(m.Entries) {
				m.Entries = growEntries(m.Entries, more)
			}
			m.Entries = m.Entries[:n+1]
			e := &m.Entries[n]
			if err := e.merge(b[:end], end-int(v)); err != nil {
				return err
			}
		case 16<<3 | varintType:
			m.Marked = v != 0
		case 17<<3 | varintType:
			m.Unmark = Index(v)
		case 18<<3 | varintType:
			m.Transfer = v != 0
		case 19<<3 | bytesType:
			if m.Snapshot == nil {
				m.Snapshot = new(Snapshot)
			}
			if err := m.Snapshot.merge(b[:end], end-int(v), limit); err != nil {
				return err
			}
		}
		i = end
	}
	return nil
}

// growEntries makes room for exactly more entries, which are all that will
// come: append would grow geometrically, beyond the bound that Unmarshal
// promises.
func growEntries(entries []Entry, more int) []Entry {
	grown := make([]Entry, len(entries), len(entries)+more)
	copy(grown, entries)
	return grown
}

func uintOf(v bool) uint64 {
	if v {
		return 1
	}
	return 0
}

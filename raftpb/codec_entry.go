package raftpb

import "math"

// EncodedLen returns the number of bytes that Append appends.
func (e *Entry) EncodedLen() int {
	n := uintLen(uint64(e.Term)) +
		uintLen(uint64(e.Index)) +
		uintLen(uint64(e.Type)) +
		uintLen(uint64(e.Origin.Node)) +
		fixed64Len(e.Origin.Incarnation) +
		uintLen(e.Origin.Sequence) +
		uintLen(e.Earliest) +
		uintLen(e.Latest) +
		fixed32Len(e.Checksum)
	if len(e.Data) > 0 {
		n += bytesLen(len(e.Data))
	}
	return n
}

// Append appends the encoding of e to b and returns the extended slice. It
// copies Data.
func (e *Entry) Append(b []byte) []byte {
	b = appendUint(b, 1, uint64(e.Term))
	b = appendUint(b, 2, uint64(e.Index))
	b = appendUint(b, 3, uint64(e.Type))
	if len(e.Data) > 0 {
		b = append(appendLength(b, 4, len(e.Data)), e.Data...)
	}
	b = appendUint(b, 5, uint64(e.Origin.Node))
	b = appendFixed64(b, 6, e.Origin.Incarnation)
	b = appendUint(b, 7, e.Origin.Sequence)
	b = appendUint(b, 8, e.Earliest)
	b = appendUint(b, 9, e.Latest)
	return appendFixed32(b, 10, e.Checksum)
}

// Unmarshal sets e to the entry that b encodes, without allocating.
//
// Data aliases b: nobody may overwrite b while the data, which an Entry
// promises to be immutable, is in use; and the whole array of b stays in
// memory as long as the entry does. Empty data is nil.
//
// The error is a *DecodeError; e is then zero.
func (e *Entry) Unmarshal(b []byte) error {
	if err := e.merge(b, 0); err != nil {
		*e = Entry{}
		return err
	}
	return nil
}

// begin sets all fields of e: to those that b[i:] begins with, as far as they are
// in order, and the rest to zero. It returns where they end: nearly always at the
// end of b.
func (e *Entry) begin(b []byte, i int) int {
	c := cursor{b, i}
	e.Term = Term(c.uint(1<<3 | varintType))
	e.Index = Index(c.uint(2<<3 | varintType))
	e.Type = EntryType(c.enum(3<<3 | varintType))
	e.Data = c.bytes(4<<3 | bytesType)
	e.Origin.Node = NodeID(c.uint(5<<3 | varintType))
	e.Origin.Incarnation = c.fixed64(6<<3 | fixed64Type)
	e.Origin.Sequence = c.uint(7<<3 | varintType)
	e.Earliest = c.uint(8<<3 | varintType)
	e.Latest = c.uint(9<<3 | varintType)
	e.Checksum = c.fixed32(10<<3 | fixed32Type)
	return c.i
}

// merge sets all fields of e, whatever it was before, to what b[i:] holds.
func (e *Entry) merge(b []byte, i int) error {
	for i = e.begin(b, i); i < len(b); {
		tag, v, end := readField(b, i)
		if end < 0 {
			return malformed("Entry", i, fault(end))
		}
		switch tag {
		case 1<<3 | varintType:
			e.Term = Term(v)
		case 2<<3 | varintType:
			e.Index = Index(v)
		case 3<<3 | varintType:
			if v > math.MaxUint8 {
				return malformed("Entry", i, faultEnum)
			}
			e.Type = EntryType(v)
		case 4<<3 | bytesType:
			e.Data = nil
			if v > 0 {
				e.Data = b[end-int(v) : end : end] // so that an append to it copies
			}
		case 5<<3 | varintType:
			e.Origin.Node = NodeID(v)
		case 6<<3 | fixed64Type:
			e.Origin.Incarnation = v
		case 7<<3 | varintType:
			e.Origin.Sequence = v
		case 8<<3 | varintType:
			e.Earliest = v
		case 9<<3 | varintType:
			e.Latest = v
		case 10<<3 | fixed32Type:
			e.Checksum = uint32(v)
		}
		i = end
	}
	return nil
}

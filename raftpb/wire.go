package raftpb

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// The wire types of protobuf that raft.proto uses. A tag is a field number
// shifted left by three, plus the wire type of the field.
const (
	varintType  = uint64(protowire.VarintType)
	fixed64Type = uint64(protowire.Fixed64Type)
	bytesType   = uint64(protowire.BytesType)
	fixed32Type = uint64(protowire.Fixed32Type)
	groupType   = uint64(protowire.StartGroupType)

	minTag = uint64(protowire.MinValidNumber) << 3
	maxTag = uint64(protowire.MaxValidNumber)<<3 | 7
)

// readField reads the field at b[i:], i < len(b), and returns its tag, its
// value, and the index at which it ends or, negative, its fault.
//
// The value of a field of wire type bytes is its length: the bytes are
// b[end-value:end]. A group is read to its end and has no value.
//
// Since a tag holds the wire type too, a switch over tags ignores, as
// protobuf demands, unknown fields and known ones of an unexpected wire type.
func readField(b []byte, i int) (tag, value uint64, end int) {
	if tag = uint64(b[i]); tag < 0x80 { // inlined: nearly all tags and many values are one byte
		i++
	} else if tag, i = readVarint(b, i); i < 0 {
		return 0, 0, i
	}
	if tag < minTag || tag > maxTag {
		return 0, 0, int(faultNumber)
	}
	switch tag & 7 {
	case varintType:
		if i < len(b) && b[i] < 0x80 {
			return tag, uint64(b[i]), i + 1
		}
		value, i = readVarint(b, i)
		return tag, value, i
	case bytesType:
		if i < len(b) && b[i] < 0x80 {
			value = uint64(b[i])
			i++
		} else if value, i = readVarint(b, i); i < 0 {
			return 0, 0, i
		}
		if value > uint64(len(b)-i) {
			return 0, 0, int(faultTruncated)
		}
		return tag, value, i + int(value)
	case fixed64Type:
		if len(b)-i < 8 {
			return 0, 0, int(faultTruncated)
		}
		return tag, binary.LittleEndian.Uint64(b[i:]), i + 8
	case fixed32Type:
		if len(b)-i < 4 {
			return 0, 0, int(faultTruncated)
		}
		return tag, uint64(binary.LittleEndian.Uint32(b[i:])), i + 4
	case groupType:
		return tag, 0, skipGroup(b, i, protowire.Number(tag>>3))
	case uint64(protowire.EndGroupType): // of no group
		return 0, 0, int(faultGroup)
	default:
		return 0, 0, int(faultWireType)
	}
}

// cursor reads the fields of b from index i on as long as they come in the order
// in which their encoder writes them, which makes for speed: who uses it asks for
// one tag after the other. A field that is not the next one is zero, and so is a
// malformed one; neither moves i.
type cursor struct {
	b []byte
	i int
}

// uint returns the field with that tag, of wire type varint.
func (c *cursor) uint(tag uint64) uint64 {
	if c.i < len(c.b) && uint64(c.b[c.i]) == tag {
		return c.varint()
	}
	return 0
}

// varint reads the varint behind a tag of one byte, and moves i to its end. Four
// bytes are enough for indexes up to 268 million.
func (c *cursor) varint() uint64 {
	b, i := c.b, c.i
	if len(b)-i >= 5 {
		s := b[i+1 : i+5 : i+5]
		v := uint64(s[0])
		if v < 0x80 {
			c.i = i + 2
			return v
		}
		v = v&0x7f | uint64(s[1])<<7
		if s[1] < 0x80 {
			c.i = i + 3
			return v
		}
		v = v&0x3fff | uint64(s[2])<<14
		if s[2] < 0x80 {
			c.i = i + 4
			return v
		}
		v = v&0x1fffff | uint64(s[3])<<21
		if s[3] < 0x80 {
			c.i = i + 5
			return v
		}
	}
	v, end := readVarint(b, i+1)
	if end < 0 {
		return 0
	}
	c.i = end
	return v
}

// enum is uint for an enum, whose values are at most 255.
func (c *cursor) enum(tag uint64) byte {
	start := c.i
	v := c.uint(tag)
	if v > math.MaxUint8 {
		c.i = start
		return 0
	}
	return byte(v)
}

// bytes returns the field with that tag, of wire type bytes; nil if it is empty.
func (c *cursor) bytes(tag uint64) []byte {
	start := c.i
	n := c.uint(tag)
	if n > uint64(len(c.b)-c.i) {
		c.i = start
		return nil
	}
	if n == 0 {
		return nil
	}
	start, c.i = c.i, c.i+int(n)
	return c.b[start:c.i:c.i] // so that an append to it copies
}

// fixed64 returns the field with that tag, of that wire type.
func (c *cursor) fixed64(tag uint64) uint64 {
	if len(c.b)-c.i < 9 || uint64(c.b[c.i]) != tag {
		return 0
	}
	c.i += 9
	return binary.LittleEndian.Uint64(c.b[c.i-8:])
}

// fixed32 returns the field with that tag, of that wire type.
func (c *cursor) fixed32(tag uint64) uint32 {
	if len(c.b)-c.i < 5 || uint64(c.b[c.i]) != tag {
		return 0
	}
	c.i += 5
	return binary.LittleEndian.Uint32(c.b[c.i-4:])
}

// readVarint returns the varint at b[i:] and the index at which it ends or,
// negative, its fault.
func readVarint(b []byte, i int) (v uint64, end int) {
	for shift := uint(0); shift < 64; shift += 7 {
		if i >= len(b) {
			return 0, int(faultTruncated)
		}
		c := uint64(b[i])
		i++
		if c < 0x80 {
			if shift == 63 && c > 1 {
				break
			}
			return v | c<<shift, i
		}
		v |= (c & 0x7f) << shift
	}
	return 0, int(faultVarint)
}

// skipGroup returns the index at which the group whose content starts at
// b[i:] ends or, negative, its fault.
func skipGroup(b []byte, i int, number protowire.Number) (end int) {
	n := protowire.ConsumeFieldValue(number, protowire.StartGroupType, b[i:])
	if n < 0 {
		return int(faultGroup)
	}
	return i + n
}

// countFields returns how many fields with the given tag b[i:] holds, as far
// as it is well-formed.
func countFields(b []byte, i int, tag uint64) (n int) {
	for i < len(b) {
		t, _, end := readField(b, i)
		if end < 0 {
			break
		}
		if t == tag {
			n++
		}
		i = end
	}
	return n
}

// The functions below append and measure fields. As proto3 has it, a field of
// the zero value is left out. Field numbers above 15, whose tags are two bytes,
// have functions of their own.

func appendUint(b []byte, number byte, v uint64) []byte {
	if v == 0 { // inlined: many are
		return b
	}
	return appendPositive(b, number, v)
}

func appendPositive(b []byte, number byte, v uint64) []byte {
	switch tag := number << 3; {
	case v < 1<<7:
		return append(b, tag, byte(v))
	case v < 1<<14:
		return append(b, tag, byte(v)|0x80, byte(v>>7))
	case v < 1<<21:
		return append(b, tag, byte(v)|0x80, byte(v>>7)|0x80, byte(v>>14))
	case v < 1<<28:
		return append(b, tag, byte(v)|0x80, byte(v>>7)|0x80, byte(v>>14)|0x80, byte(v>>21))
	default:
		return protowire.AppendVarint(append(b, tag), v)
	}
}

func appendLongUint(b []byte, number protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), v)
}

func appendFixed64(b []byte, number byte, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendFixed64(append(b, number<<3|byte(fixed64Type)), v)
}

func appendFixed32(b []byte, number byte, v uint32) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendFixed32(append(b, number<<3|byte(fixed32Type)), v)
}

func appendBool(b []byte, number byte, v bool) []byte {
	if !v {
		return b
	}
	return append(b, number<<3, 1)
}

// appendLength appends the tag of a field of wire type bytes, and its length.
func appendLength(b []byte, number byte, n int) []byte {
	if n < 0x80 {
		return append(b, number<<3|byte(bytesType), byte(n))
	}
	return protowire.AppendVarint(append(b, number<<3|byte(bytesType)), uint64(n))
}

func uintLen(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

func longUintLen(v uint64) int {
	if v == 0 {
		return 0
	}
	return 2 + protowire.SizeVarint(v)
}

func fixed64Len(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + 8
}

func fixed32Len(v uint32) int {
	if v == 0 {
		return 0
	}
	return 1 + 4
}

func boolLen(v bool) int {
	if !v {
		return 0
	}
	return 1 + 1
}

// bytesLen returns the length of a field of wire type bytes that holds n bytes.
func bytesLen(n int) int { return 1 + protowire.SizeVarint(uint64(n)) + n }

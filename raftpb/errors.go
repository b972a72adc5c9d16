package raftpb

import (
	"errors"
	"fmt"
)

// ErrDecode matches, by errors.Is, every error of the Unmarshal methods: the
// input is not an encoding of the type. It is always a *DecodeError.
var ErrDecode = errors.New("raftpb: malformed encoding")

// DecodeError says what is wrong with an input of Unmarshal, and where.
type DecodeError struct {
	Type   string // the message of raft.proto that cannot be decoded, the innermost one
	Offset int    // of the offending field, in bytes from the start of the whole input
	Reason string // what is wrong with it
}

// Error returns the type, the reason and the offset in one line.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("raftpb: cannot decode %s: %s at byte %d", e.Type, e.Reason, e.Offset)
}

// Unwrap returns ErrDecode.
func (e *DecodeError) Unwrap() error { return ErrDecode }

// fault is a reason why an input is malformed. Faults are negative, so that a
// function returns a position in the input or a fault in one register.
type fault int

const (
	faultTruncated fault = -1 - iota
	faultVarint
	faultNumber
	faultWireType
	faultGroup
	faultEnum
	faultUTF8
	faultLimit
)

var faultReasons = [...]string{
	-faultTruncated: "field is longer than the input",
	-faultVarint:    "varint is larger than 64 bits",
	-faultNumber:    "invalid field number",
	-faultWireType:  "invalid wire type",
	-faultGroup:     "malformed group",
	-faultEnum:      "enum value is larger than 255",
	-faultUTF8:      "string is not valid UTF-8",
	-faultLimit:     "more entries or members than the limit allows",
}

func malformed(message string, offset int, f fault) error {
	return &DecodeError{Type: message, Offset: offset, Reason: faultReasons[-f]}
}

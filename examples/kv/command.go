package main

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/seed-6281cb22/raft"
)

// Limits of the service. A command stays well below raft's own limit for one
// entry, so what passes here is never refused there for its size.
const (
	maxKeyBytes   = 1 << 10
	maxValueBytes = 512 << 10
)

// What a command did not do, as results for its proposer. They are part of
// the state machine's deterministic outcome, not failures of a replica.
var (
	errNotFound  = errors.New("no such key")
	errConflict  = errors.New("the key has another version")
	errMalformed = errors.New("malformed command")
)

type operation byte

const (
	opPut    operation = 1
	opDelete operation = 2
)

// command is one change of the store, as the log carries it. Reads are not
// commands: they need no place in the log.
type command struct {
	op    operation
	key   string
	value string // of a put
	// expect makes the command a compare-and-swap: it takes effect only if
	// the key has this version. anyVersion: always; absent: only if there is
	// no such key.
	expect expectation
}

// expectation is a version of a key, or one of the two that follow. As the
// zero value asks for nothing, versions are shifted by absent.
type expectation uint64

const (
	anyVersion expectation = 0
	absent     expectation = 1
)

// version expects the key to have version v.
func version(v raft.Index) expectation { return absent + expectation(v) }

// validate says what is wrong with a command that a user gives.
func (c command) validate() error {
	switch {
	case c.op != opPut && c.op != opDelete:
		return fmt.Errorf("%w: unknown operation %d", errMalformed, c.op)
	case c.key == "":
		return fmt.Errorf("%w: empty key", errMalformed)
	case len(c.key) > maxKeyBytes:
		return fmt.Errorf("%w: key of %d bytes, at most %d are allowed", errMalformed, len(c.key), maxKeyBytes)
	case len(c.value) > maxValueBytes:
		return fmt.Errorf("%w: value of %d bytes, at most %d are allowed", errMalformed, len(c.value), maxValueBytes)
	case c.op == opDelete && c.value != "":
		return fmt.Errorf("%w: delete with a value", errMalformed)
	}
	return nil
}

// encode gives the command's form in the log:
//
//	operation (1 byte), expect (uvarint), key length (uvarint), key, value
func (c command) encode() []byte {
	b := make([]byte, 0, 1+2*binary.MaxVarintLen64+len(c.key)+len(c.value))
	b = append(b, byte(c.op))
	b = binary.AppendUvarint(b, uint64(c.expect))
	b = binary.AppendUvarint(b, uint64(len(c.key)))
	b = append(b, c.key...)
	return append(b, c.value...)
}

// decodeCommand is the reverse of encode. It must not panic whatever the log
// holds, and must judge alike on every replica.
func decodeCommand(b []byte) (command, error) {
	if len(b) == 0 {
		return command{}, fmt.Errorf("%w: empty", errMalformed)
	}
	c := command{op: operation(b[0])}
	b = b[1:]

	expect, n := binary.Uvarint(b)
	if n <= 0 {
		return command{}, fmt.Errorf("%w: bad version", errMalformed)
	}
	c.expect = expectation(expect)
	b = b[n:]

	length, n := binary.Uvarint(b)
	if n <= 0 || length > uint64(len(b)-n) {
		return command{}, fmt.Errorf("%w: bad key length", errMalformed)
	}
	b = b[n:]
	c.key, c.value = string(b[:length]), string(b[length:])
	return c, c.validate()
}

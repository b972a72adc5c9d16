package session

import (
	"errors"
	"fmt"

	"github.com/seed-6281cb22/raft"
)

// ID names a session, for all time and in all clusters. Index is that of the
// entry that opened it; Nonce was drawn by its client, and tells it from a
// session of another history, as after a cluster was started again from a
// backup.
type ID struct {
	Index raft.Index
	Nonce uint64
}

func (id ID) String() string { return fmt.Sprintf("%d-%016x", id.Index, id.Nonce) }

// Result is what a Machine answers to a command. R is the service's own result.
// A stub that takes commands to another process carries all fields back.
type Result[R any] struct {
	// Value is the service's result, if Status is OK and the command was
	// one for the service.
	Value R
	// Status says whether the command has been applied.
	Status Status
	// Session is the session that the command has opened, if it was to.
	Session ID
}

// Status is what became of a command.
type Status uint8

// The values are part of what stubs carry, and never change.
const (
	OK            Status = 0 // applied: now or, if it is a repeat, before
	Expired       Status = 1 // see ErrExpired
	Acknowledged  Status = 2 // see ErrAcknowledged
	Busy          Status = 3 // see ErrBusy
	ResultNotKept Status = 4 // see ErrResultNotKept
	Malformed     Status = 5 // see ErrMalformed
)

// Errors of this package.
var (
	// ErrExpired: the session is not in the table: it has expired, was
	// closed or never existed. The command has not been applied by this
	// entry of the log; whether by an earlier one cannot be known.
	ErrExpired = errors.New("session: expired")

	// ErrAcknowledged: the client has said before that it does not need the
	// command's outcome any more. The command has not been applied by this
	// entry of the log, and never will be by a later one.
	ErrAcknowledged = errors.New("session: outcome was acknowledged before")

	// ErrBusy: the session has Limits.MaxInFlight commands whose outcomes
	// are not acknowledged. The command has not been applied, and may be
	// proposed again.
	ErrBusy = errors.New("session: too many commands in flight")

	// ErrResultNotKept: the command was applied before, but its result was
	// too large to be kept, see Limits.MaxResultBytes, or the Codec does
	// not decode it.
	ErrResultNotKept = errors.New("session: applied before, its result was not kept")

	// ErrMalformed: the command was not made by this package.
	ErrMalformed = errors.New("session: malformed command")

	// ErrCorrupt: what Restore or NewDurable was given is no table of
	// sessions.
	ErrCorrupt = errors.New("session: corrupt table")
)

// Err returns the error that s stands for, nil for OK.
func (s Status) Err() error {
	switch s {
	case OK:
		return nil
	case Expired:
		return ErrExpired
	case Acknowledged:
		return ErrAcknowledged
	case Busy:
		return ErrBusy
	case ResultNotKept:
		return ErrResultNotKept
	case Malformed:
		return ErrMalformed
	}
	return fmt.Errorf("session: unknown status %d", uint8(s))
}

// A Codec encodes the results of a service, which are kept until the client
// has acknowledged them.
type Codec[R any] interface {
	// Append appends r's encoding to b and returns the longer slice. It must
	// be deterministic: equal results have equal encodings on all replicas.
	Append(b []byte, r R) []byte
	// Decode returns the result that Append has encoded. It may keep b but
	// must not change it.
	Decode(b []byte) (R, error)
}

// Package history records what the clients of a simulated cluster asked and
// were told, and judges it: whether the answers are linearizable (by porcupine),
// and whether what was applied is what was acknowledged.
package history

import (
	"fmt"
	"time"
)

// A History is a record of operations with inputs of type I and outputs of type
// O. What happened before what is the order of the calls of Invoke, OK, Failed
// and Unknown, which in a simulation is exact where times can be equal; times
// are shown to readers only.
//
// The zero History is empty. It is not safe for concurrent use.
type History[I, O any] struct {
	operations []Operation[I, O]
	events     int // invocations and answers so far
}

// Operation is what one client asked, and what it was told.
type Operation[I, O any] struct {
	Client   int
	Input    I
	Output   O // if Outcome is OK
	Outcome  Outcome
	Invoked  time.Duration // since the simulation's start
	Answered time.Duration // 0 while Outcome is Pending

	call, answer int // numbers of the events
}

// Outcome is how an operation ended.
type Outcome int

const (
	// Pending operations have not ended. They may have taken effect, or may
	// yet do so, like unknown ones.
	Pending Outcome = iota
	// OK: it took effect, once, between its invocation and its answer.
	OK
	// Failed: it has not taken effect and never will.
	Failed
	// Unknown: it takes effect once, at any time after its invocation, even
	// after its answer; or never.
	Unknown
)

// String returns the outcome in words.
func (o Outcome) String() string {
	return [...]string{"pending", "ok", "failed", "unknown"}[o]
}

// Invoke records that client asks for input, and returns the operation's number
// for OK, Failed or Unknown.
func (h *History[I, O]) Invoke(client int, now time.Duration, input I) int {
	h.events++
	h.operations = append(h.operations, Operation[I, O]{
		Client: client, Input: input, Invoked: now, call: h.events,
	})
	return len(h.operations) - 1
}

// OK records that an operation took effect and gave output. Reads end so, too.
func (h *History[I, O]) OK(operation int, now time.Duration, output O) {
	h.end(operation, now, OK).Output = output
}

// Failed records that an operation has definitely not taken effect and never
// will. Of a read, which has none, it may always be said.
func (h *History[I, O]) Failed(operation int, now time.Duration) { h.end(operation, now, Failed) }

// Unknown records that its client will not learn what became of an operation.
func (h *History[I, O]) Unknown(operation int, now time.Duration) { h.end(operation, now, Unknown) }

func (h *History[I, O]) end(operation int, now time.Duration, outcome Outcome) *Operation[I, O] {
	op := &h.operations[operation]
	if op.Outcome != Pending {
		panic(fmt.Sprintf("history: operation %d ends as %v after it ended as %v", operation, outcome, op.Outcome))
	}
	h.events++
	op.Outcome, op.Answered, op.answer = outcome, now, h.events
	return op
}

// Operations returns all operations in the order of their invocations. The
// slice is the history's.
func (h *History[I, O]) Operations() []Operation[I, O] { return h.operations }

// never is the number of the event that ends what takes effect any time.
func (h *History[I, O]) never() int { return h.events + 1 }

// until returns the number of the last event before which op took effect.
func (h *History[I, O]) until(op Operation[I, O]) int {
	if op.Outcome == OK {
		return op.answer
	}
	return h.never()
}

// Package tape is where a simulation takes its decisions from. A tape that is
// drawn from a seed can be recorded; what is recorded can be replayed, cut and
// made smaller (see Reduce) without losing what made a run fail.
package tape

import (
	"math/bits"
	"math/rand/v2"
)

// A Tape is a sequence of decisions. The same tape, asked the same questions,
// gives the same answers. Of every question the answer 0, or false, is the
// mildest: no fault, no delay, the first in line. A tape that has been replayed
// to its end answers so for ever.
//
// It is not safe for concurrent use. The zero Tape answers everything mildly.
type Tape struct {
	random    *rand.PCG
	recording *Recording // nil: nothing is recorded
	replayed  *Recording
	at        int // in replayed
}

// Recording is what a tape has answered.
type Recording struct {
	Decisions []uint64
	// Spans are groups of decisions that belong together, such as those of
	// one event: they are left out together. They may be nested.
	Spans []Span

	open []int // those that have not ended
}

// Span is Decisions[Start:End].
type Span struct {
	Start, End int
}

// FromSeed returns a tape that is drawn from seed.
func FromSeed(seed uint64) *Tape {
	return &Tape{random: rand.NewPCG(seed, 0x9e3779b97f4a7c15)}
}

// Replay returns a tape that repeats r, and answers mildly after its end. An
// answer that the question does not allow is taken modulo what it allows.
func Replay(r *Recording) *Tape { return &Tape{replayed: r} }

// Record makes the tape record its answers from now on, and returns where.
func (t *Tape) Record() *Recording {
	t.recording = new(Recording)
	return t.recording
}

// Uint64 decides among all numbers.
func (t *Tape) Uint64() uint64 {
	if t.random != nil && t.recording == nil {
		return t.random.Uint64()
	}
	return t.note(t.next())
}

// Intn decides among 0 … n-1. n must be positive.
func (t *Tape) Intn(n int) int {
	if t.random != nil && t.recording == nil {
		return reduce(t.random.Uint64(), uint64(n))
	}
	v := t.next()
	if t.random != nil {
		return int(t.note(uint64(reduce(v, uint64(n)))))
	}
	return int(t.note(v % uint64(n)))
}

// Chance decides true with probability p.
func (t *Tape) Chance(p float64) bool {
	if t.random != nil && t.recording == nil {
		return fraction(t.random.Uint64()) < p
	}
	v := t.next()
	if t.random != nil {
		hit := fraction(v) < p
		v = 0
		if hit {
			v = 1
		}
	}
	return t.note(v&1) == 1
}

// Begin begins a span, which End ends.
func (t *Tape) Begin() {
	if r := t.recording; r != nil {
		r.open = append(r.open, len(r.Spans))
		r.Spans = append(r.Spans, Span{Start: len(r.Decisions)})
	}
}

// End ends the span that began last.
func (t *Tape) End() {
	if r := t.recording; r != nil {
		last := len(r.open) - 1
		r.Spans[r.open[last]].End = len(r.Decisions)
		r.open = r.open[:last]
	}
}

// next returns the next decision, raw.
func (t *Tape) next() uint64 {
	switch {
	case t.random != nil:
		return t.random.Uint64()
	case t.replayed == nil || t.at >= len(t.replayed.Decisions):
		return 0
	}
	t.at++
	return t.replayed.Decisions[t.at-1]
}

// note records an answer.
func (t *Tape) note(v uint64) uint64 {
	if t.recording != nil {
		t.recording.Decisions = append(t.recording.Decisions, v)
	}
	return v
}

// reduce maps v, which is drawn from all numbers, to 0 … n-1.
func reduce(v, n uint64) int {
	hi, _ := bits.Mul64(v, n)
	return int(hi)
}

// fraction maps v, which is drawn from all numbers, to [0, 1).
func fraction(v uint64) float64 { return float64(v>>11) / (1 << 53) }

package tape

import "slices"

// Budget bounds what Reduce may spend.
type Budget struct {
	// Runs is how often at most the program is run.
	Runs int
	// Stop, if it is not nil, is asked before every run; true ends the
	// reduction with what has been reached. It is the place for a deadline:
	// this package knows no clock.
	Stop func() bool
}

// Reduce makes a recording smaller that makes a program fail. It is the
// decisions that are reduced, never the seed: another seed is another run.
//
// fails runs the program with the decisions of the tape that it is given, which
// replays and records, and says whether the program still fails. It should
// insist on the same kind of failure, or the reduction may end at another one.
// It must be a function of the tape alone; then so is the result, which fails
// too, and of which no part that the passes below try can be spared, unless the
// budget ends first. Should r itself not fail, which costs one run, r is
// returned as it is.
//
// What is tried, until none of it helps any more: to leave out spans, from the
// outermost, which are the largest, to the innermost; to leave them out together
// with the decision before, which may have been whether there is another; to make
// decisions mild, those of whole spans first, then single ones; to lower what is
// left; and to leave out single decisions. Each is tried with all at once, then
// by halves, and from the end, so that a tail that nothing needs goes first.
//
// A program that is replayed never records more than it was given: an answer
// modulo what the question allows is no larger, and after the end all is mild.
// So what a run has really consumed, which is what Reduce goes on with, is
// never larger than what was tried, and the reduction ends.
func Reduce(r *Recording, fails func(*Tape) bool, budget Budget) *Recording {
	s := &reducer{fails: fails, budget: budget, tried: make(map[uint64]struct{})}
	if !s.attempt(r.Decisions) {
		return r
	}
	for progress := true; progress && !s.spent(); {
		progress = s.sweepSpans(filled, leaveOut)
		progress = s.sweepSpans(chosen, leaveOut) || progress
		progress = s.sweepSpans(wild, makeMild) || progress
		progress = s.sweep(func() []Span { return wild(s.current, singles(s.current)) }, makeMild) || progress
		progress = s.lower() || progress
		progress = s.sweep(func() []Span { return singles(s.current) }, leaveOut) || progress
	}
	return s.current
}

// reducer is a reduction under way.
type reducer struct {
	fails   func(*Tape) bool
	budget  Budget
	runs    int
	current *Recording          // the smallest that failed
	tried   map[uint64]struct{} // digests of what need not be tried again
}

// spent reports whether the budget is used up.
func (s *reducer) spent() bool {
	return s.runs >= s.budget.Runs || s.budget.Stop != nil && s.budget.Stop()
}

// attempt reports whether the program fails with these decisions. If so, what
// it consumed of them is the current recording.
func (s *reducer) attempt(decisions []uint64) bool {
	key := digest(decisions)
	if _, known := s.tried[key]; known || s.spent() {
		return false
	}
	s.tried[key] = struct{}{}
	s.runs++
	t := Replay(&Recording{Decisions: decisions})
	t.Record()
	if !s.fails(t) {
		return false
	}
	s.current = trim(t.recording)
	return true
}

// sweepSpans applies change to the spans of each depth that pick picks.
func (s *reducer) sweepSpans(pick func(*Recording, []Span) []Span, change change) (progress bool) {
	for depth := 0; depth < len(levels(s.current)); depth++ {
		units := func() []Span {
			if all := levels(s.current); depth < len(all) {
				return pick(s.current, all[depth])
			}
			return nil
		}
		progress = s.sweep(units, change) || progress
	}
	return progress
}

// A change returns other decisions, in which something has been done to units,
// which are in order and do not overlap.
type change func(decisions []uint64, units []Span) []uint64

// sweep applies change to all units, to each half of them, and so on down to
// single ones, and keeps what still fails. It goes from the end to the
// beginning: a change leaves everything before it as it was, so that the units
// there keep their numbers.
func (s *reducer) sweep(units func() []Span, change change) (progress bool) {
	list := units()
	for size := len(list); size > 0; size /= 2 {
		for end := len(list); end > 0 && !s.spent(); {
			start := max(0, end-size)
			if s.attempt(change(s.current.Decisions, list[start:end])) {
				progress = true
				list = units()
			}
			end = min(start, len(list))
		}
	}
	return progress
}

// lower searches, for each decision, for a smaller one with which the program
// fails: by halves between 0, which makeMild has tried, and what is known to
// fail. It ends at a value whose predecessor does not fail.
func (s *reducer) lower() (progress bool) {
	for i := len(s.current.Decisions) - 1; i >= 0 && !s.spent(); i-- {
		low := uint64(0)
		for i < len(s.current.Decisions) && s.current.Decisions[i] > low+1 {
			middle := low + (s.current.Decisions[i]-low)/2
			candidate := slices.Clone(s.current.Decisions)
			candidate[i] = middle
			if s.attempt(candidate) {
				progress = true
			} else {
				low = middle
			}
		}
	}
	return progress
}

// leaveOut is the change that leaves units out.
func leaveOut(decisions []uint64, units []Span) []uint64 {
	var rest []uint64
	at := 0
	for _, u := range units {
		rest = append(rest, decisions[at:u.Start]...)
		at = u.End
	}
	return append(rest, decisions[at:]...)
}

// makeMild is the change that answers 0 throughout units.
func makeMild(decisions []uint64, units []Span) []uint64 {
	mild := slices.Clone(decisions)
	for _, u := range units {
		clear(mild[u.Start:u.End])
	}
	return mild
}

// filled picks the spans that hold a decision.
func filled(_ *Recording, spans []Span) []Span {
	return pick(spans, func(s Span) bool { return s.Start < s.End })
}

// chosen picks the spans that follow a decision that is not in the span before,
// and adds that decision.
func chosen(_ *Recording, spans []Span) []Span {
	var picked []Span
	end := 0
	for _, s := range spans {
		if s.Start > end {
			picked = append(picked, Span{Start: s.Start - 1, End: s.End})
		}
		end = s.End
	}
	return picked
}

// wild picks the spans that hold a decision other than 0.
func wild(r *Recording, spans []Span) []Span {
	return pick(spans, func(s Span) bool {
		return slices.ContainsFunc(r.Decisions[s.Start:s.End], func(v uint64) bool { return v != 0 })
	})
}

func pick(spans []Span, good func(Span) bool) []Span {
	var picked []Span
	for _, s := range spans {
		if good(s) {
			picked = append(picked, s)
		}
	}
	return picked
}

// singles returns a span for each decision.
func singles(r *Recording) []Span {
	spans := make([]Span, len(r.Decisions))
	for i := range spans {
		spans[i] = Span{Start: i, End: i + 1}
	}
	return spans
}

// levels returns the spans of r by depth, the outermost first.
func levels(r *Recording) [][]Span {
	var (
		byDepth [][]Span
		ends    []int // of the spans around
	)
	for _, s := range r.Spans {
		for len(ends) > 0 && ends[len(ends)-1] <= s.Start {
			ends = ends[:len(ends)-1]
		}
		if len(ends) == len(byDepth) {
			byDepth = append(byDepth, nil)
		}
		byDepth[len(ends)] = append(byDepth[len(ends)], s)
		ends = append(ends, s.End)
	}
	return byDepth
}

// trim returns r without its mild end, and without the spans that are empty then.
func trim(r *Recording) *Recording {
	n := len(withoutMildEnd(r.Decisions))
	trimmed := &Recording{Decisions: slices.Clone(r.Decisions[:n])}
	for _, s := range settled(r) {
		if s.End = min(s.End, n); s.Start < s.End {
			trimmed.Spans = append(trimmed.Spans, s)
		}
	}
	return trimmed
}

// withoutMildEnd returns decisions without the zeros at the end, which say
// nothing.
func withoutMildEnd(decisions []uint64) []uint64 {
	n := len(decisions)
	for n > 0 && decisions[n-1] == 0 {
		n--
	}
	return decisions[:n]
}

// settled returns the spans of r, those that a failure has left open ended.
func settled(r *Recording) []Span {
	spans := slices.Clone(r.Spans)
	for _, i := range r.open {
		spans[i].End = len(r.Decisions)
	}
	return spans
}

// digest is a hash of decisions, in the manner of FNV-1a but by numbers instead
// of bytes. A collision costs an attempt, nothing else.
func digest(decisions []uint64) uint64 {
	h := uint64(14695981039346656037)
	for _, v := range withoutMildEnd(decisions) {
		h = (h ^ v) * 1099511628211
		h ^= h >> 32
	}
	return h
}

package history

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"
)

// A Model says how a single, sequential copy of the service behaves.
type Model[S, I, O any] struct {
	// Init returns the state at the beginning: of a key, if Key is set.
	Init func() S
	// Apply returns the state after input and the output that it gives. It
	// must not change the state that it is given.
	Apply func(state S, input I) (S, O)
	// Key returns the part of the state that input touches. Parts are judged
	// by themselves, which is much faster. Nil: there are no parts.
	Key func(input I) string
	// SameState says whether states are equal. Nil: reflect.DeepEqual.
	SameState func(a, b S) bool
	// SameOutput says whether the service may give got where the model gives
	// want. Nil: reflect.DeepEqual.
	SameOutput func(want, got O) bool
}

// DefaultSteps is a limit for Check that a history of a few hundred operations
// per key, a dozen of them at once, is far from.
const DefaultSteps = 1_000_000

// Verdict is what Check has found.
type Verdict int

const (
	// Linearizable: there is an order that explains all answers.
	Linearizable Verdict = iota
	// NotLinearizable: there is none.
	NotLinearizable
	// Undecided: the search was given up. It is no pass: the workload has too
	// many operations at once, or too many of unknown outcome, per key.
	Undecided
)

// String returns the verdict in words.
func (v Verdict) String() string {
	return [...]string{"linearizable", "not linearizable", "undecided"}[v]
}

// Result is what Check has found, and why.
type Result struct {
	Verdict Verdict
	// Operations were judged: all but the failed ones.
	Operations int
	// Steps were taken by the search: applications and comparisons.
	Steps int
	// Key is the first one, in the order of first use, that is not
	// linearizable; or else the first one that is undecided.
	Key string

	reason string
	model  porcupine.Model
	info   porcupine.LinearizationInfo
}

// Check searches for an order of h's operations that model explains and in
// which each operation takes effect between its invocation and its answer.
// A definitely failed operation takes no effect: it is left out, so that an
// answer that shows its effect has no explanation. One of unknown outcome, or
// pending, may take effect at any time until the end, and its output is not
// looked at.
//
// steps bounds the search for each key, in applications of the model and
// comparisons of states. It is no time, so the result is the same on every
// machine. Without a bound the search can take time exponential in the number of
// operations at once, among which those of unknown outcome are until the end.
func Check[S, I, O any](model Model[S, I, O], h *History[I, O], steps int) Result {
	if model.SameState == nil {
		model.SameState = func(a, b S) bool { return reflect.DeepEqual(a, b) }
	}
	if model.SameOutput == nil {
		model.SameOutput = func(want, got O) bool { return reflect.DeepEqual(want, got) }
	}
	var result Result
	for _, part := range parts(model.Key, h) {
		c := newChecker(model, h, part.operations, steps)
		verdict := c.judge()
		result.Operations += len(part.operations)
		result.Steps += c.taken
		if verdict == Linearizable || verdict == Undecided && result.Verdict == Undecided {
			continue
		}
		result.Verdict, result.Key, result.reason = verdict, part.key, c.reason(verdict)
		result.model, result.info = c.porcupine, c.info
		if verdict == NotLinearizable {
			break
		}
	}
	return result
}

// Err returns nil for a linearizable history, and else says what is wrong.
func (r Result) Err() error {
	switch {
	case r.Verdict == Linearizable:
		return nil
	case r.Key != "":
		return fmt.Errorf("history %v: key %q: %s", r.Verdict, r.Key, r.reason)
	}
	return fmt.Errorf("history %v: %s", r.Verdict, r.reason)
}

// VisualizePath writes the history of the key in question to path, as a page of
// HTML that shows which operations can be ordered, and where that ends.
func (r Result) VisualizePath(path string) error {
	if r.Verdict == Linearizable {
		return fmt.Errorf("history: nothing to show: it is %v", r.Verdict)
	}
	if err := porcupine.VisualizePath(r.model, r.info, path); err != nil {
		return fmt.Errorf("history: visualize: %w", err)
	}
	return nil
}

// part is the operations on one key.
type part[I, O any] struct {
	key        string
	operations []Operation[I, O]
}

// parts returns, by key and in the order of first use, the operations that may
// have taken effect.
func parts[I, O any](key func(I) string, h *History[I, O]) []part[I, O] {
	var all []part[I, O]
	index := make(map[string]int)
	for _, op := range h.operations {
		if op.Outcome == Failed {
			continue
		}
		k := ""
		if key != nil {
			k = key(op.Input)
		}
		i, known := index[k]
		if !known {
			i = len(all)
			index[k] = i
			all = append(all, part[I, O]{key: k})
		}
		all[i].operations = append(all[i].operations, op)
	}
	return all
}

// checker judges one part.
type checker[S, I, O any] struct {
	operations []Operation[I, O]
	entries    []porcupine.Operation // the same
	porcupine  porcupine.Model
	info       porcupine.LinearizationInfo
	limit      int
	taken      int // steps
}

func newChecker[S, I, O any](model Model[S, I, O], h *History[I, O], operations []Operation[I, O], limit int) *checker[S, I, O] {
	c := &checker[S, I, O]{operations: operations, limit: limit}
	lanes := lanes(h, operations)
	for i, op := range operations {
		c.entries = append(c.entries, porcupine.Operation{
			ClientId: lanes[i], Input: op, Output: op, Call: int64(op.call), Return: int64(h.until(op)),
			Metadata: describeClient(op),
		})
	}
	c.porcupine = porcupine.Model{
		Init:              func() any { return model.Init() },
		Step:              c.step(model),
		Equal:             c.equal(model),
		DescribeOperation: func(input, _ any) string { return describe(input.(Operation[I, O])) },
		DescribeState:     func(state any) string { return fmt.Sprintf("%+v", state) },
	}
	return c
}

// step is the model's Apply for porcupine. Past the limit it refuses
// everything, which ends the search without a clock.
func (c *checker[S, I, O]) step(model Model[S, I, O]) func(state, input, _ any) (bool, any) {
	return func(state, input, _ any) (bool, any) {
		if c.taken++; c.taken > c.limit {
			return false, state
		}
		op := input.(Operation[I, O])
		next, output := model.Apply(state.(S), op.Input)
		return op.Outcome != OK || model.SameOutput(output, op.Output), next
	}
}

// equal is the model's SameState for porcupine. It counts as a step: where many
// orders of the same operations are possible, comparing is most of the work.
func (c *checker[S, I, O]) equal(model Model[S, I, O]) func(a, b any) bool {
	return func(a, b any) bool {
		c.taken++
		return model.SameState(a.(S), b.(S))
	}
}

// judge searches, and again for the reason if there is no order.
func (c *checker[S, I, O]) judge() Verdict {
	if porcupine.CheckOperations(c.porcupine, c.entries) {
		return Linearizable
	}
	verdict, taken := NotLinearizable, c.taken
	if taken > c.limit {
		verdict, taken = Undecided, c.limit
	}
	c.taken = 0
	_, c.info = porcupine.CheckOperationsVerbose(c.porcupine, c.entries, 0)
	c.taken, c.limit = taken, math.MaxInt // the visualization repeats steps
	return verdict
}

// reason explains a verdict.
func (c *checker[S, I, O]) reason(verdict Verdict) string {
	order := c.longest()
	var b strings.Builder
	switch verdict {
	case Undecided:
		fmt.Fprintf(&b, "given up after %d steps with %d of %d operations in order", c.taken, len(order), len(c.operations))
	default:
		fmt.Fprintf(&b, "at most %d of %d operations can be put in order", len(order), len(c.operations))
	}
	const shown = 3
	for _, i := range order[max(0, len(order)-shown):] {
		fmt.Fprintf(&b, "\n  in order:    %s", describeFull(c.operations[i]))
	}
	if i := c.unexplained(order); i >= 0 {
		fmt.Fprintf(&b, "\n  unexplained: %s", describeFull(c.operations[i]))
	}
	return b.String()
}

// longest returns the longest order that was found, and of those of one length
// the first, since porcupine returns them in random order.
func (c *checker[S, I, O]) longest() []int {
	orders := c.info.PartialLinearizations()[0]
	return slices.MaxFunc(append(orders, nil), func(a, b []int) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return slices.Compare(b, a)
	})
}

// unexplained returns the operation, not in order, that was answered first, or
// -1.
func (c *checker[S, I, O]) unexplained(order []int) int {
	first := -1
	for i, op := range c.operations {
		if op.Outcome == OK && !slices.Contains(order, i) && (first < 0 || op.answer < c.operations[first].answer) {
			first = i
		}
	}
	return first
}

package history

import (
	"cmp"
	"fmt"
	"slices"
)

// describe returns what was asked and what the answer was.
func describe[I, O any](op Operation[I, O]) string {
	if op.Outcome == OK {
		return fmt.Sprintf("%+v -> %+v", op.Input, op.Output)
	}
	return fmt.Sprintf("%+v -> (%v)", op.Input, op.Outcome)
}

// describeClient returns who asked, and when.
func describeClient[I, O any](op Operation[I, O]) string {
	if op.Outcome == Pending {
		return fmt.Sprintf("client %d, from %v", op.Client, op.Invoked)
	}
	return fmt.Sprintf("client %d, %v to %v", op.Client, op.Invoked, op.Answered)
}

func describeFull[I, O any](op Operation[I, O]) string {
	return describeClient(op) + ": " + describe(op)
}

// lanes assigns each operation a line of the visualization: lines of one client
// follow each other, and operations on a line do not overlap. An operation that
// may take effect at any time occupies its line for good, though its client
// goes on.
func lanes[I, O any](h *History[I, O], operations []Operation[I, O]) []int {
	type lane struct{ client, free int }
	var all []lane
	assigned := make([]int, len(operations)) // in all
	for i, op := range operations {
		at := slices.IndexFunc(all, func(l lane) bool { return l.client == op.Client && l.free < op.call })
		if at < 0 {
			at = len(all)
			all = append(all, lane{client: op.Client})
		}
		all[at].free = h.until(op)
		assigned[i] = at
	}
	sorted := make([]int, len(all))
	for i := range sorted {
		sorted[i] = i
	}
	slices.SortStableFunc(sorted, func(a, b int) int { return cmp.Compare(all[a].client, all[b].client) })
	for i, at := range assigned {
		assigned[i] = slices.Index(sorted, at)
	}
	return assigned
}

package history

import "fmt"

// CheckApplied judges a history by the commands that were applied, in their
// order, which needs no search: every acknowledged command is among them
// exactly once, every other at most once, one that definitely failed not at
// all, and none that nobody asked for; and a command that was acknowledged
// before another was asked for comes before it. The error names the command.
//
// command returns what identifies an operation's command in applied, and whether
// it is one: a read is none.
func CheckApplied[I, O any, C comparable](h *History[I, O], applied []C, command func(I) (C, bool)) error {
	asked := make(map[C]int) // operations by command
	for i, op := range h.operations {
		c, is := command(op.Input)
		if !is {
			continue
		}
		if first, twice := asked[c]; twice {
			return fmt.Errorf("command %v is asked for by operations %d and %d: it does not identify one", c, first, i)
		}
		asked[c] = i
	}
	seen := make(map[C]int, len(applied)) // positions
	for at, c := range applied {
		i, known := asked[c]
		if first, twice := seen[c]; twice {
			return fmt.Errorf("command %v is applied twice, as number %d and number %d", c, first, at)
		}
		switch {
		case !known:
			return fmt.Errorf("command %v is applied, as number %d, and nobody asked for it", c, at)
		case h.operations[i].Outcome == Failed:
			return fmt.Errorf("command %v is applied, as number %d, after client %d was told that it failed",
				c, at, h.operations[i].Client)
		}
		seen[c] = at
	}
	for _, op := range h.operations {
		if c, is := command(op.Input); is && op.Outcome == OK {
			if _, found := seen[c]; !found {
				return fmt.Errorf("command %v, acknowledged to client %d at %v, is lost", c, op.Client, op.Answered)
			}
		}
	}
	return checkOrder(h, applied, asked)
}

// checkOrder finds a command that comes before one that was acknowledged before
// it was asked for.
func checkOrder[I, O any, C comparable](h *History[I, O], applied []C, asked map[C]int) error {
	earliest, by := h.never(), 0 // answer among the commands behind
	for at := len(applied) - 1; at >= 0; at-- {
		op := h.operations[asked[applied[at]]]
		if op.call > earliest {
			return fmt.Errorf("command %v is applied before %v, which was acknowledged before the former was asked for",
				applied[at], applied[by])
		}
		if until := h.until(op); until < earliest {
			earliest, by = until, at
		}
	}
	return nil
}

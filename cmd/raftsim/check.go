package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/seed-6281cb22/raft/internal/modelcheck"
)

// check explores every behaviour of a small group within bounds.
func check(ctx context.Context, args []string, out, errs io.Writer) (int, error) {
	flags := newFlags("check", errs)
	o := modelcheck.Options{}
	flags.IntVar(&o.Nodes, "nodes", 3, "nodes, 1 to 5")
	flags.IntVar(&o.MaxTerm, "terms", 2, "the highest term")
	flags.IntVar(&o.MaxLog, "log", 2, "the highest index")
	flags.IntVar(&o.MaxProposals, "proposals", 1, "proposals on the way to a state; -1: any number")
	flags.IntVar(&o.MaxCrashes, "crashes", 0, "crashes on the way to a state; -1: any number")
	flags.IntVar(&o.MaxTimeouts, "timeouts", 2, "election timeouts on the way to a state; -1: any number")
	flags.IntVar(&o.MaxStepDowns, "stepdowns", 0, "leaders that give up on the way to a state; -1: any number")
	flags.IntVar(&o.MaxRounds, "rounds", 0, "heartbeats of a leader in its term")
	flags.IntVar(&o.MaxWrites, "writes", 0, "writes under way on a node that goes on; 0: a write is done at once")
	flags.IntVar(&o.Voters, "voters", 0, "nodes that found the group; the others wait to be added; 0: all")
	flags.IntVar(&o.MaxChanges, "changes", 0, "changes of the membership on the way to a state")
	flags.IntVar(&o.MaxTransfers, "transfers", 0, "transfers of leadership on the way to a state")
	flags.IntVar(&o.MaxCompactions, "compactions", 0, "snapshots on the way to a state")
	flags.IntVar(&o.MaxDepth, "depth", 0, "events on the way to a state; 0: any number")
	flags.IntVar(&o.MaxStates, "states", 0, "end after so many states; 0: never")
	if err := parse(flags, args, 0); err != nil {
		return 0, err
	}
	if err := o.Validate(); err != nil {
		return 0, err
	}
	line, last := newStatusLine(out), time.Now()
	report, err := modelcheck.Check(ctx, o, func(p modelcheck.Progress) {
		if time.Since(last) < line.interval {
			return
		}
		last = time.Now()
		line.show(fmt.Sprintf("%v  depth %d: %s states, %s transitions, %s to do", p.Elapsed.Round(time.Second), p.Depth,
			count(uint64(p.States)), count(uint64(p.Transitions)), count(uint64(p.Frontier))))
	})
	line.clear()
	if err != nil && ctx.Err() == nil {
		return 0, err
	}
	how := "explored all of it"
	if !report.Complete {
		how = "not complete"
	}
	fmt.Fprintf(out, "%s: %s states, %s transitions, up to %d events, in %v (%s states of single nodes, %s messages)\n", how,
		count(uint64(report.States)), count(uint64(report.Transitions)), report.Depth, report.Elapsed.Round(time.Millisecond),
		count(uint64(report.NodeStates)), count(uint64(report.Messages)))
	if v := report.Violation; v != nil {
		fmt.Fprintf(out, "\nFOUND after %d events: %s\n", v.Events, v.Broken)
		for _, line := range v.Transcript {
			fmt.Fprintln(out, line)
		}
		return found, nil
	}
	fmt.Fprintln(out, "nothing found")
	return clean, nil
}

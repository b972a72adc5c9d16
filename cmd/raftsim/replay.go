package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/seed-6281cb22/raft/internal/tape"
)

// replay shows what happens in one simulation.
func replay(_ context.Context, args []string, out, errs io.Writer) (int, error) {
	flags := newFlags("replay", errs)
	seed := flags.Uint64("seed", 0, "the seed, if there is no file")
	nodes := flags.Int("nodes", 0, "the size of the cluster, as in the run that is repeated")
	name := flags.String("engine", "stack", "stack or core; a file says which")
	if err := parse(flags, args, 1); err != nil {
		return 0, err
	}
	decisions := tape.FromSeed(*seed)
	if path := flags.Arg(0); path != "" {
		file, err := tape.ReadFile(path)
		if err != nil {
			return 0, err
		}
		decisions = tape.Replay(file.Recording)
		if *name = file.Header["engine"]; file.Header["nodes"] != "" {
			if _, err := fmt.Sscan(file.Header["nodes"], nodes); err != nil {
				return 0, fmt.Errorf("%s: nodes: %w", path, err)
			}
		}
	}
	e := newEngine(*name, *nodes)
	if e == nil {
		return 0, fmt.Errorf("no engine %q; there are %s", *name, strings.Join(engineNames, " and "))
	}
	transcript, err := e.show(decisions)
	fmt.Fprintln(out, strings.TrimRight(transcript, "\n"))
	if err != nil {
		fmt.Fprintf(out, "\nFOUND %v\n", err)
		return found, nil
	}
	fmt.Fprintln(out, "nothing found")
	return clean, nil
}


package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/seed-6281cb22/raft/internal/coresim"
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
	path := flags.Arg(0)
	if path != "" {
		if err := ofFile(path, name, nodes); err != nil {
			return 0, err
		}
	}
	e := newEngine(*name, *nodes)
	if e == nil {
		return 0, fmt.Errorf("no engine %q; there are %s", *name, strings.Join(engineNames, " and "))
	}
	transcript, err := e.show(*seed, path)
	fmt.Fprintln(out, strings.TrimRight(transcript, "\n"))
	if err != nil {
		fmt.Fprintf(out, "\nFOUND %v\n", err)
		return found, nil
	}
	fmt.Fprintln(out, "nothing found")
	return clean, nil
}

// ofFile takes from a file what it was recorded with.
func ofFile(path string, name *string, nodes *int) error {
	file, err := tape.ReadFile(path)
	if err != nil {
		return err
	}
	switch header := file.Header; header["engine"] {
	case coresim.Engine:
		*name = "core"
		if _, err := fmt.Sscan(header["nodes"], nodes); err != nil {
			return fmt.Errorf("%s: nodes: %w", path, err)
		}
	case "rafttest":
		*name = "stack"
		if header["test"] != testName {
			return fmt.Errorf("%s is of a simulation in %s: RAFTTEST_TAPE=%s go test -run '^%[2]s$'", path, header["test"], path)
		}
	default:
		return fmt.Errorf("%s is of an engine that raftsim does not have, %q", path, header["engine"])
	}
	return nil
}

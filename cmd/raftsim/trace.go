package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/seed-6281cb22/raft/internal/etcdtrace"
	"github.com/seed-6281cb22/raft/internal/tape"
)

// trace writes a simulation of bare cores for etcd-io/raft's TLA+ trace
// specification, see docs/trace.md.
func trace(_ context.Context, args []string, out, errs io.Writer) (status int, err error) {
	flags := newFlags("trace", errs)
	seed := flags.Uint64("seed", 1, "the seed")
	path := flags.String("o", "", "the file to write; standard output, if not given")
	if err := parse(flags, args, 0); err != nil {
		return 0, err
	}
	if *path != "" {
		file, err := os.Create(*path)
		if err != nil {
			return 0, err
		}
		defer file.Close()
		out = file
	}
	record, failed := etcdtrace.Simulate(tape.FromSeed(*seed))
	to := bufio.NewWriter(out)
	if _, err := record.WriteTo(to); err != nil {
		return 0, err
	}
	if err := to.Flush(); err != nil {
		return 0, err
	}
	if why := record.Ended(); why != "" {
		fmt.Fprintf(errs, "the trace ends before the run: %s\n", why)
	}
	if failed != nil {
		fmt.Fprintf(errs, "FOUND %v\n", failed)
		return found, nil
	}
	return clean, nil
}

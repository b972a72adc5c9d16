// Command kv is a replicated key-value store: the library's example, its
// smoke test and its tutorial. Read it in this order:
//
//	command.go  what a client can ask for, and its form in the log
//	store.go    the state machine that is replicated
//	replica.go  state machine + node + log + transport = a replica
//	demo.go     kv: three replicas in this process, a crash, a move, a proof that nothing was lost
//	serve.go    kv serve: one replica of a cluster of processes
//	http.go     … and its HTTP API
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `kv is a key-value store replicated with Raft.

  kv             runs a demonstration: three replicas in this process, load,
                 a crash of the leader, recovery, a new replica in place of
                 the leader, and a check that nothing that was acknowledged
                 is lost. Takes a few seconds.
  kv serve ...   runs one replica of a cluster; kv serve -h lists the flags.
`

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main without the process around it.
func run(ctx context.Context, args []string, stdout *os.File, stderr io.Writer) int {
	switch {
	case len(args) == 0:
		return runDemo(ctx, stdout, stderr)
	case args[0] == "serve":
		return runServe(ctx, args[1:], stderr)
	case args[0] == "help" || args[0] == "-h" || args[0] == "-help" || args[0] == "--help":
		fmt.Fprint(stdout, usage)
		return exitOK
	}
	fmt.Fprintf(stderr, "kv: unknown command %q\n\n%s", args[0], usage)
	return exitUsage
}

// runServe parses the flags of kv serve and runs it.
func runServe(ctx context.Context, args []string, stderr io.Writer) int {
	options, err := parseServeFlags(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(stderr, "kv serve: %v\n", err)
		return exitUsage
	}
	if err := serve(ctx, options, stderr); err != nil {
		fmt.Fprintf(stderr, "kv serve: %v\n", err)
		return exitFailed
	}
	return exitOK
}

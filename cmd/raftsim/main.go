// Command raftsim runs the library's simulations and its model checker, for as
// long as one likes, and shows what they find.
//
//	go run ./cmd/raftsim soak -duration 10m     simulate, seed after seed, on all cores
//	go run ./cmd/raftsim replay -seed 7         show what happens in one of them
//	go run ./cmd/raftsim replay failed.tape     the same for one that a failure has left
//	go run ./cmd/raftsim check -nodes 3 -terms 3 -log 3   explore every behaviour within bounds
//	go run ./cmd/raftsim trace -seed 7          write a run for etcd-io/raft's TLA+ specification
//
// It exits with 0 if nothing is wrong, with 1 if something was found, and with
// 2 if it was not called properly.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
)

func main() {
	// What runs leave behind is small and short-lived, and memory is plenty.
	debug.SetGCPercent(400)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// What raftsim exits with.
const (
	clean  = 0
	found  = 1
	misuse = 2
)

const usage = `usage: raftsim COMMAND [flags]

  soak     run simulations, seed after seed, on all cores
  replay   show what happens in one simulation
  check    explore every behaviour within small bounds
  trace    write a simulation for etcd-io/raft's TLA+ trace specification

raftsim COMMAND -h shows a command's flags.
`

// commands are the subcommands.
var commands = map[string]func(ctx context.Context, args []string, out, errs io.Writer) (int, error){
	"soak":   soak,
	"replay": replay,
	"check":  check,
	"trace":  trace,
}

// errUsage says that the flags were wrong, and that this has been said.
var errUsage = errors.New("usage")

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	if len(args) == 0 || commands[args[0]] == nil {
		fmt.Fprint(errs, usage)
		if len(args) > 0 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help" || args[0] == "help") {
			return clean
		}
		return misuse
	}
	status, err := commands[args[0]](ctx, args[1:], out, errs)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return clean
	case errors.Is(err, errUsage):
		return misuse
	case err != nil:
		fmt.Fprintf(errs, "raftsim %s: %v\n", args[0], err)
		return misuse
	}
	return status
}

// parse parses the flags of a command that takes at most so many arguments
// beside them.
func parse(flags *flag.FlagSet, args []string, arguments int) error {
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if flags.NArg() > arguments {
		return fmt.Errorf("unexpected argument %q", flags.Arg(arguments))
	}
	return nil
}

func newFlags(name string, errs io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet("raftsim "+name, flag.ContinueOnError)
	flags.SetOutput(errs)
	return flags
}

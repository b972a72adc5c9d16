// Command raftctl shows what the library keeps on disk.
//
//	go run ./cmd/raftctl wal info DIR     what a write-ahead log holds: files, segments, groups
//	go run ./cmd/raftctl wal dump DIR     every record of it
//	go run ./cmd/raftctl wal verify DIR   read all of it, and say what is damaged
//
// With -json, before DIR, the output is for programs: the fields are those of
// wal.Inspection.
//
// It never writes to the directory. While it reads, it holds the directory's
// lock, so that no process opens the log meanwhile; a log that is in use is
// read nevertheless, with a warning: what it reads may then be of different
// moments.
//
// It exits with 0 if nothing is wrong, with 1 if verify has found damage, and
// with 2 if it was not called properly or cannot read the directory.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// What raftctl exits with.
const (
	clean  = 0
	found  = 1
	misuse = 2
)

const usage = `usage: raftctl wal COMMAND [flags] DIR

  info     what the write-ahead log in DIR holds: files, segments, groups
  dump     every record of it
  verify   read all of it, and say what is damaged

raftctl wal COMMAND -h shows a command's flags.
`

// commands are those of "raftctl wal".
var commands = map[string]func(args []string, out, errs io.Writer) (int, error){
	"info":   info,
	"dump":   dump,
	"verify": verify,
}

// errUsage says that the flags were wrong, and that this has been said.
var errUsage = errors.New("usage")

func run(args []string, out, errs io.Writer) int {
	if len(args) < 2 || args[0] != "wal" || commands[args[1]] == nil {
		fmt.Fprint(errs, usage)
		if n := len(args); n > 0 && isHelp(args[n-1]) {
			return clean
		}
		return misuse
	}
	status, err := commands[args[1]](args[2:], out, errs)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return clean
	case errors.Is(err, errUsage):
		return misuse
	case err != nil:
		fmt.Fprintf(errs, "raftctl wal %s: %v\n", args[1], err)
		return misuse
	}
	return status
}

func isHelp(arg string) bool {
	return arg == "-h" || arg == "-help" || arg == "--help" || arg == "help"
}

// parse parses a command's flags and returns the directory.
func parse(flags *flag.FlagSet, args []string) (dir string, err error) {
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return "", err
		}
		return "", errUsage
	}
	switch flags.NArg() {
	case 0:
		return "", errors.New("no directory given")
	case 1:
		return flags.Arg(0), nil
	}
	return "", fmt.Errorf("unexpected argument %q: flags stand before the directory", flags.Arg(1))
}

func newFlags(name string, errs io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet("raftctl wal "+name, flag.ContinueOnError)
	flags.SetOutput(errs)
	return flags
}

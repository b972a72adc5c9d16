// Command bench compares parts of the library with others that do the same
// work, side by side in one run, since numbers from different hours of a
// shared machine say little about each other.
//
//	go run . wal [-quick] [-rounds N] [-round D] [-dir DIR]
//	go run . transport [-quick] [-rounds N] [-round D]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/seed-6281cb22/raft/bench/contender/all"
	"github.com/seed-6281cb22/raft/bench/host"
	"github.com/seed-6281cb22/raft/bench/transport"
	"github.com/seed-6281cb22/raft/bench/wal"
)

const usage = `usage: bench wal [-quick] [-rounds N] [-round D] [-dir DIR]
       bench transport [-quick] [-rounds N] [-round D]`

func main() {
	if len(os.Args) == 3 && os.Args[1] == host.Argument { // a process of a benchmark that needs several
		if err := host.Main(os.Args[2], all.Libraries); err != nil {
			fmt.Fprintln(os.Stderr, "bench: host:", err)
			os.Exit(1)
		}
		return
	}
	benchmarks := map[string]func(context.Context, []string) error{"wal": runWAL, "transport": runTransport}
	var run func(context.Context, []string) error
	if len(os.Args) > 1 {
		run = benchmarks[os.Args[1]]
	}
	if run == nil {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func runWAL(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench wal", flag.ExitOnError)
	quick := flags.Bool("quick", false, "51 rounds of 20 ms, about half a minute in all, instead of -rounds and -round")
	rounds := flags.Int("rounds", 201, "how often each log takes its turn")
	round := flags.Duration("round", 20*time.Millisecond, "how long a turn is")
	dir := flags.String("dir", ".", "where to make a directory for the logs: on the disk to be measured")
	flags.Parse(args)
	if *quick {
		*rounds, *round = 51, 20*time.Millisecond
	}
	return wal.Run(ctx, wal.Options{Dir: *dir, Rounds: *rounds, Round: *round, Out: os.Stdout})
}

func runTransport(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench transport", flag.ExitOnError)
	quick := flags.Bool("quick", false, "21 rounds of 50 ms, less than a minute in all, instead of -rounds and -round")
	rounds := flags.Int("rounds", 101, "how often each contender takes its turn")
	round := flags.Duration("round", 50*time.Millisecond, "how long a turn is")
	flags.Parse(args)
	if *quick {
		*rounds, *round = 21, 50*time.Millisecond
	}
	return transport.Run(ctx, transport.Options{Rounds: *rounds, Round: *round, Out: os.Stdout})
}

// Command bench compares parts of the library with others that do the same
// work, side by side in one run, since numbers from different hours of a
// shared disk say little about each other.
//
//	go run . wal [-quick] [-rounds N] [-round D] [-dir DIR]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/seed-6281cb22/raft/bench/wal"
)

func main() {
	if len(os.Args) < 2 || os.Args[1] != "wal" {
		fmt.Fprintln(os.Stderr, "usage: bench wal [-quick] [-rounds N] [-round D] [-dir DIR]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := runWAL(ctx, os.Args[2:]); err != nil {
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

// Command bench compares parts of the library with others that do the same
// work, side by side in one run, since numbers from different hours of a
// shared machine say little about each other.
//
//	go run . -quick    # all of these, in short
//	go run . wal [-quick] [-rounds N] [-round D] [-dir DIR]
//	go run . transport [-quick] [-rounds N] [-round D]
//	go run . core [-quick] [-rounds N] [-long-rounds N] [-round D] [-procs N]
//	go run . codec [-quick] [-rounds N] [-round D] [-procs N]
//	go run . cluster [-quick] [-rounds N] [-round D] [-dir DIR] [-only A,B] [-cases REGEXP] [-plot DIR] [-cpuprofile DIR]
//	go run . failover [-quick] [-n N] [-faults LIST] [-timings LIST] [-only LIST] [-limit D] [-load D] [-dir DIR]
//	go run . recovery [-quick] [-bytes N] [-n N] [-only LIST] [-dir DIR]
//	go run . memory [-quick] [-load D] [-bytes N] [-only LIST] [-dir DIR]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/seed-6281cb22/raft/bench/cluster"
	"github.com/seed-6281cb22/raft/bench/codec"
	"github.com/seed-6281cb22/raft/bench/core"
	"github.com/seed-6281cb22/raft/bench/host"
	"github.com/seed-6281cb22/raft/bench/internal/children"
	"github.com/seed-6281cb22/raft/bench/transport"
	"github.com/seed-6281cb22/raft/bench/wal"
)

const usage = `usage: bench -quick    all of these, in short
       bench wal [-quick] [-rounds N] [-round D] [-dir DIR]
       bench transport [-quick] [-rounds N] [-round D]
       bench core [-quick] [-rounds N] [-long-rounds N] [-round D] [-procs N]
       bench codec [-quick] [-rounds N] [-round D] [-procs N]
       bench cluster [-quick] [-rounds N] [-round D] [-dir DIR] [-only A,B] [-cases REGEXP] [-plot DIR] [-cpuprofile DIR]
       bench failover [-quick] [-n N] [-faults LIST] [-timings LIST] [-only LIST] [-limit D] [-load D] [-dir DIR]
       bench recovery [-quick] [-bytes N] [-n N] [-only LIST] [-dir DIR]
       bench memory [-quick] [-load D] [-bytes N] [-only LIST] [-dir DIR]`

func main() {
	benchmarks := map[string]func(context.Context, []string) error{
		"-quick":         runQuickly,
		children.Command: func(_ context.Context, args []string) error { return children.Serve(args) },
		host.Argument:    func(_ context.Context, args []string) error { return host.Main(args[0], cluster.Libraries()) },
	}
	for _, b := range suite {
		benchmarks[b.name] = b.run
	}
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

func runCore(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench core", flag.ExitOnError)
	quick := flags.Bool("quick", false, "9 rounds of 10 ms (2 of the long ones), about half a minute in all, instead of -rounds, -long-rounds and -round")
	rounds := flags.Int("rounds", 51, "how often each contender takes its turn")
	longRounds := flags.Int("long-rounds", 11, "the same, where a turn is one operation that takes its time to prepare")
	round := flags.Duration("round", 50*time.Millisecond, "how long a turn is")
	procs := flags.Int("procs", 1, "GOMAXPROCS of each contender")
	flags.Parse(args)
	if *quick {
		*rounds, *longRounds, *round = 9, 2, 10*time.Millisecond
	}
	return core.Run(ctx, core.Options{Rounds: *rounds, LongRounds: *longRounds, Round: *round, Procs: *procs, Out: os.Stdout})
}

func runCodec(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench codec", flag.ExitOnError)
	quick := flags.Bool("quick", false, "21 rounds of 10 ms, a few seconds in all, instead of -rounds and -round")
	rounds := flags.Int("rounds", 101, "how often each contender takes its turn")
	round := flags.Duration("round", 50*time.Millisecond, "how long a turn is")
	procs := flags.Int("procs", 1, "GOMAXPROCS of each contender")
	flags.Parse(args)
	if *quick {
		*rounds, *round = 21, 10*time.Millisecond
	}
	return codec.Run(ctx, codec.Options{Rounds: *rounds, Round: *round, Procs: *procs, Out: os.Stdout})
}

func runCluster(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench cluster", flag.ExitOnError)
	quick := flags.Bool("quick", false, "3 rounds of 300 ms, one process and few workloads, about a minute and a half in all, instead of -rounds and -round")
	rounds := flags.Int("rounds", 5, "how often each contender takes its turn")
	round := flags.Duration("round", time.Second, "how long a turn is")
	dir := flags.String("dir", ".", "where to make a directory for the logs: on the disk to be measured")
	only := flags.String("only", "", "contenders, by their names in the tables, with commas between; empty: all")
	cases := flags.String("cases", "", "of the titles like \"three nodes in one process, fsync, writes of 16 B, 256 clients\", only those that match this regular expression")
	plot := flags.String("plot", "", "draw throughput and latency into this directory, and measure 4 and 64 clients, too")
	profiles := flags.String("cpuprofile", "", "have each host write a CPU profile of each of its turns into this directory")
	flags.Parse(args)
	if *quick {
		*rounds, *round = 3, 300*time.Millisecond
	}
	o := cluster.Options{
		Dir: *dir, Rounds: *rounds, Round: *round, Quick: *quick, Plot: *plot, CPUProfiles: *profiles, Out: os.Stdout, Log: os.Stderr,
	}
	if !*quick {
		o.Season, o.SeasonSeconds = 150_000, 10 // beyond the first snapshot
	}
	if *only != "" {
		o.Only = strings.Split(*only, ",")
	}
	if *cases != "" {
		matching, err := regexp.Compile(*cases)
		if err != nil {
			return err
		}
		o.Cases = matching
	}
	return cluster.Run(ctx, o)
}

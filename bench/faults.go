package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/seed-6281cb22/raft/bench/contender"
	"github.com/seed-6281cb22/raft/bench/contender/all"
	"github.com/seed-6281cb22/raft/bench/failover"
	"github.com/seed-6281cb22/raft/bench/recovery"
)

// perLibrary has each library once, with its default log.
const perLibrary = all.Ours + "," + all.EtcdRaft + "," + all.Hashicorp + "," + all.Pebble

func runFailover(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench failover", flag.ExitOnError)
	quick := flags.Bool("quick", false, "3 kills each, by default settings only; with -load 20 s, instead of -n, -faults and -timings")
	runs := flags.Int("n", 30, "how often each leader fails in each way")
	faults := flags.String("faults", "", "which: "+strings.Join(failover.FaultNames(), ",")+" (default: all)")
	timings := flags.String("timings", "default,aggressive", "by which settings")
	only := flags.String("only", perLibrary, "which libraries")
	limit := flags.Duration("limit", failover.DefaultLimit, "how long a failover is waited for")
	load := flags.Duration("load", 0, "instead, keep each cluster busy for so long, and count elections")
	stalls := flags.Bool("stalls", false, "with -load: stop all nodes now and then, and wake them one after the other")
	dir := flags.String("dir", ".", "where to make directories for the nodes: on the disk to be measured")
	flags.Parse(args)
	if *quick {
		*runs, *faults, *timings, *load = 3, "kill", string(contender.Default), min(*load, 20*time.Second)
	}
	libraries, err := chosen(*only, strings.Split(perLibrary, ","))
	if err != nil {
		return err
	}
	faultNames, err := chosen(*faults, failover.FaultNames())
	if err != nil {
		return err
	}
	timingNames, err := chosen(*timings, []string{string(contender.Default), string(contender.Aggressive)})
	if err != nil {
		return err
	}
	var by []contender.Timing
	for _, t := range timingNames {
		by = append(by, contender.Timing(t))
	}
	if *stalls && *load <= 0 {
		return fmt.Errorf("-stalls is for -load")
	}
	if *load > 0 {
		return failover.RunLoad(ctx, failover.LoadOptions{Dir: *dir, Libraries: libraries, Timings: by, Duration: *load, Stalls: *stalls, Out: os.Stdout, Log: os.Stderr})
	}
	return failover.Run(ctx, failover.Options{
		Dir: *dir, Libraries: libraries, Timings: by, Faults: faultNames, Runs: *runs, Limit: *limit, Out: os.Stdout,
	})
}

// chosen returns those of names that a flag's value lists, in the order of names;
// all if it is empty.
func chosen(value string, names []string) ([]string, error) {
	if value == "" {
		return names, nil
	}
	listed := strings.Split(value, ",")
	for _, l := range listed {
		if !slices.Contains(names, l) {
			return nil, fmt.Errorf("no %q: there is %s", l, strings.Join(names, ", "))
		}
	}
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !slices.Contains(listed, n) }), nil
}

func runRecovery(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench recovery", flag.ExitOnError)
	quick := flags.Bool("quick", false, "32 MiB, once, instead of -bytes and -n")
	bytes := flags.Int64("bytes", 1<<30, "how long logs and snapshots are")
	runs := flags.Int("n", 3, "how often each is measured")
	only := flags.String("only", perLibrary, "which libraries")
	dir := flags.String("dir", ".", "where to make directories for the nodes: on the disk to be measured")
	flags.Parse(args)
	if *quick {
		*bytes, *runs = 32<<20, 1
	}
	libraries, err := chosen(*only, strings.Split(perLibrary, ","))
	if err != nil {
		return err
	}
	return recovery.Run(ctx, recovery.Options{Dir: *dir, Libraries: libraries, Bytes: *bytes, Runs: *runs, Out: os.Stdout})
}

func runMemory(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench memory", flag.ExitOnError)
	quick := flags.Bool("quick", false, "2 s of load, instead of -load")
	load := flags.Duration("load", 10*time.Second, "how long the leader is busy, first with all followers and then with one paused")
	bytes := flags.Int("bytes", 1<<10, "how long each write is")
	only := flags.String("only", perLibrary, "which libraries")
	dir := flags.String("dir", ".", "where to make directories for the nodes: on the disk to be measured")
	flags.Parse(args)
	if *quick {
		*load = 2 * time.Second
	}
	libraries, err := chosen(*only, strings.Split(perLibrary, ","))
	if err != nil {
		return err
	}
	return recovery.RunMemory(ctx, recovery.MemoryOptions{Dir: *dir, Libraries: libraries, Bytes: *bytes, Duration: *load, Out: os.Stdout})
}

// Package cluster measures the end-to-end benchmark: clients on the leader of
// three durable nodes, of this library and of others, side by side. README.md of
// the module states the conditions.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"time"

	"github.com/seed-6281cb22/raft/bench/contender"
	"github.com/seed-6281cb22/raft/bench/contender/all"
	"github.com/seed-6281cb22/raft/bench/contender/floor"
	"github.com/seed-6281cb22/raft/bench/internal/turns"
)

// Options say what to measure, and how.
type Options struct {
	Dir    string        // on the disk to be measured: logs are made in a new directory below, removed at the end
	Rounds int           // how many turns each contender takes, at least 1
	Round  time.Duration // how long a turn is, positive
	// Season is how many writes of 1 KiB each contender does at the beginning of
	// a section, or for how many seconds at most if it is slow: so that files
	// are recycled, and caches full, as in a service that has run for a while.
	Season        uint64
	SeasonSeconds int
	Quick         bool           // one process, fsync, 16 B, 1 and 256 clients only
	Only          []string       // contenders, by the names in the tables; empty: all
	Cases         *regexp.Regexp // of the titles of workloads; nil: all
	Plot          string         // a directory for curves, for which 4 and 64 clients are measured too; empty: none
	// CPUProfiles is a directory in which each host leaves a profile of each of
	// its turns; empty: none.
	CPUProfiles string
	Out         io.Writer // the tables go here
	Log         io.Writer // what hosts print goes here
}

// Floor is the name of what the machine allows.
const Floor = "floor"

// Libraries is what the host processes of this benchmark must know.
func Libraries() map[string]contender.Start {
	libraries := maps.Clone(all.Libraries)
	libraries[Floor] = floor.Start
	return libraries
}

// workload is what all contenders are asked to do.
type workload struct {
	reads   bool
	bytes   int // of a write
	clients int
}

// kind is what a table has in common.
func (w workload) kind() string {
	if w.reads {
		return "linearizable reads"
	}
	return fmt.Sprintf("writes of %d B", w.bytes)
}

// section is a set of running hosts, and what they are asked to do.
type section struct {
	processes int  // 1 or 3
	memory    bool // the logs are on a RAM disk, where fsync costs nothing
	workloads []workload
}

func (s section) title() string {
	title := "three nodes in one process"
	if s.processes > 1 {
		title = "three nodes in three processes"
	}
	if s.memory {
		return title + ", without fsync"
	}
	return title + ", fsync"
}

// memoryDir is a RAM disk, as Linux has it.
const memoryDir = "/dev/shm"

func (o Options) sections() []section {
	clients := []int{1, 16, 256, 1024}
	if o.Plot != "" {
		clients = []int{1, 4, 16, 64, 256, 1024}
	}
	kinds := []workload{{bytes: 16}, {bytes: 1024}, {reads: true}}
	places := []section{{processes: 1}, {processes: 3}, {processes: 1, memory: true}, {processes: 3, memory: true}}
	if o.Quick {
		clients, kinds, places = []int{1, 256}, []workload{{bytes: 16}, {reads: true}}, places[:1]
	}
	var sections []section
	for _, s := range places {
		for _, w := range kinds {
			for _, w.clients = range clients {
				title := fmt.Sprintf("%s, %s, %d clients", s.title(), w.kind(), w.clients)
				if o.Cases == nil || o.Cases.MatchString(title) {
					s.workloads = append(s.workloads, w)
				}
			}
		}
		if len(s.workloads) > 0 {
			sections = append(sections, s)
		}
	}
	return sections
}

// names are the contenders in the order of the tables. The floor is not one.
func (o Options) names() ([]string, error) {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(all.Libraries)), func(n string) bool { return n == all.Ours })
	names = append([]string{all.Ours}, names...)
	for _, n := range o.Only {
		if !slices.Contains(names, n) {
			return nil, fmt.Errorf("no contender %q, there are %q", n, names)
		}
	}
	if len(o.Only) > 0 {
		names = slices.DeleteFunc(names, func(n string) bool { return !slices.Contains(o.Only, n) })
	}
	return names, nil
}

// Run measures, and prints a table for each section and kind of workload, and
// the targets. It ends early, with the context's error, between two turns.
func Run(ctx context.Context, o Options) (err error) {
	if o.Rounds < 1 || o.Round <= 0 {
		return errors.New("rounds and their length must be positive")
	}
	names, err := o.names()
	if err != nil {
		return err
	}
	for _, dir := range []string{o.Plot, o.CPUProfiles} {
		if dir != "" {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
	}
	parent, err := filepath.Abs(o.Dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "%s, %s, %d CPUs, in %s\n", time.Now().Format(time.DateTime), runtime.Version(), runtime.NumCPU(), parent)
	fmt.Fprintf(o.Out, "%d rounds of turns of %v, alternating, each after %v that does not count; medians of the turns\n", o.Rounds, o.Round, o.warmup().Round(time.Millisecond))
	for _, s := range o.sections() {
		place := parent
		if s.memory {
			if _, err := os.Stat(memoryDir); err != nil {
				fmt.Fprintf(o.Out, "\n%s: not measured: %v\n", s.title(), err)
				continue
			}
			place = memoryDir
		}
		if err := o.runSection(ctx, s, names, place); err != nil {
			return fmt.Errorf("%s: %w", s.title(), err)
		}
	}
	return nil
}

func (o Options) warmup() time.Duration { return o.Round / 3 }

func (o Options) runSection(ctx context.Context, s section, names []string, place string) (err error) {
	dir, err := os.MkdirTemp(place, "bench-cluster-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fleets, err := o.start(ctx, s, names, dir)
	defer func() {
		for _, f := range fleets {
			f.kill()
		}
	}()
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "\n### %s (load average %s)\n", title(s.title()), turns.LoadAverage())
	if err := o.printIdle(ctx, fleets); err != nil {
		return err
	}
	for _, f := range fleets {
		if err := f.season(ctx, o.Season, o.SeasonSeconds); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	device := ""
	if !s.memory {
		device = deviceOf(place)
	}
	measured := map[workload][]*result{}
	for _, w := range s.workloads {
		if measured[w], err = o.compare(ctx, s, fleets, w, device); err != nil {
			return fmt.Errorf("%s, %d clients: %w", w.kind(), w.clients, err)
		}
		if w == s.workloads[len(s.workloads)-1] || w.kind() != s.workloads[slices.Index(s.workloads, w)+1].kind() {
			if err := o.report(s, w.kind(), measured); err != nil {
				return err
			}
		}
	}
	if !s.memory {
		printTargets(o.Out, s, measured)
	}
	return nil
}

// report prints and draws all of one kind that has been measured.
func (o Options) report(s section, kind string, measured map[workload][]*result) error {
	var of []workload
	for _, w := range s.workloads {
		if w.kind() == kind {
			of = append(of, w)
		}
	}
	fmt.Fprintf(o.Out, "\n%s, %s (load average %s)\n\n", title(s.title()), kind, turns.LoadAverage())
	printTable(o.Out, of, measured)
	if o.Plot == "" {
		return nil
	}
	return plot(o.Plot, s, of, measured)
}

// start starts every contender with as many threads as there are CPUs, and with
// four times as many.
func (o Options) start(ctx context.Context, s section, names []string, dir string) (fleets []*fleet, err error) {
	for _, name := range append([]string{Floor}, names...) {
		for _, factor := range []int{1, 4} {
			fleets = append(fleets, &fleet{name: name, procs: factor * runtime.NumCPU()})
		}
	}
	addrs, err := freeAddrs(nodes * len(fleets))
	if err != nil {
		return nil, err
	}
	for i, f := range fleets {
		if err := f.start(s.processes, addrs[nodes*i:nodes*(i+1)], filepath.Join(dir, fmt.Sprint(i)), o.Log); err != nil {
			return fleets, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	for _, f := range fleets {
		if err := f.awaitLeader(ctx); err != nil {
			return fleets, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return fleets, nil
}

// printIdle prints what contenders use that are not on turn, since they run
// all the time.
func (o Options) printIdle(ctx context.Context, fleets []*fleet) error {
	fmt.Fprintf(o.Out, "\nCPU of the idle contenders, in %% of one core, GOMAXPROCS = %d / %d:", runtime.NumCPU(), 4*runtime.NumCPU())
	before := make([]use, len(fleets))
	var err error
	for i, f := range fleets {
		if before[i], err = f.use(); err != nil {
			return err
		}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(2 * o.Round):
	}
	for i, f := range fleets {
		after, err := f.use()
		if err != nil {
			return err
		}
		percent := fmt.Sprintf("%.1f", 100*(after.cpu-before[i].cpu).Seconds()/after.at.Sub(before[i].at).Seconds())
		if i%2 == 0 {
			fmt.Fprintf(o.Out, " %s %s", f.name, percent)
			continue
		}
		fmt.Fprintf(o.Out, " / %s", percent)
		if i < len(fleets)-1 {
			fmt.Fprint(o.Out, ",")
		}
	}
	fmt.Fprintln(o.Out)
	return nil
}

// compare lets all contenders take turns. Who begins changes from round to
// round.
func (o Options) compare(ctx context.Context, s section, fleets []*fleet, w workload, device string) ([]*result, error) {
	var results []*result
	for _, f := range fleets {
		if f.name != Floor || w.clients == 1 {
			results = append(results, &result{fleet: f})
		}
	}
	for round := range o.Rounds {
		for j := range results {
			r := results[(round+j)%len(results)]
			t := turn{workload: w, warmup: o.warmup(), length: o.Round, device: device}
			if o.CPUProfiles != "" {
				t.profile = filepath.Join(o.CPUProfiles, fileName(fmt.Sprintf("%s GOMAXPROCS %d %s %s %s round %d", r.name, r.procs, s.title(), w.kind(), plural(w.clients, "client"), round+1)))
			}
			taken, err := r.take(ctx, t)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.name, err)
			}
			r.samples = append(r.samples, taken)
		}
	}
	return results, nil
}

// Package transport measures transport/tcp next to bare TCP on loopback that
// carries the same bytes, with and without TLS. README.md of the module states
// the conditions.
package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/seed-6281cb22/raft/bench/internal/turns"
)

// Options say how to measure.
type Options struct {
	Rounds int           // how many turns each contender takes, at least 1
	Round  time.Duration // how long a turn is, positive
	Out    io.Writer     // the tables go here
}

// peers is how many nodes the leader of the section with that name has.
const peers = 64

// section is a table: contenders that do the same work.
type section struct {
	title string
	open  func(c contender) (subject, error)
}

// contender is a way to do it.
type contender struct {
	name   string
	bare   bool
	secure bool // with TLS
}

// contenders are measured in this order. What is not bare is compared with the
// one before it.
var contenders = []contender{
	{name: "bare TCP", bare: true},
	{name: "transport/tcp"},
	{name: "bare TLS", bare: true, secure: true},
	{name: "transport/tcp, TLS", secure: true},
}

// sections are all tables.
func sections() []section {
	var all []section
	for _, w := range []struct {
		title   string
		entries []int // bytes of each in a message
		perSend int
	}{
		{"one way, messages with an entry of 128 B, 1 in each Send", sizes(1, 128), 1},
		{"one way, messages with an entry of 128 B, 16 in each Send", sizes(1, 128), 16},
		{"one way, messages with an entry of 128 B, 64 in each Send", sizes(1, 128), 64},
		{"one way, messages with 64 entries of 128 B", sizes(64, 128), 1},
		{"one way, messages with an entry of 1 MiB", sizes(1, 1<<20), 1},
	} {
		all = append(all, section{w.title, func(c contender) (subject, error) {
			if c.bare {
				return openBareStreams(c.secure, 1, w.perSend*frameBytes(w.entries), frameBytes(w.entries))
			}
			return openStream(c.secure, w.entries, w.perSend)
		}})
	}
	return append(all,
		section{"there and back, 128 B", func(c contender) (subject, error) {
			if c.bare {
				return openBarePingPong(c.secure, frameBytes(sizes(1, 100)))
			}
			return openPingPong(c.secure, sizes(1, 100))
		}},
		section{fmt.Sprintf("a leader with %d peers, a message with an entry of 128 B to each in each Send", peers), func(c contender) (subject, error) {
			if c.bare {
				return openBareStreams(c.secure, peers, frameBytes(sizes(1, 128)), frameBytes(sizes(1, 128)))
			}
			return openFan(c.secure, peers, sizes(1, 128))
		}},
		section{fmt.Sprintf("snapshots of %d MiB", snapshotBytes>>20), func(c contender) (subject, error) {
			if c.bare {
				return openBareStreams(c.secure, 1, chunkBytes, snapshotBytes)
			}
			return openSnapshots(c.secure)
		}})
}

func sizes(entries, bytes int) []int {
	all := make([]int, entries)
	for i := range all {
		all[i] = bytes
	}
	return all
}

// Run measures, and prints a table for each section. It ends early, with the
// context's error, between two turns.
func Run(ctx context.Context, o Options) error {
	if o.Rounds < 1 || o.Round <= 0 {
		return errors.New("rounds and their length must be positive")
	}
	fmt.Fprintf(o.Out, "%s, %s, %d CPUs, loopback\n", time.Now().Format(time.DateTime), runtime.Version(), runtime.NumCPU())
	fmt.Fprintf(o.Out, "%d turns of %v each, alternating; medians of the turns\n", o.Rounds, o.Round)
	for _, s := range sections() {
		before := turns.LoadAverage()
		results, err := compare(ctx, o, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.title, err)
		}
		fmt.Fprintf(o.Out, "\n%s (load average %s, then %s)\n", s.title, before, turns.LoadAverage())
		if err := printTable(o.Out, results); err != nil {
			return err
		}
	}
	return printFootprint(o.Out)
}

// result is what one contender did: a sample of each of its turns.
type result struct {
	contender
	samples []sample
}

// compare lets all contenders take turns. Who begins changes from round to
// round, so that nobody always follows the same neighbour.
func compare(ctx context.Context, o Options, s section) (results []result, err error) {
	subjects := make([]subject, len(contenders))
	defer func() {
		for _, s := range subjects {
			if s != nil {
				err = errors.Join(err, s.Close())
			}
		}
	}()
	for i, c := range contenders {
		if subjects[i], err = s.open(c); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		if _, err := measure(subjects[i], o.Round/2); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		results = append(results, result{contender: c})
	}
	for round := range o.Rounds {
		for j := range subjects {
			i := (round + j) % len(subjects)
			s, err := measure(subjects[i], o.Round)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", contenders[i].name, err)
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			results[i].samples = append(results[i].samples, s)
		}
	}
	return results, nil
}

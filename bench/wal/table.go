package wal

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/seed-6281cb22/raft/bench/internal/turns"
)

// printTable prints a row for each result. The first two are what the ratios
// refer to.
func printTable(out io.Writer, results []result) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tentries/s\tquartiles\tx bare\tquartiles\tx ours\tquartiles\tp50\tp99\tentries/fsync\tCPU/entry\t")
	for _, r := range results {
		against := func(to result) string {
			return turns.Spread(turns.Ratios(r.samples, to.samples, sample.rate), 2)
		}
		middle := func(f func(sample) time.Duration) time.Duration {
			return turns.Rounded(turns.Median(turns.Each(r.samples, f)))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%v\t%v\t%.2f\t%v\t\n", r.name,
			turns.Spread(turns.Each(r.samples, sample.rate), 0), against(results[0]), against(results[1]),
			middle(func(s sample) time.Duration { return s.p50 }),
			middle(func(s sample) time.Duration { return s.p99 }),
			turns.Median(turns.Each(r.samples, sample.perSync)),
			middle(sample.cpuPerEntry))
	}
	return t.Flush()
}

func (s sample) rate() float64 { return float64(s.entries) / s.elapsed.Seconds() }

func (s sample) perSync() float64 { return float64(s.entries) / float64(max(1, s.syncs)) }

func (s sample) cpuPerEntry() time.Duration { return s.cpu / time.Duration(max(1, s.entries)) }

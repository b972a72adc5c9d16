package failover

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/seed-6281cb22/raft/bench/contender"
	"github.com/seed-6281cb22/raft/bench/contender/all"
	"github.com/seed-6281cb22/raft/bench/internal/turns"
)

// result is all failovers of a kind of one library.
type result struct {
	library string
	samples []sample
	broken  []error // of turns after which the cluster had to be made anew
}

// hopeless reports whether more turns would say nothing new.
func (r result) hopeless() bool {
	if len(r.broken) >= giveUpAfter {
		return true
	}
	never := 0
	for _, s := range r.samples {
		if s.never {
			never++
		}
	}
	return never >= giveUpAfter && never == len(r.samples)
}

func (r result) outages() []time.Duration {
	return turns.Each(r.samples, func(s sample) time.Duration { return s.outage })
}

func (r result) afterwards() []time.Duration {
	return turns.Each(r.samples, func(s sample) time.Duration { return s.after })
}

// target is what the median of our failovers, by default settings, may be of the
// best peer's.
const target = 0.5

// print prints a table with a row for each library, their distributions, and how
// we stand.
func print(out io.Writer, timing contender.Timing, f fault, results []result) error {
	fmt.Fprintf(out, "\nLeader %s, %s settings: time without an acknowledged write.\n\n", f.what, timing)
	fmt.Fprintln(out, "| | n | min | quartile | median | quartile | p90 | max | when it is back: median | max |")
	fmt.Fprintln(out, "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, r := range results {
		fmt.Fprintf(out, "| %s | %d |", r.library, len(r.samples))
		if len(r.samples) == 0 {
			fmt.Fprintln(out, " | | | | | | | |")
			continue
		}
		limit := time.Duration(1<<63 - 1)
		for _, s := range r.samples {
			if s.never {
				limit = s.outage
			}
		}
		outages, after := r.outages(), r.afterwards()
		for _, q := range [][2]int{{0, 1}, {1, 4}, {1, 2}, {3, 4}, {9, 10}} {
			fmt.Fprintf(out, " %s |", atMost(turns.Quantile(outages, q[0], q[1]), limit))
		}
		fmt.Fprintf(out, " %s | %s | %s |\n", atMost(largest(outages), limit), inMilliseconds(turns.Median(after)), inMilliseconds(largest(after)))
	}
	printHistograms(out, results)
	for _, r := range results {
		for _, err := range r.broken {
			fmt.Fprintf(out, "%s had to be started anew: %v\n", r.library, err)
		}
	}
	printStanding(out, timing, results)
	return nil
}

// printStanding compares our median with the best peer's.
func printStanding(out io.Writer, timing contender.Timing, results []result) {
	var ours, best time.Duration
	var peer string
	for _, r := range results {
		if len(r.samples) == 0 {
			continue
		}
		switch m := turns.Median(r.outages()); {
		case r.library == all.Ours:
			ours = m
		case peer == "" || m < best:
			best, peer = m, r.library
		}
	}
	if ours == 0 || peer == "" {
		return
	}
	ratio := ours.Seconds() / best.Seconds()
	fmt.Fprintf(out, "%s: %.2f of the best peer's median (%s).", all.Ours, ratio, peer)
	if timing == contender.Default {
		verdict := "met"
		if ratio > target {
			verdict = "missed"
		}
		fmt.Fprintf(out, " Target: at most %.1f, %s.", target, verdict)
	}
	fmt.Fprintln(out)
}

// histogramBins is how many characters wide a histogram is.
const histogramBins = 60

// printHistograms draws the distributions over one axis: a line for each library.
func printHistograms(out io.Writer, results []result) {
	var end time.Duration
	for _, r := range results {
		for _, s := range r.samples {
			if !s.never {
				end = max(end, s.outage)
			}
		}
	}
	if end == 0 {
		return
	}
	fmt.Fprintln(out, "\n```")
	for _, r := range results {
		counts, beyond := bins(r.samples, end, histogramBins)
		fmt.Fprintf(out, "%-15s|%s|", r.library, bars(counts))
		if beyond > 0 {
			fmt.Fprintf(out, " %d longer", beyond)
		}
		fmt.Fprintln(out)
	}
	last := inMilliseconds(end)
	fmt.Fprintf(out, "%-15s 0%*s\n```\n\n", "", histogramBins-1, last)
}

// bins counts outages by length, in n equal parts of [0, end].
func bins(samples []sample, end time.Duration, n int) (counts []int, never int) {
	counts = make([]int, n)
	for _, s := range samples {
		if s.never {
			never++
			continue
		}
		counts[min(int(int64(s.outage)*int64(n)/int64(end)), n-1)]++
	}
	return counts, never
}

// bars draws counts as characters of eight heights; any count but 0 is seen.
func bars(counts []int) string {
	heights := []rune("▁▂▃▄▅▆▇█")
	most := 1
	for _, c := range counts {
		most = max(most, c)
	}
	var b strings.Builder
	for _, c := range counts {
		if c == 0 {
			b.WriteByte(' ')
			continue
		}
		b.WriteRune(heights[(c*len(heights)-1)/most])
	}
	return b.String()
}

func largest(values []time.Duration) (most time.Duration) {
	for _, v := range values {
		most = max(most, v)
	}
	return most
}

// atMost is in milliseconds, or says that it is beyond the limit.
func atMost(d, limit time.Duration) string {
	if d >= limit {
		return "> " + inMilliseconds(limit)
	}
	return inMilliseconds(d)
}

func inMilliseconds(d time.Duration) string {
	return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond))
}

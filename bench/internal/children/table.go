package children

import (
	"fmt"
	"io"
	"time"

	"github.com/seed-6281cb22/raft/bench/contest"
	"github.com/seed-6281cb22/raft/bench/internal/turns"
)

// PrintHeader begins a table, to which PrintRows adds.
func PrintHeader(out io.Writer) {
	fmt.Fprintln(out, "| case | contender | CPU/op (quartiles) | x ours (quartiles) | time/op | allocs/op | B/op | messages/op |")
	fmt.Fprintln(out, "| --- | --- | --- | --- | --- | --- | --- | --- |")
}

// PrintRows prints a row for each entrant's samples, and compares it with the
// first entrant, by CPU time: these contenders wait for nothing, so on an idle
// machine that is the time that passes, and on a busy one it changes less.
func PrintRows(out io.Writer, title string, entrants []Entrant, samples [][]contest.Sample) {
	for i, e := range entrants {
		s := samples[i]
		ratios := turns.Ratios(s, samples[0], CPUPerOp)
		times := turns.Each(s, CPUPerOp)
		fmt.Fprintf(out, "| %s | %v | %s (%s–%s) | %.2f (%.2f–%.2f) | %s | %.2f | %.0f | %s |\n", title, e,
			nanos(turns.Median(times)), nanos(turns.Quantile(times, 1, 4)), nanos(turns.Quantile(times, 3, 4)),
			turns.Median(ratios), turns.Quantile(ratios, 1, 4), turns.Quantile(ratios, 3, 4),
			nanos(turns.Median(turns.Each(s, perOp(func(s contest.Sample) float64 { return float64(s.Elapsed) })))),
			turns.Median(turns.Each(s, MallocsPerOp)),
			turns.Median(turns.Each(s, perOp(func(s contest.Sample) float64 { return float64(s.Bytes) }))),
			messages(turns.Median(turns.Each(s, perOp(func(s contest.Sample) float64 { return float64(s.Messages) })))))
	}
}

// Verdict says whether ours was at least target times as fast as other, in the
// median round.
func Verdict(title string, ours, other []contest.Sample, target float64) string {
	ratios := turns.Ratios(other, ours, CPUPerOp)
	ratio := turns.Median(ratios)
	return Judged(ratio >= target, fmt.Sprintf("%s: %.1f times as fast (%.1f–%.1f), target %.0f", title, ratio,
		turns.Quantile(ratios, 1, 4), turns.Quantile(ratios, 3, 4), target))
}

// Judged is a line of a list.
func Judged(met bool, what string) string {
	if met {
		return "- met: " + what
	}
	return "- missed: " + what
}

// CPUPerOp is the CPU time that one operation took, in nanoseconds.
func CPUPerOp(s contest.Sample) float64 {
	return perOp(func(s contest.Sample) float64 { return float64(s.CPU) })(s)
}

// MallocsPerOp is how many objects one operation allocated.
func MallocsPerOp(s contest.Sample) float64 {
	return perOp(func(s contest.Sample) float64 { return float64(s.Mallocs) })(s)
}

func perOp(f func(contest.Sample) float64) func(contest.Sample) float64 {
	return func(s contest.Sample) float64 { return f(s) / float64(max(1, s.Ops)) }
}

// messages is empty where they were not counted.
func messages(perOp float64) string {
	if perOp == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", perOp)
}

// nanos has three digits or more.
func nanos(ns float64) string {
	switch {
	case ns >= 1e6:
		return time.Duration(ns).Round(10 * time.Microsecond).String()
	case ns >= 1e4:
		return fmt.Sprintf("%.1f µs", ns/1e3)
	}
	return fmt.Sprintf("%.0f ns", ns)
}

package cluster

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed-6281cb22/raft/bench/contender/all"
	"github.com/seed-6281cb22/raft/bench/internal/turns"
)

// printTable prints workloads of one kind, each contender with its best
// GOMAXPROCS.
func printTable(out io.Writer, workloads []workload, measured map[workload][]*result) {
	rows := [][]string{{"clients", "", "op/s (quartiles)", "× ours (quartiles)", "p50", "p99", "p99.9", "p50 × floor (quartiles)", "CPU/op", "B allocated/op", "flushes/op", "GOMAXPROCS"}}
	var failed []string
	for _, w := range workloads {
		results := best(w, measured[w])
		ours, floor := find(results, all.Ours), find(results, Floor)
		for _, r := range results {
			rows = append(rows, []string{
				fmt.Sprint(w.clients), r.name,
				spread(turns.Each(r.samples, sample.rate), 0), ratio(r, ours, sample.rate),
				fmt.Sprint(r.duration(func(s sample) time.Duration { return s.P50 })),
				fmt.Sprint(r.duration(func(s sample) time.Duration { return s.P99 })),
				fmt.Sprint(r.duration(func(s sample) time.Duration { return s.P999 })),
				ratio(r, floor, sample.p50),
				fmt.Sprint(turns.Rounded(time.Duration(r.of(sample.cpuPerOperation)))),
				fmt.Sprintf("%.0f", r.of(sample.allocatedPerOperation)),
				fmt.Sprintf("%.3f", r.of(sample.flushesPerOperation)),
				fmt.Sprint(r.procs),
			})
		}
		for _, r := range measured[w] {
			if n := failures(r); n > 0 {
				failed = append(failed, fmt.Sprintf("%d clients, %s, GOMAXPROCS %d: %d operations failed.", w.clients, r.name, r.procs, n))
			}
		}
	}
	printMarkdown(out, rows)
	if len(failed) > 0 {
		fmt.Fprintf(out, "\n%s\n", strings.Join(failed, "\n"))
	}
}

func failures(r *result) (n uint64) {
	for _, s := range r.samples {
		n += s.Errors
	}
	return n
}

// ratio is empty if there is nothing to compare with.
func ratio(r, to *result, figure func(sample) float64) string {
	if to == nil {
		return ""
	}
	return spread(r.against(to, figure), 2)
}

// spread is the median and the quartiles.
func spread(values []float64, digits int) string {
	median, quartiles, _ := strings.Cut(turns.Spread(values, digits), "\t")
	return fmt.Sprintf("%s (%s)", median, quartiles)
}

// printMarkdown prints a table that can be read as it is, too. The first row is
// the head.
func printMarkdown(out io.Writer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell), 3)
		}
	}
	for i, row := range rows {
		for j, cell := range row {
			fmt.Fprintf(out, "| %s%s ", cell, strings.Repeat(" ", widths[j]-utf8.RuneCountInString(cell)))
		}
		fmt.Fprintln(out, "|")
		if i == 0 {
			for _, width := range widths {
				fmt.Fprintf(out, "| %s ", strings.Repeat("-", width))
			}
			fmt.Fprintln(out, "|")
		}
	}
}

// title has a capital at its beginning.
func title(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// fileName makes a file's name of a title.
func fileName(title string) string {
	return strings.Join(strings.FieldsFunc(title, func(r rune) bool { return strings.ContainsRune(" ,/", r) }), "-")
}

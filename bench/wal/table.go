package wal

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// printTable prints a row for each result. The first two are what the ratios
// refer to; a ratio is taken within each round, since what else uses the machine
// changes from round to round.
func printTable(out io.Writer, results []result) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tentries/s\tquartiles\tx bare\tquartiles\tx ours\tquartiles\tp50\tp99\tentries/fsync\tCPU/entry\t")
	for _, r := range results {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%v\t%v\t%.2f\t%v\t\n", r.name,
			spread(each(r, sample.rate), 0), spread(ratios(r, results[0]), 2), spread(ratios(r, results[1]), 2),
			rounded(median(each(r, func(s sample) time.Duration { return s.p50 }))),
			rounded(median(each(r, func(s sample) time.Duration { return s.p99 }))),
			median(each(r, sample.perSync)),
			rounded(median(each(r, sample.cpuPerEntry))))
	}
	return t.Flush()
}

// spread is two cells: the median and the quartiles.
func spread(values []float64, digits int) string {
	return fmt.Sprintf("%.*f\t%.*f–%.*f", digits, median(values),
		digits, quantile(values, 1, 4), digits, quantile(values, 3, 4))
}

// ratios compares the rates of two logs, round by round.
func ratios(r, to result) []float64 {
	ratios := make([]float64, len(r.samples))
	for i, s := range r.samples {
		ratios[i] = s.rate() / to.samples[i].rate()
	}
	return ratios
}

func (s sample) rate() float64 { return float64(s.entries) / s.elapsed.Seconds() }

func (s sample) perSync() float64 { return float64(s.entries) / float64(max(1, s.syncs)) }

func (s sample) cpuPerEntry() time.Duration { return s.cpu / time.Duration(max(1, s.entries)) }

func each[T any](r result, f func(sample) T) []T {
	values := make([]T, len(r.samples))
	for i, s := range r.samples {
		values[i] = f(s)
	}
	return values
}

func median[T cmp.Ordered](values []T) T { return quantile(values, 1, 2) }

// quantile returns the value that num of den values are below, of two the upper
// one.
func quantile[T cmp.Ordered](values []T, num, den int) T {
	return slices.Sorted(slices.Values(values))[len(values)*num/den]
}

// rounded is good to three digits or so.
func rounded(d time.Duration) time.Duration {
	switch {
	case d >= 10*time.Millisecond:
		return d.Round(100 * time.Microsecond)
	case d >= 100*time.Microsecond:
		return d.Round(time.Microsecond)
	}
	return d.Round(100 * time.Nanosecond)
}

// Package turns has what the benchmarks share: figures of the process and of
// the machine, and the arithmetic of many short turns.
package turns

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// CPUTime is what the process has used, in user and kernel mode.
func CPUTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// LoadAverage returns the machine's load over the last minute, as far as it
// tells: what is measured is part of it.
func LoadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	load, _, _ := strings.Cut(string(b), " ")
	return load
}

// Median returns the value that half of the values are below, of two the upper
// one.
func Median[T cmp.Ordered](values []T) T { return Quantile(values, 1, 2) }

// Quantile returns the value that num of den values are below, of two the upper
// one.
func Quantile[T cmp.Ordered](values []T, num, den int) T {
	return slices.Sorted(slices.Values(values))[len(values)*num/den]
}

// Spread is two cells: the median and the quartiles.
func Spread(values []float64, digits int) string {
	return fmt.Sprintf("%.*f\t%.*f–%.*f", digits, Median(values),
		digits, Quantile(values, 1, 4), digits, Quantile(values, 3, 4))
}

// Each returns f of every sample.
func Each[S, T any](samples []S, f func(S) T) []T {
	values := make([]T, len(samples))
	for i, s := range samples {
		values[i] = f(s)
	}
	return values
}

// Ratios compares two contenders, round by round, since what else uses the
// machine changes from round to round.
func Ratios[S any](samples, to []S, rate func(S) float64) []float64 {
	ratios := make([]float64, len(samples))
	for i, s := range samples {
		ratios[i] = rate(s) / rate(to[i])
	}
	return ratios
}

// Rounded is good to three digits or so.
func Rounded(d time.Duration) time.Duration {
	switch {
	case d >= 10*time.Millisecond:
		return d.Round(100 * time.Microsecond)
	case d >= 100*time.Microsecond:
		return d.Round(time.Microsecond)
	case d >= 10*time.Microsecond:
		return d.Round(100 * time.Nanosecond)
	}
	return d.Round(10 * time.Nanosecond)
}

package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// report prints what the demonstration does: a line for each step, and while
// a step takes its time a progress line, which on a terminal is written over
// and elsewhere comes once a second.
type report struct {
	out      io.Writer
	terminal bool
	last     time.Time // of the last progress line
	begun    time.Time
}

func newReport(out *os.File) *report {
	info, err := out.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
	return &report{out: out, terminal: terminal, begun: time.Now()}
}

// step prints the result of one step; further lines are indented below it.
func (r *report) step(name string, lines ...string) {
	r.clear()
	for i, line := range lines {
		if i > 0 {
			name = ""
		}
		fmt.Fprintf(r.out, "  %-9s %s\n", name, line)
	}
	r.last = time.Now()
}

// progress shows how far a step is.
func (r *report) progress(name string, done, total int) {
	line := fmt.Sprintf("  %-9s %s of %s", name, number(done), number(total))
	switch {
	case r.terminal:
		const width = 30
		filled := min(width, width*done/total)
		fmt.Fprintf(r.out, "\r\x1b[K  %-9s [%s%s] %s of %s", name,
			strings.Repeat("#", filled), strings.Repeat(".", width-filled), number(done), number(total))
	case time.Since(r.last) >= time.Second:
		fmt.Fprintln(r.out, line+" …")
		r.last = time.Now()
	}
}

// line prints a line of text, or an empty one.
func (r *report) line(format string, args ...any) {
	r.clear()
	fmt.Fprintf(r.out, format+"\n", args...)
}

// clear takes an unfinished progress line away.
func (r *report) clear() {
	if r.terminal {
		fmt.Fprint(r.out, "\r\x1b[K")
	}
}

// rate lays out what was done, with throughput and latency, in columns.
func rate(what string, l *load, n int, took time.Duration) string {
	perSecond := int(float64(n) / took.Seconds())
	return fmt.Sprintf("%-36s %8s/s   p50 %8s   p99 %8s", what, number(perSecond), ms(l.percentile(0.50)), ms(l.percentile(0.99)))
}

// number writes 12345 as 12,345.
func number[T ~int | ~int64 | ~uint64](n T) string {
	digits := strconv.FormatInt(int64(n), 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// ms writes a duration in milliseconds, with as many digits as matter.
func ms(d time.Duration) string {
	v := d.Seconds() * 1000
	switch {
	case v < 10:
		return fmt.Sprintf("%.2f ms", v)
	case v < 100:
		return fmt.Sprintf("%.1f ms", v)
	}
	return fmt.Sprintf("%.0f ms", v)
}

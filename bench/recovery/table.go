package recovery

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/seed-6281cb22/raft/bench/host"
	"github.com/seed-6281cb22/raft/bench/internal/turns"
)

func printRestarts(out io.Writer, bytes int64, nodes []*single) {
	fmt.Fprintf(out, "\nRestart of a single node with a log of %d MiB, from the start of its process.\n\n", bytes>>20)
	fmt.Fprintln(out, "| | it answers | a write is acknowledged | MB/s |")
	fmt.Fprintln(out, "| --- | --- | --- | --- |")
	for _, s := range nodes {
		written := turns.Each(s.samples, func(r restart) time.Duration { return r.written })
		fmt.Fprintf(out, "| %s | %s | %s | %.0f |\n", s.library,
			spread(turns.Each(s.samples, func(r restart) time.Duration { return r.opened })),
			spread(written), float64(bytes)/turns.Median(written).Seconds()/1e6)
	}
}

func printCatchUps(out io.Writer, opts Options, w way, samples [][]catchUp) {
	fmt.Fprintf(out, "\nA follower that is %d MiB behind catches up by %s, %d clients at the leader going on.\n\n", opts.Bytes>>20, w, foreground)
	header := "| | from its start | MB/s | p99 before | during | ratio | longest before | during |"
	rule := "| --- | --- | --- | --- | --- | --- | --- | --- |"
	if w == bySnapshot {
		header += " the leader takes it in | p99 meanwhile |"
		rule += " --- | --- |"
	}
	fmt.Fprintf(out, "%s\n%s\n", header, rule)
	for i, library := range opts.Libraries {
		took := turns.Each(samples[i], func(c catchUp) time.Duration { return c.took })
		before := turns.Each(samples[i], func(c catchUp) host.Result { return c.before })
		during := turns.Each(samples[i], func(c catchUp) host.Result { return c.during })
		p99 := func(r host.Result) time.Duration { return r.P99 }
		longest := func(r host.Result) time.Duration { return r.Max }
		fmt.Fprintf(out, "| %s | %s | %.0f | %v | %v | %.2f | %v | %v |", library,
			spread(took), float64(opts.Bytes)/turns.Median(took).Seconds()/1e6,
			median(before, p99), median(during, p99),
			turns.Median(turns.Ratios(during, before, func(r host.Result) float64 { return r.P99.Seconds() })),
			median(before, longest), median(during, longest))
		if w == bySnapshot {
			fmt.Fprintf(out, " %s | %v |",
				spread(turns.Each(samples[i], func(c catchUp) time.Duration { return c.taking })),
				median(samples[i], func(c catchUp) time.Duration { return c.whileTaking.P99 }))
		}
		fmt.Fprintln(out)
	}
}

func printMemory(out io.Writer, measured []memory) {
	fmt.Fprint(out, "\nA node at rest: what its process holds more than one without a node; heap after a collection.\n\n")
	fmt.Fprintln(out, "| | leader: heap | resident | goroutines | follower: heap | resident | goroutines |")
	fmt.Fprintln(out, "| --- | --- | --- | --- | --- | --- | --- |")
	for _, m := range measured {
		fmt.Fprintf(out, "| %s |", m.library)
		for _, u := range []host.Usage{m.leaderRest, m.followerRest} {
			fmt.Fprintf(out, " %s | %s | %d |", mebibytes(float64(u.Heap)-float64(m.nothing.Heap)),
				mebibytes(float64(u.Resident)-float64(m.nothing.Resident)), u.Goroutines-m.nothing.Goroutines)
		}
		fmt.Fprintln(out)
	}
	fmt.Fprint(out, "\nThe leader under load, and while a follower is paused: peaks of its process, garbage included; at the end, when all have caught up, collected.\n\n")
	fmt.Fprintln(out, "| | heap | resident | goroutines | writes/s | paused, first half: heap | resident | writes/s | second half: heap | resident | writes/s | at the end: heap |")
	fmt.Fprintln(out, "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, m := range measured {
		fmt.Fprintf(out, "| %s | %s | %s | %d | %.0f |", m.library,
			mebibytes(float64(m.load.peakHeap)), mebibytes(float64(m.load.peakResident)), m.load.goroutines, m.load.rate())
		for _, p := range m.paused {
			fmt.Fprintf(out, " %s | %s | %.0f |", mebibytes(float64(p.peakHeap)), mebibytes(float64(p.peakResident)), p.rate())
		}
		fmt.Fprintf(out, " %s |\n", mebibytes(float64(m.after.Heap)))
	}
}

// spread is the median, and the least and the most of several.
func spread(values []time.Duration) string {
	if len(values) == 1 {
		return turns.Rounded(values[0]).String()
	}
	return fmt.Sprintf("%v (%v–%v)", turns.Rounded(turns.Median(values)),
		turns.Rounded(slices.Min(values)), turns.Rounded(slices.Max(values)))
}

func median[S any](samples []S, f func(S) time.Duration) time.Duration {
	return turns.Rounded(turns.Median(turns.Each(samples, f)))
}

func mebibytes(bytes float64) string { return fmt.Sprintf("%.2f MiB", bytes/(1<<20)) }

package cluster

import (
	"fmt"
	"io"
	"slices"

	"github.com/seed-6281cb22/raft/bench/contender/all"
	"github.com/seed-6281cb22/raft/bench/internal/turns"
)

// target is a ratio of this library's figure to another's.
type target struct {
	clients int
	what    string
	figure  func(sample) float64
	to      func([]*result) *result
	limit   float64
	more    bool // is better: the limit is the least, not the most
}

func named(name string) func([]*result) *result {
	return func(results []*result) *result { return find(results, name) }
}

// targets are those of issue 7.
var targets = []target{
	{256, "throughput", sample.rate, bestPeer, 2, true},
	{256, "CPU per operation", sample.cpuPerOperation, named(all.EtcdRaft), 0.55, false},
	{1, "p50", sample.p50, named(Floor), 1.15, false},
	{1, "p50", sample.p50, named(all.EtcdRaft), 0.9, false},
	{1, "p50", sample.p50, named(all.Hashicorp), 0.65, false},
}

// printTargets says which targets are met by what was measured.
func printTargets(out io.Writer, s section, measured map[workload][]*result) {
	rows := [][]string{{"target", "workload", "at", "measured (quartiles)", ""}}
	for _, t := range targets {
		for _, w := range s.workloads {
			if w.reads || w.clients != t.clients {
				continue
			}
			if row := t.row(w, best(w, measured[w])); row != nil {
				rows = append(rows, row)
			}
		}
	}
	if len(rows) == 1 {
		return
	}
	fmt.Fprintf(out, "\nTargets, %s\n\n", s.title())
	printMarkdown(out, rows)
}

// row is nil if one of the two was not measured.
func (t target) row(w workload, results []*result) []string {
	ours, other := find(results, all.Ours), t.to(results)
	if ours == nil || other == nil {
		return nil
	}
	ratios := ours.against(other, t.figure)
	most, verdict := "≤", "missed"
	if t.more {
		most = "≥"
	}
	if t.met(ratios) {
		verdict = "met"
	}
	return []string{
		fmt.Sprintf("%s %s %.2f × %s", t.what, most, t.limit, other.name), w.kind(), plural(w.clients, "client"), spread(ratios, 2), verdict,
	}
}

// met looks at the median.
func (t target) met(ratios []float64) bool {
	median := turns.Median(slices.Clone(ratios))
	if t.more {
		return median >= t.limit
	}
	return median <= t.limit
}

func plural(n int, what string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, what)
	}
	return fmt.Sprintf("%d %ss", n, what)
}

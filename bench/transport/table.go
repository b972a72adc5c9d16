package transport

import (
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/bench/internal/turns"
)

// printTable prints a row for each result. What is not bare is compared with
// the row before it.
func printTable(out io.Writer, results []result) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tmessages/s\tMB/s\tx bare\tquartiles\tp50\tp99\tallocs/message\tCPU/message\t")
	for i, r := range results {
		against := "\t"
		if !r.bare {
			against = turns.Spread(turns.Ratios(r.samples, results[i-1].samples, sample.throughput), 2)
		}
		fmt.Fprintf(t, "%s\t%.0f\t%.0f\t%s\t%s\t%s\t%.2f\t%v\t\n", r.name,
			turns.Median(turns.Each(r.samples, sample.rate)),
			turns.Median(turns.Each(r.samples, sample.throughput))/1e6,
			against,
			latency(r.samples, func(s sample) time.Duration { return s.p50 }),
			latency(r.samples, func(s sample) time.Duration { return s.p99 }),
			turns.Median(turns.Each(r.samples, sample.mallocsPerMessage)),
			turns.Rounded(turns.Median(turns.Each(r.samples, sample.cpuPerMessage))))
	}
	return t.Flush()
}

func latency(samples []sample, f func(sample) time.Duration) string {
	if d := turns.Median(turns.Each(samples, f)); d > 0 {
		return turns.Rounded(d).String()
	}
	return ""
}

func (s sample) rate() float64       { return float64(s.messages) / s.elapsed.Seconds() }
func (s sample) throughput() float64 { return float64(s.bytes) / s.elapsed.Seconds() }

func (s sample) mallocsPerMessage() float64 { return float64(s.mallocs) / float64(max(1, s.messages)) }

func (s sample) cpuPerMessage() time.Duration { return s.cpu / time.Duration(max(1, s.messages)) }

// footprint is what a process holds.
type footprint struct {
	goroutines int
	bytes      uint64 // of the heap, after a collection, and of stacks
}

func takeFootprint() footprint {
	runtime.GC()
	runtime.GC() // what the first one has only marked as unreachable for pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return footprint{runtime.NumGoroutine(), m.HeapAlloc + m.StackInuse}
}

// printFootprint prints what a connected peer costs.
func printFootprint(out io.Writer) error {
	fmt.Fprintf(out, "\na connected peer's share of one node's process, of %d peers\n", peers)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tgoroutines\tKiB, new\tKiB, after a message of 1 MiB\t")
	for _, c := range contenders {
		if c.bare {
			continue
		}
		if err := printPeer(t, c); err != nil {
			return err
		}
	}
	return t.Flush()
}

// printPeer connects nodes that exist. Both ends of the connections are in this
// process, so one end's share is half.
func printPeer(out io.Writer, c contender) error {
	n := &nodes{meter: newMeter()}
	defer n.Close()
	for id := raft.NodeID(1); id <= peers+1; id++ {
		if err := n.add(c.secure, id); err != nil {
			return err
		}
	}
	alone := takeFootprint()
	if err := n.connect(); err != nil {
		return err
	}
	connected := takeFootprint()
	s := newStream(n, sizes(1, 1<<20), func(i int) raft.NodeID { return raft.NodeID(2 + i) }, peers)
	if _, err := s.run(0); err != nil {
		return err
	}
	s.messages = nil
	used := takeFootprint()
	share := func(f footprint) float64 { return float64(f.bytes-alone.bytes) / (2 * peers) / 1024 }
	_, err := fmt.Fprintf(out, "%s\t%.1f\t%.1f\t%.1f\t\n", c.name, float64(connected.goroutines-alone.goroutines)/(2*peers), share(connected), share(used))
	return err
}

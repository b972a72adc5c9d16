package raft_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/storage/memory"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

func ExampleNode_Metrics() {
	network := inmem.NewNetwork(inmem.Options{})
	defer network.Close()
	node, err := raft.Start(raft.Config{
		ID:        1,
		Storage:   memory.New(),
		Transport: network.Transport(1),
		Bootstrap: []raft.Member{{ID: 1, Address: "here"}},
	}, &counter{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	defer node.Close(ctx)
	for _, n := range []byte{1, 2, 3} {
		node.Propose(ctx, []byte{n})
	}
	node.Propose(ctx, make([]byte, raft.DefaultMaxEntryBytes+1))
	node.ReadBarrier(ctx)

	m := node.Metrics()
	fmt.Println(m.ProposalsCommitted, "committed of", m.Proposals)
	for metric := range m.All() {
		switch metric.Name {
		case "proposals_refused", "reads_completed", "elections", "leading":
			fmt.Printf("%s %s: %d\n", metric.Kind, metric.Name, metric.Value)
		case "proposal_latency", "apply_latency", "write_latency":
			fmt.Printf("%s %s in %s: %d or more values, some above 0: %t\n", metric.Kind, metric.Name, metric.Unit,
				min(metric.Histogram.Count, 3), metric.Histogram.Sum > 0)
		}
	}
	// Output:
	// 3 committed of 4
	// counter proposals_refused: 1
	// counter reads_completed: 1
	// counter elections: 1
	// gauge leading: 1
	// histogram proposal_latency in us: 3 or more values, some above 0: true
	// histogram apply_latency in us: 3 or more values, some above 0: true
	// histogram write_latency in us: 3 or more values, some above 0: true
}

// writePrometheus writes metrics in Prometheus' text format: an adapter to
// another system is no longer.
func writePrometheus(w io.Writer, m *raft.Metrics) {
	for metric := range m.All() {
		name := "raft_" + metric.Name
		fmt.Fprintf(w, "# HELP %s %s Unit: %s.\n# TYPE %s %s\n", name, metric.Help, metric.Unit, name, metric.Kind)
		h := metric.Histogram
		if h == nil {
			fmt.Fprintf(w, "%s %d\n", name, metric.Value)
			continue
		}
		cumulative := uint64(0)
		for i, n := range h.Buckets[:raft.HistogramBuckets-1] {
			cumulative += n
			fmt.Fprintf(w, "%s_bucket{le=\"%d\"} %d\n", name, h.Bound(i), cumulative)
		}
		fmt.Fprintf(w, "%s_bucket{le=\"+Inf\"} %d\n%s_sum %d\n%s_count %d\n", name, h.Count, name, h.Sum, name, h.Count)
	}
}

func ExampleMetrics_All_prometheus() {
	var m raft.Metrics
	m.ProposalsCommitted = 7
	m.WriteLatency.Count, m.WriteLatency.Sum, m.WriteLatency.Buckets[1] = 1, 2, 1
	var b strings.Builder
	writePrometheus(&b, &m)
	for line := range strings.Lines(b.String()) {
		if strings.Contains(line, "proposals_committed") || strings.HasPrefix(line, "raft_write_latency_bucket{le=\"2") {
			io.WriteString(os.Stdout, line)
		}
	}
	// Output:
	// # HELP raft_proposals_committed Proposals of this node that were committed and applied here. Unit: {proposal}.
	// # TYPE raft_proposals_committed counter
	// raft_proposals_committed 7
	// raft_write_latency_bucket{le="2"} 1
	// raft_write_latency_bucket{le="256"} 1
	// raft_write_latency_bucket{le="2048"} 1
	// raft_write_latency_bucket{le="262144"} 1
	// raft_write_latency_bucket{le="2097152"} 1
}

package cluster

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft/bench/contender/all"
	"github.com/seed-6281cb22/raft/bench/host"
	"github.com/stretchr/testify/require"
)

// turnOf is a sample of a second.
func turnOf(operations uint64, p50 time.Duration) sample {
	return sample{
		Result: host.Result{Operations: operations, Elapsed: time.Second, P50: p50, P99: 2 * p50, P999: 3 * p50},
		cpu:    time.Duration(operations) * 10 * time.Microsecond, allocated: 100 * float64(operations), flushes: float64(operations) / 4,
	}
}

func resultOf(name string, procs int, samples ...sample) *result {
	return &result{fleet: &fleet{name: name, procs: procs}, samples: samples}
}

func TestNewSample(t *testing.T) {
	at := time.Now()
	before := observed{others: use{at: at, cpu: time.Second, allocated: 1000}, flushes: 10}
	after := observed{others: use{at: at.Add(2 * time.Second), cpu: 3 * time.Second, allocated: 5000}, flushes: 210}
	s := newSample(host.Result{Operations: 100, Elapsed: time.Second, Used: host.Usage{CPU: time.Second, Allocated: 3000}}, before, after)
	require.Equal(t, 20*time.Millisecond, time.Duration(s.cpuPerOperation()), "what was seen in twice the time counts half")
	require.InDelta(t, 50, s.allocatedPerOperation(), 1e-9)
	require.InDelta(t, 1, s.flushesPerOperation(), 1e-9)
	require.InDelta(t, 100, s.rate(), 1e-9)
}

func TestBest(t *testing.T) {
	slow, fast := turnOf(100, 2*time.Millisecond), turnOf(200, 3*time.Millisecond)
	results := []*result{
		resultOf("a", 2, slow, fast, slow), resultOf("a", 8, fast, slow, fast),
		resultOf("b", 2, fast), resultOf("b", 8, slow),
	}
	several := best(workload{clients: 2}, results)
	require.Equal(t, []int{8, 2}, []int{several[0].procs, several[1].procs}, "by the median of throughput")
	one := best(workload{clients: 1}, results)
	require.Equal(t, []int{2, 8}, []int{one[0].procs, one[1].procs}, "by the median of p50")
}

func TestBestPeer(t *testing.T) {
	results := []*result{
		resultOf(Floor, 2, turnOf(9, 1)), resultOf(all.Ours, 2, turnOf(8, 1)), resultOf("a", 2, turnOf(3, 1)), resultOf("b", 2, turnOf(4, 1)),
	}
	require.Equal(t, "b", bestPeer(results).name)
	require.Nil(t, bestPeer(results[:2]))
}

func TestTable(t *testing.T) {
	w := workload{bytes: 16, clients: 1}
	failing := turnOf(1000, 200*time.Microsecond)
	failing.Errors = 3
	measured := map[workload][]*result{w: {
		resultOf(Floor, 2, turnOf(4000, 100*time.Microsecond), turnOf(8000, 100*time.Microsecond)),
		resultOf(all.Ours, 2, turnOf(2000, 150*time.Microsecond), turnOf(2000, 150*time.Microsecond)),
		resultOf("peer", 8, turnOf(1000, 200*time.Microsecond), failing),
	}}
	var out bytes.Buffer
	printTable(&out, []workload{w}, measured)
	require.Equal(t, strings.TrimLeft(`
| clients |       | op/s (quartiles) | × ours (quartiles) | p50   | p99   | p99.9 | p50 × floor (quartiles) | CPU/op | B allocated/op | flushes/op | GOMAXPROCS |
| ------- | ----- | ---------------- | ------------------ | ----- | ----- | ----- | ----------------------- | ------ | -------------- | ---------- | ---------- |
| 1       | floor | 8000 (4000–8000) | 4.00 (2.00–4.00)   | 100µs | 200µs | 300µs | 1.00 (1.00–1.00)        | 10µs   | 100            | 0.250      | 2          |
| 1       | raft  | 2000 (2000–2000) | 1.00 (1.00–1.00)   | 150µs | 300µs | 450µs | 1.50 (1.50–1.50)        | 10µs   | 100            | 0.250      | 2          |
| 1       | peer  | 1000 (1000–1000) | 0.50 (0.50–0.50)   | 200µs | 400µs | 600µs | 2.00 (2.00–2.00)        | 10µs   | 100            | 0.250      | 8          |

1 clients, peer, GOMAXPROCS 8: 3 operations failed.
`, "\n"), out.String())
}

func TestTargets(t *testing.T) {
	one, many := workload{bytes: 16, clients: 1}, workload{bytes: 16, clients: 256}
	s := section{processes: 3, workloads: []workload{one, many, {reads: true, clients: 1}}}
	measured := map[workload][]*result{
		one: {
			resultOf(Floor, 2, turnOf(1, 100)), resultOf(all.Ours, 2, turnOf(1, 116)),
			resultOf(all.EtcdRaft, 2, turnOf(1, 129)), resultOf(all.Hashicorp, 2, turnOf(1, 170)),
		},
		many: {
			resultOf(all.Ours, 2, turnOf(20, 1)), resultOf(all.EtcdRaft, 2, turnOf(10, 1)), resultOf(all.Hashicorp, 2, turnOf(9, 1)),
		},
	}
	var out bytes.Buffer
	printTargets(&out, s, measured)
	var verdicts []string
	for _, line := range strings.Split(out.String(), "\n") {
		if strings.HasPrefix(line, "| throughput") || strings.HasPrefix(line, "| CPU") || strings.HasPrefix(line, "| p50") {
			cells := strings.Split(line, "|")
			verdicts = append(verdicts, strings.TrimSpace(cells[1])+": "+strings.TrimSpace(cells[4])+" "+strings.TrimSpace(cells[5]))
		}
	}
	require.Equal(t, []string{
		"throughput ≥ 2.00 × etcd-raft: 2.00 (2.00–2.00) met",
		"CPU per operation ≤ 0.55 × etcd-raft: 1.00 (1.00–1.00) missed",
		"p50 ≤ 1.15 × floor: 1.16 (1.16–1.16) missed",
		"p50 ≤ 0.90 × etcd-raft: 0.90 (0.90–0.90) met",
		"p50 ≤ 0.65 × hashicorp/raft: 0.68 (0.68–0.68) missed",
	}, verdicts)

	out.Reset()
	printTargets(&out, section{workloads: []workload{{bytes: 16, clients: 16}}}, measured)
	require.Empty(t, out.String(), "nothing that a target speaks of was measured")
}

func TestAxis(t *testing.T) {
	a := axis{least: 10, most: 1000, length: 200}
	require.InDelta(t, 0, a.at(10), 1e-9)
	require.InDelta(t, 100, a.at(100), 1e-9)
	require.InDelta(t, 200, a.at(1000), 1e-9)
	require.Equal(t, []float64{10, 20, 50, 100, 200, 500, 1000}, a.ticks())
	require.Equal(t, []string{"500", "2k", "1M"}, []string{count(500), count(2000), count(1e6)})
}

func TestDraw(t *testing.T) {
	drawn := draw("A <title>", []curve{
		{name: "a & b", points: []point{{1, 1000, time.Millisecond, 2 * time.Millisecond}, {16, 9000, 2 * time.Millisecond, 9 * time.Millisecond}}},
		{name: "c", points: []point{{1, 500, time.Millisecond, 20 * time.Millisecond}}},
	})
	elements, texts := map[string]int{}, []string{}
	for d := xml.NewDecoder(strings.NewReader(drawn)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err, "well-formed")
		switch token := token.(type) {
		case xml.StartElement:
			elements[token.Name.Local]++
		case xml.CharData:
			texts = append(texts, string(token))
		}
	}
	require.Equal(t, 4, elements["polyline"], "a line for each contender in each panel")
	require.Equal(t, 6, elements["circle"])
	for _, want := range []string{"A <title>", "a & b", "c", "p50", "p99", "1k", "2ms", "10ms", "16"} {
		require.Contains(t, texts, want)
	}
	require.NotContains(t, drawn, "NaN")
	require.NotContains(t, draw("nothing", nil), "NaN")
}

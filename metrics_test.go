package raft

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHistogram(t *testing.T) {
	var c tally
	require.Zero(t, c.histogram())
	h := c.histogram()
	require.Zero(t, h.Quantile(0.5))
	for i := range HistogramBuckets - 1 {
		bound := h.Bound(i)
		require.EqualValues(t, 1<<i, bound)
		before := c.histogram().Buckets
		c.observe(bound)
		require.Equal(t, before[i]+1, c.histogram().Buckets[i], "a bound is in its bucket")
		c.observe(bound + 1)
		require.Equal(t, before[i+1]+1, c.histogram().Buckets[i+1], "and what is above it in the next")
	}
	c = tally{}
	for _, v := range []uint64{0, 1, 3, 1 << 40} {
		c.observe(v)
	}
	h = c.histogram()
	require.EqualValues(t, 4, h.Count)
	require.EqualValues(t, 4+1<<40, h.Sum)
	require.Equal(t, [HistogramBuckets]uint64{0: 2, 2: 1, HistogramBuckets - 1: 1}, h.Buckets)
	require.EqualValues(t, 1, h.Quantile(0))
	require.EqualValues(t, 4, h.Quantile(0.5))
	require.EqualValues(t, uint64(1<<64-1), h.Quantile(1))

	c = tally{}
	c.since(Instant(time.Second), Instant(time.Second+1500*time.Nanosecond))
	require.EqualValues(t, 2, c.sum, "microseconds, rounded up")
	c.since(5, 3)
	require.EqualValues(t, 2, c.sum, "a clock that goes back counts for nothing")
	require.Zero(t, testing.AllocsPerRun(100, func() { c.observe(7) }))
}

// A tally has the buckets that it needs, whatever comes in which order.
func TestTallyGrowsBothWays(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var c tally
		var want [HistogramBuckets]uint64
		low, high := HistogramBuckets, 0
		for range 1 + rng.IntN(10) {
			i := rng.IntN(HistogramBuckets)
			c.observe(1 << i)
			want[i]++
			low, high = min(low, i), max(high, i)
			require.Equal(t, want, c.histogram().Buckets)
			require.Len(t, c.buckets, high-low+1)
		}
	}
}

// Every field of Metrics is in the table, once, under a name of its own, and the
// documentation lists them all.
func TestMetricsTable(t *testing.T) {
	var m Metrics
	v := reflect.ValueOf(&m).Elem()
	fields := slices.DeleteFunc(reflect.VisibleFields(v.Type()), func(f reflect.StructField) bool { return f.Anonymous })
	for i := range fields {
		if f := v.FieldByIndex(fields[i].Index); f.Kind() == reflect.Uint64 {
			f.SetUint(uint64(i + 1))
		} else {
			f.Field(0).SetUint(uint64(i + 1))
		}
	}
	names, seen, rows := map[string]bool{}, map[uint64]bool{}, []string{}
	i := 0
	for metric := range m.All() {
		require.False(t, names[metric.Name], metric.Name)
		names[metric.Name] = true
		value := metric.Value
		if metric.Kind == MetricHistogram {
			value = metric.Histogram.Count
		}
		require.False(t, seen[value], "%s is another one's field", metric.Name)
		seen[value] = true
		require.Equal(t, strings.ReplaceAll(metric.Name, "_", ""), strings.ToLower(fields[i].Name), "names and order follow the fields")
		i++
		rows = append(rows, fmt.Sprintf("| `%s` | %v | `%s` | %s |\n", metric.Name, metric.Kind, metric.Unit, metric.Help))
	}
	require.Len(t, fields, i)
	for range m.All() {
		break // All may be left early
	}
	doc, err := os.ReadFile("docs/metrics.md")
	require.NoError(t, err)
	_, table, found := strings.Cut(string(doc), "|---|---|---|---|\n")
	require.True(t, found)
	require.Equal(t, strings.Join(rows, ""), table)
	require.Equal(t, "kind 9", MetricKind(9).String())
}

func TestMetricsOfProposals(t *testing.T) {
	c := newSimCluster(t, 3, func(cfg *Config) { cfg.MaxEntryBytes, cfg.MaxPendingBytes = 100, 1000 })
	leader, follower := c.elect(), c.follower()
	before, received := leader.r.allMetrics(), follower.r.allMetrics().BytesReceived
	began := c.now
	first := leader.propose("0123456789")
	require.EqualValues(t, 1, leader.r.allMetrics().ProposalsPending)
	require.EqualValues(t, 10+proposalOverhead, leader.r.allMetrics().PendingBytes)
	c.now = began.Add(3 * time.Millisecond)
	c.settle()
	require.True(t, first.ended)
	m := leader.r.allMetrics()
	require.EqualValues(t, 1, m.ProposalsCommitted)
	require.EqualValues(t, 1, m.ProposalLatency.Count)
	require.EqualValues(t, 3000, m.ProposalLatency.Sum)
	require.EqualValues(t, before.CommitLatency.Count+1, m.CommitLatency.Count)
	require.EqualValues(t, before.CommitLatency.Sum+3000, m.CommitLatency.Sum)
	require.EqualValues(t, before.WriteLatency.Count+1, m.WriteLatency.Count)
	require.EqualValues(t, before.AdmittedEntries.Sum+1, m.AdmittedEntries.Sum)
	require.EqualValues(t, before.WriteEntries.Sum+1, m.WriteEntries.Sum)
	require.EqualValues(t, before.WriteBytes.Sum+10, m.WriteBytes.Sum)
	require.EqualValues(t, before.BytesApplied+10, m.BytesApplied)
	require.EqualValues(t, before.BytesSent+20, m.BytesSent, "to two followers")
	require.EqualValues(t, received+10, follower.r.allMetrics().BytesReceived)
	require.EqualValues(t, leader.r.core.Last(), m.LastIndex)
	require.EqualValues(t, m.LastIndex, m.CommitIndex)
	require.EqualValues(t, 1, m.Leading)
	require.EqualValues(t, 1, m.Elections)
	require.EqualValues(t, 1, m.LeaderChanges)
	require.Zero(t, follower.r.allMetrics().Leading)

	// Every call ends in one way, or is pending.
	c.cut = func(*Message) bool { return true }
	for range 10 {
		leader.propose(fmt.Sprintf("%0100d", 0)) // 228 bytes each, of 1000
	}
	leader.propose(fmt.Sprintf("%0101d", 0))
	m = leader.r.allMetrics()
	require.EqualValues(t, 12, m.Proposals)
	require.EqualValues(t, 7, m.ProposalsRefused)
	require.EqualValues(t, 4, m.ProposalsPending)
	c.calls[1].giveUp()
	require.EqualValues(t, 1, leader.r.allMetrics().ProposalsUnknown)
	leader.r.end(ErrClosed)
	leader.after()
	m = leader.r.allMetrics()
	require.Zero(t, m.ProposalsPending)
	require.EqualValues(t, 12, m.ProposalsCommitted+m.ProposalsRefused+m.ProposalsUnknown+m.ProposalsNotCommitted)
	require.EqualValues(t, 3, m.ProposalsNotCommitted, "those that waited")
	require.ErrorIs(t, leader.propose("late").err, ErrClosed)
	require.EqualValues(t, 8, leader.r.allMetrics().ProposalsRefused)
}

func TestMetricsOfReads(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader := c.elect()
	began := c.now
	read := leader.read()
	c.now = began.Add(time.Millisecond)
	c.settle()
	require.True(t, read.ended)
	c.cut = func(*Message) bool { return true }
	given := leader.read()
	given.giveUp()
	leader.read()
	leader.r.end(ErrClosed)
	leader.after()
	m := leader.r.allMetrics()
	require.EqualValues(t, 3, m.Reads)
	require.EqualValues(t, 1, m.ReadsCompleted)
	require.EqualValues(t, 2, m.ReadsFailed)
	require.EqualValues(t, 1, m.ReadLatency.Count)
	require.EqualValues(t, 1000, m.ReadLatency.Sum)
}

func TestMetricsOfALeaderThatIsCutOff(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader := c.elect()
	c.isolate(leader.id)
	leader.propose("x")
	m := leader.r.allMetrics()
	require.EqualValues(t, 1, m.PeerLag)
	require.NotZero(t, m.UncommittedBytes)
	leader.r.unreachable(c.now, 2)
	c.run(10 * time.Second)
	m = leader.r.allMetrics()
	require.EqualValues(t, 1, m.StepDowns)
	require.EqualValues(t, 1, m.Unreachable)
	require.NotZero(t, m.PreElections)
	require.EqualValues(t, 1, m.Elections, "it never got beyond asking")
	require.Zero(t, m.PeerLag)
}

func BenchmarkHistogram(b *testing.B) {
	var c tally
	b.ReportAllocs()
	for i := range b.N {
		c.since(0, Instant(i))
	}
}

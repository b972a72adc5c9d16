package raft

import (
	"fmt"
	"iter"
)

// Metrics are figures of a node: what it has done since it was started, and
// where it is now. All returns them with names, units and help.
type Metrics struct {
	Counters

	// Gauges, at the moment of the call.

	Leading          uint64
	Term             uint64
	CommitIndex      uint64
	AppliedIndex     uint64
	DurableIndex     uint64
	LastIndex        uint64
	SnapshotIndex    uint64
	LogEntries       uint64
	LogMemoryBytes   uint64
	ApplyLag         uint64
	PeerLag          uint64
	ProposalsPending uint64
	PendingBytes     uint64
	ForwardedBytes   uint64
	UncommittedBytes uint64
	WritesInFlight   uint64

	// Histograms, from the node's start on.

	ProposalLatency Histogram
	CommitLatency   Histogram
	ReadLatency     Histogram
	ApplyLatency    Histogram
	WriteLatency    Histogram
	AdmittedEntries Histogram
	WriteEntries    Histogram
	WriteBytes      Histogram
	ApplyEntries    Histogram
}

// Counters are those of the Metrics that only grow, from the node's start on.
type Counters struct {
	Proposals             uint64
	ProposalsCommitted    uint64
	ProposalsNotCommitted uint64
	ProposalsUnknown      uint64
	ProposalsRefused      uint64
	Reads                 uint64
	ReadsCompleted        uint64
	ReadsFailed           uint64
	EntriesApplied        uint64
	BytesApplied          uint64
	MessagesSent          uint64
	MessagesReceived      uint64
	MessagesIgnored       uint64
	BytesSent             uint64
	BytesReceived         uint64
	Unreachable           uint64
	PreElections          uint64
	Elections             uint64
	LeaderChanges         uint64
	StepDowns             uint64
	SnapshotsTaken        uint64
	SnapshotsNotTaken     uint64
	SnapshotsSent         uint64
	SnapshotsNotSent      uint64
	SnapshotsRestored     uint64
	LogReads              uint64
}

// MetricKind is how a Metric's value develops.
type MetricKind uint8

const (
	MetricCounter   MetricKind = iota + 1 // only grows, as long as the node runs
	MetricGauge                           // goes up and down
	MetricHistogram                       // counts values by size
)

// String returns "counter", "gauge" or "histogram".
func (k MetricKind) String() string {
	switch k {
	case MetricCounter:
		return "counter"
	case MetricGauge:
		return "gauge"
	case MetricHistogram:
		return "histogram"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Metric is one of the Metrics. Names, units and kinds are stable; more may
// come.
type Metric struct {
	Name string // such as "proposals_committed"
	// Unit is as in UCUM, which OpenTelemetry uses: "us" is microseconds,
	// "By" bytes, and what is in braces says what is counted.
	Unit string
	Help string
	Kind MetricKind
	// Value is a counter's or a gauge's.
	Value uint64
	// Histogram is a histogram's, and part of the Metrics that All was called
	// for; nil otherwise.
	Histogram *Histogram
}

// All returns the metrics, in the same order every time.
func (m *Metrics) All() iter.Seq[Metric] {
	return func(yield func(Metric) bool) {
		for i := range metricTable {
			row := &metricTable[i]
			metric := Metric{Name: row.name, Unit: row.unit, Help: row.help, Kind: row.kind}
			if row.kind == MetricHistogram {
				metric.Histogram = row.histogram(m)
			} else {
				metric.Value = *row.value(m)
			}
			if !yield(metric) {
				return
			}
		}
	}
}

// metricRow says what a field of Metrics is.
type metricRow struct {
	name, unit, help string
	kind             MetricKind
	value            func(*Metrics) *uint64
	histogram        func(*Metrics) *Histogram
}

func counter(name, unit, help string, value func(*Metrics) *uint64) metricRow {
	return metricRow{name, unit, help, MetricCounter, value, nil}
}

func gauge(name, unit, help string, value func(*Metrics) *uint64) metricRow {
	return metricRow{name, unit, help, MetricGauge, value, nil}
}

func histogram(name, unit, help string, value func(*Metrics) *Histogram) metricRow {
	return metricRow{name, unit, help, MetricHistogram, nil, value}
}

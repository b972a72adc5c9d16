package rafttest

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/tape"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

// Faults are kinds of faults; they can be combined with |.
type Faults uint

// The kinds of faults.
const (
	// FaultNetwork: messages are late, lost, repeated, reordered and damaged,
	// on all links or on some.
	FaultNetwork Faults = 1 << iota
	// FaultPartition: nodes do not reach each other, one way or both, some or
	// all of them, steadily or on and off.
	FaultPartition
	// FaultCrash: processes are killed and machines lose power, one or all,
	// at any system call, recovery included, with any part of what was not
	// synced surviving.
	FaultCrash
	// FaultDisk: disks are slow, hang, fail and fill up.
	FaultDisk
	// FaultDamage: bits flip on a minority of the disks, writes land in the
	// wrong place, and disks are lost. Bits of entries flip in memory, where no
	// frame and no record has a checksum any more.
	FaultDamage
	// FaultClock: clocks drift and jump.
	FaultClock
	// FaultPause: processes stand still, and go on.
	FaultPause
	// FaultUpgrade: nodes are restarted with a next version of the wire
	// format, and back.
	FaultUpgrade
	// FaultMembership: the membership changes, nodes come and go, hand over
	// and are closed. (What an operator does, and not wrong by itself.)
	FaultMembership

	// AllFaults is all of them.
	AllFaults Faults = 1<<iota - 1
)

var faultNames = []string{"network", "partition", "crash", "disk", "damage", "clock", "pause", "upgrade", "membership"}

// String names the kinds.
func (f Faults) String() string {
	var names []string
	for i, name := range faultNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// plan is what a run is to go through.
type plan struct {
	duration time.Duration // until the faults stop
	faults   Faults
	rest     span // between two faults
	lasting  span // how long one lasts
	clients  int
	think    span    // between two requests of a client
	reads    float64 // how many requests are reads
	hasty    float64 // how many requests are given up soon

	lease      time.Duration // that leases have, about; 0: there are none
	clockError time.Duration // of nodes' knowledge of true time, at most, either way
	leaseReads float64       // how many reads are by LeaseRead …
	staleReads float64       // … and of the others by StaleRead …
	maxAge     time.Duration // … of this age
}

// The questions that draw a run. The first answer is the mildest.
func pick[T any](t *tape.Tape, answers ...T) T { return answers[t.Intn(len(answers))] }

// drawSwarm draws the configuration of a run and what it goes through. Every
// run has a part of the faults, of differing strength, and a configuration of
// its own: much is found only where, say, a message holds one entry.
func drawSwarm(t *tape.Tape, limits *limits, base raft.Config) (settings, plan) {
	cfg := settings{raft: base, maxEvents: 3_000_000}
	cfg.nodes = limits.minNodes
	if more := limits.maxNodes - limits.minNodes; more > 0 {
		cfg.nodes += t.Intn(more + 1)
	}
	drawConfig(t, &cfg.raft)
	cfg.segmentBytes = pick(t, int64(64<<10), 32<<10, 128<<10)
	if cfg.cacheBytes = 64 << 10; cfg.segmentBytes == 32<<10 {
		cfg.cacheBytes = -1
	}
	cfg.durable = pick(t, false, false, true)

	var p plan
	for i := range faultNames {
		if f := Faults(1 << i); t.Chance(0.5) {
			p.faults |= f & limits.faults
		}
	}
	cfg.network = inmem.Faults{MinDelay: time.Millisecond, MaxDelay: time.Millisecond}
	if p.faults&FaultNetwork != 0 {
		cfg.network = drawNetwork(t, cfg.electionTimeout())
	}
	cfg.pace = pace{disk: span{max: time.Millisecond}}
	if t.Chance(0.5) {
		cfg.pace.work.max = pick(t, time.Millisecond, 100*time.Microsecond, 10*time.Millisecond, cfg.electionTimeout())
	}
	if t.Chance(0.5) {
		cfg.pace.disk.max = pick(t, time.Millisecond, 10*time.Millisecond, 50*time.Millisecond, cfg.electionTimeout()/2)
	}
	timeout := cfg.electionTimeout()
	p.duration = limits.duration / 4 * time.Duration(1+t.Intn(4))
	p.rest = span{min: time.Millisecond, max: pick(t, 8*timeout, 4*timeout, 2*timeout, 16*timeout)}
	p.lasting = span{min: timeout / 20, max: pick(t, 2*timeout, timeout, 6*timeout, 20*timeout)}
	p.clients = 1 + t.Intn(6)
	p.think = span{min: 10 * time.Microsecond, max: pick(t, timeout, timeout/4, timeout/20, time.Millisecond)}
	p.reads = pick(t, 0.3, 0, 0.1, 0.7)
	p.hasty = pick(t, 0, 0.02, 0.3)
	if p.lease = pick(t, 0, 0, timeout, timeout/4, 4*timeout); p.lease > 0 {
		p.clockError = p.lease >> (1 + t.Intn(12))
		p.leaseReads = pick(t, 0.5, 1, 0.2)
	}
	p.staleReads = pick(t, 0, 0.2, 0.6)
	p.maxAge = pick(t, timeout, timeout/4, 4*timeout)
	return cfg, p
}

// drawConfig fills in what the user has not set.
func drawConfig(t *tape.Tape, c *raft.Config) {
	draw(t, &c.ElectionTimeout, raft.DefaultElectionTimeout, 100*time.Millisecond, time.Second)
	draw(t, &c.HeartbeatInterval, c.ElectionTimeout/8, c.ElectionTimeout/2, c.ElectionTimeout/4)
	draw(t, &c.MaxMessageBytes, raft.DefaultMaxMessageBytes, 1, 100, 1000, 10_000)
	draw(t, &c.MaxWindowBytes, raft.DefaultMaxWindowBytes, 1, 200, 2000, 50_000)
	draw(t, &c.MaxUncommittedBytes, raft.DefaultMaxUncommittedBytes, 100, 1000, 10_000)
	draw(t, &c.MaxApplyBytes, raft.DefaultMaxApplyBytes, 1, 100, 1000)
	draw(t, &c.SnapshotEntries, -1, 5, 30, 100, 300)
	draw(t, &c.SnapshotBytes, -1, -1, 500, 5000)
	draw(t, &c.TrailingEntries, raft.DefaultTrailingEntries, -1, 1, 10, 50)
	draw(t, &c.MaxSnapshotSends, raft.DefaultMaxSnapshotSends, 1)
	draw(t, &c.CatchUpBytes, raft.DefaultCatchUpBytes, -1, 1000, 10_000)
	entry := c.MaxEntryBytes
	if entry == 0 {
		entry = raft.DefaultMaxEntryBytes
	}
	const overhead = 128 // of a proposal, see raft.Config
	draw(t, &c.MaxPendingBytes, max(raft.DefaultMaxPendingBytes, entry+overhead), entry+overhead, entry+2000)
}

func draw[T comparable](t *tape.Tape, field *T, answers ...T) {
	var unset T
	if v := pick(t, answers...); *field == unset {
		*field = v
	}
}

// drawNetwork draws how messages fare.
func drawNetwork(t *tape.Tape, timeout time.Duration) inmem.Faults {
	f := inmem.Faults{MinDelay: pick(t, time.Millisecond, 100*time.Microsecond, 5*time.Millisecond)}
	f.MaxDelay = f.MinDelay + pick(t, 0, time.Millisecond, timeout/10, timeout/2, 2*timeout)
	f.Loss = pick(t, 0, 0.01, 0.1, 0.3)
	f.Duplicate = pick(t, 0, 0.01, 0.2)
	f.Corrupt = pick(t, 0, 0.01, 0.1)
	return f
}

// describe says what a run was drawn to be.
func describePlan(cfg *settings, p *plan) []string {
	c := &cfg.raft
	return []string{
		fmt.Sprintf("%d nodes, election timeout %v, heartbeat %v", cfg.nodes, c.ElectionTimeout, c.HeartbeatInterval),
		fmt.Sprintf("message %d, window %d, uncommitted %d, apply %d, pending %d bytes", c.MaxMessageBytes, c.MaxWindowBytes, c.MaxUncommittedBytes, c.MaxApplyBytes, c.MaxPendingBytes),
		fmt.Sprintf("snapshot every %d entries, %d bytes, %d trailing; segments of %d bytes", c.SnapshotEntries, c.SnapshotBytes, c.TrailingEntries, cfg.segmentBytes),
		fmt.Sprintf("state machines durable by themselves: %v", cfg.durable),
		fmt.Sprintf("faults: %v; network %+v; work %v, disk %v", p.faults, cfg.network, cfg.pace.work.max, cfg.pace.disk.max),
		fmt.Sprintf("%v with %d clients that think up to %v, %g of their requests reads, %g given up", p.duration, p.clients, p.think.max, p.reads, p.hasty),
		fmt.Sprintf("leases of about %v, clocks exact to %v; %g of the reads by leases, and %g of the others stale by up to %v", p.lease, p.clockError, p.leaseReads, p.staleReads, p.maxAge),
	}
}

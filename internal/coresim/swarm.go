package coresim

import (
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/tape"
)

// Kind is a kind of event. What is mild comes first.
type Kind uint8

// The kinds of events.
const (
	Deliver        Kind = iota // a message arrives, the next one of its link or any
	Persist                    // one or several writes become durable
	Apply                      // what was handed out is applied, or a snapshot restored
	AnswerLogRead              // a range of the log is read: now, late, or a second time
	Tick                       // at a deadline, or later
	Propose                    // one entry or a batch
	Read                       // begins
	BeginLeaseRead             // of a leader
	EndLeaseRead               // its state machine is read, or the lease checked after that
	Compact                    // a snapshot is taken, and the log before it forgotten
	FinishTransfer             // a snapshot has been sent, or has not
	Drop                       // a message
	Duplicate                  // a message arrives and stays on the way
	Unreachable                // a leader is told that messages may be lost
	ChangeMembers              // a leader is asked to change the membership
	HandOver                   // a leader is asked to transfer leadership
	SetLease                   // a leader is asked for leases of another length
	Restart                    // of a node that has crashed
	Crash                      // with none, some, or all of its writes in flight
	Heal                       // all partitions
	Partition                  // one way, both ways, partial
	Wake                       // of a paused node: it reads its inbox, then ticks
	Pause                      // a node does nothing at all
	Starve                     // a node does everything but look at the clock, until it wakes
	Jump                       // of a node's clock
	ShiftClock                 // other bounds of the error of a node's clock, or none
	Wipe                       // of a node's disk
	PersistFails               // a node stops for good
	kinds
)

var kindNames = [kinds]string{
	"deliver", "persist", "apply", "answer log read", "tick", "propose", "read", "begin lease read", "end lease read", "compact", "finish transfer", "drop",
	"duplicate", "unreachable", "change members", "hand over", "set lease", "restart", "crash", "heal", "partition", "wake", "pause", "starve", "jump", "shift clock", "wipe", "persist fails",
}

func (k Kind) String() string { return kindNames[k] }

// Fault reports whether k is what a user would call a fault.
func (k Kind) Fault() bool {
	switch k {
	case Drop, Duplicate, Unreachable, Crash, Partition, Pause, Starve, Jump, ShiftClock, Wipe, PersistFails:
		return true
	}
	return false
}

// MaxNodes bounds the nodes of a cluster.
const MaxNodes = 7

// swarm is one run's faults and configuration. Without drawing the
// configuration too, whole classes of defects stay out of reach: where a
// message holds one entry, and one is on the way, logs are caught in states
// that batches jump over (SCENARIOS.md, M).
type swarm struct {
	nodes, events int
	joiners       int        // of the nodes, those that are no founders
	changes       bool       // of the membership
	kinds         [4096]Kind // by their weights
	reorder       bool       // messages of one link overtake each other
	batches       int        // messages at most that a node takes before Ready
	hoard         float64    // how often a node is given more before its Ready is taken

	election, heartbeat                 time.Duration
	message, window, uncommitted, apply int   // bytes
	mixed                               bool  // sizes differ from node to node
	entries, entryBytes                 int   // at most: of a batch, of an entry
	pace                                int64 // nanoseconds that pass with an event
	drift                               int   // of clocks, in 1/1024
	late                                bool  // ticks come late

	leases     bool
	leaseFirst bool          // from the beginning
	lease      time.Duration // about
	clockError int64         // of clocks, at most, either way
}

func drawSwarm(t *tape.Tape) swarm {
	s := swarm{
		nodes:       [...]int{3, 3, 3, 1, 2, 4, 5, 5, 6, 7}[t.Intn(10)],
		events:      1000 << t.Intn(3),
		reorder:     t.Chance(0.5),
		batches:     [...]int{1, 1, 4, 16}[t.Intn(4)],
		message:     1 << t.Intn(15),
		window:      1 << (6 + t.Intn(13)),
		uncommitted: 1 << (6 + t.Intn(13)),
		apply:       1 << t.Intn(15),
		mixed:       t.Chance(0.3),
		entries:     1 + t.Intn(1<<t.Intn(6)),
		entryBytes:  1 + t.Intn(1<<t.Intn(10)),
		late:        t.Chance(0.3),
	}
	s.election = time.Duration(100+t.Intn(900)) * time.Millisecond
	s.heartbeat = s.election / time.Duration(2+t.Intn(20))
	s.pace = int64(s.election) / int64(1+(100<<t.Intn(8)))
	// Safety never rests on clocks, so some may run several times faster.
	s.drift = [...]int{0, 0, 64, 800}[t.Intn(4)]
	if s.changes = t.Chance(0.5); s.changes {
		s.joiners = min(t.Intn(4), MaxNodes-s.nodes)
		s.nodes += s.joiners
	}
	s.hoard = [...]float64{0, 0, 0.1, 0.5}[t.Intn(4)]
	s.drawLeases(t)
	s.drawKinds(t)
	return s
}

// simplify leaves out what Config.Plain leaves out.
func (s *swarm) simplify() {
	s.batches = 1
	s.nodes, s.joiners = s.nodes-s.joiners, 0
	s.hoard, s.leases = 0, false
	for at, k := range s.kinds {
		if k == Compact || k == ChangeMembers || k == HandOver || k == Wipe || k == PersistFails ||
			k == BeginLeaseRead || k == EndLeaseRead || k == SetLease || k == ShiftClock {
			s.kinds[at] = Deliver
		}
	}
}

// drawKinds draws the weights of the kinds of events: half of the faults are
// off in a run.
func (s *swarm) drawKinds(t *tape.Tape) {
	some := func(n int) int {
		if !t.Chance(0.5) {
			return 0
		}
		return 1 + t.Intn(n)
	}
	w := [kinds]int{
		Deliver:       200 + t.Intn(600),
		Persist:       40 + t.Intn(300),
		Apply:         30 + t.Intn(200),
		AnswerLogRead: 30 + t.Intn(200),
		Tick:          2 + t.Intn(1<<t.Intn(8)),
		Propose:       10 + t.Intn(200),
		Read:          some(60),
		Compact:       some(4 << t.Intn(6)),
		Drop:          some(100),
		Duplicate:     some(100),
		Unreachable:   some(10),
		Crash:         some(8),
		Partition:     some(8),
		Pause:         some(6),
		Starve:        some(6),
		Jump:          some(4),
		Wipe:          some(3),
		PersistFails:  some(1),
	}
	if s.changes {
		w[ChangeMembers], w[HandOver] = 1+t.Intn(30), some(10)
	}
	if s.leases {
		w[BeginLeaseRead], w[EndLeaseRead] = 10+t.Intn(100), 10+t.Intn(200)
		w[SetLease], w[ShiftClock] = some(6), some(10)
		// What makes two leaders at a time: one that does not look at the
		// clock, and one that is asked to campaign.
		w[Starve], w[Pause], w[Partition] = 1+t.Intn(12), 1+t.Intn(6), 1+t.Intn(8)
		w[HandOver] = some(20)
	}
	w[FinishTransfer] = 5 + t.Intn(50)
	w[Restart], w[Heal], w[Wake] = 2+t.Intn(20), 2+t.Intn(10), 2+t.Intn(10)
	total := 0
	for _, n := range w {
		total += n
	}
	at, sum := 0, 0
	for k, n := range w {
		sum += n
		for end := sum * len(s.kinds) / total; at < end; at++ {
			s.kinds[at] = Kind(k)
		}
	}
}

// core returns the configuration of a node's core.
func (s *swarm) core(t *tape.Tape, cfg raft.CoreConfig) raft.CoreConfig {
	shift := func(n int) int {
		if s.mixed {
			return max(1, n<<4>>t.Intn(9))
		}
		return n
	}
	cfg.ElectionTimeout, cfg.HeartbeatInterval = s.election, s.heartbeat
	cfg.MaxEntryBytes = 1 << 10
	cfg.MaxMessageBytes, cfg.MaxWindowBytes = shift(s.message), shift(s.window)
	cfg.MaxUncommittedBytes, cfg.MaxApplyBytes = shift(s.uncommitted), shift(s.apply)
	return cfg
}

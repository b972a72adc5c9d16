package raft

import (
	"fmt"
	"time"

	"go.uber.org/zap"
)

// Random is the source of the core's randomness: election timeouts.
// *math/rand/v2.PCG is one.
type Random interface {
	Uint64() uint64
}

// CoreConfig configures a Raft, the pure core. All fields but Group, Applied,
// Clock and Events are required; DefaultCoreConfig has good values.
type CoreConfig struct {
	ID    NodeID
	Group GroupID
	// ElectionTimeout is the shortest time without a leader after which a
	// follower campaigns; the actual one is drawn from [1, 2) times it. A
	// leader that does not hear from a quorum for so long steps down. The core
	// takes the time that Tick is given as it is: whoever drives it after a pause
	// gives it what has arrived first.
	ElectionTimeout time.Duration
	// HeartbeatInterval is the time between a leader's heartbeats.
	HeartbeatInterval time.Duration
	// MaxEntryBytes bounds the data of one entry.
	MaxEntryBytes int
	// MaxMessageBytes bounds the entries' data in one message, except that
	// one entry always fits.
	MaxMessageBytes int
	// MaxWindowBytes bounds the entries in memory: on a leader those kept
	// for its followers, on a follower those that are not yet durable.
	MaxWindowBytes int
	// MaxUncommittedBytes bounds what a leader has accepted and not yet
	// committed, and what is committed and not yet handed to its state
	// machine. Beyond either Propose returns ErrOverloaded.
	MaxUncommittedBytes int
	// MaxApplyBytes bounds the data in one Ready.Committed, except that one
	// entry always fits.
	MaxApplyBytes int
	// Applied is what the state machine holds at the start already, all up
	// to this index, since it is durable by itself. It is not handed out
	// again. 0: it is empty.
	Applied Index
	// Random draws the election timeouts.
	Random Random
	// Clock is for lease reads. Nil: this replica serves none.
	Clock Clock
	// Events asks for Ready.Events.
	Events bool
}

// Defaults, see CoreConfig and Config.
const (
	DefaultElectionTimeout     = 400 * time.Millisecond
	DefaultHeartbeatInterval   = 50 * time.Millisecond
	DefaultMaxEntryBytes       = 1 << 20
	DefaultMaxMessageBytes     = 512 << 10
	DefaultMaxWindowBytes      = 16 << 20
	DefaultMaxUncommittedBytes = 16 << 20
	DefaultMaxApplyBytes       = 1 << 20
	DefaultMaxPendingBytes     = 16 << 20
	DefaultSnapshotBytes       = 64 << 20
	DefaultSnapshotEntries     = 1_000_000
	DefaultTrailingEntries     = 10_000
	DefaultCatchUpBytes        = 1 << 30
	DefaultMaxSnapshotSends    = 2
)

// DefaultCoreConfig returns a configuration for node id, with random to draw
// election timeouts from, and defaults for the rest.
func DefaultCoreConfig(id NodeID, random Random) CoreConfig {
	return CoreConfig{
		ID:                  id,
		ElectionTimeout:     DefaultElectionTimeout,
		HeartbeatInterval:   DefaultHeartbeatInterval,
		MaxEntryBytes:       DefaultMaxEntryBytes,
		MaxMessageBytes:     DefaultMaxMessageBytes,
		MaxWindowBytes:      DefaultMaxWindowBytes,
		MaxUncommittedBytes: DefaultMaxUncommittedBytes,
		MaxApplyBytes:       DefaultMaxApplyBytes,
		Random:              random,
	}
}

// maxEntryBytesLimit is the largest MaxEntryBytes: what every transport and
// storage must be able to hold in one piece.
const maxEntryBytesLimit = 64 << 20

// Validate returns a *ConfigError that names the first wrong field, or nil.
func (c *CoreConfig) Validate() error {
	if c.ID == 0 {
		return &ConfigError{"ID", "must not be 0"}
	}
	if c.Random == nil {
		return &ConfigError{"Random", "must not be nil"}
	}
	if c.HeartbeatInterval <= 0 {
		return &ConfigError{"HeartbeatInterval", "must be positive"}
	}
	if c.ElectionTimeout < 2*c.HeartbeatInterval {
		return &ConfigError{"ElectionTimeout", fmt.Sprintf("must be at least twice HeartbeatInterval (%v), is %v", c.HeartbeatInterval, c.ElectionTimeout)}
	}
	if c.ElectionTimeout > 24*time.Hour {
		return &ConfigError{"ElectionTimeout", "must be at most 24h"}
	}
	if c.MaxEntryBytes <= 0 || c.MaxEntryBytes > maxEntryBytesLimit {
		return &ConfigError{"MaxEntryBytes", fmt.Sprintf("must be in 1 … %d", maxEntryBytesLimit)}
	}
	for _, f := range []struct {
		name  string
		value int
	}{
		{"MaxMessageBytes", c.MaxMessageBytes},
		{"MaxWindowBytes", c.MaxWindowBytes},
		{"MaxUncommittedBytes", c.MaxUncommittedBytes},
		{"MaxApplyBytes", c.MaxApplyBytes},
	} {
		if f.value <= 0 {
			return &ConfigError{f.name, "must be positive"}
		}
		if f.value > 1<<30 {
			return &ConfigError{f.name, "must be at most 1 GiB"}
		}
	}
	return nil
}

// Config configures a Node. ID, Storage and Transport are required; a zero
// value elsewhere means the default.
type Config struct {
	// ID is this node's, unique within the cluster for all time, not 0.
	ID NodeID
	// Group is the replication group, for processes with several of them.
	Group GroupID
	// Storage and Transport are opened and closed by the caller; they must
	// outlive the node.
	Storage   Storage
	Transport Transport
	// Bootstrap founds a cluster: every founding member passes the same
	// list on its first start. It is used only where the storage is empty.
	// All of them are voters; only ID and Address are to be set.
	// A node that joins later, or that lost its storage, passes none.
	Bootstrap []Member
	// Cluster names the cluster, at most 64 bytes. With a name, founders
	// that were given differing Bootstrap lists do not notice; without one
	// they refuse each other. Empty: a digest of Bootstrap, or what the storage holds from an earlier start; a node
	// without either is given it here.
	Cluster string

	// The next ones are as in CoreConfig. But time in which the node was kept from
	// its work for more than a HeartbeatInterval, as by a pause of its process or
	// its machine, does not count towards ElectionTimeout.
	ElectionTimeout     time.Duration
	HeartbeatInterval   time.Duration
	MaxEntryBytes       int
	MaxMessageBytes     int
	MaxWindowBytes      int
	MaxUncommittedBytes int
	MaxApplyBytes       int

	// MaxPendingBytes bounds the data of proposals that this node holds and
	// that have not ended yet, each with 128 bytes more. Beyond it Propose
	// returns ErrOverloaded. The same bound holds once more for what others
	// have forwarded to this node.
	MaxPendingBytes int

	// CompareStateEvery has the replicas compare their states once so many
	// commands have been applied since the last time. It counts on the leader,
	// and the state machine must be a StateHasher; a node whose state machine is
	// none does not take part. Each comparison costs a StateHash on every node,
	// and an entry for each node in the log. 0: never.
	//
	// A voter or learner whose hash is not that of a majority of all voters is
	// named by an EventDiverged on every node, and stops with a DivergedError.
	// Where the voters' hashes differ and none is a majority's, as with two
	// voters, all are named and nobody stops. Who is down, or restores a
	// snapshot instead, takes part the next time.
	//
	// A version of this library that does not know of comparisons cannot take
	// their entries: turn it on when no node runs one.
	CompareStateEvery uint64

	// A snapshot is taken once this many bytes or entries have been applied
	// since the last one. Negative: never for this reason.
	SnapshotBytes   int64
	SnapshotEntries int64
	// TrailingEntries is how many entries below a snapshot stay in the log,
	// for followers that are a little behind. Negative: none.
	TrailingEntries int64
	// CatchUpBytes is how much of the log a leader keeps, beyond that, for a
	// follower that is being sent a snapshot or catches up from one: without
	// the entries that follow, it would have to be sent another one. Each
	// entry counts its data and 64 bytes; the log may be longer by what is
	// applied between two snapshots. A follower that was not heard from for
	// 10 election timeouts is not waited for. Negative: none.
	CatchUpBytes int64
	// MaxSnapshotSends bounds how many snapshots this node sends at once;
	// further peers that need one wait for their turn. (A transport bounds how
	// many it receives.)
	MaxSnapshotSends int
	// SnapshotRate bounds how fast this node writes and sends snapshots, in
	// bytes a second over all of them, so that they leave enough of disk and
	// network to the log. 0: not at all.
	SnapshotRate int64

	// Clock is for lease reads, see Node.LeaseRead. Nil: this node serves
	// none, and reads that ask for one cost what a ReadBarrier costs.
	Clock Clock

	// OnEvent is called for each Event of this node, in order, never
	// concurrently, and outside all locks. It may call the node's methods, but
	// not Close, which waits for it. It should return soon: only the next
	// events wait for it, but of those that do not fit into a queue of 4096 an
	// EventsLost says no more than how many they were. Nil: nobody listens.
	OnEvent func(Event)

	// Logger receives the same events, as lines for a person who operates the
	// node: one line each, at Warn what does not work as it should. Nil:
	// nothing is logged.
	Logger *zap.Logger
}

// Validate returns a *ConfigError that names the first wrong field, or nil.
func (c *Config) Validate() error {
	d := c.withDefaults()
	core := d.core(zeroRandom{})
	if err := core.Validate(); err != nil {
		return err
	}
	switch {
	case d.Storage == nil:
		return &ConfigError{"Storage", "must not be nil"}
	case d.Transport == nil:
		return &ConfigError{"Transport", "must not be nil"}
	case len(d.Cluster) > maxClusterBytes:
		return tooLongName(d.Cluster)
	case d.MaxPendingBytes < 0 || d.MaxPendingBytes > 1<<30:
		return &ConfigError{"MaxPendingBytes", "must be positive and at most 1 GiB"}
	case d.MaxPendingBytes < d.MaxEntryBytes+proposalOverhead:
		return &ConfigError{"MaxPendingBytes", fmt.Sprintf("must be at least MaxEntryBytes (%d) and %d more, is %d", d.MaxEntryBytes, proposalOverhead, d.MaxPendingBytes)}
	case d.MaxSnapshotSends < 0:
		return &ConfigError{"MaxSnapshotSends", "must be positive"}
	case d.SnapshotRate < 0:
		return &ConfigError{"SnapshotRate", "must not be negative"}
	}
	return d.validateBootstrap()
}

// maxClusterBytes bounds the name of a cluster, which every handshake carries.
const maxClusterBytes = 64

func tooLongName(cluster string) error {
	return &ConfigError{"Cluster", fmt.Sprintf("must have at most %d bytes, has %d", maxClusterBytes, len(cluster))}
}

func (c *Config) validateBootstrap() error {
	if len(c.Bootstrap) == 0 {
		return nil
	}
	bad := func(format string, args ...any) error {
		return &ConfigError{"Bootstrap", fmt.Sprintf(format, args...)}
	}
	if len(c.Bootstrap) > maxMembers {
		return bad("must have at most %d members, has %d", maxMembers, len(c.Bootstrap))
	}
	ids, addresses, self := map[NodeID]bool{}, map[string]NodeID{}, false
	for _, m := range c.Bootstrap {
		other, taken := addresses[m.Address]
		switch {
		case m.ID == 0:
			return bad("must not have a member with ID 0")
		case ids[m.ID]:
			return bad("has member %d twice", m.ID)
		case m.Address == "":
			return bad("member %d must have an Address", m.ID)
		case taken:
			return bad("members %d and %d have the same Address, %q", other, m.ID, m.Address)
		case m.Outgoing || m.Leaving:
			return bad("member %d must not be Outgoing or Leaving: a new cluster has no joint membership", m.ID)
		}
		ids[m.ID], addresses[m.Address] = true, m.ID
		self = self || m.ID == c.ID
	}
	if !self {
		return bad("must include this node, %d: one that joins later passes none", c.ID)
	}
	return nil
}

// withDefaults returns c with defaults for its zero values, and "never" and
// "none" made plain: no snapshots are 0 bytes or entries, no trailing entries,
// and none to catch up with, are 0.
func (c *Config) withDefaults() Config {
	d := *c
	setDefault(&d.ElectionTimeout, DefaultElectionTimeout)
	setDefault(&d.HeartbeatInterval, DefaultHeartbeatInterval)
	setDefault(&d.MaxEntryBytes, DefaultMaxEntryBytes)
	setDefault(&d.MaxMessageBytes, DefaultMaxMessageBytes)
	setDefault(&d.MaxWindowBytes, DefaultMaxWindowBytes)
	setDefault(&d.MaxUncommittedBytes, DefaultMaxUncommittedBytes)
	setDefault(&d.MaxApplyBytes, DefaultMaxApplyBytes)
	setDefault(&d.MaxPendingBytes, DefaultMaxPendingBytes)
	setDefault(&d.SnapshotBytes, DefaultSnapshotBytes)
	setDefault(&d.SnapshotEntries, DefaultSnapshotEntries)
	setDefault(&d.TrailingEntries, DefaultTrailingEntries)
	setDefault(&d.CatchUpBytes, DefaultCatchUpBytes)
	setDefault(&d.MaxSnapshotSends, DefaultMaxSnapshotSends)
	setDefault(&d.Logger, silent)
	d.SnapshotBytes, d.SnapshotEntries = max(d.SnapshotBytes, 0), max(d.SnapshotEntries, 0)
	d.TrailingEntries, d.CatchUpBytes = max(d.TrailingEntries, 0), max(d.CatchUpBytes, 0)
	return d
}

// silent is the Logger of nodes that were given none.
var silent = zap.NewNop()

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// core returns the configuration of the core; c has its defaults.
func (c *Config) core(random Random) CoreConfig {
	return CoreConfig{
		ID:                  c.ID,
		Group:               c.Group,
		ElectionTimeout:     c.ElectionTimeout,
		HeartbeatInterval:   c.HeartbeatInterval,
		MaxEntryBytes:       c.MaxEntryBytes,
		MaxMessageBytes:     c.MaxMessageBytes,
		MaxWindowBytes:      c.MaxWindowBytes,
		MaxUncommittedBytes: c.MaxUncommittedBytes,
		MaxApplyBytes:       c.MaxApplyBytes,
		Random:              random,
		Clock:               c.Clock,
		Events:              true,
	}
}

// zeroRandom stands in for the source of randomness where none is drawn.
type zeroRandom struct{}

func (zeroRandom) Uint64() uint64 { return 0 }

// Package hashicorp is HashiCorp's Raft v1.7.3 as a contender, with its raft-wal
// as log and stable store, and its TCP transport, set up as Consul does it.
package hashicorp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"

	"github.com/seed-6281cb22/raft/bench/contender"
)

const (
	// maxAppend is how many entries one request, one write of the log and one
	// call of the state machine have at most: the most that is allowed.
	maxAppend = 1024
	// cached is how many of the last entries the cache before the log holds. With
	// Consul's 512, batches of many clients fall out of it before they are sent.
	cached = 16 * maxAppend
	// enqueueWithin is how long an operation may wait for its place in a queue.
	enqueueWithin = 5 * time.Second
)

// node is a *raft.Raft and what belongs to it.
type node struct {
	raft      *raft.Raft
	log       *wal.WAL
	logMeta   metadb.BoltMetaDB // log's own, which raft-wal v0.4.0 forgets to close
	transport *raft.NetworkTransport

	// readable is the last term at whose beginning, as the leader, all earlier
	// entries were applied.
	readable atomic.Uint64
}

// Start is the contender.Start of this library.
func Start(config contender.Config) (contender.Node, error) {
	logDir := filepath.Join(config.Dir, "wal")
	if err := os.MkdirAll(logDir, 0o755); err != nil {
		return nil, err
	}
	n := &node{}
	if err := n.start(config, logDir); err != nil {
		return nil, errors.Join(err, n.closeParts())
	}
	return n, nil
}

func (n *node) start(config contender.Config, logDir string) (err error) {
	if n.log, err = wal.Open(logDir, wal.WithLogger(hclog.NewNullLogger()), wal.WithMetaStore(&n.logMeta)); err != nil {
		return err
	}
	cache, err := raft.NewLogCache(cached, n.log)
	if err != nil {
		return err
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(config.Dir, 1, hclog.NewNullLogger())
	if err != nil {
		return err
	}
	// Consul's pool and timeout; as many requests in flight as they advise, 2.
	n.transport, err = raft.NewTCPTransportWithConfig(config.Addrs[config.Node-1], nil, &raft.NetworkTransportConfig{
		MaxPool: 3, Timeout: 10 * time.Second, Logger: hclog.NewNullLogger(),
	})
	if err != nil {
		return err
	}
	exists, err := raft.HasExistingState(cache, n.log, snapshots)
	if err != nil {
		return err
	}
	settings := settings(config)
	if !exists {
		if err := raft.BootstrapCluster(settings, cache, n.log, snapshots, n.transport, voters(config.Addrs)); err != nil {
			return err
		}
	}
	n.raft, err = raft.NewRaft(settings, machine{config.Machine}, cache, n.log, snapshots, n.transport)
	return err
}

// settings are the library's defaults, but for what makes batches large.
func settings(config contender.Config) *raft.Config {
	s := raft.DefaultConfig()
	s.LocalID = serverID(config.Node)
	s.MaxAppendEntries = maxAppend
	s.BatchApplyCh = true
	s.TrailingLogs = config.Keep
	s.Logger = hclog.NewNullLogger()
	s.NoLegacyTelemetry = true
	s.SnapshotThreshold = math.MaxUint64
	if config.SnapshotEvery > 0 {
		// The interval is only how often it looks.
		s.SnapshotThreshold, s.SnapshotInterval = config.SnapshotEvery, 20*time.Millisecond
	}
	if config.Timing == contender.Aggressive {
		// Heartbeats are sent ten times as often as followers expect one.
		s.HeartbeatTimeout = 100 * time.Millisecond
		s.ElectionTimeout = 100 * time.Millisecond
		s.LeaderLeaseTimeout = 100 * time.Millisecond
		s.CommitTimeout = 10 * time.Millisecond
	}
	return s
}

func serverID(node int) raft.ServerID { return raft.ServerID(strconv.Itoa(node)) }

func voters(addrs []string) (c raft.Configuration) {
	for i, address := range addrs {
		c.Servers = append(c.Servers, raft.Server{ID: serverID(i + 1), Address: raft.ServerAddress(address)})
	}
	return c
}

func (n *node) Leader() int {
	_, id := n.raft.LeaderWithID()
	leader, err := strconv.Atoi(string(id))
	if err != nil {
		return 0 // none
	}
	return leader
}

func (n *node) Term() uint64 { return n.raft.CurrentTerm() }

// Propose looks at ctx before it begins only. To leave one of this library's
// futures before it ends takes a goroutine for each, which would count against
// it, and they all end, at the latest when a leader without a majority steps
// down.
func (n *node) Propose(ctx context.Context, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return translate(n.raft.Apply(data, enqueueWithin).Error())
}

// Read does what Consul does for consistent reads: it asks a majority whether
// this is still the leader. What was acknowledged in this term is applied here
// already, since a leader acknowledges no earlier; for what earlier leaders
// acknowledged, a barrier was waited for once in this term. For ctx see Propose.
func (n *node) Read(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		term := n.raft.CurrentTerm()
		if n.readable.Load() != term {
			if err := n.raft.Barrier(enqueueWithin).Error(); err != nil {
				return translate(err)
			}
			if n.raft.CurrentTerm() != term {
				continue
			}
			n.readable.Store(term)
		}
		if err := n.raft.VerifyLeader().Error(); err != nil {
			return translate(err)
		}
		if n.raft.CurrentTerm() == term {
			return nil
		}
	}
}

func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost):
		return fmt.Errorf("%w: %w", contender.ErrNotLeader, err)
	default:
		return err
	}
}

func (n *node) Snapshot() error {
	if err := n.raft.Snapshot().Error(); !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return err
	}
	return nil
}

func (n *node) Close() error { return errors.Join(n.raft.Shutdown().Error(), n.closeParts()) }

// closeParts closes what there is but for the Raft itself.
func (n *node) closeParts() error {
	var errs []error
	if n.transport != nil {
		errs = append(errs, n.transport.Close())
	}
	if n.log != nil {
		errs = append(errs, n.log.Close())
	}
	return errors.Join(append(errs, n.logMeta.Close())...)
}

// Package dragonboat is dragonboat v4 as a contender: one shard with a replica
// on each of three NodeHosts, with either of its log engines.
package dragonboat

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/client"
	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/logger"
	"github.com/lni/dragonboat/v4/plugin/tan"
	"github.com/lni/dragonboat/v4/statemachine"

	"github.com/seed-6281cb22/raft/bench/contender"
)

const (
	shard = 1
	// timeout is when an operation fails that nothing came of.
	timeout = 5 * time.Second
	// snapshotTimeout is the same for snapshots.
	snapshotTimeout = 10 * time.Minute
)

// Start is the contender.Start of this library with its default log engine,
// which keeps the log in Pebble.
func Start(config contender.Config) (contender.Node, error) { return start(config, nil) }

// StartTan is the same with its other log engine, tan, which is a log file.
func StartTan(config contender.Config) (contender.Node, error) { return start(config, tan.Factory) }

// node is a NodeHost with its one replica.
type node struct {
	host *dragonboat.NodeHost
	// session is of the kind that asks for no deduplication; it has no state.
	session *client.Session
}

func start(c contender.Config, engine config.LogDBFactory) (contender.Node, error) {
	quiet()
	members := map[uint64]dragonboat.Target{}
	for i, address := range c.Addrs {
		members[uint64(i+1)] = address
	}
	host, err := dragonboat.NewNodeHost(hostConfig(c, engine))
	if err != nil {
		return nil, err
	}
	create := func(uint64, uint64) statemachine.IConcurrentStateMachine { return machine{c.Machine} }
	// The example in its README, and the documentation of these fields.
	err = host.StartConcurrentReplica(members, false, create, config.Config{
		ReplicaID: uint64(c.Node), ShardID: shard, CheckQuorum: true,
		ElectionRTT: 10, HeartbeatRTT: 1,
		SnapshotEntries: c.SnapshotEvery, CompactionOverhead: c.Keep,
	})
	if err != nil {
		host.Close()
		return nil, err
	}
	return &node{host, host.GetNoOPSession(shard)}, nil
}

func hostConfig(c contender.Config, engine config.LogDBFactory) config.NodeHostConfig {
	expert := config.GetDefaultExpertConfig()
	expert.LogDBFactory = engine
	expert.LogDB.Shards = 1 // the one shard uses one only
	h := config.NodeHostConfig{
		NodeHostDir: c.Dir, RaftAddress: c.Addrs[c.Node-1], Expert: expert,
		RTTMillisecond: 200, // its README's example
	}
	if c.Timing == contender.Aggressive {
		h.RTTMillisecond = 10
	}
	return h
}

func (n *node) Leader() int {
	leader, _, known, err := n.host.GetLeaderID(shard)
	if err != nil || !known {
		return 0
	}
	return int(leader)
}

// Term is 0 where no leader is known.
func (n *node) Term() uint64 {
	_, term, _, _ := n.host.GetLeaderID(shard) // 0 with an error
	return term
}

func (n *node) Propose(ctx context.Context, data []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	request, err := n.host.Propose(n.session, data, timeout)
	if err != nil {
		return err
	}
	return await(ctx, request)
}

// Read takes a read index and waits until it is applied: what SyncRead does
// before it asks the state machine.
func (n *node) Read(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	request, err := n.host.ReadIndex(shard, timeout)
	if err != nil {
		return err
	}
	return await(ctx, request)
}

// await waits as the library's synchronous calls do, but without a context with
// a deadline for each, which they insist on: requests have their own timeout.
func await(ctx context.Context, request *dragonboat.RequestState) error {
	select {
	case result := <-request.AppliedC():
		defer request.Release()
		switch {
		case result.Completed():
			return nil
		case result.Timeout():
			return dragonboat.ErrTimeout
		case result.Rejected():
			return dragonboat.ErrRejected
		case result.Dropped():
			return dragonboat.ErrShardNotReady
		case result.Terminated():
			return dragonboat.ErrShardClosed
		default:
			return dragonboat.ErrAborted
		}
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (n *node) Snapshot() error {
	request, err := n.host.RequestSnapshot(shard, dragonboat.SnapshotOption{}, snapshotTimeout)
	if err != nil {
		return err
	}
	err = await(context.Background(), request)
	if errors.Is(err, dragonboat.ErrRejected) {
		return nil // there is one at this index already
	}
	return err
}

func (n *node) Close() error {
	n.host.Close()
	return nil
}

// quiet takes the library's messages away: they are on standard output.
var quiet = sync.OnceFunc(func() {
	logger.SetLoggerFactory(func(string) logger.ILogger { return silent{} })
})

// silent is a logger.ILogger that only panics, where it is told to.
type silent struct{}

func (silent) SetLevel(logger.LogLevel)          {}
func (silent) Debugf(string, ...any)             {}
func (silent) Infof(string, ...any)              {}
func (silent) Warningf(string, ...any)           {}
func (silent) Errorf(string, ...any)             {}
func (silent) Panicf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

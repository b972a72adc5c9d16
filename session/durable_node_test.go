package session

import (
	"context"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bubble"
	"github.com/seed-6281cb22/raft/internal/vfs"
	"github.com/seed-6281cb22/raft/storage/wal"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

// host is a machine with two disks that lose what was not synced: one has the
// log, and the other what a state machine that is durable by itself stores.
type host struct {
	member  raft.Member
	members []raft.Member
	fs      *vfs.Mem
	disk    *powered
	running *raft.Node[Result[string]]
	stop    func()
}

// powered is a store on a host whose power fails at a transaction.
type powered struct {
	*store
	transactions int
	failAt       int // 0: never
	moment       moment
	restored     int
}

// moment is when the power fails.
type moment string

const (
	beforeCommit moment = "before commit"
	afterCommit  moment = "after commit"
	afterSync    moment = "after sync"
)

func (p *powered) Apply(entries []raft.Entry, results []string, update func() Update) error {
	return p.transaction(func() error { return p.store.Apply(entries, results, update) })
}

// transaction commits, unless the power fails before. Every third one syncs.
func (p *powered) transaction(commit func() error) error {
	p.transactions++
	fails := p.transactions == p.failAt
	if fails && p.moment == beforeCommit {
		return errCrash
	}
	if err := commit(); err != nil {
		return err
	}
	if fails && p.moment == afterSync || p.transactions%3 == 0 {
		p.store.sync()
	}
	if fails {
		return errCrash
	}
	return nil
}

func (h *host) start(t *testing.T, network *inmem.Network) {
	log, err := wal.Open("/wal", wal.Options{FS: h.fs, SegmentBytes: 32 << 10})
	require.NoError(t, err)
	machine, err := NewDurable[string](h.disk, stringCodec{})
	require.NoError(t, err)
	transport := network.Transport(h.member.ID)
	h.running, err = raft.Start(raft.Config{
		ID: h.member.ID, Storage: log.Storage(1), Transport: transport, Bootstrap: h.members,
		SnapshotEntries: 6, TrailingEntries: -1,
	}, machine)
	require.NoError(t, err)
	h.stop = func() {
		transport.Close()
		require.NoError(t, h.running.Close(context.Background()))
		log.Close() // fails after a power loss
	}
}

// powerLoss takes what was not synced, of the log and of the store.
func (h *host) powerLoss(t *testing.T) {
	h.fs.Crash(vfs.Nothing)
	h.stop()
	h.disk.store = &store{data: h.disk.synced.clone(), synced: h.disk.synced}
	h.disk.failAt = 0
}

func (p *powered) Restore(r io.Reader) error {
	p.restored++
	return p.transaction(func() error { return p.store.Restore(r) })
}

// Propose makes a host a Proposer.
func (h *host) Propose(ctx context.Context, command []byte) (Result[string], error) {
	return h.running.Propose(ctx, command)
}

// forgetsAnswers loses the first answer to each command, so that the client
// proposes it again, elsewhere.
type forgetsAnswers struct {
	*host
	last    []byte // the payload whose answer was lost last
	repeats *int
}

func (f *forgetsAnswers) Propose(ctx context.Context, b []byte) (Result[string], error) {
	result, err := f.host.Propose(ctx, b)
	c, _ := decodeCommand(b)
	if err == nil && c.kind == kindCommand && !slices.Equal(f.last, c.payload) {
		f.last = c.payload
		*f.repeats++
		return Result[string]{}, raft.ErrOutcomeUnknown
	}
	return result, err
}

// The power of a node fails at every transaction of its state machine in turn,
// also at that which takes a snapshot of another node's: the log, the data and
// the sessions go on together, each command is applied once on every node, and
// a repeat, on whatever node, returns the result of the first.
func TestDurableMachineWhereverThePowerFails(t *testing.T) {
	for _, moment := range []moment{beforeCommit, afterCommit, afterSync} {
		points, restores := 0, 0
		for failed := true; failed; points++ {
			virtual(t, func(t *testing.T, ctx context.Context) {
				r := &powerRun{t: t, ctx: ctx, victim: raft.NodeID(1 + points%3)}
				failed = r.run(points+1, moment)
				restores += r.restores
			})
		}
		require.Greater(t, points, 30)
		require.NotZero(t, restores)
		t.Logf("%s: %d points, %d snapshots restored", moment, points, restores)
	}
}

type powerRun struct {
	t        *testing.T
	ctx      context.Context
	victim   raft.NodeID
	network  *inmem.Network
	hosts    []*host
	failed   bool
	restores int
}

// run returns whether there was such a transaction.
func (r *powerRun) run(failAt int, at moment) bool {
	t := r.t
	r.network = inmem.NewNetwork(inmem.Options{Seed: uint64(failAt)})
	defer r.network.Close()
	var members []raft.Member
	for id := raft.NodeID(1); id <= 3; id++ {
		members = append(members, raft.Member{ID: id, Address: fmt.Sprint("node ", id)})
	}
	for _, m := range members {
		h := &host{member: m, members: members, fs: vfs.NewMem(), disk: &powered{store: newStore()}}
		if m.ID == r.victim {
			h.disk.failAt, h.disk.moment = failAt, at
		}
		h.disk.sync()
		h.start(t, r.network)
		r.hosts = append(r.hosts, h)
	}
	repeats := 0
	var proposers []Proposer[string]
	for _, h := range r.hosts {
		proposers = append(proposers, &forgetsAnswers{host: h, repeats: &repeats})
	}
	c, err := Open(r.ctx, Options{AttemptTimeout: 500 * time.Millisecond}, proposers...)
	require.NoError(t, err)
	results := map[string]string{}
	propose := func(from, to int) {
		for i := from; i < to; i++ {
			payload := fmt.Sprint("command ", i)
			result, err := c.Propose(r.ctx, []byte(payload))
			require.NoError(t, err)
			results[payload] = result
			r.revive()
		}
	}
	propose(0, 4)
	// The victim falls behind so far that it is sent a snapshot.
	r.network.Isolate(r.victim)
	propose(4, 16)
	r.network.Rejoin(r.victim)
	bubble.Sleep(3 * time.Second)
	propose(16, 22)
	r.judge(results)
	require.GreaterOrEqual(t, repeats, len(results))
	return r.failed
}

// revive restarts the victim after its power has failed.
func (r *powerRun) revive() {
	bubble.Sleep(100 * time.Millisecond)
	h := r.hosts[r.victim-1]
	if err := h.running.Err(); err != nil {
		require.ErrorIs(r.t, err, errCrash)
		h.powerLoss(r.t)
		h.start(r.t, r.network)
		r.failed = true
	}
}

// judge waits for all nodes, and looks into their stores.
func (r *powerRun) judge(results map[string]string) {
	t := r.t
	for r.hosts[r.victim-1].running.ReadBarrier(r.ctx) != nil {
		r.revive()
	}
	for _, h := range r.hosts {
		require.NoError(t, h.running.ReadBarrier(r.ctx))
	}
	for _, h := range r.hosts {
		h.stop()
		r.restores += h.disk.restored
		d := h.disk.data
		require.Len(t, d.Applied, len(results), "node %d", h.member.ID)
		for i, payload := range d.Applied {
			require.Equal(t, results[payload], fmt.Sprintf("%d:%s", i+1, payload), "node %d", h.member.ID)
		}
		require.Equal(t, r.hosts[0].disk.data.Records, d.Records, "node %d", h.member.ID)
	}
}

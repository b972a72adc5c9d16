package raft_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bubble"
	"github.com/seed-6281cb22/raft/storage/memory"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

// journal is a state machine: the list of the commands applied. A command's
// result is its position, counted from 1.
type journal struct {
	mu       sync.Mutex
	commands []string
	restores int
	closed   int // snapshots released

	apply   func(entries []raft.Entry) error // if not nil, asked first
	capture func() error                     // if not nil, asked by Snapshot
	write   func() error                     // if not nil, asked by WriteTo
}

func (j *journal) Apply(entries []raft.Entry, results []int) error {
	if j.apply != nil {
		if err := j.apply(entries); err != nil {
			return err
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range entries {
		if results[i] != 0 || entries[i].Type != raft.EntryCommand {
			return fmt.Errorf("entry %d has a result, or is no command", entries[i].Index)
		}
		j.commands = append(j.commands, string(entries[i].Data))
		results[i] = len(j.commands)
	}
	return nil
}

func (j *journal) Snapshot() (io.WriterTo, error) {
	if j.capture != nil {
		if err := j.capture(); err != nil {
			return nil, err
		}
	}
	return &journalSnapshot{j, j.all()}, nil
}

type journalSnapshot struct {
	journal  *journal
	commands []string
}

func (s *journalSnapshot) WriteTo(w io.Writer) (int64, error) {
	if s.journal.write != nil {
		if err := s.journal.write(); err != nil {
			return 0, err
		}
	}
	b, err := json.Marshal(s.commands)
	if err != nil {
		return 0, err
	}
	n, err := w.Write(b)
	return int64(n), err
}

func (s *journalSnapshot) Close() error {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	s.journal.closed++
	return nil
}

func (j *journal) Restore(r io.Reader) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.restores++
	j.commands = nil
	return json.NewDecoder(r).Decode(&j.commands)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.commands...)
}

func (j *journal) restored() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.restores
}

// cluster is nodes in one process and, in a synctest bubble, virtual time.
type cluster struct {
	t         *testing.T
	network   *inmem.Network
	members   []raft.Member
	storages  []raft.Storage
	nodes     []*raft.Node[int]
	journals  []*journal
	transport []*inmem.Transport
	configure func(cfg *raft.Config)
	durable   func(j *journal) raft.StateMachine[int] // if not nil, what is started in place of a journal
}

func newCluster(t *testing.T, n int, configure func(cfg *raft.Config)) *cluster {
	c := &cluster{
		t:         t,
		network:   inmem.NewNetwork(inmem.Options{Seed: 1, Faults: inmem.Faults{MinDelay: time.Millisecond, MaxDelay: 5 * time.Millisecond}}),
		nodes:     make([]*raft.Node[int], n),
		journals:  make([]*journal, n),
		transport: make([]*inmem.Transport, n),
		configure: configure,
	}
	for i := range n {
		c.members = append(c.members, raft.Member{ID: raft.NodeID(i + 1), Address: fmt.Sprint("node-", i+1)})
		c.storages = append(c.storages, memory.New())
	}
	for i := range n {
		c.start(i)
	}
	t.Cleanup(func() {
		for i := range n {
			c.stop(i)
		}
		c.network.Close()
	})
	return c
}

func (c *cluster) config(i int) raft.Config {
	c.transport[i] = c.network.Transport(c.members[i].ID)
	cfg := raft.Config{ID: c.members[i].ID, Storage: c.storages[i], Transport: c.transport[i], Bootstrap: c.members}
	if c.configure != nil {
		c.configure(&cfg)
	}
	return cfg
}

func (c *cluster) start(i int) {
	c.t.Helper()
	c.journals[i] = &journal{}
	var machine raft.StateMachine[int] = c.journals[i]
	if c.durable != nil {
		machine = c.durable(c.journals[i])
	}
	node, err := raft.Start(c.config(i), machine)
	require.NoError(c.t, err)
	c.nodes[i] = node
}

// stop ends a node as a crash does for the others: the network goes first.
func (c *cluster) stop(i int) {
	if c.nodes[i] == nil {
		return
	}
	c.transport[i].Close()
	require.NoError(c.t, c.nodes[i].Close(context.Background()))
	c.nodes[i] = nil
}

// leader waits for a leader that every node follows.
func (c *cluster) leader() int {
	c.t.Helper()
	for range 1000 {
		leader, followers := raft.NodeID(0), 0
		for _, n := range c.nodes {
			if n == nil {
				continue
			}
			status := n.Status()
			if status.Role == raft.Leader {
				leader = status.ID
			}
		}
		for _, n := range c.nodes {
			if n != nil && leader != 0 && n.Status().Leader == leader {
				followers++
			}
		}
		if 2*followers > len(c.nodes) {
			return int(leader) - 1
		}
		bubble.Sleep(10 * time.Millisecond)
	}
	c.t.Fatal("no leader")
	return 0
}

// propose proposes on a node until it is committed: what is definitely not may
// be proposed again.
func (c *cluster) propose(i int, command string) int {
	c.t.Helper()
	for {
		position, err := c.nodes[i].Propose(context.Background(), []byte(command))
		if err == nil {
			return position
		}
		require.ErrorIs(c.t, err, raft.ErrNotCommitted)
	}
}

func (c *cluster) follower() int { return (c.leader() + 1) % len(c.nodes) }

// requireSame waits until all nodes have applied the same, and returns it.
func (c *cluster) requireSame() []string {
	c.t.Helper()
	for range 1000 {
		same := true
		for _, j := range c.journals {
			same = same && strings.Join(j.all(), "\n") == strings.Join(c.journals[0].all(), "\n")
		}
		if same {
			return c.journals[0].all()
		}
		bubble.Sleep(10 * time.Millisecond)
	}
	for i, j := range c.journals {
		c.t.Logf("node %d: %d commands", i+1, len(j.all()))
	}
	c.t.Fatal("the nodes do not agree")
	return nil
}

// virtual runs a test in virtual time.
func virtual(t *testing.T, test func(t *testing.T, ctx context.Context)) {
	synctest.Test(t, func(t *testing.T) { test(t, context.Background()) })
}

func TestProposeOnEveryNode(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 3, nil)
		for i := range 30 {
			position, err := c.nodes[i%3].Propose(ctx, fmt.Append(nil, i))
			require.NoError(t, err)
			require.Equal(t, i+1, position)
		}
		require.Len(t, c.requireSame(), 30)
	})
}

func TestProposeConcurrently(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 3, nil)
		var group sync.WaitGroup
		var mu sync.Mutex
		positions := map[int]bool{}
		for client := range 30 {
			group.Go(func() {
				for i := range 20 {
					command := fmt.Appendf(nil, "%d.%d", client, i)
					position, err := c.nodes[client%3].Propose(ctx, command)
					require.NoError(t, err)
					clear(command) // the caller's again
					mu.Lock()
					positions[position] = true
					mu.Unlock()
				}
			})
		}
		group.Wait()
		require.Len(t, positions, 600)
		require.Len(t, c.requireSame(), 600)
	})
}

func TestReadBarrierSeesWhatWasAcknowledged(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 3, nil)
		for i := range 10 {
			c.propose(i%3, fmt.Sprint(i))
			reader := (i + 1) % 3
			require.NoError(t, c.nodes[reader].ReadBarrier(ctx))
			require.Contains(t, c.journals[reader].all(), fmt.Sprint(i))
			if i == 5 {
				// Also when the leader, and only it, knows what is committed.
				leader := c.leader()
				c.stop(leader)
				require.NoError(t, c.nodes[(leader+1)%3].ReadBarrier(ctx))
				require.Contains(t, c.journals[(leader+1)%3].all(), fmt.Sprint(i))
				c.start(leader)
			}
		}
	})
}

func TestReadBarrierEndsWithItsContext(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 3, nil)
		leader := c.leader()
		c.network.Isolate(c.members[leader].ID)
		short, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		require.ErrorIs(t, c.nodes[leader].ReadBarrier(short), context.DeadlineExceeded)
		require.ErrorIs(t, c.nodes[leader].ReadBarrier(short), context.DeadlineExceeded)
		c.network.HealAll()
		require.NoError(t, c.nodes[leader].ReadBarrier(ctx))
	})
}

func TestProposeEndsWithItsContext(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 3, nil)
		leader := c.leader()
		follower := (leader + 1) % 3
		c.network.Isolate(c.members[leader].ID)
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		_, err := c.nodes[leader].Propose(short, []byte("in a log"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, raft.ErrOutcomeUnknown)
		require.NotErrorIs(t, err, raft.ErrNotCommitted)
		_, err = c.nodes[leader].Propose(short, []byte("too late"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, raft.ErrNotCommitted)

		c.network.Isolate(c.members[follower].ID) // now there is no leader at all
		bubble.Sleep(5 * time.Second)             // virtual
		short, cancel = context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err = c.nodes[follower].Propose(short, []byte("in no log"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, raft.ErrNotCommitted)
		require.NotErrorIs(t, err, raft.ErrOutcomeUnknown)

		c.network.HealAll()
		_, err = c.nodes[follower].Propose(ctx, []byte("last"))
		require.NoError(t, err)
		require.NotContains(t, c.requireSame(), "in no log")
	})
}

// What a deposed leader had in its log and never committed is definitely lost.
func TestLeaderIsDeposed(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 3, nil)
		leader := c.leader()
		c.network.Isolate(c.members[leader].ID)
		lost := make(chan error, 1)
		go func() {
			_, err := c.nodes[leader].Propose(ctx, []byte("lost"))
			lost <- err
		}()
		synctest.Wait()
		c.propose((leader+1)%3, "kept")
		c.network.HealAll()
		err := <-lost
		require.ErrorIs(t, err, raft.ErrNotCommitted)
		require.NotErrorIs(t, err, raft.ErrOutcomeUnknown)
		require.Equal(t, []string{"kept"}, c.requireSame())
	})
}

func TestLeaderCrashesAndReturns(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 3, nil)
		for i := range 12 {
			if i%4 == 3 {
				leader := c.leader()
				c.stop(leader)
				c.propose((leader+1)%3, fmt.Sprint(i))
				c.start(leader)
				continue
			}
			c.propose(i%3, fmt.Sprint(i))
		}
		require.Len(t, c.requireSame(), 12)
	})
}

func TestForwardsSurviveLossAndDuplication(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 3, nil)
		c.leader()
		c.network.SetFaults(inmem.Faults{
			MinDelay: time.Millisecond, MaxDelay: 30 * time.Millisecond, Loss: 0.1, Duplicate: 0.2, Corrupt: 0.02,
		})
		var group sync.WaitGroup
		applied := make(chan string, 300)
		for client := range 30 {
			group.Go(func() {
				for i := range 10 {
					command := fmt.Sprintf("%d.%d", client, i)
					if _, err := c.nodes[client%3].Propose(ctx, []byte(command)); err == nil {
						applied <- command
					} else {
						require.ErrorIs(t, err, raft.ErrNotCommitted)
					}
				}
			})
		}
		group.Wait()
		close(applied)
		c.network.SetFaults(inmem.Faults{MaxDelay: time.Millisecond})
		_, err := c.nodes[0].Propose(ctx, []byte("last"))
		require.NoError(t, err)
		all := map[string]int{}
		for _, command := range c.requireSame() {
			all[command]++
			require.Equal(t, 1, all[command], "%s", command)
		}
		n := 1
		for command := range applied {
			require.Equal(t, 1, all[command], "%s", command)
			n++
		}
		require.Len(t, all, n, "an error said that it is not committed")
	})
}

// A lost forward is sent again after a heartbeat interval, however far away the
// timer was armed before.
func TestLostForwardIsSentAgainSoon(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 3, func(cfg *raft.Config) { cfg.ElectionTimeout = 2 * time.Second })
		c.leader()
		bubble.Sleep(4 * time.Second) // an election that began beside the first leader's is over
		leader, follower := c.leader(), c.follower()
		c.network.Block(c.members[follower].ID, c.members[leader].ID)
		time.AfterFunc(20*time.Millisecond, c.network.HealAll)
		begun := time.Now()
		_, err := c.nodes[follower].Propose(ctx, []byte("x"))
		require.NoError(t, err)
		require.Less(t, time.Since(begun), 200*time.Millisecond)
	})
}

func TestRefusals(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 3, func(cfg *raft.Config) { cfg.MaxEntryBytes, cfg.MaxPendingBytes = 1000, 2000 })
		leader := c.leader()
		_, err := c.nodes[leader].Propose(ctx, make([]byte, 1001))
		require.ErrorIs(t, err, raft.ErrTooLarge)
		_, err = c.nodes[leader].Propose(ctx, make([]byte, 1000))
		require.NoError(t, err)

		c.network.Isolate(c.members[leader].ID)
		pending := make(chan error, 1)
		go func() {
			_, err := c.nodes[leader].Propose(ctx, make([]byte, 1000))
			pending <- err
		}()
		synctest.Wait()
		_, err = c.nodes[leader].Propose(ctx, make([]byte, 1000))
		require.ErrorIs(t, err, raft.ErrOverloaded)
		c.network.HealAll()
		<-pending
		_, err = c.nodes[leader].Propose(ctx, make([]byte, 1000))
		require.NoError(t, err)
	})
}

func TestClose(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 3, nil)
		leader := c.leader()
		node := c.nodes[leader]
		require.NoError(t, node.Err())
		c.network.Isolate(c.members[leader].ID)
		ends := make(chan error, 2)
		go func() {
			_, err := node.Propose(ctx, []byte("pending"))
			ends <- err
		}()
		synctest.Wait()
		go func() { ends <- node.ReadBarrier(ctx) }()
		synctest.Wait()
		require.NoError(t, node.Close(ctx))
		<-node.Done()
		require.ErrorIs(t, node.Err(), raft.ErrClosed)
		for range 2 {
			require.ErrorIs(t, <-ends, raft.ErrClosed)
		}
		_, err := node.Propose(ctx, []byte("late"))
		require.ErrorIs(t, err, raft.ErrClosed)
		require.NotErrorIs(t, err, raft.ErrOutcomeUnknown)
		require.ErrorIs(t, node.ReadBarrier(ctx), raft.ErrClosed)
		require.NoError(t, node.Close(ctx), "again")
		require.Equal(t, c.members[leader].ID, node.Status().ID)
	})
}

// Close waits for the state machine, as long as its context allows.
func TestCloseWaitsForApply(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 1, nil)
		block := make(chan bool)
		c.journals[0].apply = func([]raft.Entry) error { <-block; return nil }
		go c.nodes[0].Propose(ctx, []byte("x"))
		bubble.Sleep(5 * time.Second)
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		require.ErrorIs(t, c.nodes[0].Close(short), context.DeadlineExceeded)
		closed := make(chan error)
		go func() { closed <- c.nodes[0].Close(ctx) }()
		synctest.Wait()
		close(block)
		require.NoError(t, <-closed)
	})
}

func TestStateMachineErrorStopsTheReplica(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		c := newCluster(t, 3, nil)
		cause := errors.New("broken")
		leader := c.leader()
		c.journals[leader].apply = func([]raft.Entry) error { return cause }
		_, err := c.nodes[leader].Propose(ctx, []byte("x"))
		require.ErrorIs(t, err, raft.ErrOutcomeUnknown)
		require.ErrorIs(t, err, raft.ErrStopped)
		require.ErrorIs(t, err, cause)
		<-c.nodes[leader].Done()
		require.ErrorIs(t, c.nodes[leader].Err(), cause)
		_, err = c.nodes[leader].Propose(ctx, []byte("y"))
		require.ErrorIs(t, err, raft.ErrStopped)
		require.NotErrorIs(t, err, raft.ErrOutcomeUnknown)
		require.ErrorIs(t, c.nodes[leader].ReadBarrier(ctx), raft.ErrStopped)
		require.NoError(t, c.nodes[leader].Close(ctx))
		require.ErrorIs(t, c.nodes[leader].Err(), cause, "still")

		c.propose((leader+1)%3, "z") // the others go on
	})
}

// brokenStorage fails on demand.
type brokenStorage struct {
	raft.Storage
	mu       sync.Mutex
	save     error
	snapshot error
}

func (s *brokenStorage) breakWith(save, snapshot error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.save, s.snapshot = save, snapshot
}

func (s *brokenStorage) Save(w raft.Write, done func(error)) {
	s.Storage.Save(w, func(err error) {
		s.mu.Lock()
		broken := s.save
		s.mu.Unlock()
		if broken != nil {
			err = broken
		}
		done(err)
	})
}

func (s *brokenStorage) CreateSnapshot(meta raft.Snapshot) (raft.SnapshotWriter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.snapshot != nil {
		return nil, s.snapshot
	}
	return s.Storage.CreateSnapshot(meta)
}

func TestStorageErrorStopsTheReplica(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		var broken []*brokenStorage
		c := newCluster(t, 3, func(cfg *raft.Config) {
			s := &brokenStorage{Storage: cfg.Storage}
			broken = append(broken, s)
			cfg.Storage = s
		})
		leader := c.leader()
		cause := errors.New("disk on fire")
		broken[leader].breakWith(cause, nil)
		_, err := c.nodes[leader].Propose(ctx, []byte("x"))
		require.ErrorIs(t, err, raft.ErrOutcomeUnknown)
		require.ErrorIs(t, err, raft.ErrStopped)
		require.ErrorIs(t, err, cause)
		<-c.nodes[leader].Done()
		require.ErrorIs(t, c.nodes[leader].Err(), cause)
		c.propose((leader+1)%3, "y")
		require.NotEqual(t, raft.Leader, c.nodes[leader].Status().Role)
	})
}

func TestStartFailsWithTheStorage(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		cause := errors.New("disk on fire")
		network := inmem.NewNetwork(inmem.Options{})
		defer network.Close()
		cfg := raft.Config{
			ID: 1, Storage: &brokenStorage{Storage: memory.New(), save: cause}, Transport: network.Transport(1),
			Bootstrap: []raft.Member{{ID: 1, Address: "a"}},
		}
		_, err := raft.Start(cfg, &journal{})
		require.ErrorIs(t, err, cause)
	})
}

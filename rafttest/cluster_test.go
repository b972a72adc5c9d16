package rafttest

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

// failing is a TB whose test fails: Fatalf ends the goroutine, as a test's does.
type failing struct {
	message string
}

func (f *failing) Helper()      {}
func (f *failing) Name() string { return "TestOfAUser" }
func (f *failing) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failureOf returns how a test fails, "" if it does not.
func failureOf(test func(t TB)) string {
	f := new(failing)
	done := make(chan struct{})
	go func() {
		defer close(done)
		test(f)
	}()
	<-done
	return f.message
}

func TestALeaderIsCutOff(t *testing.T) {
	c := New(t, 3)
	c.Elect(1)
	require.Equal(t, 1, c.Propose("a"))
	c.Partition(1)
	stranded := c.StartPropose(1, "stranded")
	require.Equal(t, 2, c.Propose("b"))
	require.NotEqual(t, raft.NodeID(1), c.Leader())
	require.False(t, stranded.Done())
	c.Heal()
	_, err := stranded.Wait()
	require.ErrorIs(t, err, raft.ErrNotCommitted)
	c.RequireConsistent()
	for id := raft.NodeID(1); id <= 3; id++ {
		require.Equal(t, []string{"a", "b"}, c.Machine(id).Commands())
	}
}

func TestElect(t *testing.T) {
	for _, nodes := range []int{1, 2, 3, 5} {
		c := New(t, nodes)
		for round := range 2 {
			for id := 1; id <= nodes; id++ {
				c.Elect(raft.NodeID(id))
				require.Equal(t, raft.NodeID(id), c.Leader())
				require.Equal(t, raft.Leader, c.Status(raft.NodeID(id)).Role)
				c.Propose(fmt.Sprint(round, id))
				c.RequireConsistent()
			}
		}
	}
}

func TestElectNeedsAnElectableNode(t *testing.T) {
	message := failureOf(func(t TB) {
		c := New(t, 3)
		c.Elect(1)
		c.Partition(3)
		c.Propose("a")
		c.Elect(3)
	})
	require.Contains(t, message, "node 3 does not become the leader")
	require.Contains(t, message, "AppendEntries from 1", "what has happened is shown")
}

// A power loss takes what was not synced, a kill does not.
func TestCrashAndKill(t *testing.T) {
	c := New(t, 1)
	c.Propose("a")
	c.StallDisk(1)
	lost := c.StartPropose(1, "b")
	c.Run(10 * time.Millisecond)
	c.Crash(1)
	_, err := lost.Result()
	require.ErrorIs(t, err, raft.ErrOutcomeUnknown)
	c.RepairDisk(1)
	c.Restart(1)
	c.RequireConsistent()
	require.Equal(t, []string{"a"}, c.Machine(1).Commands())

	c.Propose("c")
	c.Kill(1)
	_, err = c.ProposeOn(1, "d")
	require.Error(t, err, "nobody there")
	require.Error(t, c.Err(1))
	c.Restart(1)
	require.NoError(t, c.Err(1))
	require.NoError(t, c.ReadBarrier(1))
	require.Equal(t, []string{"a", "c"}, c.Machine(1).Commands())
	c.RequireConsistent()
}

func TestWipe(t *testing.T) {
	c := New(t, 3)
	c.Elect(1)
	c.Propose("a")
	c.RequireConsistent()
	c.Wipe(3)
	c.Restart(3)
	require.True(t, c.Status(3).Marked)
	c.RequireConsistent()
	c.Propose("b")
	c.RequireConsistent()
	require.False(t, c.Status(3).Marked)
	c.Elect(3)
}

// A leader that is paused wakes up and finds itself deposed.
func TestPause(t *testing.T) {
	c := New(t, 3)
	c.Elect(1)
	c.Pause(1)
	c.RunUntil(func() bool { return c.Status(2).Role == raft.Leader || c.Status(3).Role == raft.Leader })
	late := c.StartPropose(1, "late") // waits with everything else
	require.Equal(t, raft.Leader, c.Status(1).Role)
	c.Propose("b")
	c.Resume(1)
	c.RequireConsistent()
	require.Equal(t, raft.Follower, c.Status(1).Role)
	_, err := late.Wait()
	require.ErrorIs(t, err, raft.ErrNotCommitted, "it took it for its own log, before it learned better")
	require.NotEqual(t, raft.NodeID(1), c.Leader())
}

func TestFailDisk(t *testing.T) {
	c := New(t, 3)
	c.Elect(1)
	c.Propose("a")
	c.FailDisk(1)
	_, err := c.ProposeOn(1, "b")
	require.ErrorIs(t, err, raft.ErrOutcomeUnknown)
	require.ErrorIs(t, err, raft.ErrStopped)
	require.ErrorIs(t, err, syscall.EIO)
	require.ErrorIs(t, c.Err(1), raft.ErrStopped)
	c.Propose("c")
	require.Contains(t, failureOf(func(t TB) { failed := *c; failed.t = t; failed.Restart(1) }), "input/output error")
	c.RepairDisk(1)
	c.Restart(1)
	c.RequireConsistent()
}

// What a leader cannot send but hears of, and the other way round.
func TestBlock(t *testing.T) {
	c := New(t, 3)
	c.Elect(1)
	c.Block(1, 2)
	c.Propose("a")
	c.Run(time.Second)
	require.Equal(t, raft.NodeID(1), c.Leader())
	require.Equal(t, []string{"a"}, c.Machine(3).Commands())
	require.Empty(t, c.Machine(2).Commands())
	c.Heal()
	c.RequireConsistent()
	require.Equal(t, []string{"a"}, c.Machine(2).Commands())
}

func TestSetNetwork(t *testing.T) {
	c := New(t, 3)
	c.SetNetwork(inmem.Faults{MaxDelay: 20 * time.Millisecond, Loss: 0.1, Duplicate: 0.1, Corrupt: 0.1})
	for i := range 50 {
		require.Equal(t, i+1, c.Propose(fmt.Sprint(i)))
	}
	c.SetNetwork(inmem.Faults{})
	c.RequireConsistent()
	stats := c.e.network.Stats()
	require.NotZero(t, stats.Lost)
	require.NotZero(t, stats.Duplicated)
	require.NotZero(t, stats.Corrupted)
}

func TestConfig(t *testing.T) {
	c := New(t, 3, Config(func(c *raft.Config) { c.SnapshotEntries, c.TrailingEntries = 5, -1 }))
	c.Elect(1)
	c.Partition(3)
	for i := range 20 {
		c.Propose(fmt.Sprint(i))
	}
	require.NotZero(t, c.Status(1).Snapshot)
	require.NotEqual(t, raft.Index(1), c.Status(1).First)
	c.Heal()
	c.RequireConsistent()
	require.NotZero(t, c.Status(3).Snapshot, "it had to get one")
	require.Len(t, c.Machine(3).Commands(), 20)
}

// The same seed does the same, another one does not.
func TestSeed(t *testing.T) {
	run := func(seed uint64) uint64 {
		c := New(t, 3, Seed(seed))
		c.Leader()
		c.Propose("a")
		c.Run(time.Second)
		return c.e.hash
	}
	require.Equal(t, run(1), run(1))
	require.NotEqual(t, run(1), run(2))
}

func TestAnHourPasses(t *testing.T) {
	c := New(t, 3)
	c.Propose("a")
	c.Run(time.Hour)
	require.Greater(t, c.Now(), time.Hour)
	c.RequireConsistent()
}

func TestMisuse(t *testing.T) {
	c := New(t, 3)
	c.Crash(2)
	for what, use := range map[string]func(c *Cluster[*Journal, int]){
		"there is no node 4":   func(c *Cluster[*Journal, int]) { c.Crash(4) },
		"there is no node 0":   func(c *Cluster[*Journal, int]) { c.StartPropose(0, "a") },
		"node 2 is down":       func(c *Cluster[*Journal, int]) { c.Machine(2) },
		"node 1 is running":    func(c *Cluster[*Journal, int]) { c.Restart(1) },
		"has not ended":        func(c *Cluster[*Journal, int]) { c.StallDisk(1); c.StartPropose(1, "a").Result() },
		"RunUntil: not within": func(c *Cluster[*Journal, int]) { c.RunUntil(func() bool { return false }) },
		"a majority follows":   func(c *Cluster[*Journal, int]) { c.Partition(1); c.Leader() },
		"run apply the same":   func(c *Cluster[*Journal, int]) { c.Partition(1); c.RequireConsistent() },
		"begun at":             func(c *Cluster[*Journal, int]) { c.Partition(1); c.ProposeOn(1, "a") },
	} {
		require.Contains(t, failureOf(func(t TB) {
			c := New(t, 3)
			c.Elect(1)
			c.Crash(2)
			use(c)
		}), what)
	}
	require.Contains(t, failureOf(func(t TB) { New(t, 0) }), "a cluster of 0 nodes")
}

// forgetful is a Journal whose replicas differ.
type forgetful struct {
	Journal
	number int
	result func(m *forgetful, n int) int
	apply  error
}

func (f *forgetful) Apply(entries []raft.Entry, results []int) error {
	if f.apply != nil {
		return f.apply
	}
	err := f.Journal.Apply(entries, results)
	for i := range results {
		results[i] = f.result(f, results[i])
	}
	return err
}

func (f *forgetful) Snapshot() (io.WriterTo, error) {
	if f.number == 2 {
		return journalSnapshot(nil), nil
	}
	return f.Journal.Snapshot()
}

// A state machine that is not a function of the commands is found out.
func TestStateMachinesThatDiffer(t *testing.T) {
	run := func(result func(m *forgetful, n int) int) string {
		return failureOf(func(t TB) {
			number := 0
			c := NewCluster(t, 3, func() *forgetful {
				number++
				return &forgetful{number: number, result: result}
			})
			c.Propose("a")
			c.RequireConsistent()
		})
	}
	require.Contains(t, run(func(m *forgetful, n int) int { return m.number }), `results: "a" at index`)
	require.Contains(t, run(func(_ *forgetful, n int) int { return n }), "their snapshots differ")
}

func TestAStateMachineThatFails(t *testing.T) {
	broken := errors.New("broken")
	require.Contains(t, failureOf(func(t TB) {
		c := NewCluster(t, 3, func() *forgetful { return &forgetful{apply: broken} })
		c.Propose("a")
	}), "broken")
}

package raft

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// A snapshot's announcement without its data must not reach the core.
func TestInstallSnapshotWithoutDataIsIgnored(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader, follower := c.elect(), c.follower()
	c.receive(Message{
		Type: raftpb.InstallSnapshot, From: leader.id, To: follower.id, Term: leader.r.core.Term(),
		Snapshot: &Snapshot{Index: 100, Term: 1, Membership: founding(3)},
	})
	require.Less(t, follower.r.core.Last(), Index(100))
	require.Empty(t, follower.writes)
}

func TestSnapshotPolicy(t *testing.T) {
	c := newSimCluster(t, 1, func(cfg *Config) { cfg.SnapshotEntries, cfg.TrailingEntries = 10, 3 })
	s := c.elect()
	for i := range 25 {
		s.propose(fmt.Sprint(i))
		c.settle()
	}
	status := s.r.core.Status()
	require.Equal(t, Index(20), status.Snapshot)
	require.Equal(t, Index(18), status.First)
	require.Equal(t, Index(18), s.disk.first)

	c.crash(s)
	c.start(s)
	c.elect()
	c.run(time.Second)
	require.Equal(t, c.log, s.applied)
}

func TestSnapshotPolicyByBytes(t *testing.T) {
	c := newSimCluster(t, 1, func(cfg *Config) { cfg.SnapshotEntries, cfg.SnapshotBytes = -1, 1000 })
	s := c.elect()
	for i := range 9 {
		s.propose(fmt.Sprintf("%0100d", i))
		c.settle()
	}
	require.Zero(t, s.r.core.Status().Snapshot)
	s.propose(fmt.Sprintf("%01000d", 9))
	c.settle()
	require.NotZero(t, s.r.core.Status().Snapshot)
}

// Two snapshots are not begun at once, and one that fails is tried again after
// as much again.
func TestSnapshotThatFails(t *testing.T) {
	c := newSimCluster(t, 1, func(cfg *Config) { cfg.SnapshotEntries = 5 })
	s := c.elect()
	more := func(n int) {
		for range n {
			s.propose(fmt.Sprint("c", len(c.calls)))
			for s.taking == nil && (len(s.writes) > 0 || s.work()) {
				for len(s.writes) > 0 {
					s.persist()
				}
			}
			for len(s.writes) > 0 {
				s.persist()
			}
			s.work()
		}
	}
	more(4)
	require.NotNil(t, s.taking)
	first := s.taking
	more(10)
	require.Same(t, first, s.taking, "one at a time")
	s.taking = nil
	s.r.snapshotTaken(c.now, first.meta, errors.New("disk"))
	s.after()
	require.Zero(t, s.r.core.Status().Snapshot)
	more(5)
	require.NotNil(t, s.taking)
	s.finishSnapshot()
	require.NotZero(t, s.r.core.Status().Snapshot)
}

func TestFarBehindFollowerIsSentASnapshot(t *testing.T) {
	c := newSimCluster(t, 3, func(cfg *Config) { cfg.SnapshotEntries, cfg.TrailingEntries = 5, -1 })
	leader, follower := c.elect(), c.follower()
	c.isolate(follower.id)
	for i := range 20 {
		leader.propose(fmt.Sprint(i))
		c.settle()
	}
	c.heal()
	c.run(2 * time.Second)
	require.Equal(t, c.log, follower.applied)
	require.Zero(t, len(c.receives))
	require.False(t, follower.r.snapshots.incoming)
}

// Only one snapshot is on its way in, until it is restored.
func TestSecondSnapshotIsRefusedUntilTheFirstIsRestored(t *testing.T) {
	c := newSimCluster(t, 3, func(cfg *Config) { cfg.SnapshotEntries, cfg.TrailingEntries = 5, -1 })
	leader, follower := c.elect(), c.follower()
	c.isolate(follower.id)
	for i := range 20 {
		leader.propose(fmt.Sprint(i))
		c.settle()
	}
	c.heal()
	for len(c.receives) == 0 {
		c.runUntilReceive()
	}
	m := c.receives[0].m
	_, err := follower.r.beginReceive(c.now, &m)
	require.ErrorIs(t, err, errBusy, "the first is being received")
	c.finishReceive(0, true)
	newer := m
	newer.Snapshot = &Snapshot{Index: m.Snapshot.Index + 100, Term: m.Snapshot.Term, Membership: founding(3)}
	_, err = follower.r.beginReceive(c.now, &newer)
	require.ErrorIs(t, err, errBusy, "the first is installed, but not restored")
	c.run(time.Second)
	require.Equal(t, c.log, follower.applied)
	wanted, err := follower.r.beginReceive(c.now, &newer)
	require.NoError(t, err)
	require.True(t, wanted)
	require.Error(t, follower.r.endReceive(c.now, &newer, errors.New("cut")))
}

// runUntilReceive lets things happen one by one until a reception has begun.
func (c *simCluster) runUntilReceive() {
	c.t.Helper()
	for range 10_000 {
		if len(c.receives) > 0 {
			return
		}
		if !c.settleOnce() {
			c.now = c.now.Add(10 * time.Millisecond)
			for _, s := range c.replicas {
				if s.r != nil && s.r.deadline() <= c.now {
					s.tick()
				}
			}
		}
	}
	c.failf("no snapshot is sent")
}

// A crash after the snapshot is committed in the storage, before the write
// that installs it: the replica starts from it.
func TestScenarioH18CrashBetweenCommitAndInstall(t *testing.T) {
	for _, crash := range []string{"before the core hears of it", "before the write is durable", "half-way through the restore"} {
		t.Run(crash, func(t *testing.T) {
			c := newSimCluster(t, 3, func(cfg *Config) { cfg.SnapshotEntries, cfg.TrailingEntries = 5, -1 })
			leader, follower := c.elect(), c.follower()
			c.isolate(follower.id)
			for i := range 20 {
				leader.propose(fmt.Sprint(i))
				c.settle()
			}
			c.heal()
			c.runUntilReceive()
			q := c.receives[0]
			switch crash {
			case "before the core hears of it":
				follower.commitSnapshot(*q.m.Snapshot, q.data)
			case "before the write is durable":
				c.finishReceive(0, true)
				require.NotEmpty(t, follower.writes)
			case "half-way through the restore":
				c.finishReceive(0, true)
				for len(follower.writes) > 0 {
					follower.persist()
				}
				for {
					task, ok := follower.r.nextTask(c.now)
					require.True(t, ok)
					if task.kind == taskRestore {
						break
					}
					follower.r.applied(c.now, &task, nil)
				}
			}
			c.crash(follower)
			c.receives = nil
			c.start(follower)
			leader.r.snapshotSent(c.now, follower.id, q.m.Snapshot.Index, errors.New("cut"))
			leader.after()
			require.Equal(t, q.m.Snapshot.Index, follower.r.core.Status().Snapshot)
			leader.propose("last")
			c.run(2 * time.Second)
			require.Equal(t, c.log, follower.applied)
			require.Contains(t, follower.applied, "last")
		})
	}
}

// A received snapshot that is committed in the storage, and then declined by
// the core since its term has ended, is newer than the one that is restored
// next. The state machine skips what it then has already.
func TestDeclinedSnapshotIsRestoredInPlaceOfAnOlderOne(t *testing.T) {
	c := newSimCluster(t, 3, func(cfg *Config) { cfg.SnapshotEntries, cfg.TrailingEntries = 10, -1 })
	old, follower := c.elect(), c.follower()
	other := c.at(6 - old.id - follower.id)
	c.isolate(follower.id)
	for i := range 15 {
		old.propose(fmt.Sprint(i))
		c.settle()
	}
	c.run(DefaultHeartbeatInterval)
	require.Equal(t, old.newest.Index, other.newest.Index)
	older := other.newest.Index
	for i := range 3 {
		old.propose(fmt.Sprint("more ", i))
		c.settle()
	}
	c.run(DefaultHeartbeatInterval)
	// The old leader, and only it, has a newer snapshot, and sends that.
	meta, err := old.r.core.SnapshotAt(old.r.apply.index)
	require.NoError(t, err)
	old.commitSnapshot(meta, append([]string(nil), old.applied...))
	c.heal()
	c.runUntilReceive()
	require.Equal(t, meta.Index, c.receives[0].m.Snapshot.Index)

	// Before it has arrived, the other one leads a later term.
	c.isolate(old.id)
	for other.r.core.Role() != Leader {
		follower.r.core.election.deadline = c.now.Add(10 * time.Second)
		if !c.settleOnlyNet() {
			c.now = c.now.Add(10 * time.Millisecond)
			for _, s := range []*simReplica{other, follower} {
				if s.r.deadline() <= c.now {
					s.tick()
				}
			}
		}
	}
	for follower.r.core.Term() < other.r.core.Term() {
		c.settleOnlyNet()
	}
	received := c.receives[0]
	c.receives = c.receives[1:]
	follower.commitSnapshot(*received.m.Snapshot, received.data)
	require.ErrorIs(t, follower.r.endReceive(c.now, &received.m, nil), errDeclined)
	follower.after()
	require.Equal(t, meta.Index, follower.newest.Index)

	c.run(2 * time.Second)
	other.propose("last")
	c.run(2 * time.Second)
	require.Greater(t, meta.Index, older)
	require.Equal(t, c.log, follower.applied)
	require.Contains(t, follower.applied, "last")
}

// settleOnlyNet does one thing that can be done without a timer, except to
// finish a reception.
func (c *simCluster) settleOnlyNet() bool {
	receives := c.receives
	c.receives = nil
	did := c.settleOnce()
	c.receives = append(receives, c.receives...)
	return did
}

// --- the end ---

func TestEveryCallEndsWithTheReplica(t *testing.T) {
	cause := errors.New("disk on fire")
	for _, step := range []struct {
		name string
		fail func(s *simReplica)
	}{
		{"a write fails", func(s *simReplica) { s.r.persistFailed(s.c.now, cause) }},
		{"apply fails", func(s *simReplica) {
			task := task{entries: []Entry{{Index: 1}}}
			s.r.applied(s.c.now, &task, cause)
		}},
		{"a restore fails", func(s *simReplica) {
			s.r.restored(s.c.now, &task{kind: taskRestore}, Snapshot{}, cause)
		}},
		{"the log cannot be read", func(s *simReplica) {
			s.r.core.apply.reading = 1
			s.r.logRead(s.c.now, LogRead{Lo: 1, Hi: 2}, nil, cause)
		}},
	} {
		t.Run(step.name, func(t *testing.T) {
			c := newSimCluster(t, 3, nil)
			leader := c.elect()
			pending, waiting, read := leader.propose("pending"), leader.propose("waiting"), leader.read()
			step.fail(leader)
			ends := leader.r.fx.done
			require.Len(t, ends, 3)
			for _, end := range ends {
				require.ErrorIs(t, end.err, ErrStopped)
				require.ErrorIs(t, end.err, cause)
				switch end.future {
				case &pending.future:
					require.ErrorIs(t, end.err, ErrOutcomeUnknown)
				case &waiting.future:
					require.ErrorIs(t, end.err, ErrNotCommitted)
				case &read.future:
				}
			}
			require.ErrorIs(t, leader.r.propose(c.now, &future{}), cause)
			require.ErrorIs(t, leader.r.readBarrier(c.now, &future{}), ErrStopped)
			require.Equal(t, Never, leader.r.deadline())
		})
	}
}

// A follower whose disk is never idle forwards all the same: what waits goes
// when nothing that was forwarded is unanswered.
func TestFollowerWithABusyDiskForwards(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader, follower := c.elect(), c.follower()
	leader.propose("a")
	for _, m := range c.take(isType(raftpb.AppendEntries)) {
		if m.To == follower.id && len(m.Entries) > 0 {
			c.receive(m)
		}
	}
	require.Less(t, follower.r.durable, follower.r.saved, "a write is in flight")
	require.Less(t, follower.r.core.Commit(), follower.r.core.Last())

	follower.propose("x")
	require.Len(t, c.take(isType(raftpb.Propose)), 1)
	follower.propose("y")
	require.Empty(t, c.take(isType(raftpb.Propose)), "what follows gathers")
}

// A snapshot that the core would refuse is refused before its data reaches the
// storage, where the next start would find it.
func TestMalformedSnapshotIsNotReceived(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader, follower := c.elect(), c.follower()
	for name, spoil := range map[string]func(m *Message){
		"no membership":      func(m *Message) { m.Snapshot.Membership = Membership{} },
		"membership above":   func(m *Message) { m.Snapshot.MembershipIndex = m.Snapshot.Index + 1 },
		"index out of range": func(m *Message) { m.Snapshot.Index = MaxIndex + 1 },
		"no term":            func(m *Message) { m.Snapshot.Term = 0 },
		"term of the future": func(m *Message) { m.Snapshot.Term = m.Term + 1 },
		"from itself":        func(m *Message) { m.From = m.To },
		"of another leader":  func(m *Message) { m.From = 6 - m.From - m.To },
	} {
		m := Message{Type: raftpb.InstallSnapshot, From: leader.id, To: follower.id, Term: leader.r.core.Term(),
			Snapshot: &Snapshot{Index: 100, Term: 1, Membership: founding(3)}}
		spoil(&m)
		wanted, err := follower.r.beginReceive(c.now, &m)
		require.False(t, wanted, name)
		require.ErrorIs(t, err, ErrMalformed, name)
	}
}

// What is captured to be sent is what has been applied when the capture's turn
// comes, unless its leader has been deposed by then.
func TestCaptureToSend(t *testing.T) {
	c := newSimCluster(t, 1, nil)
	s := c.elect()
	s.propose("one")
	c.settle()
	term := s.r.core.Term()
	s.r.captureToSend(Message{Term: term})
	s.r.captureToSend(Message{Term: term - 1})
	captured, ok := s.r.nextTask(c.now)
	require.True(t, ok)
	require.NoError(t, captured.refused)
	require.Equal(t, s.r.core.Status().Applied, captured.snapshot.Index)
	require.Equal(t, term, captured.snapshot.Term)
	deposed, ok := s.r.nextTask(c.now)
	require.True(t, ok)
	require.ErrorIs(t, deposed.refused, errDeposed)
}

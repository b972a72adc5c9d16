package raft

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// {1,2}→{1}, by 2, which crashes between persisting an entry of the change and
// sending it: 1 cannot win with its shorter log, and 2, which after the second
// one is no voter in the latest membership, must be able to.
func TestScenarioH5RemovedLeaderThatAloneKnowsOfItsRemovalIsElectable(t *testing.T) {
	for _, joint := range []bool{true, false} {
		t.Run(fmt.Sprintf("joint %v", joint), func(t *testing.T) {
			c := newTestCluster(t, 2, nil)
			c.elect(2)
			c.run(2 * DefaultHeartbeatInterval)
			n := c.node(2)
			c.cut = func(m *Message) bool {
				return len(m.Entries) > 0 && isJoint(&n.r.members.latest().Membership) == joint
			}
			require.NoError(t, c.changeMembership(2, Remove(2)))
			c.settle()
			c.restart(2)
			require.Equal(t, joint, n.r.members.selfOutgoing)

			c.heal()
			c.run(10 * DefaultElectionTimeout)

			require.Equal(t, []NodeID{1}, votersOf(c.node(1).r))
			c.requireLeader(1)
			require.True(t, n.r.Status().Removed)
			require.NoError(t, c.propose(1, "a"))
			c.settle()
			c.requireApplied([]string{"a"}, 1)
		})
	}
}

// The disks of all followers stall for several election timeouts: the leader
// stays, since their answers do not wait for them, and reads go on. Nothing is
// acknowledged meanwhile, and everything afterwards.
func TestScenarioH6MajorityOfDisksStalls(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.elect(1)
	c.run(DefaultHeartbeatInterval)
	term, commit := c.node(1).r.Term(), c.node(1).r.Commit()
	c.stalled[2], c.stalled[3] = true, true
	require.NoError(t, c.propose(1, "a"))

	for i := range 8 {
		c.run(DefaultElectionTimeout / 2)
		require.NoError(t, c.propose(1, fmt.Sprint(i)))
		require.NoError(t, c.readIndex(1, uint64(i+1)))
		c.run(DefaultElectionTimeout / 2)
		require.Equal(t, ReadState{ID: uint64(i + 1), Index: commit, OK: true}, c.node(1).reads[i])
	}

	c.requireLeader(1)
	require.Equal(t, term, c.node(1).r.Term())
	require.Equal(t, commit, c.node(1).r.Commit())
	clear(c.stalled)
	c.run(2 * DefaultHeartbeatInterval)
	c.requireApplied([]string{"a", "0", "1", "2", "3", "4", "5", "6", "7"}, 1, 2, 3)
	require.Equal(t, term, c.node(1).r.Term())
}

// The leader's disk is one of those that stall. Nobody else could win, so it stays
// and reads go on; it steps down when the others are ahead of it and it still cannot
// write.
func TestScenarioH6LeadersDiskStallsWithOthers(t *testing.T) {
	for name, test := range map[string]struct {
		late  time.Duration // how much later than follower 3's disk the leader's works again
		stays bool
	}{
		"they go on together":            {0, true},
		"a little later than the others": {DefaultHeartbeatInterval / 2, true},
		"the leader's does not go on":    {3 * DefaultHeartbeatInterval, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestCluster(t, 3, nil)
			c.elect(1)
			c.run(DefaultHeartbeatInterval)
			term := c.node(1).r.Term()
			for range 2 {
				reads, commit := len(c.node(1).reads), c.node(1).r.Commit()
				c.stalled[1], c.stalled[3] = true, true
				require.NoError(t, c.propose(1, "a"))
				for i := range 4 {
					c.run(DefaultElectionTimeout / 2)
					id := uint64(reads + i + 1)
					require.NoError(t, c.readIndex(1, id))
					c.run(DefaultElectionTimeout / 2)
					require.Equal(t, ReadState{ID: id, Index: commit, OK: true}, c.node(1).reads[id-1])
				}
				require.Equal(t, commit, c.node(1).r.Commit())

				delete(c.stalled, 3)
				c.settle()
				require.Greater(t, c.node(1).r.Commit(), commit)
				c.run(test.late)
				require.Equal(t, test.stays, c.node(1).r.Role() == Leader)
				delete(c.stalled, 1)
				c.run(4 * DefaultElectionTimeout)
				require.Equal(t, test.stays, c.node(1).r.Term() == term)
				if !test.stays {
					c.requireApplied([]string{"a"}, 1, 2, 3)
					return
				}
			}
			c.requireApplied([]string{"a", "a"}, 1, 2, 3)
		})
	}
}

// A heartbeat overtakes bulk data: it is not rejected, and the pipeline goes
// on. When the data was lost, it is sent again.
func TestScenarioH7HeartbeatOvertakesBulkData(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("lost %v", lost), func(t *testing.T) {
			c := newTestCluster(t, 2, nil)
			c.elect(1)
			c.run(DefaultHeartbeatInterval)
			for i := range 5 {
				require.NoError(t, c.propose(1, fmt.Sprint(i)))
			}
			bulk := c.lose(between(raftpb.AppendEntries, 1, 2))
			require.Len(t, bulk, 5) // pipelined
			c.now = c.now.Add(DefaultHeartbeatInterval)
			c.tick(1)

			heartbeat := only(t, c.lose(between(raftpb.AppendEntries, 1, 2)))
			c.receive(flying{m: heartbeat})
			reply := c.net[0].m
			require.False(t, reply.Reject)
			if lost {
				c.settle()
				c.run(2 * DefaultHeartbeatInterval)
			} else {
				p := c.node(1).r.peer(2)
				p.sent = c.now // the data was sent just now
				c.settle()
				require.Equal(t, replicating, p.state)
				require.Len(t, p.inFlight, 5)
				for i := range bulk {
					c.receive(flying{m: bulk[i]})
				}
				require.Empty(t, c.lose(between(raftpb.AppendEntries, 1, 2)), "nothing is sent twice")
				c.settle()
			}
			c.requireApplied([]string{"0", "1", "2", "3", "4"}, 1)
			require.Equal(t, replicating, c.node(1).r.peer(2).state)
		})
	}
}

// A follower received entries and told so, and crashed before they were
// durable. It gets them again although nothing new is proposed.
func TestScenarioH7ReceivedEntriesLostInACrashAreSentAgain(t *testing.T) {
	for name, disturb := range map[string]func(c *testCluster){
		"the transport says nothing":   func(*testCluster) {},
		"the transport reports it":     func(c *testCluster) { c.node(1).r.Unreachable(c.now, 2) },
		"a heartbeat passes meanwhile": func(c *testCluster) { c.run(DefaultHeartbeatInterval) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestCluster(t, 2, nil)
			c.elect(1)
			c.run(2 * DefaultHeartbeatInterval)
			c.stalled[2] = true
			require.NoError(t, c.propose(1, "a", "b"))
			c.run(2 * DefaultHeartbeatInterval) // 1 hears that 2 has received them
			require.Equal(t, c.node(1).r.Last(), c.node(1).r.peer(2).verified)
			c.crash(2)
			disturb(c)
			clear(c.stalled)
			c.start(2)

			c.run(4 * DefaultHeartbeatInterval)

			c.requireApplied([]string{"a", "b"}, 1, 2)
		})
	}
}

// All windows are full of durable entries that are not committed, and the
// leader dies: the new leader's first entry still finds room.
func TestScenarioH8WindowsFullOfUncommittedEntriesAndTheLeaderDies(t *testing.T) {
	c := newTestCluster(t, 3, func(cfg *CoreConfig) { cfg.MaxWindowBytes, cfg.MaxMessageBytes = 200, 100 })
	c.elect(1)
	c.run(2 * DefaultHeartbeatInterval)
	c.cut = func(m *Message) bool { // received is all that the leader hears
		if m.Type == raftpb.AppendEntriesReply {
			m.Index = min(m.Index, 1)
		}
		return false
	}
	for i := range 50 {
		require.NoError(t, c.propose(1, fmt.Sprintf("%064d", i)))
		c.settle()
	}
	last := min(c.node(2).r.Last(), c.node(3).r.Last())
	require.Equal(t, Index(51), last)
	require.Equal(t, last, c.node(2).r.Status().Durable)
	require.Equal(t, Index(1), c.node(1).r.Commit())
	c.crash(1)
	c.heal()

	c.run(6 * DefaultElectionTimeout)

	l := c.leader()
	require.NotZero(t, l)
	require.Greater(t, c.node(l).r.Commit(), last)
	c.start(1)
	c.run(6 * DefaultElectionTimeout)
	c.requireConsistent()
}

// The same, directly: a follower's window counts only what is not durable.
func TestScenarioH8DurableEntriesDoNotFillTheWindow(t *testing.T) {
	d := diskOf(3, 1, 1)
	c := newLoneCoreFrom(t, d.load(), func(cfg *CoreConfig) { cfg.MaxWindowBytes = 300 })
	for i := Index(2); i < 40; i++ {
		c.receive(appendFrom(2, 1, i-1, 1, 0, testEntry(i, 1)))
		reply := only(t, c.persistAll())
		require.Equal(t, i, reply.Index)
		require.Equal(t, uint64(300), reply.Window)
	}
	require.LessOrEqual(t, c.log.window.bytes(0, c.Last()), 300)

	c.receive(appendFrom(3, 2, 39, 1, 0, testEntry(40, 2)))
	replies := c.persistAll()

	require.Equal(t, Index(40), replies[len(replies)-1].Index)
}

// An entry larger than a window is taken by an empty one.
func TestScenarioH8EntryLargerThanAWindow(t *testing.T) {
	c := newTestCluster(t, 3, func(cfg *CoreConfig) {
		cfg.MaxWindowBytes, cfg.MaxMessageBytes, cfg.MaxUncommittedBytes, cfg.MaxApplyBytes = 200, 100, 1<<20, 100
	})
	c.elect(1)
	want := []string{}
	for i := range 10 {
		want = append(want, fmt.Sprintf("%0*d", 10+i%2*5000, i))
		require.NoError(t, c.propose(1, want[i]))
	}

	c.run(20 * DefaultHeartbeatInterval)

	c.requireApplied(want, 1, 2, 3)
}

// The process of a follower is paused for ten election timeouts, and reads
// what has arrived before its timer fires: it does not campaign.
func TestScenarioH9PausedProcessDoesNotCampaignOverUnreadHeartbeats(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.elect(1)
	c.run(DefaultHeartbeatInterval)
	term := c.node(1).r.Term()
	for range 10 * DefaultElectionTimeout / DefaultHeartbeatInterval {
		c.now = c.now.Add(DefaultHeartbeatInterval)
		c.tick(1)
		c.pass(func(m *Message) bool { return m.To != 2 })
		c.pass(func(m *Message) bool { return m.To != 2 })
	}
	require.GreaterOrEqual(t, c.now, c.node(2).r.Deadline().Add(8*DefaultElectionTimeout))

	unread := c.pass(func(m *Message) bool { return m.To == 2 })
	c.tick(2)

	require.Greater(t, unread, 50)
	require.Equal(t, Follower, c.node(2).r.Role())
	require.Empty(t, c.lose(between(raftpb.PreVote, 2, 0)))
	require.Equal(t, term, c.node(2).r.Term())
	require.Greater(t, c.node(2).r.Deadline(), c.now)
}

// behindTheLog: 3 has been down since "a", the others have compacted their
// logs, and a snapshot for 3 is asked for.
func behindTheLog(t *testing.T) *testCluster {
	c := newTestCluster(t, 3, nil)
	c.elect(1)
	require.NoError(t, c.propose(1, "a"))
	c.run(DefaultHeartbeatInterval)
	c.crash(3)
	require.NoError(t, c.propose(1, "b", "c"))
	c.run(DefaultHeartbeatInterval)
	c.compact(1, 0)
	c.compact(2, 0)
	c.start(3)
	for len(c.node(1).sends) == 0 {
		c.now = c.now.Add(DefaultHeartbeatInterval)
		c.tick(1)
		c.settleUntil(func() bool { return len(c.node(1).sends) > 0 })
	}
	return c
}

// settleUntil takes steps until done, or nothing is left to do.
func (c *testCluster) settleUntil(done func() bool) {
	for !done() && c.settleOnce() {
	}
}

// A crash after the snapshot writer's Commit and before the Write that installs
// it, and one after that Write and before, or in, the restore.
func TestScenarioH18CrashWhileASnapshotIsInstalled(t *testing.T) {
	for name, crash := range map[string]func(c *testCluster){
		"before the write": func(c *testCluster) {
			require.NotEmpty(c.t, c.node(3).writes)
			require.NotNil(c.t, c.node(3).disk.uninstalled)
		},
		"before the restore": func(c *testCluster) {
			c.persistAll(3)
			require.Nil(c.t, c.node(3).disk.uninstalled)
			require.NotNil(c.t, c.node(3).restore)
		},
		"at another term before the write": func(c *testCluster) {
			c.node(3).disk.hard.Term-- // the term of the snapshot's leader was not durable
			c.node(3).disk.hard.Vote = 0
			c.check.Wiped(3)
			for i := range c.node(3).disk.log {
				c.node(3).disk.log[i].Term = min(c.node(3).disk.log[i].Term, c.node(3).disk.hard.Term)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := behindTheLog(t)
			c.sendSnapshot(1, false)
			crash(c)
			c.crash(3)
			c.start(3)

			n := c.node(3)
			require.NotNil(t, n.restore, "the restore is asked for anew")
			require.Equal(t, c.node(1).disk.snapshot.Index, n.r.Last())
			require.GreaterOrEqual(t, n.r.Term(), n.disk.snapshot.Term)
			require.Empty(t, n.apply)
			require.NoError(t, c.propose(1, "d"))
			c.run(4 * DefaultElectionTimeout)
			c.requireApplied([]string{"a", "b", "c", "d"}, 1, 2, 3)
			require.False(t, c.node(3).r.Status().Marked)
		})
	}
}

// The disk's log goes on above the committed snapshot only if it holds the
// snapshot's last entry: else what is above contradicts it.
func TestScenarioH18LogAboveACommittedSnapshot(t *testing.T) {
	snapshot := Snapshot{Index: 3, Term: 2, Membership: founding(3)}
	for _, test := range []struct {
		name string
		log  []Term
		last Index
	}{
		{"holds its last entry", []Term{1, 1, 2, 2}, 4},
		{"holds another one", []Term{1, 1, 1, 1}, 3},
		{"ends before", []Term{1, 1}, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := diskOf(3, 2, test.log...)
			s := snapshot.Clone()
			d.uninstalled = &s
			c := newLoneCoreFrom(t, d.load(), nil)

			require.Equal(t, test.last, c.Last())
			require.Equal(t, Index(3), c.Commit())
			require.Len(t, c.restores, 1)
			c.Applied(0, 3)
			c.drain()
			require.Empty(t, c.committed)
			require.Empty(t, c.logReads)
		})
	}
}

package rafttest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
)

func voters(c *Cluster[*Journal, int], id raft.NodeID) (ids []raft.NodeID) {
	for _, m := range c.Status(id).Membership.Members {
		if m.Voter {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// A cluster of three moves, member by member and under load, to three others.
func TestAClusterMoves(t *testing.T) {
	c := New(t, 3, Config(func(c *raft.Config) { c.SnapshotEntries, c.TrailingEntries = 5, -1 }))
	c.Elect(1)
	for range 10 {
		c.Propose("before")
	}
	for id := raft.NodeID(1); id <= 3; id++ {
		joined := c.Join()
		require.Equal(t, id+3, joined)
		c.ChangeMembership(raft.AddVoter(joined, "new"), raft.Remove(id))
		c.RunUntil(func() bool { return c.Err(id) != nil })
		require.ErrorIs(t, c.Err(id), raft.ErrRemoved)
		c.ChangeMembership(raft.SetAddress(joined, address(joined)))
		c.Propose("meanwhile")
	}
	c.RequireConsistent()
	require.Equal(t, []raft.NodeID{4, 5, 6}, voters(c, c.Leader()))
	require.Len(t, c.Machine(6).Commands(), 13)
	_, err := c.ProposeOn(1, "to nobody")
	require.ErrorIs(t, err, raft.ErrRemoved)
}

// Who was removed comes back under its name, with empty storage and with its own.
func TestARemovedNodeComesBack(t *testing.T) {
	c := New(t, 3)
	c.Elect(1)
	remove := func(id raft.NodeID) {
		c.ChangeMembership(raft.Remove(id))
		c.RunUntil(func() bool { return c.Err(id) != nil })
	}
	remove(3)
	c.Wipe(3)
	c.Restart(3)
	c.ChangeMembership(raft.AddVoter(3, "back"))
	c.Propose("a")
	c.RequireConsistent()

	remove(2)
	c.ChangeMembership(raft.AddLearner(2, "back, too"))
	c.Restart(2)
	c.RequireConsistent()
	require.Equal(t, []string{"a"}, c.Machine(2).Commands())
	require.Equal(t, []raft.NodeID{1, 3}, voters(c, 2))
}

func TestAChangeThatIsRefused(t *testing.T) {
	c := New(t, 3)
	c.Elect(1)
	_, err := c.StartChange(2, raft.Remove(1)).Wait()
	require.ErrorIs(t, err, raft.ErrNotLeader)
	var impossible *raft.MembershipError
	_, err = c.StartChange(1, raft.Remove(4)).Wait()
	require.ErrorAs(t, err, &impossible)
	_, err = c.StartTransfer(2, 3).Wait()
	require.ErrorIs(t, err, raft.ErrNotLeader)

	waits := c.StartChange(1, raft.AddVoter(4, "not there"))
	c.Run(time.Second)
	require.False(t, waits.Done(), "nobody has come to catch up")
	_, err = c.StartChange(1, raft.Remove(4)).Wait()
	require.NoError(t, err)
	_, err = waits.Wait()
	require.ErrorIs(t, err, raft.ErrOutcomeUnknown, "another one has come in its place")

	require.Contains(t, failureOf(func(t TB) { refused := *c; refused.t = t; refused.ChangeMembership() }), "the change is empty")
	require.Contains(t, failureOf(func(t TB) { refused := *c; refused.t = t; refused.TransferLeadership(9) }), "is not a voter")
}

func TestTransferAndClose(t *testing.T) {
	c := New(t, 3)
	c.Elect(1)
	began := c.Now()
	c.TransferLeadership(3)
	require.Equal(t, raft.NodeID(3), c.Leader())
	c.Close(3)
	c.Propose("a")
	require.Less(t, c.Now()-began, raft.DefaultElectionTimeout, "nobody has waited for a timeout")
	require.Error(t, c.Err(3))
	leader := c.Leader()
	_, err := c.StartTransfer(leader, 3).Wait()
	require.ErrorIs(t, err, raft.ErrTransferFailed, "nobody is there")
	require.Equal(t, leader, c.Leader())
	c.Restart(3)
	c.RequireConsistent()
	require.Equal(t, []string{"a"}, c.Machine(3).Commands())
}

// A call about members ends with the replica that it waits on, and says what it
// knows.
func TestMemberCallsEndWithTheirReplica(t *testing.T) {
	c := New(t, 3)
	c.Elect(1)
	c.Propose("a")
	change := c.StartChange(1, raft.AddVoter(4, "not there"))
	c.Run(time.Second)
	c.Crash(3)
	transfer := c.StartTransfer(1, 3)
	c.FailDisk(1)
	c.StartPropose(1, "b") // is written when the transfer is over
	_, err := change.Wait()
	require.ErrorIs(t, err, raft.ErrOutcomeUnknown)
	require.ErrorIs(t, err, raft.ErrStopped)
	_, err = transfer.Wait()
	require.Error(t, err)
	c.RepairDisk(1)
	c.Restart(1)
	c.Restart(3)
	c.ChangeMembership(raft.Remove(4))
	c.RequireConsistent()
}

// Everything that members can do, under the faults that matter for it.
func TestSimulateMembership(t *testing.T) {
	s := registerSimulation()
	s.Faults = FaultMembership | FaultCrash | FaultPartition | FaultDamage
	s.Seeds, s.First = 25, 1<<33
	r := Simulate(t, s)
	t.Logf("%+v", r)
	for _, what := range []string{
		"change done", "change refused", "change failed", "removed", "close", "hand-over", "transfer done",
		"transfer refused", "snapshot received", "mark ended", "majority left alone",
	} {
		require.NotZero(t, r.Happened[what], what)
	}
}

// A change that a deposed leader has in its log, far behind the end of its
// successor's, is known to be lost as soon as that leads.
func TestALostChangeEndsSoon(t *testing.T) {
	c := New(t, 3)
	c.Elect(1)
	c.Propose("before")
	c.Partition(1)
	for range 20 {
		c.StartPropose(1, "lost")
	}
	c.Run(time.Millisecond)
	lost := c.StartChange(1, raft.Remove(3))
	c.Propose("a")
	c.Heal()
	_, err := lost.Wait()
	require.ErrorIs(t, err, raft.ErrNotCommitted)
}

package raft

import (
	"testing"
	"time"

	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// damage returns data with one bit changed.
func damage(data []byte) []byte {
	changed := append([]byte(nil), data...)
	changed[len(changed)/2] ^= 4
	return changed
}

// What was damaged between a proposer and its leader does not enter the log,
// not even when the message that the network repeats is intact, since the
// proposer has been told that it will not.
func TestDamagedForwardIsRefused(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader, follower := c.elect(), c.follower()
	before := leader.r.core.Last()
	first, second := follower.propose("first"), follower.propose("second")
	repeat := c.take(isType(raftpb.Propose))
	for _, m := range repeat {
		m.Entries = append([]Entry(nil), m.Entries...)
		if e := &m.Entries[0]; string(e.Data) == "first" {
			e.Data = damage(e.Data)
		}
		c.receive(m)
	}
	c.settle()
	require.True(t, first.ended)
	require.ErrorIs(t, first.err, ErrDamaged)
	require.ErrorIs(t, first.err, ErrNotCommitted, "it may be proposed again")
	for _, m := range repeat {
		c.receive(m)
	}
	c.run(time.Second)
	require.NoError(t, second.err)
	require.Equal(t, before+1, leader.r.core.Last())
	require.Equal(t, []string{"second"}, c.log)
}

// The same for what changes while it waits on the leader itself.
func TestDamagedProposalIsRefused(t *testing.T) {
	c := newSimCluster(t, 3, nil)
	leader := c.elect()
	leader.propose("in flight")
	damaged, next := leader.propose("damaged"), leader.propose("next")
	damaged.future.data[0] ^= 1
	c.settle()
	require.ErrorIs(t, damaged.err, ErrDamaged)
	require.ErrorIs(t, damaged.err, ErrNotCommitted)
	require.NoError(t, next.err)
	require.Equal(t, []string{"in flight", "next"}, c.log)
	require.Zero(t, leader.r.proposals.bytes)
	c.run(time.Second)
	c.check()
}

// A follower does not take what was damaged between the leader and itself: it
// stays without an answer, and is sent again.
func TestDamagedAppendIsNotTaken(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.elect(1)
	c.settle()
	n := c.node(1)
	data := []byte("command")
	_, err := n.r.Propose(c.now, []Entry{{Data: data, Checksum: raftpb.Checksum(data)}})
	require.NoError(t, err)
	c.after(n)
	before := c.node(2).r.Status()
	for _, m := range c.lose(between(raftpb.AppendEntries, 1, 2)) {
		m.Entries = append([]Entry(nil), m.Entries...)
		m.Entries[0].Data = damage(m.Entries[0].Data)
		require.ErrorIs(t, c.node(2).r.Step(c.now, &m), ErrMalformed)
		c.after(c.node(2))
	}
	after := c.node(2).r.Status()
	require.Equal(t, before.Ignored+1, after.Ignored)
	require.Equal(t, before.Last, after.Last)
	c.run(time.Second)
	c.requireApplied([]string{"command"}, 1, 2, 3)
}

// The membership is covered like a command.
func TestDamagedMembershipIsNotTaken(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.elect(1)
	c.settle()
	require.NoError(t, c.changeMembership(1, SetAddress(2, "elsewhere")))
	sent := c.lose(between(raftpb.AppendEntries, 1, 2))
	m := sent[len(sent)-1]
	m.Entries = append([]Entry(nil), m.Entries...)
	e := &m.Entries[len(m.Entries)-1]
	require.Equal(t, EntryMembership, e.Type)
	require.Equal(t, raftpb.Checksum(e.Data), e.Checksum)
	var membership Membership
	require.NoError(t, membership.Unmarshal(e.Data))
	membership.Members[1].Address = "elsewhera" // valid, and another one
	e.Data = membership.Append(nil)
	require.ErrorIs(t, c.node(2).r.Step(c.now, &m), ErrMalformed)
	c.after(c.node(2))
	c.run(time.Second)
	for _, id := range []NodeID{1, 2, 3} {
		require.Equal(t, "elsewhere", c.node(id).r.Status().Membership.Members[1].Address)
	}
}

func TestCheckIntact(t *testing.T) {
	data := []byte("command")
	good := Entry{Term: 2, Index: 7, Data: data, Checksum: raftpb.Checksum(data)}
	bad := good
	bad.Index, bad.Data = 8, damage(data)
	require.NoError(t, checkIntact([]Entry{good, {Index: 9, Type: EntryEmpty}}))
	err := checkIntact([]Entry{good, bad})
	require.ErrorIs(t, err, ErrDamaged)
	var damaged *DamagedEntryError
	require.ErrorAs(t, err, &damaged)
	require.Equal(t, DamagedEntryError{Index: 8, Term: 2}, *damaged)
	require.Contains(t, err.Error(), "entry 8 of term 2")
}

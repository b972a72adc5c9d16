package raft

import (
	"fmt"
	"testing"

	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// §6 as far as this version has it: how a membership in the log takes effect,
// rolls back, decides, and goes into snapshots.

func voters(ids ...NodeID) Membership {
	var m Membership
	for _, id := range ids {
		m.Members = append(m.Members, Member{ID: id, Voter: true})
	}
	return m
}

// jointOf is the joint configuration of the first three nodes and of 1, 4, 5.
func jointOf() Membership {
	return Membership{Members: []Member{
		{ID: 1, Voter: true, Outgoing: true}, {ID: 2, Outgoing: true, Leaving: true}, {ID: 3, Outgoing: true, Leaving: true},
		{ID: 4, Voter: true}, {ID: 5, Voter: true},
	}}
}

func membershipEntry(index Index, term Term, m Membership) Entry {
	return Entry{Index: index, Term: term, Type: EntryMembership, Data: m.Append(nil)}
}

func requireMembership(t *testing.T, r *Raft, want Membership) {
	t.Helper()
	require.True(t, sameMembership(want, r.members.latest().Membership), "%v", r.members.latest())
	require.Len(t, r.peers, len(want.Members)-1)
}

// "A server always uses the latest configuration in its log, regardless of
// whether the entry is committed" (M23, E2), and the one before it when that
// is truncated (M22), two stacked ones included.
func TestSection6LatestMembershipInTheLogIsInForceAndRollsBack(t *testing.T) {
	c := newLoneCore(t, 3, 1, 1)
	four, five := voters(1, 2, 3, 4), voters(1, 2, 3, 4, 5)
	c.receive(appendFrom(2, 1, 1, 1, 0, membershipEntry(2, 1, four), testEntry(3, 1), membershipEntry(4, 1, five)))
	requireMembership(t, c.Raft, five)

	c.receive(appendFrom(3, 2, 3, 1, 0, testEntry(4, 2)))
	requireMembership(t, c.Raft, four)

	c.receive(appendFrom(2, 3, 1, 1, 0, membershipEntry(2, 3, five), membershipEntry(3, 3, four)))
	requireMembership(t, c.Raft, four)

	c.receive(appendFrom(3, 4, 1, 1, 0, testEntry(2, 4)))
	requireMembership(t, c.Raft, founding(3))

	snapshot := installFrom(3, 4, 9, 4)
	snapshot.Snapshot.Membership, snapshot.Snapshot.MembershipIndex = five, 7
	c.receive(snapshot)
	requireMembership(t, c.Raft, five)
}

// A leader counts by the membership that it has appended, from then on.
func TestSection6AppendedMembershipDecidesItsOwnCommit(t *testing.T) {
	c := newLoneCore(t, 3, 1, 1)
	c.lead()
	c.ack(2, 2)
	c.appendMembership(voters(1, 2, 3, 4, 5))
	c.drain()
	c.persistAll()
	c.ack(2, 3)
	require.Equal(t, Index(2), c.Commit(), "two of five")
	c.ack(5, 3)
	require.Equal(t, Index(3), c.Commit())
}

// A joint membership decides by separate majorities of both configurations:
// elections, commitment, reads and check-quorum (M21).
func TestSection6JointMembershipNeedsBothMajorities(t *testing.T) {
	newJoint := func(t *testing.T) *loneCore {
		d := diskOf(3, 1, 1)
		d.snapshot.Membership = jointOf()
		return newLoneCoreFrom(t, d.load(), nil)
	}
	for _, test := range []struct {
		peers  []NodeID
		agrees bool
	}{
		{nil, false}, {[]NodeID{2}, false}, {[]NodeID{2, 3}, false}, {[]NodeID{4}, false}, {[]NodeID{4, 5}, false},
		{[]NodeID{2, 4}, true}, {[]NodeID{3, 5}, true},
	} {
		t.Run(fmt.Sprint(test.peers), func(t *testing.T) {
			c := newJoint(t)
			c.tickAt(c.Deadline())
			for _, id := range test.peers {
				c.receive(Message{Type: raftpb.PreVoteReply, From: id, Term: 2})
			}
			require.Equal(t, test.agrees, c.Role() == Candidate)

			c = newJoint(t)
			c.lead()
			require.NoError(t, c.ReadIndex(c.now, 7))
			c.drain()
			for _, id := range test.peers {
				c.echo(id, 1, 2, false)
			}
			require.Equal(t, test.agrees, c.Commit() == 2)
			require.Equal(t, test.agrees, len(c.answers) == 1)

			c = newJoint(t)
			c.lead()
			start := c.now
			c.now = start.Add(DefaultElectionTimeout / 2)
			for _, id := range test.peers {
				c.echo(id, 0, 0, false)
			}
			c.tickAt(start.Add(DefaultElectionTimeout))
			require.Equal(t, test.agrees, c.Role() == Leader)
		})
	}
}

// A learner counts in no quorum (M25), and yet answers votes: it need not know
// yet that it has been promoted (E3).
func TestSection6Learners(t *testing.T) {
	withLearners := founding(3)
	withLearners.Members = append(withLearners.Members, Member{ID: 4}, Member{ID: 5})
	d := diskOf(3, 1, 1)
	d.snapshot.Membership = withLearners
	c := newLoneCoreFrom(t, d.load(), nil)
	c.lead()
	c.ack(4, 2)
	c.ack(5, 2)
	require.Zero(t, c.Commit())
	c.ack(2, 2)
	require.Equal(t, Index(2), c.Commit())

	d = diskOf(3, 1, 1)
	d.snapshot.Membership = Membership{Members: []Member{{ID: 1}, {ID: 2, Voter: true}}}
	learner := newLoneCoreFrom(t, d.load(), nil)
	learner.receive(Message{Type: raftpb.RequestVote, From: 2, Term: 2, Index: 1, LogTerm: 1})
	require.False(t, only(t, learner.persistAll()).Reject)
}

// A snapshot holds the membership in force at its index: not an uncommitted one
// (M24), nor one that came later, nor none (M28).
func TestScenarioL15SnapshotHoldsTheMembershipOfItsIndex(t *testing.T) {
	d := diskOf(3, 1, 1)
	d.hard.Commit = 1
	c := newLoneCoreFrom(t, d.load(), nil)
	four, five := voters(1, 2, 3, 4), voters(1, 2, 3, 4, 5)
	c.LogRead(0, c.logReads[0], d.log, nil)
	c.drain()
	c.Applied(0, 1)
	c.receive(appendFrom(2, 1, 1, 1, 1, membershipEntry(2, 1, four)))
	c.persistAll()
	s, err := c.SnapshotAt(1)
	require.NoError(t, err)
	require.True(t, sameMembership(founding(3), s.Membership))

	c.receive(appendFrom(2, 1, 2, 1, 2))
	c.Applied(0, 2)
	c.receive(appendFrom(2, 1, 2, 1, 2, testEntry(3, 1), membershipEntry(4, 1, five)))
	c.persistAll()
	s, err = c.SnapshotAt(2)
	require.NoError(t, err)
	require.True(t, sameMembership(four, s.Membership))
	require.Equal(t, Index(2), s.MembershipIndex)

	// A moment that has passed: what was in force then may be forgotten, but
	// is not given wrongly.
	c.receive(appendFrom(2, 1, 4, 1, 4))
	c.Applied(0, 4)
	c.receive(appendFrom(2, 1, 4, 1, 4, membershipEntry(5, 1, four)))
	s, err = c.SnapshotAt(3)
	if err == nil {
		require.True(t, sameMembership(four, s.Membership))
	} else {
		require.ErrorIs(t, err, ErrCompacted)
	}
}

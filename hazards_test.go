package raft

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// The hazards H1 to H9 and H18 of SCENARIOS: schedules that broke drafts of
// the design.

func appendFrom(leader NodeID, term Term, prev Index, prevTerm Term, commit Index, entries ...Entry) Message {
	return Message{
		Type: raftpb.AppendEntries, From: leader, Term: term, Index: prev, LogTerm: prevTerm, Commit: commit, Entries: entries,
	}
}

// A→C→A: 6..10@2, 6@3, 6..10@2 again, with three writes in flight. What the
// first write made durable is what stands in the log, and yet is not on the
// disk any more when the second one completes.
func TestScenarioH1WriteInFlightAcknowledgesNothingItDoesNotHold(t *testing.T) {
	c := newLoneCore(t, 3, 1, repeat(5, 1)...)
	c.receive(appendFrom(2, 2, 5, 1, 0, testEntries(6, repeat(5, 2)...)...))
	c.receive(appendFrom(3, 3, 5, 1, 0, testEntry(6, 3)))
	c.receive(appendFrom(2, 4, 5, 1, 0, testEntries(6, repeat(5, 2)...)...))
	require.Len(t, c.writes, 3)

	sent := c.persistTo(1)
	require.Equal(t, Index(5), c.Status().Durable)
	require.Empty(t, sent)

	sent = c.persistTo(2)
	require.Equal(t, Index(5), c.Status().Durable)
	require.Empty(t, sent)

	reply := only(t, c.persistTo(3))
	require.Equal(t, Index(10), reply.Index)
	require.Equal(t, Term(4), reply.Term)
}

// The same within what one leader sees: heartbeats are answered meanwhile, and
// none of the answers acknowledges what a later write is about to replace.
func TestScenarioH1HeartbeatsMeanwhileAcknowledgeOnlyWhatStays(t *testing.T) {
	c := newLoneCore(t, 3, 4, repeat(5, 1)...)
	c.receive(appendFrom(2, 4, 5, 1, 0, testEntries(6, repeat(5, 2)...)...)) // write 1
	c.persistTo(c.seq)
	c.receive(appendFrom(3, 5, 5, 1, 0))
	require.Len(t, c.persistTo(c.seq), 1) // term 5 is durable
	c.receive(appendFrom(3, 5, 5, 1, 0, testEntry(6, 3)))
	c.receive(appendFrom(3, 5, 6, 3, 0, testEntry(7, 5)))

	reply := only(t, c.receive(appendFrom(3, 5, 5, 1, 0)))
	require.Equal(t, Index(5), reply.Index)
	require.Equal(t, Index(7), reply.Verified)

	reply = only(t, c.persistTo(c.seq-1))
	require.Equal(t, Index(6), reply.Index)
	reply = only(t, c.persistTo(c.seq))
	require.Equal(t, Index(7), reply.Index)
}

// committedOnTwoOfThree: all three hold "a"; "b" is committed on 1 and 2, and
// 3 was cut off and lacks it.
func committedOnTwoOfThree(t *testing.T) *testCluster {
	c := newTestCluster(t, 3, nil)
	c.elect(1)
	require.NoError(t, c.propose(1, "a"))
	c.run(DefaultHeartbeatInterval)
	c.requireApplied([]string{"a"}, 1, 2, 3)
	c.isolate(3)
	require.NoError(t, c.propose(1, "b"))
	c.settle()
	c.requireApplied([]string{"a", "b"}, 1)
	return c
}

// requireRecovers: with 1 back, what was committed is everywhere, and nobody
// is marked any more.
func requireRecovers(t *testing.T, c *testCluster, want ...string) {
	t.Helper()
	c.heal()
	for _, n := range c.nodes {
		if n.r == nil {
			c.start(n.id)
		}
	}
	c.run(10 * DefaultElectionTimeout)
	for _, n := range c.nodes {
		require.Equal(t, want, c.appliedData(n.id), "node %d", n.id)
		require.False(t, n.r.Status().Marked, "node %d", n.id)
	}
}

// Restarted with or without Bootstrap, a wiped volume elects nobody who lacks
// what it has acknowledged before.
func TestScenarioH2WipedVolumeVotesForNobodyWhoLacksWhatItHeld(t *testing.T) {
	for name, bootstrap := range map[string]Membership{"without Bootstrap": {}, "with Bootstrap": founding(3)} {
		t.Run(name, func(t *testing.T) {
			c := committedOnTwoOfThree(t)
			c.crash(1)
			c.wipe(2, bootstrap)
			c.heal()

			c.run(20 * DefaultElectionTimeout)
			c.requireLeader(0)
			require.True(t, c.node(2).r.Status().Marked)

			requireRecovers(t, c, "a", "b")
			c.requireLeader(1)
		})
	}
}

// The acknowledgement that commits an entry is in flight when its sender is
// wiped: the entry is committed, and stays so.
func TestScenarioH2AcknowledgementInFlightWhenItsSenderIsWiped(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.elect(1)
	require.NoError(t, c.propose(1, "a"))
	c.run(DefaultHeartbeatInterval)
	c.isolate(3)
	require.NoError(t, c.propose(1, "b"))
	c.persist(1)
	c.pass(between(raftpb.AppendEntries, 1, 2))
	c.persist(2) // the acknowledgement is on its way
	c.wipe(2, Membership{})

	c.settle()
	c.requireApplied([]string{"a", "b"}, 1)
	c.crash(1)
	c.heal()
	c.run(20 * DefaultElectionTimeout)
	c.requireLeader(0)
	requireRecovers(t, c, "a", "b")
}

// The leader hears of the mark first, and of the older acknowledgement and of
// the round it echoes later: neither counts.
func TestScenarioH2AcknowledgementThatComesAfterTheMarkDoesNotCount(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.elect(1)
	require.NoError(t, c.propose(1, "a"))
	c.run(DefaultHeartbeatInterval)
	c.isolate(3)
	require.NoError(t, c.propose(1, "b"))
	c.persist(1)
	require.NoError(t, c.readIndex(1, 7))
	c.pass(between(raftpb.AppendEntries, 1, 2))
	c.persist(2)
	late := c.net
	c.net = nil
	require.NotEmpty(t, late)
	c.wipe(2, Membership{})

	c.now = c.now.Add(DefaultHeartbeatInterval)
	c.tick(1)
	c.settle()
	require.True(t, c.node(1).r.peer(2).marked)
	before := c.node(1).r.Commit()
	c.net = late
	c.settle()

	require.Equal(t, before, c.node(1).r.Commit())
	require.Empty(t, c.node(1).reads)
	require.True(t, c.node(1).r.peer(2).marked)
	requireRecovers(t, c, "a", "b")
}

// A vote is in flight when the voter is wiped: it counts, since it was given
// by one that held all it had acknowledged, and the next one is not given.
func TestScenarioH2VoteInFlightWhenTheVoterIsWiped(t *testing.T) {
	c := committedOnTwoOfThree(t)
	c.isolate()
	c.cut = cutOff(3)
	c.now = c.node(1).r.Deadline()
	c.now = c.now.Add(DefaultElectionTimeout)
	c.crash(1)
	c.start(1)
	c.now = max(c.node(1).r.Deadline(), c.now.Add(2*DefaultElectionTimeout))
	c.tick(1)
	c.pass(between(raftpb.PreVote, 1, 2))
	c.pass(between(raftpb.PreVoteReply, 2, 1))
	c.persistAll(1)
	c.pass(between(raftpb.RequestVote, 1, 2))
	c.persistAll(2)
	require.Len(t, c.net, 1)
	c.wipe(2, founding(3))
	c.pass(between(raftpb.RequestVoteReply, 2, 1))
	require.Equal(t, Leader, c.node(1).r.Role())

	c.heal()
	c.crash(1)
	c.run(20 * DefaultElectionTimeout)
	c.requireLeader(0)
	requireRecovers(t, c, "a", "b")
}

// A wiped member of which a restarted leader, whose commit index is 0 still,
// has sent it one entry: it is still marked, and elects nobody.
func TestScenarioH2WipedMemberThatHoldsOneEntryIsStillMarked(t *testing.T) {
	c := committedOnTwoOfThree(t)
	c.crash(2)
	c.restart(1)
	c.node(1).disk.hard.Commit = 0
	c.replaceDisk(1, c.node(1).disk)
	c.heal()
	c.elect(1) // by the vote of 3, which has caught up with nothing yet
	c.wipe(2, Membership{})

	// Only 2 is written to, one entry at a time, and nobody else.
	c2 := newClusterOf(t, func(cfg *CoreConfig) { cfg.MaxMessageBytes = 1 },
		diskOf(3, 2, 1, 2), &testDisk{first: 1}, diskOf(3, 2, 1))
	c2.now = c2.node(1).r.Deadline()
	c2.tick(1)
	for range 20 {
		c2.pass(func(m *Message) bool { return m.To != 2 && m.From != 2 && m.Type < raftpb.AppendEntries })
		c2.persistAll(1, 3)
	}
	require.Equal(t, Leader, c2.node(1).r.Role())
	c2.cut = cutOff(3)
	c2.lose(func(m *Message) bool { return m.To == 3 })
	for range 100 {
		if c2.node(2).r.Last() > 0 {
			break
		}
		c2.now = c2.now.Add(DefaultHeartbeatInterval / 2)
		c2.tick(1)
		c2.settleUntil(func() bool { return c2.node(2).r.Last() > 0 })
	}
	c2.persistAll(2)
	require.Equal(t, Index(1), c2.node(2).r.Last())
	require.Zero(t, c2.node(1).r.Commit())
	require.True(t, c2.node(2).r.Status().Marked)

	c2.crash(1)
	c2.heal()
	c2.run(20 * DefaultElectionTimeout)
	c2.requireLeader(0)
	c2.start(1)
	c2.run(10 * DefaultElectionTimeout)
	c2.requireConsistent()
	require.False(t, c2.node(2).r.Status().Marked)
}

// A founder that never voted is unmarked by the leader in its first term. If
// it is wiped then, what the leader had sent to the one that was lost, and is
// still on its way, does not unmark the new one.
func TestScenarioH2WipedMemberIsNotUnmarkedByWhatWasSentBefore(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.isolate(3)
	c.elect(1) // by the vote of 2
	c.heal()
	recorded := []flying{} // all that 1 sends to 3
	record := func(m *Message) bool {
		if m.From == 1 && m.To == 3 {
			recorded = append(recorded, flying{m: *m})
		}
		return false
	}
	c.cut = record
	c.run(5 * DefaultHeartbeatInterval)
	require.False(t, c.node(3).r.Status().Marked)
	c.cut = cutOff(2)
	require.NoError(t, c.propose(1, "a"))
	c.settle()
	c.requireApplied([]string{"a"}, 1) // on 1 and 3, not on 2
	c.wipe(3, Membership{})
	c.crash(1)

	c.heal()
	for _, f := range recorded { // delayed
		c.receive(f)
		c.settle()
	}

	require.True(t, c.node(3).r.Status().Marked)
	c.run(20 * DefaultElectionTimeout)
	c.requireLeader(0)
	requireRecovers(t, c, "a")
}

// A founding group elects a leader and commits with as many founders missing
// as may be, whoever crashes at whichever step: after any vote, after the
// first entry, before and after each is durable.
func TestScenarioH3FoundingSurvivesACrashAtAnyStep(t *testing.T) {
	for size := 1; size <= 5; size++ {
		for missing := 0; missing <= (size-1)/2; missing++ {
			t.Run(fmt.Sprintf("%d founders, %d missing", size, missing), func(t *testing.T) {
				for step := 0; ; step++ {
					done := false
					for victim := 1; victim <= size-missing; victim++ {
						done = foundWithCrash(t, size, missing, step, NodeID(victim))
					}
					if done {
						require.Greater(t, step, size)
						return
					}
				}
			})
		}
	}
}

// foundWithCrash crashes victim after the given number of steps, and reports
// whether the first entry was applied everywhere before that.
func foundWithCrash(t *testing.T, size, missing, steps int, victim NodeID) bool {
	c := newTestCluster(t, size, nil)
	for i := range missing {
		c.crash(NodeID(size - i))
	}
	c.now = c.node(1).r.Deadline()
	c.tick(1)
	done := false
	for range steps {
		done = !c.settleOnce()
	}
	c.restart(victim)

	c.run(6 * DefaultElectionTimeout)
	l := c.leader()
	if l == 0 {
		c.failf("no leader after node %d crashed at step %d", victim, steps)
	}
	require.NoError(t, c.propose(l, "a"))
	c.settle()
	c.requireApplied([]string{"a"}, l)
	// The missing ones come, hold everything, and are full members.
	for i := range missing {
		c.start(NodeID(size - i))
	}
	c.run(4 * DefaultElectionTimeout)
	c.requireConsistent()
	for _, n := range c.nodes {
		require.False(t, n.r.Status().Marked, "node %d", n.id)
	}
	return done
}

// {1}→{1,2}: the new one is a learner first, since its storage is marked, and
// a voter by way of a joint configuration; 1 restarts at any step.
func TestScenarioH3SingleVoterBecomesTwoWithARestartAtAnyStep(t *testing.T) {
	learner := Membership{Members: []Member{{ID: 1, Voter: true}, {ID: 2}}}
	joint := Membership{Members: []Member{{ID: 1, Voter: true, Outgoing: true}, {ID: 2, Voter: true}}}
	both := Membership{Members: []Member{{ID: 1, Voter: true}, {ID: 2, Voter: true}}}
	for restartAt := 0; ; restartAt++ {
		c := newTestCluster(t, 2, nil)
		c.crash(2)
		c.replaceDisk(1, &testDisk{first: 1, snapshot: Snapshot{Membership: founding(1)}})
		c.replaceDisk(2, &testDisk{first: 1})
		steps := 0
		change := func(m Membership, done func() bool) {
			for round := 0; !done(); round++ {
				if round == 500 {
					c.failf("restart at step %d: stuck", restartAt)
				}
				n := c.node(max(c.leader(), 1))
				if n.r.Role() == Leader && !sameMembership(n.r.members.latest().Membership, m) {
					n.r.appendMembership(m)
					c.after(n)
				}
				for c.settleOnce() {
					if steps++; steps == restartAt {
						c.restart(1)
						break
					}
				}
				if !done() {
					c.now = max(c.now.Add(time.Millisecond), min(c.node(1).r.Deadline(), c.node(2).r.Deadline()))
					c.tick(1)
					c.tick(2)
				}
			}
		}
		committed := func(m Membership) bool {
			r := c.node(max(c.leader(), 1)).r
			return r.Role() == Leader && sameMembership(r.members.committed(r.commit).Membership, m)
		}
		change(learner, func() bool { return committed(learner) && !c.node(2).r.Status().Marked })
		change(joint, func() bool { return committed(joint) })
		change(both, func() bool { return committed(both) })

		c.run(5 * DefaultElectionTimeout)
		c.crash(1)
		c.start(1)
		c.run(5 * DefaultElectionTimeout)
		require.NotZero(t, c.leader())
		c.requireConsistent()
		if steps < restartAt {
			require.Greater(t, restartAt, 20)
			return
		}
	}
}

func sameMembership(a, b Membership) bool { return string(a.Append(nil)) == string(b.Append(nil)) }

// A disk that loses what it has acknowledged is found out by the leader's
// match: the replica marks itself, votes for nobody who lacks it, and is a
// member again once it has caught up.
func TestScenarioH4DiskThatLostWhatItAcknowledgedMarksItself(t *testing.T) {
	c := committedOnTwoOfThree(t)
	c.crash(2)
	d := c.node(2).disk
	d.log = d.log[:len(d.log)-1] // "b" is lost
	c.replaceDisk(2, d)
	require.False(t, c.node(2).r.Status().Marked)

	c.now = c.now.Add(DefaultHeartbeatInterval)
	c.tick(1)
	c.pass(between(raftpb.AppendEntries, 1, 2))
	c.persistAll(2)
	require.True(t, c.node(2).r.Status().Marked)
	c.crash(1)
	c.heal()
	c.run(20 * DefaultElectionTimeout)
	c.requireLeader(0)

	requireRecovers(t, c, "a", "b")
}

// What convicts a storage, each by itself: the leader's match is beyond all that
// it came back with, or says that it held an entry which it does not.
func TestScenarioH4WhatConvictsAStorage(t *testing.T) {
	for _, test := range []struct {
		name    string
		prev    Index
		term    Term
		match   Index
		convict bool
	}{
		{"match beyond what was loaded", 1, 1, 4, true},
		{"match beyond it, previous entry unknown", 4, 1, 4, true},
		{"another entry stands at match", 3, 2, 3, true},
		{"all of it is there", 3, 1, 3, false},
		{"behind, and never acknowledged", 4, 1, 0, false},
		{"conflicting, and never acknowledged", 3, 2, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newLoneCore(t, 3, 2, 1, 1, 1)
			m := appendFrom(2, 2, test.prev, test.term, 0)
			m.Match = test.match
			c.receive(m)
			require.Equal(t, test.convict, c.Status().Marked)
			for _, reply := range c.persistAll() {
				require.Equal(t, test.convict, reply.Marked)
			}
		})
	}
}

// A leader ends a peer's mark only with an entry that was appended after it
// had heard of the mark, and that is committed without the peer; until then
// nothing that the peer acknowledges counts.
func TestScenarioH2MarkEndsWithAnEntryCommittedWithoutThePeer(t *testing.T) {
	c := newLoneCore(t, 3, 1, 1)
	c.lead() // entry 2
	marked := func(index Index, still bool) []Message {
		m := Message{Type: raftpb.AppendEntriesReply, From: 2, Term: c.term, Index: index, Verified: index, Window: 1 << 20}
		if still {
			m.Marked, m.Context = true, 77
		}
		return to(c.receive(m), 2)
	}
	offers := func(messages []Message) (unmark Index) {
		for _, m := range messages {
			require.True(t, m.Unmark == 0 || m.Context == 77)
			unmark = max(unmark, m.Unmark)
		}
		return unmark
	}
	marked(0, true)
	sent := to(c.tickAt(c.Deadline()), 2) // appends entry 3
	require.Equal(t, Index(3), c.Last())
	sent = append(sent, to(c.persistAll(), 2)...)
	sent = append(sent, marked(3, true)...)
	sent = append(sent, to(c.tickAt(c.Deadline()), 2)...)
	require.Zero(t, c.Commit(), "2 holds all of it, and does not count")
	require.Zero(t, offers(sent))

	c.ack(3, 2)
	require.Equal(t, Index(2), c.Commit())
	require.Zero(t, offers(to(c.tickAt(c.Deadline()), 2)), "committed before, not after the mark was heard of")

	c.ack(3, 3)
	require.Equal(t, Index(3), offers(to(c.tickAt(c.Deadline()), 2)))
	marked(2, false) // sent before the mark
	require.True(t, c.peer(2).marked)
	marked(3, false)
	require.False(t, c.peer(2).marked)

	// The next entry counts it again.
	c.proposeData("x")
	c.persistAll()
	marked(4, false)
	require.Equal(t, Index(4), c.Commit())
}

// A write of a snapshot that is under way touches everything above the commit
// index; that is no loss of what was durable.
func TestScenarioH4PendingSnapshotWriteConvictsNobody(t *testing.T) {
	c := newLoneCore(t, 3, 1, repeat(10, 1)...)
	c.receive(appendFrom(2, 1, 10, 1, 2)) // acknowledges 10, commits 2
	c.receive(Message{Type: raftpb.InstallSnapshot, From: 2, Term: 1, Snapshot: &Snapshot{Index: 20, Term: 1, Membership: founding(3)}})
	require.Equal(t, Index(2), c.Status().Durable)

	heartbeat := appendFrom(2, 1, 10, 1, 2)
	heartbeat.Match = 10
	c.receive(heartbeat)

	require.False(t, c.Status().Marked)
	c.persistAll()
	require.Equal(t, Index(20), c.Status().Durable)
}

// A duplicated old rejection says nothing about what was acknowledged since.
func TestScenarioH4DuplicatedOldRejectionConvictsNobody(t *testing.T) {
	c := newLoneCore(t, 3, 1, repeat(10, 1)...)
	c.lead()
	rejection := Message{Type: raftpb.AppendEntriesReply, From: 2, Term: c.term, Reject: true, Index: 10, Match: 4, LogTerm: 1, Window: 1 << 20}
	c.receive(rejection)
	require.Equal(t, Index(5), c.peer(2).next)
	c.ack(2, 11)

	c.receive(rejection)

	p := c.peer(2)
	require.Equal(t, Index(11), p.match)
	require.Equal(t, Index(12), p.next)
	require.False(t, p.marked)
	require.Equal(t, replicating, p.state)
}

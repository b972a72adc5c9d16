package raft

import (
	"testing"
	"time"

	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// Lease reads (scenarios R5 and H17). In these clusters true time is the
// cluster's, and every node has a clock with an error of its own.

const testLease = time.Second

// boundedClock is at most early ahead of its earliest time and late behind its
// latest; it is not sure of the time while off.
type boundedClock struct {
	trueTime    func() time.Duration
	early, late time.Duration
	off         bool
}

const epoch = 1_700_000_000_000_000_000

func (c *boundedClock) Now() (earliest, latest uint64, ok bool) {
	t := epoch + uint64(c.trueTime())
	return t - uint64(c.early), t + uint64(c.late), !c.off
}

type leaseCluster struct {
	*testCluster
	clocks []*boundedClock
}

// newLeaseCluster is a group of n with leases of testLease, led by 1.
func newLeaseCluster(t *testing.T, n int) *leaseCluster {
	c := newUnleasedCluster(t, n)
	require.NoError(t, c.changeMembership(1, SetLease(testLease)))
	c.settle()
	c.renew(1)
	return c
}

func newUnleasedCluster(t *testing.T, n int) *leaseCluster {
	c := &leaseCluster{}
	trueTime := func() time.Duration {
		if c.testCluster == nil {
			return 0
		}
		return time.Duration(c.now)
	}
	for range n {
		c.clocks = append(c.clocks, &boundedClock{trueTime: trueTime})
	}
	c.testCluster = newTestCluster(t, n, func(cfg *CoreConfig) { cfg.Clock = c.clocks[cfg.ID-1] })
	c.elect(1)
	return c
}

// renew commits an entry of now.
func (c *leaseCluster) renew(id NodeID) {
	c.t.Helper()
	require.NoError(c.t, c.propose(id, "renew"))
	c.settle()
}

// leased reports whether a lease read that takes no time is served.
func (c *leaseCluster) leased(id NodeID) bool {
	r := c.node(id).r
	read, ok := r.BeginLeaseRead(c.now)
	c.after(c.node(id))
	valid := r.LeaseReadValid(c.now, read)
	require.Equal(c.t, ok, valid, "what has begun with a lease has one when no time has passed")
	return valid
}

// wait lets time pass in which nothing happens.
func (c *leaseCluster) wait(d time.Duration) { c.now = c.now.Add(d) }

// A leader serves lease reads for as long as the lease of its last committed
// entry lasts, not longer.
func TestLeaseLastsFromTheLastCommittedEntry(t *testing.T) {
	c := newLeaseCluster(t, 3)
	require.True(t, c.leased(1))
	require.False(t, c.leased(2), "a follower has none")
	c.cut = cutOff(1)

	c.wait(testLease - 1)
	require.True(t, c.leased(1))
	c.wait(1)
	require.False(t, c.leased(1))

	c.cut = func(*Message) bool { return false }
	c.renew(1)
	require.True(t, c.leased(1))
}

// M31: the bounds of the clocks count: an entry may be as old as its earliest
// time says, and now may be as late as it can be.
func TestLeaseAllowsForTheErrorOfClocks(t *testing.T) {
	const ms = time.Millisecond
	c := newUnleasedCluster(t, 3)
	c.clocks[0].early, c.clocks[0].late = 100*ms, 200*ms
	require.NoError(t, c.changeMembership(1, SetLease(testLease)))
	c.settle()
	c.renew(1)
	c.cut = cutOff(1)

	c.wait(testLease - 300*ms - 1)
	require.True(t, c.leased(1))
	c.wait(1)
	require.False(t, c.leased(1))

	c.clocks[0].late = 0 // the entry is as it was
	require.True(t, c.leased(1))
	c.wait(200 * ms)
	require.False(t, c.leased(1))
}

// M31: the lease must have lasted until the state was read.
func TestScenarioR5PauseBetweenCheckAndRead(t *testing.T) {
	c := newLeaseCluster(t, 3)
	r := c.node(1).r
	read, ok := r.BeginLeaseRead(c.now)
	require.True(t, ok)
	c.cut = cutOff(1)

	c.wait(testLease)

	require.Equal(t, Leader, r.Role(), "it does not know")
	require.False(t, r.LeaseReadValid(c.now, read))
}

// A read that began under one term's lease is not validated by another's.
func TestLeaseReadIsOfOneTerm(t *testing.T) {
	c := newLeaseCluster(t, 3)
	read, ok := c.node(1).r.BeginLeaseRead(c.now)
	require.True(t, ok)
	c.elect(2)
	require.NoError(t, c.propose(2, "missed"))
	c.elect(1)
	c.run(2 * testLease)
	c.renew(1)
	require.True(t, c.leased(1))
	require.False(t, c.node(1).r.LeaseReadValid(c.now, read))
}

// R5: a follower that restarts forgets its leader, and votes while the lease
// lasts. So does nobody else remember one here. The new leader may be elected,
// and may store entries; but nothing is committed before the lease is over.
func TestScenarioR5RestartedFollowersElectInsideALease(t *testing.T) {
	c := newLeaseCluster(t, 3)
	c.restart(2)
	c.restart(3)
	c.cut = cutOff(1)
	last := c.now
	// Everything at once: the timers of 2 and 3 fire although no time passes.
	c.node(2).r.fireElectionTimer()
	c.after(c.node(2))
	c.settle()
	require.Equal(t, Leader, c.node(2).r.Role())
	require.Equal(t, last, c.now)
	committed := c.node(2).r.Commit()
	require.NoError(t, c.propose(2, "new"))
	c.settle()

	require.True(t, c.leased(1), "the lease is what it was")
	require.Equal(t, committed, c.node(2).r.Commit(), "and so nothing is committed")
	require.NoError(t, c.readIndex(2, 1))
	c.settle()
	require.Empty(t, c.node(2).reads, "nor is it known what is")

	c.run(testLease + testLease/clockDrift + 1)
	require.False(t, c.leased(1))
	require.Equal(t, c.node(2).r.Last(), c.node(2).r.Commit())
	require.Len(t, c.node(2).reads, 1)
}

// M33: where the clocks can tell that the lease is over, the new leader waits
// no longer: it knows when its newest entry of a prior term was created.
func TestDeferralEndsWithTheLease(t *testing.T) {
	const early, late = 60 * time.Millisecond, 70 * time.Millisecond // more than a heartbeat
	c := newLeaseCluster(t, 3)
	c.clocks[1].early, c.clocks[0].late = early, late
	c.renew(1)
	c.cut = cutOff(1)
	c.wait(testLease / 2)
	c.node(2).r.fireElectionTimer()
	c.after(c.node(2))
	c.settle()
	c.node(3).r.becomeFollower(c.node(3).r.term, 0) // it forgets
	c.node(2).r.fireElectionTimer()
	c.after(c.node(2))
	c.settle()
	r := c.node(2).r
	require.Equal(t, Leader, r.Role())
	require.Less(t, r.Commit(), r.leading.first)

	require.Equal(t, c.now.Add(testLease/2+early+late+1), r.leading.deferral.recheck)
	c.run(testLease/2 + early + late)
	require.Less(t, r.Commit(), r.leading.first)
	c.run(1)
	require.Equal(t, r.Last(), r.Commit(), "part of the deadline")
}

// An operator sees why proposals wait: for whom, and for how long at most.
func TestLeaderShowsThatItsCommitsAreDeferred(t *testing.T) {
	c := newLeaseCluster(t, 3)
	require.Zero(t, c.node(1).r.Status().CommitDeferred)
	c.restart(2)
	c.restart(3)
	c.cut = cutOff(1)
	r := c.node(2).r
	r.cfg.Events = true
	r.fireElectionTimer()
	c.after(c.node(2))
	c.settle()
	most := testLease + testLease/clockDrift + 1
	require.Equal(t, most, r.Status().CommitDeferred)
	require.Zero(t, c.node(3).r.Status().CommitDeferred, "a follower defers nothing")
	committed := r.Commit()

	c.run(testLease / 4)
	require.Equal(t, most-testLease/4, r.Status().CommitDeferred)
	c.run(testLease)
	require.Greater(t, r.Commit(), committed)
	require.Zero(t, r.Status().CommitDeferred)
	var deferrals []Event
	for _, e := range c.node(2).events {
		if e.Kind == EventCommitDeferred || e.Kind == EventCommitDeferralEnded {
			deferrals = append(deferrals, Event{Kind: e.Kind, Index: e.Index, Duration: e.Duration})
		}
	}
	require.Equal(t, []Event{
		{Kind: EventCommitDeferred, Index: committed, Duration: most},
		{Kind: EventCommitDeferralEnded, Index: r.Last(), Duration: most},
	}, deferrals)
}

// A leader whose followers' clocks know that all leases are over defers nothing.
func TestNothingIsDeferredLongAfterTheLastEntry(t *testing.T) {
	c := newLeaseCluster(t, 3)
	c.cut = cutOff(1)
	c.wait(testLease + 1)
	c.elect(2)
	require.Equal(t, c.node(2).r.Last(), c.node(2).r.Commit())
}

// R5, M32: no lease read once a transfer has begun; one that fails gives the
// lease back, since the successor would have waited for its end.
func TestScenarioR5LeaseReadDuringATransfer(t *testing.T) {
	c := newLeaseCluster(t, 3)
	read, ok := c.node(1).r.BeginLeaseRead(c.now)
	require.True(t, ok)
	c.cut = between(raftpb.TimeoutNow, 1, 2)
	require.NoError(t, c.transfer(1, 2))

	require.False(t, c.leased(1))
	require.False(t, c.node(1).r.LeaseReadValid(c.now, read))

	c.run(DefaultElectionTimeout)
	require.Equal(t, Leader, c.node(1).r.Role())
	require.True(t, c.leased(1))
}

// R5: a leader that nobody hears leads on for up to two election timeouts. Its
// lease does not.
func TestScenarioR5LeaseEndsBeforeTheLeaderStepsDown(t *testing.T) {
	c := newUnleasedCluster(t, 3)
	const lease = DefaultElectionTimeout / 4
	require.NoError(t, c.changeMembership(1, SetLease(lease)))
	c.settle()
	c.renew(1)
	c.cut = cutOff(1)
	c.run(lease)
	require.Equal(t, Leader, c.node(1).r.Role())
	require.False(t, c.leased(1))
}

// A leader's first lease is that of its own term's first commit: before it does
// not know what is committed.
func TestNoLeaseBeforeTheTermsFirstCommit(t *testing.T) {
	c := newLeaseCluster(t, 3)
	c.elect(2)
	require.Less(t, c.node(2).r.Commit(), c.node(2).r.leading.first)
	require.False(t, c.leased(2))
	c.run(testLease)
	require.Equal(t, c.node(2).r.Last(), c.node(2).r.Commit())
	c.renew(2)
	require.True(t, c.leased(2))
}

// A single voter has a lease as well, and waits for that of its earlier life,
// which it has forgotten: it may have been another node's.
func TestLeaseOfASingleVoter(t *testing.T) {
	c := newLeaseCluster(t, 1)
	require.True(t, c.leased(1))
	c.restart(1)
	c.elect(1)
	require.Less(t, c.node(1).r.Commit(), c.node(1).r.leading.first)
	c.run(testLease + testLease/clockDrift + 1)
	require.Equal(t, c.node(1).r.Last(), c.node(1).r.Commit())
	c.renew(1)
	require.True(t, c.leased(1))
}

// H17: a longer lease counts for reads once it is committed, a shorter one at
// once; for a successor a longer one counts at once, and a shorter one once it
// is known to be committed.
func TestScenarioH17UncommittedLeases(t *testing.T) {
	for _, c := range []struct {
		name              string
		next              time.Duration
		read, deferred    time.Duration // before the change is committed
		readAfter         time.Duration
		deferredUncertain time.Duration // by one that has the change, and does not know it to be committed
	}{
		{"longer", 3 * testLease, testLease, testLease, 3 * testLease, 3 * testLease},
		{"shorter", testLease / 4, testLease / 4, testLease, testLease / 4, testLease},
		{"off", 0, 0, testLease, 0, testLease},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLeaseCluster(t, 3)
			l.cut = func(m *Message) bool { return m.From == 2 && m.To == 1 || m.To == 3 || m.From == 3 }
			require.NoError(t, l.changeMembership(1, SetLease(c.next)))
			l.settle()
			one, two, three := l.node(1).r, l.node(2).r, l.node(3).r
			read, _ := one.members.leases(one.commit)
			_, with := two.members.leases(two.commit)
			_, without := three.members.leases(three.commit)
			require.Equal(t, uint64(c.read), read)
			require.Equal(t, uint64(c.deferredUncertain), with)
			require.Equal(t, uint64(c.deferred), without)

			l.cut = func(*Message) bool { return false }
			l.run(DefaultHeartbeatInterval)
			require.Equal(t, one.Last(), one.Commit())
			l.renew(1)
			read, _ = one.members.leases(one.commit)
			_, with = two.members.leases(two.commit)
			require.Equal(t, uint64(c.readAfter), read)
			require.Equal(t, uint64(c.next), with)
		})
	}
}

// H17: clocks that are never sure of the time, and entries without an interval:
// no lease read, and no commit that waits for good.
func TestScenarioH17ClocksThatAreNeverOK(t *testing.T) {
	c := newLeaseCluster(t, 3)
	for _, clock := range c.clocks {
		clock.off = true
	}
	c.renew(1)
	require.False(t, c.leased(1))
	require.Zero(t, c.node(1).disk.entry(c.node(1).disk.last()).Latest)
	c.cut = cutOff(1)

	c.elect(2)

	r := c.node(2).r
	require.Less(t, r.Commit(), r.leading.first)
	require.Equal(t, c.now.Add(testLease+testLease/64+1), r.leading.deferral.until)
	c.run(testLease)
	require.Less(t, r.Commit(), r.leading.first, "its own clock may run faster than true time")
	c.run(testLease/64 + 1)
	require.Equal(t, r.Last(), r.Commit())
}

// H17: an entry without an interval is not provably old, however good the
// clock is now. A clock that comes back ends a deferral that it can end.
func TestScenarioH17EntryWithoutAnInterval(t *testing.T) {
	c := newLeaseCluster(t, 3)
	c.clocks[0].off = true
	c.renew(1)
	c.cut = cutOff(1)
	c.wait(10 * testLease)
	c.elect(2)
	require.Less(t, c.node(2).r.Commit(), c.node(2).r.leading.first)
	c.run(testLease + testLease/64 + 1)
	require.Equal(t, c.node(2).r.Last(), c.node(2).r.Commit())

	c.cut = cutOff(2)
	c.clocks[2].off = true
	c.elect(3)
	require.Less(t, c.node(3).r.Commit(), c.node(3).r.leading.first)
	c.run(testLease / 2)
	c.clocks[2].off = false
	c.run(DefaultHeartbeatInterval)
	require.Equal(t, c.node(3).r.Last(), c.node(3).r.Commit())
}

// Rule 5: reads keep the lease going, with an entry for every half of it, and
// nothing is written where nobody reads.
func TestLeaseIsRenewedByReads(t *testing.T) {
	c := newLeaseCluster(t, 3)
	last := c.node(1).r.Last()
	c.run(10 * testLease)
	require.Equal(t, last, c.node(1).r.Last(), "nobody reads")
	require.False(t, c.leased(1))
	c.settle()

	for range 100 {
		require.True(t, c.leased(1))
		c.run(testLease / 10)
	}
	require.InDelta(t, 10*2, float64(c.node(1).r.Last()-last), 4)

	c.cut = cutOff(1)
	before := c.node(1).r.Last()
	c.wait(testLease / 10 * 8)
	for range 100 {
		c.leased(1)
	}
	require.LessOrEqual(t, c.node(1).r.Last(), before+1, "one entry under way is enough")
}

// Stamps do not decrease along a log, whatever the clocks of its leaders say;
// where they contradict each other there is none.
func TestStampsDoNotDecrease(t *testing.T) {
	const ms = time.Millisecond
	c := newLeaseCluster(t, 3)
	stamp := func() interval {
		c.renew(1)
		r := c.node(1).r
		return intervalOf(c.node(1).disk.entry(r.Last()))
	}
	first := stamp()
	require.Equal(t, interval{epoch + uint64(c.now), epoch + uint64(c.now)}, first)

	c.clocks[0].early, c.clocks[0].late = 10*ms, 20*ms
	second := stamp()
	require.Equal(t, interval{first.earliest, epoch + uint64(c.now) + uint64(20*ms)}, second)
	c.clocks[0].late = 0
	require.Equal(t, second, stamp())

	c.clocks[0].early, c.clocks[0].late = 500*ms, -400*ms
	require.Equal(t, interval{}, stamp(), "an earlier clock was ahead, or this one is behind")
	require.False(t, c.leased(1))
	last := c.node(1).r.Last()
	require.False(t, c.leased(1))
	require.Equal(t, last, c.node(1).r.Last(), "no renewal that could not be stamped")
}

// Without leases nobody looks at a clock, and entries hold no intervals.
func TestNoIntervalsWithoutLeases(t *testing.T) {
	c := newUnleasedCluster(t, 3)
	c.renew(1)
	require.False(t, c.leased(1))
	require.Zero(t, c.node(1).disk.entry(c.node(1).r.Last()).Latest)
	c.elect(2)
	require.Equal(t, c.node(2).r.Last(), c.node(2).r.Commit())
}

// What a proposer, or who forwards, says of the time is not taken over.
func TestStampsAreTheLeaders(t *testing.T) {
	c := newLoneCore(t, 1, 1, 1)
	c.tickAt(c.Deadline())
	c.persistAll()
	_, err := c.Propose(c.now, []Entry{{Earliest: 5, Latest: 6}})
	require.NoError(t, err)
	c.drain()
	require.Len(t, c.writes[len(c.writes)-1].Entries, 1)
	require.Zero(t, c.writes[len(c.writes)-1].Entries[0].Latest)
}

// The interval of the last entry survives in a snapshot, for a leader that
// begins with nothing else.
func TestSnapshotHoldsTheInterval(t *testing.T) {
	c := newLeaseCluster(t, 3)
	c.crash(3)
	c.renew(1)
	c.compact(1, 0)
	stamp := interval{epoch + uint64(c.now), epoch + uint64(c.now)}
	s := &c.node(1).disk.snapshot
	require.Equal(t, c.node(1).r.Last(), s.Index)
	require.Equal(t, stamp, interval{s.Earliest, s.Latest})

	c.start(3)
	c.run(DefaultHeartbeatInterval)
	require.Equal(t, s.Index, c.node(3).r.log.snapshot.index)
	require.Equal(t, stamp, c.node(3).r.log.stamp)
	require.True(t, c.node(3).r.log.stamped)
	c.restart(3)
	require.True(t, c.node(3).r.log.stamped)

	c.cut = cutOff(1)
	c.wait(testLease + 1)
	c.elect(3)
	require.Equal(t, c.node(3).r.Last(), c.node(3).r.Commit(), "it knows how old the snapshot is")
}

// A truncated suffix takes its stamps with it.
func TestTruncationForgetsTheStamp(t *testing.T) {
	c := newLoneCore(t, 3, 1)
	stamped := func(index Index, term Term, at uint64) Entry {
		e := testEntry(index, term)
		e.Earliest, e.Latest = at, at
		return e
	}
	m := appendFrom(2, 1, 0, 0, 0)
	m.Entries = []Entry{stamped(1, 1, 10), stamped(2, 1, 20)}
	c.receive(m)
	require.Equal(t, interval{20, 20}, c.log.stamp)

	m = appendFrom(3, 2, 1, 1, 0)
	m.Entries = []Entry{testEntry(2, 2)}
	c.receive(m)
	require.Equal(t, interval{10, 10}, c.log.stamp)
	require.False(t, c.log.stamped, "the last entry has none")
}

// Intervals that no clock has are refused.
func TestMalformedIntervals(t *testing.T) {
	for _, bad := range []interval{{2, 1}, {0, maxClockTime + 1}, {1 << 63, 1 << 63}} {
		c := newLoneCore(t, 3, 1)
		m := appendFrom(2, 1, 0, 0, 0, testEntry(1, 1))
		m.Entries[0].Earliest, m.Entries[0].Latest = bad.earliest, bad.latest
		require.ErrorIs(t, c.try(m), ErrMalformed)

		s := Snapshot{Index: 3, Term: 1, Membership: founding(3), Earliest: bad.earliest, Latest: bad.latest}
		require.ErrorIs(t, c.try(Message{Type: raftpb.InstallSnapshot, From: 2, Term: 1, Snapshot: &s}), ErrMalformed)

		_, err := New(DefaultCoreConfig(1, zeroRandom{}), State{HardState: HardState{Term: 1}, Snapshot: s}, 0)
		require.ErrorIs(t, err, ErrInvalidState)

		clock := fixedClock(bad)
		c.cfg.Clock = &clock
		require.Equal(t, interval{}, c.readClock())
	}
}

type fixedClock interval

func (c *fixedClock) Now() (uint64, uint64, bool) { return c.earliest, c.latest, true }

// SetLease is a change of the membership like others.
func TestSetLease(t *testing.T) {
	c := newUnleasedCluster(t, 3)
	var refused *MembershipError
	for _, changes := range [][]Change{
		{SetLease(-1)}, {SetLease(MaxLease + 1)}, {SetLease(0)}, {SetLease(1), SetLease(2)},
	} {
		require.ErrorAs(t, c.changeMembership(1, changes...), &refused)
		require.Zero(t, refused.Node)
	}
	require.NoError(t, c.changeMembership(1, SetLease(MaxLease)))
	c.settle()
	require.Equal(t, uint64(MaxLease), c.node(3).r.Status().Membership.Lease)

	// It lasts through a joint membership, and beyond it.
	require.NoError(t, c.changeMembership(1, Demote(3), SetLease(testLease)))
	c.settle()
	m := c.node(2).r.Status().Membership
	require.Equal(t, uint64(testLease), m.Lease)
	require.Equal(t, []NodeID{1, 2}, votersOf(c.node(2).r))
	for _, at := range c.node(2).r.members.history {
		require.NotZero(t, at.Membership.Lease)
	}
	m.Lease = uint64(MaxLease) + 1
	require.ErrorContains(t, checkMembership(&m), "leases")
}

// H17: a lease read goes by the shorter of the leases that are not known to be
// replaced, from its begin to its end.
func TestScenarioH17ReadsGoByTheShorterLease(t *testing.T) {
	for _, next := range []time.Duration{testLease / 4, 4 * testLease} {
		c := newLeaseCluster(t, 3)
		c.wait(min(testLease, next) + 1) // older than the shorter one, not than the longer
		c.cut = cutOff(1)
		require.NoError(t, c.changeMembership(1, SetLease(next)))
		r := c.node(1).r
		_, ok := r.BeginLeaseRead(c.now)
		require.False(t, ok)
		require.False(t, r.LeaseReadValid(c.now, LeaseRead{Index: r.Commit(), term: r.term}))
	}
}

// H17: a successor waits by the longer of the leases that are not known to be
// replaced: its predecessor may not know of the change either.
func TestScenarioH17SuccessorGoesByTheLongerLease(t *testing.T) {
	c := newLeaseCluster(t, 3)
	for _, clock := range c.clocks {
		clock.off = true
	}
	c.cut = func(m *Message) bool { return m.To == 1 } // nobody learns of its commit
	require.NoError(t, c.changeMembership(1, SetLease(testLease/4)))
	c.settle()
	c.cut = cutOff(1)
	c.elect(2)
	c.run(testLease)
	require.Less(t, c.node(2).r.Commit(), c.node(2).r.leading.first)
	c.run(testLease/64 + 1)
	require.Equal(t, c.node(2).r.Last(), c.node(2).r.Commit())
}

package raft

import "time"

// Lease reads, after "LeaseGuard: Raft Leases Done Right" (Davis, Demirbas,
// Deng, SIGMOD 2026). The log is the lease: there is no message for it, and
// elections are as they were. Each entry holds the interval in which its leader
// took the time to be when it created it. Let Δ be the lease's length, which is
// part of the membership.
//
//   - A lease read rests on the committed entry x at the leader's commit index:
//     x.Earliest + Δ is later than now, for certain.
//   - A leader commits nothing before the newest entry b that it found in its
//     log is older than Δ, for certain: b.Latest + Δ is earlier than now.
//
// Any later leader has x in its log, by leader completeness, and b is x or was
// created after it. So when the later leader commits, and only then can
// anything be acknowledged that a reader on the old one misses, x is older than
// Δ, and the old leader knows: whatever it reads after that is not validated.

// Clock tells the time with bounds of its error. Lease reads rest on them, and
// nothing else does: true time is the same for all nodes of a group, and must
// be between the two whenever Now is called. Where that cannot be promised, for
// instance while nobody has compared the clock with others for too long, ok is
// false: then there are no lease reads, and all else goes on.
//
// A leader with a wrong clock may serve reads that miss what another one has
// acknowledged. So may one whose successor's clock is wrong.
type Clock interface {
	// Now returns the earliest and the latest time that it may be, in
	// nanoseconds since the Unix epoch. It is called with the replica's lock
	// held, must not wait, and need not be safe for concurrent use by one
	// replica.
	Now() (earliest, latest uint64, ok bool)
}

// MaxLease is the longest lease, see SetLease.
const MaxLease = time.Hour

// maxClockTime is the latest time that an interval may hold: sums with MaxLease
// do not overflow.
const maxClockTime = 1 << 62

// clockDrift says how much faster than true time the host's monotonic clock may
// run, the one that stamps the core's inputs: by a 64th. Where no Clock can tell
// that a predecessor's lease has ended, this one does. It may be slower, and may
// stand still while the machine is suspended: then commits wait for longer.
const clockDrift = 64

// interval is a reading of a Clock. The zero interval is none.
type interval struct {
	earliest, latest uint64
}

func (i interval) known() bool { return i.latest != 0 }

func intervalOf(e *Entry) interval { return interval{e.Earliest, e.Latest} }

// validInterval reports whether e may be what an entry or a snapshot holds.
func validInterval(earliest, latest uint64) bool {
	return earliest <= latest && latest <= maxClockTime
}

// readClock returns the time, the zero interval if it is not known.
func (r *Raft) readClock() interval {
	if r.cfg.Clock == nil {
		return interval{}
	}
	earliest, latest, ok := r.cfg.Clock.Now()
	if !ok || !validInterval(earliest, latest) {
		return interval{}
	}
	return interval{earliest, latest}
}

// creationTime returns the time for entries that this leader is about to
// create: none where there are no leases.
func (r *Raft) creationTime() interval {
	if _, longest := r.members.leases(r.commit); longest == 0 {
		return interval{}
	}
	return r.readClock()
}

// stampAt returns the interval for an entry that is created at now. Along the log
// stamps do not decrease. Where the entry before it would have been created
// later than now, one of the two clocks is wrong: then there is none.
func (l *raftLog) stampAt(now interval) interval {
	before := l.stamp
	if !now.known() || before.earliest > now.latest {
		return interval{}
	}
	return interval{max(now.earliest, before.earliest), max(now.latest, before.latest)}
}

// leases returns the shortest and the longest Δ of the memberships from the
// last one known to be committed on. A read goes by the shortest: a successor
// may lack what is not committed. Deferral goes by the longest: a predecessor
// may have had any of them.
func (s *membershipState) leases(commit Index) (shortest, longest uint64) {
	shortest = s.latest().Membership.Lease
	for i := len(s.history) - 1; i >= 0; i-- {
		lease := s.history[i].Membership.Lease
		shortest, longest = min(shortest, lease), max(longest, lease)
		if s.history[i].Index <= commit {
			break
		}
	}
	return shortest, longest
}

// deferral is what a new leader waits for before it commits: that no lease of
// a predecessor is left.
type deferral struct {
	lease   uint64  // Δ; 0: nothing to wait for, or no more
	latest  uint64  // of the newest entry of an earlier term; 0: not known
	until   Instant // the end of it, whatever the clocks say
	recheck Instant // when to ask them again
}

// recheckInterval is the least time between two looks at the clock that are
// made for their own sake.
const recheckInterval = time.Millisecond

// deferCommits begins a deferral. All entries of earlier terms are older than
// this election, so that it ends, at the latest, Δ after it.
func (r *Raft) deferCommits() {
	_, lease := r.members.leases(r.commit)
	if lease == 0 || r.log.last == 0 {
		return
	}
	d := &r.leading.deferral
	d.lease, d.until = lease, r.now.Add(localLease(lease))
	if r.log.stamped {
		d.latest = r.log.stamp.latest
	}
	d.recheck = d.until
	r.mayCommit()
}

// localLease is how long Δ may last on the host's monotonic clock.
func localLease(lease uint64) time.Duration {
	return time.Duration(lease + lease/clockDrift + 1)
}

// mayCommit reports whether no lease of an earlier leader's can be left. Once
// that is so it remains so.
func (r *Raft) mayCommit() bool {
	d := &r.leading.deferral
	if d.lease == 0 {
		return true
	}
	if r.now >= d.until {
		d.lease = 0
		return true
	}
	if d.latest == 0 {
		return false
	}
	now := r.readClock()
	if !now.known() {
		d.recheck = min(d.until, r.now.Add(r.cfg.HeartbeatInterval))
		return false
	}
	end := d.latest + d.lease
	if end < now.earliest {
		d.lease = 0
		return true
	}
	d.recheck = min(d.until, r.now.Add(max(time.Duration(end-now.earliest+1), recheckInterval)))
	return false
}

// commitDeferred is for how much longer a deferral may last, 0 if there is none.
func (r *Raft) commitDeferred() time.Duration {
	if d := &r.leading.deferral; d.lease != 0 {
		return max(0, time.Duration(d.until-r.now))
	}
	return 0
}

// deferralDeadline is when a leader that may not commit yet asks again.
func (r *Raft) deferralDeadline() Instant {
	d := &r.leading.deferral
	if d.lease == 0 {
		return Never
	}
	return d.recheck
}

// LeaseRead is a read that rests on a leader's lease, see Raft.BeginLeaseRead.
type LeaseRead struct {
	// Index is what the state machine must have applied before it is read.
	Index Index
	term  Term
}

// BeginLeaseRead begins a linearizable read without a message: on a leader
// with a valid lease it returns true. Then read the state machine as soon as it
// has applied the read's Index, and after that ask LeaseReadValid: only if it
// says so is what was read linearizable. With false, or if it says no, use
// ReadIndex.
//
// It is what keeps leases going: where the newest entry is older than half a
// lease it appends an empty one, so that reads which come more often than that
// find a lease. A group in which nobody asks writes nothing for it.
//
// There are no leases before SetLease, without CoreConfig.Clock, while that one
// is not sure of the time, on a leader that has not committed an entry of its
// own term, and during a transfer of leadership.
func (r *Raft) BeginLeaseRead(at Instant) (LeaseRead, bool) {
	r.advance(at)
	if !r.mayLease() {
		return LeaseRead{}, false
	}
	lease, _ := r.members.leases(r.commit)
	now := r.readClock()
	if lease == 0 || !now.known() {
		return LeaseRead{}, false
	}
	r.renewLease(lease, now)
	return LeaseRead{Index: r.commit, term: r.term}, r.leaseLasts(lease, now)
}

// renewLease appends an empty entry if the newest one is older than half a
// lease. Not if it could not be stamped: then it would be in vain.
func (r *Raft) renewLease(lease uint64, now interval) {
	newest := &r.log.stamp
	fresh := r.log.stamped && newest.earliest+lease/2 >= now.latest
	if !fresh && newest.earliest <= now.latest && !r.overloaded(entryOverhead) {
		r.appendAt([]Entry{{Type: EntryEmpty}}, now)
	}
}

// LeaseReadValid reports whether what a read saw, that is over now, was
// linearizable: the lease has lasted until after it.
func (r *Raft) LeaseReadValid(at Instant, read LeaseRead) bool {
	r.advance(at)
	return read.term == r.term && read.Index <= r.applied && r.leased()
}

// leased reports whether this replica has a lease now.
func (r *Raft) leased() bool {
	lease, _ := r.members.leases(r.commit)
	return r.mayLease() && r.leaseLasts(lease, r.readClock())
}

// mayLease reports whether this replica leads in a state in which it may have a
// lease. It must know what is committed, as for any read (§8). One that
// transfers its leadership, or is about to step down, serves no lease read: so a
// lease is given up before anybody is asked to take over.
func (r *Raft) mayLease() bool {
	l := r.leading
	return r.err == nil && r.role == Leader && r.commit >= l.first && l.transferee == 0 && !l.resigning
}

// leaseLasts reports whether the entry at the commit index is younger than
// lease, for certain.
func (r *Raft) leaseLasts(lease uint64, now interval) bool {
	from := r.leading.lease
	return now.known() && from.known() && from.earliest+lease > now.latest
}

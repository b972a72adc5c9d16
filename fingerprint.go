package raft

import (
	"math/bits"
	"slices"
	"strconv"
	"time"
)

// fingerprint writes down all that decides what a core does from an instant
// on, in one form: two cores with the same fingerprint behave alike. What it
// leaves out, and why, is in a list that a test compares with the fields that
// there are. It keeps what a role does not look at, such as the progress of
// peers on a follower: a core that does look at it is wrong, and a model
// checker that took such states for the same would not find out.
type fingerprint struct {
	b      []byte
	at     Instant
	rename []NodeID // by id, see bridge.Fingerprint
	// persisted is the newest durable write: sequences count from it.
	persisted uint64
}

func (f *fingerprint) core(r *Raft) {
	f.persisted = r.writes.persisted
	f.node(r.cfg.ID)
	f.flag(r.err != nil)
	f.number(uint64(r.term))
	f.node(r.votedFor)
	f.flag(r.unmarked)
	f.number(r.mark, r.readSalt, uint64(r.loaded), uint64(r.commit), uint64(r.applied), uint64(r.role))
	f.node(r.leader)
	f.log(&r.log)
	f.number(uint64(len(r.members.history)))
	for i := range r.members.history {
		f.number(uint64(r.members.history[i].Index))
		f.membership(&r.members.history[i].Membership)
	}
	f.flag(r.members.selfVoter)
	f.flag(r.members.selfOutgoing)
	f.flag(r.members.removed)
	f.unordered(len(r.peers), func(i int) { f.peer(r, &r.peers[i]) })
	f.writes(&r.writes, r.cfg.ElectionTimeout)
	f.unordered(len(r.held), func(i int) {
		f.sequence(r.held[i].seq)
		f.number(uint64(r.held[i].term))
		f.message(&r.held[i].m)
	})
	f.apply(&r.apply)
	f.election(r)
	f.following(&r.following)
	f.flag(r.leading != nil)
	if r.leading != nil {
		f.leading(r, r.leading)
	}
	f.outputs(r)
}

func (f *fingerprint) log(l *raftLog) {
	f.number(uint64(l.base), uint64(l.baseTerm), uint64(l.last), uint64(len(l.runs)))
	for _, run := range l.runs {
		f.number(uint64(run.First), uint64(run.Term))
	}
	f.number(uint64(l.snapshot.index), uint64(l.snapshot.term))
	f.interval(l.snapshot.stamp)
	f.number(uint64(l.window.first))
	f.entries(l.window.entries[l.window.head:l.window.tail])
	f.interval(l.stamp)
	f.flag(l.stamped)
}

func (f *fingerprint) peer(r *Raft, p *progress) {
	f.node(p.id)
	f.number(uint64(p.vote), uint64(p.state))
	for _, flag := range []bool{p.voter, p.outgoing, p.marked, p.paused, p.notify, p.heartbeat, p.misfit, p.asked, p.unheard} {
		f.flag(flag)
	}
	f.number(uint64(p.match), uint64(p.next), uint64(p.verified), p.mark, uint64(p.unmark), p.round)
	f.since(p.contact, r.cfg.ElectionTimeout)
	f.since(p.sent, r.cfg.HeartbeatInterval)
	// The depth of a pipeline counts by its powers of two. Depths between two of
	// them differ only for more messages than a model checker's bounds allow.
	f.number(p.sentRound, p.resume, uint64(p.reading), uint64(p.snapshot), p.window, p.bytes, uint64(bits.Len(uint(p.depth))), uint64(len(p.inFlight)))
	for _, flight := range p.inFlight {
		f.number(uint64(flight.last), flight.bytes)
	}
}

func (f *fingerprint) writes(w *writePipeline, timeout time.Duration) {
	f.sequence(w.drained)
	f.sequence(w.hardState)
	f.number(uint64(len(w.inFlight)))
	for _, p := range w.inFlight {
		f.sequence(p.seq)
		f.number(uint64(p.first))
		f.since(p.since, timeout)
	}
	f.sequence(w.gathering.seq)
	f.number(uint64(w.gathering.first), uint64(w.entries))
	f.optionalSnapshot(w.snapshot)
}

func (f *fingerprint) apply(a *applyState) {
	f.number(uint64(a.handedOut), uint64(a.reading))
	f.interval(a.stamp)
	f.flag(a.fetched)
	if a.fetched {
		f.entries(a.batch)
	}
	f.optionalSnapshot(a.restoring)
	f.flag(a.restoreDue)
}

func (f *fingerprint) election(r *Raft) {
	e := &r.election
	f.until(e.deadline)
	f.until(e.patience)
	f.since(e.heard, r.cfg.ElectionTimeout)
	f.number(uint64(e.ownVote))
	f.sequence(e.ownVoteSeq)
}

func (f *fingerprint) following(s *followerState) {
	f.number(uint64(s.term), uint64(s.verified), s.round, uint64(s.acknowledged))
	f.flag(s.ackNow)
	f.flag(s.ackWaiting)
	f.flag(s.windowClosed)
}

func (f *fingerprint) leading(r *Raft, l *leaderState) {
	f.number(uint64(l.first), l.round, uint64(len(l.reads)))
	f.until(l.heartbeat)
	for _, read := range l.reads {
		f.number(read.id, read.round, uint64(read.index))
		f.node(read.from)
	}
	f.unordered(len(l.promotions), func(i int) {
		p := &l.promotions[i]
		f.node(p.id)
		f.number(uint64(p.target))
		f.since(p.since, r.cfg.ElectionTimeout)
		f.flag(p.done)
	})
	f.unordered(len(l.departures), func(i int) {
		d := &l.departures[i]
		f.node(d.id)
		f.number(uint64(d.removal), d.round)
		f.until(d.until)
	})
	f.node(l.transferee)
	f.until(l.transferUntil)
	f.flag(l.handedOver)
	f.node(l.yielding.to)
	if l.yielding.to != 0 {
		f.since(l.yielding.since, patience*r.cfg.ElectionTimeout)
	}
	f.until(l.yielding.notBefore)
	f.number(uint64(l.yielding.attempts))
	f.flag(l.resigning)
	f.flag(l.dispensable != Never)
	if l.dispensable != Never {
		f.since(l.dispensable, r.cfg.HeartbeatInterval)
	}
	f.number(l.deferral.lease, l.deferral.latest)
	f.until(l.deferral.until)
	f.until(l.deferral.recheck)
	f.interval(l.lease)
}

func (f *fingerprint) interval(i interval) { f.number(i.earliest, i.latest) }

// outputs are what the next Ready hands over. Events are not among them: they
// decide nothing.
func (f *fingerprint) outputs(r *Raft) {
	f.unordered(len(r.messages), func(i int) { f.message(&r.messages[i]) })
	f.unordered(len(r.logReads), func(i int) {
		q := &r.logReads[i]
		f.node(q.Peer)
		f.number(uint64(q.Term), uint64(q.Lo), uint64(q.Hi), uint64(q.MaxBytes))
	})
	f.unordered(len(r.snapshots), func(i int) { f.message(&r.snapshots[i].Message) })
	f.unordered(len(r.reads), func(i int) {
		f.number(r.reads[i].ID, uint64(r.reads[i].Index))
		f.flag(r.reads[i].OK)
	})
}

func (f *fingerprint) message(m *Message) {
	f.number(uint64(m.Type), uint64(m.Group))
	f.node(m.From)
	f.node(m.To)
	for _, flag := range []bool{m.Reject, m.Marked, m.Transfer} {
		f.flag(flag)
	}
	f.number(uint64(m.Term), uint64(m.Index), uint64(m.LogTerm), uint64(m.Commit), m.Round, uint64(m.Match),
		uint64(m.Verified), m.Window, m.Context, uint64(m.Unmark))
	f.entries(m.Entries)
	f.optionalSnapshot(m.Snapshot)
}

func (f *fingerprint) entries(entries []Entry) {
	f.number(uint64(len(entries)))
	for i := range entries {
		e := &entries[i]
		f.number(uint64(e.Term), uint64(e.Index), uint64(e.Type), e.Origin.Incarnation, e.Origin.Sequence,
			e.Earliest, e.Latest, uint64(e.Checksum))
		f.node(e.Origin.Node)
		if e.Type == EntryMembership {
			if m, err := decodeMembership(e.Data); err == nil {
				f.membership(&m)
				continue
			}
		}
		f.number(uint64(len(e.Data)))
		f.b = append(f.b, e.Data...)
	}
}

func (f *fingerprint) optionalSnapshot(s *Snapshot) {
	f.flag(s != nil)
	if s != nil {
		f.snapshot(s)
	}
}

func (f *fingerprint) snapshot(s *Snapshot) {
	f.number(uint64(s.Index), uint64(s.Term), uint64(s.MembershipIndex), s.Size, uint64(s.Checksum), s.Earliest, s.Latest)
	f.membership(&s.Membership)
}

func (f *fingerprint) membership(m *Membership) {
	f.number(m.Lease)
	f.unordered(len(m.Members), func(i int) {
		member := &m.Members[i]
		f.node(member.ID)
		f.flag(member.Voter)
		f.flag(member.Outgoing)
		f.flag(member.Leaving)
		f.number(uint64(member.Intent), uint64(member.Priority))
		f.address(member.Address)
	})
}

// address takes one that is a node's id, in decimal, for that node's.
func (f *fingerprint) address(a string) {
	if id, err := strconv.ParseUint(a, 10, 64); err == nil && id < uint64(len(f.rename)) {
		a = strconv.FormatUint(uint64(f.rename[id]), 10)
	}
	f.number(uint64(len(a)))
	f.b = append(f.b, a...)
}

// unordered writes down n things whose order does not matter.
func (f *fingerprint) unordered(n int, write func(i int)) {
	b, each := f.b, make([][]byte, n)
	for i := range n {
		f.b = nil
		write(i)
		each[i] = f.b
	}
	slices.SortFunc(each, slices.Compare[[]byte])
	f.b = b
	f.number(uint64(n))
	for _, e := range each {
		f.b = append(f.b, e...)
	}
}

// number keeps small numbers small: most are.
func (f *fingerprint) number(values ...uint64) {
	for _, v := range values {
		for v >= 0x80 {
			f.b = append(f.b, byte(v)|0x80)
			v >>= 7
		}
		f.b = append(f.b, byte(v))
	}
}

func (f *fingerprint) flag(v bool) {
	if v {
		f.b = append(f.b, 1)
	} else {
		f.b = append(f.b, 0)
	}
}

func (f *fingerprint) node(id NodeID) {
	if id < NodeID(len(f.rename)) {
		id = f.rename[id]
	}
	f.number(uint64(id))
}

// sequence counts a write's sequence from the newest durable one: to be
// durable is all that matters of a durable write.
func (f *fingerprint) sequence(seq uint64) { f.number(max(seq, f.persisted) - f.persisted) }

// since is how long ago t was, at most limit: beyond that nobody asks.
func (f *fingerprint) since(t Instant, limit time.Duration) {
	f.number(uint64(min(max(f.at-t, 0), Instant(limit))))
}

// until is how far away t is. What is due is due, however long.
func (f *fingerprint) until(t Instant) { f.number(uint64(max(t-f.at, 0))) }

package raft

import (
	"fmt"

	"github.com/seed-6281cb22/raft/raftpb"
)

// needSnapshot asks the host to send p a snapshot, since p needs entries that
// the log no longer holds (§7).
func (r *Raft) needSnapshot(p *progress) {
	p.state = sendingSnapshot
	p.snapshot = r.log.snapshot.index // it will be this one or a newer one
	r.snapshots = append(r.snapshots, SendSnapshot{Message: Message{
		Type: raftpb.InstallSnapshot, Group: r.cfg.Group, From: r.cfg.ID, To: p.id, Term: r.term,
	}})
}

// SnapshotSent says how sending one of Ready.Snapshots ended: index is that of
// the snapshot that was sent, err is nil if the receiver has accepted it.
func (r *Raft) SnapshotSent(now Instant, peer NodeID, index Index, err error) {
	r.advance(now)
	p := r.peer(peer)
	if r.role != Leader || p == nil || p.state != sendingSnapshot {
		return
	}
	if err != nil || index > r.log.last {
		p.probe(p.match + 1)
		r.pause(p) // and try again when it is there
		return
	}
	p.probe(index + 1)
}

// catchUpPatience is how many election timeouts a leader keeps entries for a
// follower that it does not hear from.
const catchUpPatience = 10

// Compactable returns up to where, at most through, the log may be compacted
// without taking what comes next from a follower that is being sent a snapshot,
// or that has not caught up with the log since. Otherwise one that takes longer
// to receive a snapshot than the leader takes to come to the next would be sent
// one after another for ever (scenario L15). Who was not heard from for 10
// election timeouts is not waited for.
//
// It is advice, for a leader (elsewhere it is through itself): how much of the
// log that is worth is for the host to decide.
func (r *Raft) Compactable(now Instant, through Index) Index {
	r.advance(now)
	if r.role != Leader {
		return through
	}
	for i := range r.peers {
		p := &r.peers[i]
		if p.snapshot != 0 && r.now < p.contact.Add(catchUpPatience*r.cfg.ElectionTimeout) {
			through = min(through, max(p.match, p.snapshot))
		}
	}
	return through
}

// handleInstallSnapshot accepts a snapshot whose data the host has received
// and committed in its storage (figure 13).
func (r *Raft) handleInstallSnapshot(m *Message) error {
	if r.role == Leader || r.leader != 0 && r.leader != m.From {
		return r.malformed(m, "node %d leads term %d already", r.leader, r.term)
	}
	r.heardFromLeader(m.From)
	f, s := &r.following, m.Snapshot
	if term, known := r.log.term(s.Index); s.Index <= r.commit || known && term == s.Term && s.Index <= r.log.last {
		// "If existing log entry has same index and term as snapshot's last
		// included entry, retain log entries following it and reply": it
		// says no more than that the log is right and committed up to there.
		f.verified = max(f.verified, s.Index, r.commit)
		f.verified = min(f.verified, r.log.last)
		r.setCommit(min(s.Index, r.log.last))
	} else {
		r.installSnapshot(s.Clone())
	}
	f.ackWaiting = f.ackWaiting || f.verified > r.durable()
	r.replySnapshot()
	return nil
}

// installSnapshot replaces the log. It is acknowledged, and restored, when the
// write that says so is durable.
func (r *Raft) installSnapshot(s Snapshot) {
	r.writes.touchSnapshot(&s, r.commit)
	r.log.reset(&s)
	r.members.reset(s, nil)
	r.membershipChanged()
	r.setCommit(s.Index)
	r.following.verified = s.Index
	r.apply.restore(s)
	r.event(Event{Kind: EventSnapshotAccepted, Index: s.Index})
}

// replySnapshot tells the leader how far this replica is. If the snapshot is
// not durable yet, that is not far; an AppendEntriesReply follows when it is.
func (r *Raft) replySnapshot() {
	f := &r.following
	index := min(r.durable(), f.verified)
	f.acknowledged = max(f.acknowledged, index)
	r.send(&Message{
		Type: raftpb.InstallSnapshotReply, To: r.leader, Index: index, Verified: f.verified, Marked: !r.unmarked,
	})
}

func (r *Raft) handleInstallSnapshotReply(m *Message) error {
	p, err := r.replyFrom(m)
	if p == nil || err != nil || m.Reject {
		return err
	}
	if m.Verified > r.log.last || m.Index > m.Verified {
		return r.malformed(m, "durable %d, verified %d", m.Index, m.Verified)
	}
	if !r.heardMark(p, m) {
		return nil
	}
	p.contact = r.now
	p.verified = max(p.verified, m.Verified)
	r.matched(p, m.Index)
	return nil
}

// SnapshotAt returns the metadata, all but Size and Checksum, of a snapshot of
// a state machine that has applied exactly index. The error is ErrCompacted
// when the log does not know index's term. To have the entry's clock interval
// as well, ask before the Ready that follows Applied: where it is unknown,
// whoever begins to lead from the snapshot waits longer for leases to end.
func (r *Raft) SnapshotAt(index Index) (Snapshot, error) {
	term, known := r.log.term(index)
	if index == 0 || index > r.applied || !known {
		return Snapshot{}, fmt.Errorf("%w: snapshot at %d, applied %d", ErrCompacted, index, r.applied)
	}
	m := r.members.committed(index)
	if m.Index > index {
		return Snapshot{}, fmt.Errorf("%w: the membership at %d", ErrCompacted, index)
	}
	s := Snapshot{Index: index, Term: term, Membership: m.Membership.Clone(), MembershipIndex: m.Index}
	if index == r.apply.handedOut {
		s.Earliest, s.Latest = r.apply.stamp.earliest, r.apply.stamp.latest
	}
	return s, nil
}

// Compacted says that a local snapshot is committed in the storage, and that
// the log up to and including through, which it covers, will not be asked for
// any more: call it before Storage.Compact. What would go beyond what is
// applied and committed, or the snapshot, is not taken.
func (r *Raft) Compacted(now Instant, snapshot Snapshot, through Index) {
	r.advance(now)
	if r.err != nil || snapshot.Index > min(r.applied, r.commit) || through > snapshot.Index {
		return
	}
	if snapshot.Index > r.log.snapshot.index {
		r.log.snapshot = endOf(&snapshot)
	}
	r.log.compact(through)
}

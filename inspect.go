package raft

import "github.com/seed-6281cb22/raft/internal/bridge"

func init() {
	bridge.Inspect = func(core any, v *bridge.View) { inspect(core.(*Raft), v) }
	bridge.Leased = func(core any) bool { return core.(*Raft).leased() }
	bridge.TermAt = func(core any, i Index) (Term, bool) { return core.(*Raft).log.term(i) }
}

// inspect fills v for the checks of invariants. It runs after every step of a
// simulation.
func inspect(r *Raft, v *bridge.View) {
	v.ID, v.Stopped = r.cfg.ID, r.err != nil
	v.Now, v.Deadline = int64(r.now), int64(r.Deadline())
	v.Role, v.Term, v.Vote, v.Leader = bridge.Role(r.role), r.term, r.votedFor, r.leader
	v.Unmarked, v.HardStateDurable = r.unmarked, r.hardStateDurable()

	v.Commit, v.Applied, v.Base, v.Last = r.commit, r.applied, r.log.base, r.log.last
	v.LastTerm, v.Durable = r.log.lastTerm(), r.durable()
	v.SnapshotIndex, v.SnapshotTerm = r.log.snapshot.index, r.log.snapshot.term
	v.Verified, v.Acknowledged = 0, 0
	if r.following.term == r.term {
		v.Verified, v.Acknowledged = r.following.verified, r.following.acknowledged
	}

	v.WindowFirst, v.WindowBytes = r.log.window.first, r.log.window.bytes(0, r.log.last)
	v.Held, v.InFlightWrites = len(r.held), len(r.writes.inFlight)
	v.MaxEntryBytes, v.MaxMessageBytes, v.MaxWindowBytes = r.cfg.MaxEntryBytes, r.cfg.MaxMessageBytes, r.cfg.MaxWindowBytes
	v.MaxUncommittedBytes, v.MaxApplyBytes = r.cfg.MaxUncommittedBytes, r.cfg.MaxApplyBytes
	v.MaxInFlight, v.MaxPendingReads = maxInFlight, maxPendingReads

	latest := r.members.latest()
	v.Membership, v.MembershipIndex, v.Removed = &latest.Membership, latest.Index, r.members.removed
	committed := r.members.committed(r.commit)
	v.Committed, v.CommittedIndex = &committed.Membership, committed.Index
	inspectPeers(r, v)
}

func inspectPeers(r *Raft, v *bridge.View) {
	v.First, v.Round, v.UncommittedBytes, v.PendingReads = 0, r.following.round, 0, 0
	if r.role == Leader {
		v.First, v.Round, v.UncommittedBytes, v.PendingReads = r.leading.first, r.leading.round, r.uncommitted(), len(r.leading.reads)
	}
	if cap(v.Peers) < len(r.peers) {
		v.Peers = make([]bridge.Peer, len(r.peers))
	}
	v.Peers = v.Peers[:len(r.peers)]
	for i := range r.peers {
		p, q := &r.peers[i], &v.Peers[i]
		q.ID, q.Voter, q.Outgoing, q.Marked, q.State = p.id, p.voter, p.outgoing, p.marked, bridge.PeerState(p.state)
		q.Match, q.Next, q.Verified, q.Round = p.match, p.next, p.verified, p.round
		q.Window, q.InFlight, q.InFlightBytes = p.window, len(p.inFlight), p.bytes
	}
}

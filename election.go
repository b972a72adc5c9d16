package raft

import (
	"github.com/seed-6281cb22/raft/internal/quorum"
	"github.com/seed-6281cb22/raft/raftpb"
)

// electionState is what a replica needs to follow and to win elections.
type electionState struct {
	deadline   Instant // when to campaign, unless a leader is heard from before
	heard      Instant // when the current leader was heard from
	patience   Instant // until when silence proves nothing, see excuse
	ownVote    quorum.Vote
	ownVoteSeq uint64 // the write that makes the own vote durable
}

func (r *Raft) resetElectionTimer() {
	r.election.deadline = r.now.Add(r.randomTimeout())
}

// silence is when this replica takes it for proven, unless it hears otherwise
// before, that it has lost a quorum, or its disk, if it leads, else its leader.
func (r *Raft) silence() Instant {
	at := r.election.deadline
	if r.role == Leader {
		at = min(r.quorumContact().Add(r.cfg.ElectionTimeout), r.blocking())
	}
	return max(at, r.election.patience)
}

// excuse is for a host that was kept from its work, as by a pause of its process:
// what it did not hear meanwhile may only be unread, or come from others who
// were kept from theirs. Until then silence proves nothing: this replica neither
// campaigns nor steps down because of it, nor helps others to depose a leader.
// Nothing that a lease rests on becomes shorter by that.
func (r *Raft) excuse(until Instant) { r.election.patience = max(r.election.patience, until) }

func (r *Raft) resetVotes() {
	r.election.ownVote = quorum.Open
	for i := range r.peers {
		r.peers[i].vote = quorum.Open
	}
}

// heardFromLeader: the election timer restarts with every AppendEntries from
// the current leader (§5.2).
func (r *Raft) heardFromLeader(leader NodeID) {
	if r.role != Follower || r.leader != leader {
		r.becomeFollower(r.term, leader)
	}
	r.election.heard = r.now
	r.resetElectionTimer()
	r.rest()
}

// founder reports whether this replica has held nothing but Bootstrap: it is
// marked, since it cannot know that it is not a wiped one, and yet may take
// part in founding the cluster.
func (r *Raft) founder() bool {
	return !r.unmarked && r.votedFor == 0 && r.log.last == 0 && len(r.members.latest().Membership.Members) > 0
}

// mayCampaign reports whether this replica may try to become leader: it is a
// voter in its latest or in its last known-committed membership (else, with
// {1,2}→{1} and a crash in between, nobody could be elected; dissertation
// §4.2.2), and its storage is not marked.
func (r *Raft) mayCampaign() bool {
	if !r.unmarked && !r.founder() || r.members.removed || r.term >= MaxTerm { // there is no term beyond
		return false
	}
	return r.members.selfVoter || r.members.selfOutgoing || isVoter(&r.members.committed(r.commit).Membership, r.cfg.ID)
}

// electionTimeout: no leader was heard from in time.
func (r *Raft) electionTimeout() {
	r.resetElectionTimer()
	if !r.mayCampaign() || r.now >= r.stalled() { // whose disk has stalled cannot win
		if r.leader != 0 {
			r.becomeFollower(r.term, 0)
		}
		return
	}
	r.becomePreCandidate()
	r.election.ownVote = quorum.Granted
	m := Message{Type: raftpb.PreVote, Term: r.term + 1}
	if !r.unmarked {
		m.Context = r.mark
	}
	r.requestVotes(m)
	r.tallyVotes()
}

// campaign starts an election (§5.2). The requests reveal the new term, so
// they wait until it and the own vote are durable.
func (r *Raft) campaign() {
	r.becomeCandidate()
	r.resetElectionTimer()
	r.requestVotes(Message{Type: raftpb.RequestVote})
}

func (r *Raft) requestVotes(m Message) {
	for i := range r.peers {
		if p := &r.peers[i]; p.voter || p.outgoing {
			r.requestVote(p, m)
		}
	}
}

func (r *Raft) requestVote(p *progress, m Message) {
	m.To, m.Index, m.LogTerm = p.id, r.log.last, r.log.lastTerm()
	if m.Type == raftpb.RequestVote {
		m.Context = p.mark
	}
	r.send(&m)
}

// heardName takes the name of a voter's mark from its answer m. A candidate
// that did not know it asks once more, by that name.
func (r *Raft) heardName(m *Message) (asked bool) {
	p := r.peer(m.From)
	if p == nil || !m.Marked || p.mark == m.Context {
		return false
	}
	p.mark = m.Context
	if asked = r.role == Candidate && p.vote == quorum.Open; asked {
		r.requestVote(p, Message{Type: raftpb.RequestVote})
	}
	return asked
}

// countOwnVote: a candidate's vote for itself counts once it is durable.
func (r *Raft) countOwnVote() {
	if r.election.ownVote == quorum.Open {
		r.election.ownVote = quorum.Granted
		r.tallyVotes()
	}
}

// tallyVotes goes on when a majority (in a joint membership: one of each
// configuration) has granted its vote, and gives up when one cannot any more.
func (r *Raft) tallyVotes() {
	switch r.countVotes() {
	case quorum.Granted:
		switch {
		case r.role == PreCandidate:
			r.campaign()
		case r.hardStateDurable():
			r.becomeLeader()
		}
		// Else votes came before they were asked for, meant for an earlier
		// life of this candidate: it goes on when its own vote is durable.
	case quorum.Rejected:
		r.becomeFollower(r.term, 0)
	}
}

// countVotes counts by the membership in force.
func (r *Raft) countVotes() quorum.Vote {
	var incoming, outgoing quorum.Ballot
	count := func(voter, out bool, v quorum.Vote) {
		if voter {
			incoming.Add(v)
		}
		if out {
			outgoing.Add(v)
		}
	}
	count(r.members.selfVoter, r.members.selfOutgoing, r.election.ownVote)
	for i := range r.peers {
		p := &r.peers[i]
		count(p.voter, p.outgoing, p.vote)
	}
	if outgoing.Empty() {
		return incoming.Result()
	}
	return quorum.Both(incoming.Result(), outgoing.Result())
}

// mayVoteFor reports whether the storage's mark allows a vote for a candidate
// whose log ends at lastIndex: a marked replica might have voted or
// acknowledged what it does not remember, so it votes for nobody, except that
// founders vote for founders. A founder votes only when it is asked by its
// mark's name: a late request may have been meant for a storage that has voted,
// and held entries, before it was lost.
func (r *Raft) mayVoteFor(lastIndex Index) bool {
	return r.unmarked || r.founder() && lastIndex == 0
}

// handlePreVote answers whether this replica would vote for m's sender in term
// m.Term. It changes nothing here (dissertation §9.6), and a replica that hears
// from a leader says no (§4.2.3), so that nobody who is merely cut off from the
// leader can depose it.
func (r *Raft) handlePreVote(m *Message) {
	sticky := r.role == Leader || r.leader != 0 && r.now < max(r.election.heard.Add(r.cfg.ElectionTimeout), r.election.patience)
	grant := m.Term > r.term && !sticky && r.mayVoteFor(m.Index) && r.log.upToDate(m.Index, m.LogTerm)
	reply := Message{Type: raftpb.PreVoteReply, To: m.From, Reject: !grant, Round: m.Context, Marked: !r.unmarked}
	if grant {
		reply.Term = m.Term
	} else {
		reply.Commit = r.removalOf(m)
	}
	r.send(&reply)
}

func (r *Raft) handlePreVoteReply(m *Message) {
	r.hearRemoval(m)
	if r.role != Leader {
		r.heardName(m)
	}
	switch {
	case r.role != PreCandidate || !m.Reject && m.Term != r.term+1:
		r.ignore(m, "no such pre-vote")
	case !r.unmarked && m.Round != r.mark:
		r.ignore(m, "answers an earlier storage")
	default:
		r.recordVote(m)
	}
}

// handleRequestVote: "If votedFor is null or candidateId, and candidate's log
// is at least as up-to-date as receiver's log, grant vote (§5.2, §5.4)". Anyone
// may ask, and anyone answers, whatever membership either knows: a voter need
// not know yet that it, or the candidate, is one (§6).
func (r *Raft) handleRequestVote(m *Message) {
	grant := (r.votedFor == 0 || r.votedFor == m.From) &&
		r.mayVoteFor(m.Index) && (r.unmarked || m.Context == r.mark) && r.log.upToDate(m.Index, m.LogTerm)
	if grant {
		if r.role == PreCandidate {
			r.becomeFollower(r.term, 0)
		}
		if r.votedFor == 0 {
			r.setHardState(r.term, m.From, true) // a founder's mark goes with its vote
		}
		r.resetElectionTimer()
	}
	r.send(&Message{Type: raftpb.RequestVoteReply, To: m.From, Reject: !grant, Marked: !r.unmarked})
}

func (r *Raft) handleRequestVoteReply(m *Message) {
	if r.role != Candidate {
		r.ignore(m, "no candidate")
		return
	}
	if m.Reject && r.heardName(m) {
		return
	}
	r.recordVote(m)
}

func (r *Raft) recordVote(m *Message) {
	p := r.peer(m.From)
	if p == nil || p.vote != quorum.Open {
		r.ignore(m, "not a voter, or has voted")
		return
	}
	p.vote = quorum.Granted
	if m.Reject {
		p.vote = quorum.Rejected
	}
	r.tallyVotes()
}

// tickLeader sends heartbeats, and steps down when the leader has not heard
// from a quorum for an election timeout: it may have been replaced, and its
// clients had better learn it (§6.2). So it does when its disk has stalled for
// as long and others write: its heartbeats would go on, and keep those from leading
// who can.
func (r *Raft) tickLeader() {
	if r.now >= r.silence() {
		r.reportStepDown()
		r.becomeFollower(r.term, 0)
		return
	}
	r.checkTransfer()
	if r.now >= r.leading.heartbeat {
		r.leading.heartbeat = r.now.Add(r.cfg.HeartbeatInterval)
		r.watchDisk()
		r.yield()
		r.heartbeat()
	}
}

// quorumContact is the latest time since which a quorum has been heard from.
func (r *Raft) quorumContact() Instant {
	return quorumOf(r, r.now, func(p *progress) Instant { return p.contact })
}

// quorumOf returns the largest value that a quorum has reached, in a joint
// membership of both configurations: own is this replica's value, of gives a
// peer's. A peer with marked storage counts in no quorum: it may have lost
// what it reported.
func quorumOf[T Index | Instant | uint64](r *Raft, own T, of func(*progress) T) T {
	var in, out [16]T
	incoming, outgoing := in[:0], out[:0]
	if r.members.selfVoter {
		incoming = append(incoming, own)
	}
	if r.members.selfOutgoing {
		outgoing = append(outgoing, own)
	}
	for i := range r.peers {
		p := &r.peers[i]
		var value T
		if !p.marked {
			value = of(p)
		}
		if p.voter {
			incoming = append(incoming, value)
		}
		if p.outgoing {
			outgoing = append(outgoing, value)
		}
	}
	if len(outgoing) == 0 {
		return quorum.Reached(incoming)
	}
	return quorum.ReachedInBoth(incoming, outgoing)
}

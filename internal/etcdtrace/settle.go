package etcdtrace

import (
	"slices"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
)

// settle shows what an input has made of a node: its role, what a leader has
// appended and committed, and what it sends.
func (r *Recorder) settle(n *node, core Core, rd *raft.Ready) {
	r.refuse(n, rd)
	if r.ended != "" {
		return
	}
	w := &rd.Write
	if w.Seq != 0 {
		n.hard, n.life.written = w.HardState, w.Seq
	}
	n.takeTerm(core.Role())
	switch core.Role() {
	case raft.Leader:
		r.lead(n, w)
	case raft.Candidate:
		r.campaign(n, core.Term())
	default:
		if n.role != raft.Follower {
			n.role = raft.Follower
			r.show(n, becomeFollower, nil)
		}
	}
	n.log = written(n.log, w)
	if core.Commit() > n.commit {
		n.commit = core.Commit()
		if n.role == raft.Leader {
			r.show(n, commit, nil)
		}
	}
	for i := range rd.Messages {
		if m := &rd.Messages[i]; m.Type == raftpb.AppendEntries {
			r.sendAppend(n, m)
		}
	}
	if len(r.items) == r.mark && w.Seq == 0 {
		return // nothing to persist or to send
	}
	p := &point{
		event: r.event(n, ready, nil), saved: saved{n.term, n.vote, n.commit},
		seq: n.life.written, write: w.Seq != 0,
	}
	n.life.points = append(n.life.points, p)
	r.items = append(r.items, p)
	r.mark = len(r.items)
}

// refuse ends the recording where the run leaves what can be shown.
func (r *Recorder) refuse(n *node, rd *raft.Ready) {
	w := &rd.Write
	if w.Snapshot != nil || rd.Restore != nil || len(rd.Snapshots) > 0 {
		r.end("node %d has to do with a snapshot", n.id)
	}
	if w.Seq != 0 && !w.HardState.Unmarked {
		r.end("node %d marks its storage", n.id)
	}
	for i := range w.Entries {
		e := &w.Entries[i]
		if e.Type == raft.EntryMembership && !r.isFounding(e.Data) {
			r.end("node %d changes the membership", n.id)
		}
	}
}

// isFounding: the first leader's first entry states the founding membership,
// and changes nothing.
func (r *Recorder) isFounding(data []byte) bool {
	var m raft.Membership
	if m.Unmarshal(data) != nil {
		return false
	}
	var voters []raft.NodeID
	for _, member := range m.Members {
		if !member.Voter || member.Outgoing {
			return false
		}
		voters = append(voters, member.ID)
	}
	return slices.Equal(voters, r.voters)
}

// lead shows a leader's beginning, and what it appends.
func (r *Recorder) lead(n *node, w *raft.Write) {
	if n.role != raft.Leader {
		n.role = raft.Leader
		clear(n.match)
		n.match[r.position(n.id)] = raft.Index(len(n.log))
		r.show(n, becomeLeader, nil)
	}
	if len(w.Entries) == 0 {
		return
	}
	for range int(w.Entries[0].Index) - 1 + len(w.Entries) - len(n.log) {
		n.log = append(n.log, n.term)
		r.show(n, replicate, nil)
	}
	last := raft.Index(len(n.log))
	n.life.own = append(n.life.own, ownEntries{seq: w.Seq, term: n.term, last: last})
	m := newMessage(msgAppResp, n.id, n.id, n.term)
	m.Index = uint64(last)
	r.show(n, sendAppendEntriesResponse, m)
	r.answer(n, answerKey{kind: msgAppResp, from: n.id, to: n.id, term: n.term, index: last})
}

// campaign shows a candidacy in the given term, and those that the
// specification needs to get there.
func (r *Recorder) campaign(n *node, term raft.Term) {
	if n.role == raft.Candidate && n.term == term {
		return
	}
	n.role, n.vote = raft.Candidate, n.id
	for n.term < term {
		n.term++
		if n.term == term {
			n.vote = n.hard.Vote
		}
		r.show(n, becomeCandidate, nil)
	}
	n.ownVoteSeq = n.life.written
	clear(n.answered)
	for _, to := range r.voters {
		if to == n.id {
			r.show(n, sendRequestVoteResponse, newMessage(msgVoteResp, n.id, n.id, n.term))
			r.answer(n, answerKey{kind: msgVoteResp, from: n.id, to: n.id, term: n.term})
			continue
		}
		r.askVote(n, to)
	}
}

// hearSelf: a candidate's own vote, and a leader's own entries, count when
// they are durable. The specification has them answer themselves.
func (r *Recorder) hearSelf(n *node) {
	l, self := n.life, r.position(n.id)
	if n.role == raft.Candidate && !n.answered[self] && n.ownVoteSeq <= l.durable {
		r.hear(n, answerKey{kind: msgVoteResp, from: n.id, to: n.id, term: n.term})
	}
	last := raft.Index(0)
	l.own = slices.DeleteFunc(l.own, func(o ownEntries) bool {
		if o.seq <= l.durable && o.term == n.term {
			last = max(last, o.last)
		}
		return o.seq <= l.durable
	})
	if n.role == raft.Leader && last > n.match[self] {
		r.hear(n, answerKey{kind: msgAppResp, from: n.id, to: n.id, term: n.term, index: last})
	}
}

package etcdtrace

import (
	"slices"

	"github.com/seed-6281cb22/raft"
)

// follow: "If RPC request or response contains term T > currentTerm: set
// currentTerm = T, convert to follower" (figure 2).
func (n *node) follow(term raft.Term) {
	if term > n.term {
		n.term, n.vote, n.role = term, 0, raft.Follower
	}
}

func (r *Recorder) receiveRequestVote(n *node, m *raft.Message) {
	if m.Term < n.hard.Term && m.Term >= n.term {
		return // refused for a term that is not shown yet
	}
	if a := r.asked[askKey{m.From, m.To, m.Term}]; a != nil {
		a.life.release(a.point, durable)
		a.received++
	}
	shown := newMessage(msgVote, m.From, m.To, m.Term)
	shown.Index, shown.LogTerm = uint64(m.Index), uint64(m.LogTerm)
	r.show(n, receiveRequestVoteRequest, shown)
	n.follow(m.Term)
	last := raft.Index(len(n.log))
	own := termAt(n.log, last)
	upToDate := m.LogTerm > own || m.LogTerm == own && m.Index >= last
	grant := m.Term == n.term && upToDate && (n.vote == 0 || n.vote == m.From)
	r.answer(n, answerKey{kind: msgVoteResp, from: n.id, to: m.From, term: n.term, reject: !grant})
}

// receiveRequestVoteReply: a candidate hears each voter once.
func (r *Recorder) receiveRequestVoteReply(n *node, m *raft.Message) {
	current := m.Term == n.hard.Term && n.role == raft.Candidate && n.term == m.Term && !n.answered[r.position(m.From)]
	if current || m.Term > n.hard.Term {
		r.hear(n, answerKey{kind: msgVoteResp, from: m.From, to: m.To, term: m.Term, reject: m.Reject})
	}
}

// receiveAppendEntriesReply: of a leader's acknowledgements those are shown
// that tell it something. A rejection says no more than its term.
func (r *Recorder) receiveAppendEntriesReply(n *node, m *raft.Message) {
	key := answerKey{kind: msgAppResp, from: m.From, to: m.To, term: m.Term, index: m.Index, reject: m.Reject}
	if m.Reject {
		key.index = 0
	}
	leads := n.role == raft.Leader && n.term == m.Term
	news := leads && (m.Reject || m.Index > n.match[r.position(m.From)])
	if news || m.Term > n.hard.Term {
		r.hear(n, key)
	}
}

func (r *Recorder) receiveAppendEntries(n *node, m *raft.Message, core Core, rd *raft.Ready) {
	if m.Term < n.hard.Term && m.Term >= n.term {
		return // refused for a term that is not shown yet
	}
	stale := m.Term < n.term
	after := written(n.log, &rd.Write)
	part := taken(n, m, after, core.Commit())
	if stale {
		part = span{m.Index, len(m.Entries)}
	}
	idle := stale || m.Term == n.term && n.role == raft.Follower && slices.Equal(after, n.log) && core.Commit() <= n.commit
	sent, left := r.find(m)
	switch {
	case sent == nil: // nobody sent it: the specification is to say so
		sent = &appendSent{from: m.From, to: m.To, term: m.Term, log: after, commit: m.Commit}
	case !left && idle:
		return // lost in its sender's crash, and without effect
	case !left:
		r.end("node %d receives what its sender %d has lost in a crash", n.id, m.From)
		return
	}
	sent.taken = append(sent.taken, part)
	shown := sent.message(part)
	r.show(n, receiveAppendEntriesRequest, shown)

	key := answerKey{kind: msgAppResp, from: n.id, to: m.From}
	switch {
	case stale:
		key.reject = true
	default:
		n.follow(m.Term)
		n.role = raft.Follower
		switch {
		case !holds(n.log, part.prev, raft.Term(shown.LogTerm)):
			key.reject = true
		case part.prev < n.commit:
			key.index = n.commit
		default:
			key.index = part.end()
			n.commit = max(n.commit, raft.Index(shown.Commit))
		}
	}
	key.term = n.term
	r.answer(n, key)
}

// find returns the sending of m, and whether m has left its sender in the
// specification's eyes.
func (r *Recorder) find(m *raft.Message) (sent *appendSent, left bool) {
	for _, s := range r.appends[keyOf(m)] {
		if sent = s; s.life.release(s.point, nothing) {
			return s, true
		}
	}
	return sent, false
}

// taken is the range of the leader's log which has the effect on n, by the
// specification's rules, that m has had on the core: its log is after, and its
// commit index is committed.
func taken(n *node, m *raft.Message, after []raft.Term, committed raft.Index) span {
	whole := span{m.Index, len(m.Entries)}
	if !holds(n.log, m.Index, m.LogTerm) {
		return whole // rejected
	}
	end := m.Index
	for i := range m.Entries {
		if !holds(after, m.Entries[i].Index, m.Entries[i].Term) {
			break // there was no room for it
		}
		end = m.Entries[i].Index
	}
	switch {
	case committed > max(end, n.commit):
		// It commits what was verified before.
		return span{committed, 0}
	case end > n.commit && n.commit > m.Index:
		// The specification ignores one that begins below the commit index.
		return span{n.commit, int(end - n.commit)}
	}
	return span{m.Index, int(end - m.Index)}
}

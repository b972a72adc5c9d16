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

func (r *Recorder) receiveAppendEntries(n *node, m *raft.Message, core Core, rd *raft.Ready) {
	if m.Term < n.hard.Term && m.Term >= n.term {
		return // refused for a term that is not shown yet
	}
	after := written(n.log, &rd.Write)
	idle := m.Term <= n.term && n.role == raft.Follower && slices.Equal(after, n.log) && core.Commit() <= n.commit
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
	part := taken(n, m, after, core.Commit())
	sent.taken = append(sent.taken, part)
	shown := sent.message(part)
	r.show(n, receiveAppendEntriesRequest, shown)
	r.answer(n, n.appendEntries(m, part, shown))
}

// appendEntries is AppendEntries' receiver by the specification's rules, of a
// part of m, except for the log, which is the core's. It returns the answer.
func (n *node) appendEntries(m *raft.Message, part span, shown *message) answerKey {
	key := answerKey{kind: msgAppResp, from: n.id, to: m.From}
	n.follow(m.Term)
	key.term = n.term
	if m.Term < n.term {
		key.reject = true
		return key
	}
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
	return key
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
	if m.Term < n.term || !holds(n.log, m.Index, m.LogTerm) {
		return span{m.Index, len(m.Entries)} // rejected
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

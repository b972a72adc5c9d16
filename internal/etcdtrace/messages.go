package etcdtrace

import (
	"github.com/seed-6281cb22/raft"
)

// appendKey tells an AppendEntries from others of the same leader.
type appendKey struct {
	from, to raft.NodeID
	term     raft.Term
	prev     raft.Index
	entries  int
	commit   raft.Index
	round    uint64
}

func keyOf(m *raft.Message) appendKey {
	return appendKey{m.From, m.To, m.Term, m.Index, len(m.Entries), m.Commit, m.Round}
}

// span is a range of a leader's log: the entries after prev.
type span struct {
	prev    raft.Index
	entries int
}

func (s span) end() raft.Index { return s.prev + raft.Index(s.entries) }

// appendSent is an AppendEntries that was sent. It is shown once for each
// time that it was received, as what the receiver took of it, and once if it
// was not.
type appendSent struct {
	event    event // without a message
	from, to raft.NodeID
	term     raft.Term
	log      []raft.Term // the leader's, then
	commit   raft.Index
	original span
	taken    []span
	life     *life
	point    int // the Ready that lets it go, in life
}

func (s *appendSent) lines(to []event) []event {
	shown := s.taken
	if len(shown) == 0 {
		shown = []span{s.original}
	}
	for _, part := range shown {
		e := s.event
		e.Message = s.message(part)
		to = append(to, e)
	}
	return to
}

// message is the AppendEntries of a part of the log. Its commit index is at
// most its last entry, which is all that its receiver would make of it.
func (s *appendSent) message(part span) *message {
	m := newMessage(msgApp, s.from, s.to, s.term)
	m.Index, m.LogTerm, m.Entries = uint64(part.prev), uint64(termAt(s.log, part.prev)), part.entries
	m.Commit = uint64(min(s.commit, part.end()))
	return m
}

func (r *Recorder) sendAppend(n *node, m *raft.Message) {
	s := &appendSent{
		event: r.event(n, sendAppendEntriesRequest, nil), from: n.id, to: m.To, term: m.Term,
		log: n.log, commit: n.commit, original: span{m.Index, len(m.Entries)},
		life: n.life, point: len(n.life.points),
	}
	r.appends[keyOf(m)] = append(r.appends[keyOf(m)], s)
	r.items = append(r.items, s)
}

// askKey names a request for a vote: a candidate asks each voter once a term.
type askKey struct {
	from, to raft.NodeID
	term     raft.Term
}

// voteAsked is a RequestVote, shown as often as it was received, or once.
type voteAsked struct {
	event    event
	received int
	life     *life
	point    int
}

func (a *voteAsked) lines(to []event) []event {
	for range max(1, a.received) {
		to = append(to, a.event)
	}
	return to
}

func (r *Recorder) askVote(n *node, to raft.NodeID) {
	m := newMessage(msgVote, n.id, to, n.term)
	m.Index, m.LogTerm = uint64(len(n.log)), uint64(termAt(n.log, raft.Index(len(n.log))))
	a := &voteAsked{event: r.event(n, sendRequestVoteRequest, m), life: n.life, point: len(n.life.points)}
	r.asked[askKey{n.id, to, n.term}] = a
	r.items = append(r.items, a)
}

// answerKey is all that an answer says.
type answerKey struct {
	kind     string
	from, to raft.NodeID
	term     raft.Term
	index    raft.Index
	reject   bool
}

// answer is one that the specification has a node give. It is not shown, since
// the specification gives it together with receiving the question.
type answer struct {
	life  *life
	point int
	heard bool
}

func (r *Recorder) answer(n *node, key answerKey) {
	r.answers[key] = append(r.answers[key], &answer{life: n.life, point: len(n.life.points)})
}

// hear shows that n receives an answer, and reports whether there is one to
// be received.
func (r *Recorder) hear(n *node, key answerKey) bool {
	for _, a := range r.answers[key] {
		if a.heard || !a.life.release(a.point, durable) {
			continue
		}
		a.heard = true
		m := newMessage(key.kind, key.from, key.to, key.term)
		m.Index, m.Reject = uint64(key.index), key.reject
		from := r.position(key.from)
		if key.kind == msgVoteResp {
			r.show(n, receiveRequestVoteResponse, m)
		} else {
			r.show(n, receiveAppendEntriesResponse, m)
		}
		if key.term > n.term {
			n.term, n.vote, n.role = key.term, 0, raft.Follower
		}
		if key.kind == msgVoteResp {
			n.answered[from] = true
		} else {
			n.match[from] = max(n.match[from], key.index)
		}
		return true
	}
	return false
}

package etcdtrace

import (
	"slices"

	"github.com/seed-6281cb22/raft"
)

// node is a node as the specification knows it.
type node struct {
	id   raft.NodeID
	term raft.Term // may lag behind the core's, see the package comment
	vote raft.NodeID
	role raft.Role // never PreCandidate
	log  []raft.Term
	// commit may be ahead of the core's, after a restart.
	commit   raft.Index
	answered []bool       // as a candidate: who has answered
	match    []raft.Index // as a leader

	hard       raft.HardState // the core's
	ownVoteSeq uint64         // of the write that holds a candidate's vote
	life       *life          // from a start to a crash
	saved      saved          // at its end
}

// saved is what the specification remembers over a restart, except the log,
// of which only the storage can say what it holds.
type saved struct {
	term   raft.Term
	vote   raft.NodeID
	commit raft.Index
}

// life is what a node does between a start and a crash.
type life struct {
	points  []*point
	written uint64 // the newest write handed out
	durable uint64 // the newest write that the core knows to be durable
	own     []ownEntries
	over    bool
}

// ownEntries are entries that a leader has appended, in a write under way.
type ownEntries struct {
	seq  uint64
	term raft.Term
	last raft.Index
}

// point is a place where a Ready may stand: it persists what the node has, and
// lets go what it has to send.
type point struct {
	event event
	saved saved
	seq   uint64 // the newest write handed out by then
	write bool   // handed out here
	shown bool
}

func (p *point) lines(to []event) []event {
	if p.shown {
		to = append(to, p.event)
	}
	return to
}

func (n *node) start(s *raft.State) {
	log := make([]raft.Term, 0, s.Last)
	for i, run := range s.Runs {
		next := s.Last + 1
		if i+1 < len(s.Runs) {
			next = s.Runs[i+1].First
		}
		log = append(log, slices.Repeat([]raft.Term{run.Term}, int(next-run.First))...)
	}
	if n.life == nil {
		n.saved = saved{s.HardState.Term, s.HardState.Vote, s.HardState.Commit}
	}
	n.log, n.hard = log, s.HardState
	n.role, n.term, n.vote, n.commit = raft.Follower, n.saved.term, n.saved.vote, n.saved.commit
	n.takeTerm(raft.Follower)
	clear(n.match)
	clear(n.answered)
	n.ownVoteSeq = 0
	n.life = &life{}
}

// takeTerm shows the core's term and vote, unless the node has only heard of
// that term.
func (n *node) takeTerm(role raft.Role) {
	heard := n.hard.Term > n.term && n.hard.Vote == 0 && role != raft.Leader
	campaigns := n.hard.Term > n.term && role == raft.Candidate
	if !heard && !campaigns {
		n.term, n.vote = n.hard.Term, n.hard.Vote
	}
}

// crash ends a life of which the writes up to seq have survived, and reports
// whether what was shown of it is among them.
func (n *node) crash(seq uint64) bool {
	l := n.life
	l.over = true
	if l.revealed() > seq {
		return false
	}
	kept := slices.IndexFunc(l.points, func(p *point) bool { return p.seq > seq })
	if kept >= 0 {
		l.points = l.points[:kept]
	}
	if last := len(l.points) - 1; last >= 0 {
		l.points[last].shown = true
		n.saved = l.points[last].saved
	}
	return true
}

// revealed is the newest write up to which a shown Ready has persisted.
func (l *life) revealed() uint64 {
	for _, p := range slices.Backward(l.points) {
		if p.shown {
			return p.seq
		}
	}
	return 0
}

// persisted shows that the writes up to seq have become durable.
func (l *life) persisted(seq uint64) {
	for _, p := range slices.Backward(l.points) {
		if p.seq <= l.durable {
			break
		}
		if p.write && p.seq <= seq {
			p.shown = true
		}
	}
	l.durable = max(l.durable, seq)
}

// need is what must be durable before something is sent.
type need int

const (
	durable need = iota // what was written by then: votes, acknowledgements
	nothing             // a leader's entries go out before its own disk has them
)

// release reports whether what was sent when the life had `from` points has
// left the node, and shows a Ready that lets it go if there may be one.
func (l *life) release(from int, n need) bool {
	for _, p := range l.points[min(from, len(l.points)):] {
		if p.shown {
			return true
		}
	}
	if l.over || from >= len(l.points) {
		return false
	}
	p := l.points[from]
	if n == durable && p.seq > l.durable {
		return false
	}
	p.shown = true
	return true
}

// written applies a write's entries to a log of which others may hold a part.
func written(log []raft.Term, w *raft.Write) []raft.Term {
	if len(w.Entries) == 0 {
		return log
	}
	if keep := int(w.Entries[0].Index) - 1; keep < len(log) {
		log = slices.Clip(log[:keep])
	}
	for i := range w.Entries {
		log = append(log, w.Entries[i].Term)
	}
	return log
}

// termAt is the term at i, 0 if there is no entry.
func termAt(log []raft.Term, i raft.Index) raft.Term {
	if i == 0 || i > raft.Index(len(log)) {
		return 0
	}
	return log[i-1]
}

// holds reports whether log has an entry of the given term at i.
func holds(log []raft.Term, i raft.Index, term raft.Term) bool {
	return i <= raft.Index(len(log)) && termAt(log, i) == term
}

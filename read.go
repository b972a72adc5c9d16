package raft

import "github.com/seed-6281cb22/raft/raftpb"

// maxPendingReads bounds the reads that wait on a leader. Hosts let many
// reads share one.
const maxPendingReads = 4096

// pendingRead is a read that waits for its leader to be confirmed (§6.4).
type pendingRead struct {
	id    uint64
	from  NodeID // whom to tell; 0: the host
	round uint64 // a quorum must echo this round or a later one
	index Index  // what the reader must have applied, and must be committed
}

// ReadIndex asks for an index at which a linearizable read may be served. The
// answer comes as a ReadState with id. A follower passes the question to the
// leader; a lost message loses it, so ask again after a while, with another
// id, and ignore answers to an id that nothing waits for. The error is ErrNotLeader when no leader is known, ErrOverloaded when
// too many reads wait, ErrStopped after a failure.
func (r *Raft) ReadIndex(now Instant, id uint64) error {
	r.advance(now)
	r.worked()
	switch {
	case r.err != nil:
		return r.err
	case r.role == Leader:
		if !r.addRead(id, 0) {
			return ErrOverloaded
		}
	case r.leader != 0:
		r.send(&Message{Type: raftpb.ReadIndex, To: r.leader, Context: id ^ r.readSalt})
	default:
		return r.notLeader()
	}
	return nil
}

// addRead lets a read wait for a round of AppendEntries that begins after it.
// Its index is what is committed now, but at least the term's first entry:
// before that is committed a new leader does not know what is (§6.4).
func (r *Raft) addRead(id uint64, from NodeID) bool {
	l := r.leading
	if len(l.reads) >= maxPendingReads {
		return false
	}
	l.reads = append(l.reads, pendingRead{id: id, from: from, round: l.round + 1, index: max(r.commit, l.first)})
	return true
}

func (r *Raft) handleReadIndex(m *Message) {
	r.worked()
	if r.role != Leader || !r.addRead(m.Context, m.From) {
		r.send(&Message{Type: raftpb.ReadIndexReply, To: m.From, Context: m.Context, Reject: true})
	}
}

func (r *Raft) handleReadIndexReply(m *Message) {
	if m.From != r.leader {
		r.ignore(m, "not from the leader")
		return
	}
	r.reads = append(r.reads, ReadState{ID: m.Context ^ r.readSalt, Index: m.Index, OK: !m.Reject})
}

// confirmReads answers the reads whose round a quorum has echoed, and begins
// the next round if reads wait for one and none is under way: however many
// reads arrive meanwhile, they share it.
func (r *Raft) confirmReads() {
	l := r.leading
	if len(l.reads) == 0 {
		return
	}
	confirmed := quorumOf(r, l.round, func(p *progress) uint64 { return p.round })
	if l.reads[len(l.reads)-1].round > l.round && confirmed >= l.round {
		l.round++
		r.heartbeatAll()
		confirmed = quorumOf(r, l.round, func(p *progress) uint64 { return p.round })
	}
	n := 0
	for n < len(l.reads) && l.reads[n].round <= confirmed && l.reads[n].index <= r.commit {
		r.answerRead(&l.reads[n])
		n++
	}
	l.reads = append(l.reads[:0], l.reads[n:]...)
}

func (r *Raft) answerRead(read *pendingRead) {
	if read.from == 0 {
		r.reads = append(r.reads, ReadState{ID: read.id, Index: read.index, OK: true})
		return
	}
	r.send(&Message{Type: raftpb.ReadIndexReply, To: read.from, Context: read.id, Index: read.index})
	// The reader needs the commit index too, from a message that verifies it.
	if p := r.peer(read.from); p != nil {
		p.notify = true
	}
}

// failReads ends the reads of a leader that is none any more.
func (r *Raft) failReads(reads []pendingRead) {
	for _, read := range reads {
		if read.from == 0 {
			r.reads = append(r.reads, ReadState{ID: read.id})
		} else {
			r.send(&Message{Type: raftpb.ReadIndexReply, To: read.from, Context: read.id, Reject: true})
		}
	}
}

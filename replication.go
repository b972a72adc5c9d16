package raft

import (
	"fmt"

	"github.com/seed-6281cb22/raft/raftpb"
)

// leaderState exists while a replica leads.
type leaderState struct {
	first     Index         // of the term: the entry that the leader began with
	heartbeat Instant       // when the next one is due
	round     uint64        // stamped on every AppendEntries, echoed by its reply
	reads     []pendingRead // ascending by round

	promotions []promotion // of learners that are to vote
	departures []departure // of those that are no members any more

	transferee    NodeID  // to whom leadership is being transferred, 0: nobody
	transferUntil Instant // when that is given up
	handedOver    bool    // it was told to campaign
	resigning     bool    // the next Ready ends with a step down

	yielding yielding

	watched commitWatch

	dispensable Instant // since when the others could do without it, Never: see watchDisk

	deferral deferral // what its commits wait for
	lease    interval // of the entry at the commit index
}

// followerState is what a follower knows of its leader, in one term.
type followerState struct {
	term     Term
	verified Index  // highest index known to be the same in the leader's log
	round    uint64 // highest one heard
	ackNow   bool   // the next Ready acknowledges
	// ackWaiting: entries were received that are not durable yet; they are
	// acknowledged as they become so.
	ackWaiting bool
	// windowClosed: entries were refused for want of room; the leader is
	// told when there is some.
	windowClosed bool
	// acknowledged is the highest index that this replica has acknowledged
	// in this term, since its start.
	acknowledged Index
}

// Propose appends entries to a leader's log, all or none, and returns the
// first one's index. Of each entry Type must be EntryCommand or EntryStateHash; Data,
// Checksum and Origin are taken over, Term, Index and the clock interval are given by the core
// in its own copy. The
// error is ErrNotLeader (a *NotLeaderError), ErrTransferring, ErrOverloaded,
// ErrTooLarge, ErrMalformed or ErrStopped; then nothing was appended.
func (r *Raft) Propose(now Instant, entries []Entry) (Index, error) {
	r.advance(now)
	switch {
	case r.err != nil:
		return 0, r.err
	case r.role != Leader:
		return 0, r.notLeader()
	case r.leading.transferee != 0 || r.leading.resigning:
		return 0, ErrTransferring
	}
	size := 0
	for i := range entries {
		e := &entries[i]
		if e.Type != EntryCommand && e.Type != EntryStateHash {
			return 0, fmt.Errorf("%w: proposal of type %v", ErrMalformed, e.Type)
		}
		if len(e.Data) > r.cfg.MaxEntryBytes {
			return 0, fmt.Errorf("%w: %d bytes, more than %d", ErrTooLarge, len(e.Data), r.cfg.MaxEntryBytes)
		}
		size += entrySize(e)
	}
	if r.overloaded(size) || r.backlogged() {
		return 0, ErrOverloaded
	}
	first := r.log.last + 1
	r.appendAt(entries, r.creationTime())
	return first, nil
}

// overloaded reports whether size bytes more would be too much that is not
// committed yet. Where nothing is, any size may be.
func (r *Raft) overloaded(size int) bool {
	uncommitted := r.uncommitted()
	return uncommitted > 0 && uncommitted+size > r.cfg.MaxUncommittedBytes
}

// backlogged reports whether the state machine here is so far behind that
// nothing more is to be taken before it has caught up: what is committed and not
// handed to it yet is larger than MaxUncommittedBytes. Of what has left memory
// only the overhead is known. Heartbeats, the commits of what was taken, and the
// other replicas' state machines do not wait for it.
func (r *Raft) backlogged() bool {
	w, next := &r.log.window, r.apply.handedOut+1
	gone := int(max(min(w.first, r.commit+1), next) - next)
	return gone*entryOverhead+w.bytes(next-1, r.commit) > r.cfg.MaxUncommittedBytes
}

// uncommitted is the size of what was appended in this term and is not
// committed yet, or not durable here. It is read off the log, so it cannot leak.
func (r *Raft) uncommitted() int {
	return r.log.window.bytes(max(min(r.commit, r.durable()), r.leading.first), r.log.last)
}

func (r *Raft) notLeader() error {
	e := &NotLeaderError{Leader: r.leader}
	for _, m := range r.members.latest().Membership.Members {
		if m.ID == r.leader {
			e.Address = m.Address
		}
	}
	return e
}

// appendOwn appends an entry of the leader's own term. A leader never
// overwrites or deletes entries in its log (leader append-only, §5.3).
func (r *Raft) appendOwn(e Entry) { r.appendAt([]Entry{e}, r.creationTime()) }

// appendAt appends entries that are created at the time at.
func (r *Raft) appendAt(entries []Entry, at interval) {
	stamp := r.log.stampAt(at) // the next ones' would be the same
	placed, c := r.log.window.append(entries)
	c.stamped = -1
	if stamp.known() {
		c.stamped = len(placed) - 1
	}
	for i := range placed {
		e := &placed[i]
		e.Term, e.Index = r.term, r.log.last+1+Index(i)
		e.Earliest, e.Latest = stamp.earliest, stamp.latest
	}
	r.appended(placed, c)
}

// appended makes entries that are in the window part of the log and of the next
// write. Membership is in force from here on, committed or not (§6).
func (r *Raft) appended(entries []Entry, c contents) {
	if len(entries) == 0 {
		return
	}
	r.log.appended(entries, c.stamped)
	r.writes.touchEntries(entries[0].Index)
	for i := 0; c.memberships > 0; i++ {
		if e := &entries[i]; e.Type == EntryMembership {
			r.membershipAppended(e)
			c.memberships--
		}
	}
}

// heartbeat asks for an AppendEntries to everyone, in a new round: its answers
// tell what of earlier ones was lost.
func (r *Raft) heartbeat() {
	r.leading.round++
	r.heartbeatAll()
	r.bidFarewell()
	r.handOverAgain()
	for i := range r.peers {
		p := &r.peers[i]
		// A mark ends with an entry that was appended after it was heard of.
		// That can wait: a mark is named anew with each start of its replica,
		// and while nothing is committed there may be many.
		if p.marked && r.log.last < p.unmark && !r.overloaded(entryOverhead) && !r.leading.handedOver {
			r.appendOwn(Entry{Type: EntryEmpty})
		}
	}
}

func (r *Raft) heartbeatAll() {
	for i := range r.peers {
		r.peers[i].heartbeat = true
	}
}

// replicateAll sends every peer what it lacks, as far as it can take it.
func (r *Raft) replicateAll() {
	for i := range r.peers {
		p := &r.peers[i]
		if p.next <= r.log.last {
			r.replicate(p)
		}
		if p.notify || p.heartbeat {
			r.sendHeartbeat(p)
		}
	}
}

// replicate sends entries from next on. The leader's own write of them may
// still be under way (dissertation §10.2.1).
func (r *Raft) replicate(p *progress) {
	for p.next <= r.log.last {
		room := p.room(r.cfg.MaxMessageBytes)
		if room == 0 {
			return
		}
		if _, known := r.log.term(p.next - 1); !known || p.next <= r.log.base {
			r.needSnapshot(p)
			return
		}
		w := &r.log.window
		if p.next < w.first {
			if room < r.cfg.MaxMessageBytes && len(p.inFlight) > 0 {
				return // what is read might not fit
			}
			p.reading = p.next
			r.logReads = append(r.logReads, LogRead{Peer: p.id, Term: r.term, Lo: p.next, Hi: w.first, MaxBytes: room})
			return
		}
		if len(p.inFlight) > 0 && entrySize(w.at(p.next)) > room {
			return
		}
		hi := w.fit(p.next, r.log.last+1, room)
		r.sendEntries(p, w.slice(p.next, hi), w.bytes(p.next-1, hi-1))
	}
}

// sendEntries sends entries, the first of which is at p.next, and which have that
// size.
func (r *Raft) sendEntries(p *progress, entries []Entry, size int) {
	prevTerm, _ := r.log.term(p.next - 1)
	r.sendAppend(p, p.next-1, prevTerm, entries)
	last := entries[len(entries)-1].Index
	p.launched(last, uint64(size))
	p.sent, p.sentRound = r.now, r.leading.round
	if p.state == probing {
		p.paused = true
	} else {
		p.next = last + 1
	}
}

// sendHeartbeat sends an AppendEntries without entries. Its previous entry is
// the last one known to be durable there, so that it is not rejected when it
// overtakes entries that are still on the way.
func (r *Raft) sendHeartbeat(p *progress) {
	prev := p.match
	term, known := r.log.term(prev)
	if !known {
		prev, term = 0, 0
	}
	r.sendAppend(p, prev, term, nil)
	p.heartbeat = false
}

// askAfter asks whether entries that p should have by now have arrived, or are
// lost, by an AppendEntries that follows them and has none itself. A transport
// brings it in order after them, if it can; so a rejection of it, and not the
// silence about them while heartbeats are answered, has them sent again. To send
// megabytes once more because they are slow would make them slower.
func (r *Raft) askAfter(p *progress) {
	last := p.next - 1
	if p.recovering() {
		last, p.asked = p.lastInFlight(), true
	}
	term, known := r.log.term(last)
	if !known {
		p.probe(p.next) // the entry before them is compacted: a snapshot is due
		return
	}
	r.sendAppend(p, last, term, nil)
	p.sentRound = r.leading.round
}

func (r *Raft) sendAppend(p *progress, prev Index, prevTerm Term, entries []Entry) {
	m := Message{
		Type: raftpb.AppendEntries, To: p.id, Index: prev, LogTerm: prevTerm, Entries: entries,
		Commit: r.commit, Round: r.leading.round, Match: p.match,
	}
	if p.marked && r.commit >= p.unmark {
		m.Unmark, m.Context = p.unmark, p.mark // committed without counting the peer
	}
	p.notify = false
	r.send(&m)
}

// handleAppendEntries is AppendEntries' receiver (figure 2).
func (r *Raft) handleAppendEntries(m *Message) error {
	if r.role == Leader || r.leader != 0 && r.leader != m.From {
		return r.malformed(m, "node %d leads term %d already", r.leader, r.term)
	}
	r.heardFromLeader(m.From)
	r.hearMembership(m)
	f := &r.following
	f.round = max(f.round, m.Round)
	if m.Match > max(r.loaded, f.acknowledged) {
		// The leader has an acknowledgement of more than this storage came
		// back with and this replica has acknowledged since.
		r.convict()
	}

	// "Reply false if log doesn't contain an entry at prevLogIndex whose term
	// matches prevLogTerm (§5.3)". Up to the commit index it does, by leader
	// completeness, whether or not the term there is still known.
	term, known := r.log.term(m.Index)
	switch {
	case m.Index <= r.commit && known && term != m.LogTerm:
		return r.malformed(m, "entry %d of term %d is committed with term %d", m.Index, m.LogTerm, term)
	case m.Index > r.commit && (!known || term != m.LogTerm):
		if m.Index <= m.Match {
			r.convict() // acknowledged in this term, and not there
		}
		r.rejectAppend(m)
		return nil
	}
	verified, err := r.appendFrom(m)
	if err != nil {
		return err
	}
	f.verified = max(f.verified, verified, r.commit)

	// "If leaderCommit > commitIndex, set commitIndex = min(leaderCommit,
	// index of last new entry)": of the last one verified to be the
	// leader's, in this term, never of what else stands in the log.
	r.setCommit(min(m.Commit, f.verified))

	durable := r.durable()
	if !r.unmarked && m.Unmark != 0 && m.Context == r.mark && min(durable, f.verified) >= m.Unmark {
		r.setHardState(r.term, r.votedFor, true)
	}
	// Entries are acknowledged when durable; an AppendEntries without entries
	// at once, so that a slow disk silences neither heartbeats nor reads.
	if len(m.Entries) == 0 || durable >= f.verified {
		f.ackNow = true
	}
	f.ackWaiting = f.ackWaiting || f.verified > durable
	return nil
}

// appendFrom appends the entries of m that are not in the log yet, as far as
// the window has room, and returns the highest index that m verifies. The
// entry before them is the leader's.
func (r *Raft) appendFrom(m *Message) (verified Index, err error) {
	verified = m.Index
	i := 0
	for ; i < len(m.Entries); i++ {
		e := &m.Entries[i]
		if e.Index > r.log.last {
			break
		}
		term, known := r.log.term(e.Index)
		if e.Index <= max(r.commit, r.following.verified) {
			// Committed, or the same leader's a moment ago.
			if known && term != e.Term {
				return 0, r.malformed(m, "entry %d of term %d is settled with term %d", e.Index, e.Term, term)
			}
		} else if term != e.Term {
			break
		}
		verified = e.Index
	}
	entries := m.Entries[i:]
	if len(entries) == 0 {
		return verified, nil
	}
	n := r.admit(entries)
	if n < len(entries) {
		r.following.windowClosed = true
	}
	if n == 0 {
		return verified, nil
	}
	// "If an existing entry conflicts with a new one (same index but
	// different terms), delete the existing entry and all that follow it."
	// Nothing else truncates: a shorter or older AppendEntries must not.
	if entries[0].Index <= r.log.last {
		r.truncate(entries[0].Index)
	}
	r.appended(r.log.window.append(entries[:n]))
	return entries[n-1].Index, nil
}

// admit returns how many of entries fit into the window beside those that are
// not durable yet and stay. If there are none of these, one always fits.
func (r *Raft) admit(entries []Entry) int {
	used := r.log.window.bytes(r.durable(), entries[0].Index-1)
	for n := range entries {
		size := entrySize(&entries[n])
		if used > 0 && used+size > r.cfg.MaxWindowBytes {
			return n
		}
		used += size
	}
	return len(entries)
}

// truncate removes the entries from i on, which are not committed.
func (r *Raft) truncate(i Index) {
	if i <= r.commit {
		panic(fmt.Sprintf("raft: invariant broken: truncating committed entry %d", i))
	}
	r.log.truncate(i)
	r.writes.touchEntries(i)
	if r.members.truncate(i) {
		r.membershipChanged()
	}
}

// setCommit never goes back.
func (r *Raft) setCommit(index Index) {
	if index > r.commit {
		r.commit = index
	}
}

// rejectAppend names the previous entry that it rejects, and a place to try
// next: the follower's last entry at or before it of a term that the leader's
// previous entry has or comes after. A divergent tail is found in as many
// round trips as there are terms in it (§5.3).
func (r *Raft) rejectAppend(m *Message) {
	hint, term := r.log.hint(m.Index, m.LogTerm)
	if hint <= r.commit {
		hint, term = r.commit, 0 // agreed by all leaders to come
	}
	r.send(&Message{
		Type: raftpb.AppendEntriesReply, To: m.From, Reject: true, Index: m.Index, Match: hint, LogTerm: term,
		Round: r.following.round, Verified: r.following.verified, Window: r.windowRoom(), Marked: !r.unmarked,
	})
}

// acknowledge answers all AppendEntries since the last Ready.
func (r *Raft) acknowledge() {
	f := &r.following
	f.ackNow = false
	if r.role != Follower || r.leader == 0 {
		return
	}
	index := min(r.durable(), f.verified)
	f.acknowledged = max(f.acknowledged, index)
	r.send(&Message{
		Type: raftpb.AppendEntriesReply, To: r.leader, Index: index, Verified: f.verified,
		Round: f.round, Window: r.windowRoom(), Marked: !r.unmarked,
	})
}

// windowRoom is what a follower can still take: only entries that are not
// durable fill its window. Durable ones leave memory, else windows full of
// durable, uncommitted entries would block a new leader for good.
func (r *Raft) windowRoom() uint64 {
	return uint64(max(0, r.cfg.MaxWindowBytes-r.log.window.bytes(r.durable(), r.log.last)))
}

// handleAppendEntriesReply is what a leader learns from a follower.
func (r *Raft) handleAppendEntriesReply(m *Message) error {
	if r.departed(m) {
		return nil
	}
	p, err := r.replyFrom(m)
	if p == nil || err != nil {
		return err
	}
	if m.Round > r.leading.round || m.Verified > r.log.last || !m.Reject && m.Index > m.Verified {
		return r.malformed(m, "round %d, durable %d, verified %d", m.Round, m.Index, m.Verified)
	}
	if r.heardMark(p, m) {
		p.contact = r.now
		p.round = max(p.round, m.Round)
		if !m.Reject {
			r.matched(p, m.Index)
		}
	}
	// The rest only decides what to send next, where a reply that is not
	// to be believed does no harm.
	p.window = m.Window
	if m.Reject {
		r.handleRejection(p, m)
	} else {
		r.handleAcknowledgement(p, m)
	}
	return nil
}

// matched takes an acknowledgement of everything up to index.
func (r *Raft) matched(p *progress, index Index) {
	p.matched(index)
	if p.match >= r.commit {
		p.snapshot = 0 // it has caught up
	}
}

// replyFrom returns whose reply m is, nil if it is of no use here.
func (r *Raft) replyFrom(m *Message) (*progress, error) {
	p := r.peer(m.From)
	if r.role != Leader || p == nil {
		r.ignore(m, "not a reply to this leader from a member")
		return nil, nil
	}
	if m.Index > r.log.last && m.Reject {
		// It answers what this replica sent in an earlier term, as the
		// leader of a longer log, of which it has lost the end in a crash.
		r.ignore(m, "rejects what was sent in an earlier term")
		return nil, nil
	}
	if m.Index > r.log.last {
		// It speaks of an entry beyond the leader's log: not in this term.
		return nil, r.malformed(m, "answers for %d, the last entry is %d", m.Index, r.log.last)
	}
	return p, nil
}

// heardMark keeps track of p's mark, and reports whether m may be believed:
// what it acknowledges and echoes may have been sent before the mark.
// A marked peer counts in no quorum until it durably holds an entry that was
// appended after its mark was heard of and committed without it: by then it
// holds all that it may have acknowledged before. A mark that is new to the
// leader, and nothing else, lowers match: another loss is another
// mark, and an answer of the same one that says less was overtaken by others.
func (r *Raft) heardMark(p *progress, m *Message) bool {
	switch {
	case m.Marked && (!p.marked || p.mark != m.Context):
		// What was heard before may have been said by an earlier storage, or
		// have been lost: who finds out that it has lost what it had
		// acknowledged takes a mark, too.
		p.marked, p.mark, p.unmark = true, m.Context, r.log.last+1
		p.match, p.verified = 0, 0
		if p.state != sendingSnapshot {
			p.probe(m.Verified + 1)
		}
	case !m.Marked && p.marked:
		if m.Reject || m.Index < p.unmark || r.commit < p.unmark {
			r.ignore(m, "sent before its mark")
			return false
		}
		p.marked = false
	}
	return true
}

func (r *Raft) handleRejection(p *progress, m *Message) {
	// "A rejection is ignored if what it rejects is known to match": it was
	// overtaken by later replies.
	rejected := p.next - 1
	if p.recovering() {
		rejected = p.lastInFlight()
	}
	if m.Index <= p.match || p.state == sendingSnapshot || p.recovering() && !p.asked || p.state == probing && m.Index != rejected {
		return
	}
	next := m.Match + 1
	if m.LogTerm != 0 {
		// The hint's entry can be ours only if we have one of its term there.
		hint, _ := r.log.hint(min(m.Match, m.Index-1), m.LogTerm)
		next = hint + 1
	}
	next = min(next, m.Index)
	if p.state == replicating || p.recovering() {
		next = min(next, p.verified+1) // beyond, only the order on the way is in doubt
	}
	if p.state == replicating {
		p.collapse(next, r.leading.round)
	} else {
		p.probe(next)
	}
	p.verified = min(p.verified, p.next-1)
}

func (r *Raft) handleAcknowledgement(p *progress, m *Message) {
	if m.Verified > p.verified {
		p.verified = m.Verified
		p.sent = r.now
	}
	p.landed(p.verified)
	// Entries that are missing there although a round that began after they
	// were sent has been answered were lost: on the way, or there, by a crash
	// before they were durable. Or a heartbeat has overtaken them.
	missing := m.Verified+1 < p.next && m.Round > p.sentRound
	p.unheard = p.unheard && len(p.inFlight) > 0
	if m.Round >= p.resume && !p.unheard {
		p.resume = 0
	}
	switch p.state {
	case probing:
		switch {
		case p.recovering() && len(p.inFlight) == 0:
			p.probe(p.verified + 1) // it has arrived: the next one
		case p.recovering():
			if m.Round > p.sentRound && r.now >= p.sent.Add(r.cfg.HeartbeatInterval) {
				r.askAfter(p)
			}
		case m.Verified+1 >= p.next:
			p.inFlight, p.bytes = p.inFlight[:0], 0
			p.replicate(m.Verified + 1)
		case missing && p.next <= r.log.last:
			r.askAfter(p)
		case missing: // nothing at next to probe with
			p.verified = m.Verified
			p.probe(m.Verified + 1)
		}
	case replicating:
		p.next = max(p.next, m.Verified+1)
		if missing && r.now >= p.sent.Add(r.cfg.HeartbeatInterval) {
			r.askAfter(p)
		}
	case sendingSnapshot:
		if p.match > r.log.base {
			p.probe(p.match + 1)
		}
	}
}

// advanceCommit: "If there exists an N such that N > commitIndex, a majority
// of matchIndex[i] >= N, and log[N].term == currentTerm: set commitIndex = N
// (§5.3, §5.4)". The leader counts itself up to what is durable here. It waits
// while a predecessor may serve reads under a lease.
func (r *Raft) advanceCommit() {
	if !r.mayCommit() {
		return
	}
	if r.commit == r.log.last {
		return // all is committed
	}
	n := quorumOf(r, r.durable(), func(p *progress) Index { return p.match })
	if n <= r.commit || n < r.leading.first {
		return
	}
	r.notifyOrigins(r.commit+1, n)
	r.setCommit(n)
	r.leading.lease = intervalOf(r.log.window.at(n))
}

// notifyOrigins lets whoever forwarded one of the entries in [lo, hi] hear of
// their commit at once; the others hear of it with the next message.
func (r *Raft) notifyOrigins(lo, hi Index) {
	w := &r.log.window
	lo = max(lo, w.first)
	if lo > hi {
		return
	}
	entries := w.slice(lo, hi+1)
	for i := range entries {
		if node := entries[i].Origin.Node; node != 0 && node != r.cfg.ID {
			if p := r.peer(node); p != nil {
				p.notify = true
			}
		}
	}
}

func (r *Raft) malformed(m *Message, format string, args ...any) error {
	err := fmt.Errorf("%w: %v from node %d: %s", ErrMalformed, m.Type, m.From, fmt.Sprintf(format, args...))
	r.ignore(m, err.Error())
	return err
}

// Unreachable says that messages to peer may have been lost.
func (r *Raft) Unreachable(now Instant, peer NodeID) {
	r.advance(now)
	if p := r.peer(peer); r.role == Leader && p != nil && p.state == replicating {
		p.suspend(r.leading.round)
		r.pause(p)
	}
}

// pause lets p rest until it has answered a round that has not begun yet.
func (r *Raft) pause(p *progress) {
	p.paused, p.sentRound = true, r.leading.round
}

package raft

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-6281cb22/raft/raftpb"
)

// Raft is the core: a function from (state, input) to (state, output), with no
// goroutine, lock, clock, disk or socket in it. The same inputs give the same
// outputs. It is not safe for concurrent use.
//
// Every input carries the host's monotonic time; a time that goes backwards is
// taken for the latest one seen. After any input, or any number of them, call
// Ready and do what it says. Ordering is no concern of the host's: what must
// wait for the disk is held back here until Persisted.
type Raft struct {
	cfg CoreConfig
	now Instant
	err error // why it has stopped for good

	// Figure 2, persistent state. Always changed through setHardState and
	// campaign, so that the change is written.
	term     Term
	votedFor NodeID
	unmarked bool
	// mark names this mark of this process's: what ends it must have been
	// sent to it, not to one that this storage had before it was lost.
	mark uint64
	// readSalt hides the host's ids of reads in this process's questions to
	// the leader: a late answer to an earlier process fits none of them.
	readSalt uint64
	loaded   Index // the last index that the storage came back with
	log      raftLog
	members  membershipState

	// Figure 2, volatile state.
	commit  Index
	applied Index
	role    Role
	leader  NodeID
	peers   []progress // everyone else in the membership, ordered by id

	writes    writePipeline
	held      []heldMessage
	apply     applyState
	election  electionState
	following followerState
	leading   *leaderState // nil while it does not lead

	// What the next Ready hands over.
	messages  []Message
	reads     []ReadState
	logReads  []LogRead
	snapshots []SendSnapshot
	events    []Event
	// handedOut is how many messages the last Ready has handed out, in the
	// memory behind the end of messages.
	handedOut int
	restAt    Instant // when memory that is kept for later is given back, if there is no work before
	ignored   uint64
}

// New returns a core that continues from initial: what Storage.Load returned.
// For the first start of a founding member that is a State whose Snapshot has
// index 0 and the founding membership, saved before.
//
// The state machine holds all up to cfg.Applied, and nothing if that is 0. If
// initial has a snapshot, and the log no longer reaches back to there, the first
// Ready asks to restore it. An *AheadError says that the state machine holds
// more than initial.
func New(cfg CoreConfig, initial State, now Instant) (*Raft, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if initial.First == 0 {
		initial.First = initial.Snapshot.Index + 1
		initial.Last = max(initial.Last, initial.Snapshot.Index)
	}
	if err := checkState(&initial); err != nil {
		return nil, err
	}
	if cfg.Applied > initial.Last {
		return nil, &AheadError{Applied: cfg.Applied, Last: initial.Last}
	}
	r := &Raft{
		cfg:      cfg,
		now:      now,
		term:     initial.HardState.Term,
		votedFor: initial.HardState.Vote,
		unmarked: initial.HardState.Unmarked,
		log:      newLog(&initial),
		commit:   max(initial.HardState.Commit, initial.Snapshot.Index, cfg.Applied), // what is applied is committed
	}
	r.members.reset(initial.Snapshot, initial.Memberships)
	r.syncPeers()
	r.loaded = r.log.last
	r.readSalt = cfg.Random.Uint64()
	if !r.unmarked {
		r.mark = cfg.Random.Uint64()
	}
	if cfg.Applied > 0 && cfg.Applied >= r.log.base {
		r.applied, r.apply.handedOut = cfg.Applied, cfg.Applied
	} else if s := initial.Snapshot; s.Index > 0 {
		r.apply.restore(s)
	}
	if s := initial.Snapshot; s.Term > r.term {
		// Committed in the storage, then a crash before the write that
		// would have installed it together with its leader's term.
		r.setHardState(s.Term, 0, r.unmarked)
	}
	r.following.term = r.term
	r.resetElectionTimer()
	return r, nil
}

// ErrInvalidState: the State given to New contradicts itself.
var ErrInvalidState = errors.New("raft: inconsistent initial state")

func checkState(s *State) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrInvalidState, fmt.Sprintf(format, args...))
	}
	if s.First > s.Snapshot.Index+1 {
		return bad("entries start at %d, and the snapshot ends at %d", s.First, s.Snapshot.Index)
	}
	if s.Last+1 < s.First || s.Last < s.Snapshot.Index {
		return bad("entries from %d to %d, snapshot at %d", s.First, s.Last, s.Snapshot.Index)
	}
	if s.HardState.Commit > s.Last {
		return bad("commit index %d beyond the last entry, %d", s.HardState.Commit, s.Last)
	}
	if s.Last > MaxIndex || s.HardState.Term > MaxTerm {
		return bad("index or term out of range")
	}
	if (s.Last >= s.First) != (len(s.Runs) > 0) || len(s.Runs) > 0 && s.Runs[0].First != s.First {
		return bad("term runs %v for entries from %d to %d", s.Runs, s.First, s.Last)
	}
	for i, run := range s.Runs {
		if i > 0 && (run.First <= s.Runs[i-1].First || run.Term <= s.Runs[i-1].Term) || run.First > s.Last {
			return bad("term runs are not ascending: %v", s.Runs)
		}
		if run.Term == 0 || run.Term > s.HardState.Term {
			return bad("an entry of term %d in term %d", run.Term, s.HardState.Term)
		}
		next := s.Last + 1
		if i+1 < len(s.Runs) {
			next = s.Runs[i+1].First
		}
		if run.First <= s.Snapshot.Index && s.Snapshot.Index < next && run.Term != s.Snapshot.Term {
			return bad("a snapshot at %d of term %d, where the log has term %d", s.Snapshot.Index, s.Snapshot.Term, run.Term)
		}
		if run.First > s.Snapshot.Index && run.Term < s.Snapshot.Term {
			return bad("an entry of term %d above a snapshot of term %d", run.Term, s.Snapshot.Term)
		}
	}
	if s.Snapshot.MembershipIndex > s.Snapshot.Index {
		return bad("a snapshot at %d with the membership at %d", s.Snapshot.Index, s.Snapshot.MembershipIndex)
	}
	if s.Snapshot.Term > MaxTerm || (s.Snapshot.Index == 0) != (s.Snapshot.Term == 0) {
		return bad("a snapshot at %d of term %d", s.Snapshot.Index, s.Snapshot.Term)
	}
	if !validInterval(s.Snapshot.Earliest, s.Snapshot.Latest) {
		return bad("a snapshot of %d … %d", s.Snapshot.Earliest, s.Snapshot.Latest)
	}
	if s.Snapshot.Index > 0 || len(s.Snapshot.Membership.Members) > 0 {
		if err := checkMembership(&s.Snapshot.Membership); err != nil {
			return bad("snapshot: %v", err)
		}
	}
	after := s.Snapshot.Index
	for i := range s.Memberships {
		if at := s.Memberships[i].Index; at <= after || at > s.Last {
			return bad("a membership at %d", at)
		}
		after = s.Memberships[i].Index
		if err := checkMembership(&s.Memberships[i].Membership); err != nil {
			return bad("entry %d: %v", s.Memberships[i].Index, err)
		}
	}
	return nil
}

// Cheap parts of Status.

// Role returns the part that this replica plays.
func (r *Raft) Role() Role { return r.role }

// Term returns the current term.
func (r *Raft) Term() Term { return r.term }

// Leader returns the leader of the current term, 0 if it is not known.
func (r *Raft) Leader() NodeID { return r.leader }

// Commit returns the highest index known to be committed.
func (r *Raft) Commit() Index { return r.commit }

// Last returns the index of the log's last entry.
func (r *Raft) Last() Index { return r.log.last }

// Err returns why the core has stopped for good, or nil.
func (r *Raft) Err() error { return r.err }

// advance takes the time of an input. Time never goes backwards here.
func (r *Raft) advance(now Instant) {
	r.now = max(r.now, now)
}

// Tick fires the timers that are due, each at most once. Call it at Deadline,
// after all messages that have arrived have been stepped: so a process that
// was paused does not campaign over heartbeats that it has not read.
func (r *Raft) Tick(now Instant) {
	r.advance(now)
	r.rest()
	switch {
	case r.err != nil:
	case r.role == Leader:
		r.tickLeader()
	case r.now >= r.silence():
		r.electionTimeout()
	}
}

// Deadline is when Tick is next needed; Never if not at all.
func (r *Raft) Deadline() Instant {
	switch {
	case r.err != nil:
		return Never
	case r.role == Leader:
		return min(r.leading.heartbeat, r.silence(), r.transferDeadline(), r.deferralDeadline())
	case r.mayCampaign() || r.leader != 0:
		return r.silence()
	}
	return Never
}

// Step takes a peer's message. m and its Entries slice are the caller's again
// when it returns; m is not changed. An error says why m was ignored:
// ErrMalformed, or ErrStopped after PersistFailed. Propose and ProposeReply
// are not for the core: how proposals are forwarded is the host's choice.
func (r *Raft) Step(now Instant, m *Message) error {
	if r.err != nil {
		return r.err
	}
	r.advance(now)
	if err := r.checkMessage(m); err != nil {
		r.ignore(m, err.Error())
		return err
	}
	switch {
	case m.Term > r.term && !announcesNoTerm(m):
		// Rules for Servers, all: "If RPC request or response contains term
		// T > currentTerm: set currentTerm = T, convert to follower (§5.1)".
		leader := NodeID(0)
		if m.Type == raftpb.AppendEntries || m.Type == raftpb.InstallSnapshot {
			leader = m.From
		}
		r.becomeFollower(m.Term, leader)
	case m.Term < r.term:
		r.stepStale(m)
		return nil
	}
	return r.dispatch(m)
}

// announcesNoTerm reports whether m's term is not one that its sender is in: a
// pre-vote asks about a term that nobody is in yet.
func announcesNoTerm(m *Message) bool {
	return m.Type == raftpb.PreVote || m.Type == raftpb.PreVoteReply && !m.Reject
}

// stepStale handles a message of an earlier term: one that asks for something
// is told the current term, so that its sender catches up; an answer is of no
// use any more.
func (r *Raft) stepStale(m *Message) {
	reply := Message{To: m.From, Reject: true, Marked: !r.unmarked}
	switch m.Type {
	case raftpb.PreVote:
		reply.Type, reply.Commit = raftpb.PreVoteReply, r.removalOf(m)
	case raftpb.RequestVote:
		reply.Type = raftpb.RequestVoteReply
	case raftpb.AppendEntries:
		reply.Type, reply.Index, reply.Window = raftpb.AppendEntriesReply, m.Index, r.windowRoom()
	case raftpb.InstallSnapshot:
		reply.Type = raftpb.InstallSnapshotReply
	case raftpb.PreVoteReply:
		r.hearRemoval(m)
		fallthrough
	default:
		r.ignore(m, "stale term")
		return
	}
	r.send(&reply)
}

// dispatch handles a message of the current term (a pre-vote: of a later one).
func (r *Raft) dispatch(m *Message) error {
	switch m.Type {
	case raftpb.PreVote:
		r.handlePreVote(m)
	case raftpb.PreVoteReply:
		r.handlePreVoteReply(m)
	case raftpb.RequestVote:
		r.handleRequestVote(m)
	case raftpb.RequestVoteReply:
		r.handleRequestVoteReply(m)
	case raftpb.AppendEntries:
		return r.handleAppendEntries(m)
	case raftpb.AppendEntriesReply:
		return r.handleAppendEntriesReply(m)
	case raftpb.InstallSnapshot:
		return r.handleInstallSnapshot(m)
	case raftpb.InstallSnapshotReply:
		return r.handleInstallSnapshotReply(m)
	case raftpb.ReadIndex:
		r.handleReadIndex(m)
	case raftpb.ReadIndexReply:
		r.handleReadIndexReply(m)
	case raftpb.TimeoutNow:
		r.handleTimeoutNow(m)
	}
	return nil
}

// checkMessage returns an ErrMalformed for a message that no correct member
// sends to this replica, whatever the state of either.
func (r *Raft) checkMessage(m *Message) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %v from node %d: %s", ErrMalformed, m.Type, m.From, fmt.Sprintf(format, args...))
	}
	switch {
	case m.To != r.cfg.ID || m.From == 0 || m.From == r.cfg.ID || m.Group != r.cfg.Group:
		return bad("addressed to node %d in group %d", m.To, m.Group)
	case m.Term > MaxTerm || m.LogTerm > m.Term || m.Term == 0 && (m.Type != raftpb.PreVoteReply || !m.Reject):
		return bad("term %d, log term %d", m.Term, m.LogTerm)
	case m.Index > MaxIndex || m.Match > MaxIndex || m.Verified > MaxIndex || m.Unmark > MaxIndex || m.Commit > MaxIndex:
		return bad("index out of range")
	}
	switch m.Type {
	case raftpb.PreVote, raftpb.RequestVote:
		if (m.Index == 0) != (m.LogTerm == 0) || m.LogTerm == m.Term {
			return bad("last entry %d of term %d", m.Index, m.LogTerm)
		}
	case raftpb.AppendEntries:
		return r.checkAppendEntries(m, bad)
	case raftpb.InstallSnapshot:
		s := m.Snapshot
		if s == nil || s.Index == 0 || s.Index > MaxIndex || s.Term == 0 || s.Term > m.Term || s.MembershipIndex > s.Index ||
			!validInterval(s.Earliest, s.Latest) {
			return bad("no valid snapshot")
		}
		if err := checkMembership(&s.Membership); err != nil {
			return bad("%v", err)
		}
	case raftpb.PreVoteReply, raftpb.RequestVoteReply, raftpb.AppendEntriesReply, raftpb.InstallSnapshotReply,
		raftpb.TimeoutNow, raftpb.ReadIndex, raftpb.ReadIndexReply:
	default:
		return bad("not a message for the core")
	}
	return nil
}

func (r *Raft) checkAppendEntries(m *Message, bad func(string, ...any) error) error {
	if (m.Index == 0) != (m.LogTerm == 0) {
		return bad("previous entry %d of term %d", m.Index, m.LogTerm)
	}
	if m.Index+Index(len(m.Entries)) > MaxIndex {
		return bad("index out of range")
	}
	index, term := m.Index, m.LogTerm
	for i := range m.Entries {
		e := &m.Entries[i]
		index++
		if e.Index != index || e.Term < max(term, 1) || e.Term > m.Term {
			return bad("entry %d of term %d after entry %d of term %d", e.Index, e.Term, index-1, term)
		}
		term = e.Term
		if !e.Intact() {
			return bad("entry %d does not match its checksum", e.Index)
		}
		if !validInterval(e.Earliest, e.Latest) {
			return bad("entry %d was created at %d … %d", e.Index, e.Earliest, e.Latest)
		}
		switch e.Type {
		case EntryCommand, EntryEmpty, EntryStateHash:
		case EntryMembership:
			if _, err := decodeMembership(e.Data); err != nil {
				return bad("entry %d: %v", e.Index, err)
			}
		default:
			return bad("entry %d of unknown type %d", e.Index, e.Type)
		}
	}
	return nil
}

// becomeFollower is one of the four role changes; the others are
// becomePreCandidate, becomeCandidate and becomeLeader. term is the current
// one or a later one; leader is 0 if it is not known.
func (r *Raft) becomeFollower(term Term, leader NodeID) {
	if term > r.term {
		r.setHardState(term, 0, r.unmarked)
	}
	led := r.role == Leader
	if r.role != Follower {
		r.resetElectionTimer()
	}
	changed := r.role != Follower || r.leader != leader || r.following.term != r.term
	r.role, r.leader = Follower, leader
	if r.following.term != r.term {
		r.following = followerState{term: r.term}
	}
	if led {
		reads := r.leading.reads
		r.endDepartures(func(*departure) bool { return true })
		r.leading = nil
		r.failReads(reads)
	}
	if changed {
		r.event(Event{Kind: EventRole})
	}
}

// becomePreCandidate: ask first whether an election could be won, without a
// change of term or vote that would disturb a leader (dissertation §9.6).
func (r *Raft) becomePreCandidate() {
	r.role, r.leader = PreCandidate, 0
	r.resetVotes()
	r.event(Event{Kind: EventRole})
}

// becomeCandidate: "increment currentTerm, vote for self" (figure 2).
func (r *Raft) becomeCandidate() {
	// A founder loses its mark with its first vote, its own included.
	r.setHardState(r.term+1, r.cfg.ID, true)
	r.role, r.leader = Candidate, 0
	r.following = followerState{term: r.term}
	r.election.ownVoteSeq = r.writes.newest()
	r.resetVotes()
	r.event(Event{Kind: EventRole})
}

// becomeLeader begins with an entry of the new term, since only such a one can
// be committed by counting (§5.4.2), and everything before it with it (§8).
func (r *Raft) becomeLeader() {
	if r.votedFor != r.cfg.ID || !r.hardStateDurable() {
		panic("raft: invariant broken: a leader whose own vote is not durable")
	}
	r.role, r.leader = Leader, r.cfg.ID
	r.leading = &leaderState{
		first:     r.log.last + 1,
		heartbeat: r.now.Add(r.cfg.HeartbeatInterval),
		watched:   commitWatch{commit: r.commit, since: r.now},

		dispensable: Never,
	}
	for i := range r.peers {
		r.peers[i].reset(r.log.last+1, r.now)
	}
	r.deferCommits()
	r.event(Event{Kind: EventRole})
	// The founding leader's first entry states the founding membership, so
	// that a member who has no Bootstrap finds it in the log.
	if r.log.last == 0 {
		r.appendMembership(r.members.latest().Membership)
	} else {
		r.appendOwn(Entry{Type: EntryEmpty})
	}
}

// hardState is what must not be forgotten, as of now. An advance of the commit
// index alone causes no write; a later one carries it.
func (r *Raft) hardState() HardState {
	return HardState{Term: r.term, Vote: r.votedFor, Commit: min(r.commit, r.log.last), Unmarked: r.unmarked}
}

// setHardState is the only place where term, vote and mark change.
func (r *Raft) setHardState(term Term, vote NodeID, unmarked bool) {
	if r.unmarked != unmarked {
		kind := EventUnmarked
		if !unmarked {
			kind = EventMarked
			r.mark = r.cfg.Random.Uint64()
		}
		r.event(Event{Kind: kind})
	}
	r.term, r.votedFor, r.unmarked = term, vote, unmarked
	r.writes.touchHardState()
}

func (r *Raft) ignore(m *Message, reason string) {
	r.ignored++
	r.event(Event{Kind: EventIgnored, Peer: m.From, Reason: reason})
}

func (r *Raft) event(e Event) {
	if !r.cfg.Events {
		return
	}
	e.Term, e.Role, e.Leader = r.term, r.role, r.leader
	r.events = append(r.events, e)
}

// fail stops the core for good.
func (r *Raft) fail(err error) {
	if r.err != nil {
		return
	}
	r.becomeFollower(r.term, 0)
	r.err = fmt.Errorf("%w: %w", ErrStopped, err)
	r.held, r.messages, r.handedOut, r.snapshots, r.logReads = nil, nil, 0, nil, nil
}

// peer returns the progress of a member, nil if it is none.
func (r *Raft) peer(id NodeID) *progress {
	for i := range r.peers {
		if r.peers[i].id == id {
			return &r.peers[i]
		}
	}
	return nil
}

// randomTimeout draws from [1, 2) times the election timeout (§5.2), and adds
// half of one where another one should lead, see priority.go.
func (r *Raft) randomTimeout() time.Duration {
	t := r.cfg.ElectionTimeout
	return t + r.deference() + time.Duration(r.cfg.Random.Uint64()%uint64(t))
}

// syncPeers makes peers what the membership in force says, keeping what is
// known of those who stay.
func (r *Raft) syncPeers() {
	m := &r.members.latest().Membership
	members := m.Members
	old := r.peers
	peers := make([]progress, 0, max(len(members), 1)-1) // everyone but this node
	r.members.selfVoter, r.members.selfOutgoing, r.members.selfPriority = false, false, 0
	for _, m := range members {
		if m.ID == r.cfg.ID {
			r.members.selfVoter, r.members.selfOutgoing, r.members.selfPriority = m.Voter, m.Outgoing, m.Priority
			continue
		}
		p := progress{id: m.ID}
		p.reset(r.log.last+1, r.now)
		if i := slices.IndexFunc(old, func(o progress) bool { return o.id == m.ID }); i >= 0 {
			p = old[i]
		}
		p.voter, p.outgoing, p.priority = m.Voter, m.Outgoing, m.Priority
		peers = append(peers, p)
	}
	r.peers = peers
	r.members.changing = isJoint(m) || hasIntent(m) || !r.members.selfVoter
	if r.role == Leader {
		r.syncDepartures(old)
	}
}

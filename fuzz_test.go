package raft

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft/raftpb"
)

// FuzzStep feeds a core arbitrary messages, in every role, with its disk and
// its state machine going on at any pace. Whatever a peer sends, nothing
// panics, and what this replica promises on its own holds.
func FuzzStep(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		seed := make([]byte, 40+rng.IntN(400))
		for i := range seed {
			seed[i] = byte(rng.Uint32())
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) { runFuzz(t, data) })
}

// TestFuzzStepAtRandom is FuzzStep on random bytes, for every run of the tests.
func TestFuzzStepAtRandom(t *testing.T) {
	for seed := range uint64(1500) {
		rng := rand.New(rand.NewPCG(seed, 3))
		data := make([]byte, 2000)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		runFuzz(t, data)
	}
}

func runFuzz(t *testing.T, data []byte) {
	s := newFuzzed(t, &tape{data: data})
	for s.tape.left() {
		s.step()
		s.check()
	}
}

// tape is the bytes of a fuzz run, zeros after their end.
type tape struct{ data []byte }

func (t *tape) left() bool { return len(t.data) > 0 }

func (t *tape) byte() byte {
	if len(t.data) == 0 {
		return 0
	}
	b := t.data[0]
	t.data = t.data[1:]
	return b
}

func (t *tape) n(n int) int { return int(t.byte()) % n }

// small is a number that is nearly always near base, and sometimes extreme.
func (t *tape) small(base uint64) uint64 {
	switch b := t.byte(); {
	case b < 200:
		return max(base+uint64(b%5), 2) - 2
	case b < 250:
		return uint64(b % 16)
	case b < 253:
		return uint64(MaxIndex) - uint64(b-250)
	default:
		return uint64(MaxIndex) + uint64(b-252)
	}
}

// fuzzed is a core under fuzzing, with its disk and state machine.
type fuzzed struct {
	t        *testing.T
	tape     *tape
	r        *Raft
	now      Instant
	disk     *testDisk
	writes   []Write
	apply    []Entry
	restore  *Snapshot
	logReads []LogRead
	sends    []SendSnapshot
	applied  Index

	role   Role
	term   Term
	commit Index
	last   Index
}

func newFuzzed(t *testing.T, tape *tape) *fuzzed {
	terms, term := []Term{}, Term(1)
	for range tape.n(8) {
		if tape.n(3) == 0 {
			term++
		}
		terms = append(terms, term)
	}
	voters := 1 + tape.n(4)
	d := diskOf(voters, term, terms...)
	d.snapshot.Membership.Members = append(d.snapshot.Membership.Members, Member{ID: 5})
	d.hard.Unmarked = tape.n(4) != 0
	d.hard.Commit = Index(tape.n(len(terms) + 1))
	if tape.n(4) == 0 {
		d.snapshot.Membership = Membership{}
		if len(terms) > 0 {
			d.snapshot.Membership = founding(2)
		}
	}
	s := &fuzzed{t: t, tape: tape, disk: d}
	s.start()
	return s
}

func (s *fuzzed) start() {
	cfg := DefaultCoreConfig(1, rand.NewPCG(1, 1))
	cfg.MaxWindowBytes, cfg.MaxMessageBytes, cfg.MaxUncommittedBytes, cfg.MaxApplyBytes, cfg.MaxEntryBytes = 400, 200, 400, 200, 1000
	cfg.Events = true
	r, err := New(cfg, s.disk.load(), s.now)
	if err != nil {
		s.t.Fatalf("does not start again: %v", err)
	}
	*s = fuzzed{t: s.t, tape: s.tape, r: r, now: s.now, disk: s.disk, term: r.term, commit: r.commit}
}

func (s *fuzzed) step() {
	tape := s.tape
	switch tape.n(16) {
	default:
		m := s.message()
		if err := s.r.Step(s.now, &m); err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrStopped) {
			s.t.Fatalf("Step: %v", err)
		}
	case 0:
		s.now = s.now.Add(time.Duration(tape.n(256)) * 5 * time.Millisecond)
		s.r.Tick(s.now)
	case 1:
		s.now = min(s.r.Deadline(), s.now.Add(time.Hour))
		s.r.Tick(s.now)
	case 2, 3:
		if len(s.writes) > 0 {
			s.disk.write(&s.writes[0])
			s.r.Persisted(s.now, s.writes[0].Seq)
			s.writes = s.writes[1:]
		}
	case 4:
		switch {
		case len(s.apply) > 0:
			s.applied = s.apply[len(s.apply)-1].Index
			s.apply = nil
			s.r.Applied(s.now, s.applied)
		case s.restore != nil:
			s.applied, s.restore = max(s.applied, s.disk.snapshot.Index), nil
			s.r.Applied(s.now, s.applied)
		}
	case 5:
		_, _ = s.r.Propose(s.now, []Entry{{Data: make([]byte, tape.n(200))}})
	case 6:
		_ = s.r.ReadIndex(s.now, uint64(tape.byte()))
	case 7:
		s.answerLogRead()
	case 8:
		switch tape.n(4) {
		case 0:
			s.r.Unreachable(s.now, NodeID(tape.n(6)))
		case 1:
			if len(s.sends) > 0 {
				s.r.SnapshotSent(s.now, s.sends[0].Message.To, Index(tape.small(uint64(s.r.log.last))), nil)
				s.sends = s.sends[1:]
			}
		case 2:
			s.compact()
		case 3:
			if tape.n(4) == 0 {
				s.start() // a crash
			}
		}
	}
	s.drain()
}

func (s *fuzzed) message() Message {
	tape, r := s.tape, s.r
	types := []raftpb.MessageType{
		raftpb.PreVote, raftpb.PreVoteReply, raftpb.RequestVote, raftpb.RequestVoteReply, raftpb.AppendEntries, raftpb.AppendEntries,
		raftpb.AppendEntries, raftpb.AppendEntriesReply, raftpb.AppendEntriesReply, raftpb.InstallSnapshot, raftpb.InstallSnapshotReply,
		raftpb.TimeoutNow, raftpb.ReadIndex, raftpb.ReadIndexReply, raftpb.Propose, 0,
	}
	flags := tape.byte()
	m := Message{
		Type: types[tape.n(len(types))], From: NodeID(2 + tape.n(4)), To: 1,
		Reject: flags&1 != 0, Marked: flags&14 == 14, Transfer: flags&16 != 0,
		Term: r.term, Round: leadingOf(r).round, Window: 1 << (flags % 12), Context: r.mark,
	}
	if flags&32 != 0 {
		m.Term = Term(tape.small(uint64(r.term) + 2))
	}
	if m.Type == raftpb.PreVoteReply && !m.Reject || m.Type == raftpb.PreVote {
		m.Term++
	}
	m.Index = Index(tape.small(uint64(r.log.last) + 1))
	if m.Type == raftpb.AppendEntries && flags&64 == 0 {
		m.Index = min(m.Index, r.log.last)
	}
	m.LogTerm, _ = r.log.term(m.Index)
	if flags&128 != 0 {
		m.LogTerm = Term(tape.small(uint64(r.log.lastTerm())))
	}
	m.Verified = m.Index
	switch m.Type {
	case raftpb.AppendEntries:
		m.Commit, m.Match = Index(tape.small(uint64(r.log.last))), Index(tape.small(0))
		m.Unmark, m.Round = Index(tape.small(0)), uint64(tape.n(4))
		index, term := m.Index, max(m.LogTerm, 1)
		for range tape.n(5) {
			index++
			term = min(max(term, Term(tape.small(uint64(m.Term)))), m.Term)
			e := Entry{Index: index, Term: term, Data: make([]byte, tape.n(200))}
			if tape.n(8) == 0 {
				members := s.membership()
				e.Type, e.Data = EntryMembership, members.Append(nil)
			}
			m.Entries = append(m.Entries, e)
		}
	case raftpb.AppendEntriesReply:
		m.Verified, m.Match = Index(tape.small(uint64(m.Index)+2)), Index(tape.small(uint64(m.Index)))
		m.Round = tape.small(m.Round + 1)
	case raftpb.InstallSnapshot:
		if tape.n(8) != 0 {
			if m.Index > MaxIndex/2 && m.Index <= MaxIndex {
				m.Index = 9 // a log that ends near MaxIndex leaves no room for any entry
			}
			m.Snapshot = &Snapshot{Index: m.Index, Term: max(m.LogTerm, 1), Membership: s.membership()}
			m.Index, m.LogTerm = 0, 0
		}
	}
	return m
}

func (s *fuzzed) membership() Membership {
	var m Membership
	for id := range NodeID(5) {
		if b := s.tape.byte(); b%4 != 0 {
			m.Members = append(m.Members, Member{ID: id + 1, Voter: b%4 != 1, Outgoing: b&16 != 0, Leaving: b&0x70 == 0x70})
		}
	}
	return m
}

func (s *fuzzed) answerLogRead() {
	if len(s.logReads) == 0 {
		return
	}
	q := s.logReads[0]
	s.logReads = s.logReads[1:]
	var entries []Entry
	for i := q.Lo; i < q.Hi && s.disk.entry(i) != nil && len(entries) < 3; i++ {
		entries = append(entries, *s.disk.entry(i))
	}
	if len(entries) > 0 {
		s.r.LogRead(s.now, q, entries, nil)
	}
}

func (s *fuzzed) compact() {
	snapshot, err := s.r.SnapshotAt(s.applied)
	if err != nil || snapshot.Index <= s.disk.snapshot.Index || s.disk.entry(snapshot.Index) == nil ||
		len(snapshot.Membership.Members) == 0 { // no real log is without one
		return
	}
	through := snapshot.Index - min(snapshot.Index, Index(s.tape.n(4)))
	s.disk.snapshot = snapshot
	if through >= s.disk.first {
		s.disk.log = slices.Clone(s.disk.log[through+1-s.disk.first:])
		s.disk.first = through + 1
	}
	s.r.Compacted(s.now, snapshot, through)
}

func (s *fuzzed) drain() {
	rd := s.r.Ready()
	if rd.Write.Seq != 0 {
		rd.Write.Entries = slices.Clone(rd.Write.Entries)
		s.writes = append(s.writes, rd.Write)
	}
	for i := range rd.Messages {
		s.checkSent(&rd.Messages[i])
	}
	if len(rd.Committed) > 0 {
		if len(s.apply) > 0 || s.restore != nil || rd.Committed[0].Index != s.applied+1 {
			s.t.Fatalf("applied %d, to apply %d more, now from %d", s.applied, len(s.apply), rd.Committed[0].Index)
		}
		s.apply = slices.Clone(rd.Committed)
	}
	if rd.Restore != nil {
		s.restore = rd.Restore
	}
	s.logReads = append(s.logReads, rd.LogReads...)
	s.sends = append(s.sends, rd.Snapshots...)
}

// checkSent: what is sent is durable, and well-formed to its receiver.
func (s *fuzzed) checkSent(m *Message) {
	d := s.disk
	if !announcesNoTerm(m) && m.Term > d.hard.Term {
		s.t.Fatalf("reveals term %d, durable is %d: %s", m.Term, d.hard.Term, describe(m))
	}
	if m.Type == raftpb.RequestVoteReply && !m.Reject && (d.hard.Term != m.Term || d.hard.Vote != m.To || !d.hard.Unmarked) {
		s.t.Fatalf("grants what is not durable: %s, %+v", describe(m), d.hard)
	}
	if (m.Type == raftpb.AppendEntriesReply || m.Type == raftpb.InstallSnapshotReply) && !m.Reject && m.Index > max(d.last(), d.snapshot.Index) {
		s.t.Fatalf("acknowledges %d, durable is %d", m.Index, d.last())
	}
	receiver := &Raft{cfg: CoreConfig{ID: m.To}}
	if err := receiver.checkMessage(m); err != nil && m.Term <= MaxTerm {
		s.t.Fatalf("sends %s: %v", describe(m), err)
	}
}

func (s *fuzzed) check() {
	r := s.r
	window := r.log.window.bytes(0, r.log.last)
	switch {
	case r.term < s.term || r.commit < s.commit:
		s.t.Fatalf("term %d→%d, commit %d→%d", s.term, r.term, s.commit, r.commit)
	case r.commit > r.log.last || r.durable() > r.log.last || r.log.base > r.commit:
		s.t.Fatalf("commit %d, durable %d, base %d, last %d", r.commit, r.durable(), r.log.base, r.log.last)
	case s.role == Leader && r.role == Leader && s.term == r.term && r.log.last < s.last:
		s.t.Fatalf("leader append-only: %d→%d", s.last, r.log.last)
	case r.log.window.next() != r.log.last+1:
		s.t.Fatalf("window ends at %d, log at %d", r.log.window.next()-1, r.log.last)
	case window > 2*r.cfg.MaxWindowBytes+r.cfg.MaxUncommittedBytes+r.cfg.MaxEntryBytes:
		s.t.Fatalf("window of %d bytes", window)
	case r.role == Leader && (r.leader != 1 || r.votedFor != 1):
		s.t.Fatalf("leads, but knows of leader %d and voted for %d", r.leader, r.votedFor)
	case len(r.held) > 13*6 || len(leadingOf(r).reads) > maxPendingReads:
		s.t.Fatalf("%d messages held", len(r.held))
	case r.Err() != nil:
		s.t.Fatalf("stopped: %v", r.Err())
	}
	s.role, s.term, s.commit, s.last = r.role, r.term, r.commit, r.log.last
}

// leadingOf is what r knows as a leader: nothing if it is none.
func leadingOf(r *Raft) leaderState {
	if r.leading == nil {
		return leaderState{}
	}
	return *r.leading
}

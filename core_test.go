package raft

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// --- one core alone: the test is its peers, its disk and its clock ---

// loneCore is a core whose peers are the test. Its writes complete when the
// test says so.
type loneCore struct {
	*Raft
	t   testing.TB
	now Instant
	seq uint64 // the newest write handed out
	// What Ready has handed out.
	writes    []Write
	sent      []Message
	committed []Entry
	restores  []*Snapshot
	logReads  []LogRead
	sends     []SendSnapshot
	answers   []ReadState
	events    []Event
}

// newLoneCore starts core 1 of a group of n voters in the given term, with a
// durable log of entries of the given terms.
func newLoneCore(t testing.TB, n int, term Term, terms ...Term) *loneCore {
	t.Helper()
	d := diskOf(n, term, terms...)
	return newLoneCoreFrom(t, d.load(), nil)
}

func newLoneCoreFrom(t testing.TB, state State, adjust func(*CoreConfig)) *loneCore {
	t.Helper()
	cfg := DefaultCoreConfig(1, rand.NewPCG(1, 1))
	if adjust != nil {
		adjust(&cfg)
	}
	r, err := New(cfg, state, 0)
	require.NoError(t, err)
	c := &loneCore{Raft: r, t: t}
	c.drain()
	return c
}

// diskOf is the disk of an unmarked member of n voters in the given term whose
// log holds entries of the given terms. An entry's data follows from its index
// and term, so logs of different nodes match.
func diskOf(n int, term Term, terms ...Term) *testDisk {
	d := &testDisk{
		hard:     HardState{Term: term, Unmarked: true},
		snapshot: Snapshot{Membership: founding(n)}, first: 1,
	}
	for i, t := range terms {
		d.log = append(d.log, testEntry(Index(i+1), t))
	}
	return d
}

func testEntry(index Index, term Term) Entry {
	return Entry{Index: index, Term: term, Data: fmt.Appendf(nil, "%d@%d", index, term)}
}

// testEntries are the entries from first on, of the given terms.
func testEntries(first Index, terms ...Term) []Entry {
	var entries []Entry
	for i, t := range terms {
		entries = append(entries, testEntry(first+Index(i), t))
	}
	return entries
}

func repeat(n int, term Term) []Term { return slices.Repeat([]Term{term}, n) }

// logTerms are the terms of a core's log, from its start.
func logTerms(r *Raft) []Term {
	terms := []Term{}
	for i := r.log.base + 1; i <= r.log.last; i++ {
		t, _ := r.log.term(i)
		terms = append(terms, t)
	}
	return terms
}

// drain takes what Ready hands out.
func (c *loneCore) drain() {
	rd := c.Ready()
	for _, m := range rd.Messages {
		m.Entries = slices.Clone(m.Entries)
		c.sent = append(c.sent, m)
	}
	if rd.Write.Seq != 0 {
		rd.Write.Entries = slices.Clone(rd.Write.Entries)
		c.writes, c.seq = append(c.writes, rd.Write), rd.Write.Seq
	}
	c.committed = append(c.committed, rd.Committed...)
	c.logReads = append(c.logReads, rd.LogReads...)
	c.sends = append(c.sends, rd.Snapshots...)
	c.answers = append(c.answers, rd.Reads...)
	c.events = append(c.events, rd.Events...)
	if rd.Restore != nil {
		c.restores = append(c.restores, rd.Restore)
	}
}

// try steps m, addressed to the core, and returns the core's verdict.
func (c *loneCore) try(m Message) error {
	c.t.Helper()
	if m.To == 0 {
		m.To = 1
	}
	err := c.Step(c.now, &m)
	c.drain()
	return err
}

// receive steps m, which the core must accept, and returns what it sends.
func (c *loneCore) receive(m Message) []Message {
	c.t.Helper()
	require.NoError(c.t, c.try(m))
	return c.takeSent()
}

// persistTo completes the writes up to seq, and returns what the core sends.
func (c *loneCore) persistTo(seq uint64) []Message {
	c.Persisted(c.now, seq)
	c.drain()
	return c.takeSent()
}

// persistAll completes all writes, also those that come of completing some.
func (c *loneCore) persistAll() []Message {
	for c.writesPersisted() < c.seq {
		c.Persisted(c.now, c.seq)
		c.drain()
	}
	return c.takeSent()
}

func (c *loneCore) writesPersisted() uint64 { return c.Raft.writes.persisted }

func (c *loneCore) takeSent() []Message {
	sent := c.sent
	c.sent = nil
	return sent
}

// tickAt fires the timers at the given time.
func (c *loneCore) tickAt(now Instant) []Message {
	c.now = now
	c.Tick(now)
	c.drain()
	return c.takeSent()
}

// lead makes the core the leader, by the votes of everybody, and settles its
// first write. It returns what it has sent since its election.
func (c *loneCore) lead() []Message {
	c.t.Helper()
	c.tickAt(c.Deadline())
	c.voteAll(raftpb.PreVoteReply, c.term+1)
	c.persistAll()
	c.voteAll(raftpb.RequestVoteReply, c.term)
	require.Equal(c.t, Leader, c.Role())
	return c.persistAll()
}

func (c *loneCore) voteAll(kind raftpb.MessageType, term Term) {
	for _, p := range slices.Clone(c.peers) {
		if c.role == PreCandidate && kind == raftpb.PreVoteReply || c.role == Candidate && kind == raftpb.RequestVoteReply {
			require.NoError(c.t, c.try(Message{Type: kind, From: p.id, Term: term}))
		}
	}
}

// ack is the reply of a peer that holds everything up to index, durably.
func (c *loneCore) ack(from NodeID, index Index) []Message {
	c.t.Helper()
	return c.receive(Message{
		Type: raftpb.AppendEntriesReply, From: from, Term: c.term, Index: index, Verified: index,
		Round: c.leading.round, Window: 1 << 20,
	})
}

func (c *loneCore) proposeData(data ...string) {
	c.t.Helper()
	var entries []Entry
	for _, d := range data {
		entries = append(entries, Entry{Data: []byte(d)})
	}
	_, err := c.Propose(c.now, entries)
	require.NoError(c.t, err)
	c.drain()
}

func only(t testing.TB, messages []Message) Message {
	t.Helper()
	require.Len(t, messages, 1)
	return messages[0]
}

func ofType(messages []Message, kind raftpb.MessageType) []Message {
	var found []Message
	for _, m := range messages {
		if m.Type == kind {
			found = append(found, m)
		}
	}
	return found
}

func to(messages []Message, id NodeID) []Message {
	var found []Message
	for _, m := range messages {
		if m.To == id {
			found = append(found, m)
		}
	}
	return found
}

// --- more of what a cluster of them can do ---

// newClusterOf starts a cluster whose members have the given disks; a nil one
// is down.
func newClusterOf(t testing.TB, cfg func(*CoreConfig), disks ...*testDisk) *testCluster {
	c := newTestCluster(t, len(disks), cfg)
	for i, d := range disks {
		if d == nil {
			c.crash(NodeID(i + 1))
			continue
		}
		c.replaceDisk(NodeID(i+1), d)
	}
	return c
}

// pass delivers the messages that are on their way now and match, in order.
func (c *testCluster) pass(match func(m *Message) bool) int {
	passing := []flying{}
	c.net = slices.DeleteFunc(c.net, func(f flying) bool {
		if !match(&f.m) {
			return false
		}
		passing = append(passing, f)
		return true
	})
	for _, f := range passing {
		c.receive(f)
	}
	return len(passing)
}

// lose drops the messages that are on their way now and match.
func (c *testCluster) lose(match func(m *Message) bool) []Message {
	lost := []Message{}
	c.net = slices.DeleteFunc(c.net, func(f flying) bool {
		if match(&f.m) {
			lost = append(lost, f.m)
			return true
		}
		return false
	})
	return lost
}

func (c *testCluster) persistAll(ids ...NodeID) {
	for _, id := range ids {
		for len(c.node(id).writes) > 0 {
			c.persist(id)
		}
	}
}

func between(kind raftpb.MessageType, from, to NodeID) func(*Message) bool {
	return func(m *Message) bool {
		return m.Type == kind && (from == 0 || m.From == from) && (to == 0 || m.To == to)
	}
}

func (c *testCluster) requireLeader(want NodeID) {
	c.t.Helper()
	require.Equal(c.t, want, c.leader())
}

// cutOff keeps the given nodes from all others, and lets what is in flight
// among the rest go on.
func cutOff(ids ...NodeID) func(*Message) bool {
	return func(m *Message) bool { return slices.Contains(ids, m.From) != slices.Contains(ids, m.To) }
}

// What was handed out to be applied is not kept in memory by a shorter batch that
// takes its place.
func TestAppliedDataIsForgotten(t *testing.T) {
	c := newBenchCluster(t, 3, false)
	leader := c.cores[0]
	propose := func(n int) {
		_, err := leader.Propose(c.now, slices.Repeat([]Entry{{Data: []byte("data")}}, n))
		require.NoError(t, err)
		c.settle()
	}
	propose(64)
	require.NotNil(t, leader.apply.batch[63].Data)
	propose(1)
	batch := leader.apply.batch
	require.Len(t, batch, 1)
	for i, e := range batch[1:64] {
		require.Nil(t, e.Data, "place %d", i+1)
	}
}

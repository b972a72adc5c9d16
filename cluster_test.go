package raft

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft/internal/bridge"
	"github.com/seed-6281cb22/raft/internal/invariant"
	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// testDisk is a disk on which a write is durable when it is applied, and never
// in part. It is the whole of what survives a crash.
type testDisk struct {
	hard        HardState
	snapshot    Snapshot
	data        []Entry // what the snapshot's state machine had applied
	first       Index   // of log
	log         []Entry
	uninstalled *Snapshot // committed by a snapshot writer, not installed yet
	uninstData  []Entry
}

func (d *testDisk) last() Index { return d.first + Index(len(d.log)) - 1 }

func (d *testDisk) entry(i Index) *Entry {
	if i < d.first || i > d.last() {
		return nil
	}
	return &d.log[i-d.first]
}

func (d *testDisk) write(w *Write) {
	d.hard = w.HardState
	if s := w.Snapshot; s != nil {
		d.snapshot = s.Clone()
		if d.uninstalled != nil && d.uninstalled.Index == s.Index {
			d.data, d.uninstalled, d.uninstData = d.uninstData, nil, nil
		}
		d.first, d.log = s.Index+1, nil
	}
	if len(w.Entries) > 0 {
		d.log = append(slices.Clip(d.log[:w.Entries[0].Index-d.first]), w.Entries...)
	}
}

// load is what Storage.Load returns: after a snapshot writer's Commit its
// snapshot, with the log only if that holds the snapshot's last entry (H18).
func (d *testDisk) load() State {
	if s := d.uninstalled; s != nil {
		if e := d.entry(s.Index); e == nil || e.Term != s.Term {
			d.first, d.log = s.Index+1, nil
		}
		d.snapshot, d.data = *s, d.uninstData
		d.uninstalled, d.uninstData = nil, nil
	}
	s := State{HardState: d.hard, Snapshot: d.snapshot.Clone(), First: d.first, Last: d.last()}
	for i := range d.log {
		e := &d.log[i]
		if n := len(s.Runs); n == 0 || s.Runs[n-1].Term != e.Term {
			s.Runs = append(s.Runs, TermRun{First: e.Index, Term: e.Term})
		}
		if e.Type == EntryMembership && e.Index > s.Snapshot.Index {
			m, _ := decodeMembership(e.Data)
			s.Memberships = append(s.Memberships, MembershipAt{Index: e.Index, Membership: m})
		}
	}
	return s
}

// testNode is a core with its disk and its state machine, which is the list
// of the entries that it has applied.
type testNode struct {
	id       NodeID
	r        *Raft // nil: down
	disk     *testDisk
	writes   []Write // handed out, not durable yet
	apply    []Entry
	restore  *Snapshot
	logReads []LogRead
	sends    []SendSnapshot
	reads    []ReadState
	events   []Event
	applied  []Entry
	index    Index // applied up to

	incarnation int
}

// flying is a message on its way, with a snapshot's data if it carries one.
type flying struct {
	m    Message
	data []Entry
}

// testCluster runs cores in one goroutine. Nothing happens by itself: tests
// deliver messages, complete writes and fire timers, one at a time or with
// settle. All invariants are checked after every step.
type testCluster struct {
	t     testing.TB
	nodes []*testNode
	net   []flying
	now   Instant
	// stalled disks complete no write in settle; cut drops messages.
	stalled map[NodeID]bool
	cut     func(m *Message) bool
	cfg     func(*CoreConfig)
	seed    uint64

	check   invariant.Checker
	view    bridge.View
	steps   int
	history []string
}

func founding(n int) Membership {
	var m Membership
	for i := range n {
		m.Members = append(m.Members, Member{ID: NodeID(i + 1), Address: fmt.Sprintf("host-%d", i+1), Voter: true})
	}
	return m
}

func newTestCluster(t testing.TB, n int, cfg func(*CoreConfig)) *testCluster {
	c := &testCluster{
		t: t, cfg: cfg, seed: 1,
		stalled: map[NodeID]bool{}, cut: func(*Message) bool { return false },
	}
	for i := range n {
		node := &testNode{id: NodeID(i + 1), disk: &testDisk{first: 1, snapshot: Snapshot{Membership: founding(n)}}}
		c.nodes = append(c.nodes, node)
		c.start(node.id)
	}
	return c
}

func (c *testCluster) node(id NodeID) *testNode { return c.nodes[id-1] }

func (c *testCluster) failf(format string, args ...any) {
	c.t.Helper()
	for _, line := range c.history[max(0, len(c.history)-60):] {
		c.t.Log(line)
	}
	c.t.Fatalf("step %d: %s", c.steps, fmt.Sprintf(format, args...))
}

func (c *testCluster) logf(format string, args ...any) {
	c.steps++
	if len(c.history) > 4000 {
		c.history = slices.Delete(c.history, 0, 2000)
	}
	c.history = append(c.history, fmt.Sprintf("%5d %v ", c.steps, time.Duration(c.now))+fmt.Sprintf(format, args...))
}

// start starts a node from its disk.
func (c *testCluster) start(id NodeID) {
	n := c.node(id)
	n.incarnation++
	cfg := DefaultCoreConfig(id, rand.NewPCG(c.seed, uint64(id)<<32+uint64(n.incarnation)))
	if c.cfg != nil {
		c.cfg(&cfg)
	}
	state := n.disk.load()
	c.check.Started(id, checkedState(&state, n.disk.log))
	r, err := New(cfg, state, c.now)
	if err != nil {
		c.failf("node %d does not start from %+v: %v", id, state, err)
	}
	*n = testNode{id: id, r: r, disk: n.disk, incarnation: n.incarnation}
	c.logf("start %d: term %d, log %d..%d, commit %d", id, r.term, state.First, state.Last, r.commit)
	c.after(n)
}

// checkedState is what the checker is told of a State.
func checkedState(s *State, entries []Entry) *invariant.State {
	checked := &invariant.State{
		HardState: s.HardState, SnapshotIndex: s.Snapshot.Index, SnapshotTerm: s.Snapshot.Term,
		First: s.First, Last: s.Last, Entries: entries,
	}
	for _, run := range s.Runs {
		checked.Runs = append(checked.Runs, invariant.Run(run))
	}
	return checked
}

// crash ends a node; what it has not written is lost.
func (c *testCluster) crash(id NodeID) {
	n := c.node(id)
	*n = testNode{id: id, disk: n.disk, incarnation: n.incarnation}
	c.check.Crashed(id)
	c.logf("crash %d", id)
}

func (c *testCluster) restart(id NodeID) {
	c.crash(id)
	c.start(id)
}

// wipe loses a node's disk, and keeps at most the list it was founded with.
func (c *testCluster) wipe(id NodeID, bootstrap Membership) {
	c.replaceDisk(id, &testDisk{first: 1, snapshot: Snapshot{Membership: bootstrap}})
}

// replaceDisk restarts a node with another disk: what it has written, and what
// others know of that, is no more.
func (c *testCluster) replaceDisk(id NodeID, d *testDisk) {
	c.crash(id)
	c.node(id).disk = d
	c.check.Wiped(id)
	c.logf("another disk for %d", id)
	c.start(id)
}

// after drains Ready and checks everything.
func (c *testCluster) after(n *testNode) { c.afterInput(n, invariant.Step{}) }

// afterInput is after for one input, which step names.
func (c *testCluster) afterInput(n *testNode, step invariant.Step) {
	if n.r == nil {
		return
	}
	rd := n.r.Ready()
	bridge.Inspect(n.r, &c.view)
	step.View, step.Messages, step.Committed, step.Restore = &c.view, rd.Messages, rd.Committed, rd.Restore
	step.Write = invariant.Write{
		Seq: rd.Write.Seq, HardState: rd.Write.HardState, Snapshot: rd.Write.Snapshot, Entries: rd.Write.Entries,
	}
	c.check.Stepped(&step)
	for i := range rd.Messages {
		m := rd.Messages[i]
		m.Entries = slices.Clone(m.Entries)
		if !c.cut(&m) {
			c.net = append(c.net, flying{m: m})
		}
	}
	if rd.Write.Seq != 0 {
		w := rd.Write
		w.Entries = slices.Clone(w.Entries)
		if w.Snapshot != nil {
			s := w.Snapshot.Clone()
			w.Snapshot = &s
		}
		n.writes = append(n.writes, w)
	}
	if len(rd.Committed) > 0 {
		if len(n.apply) > 0 || n.restore != nil {
			c.failf("node %d: more to apply before the last was applied", n.id)
		}
		n.apply = slices.Clone(rd.Committed)
	}
	if rd.Restore != nil {
		n.restore = rd.Restore
	}
	n.logReads = append(n.logReads, rd.LogReads...)
	n.sends = append(n.sends, rd.Snapshots...)
	n.reads = append(n.reads, rd.Reads...)
	n.events = append(n.events, rd.Events...)
	for _, read := range rd.Reads {
		if read.OK {
			c.check.ReadAnswered(n.id, read.ID, read.Index)
		}
	}
	if err := c.check.Err(); err != nil {
		c.failf("%v", err)
	}
}

// --- one step each ---

func (c *testCluster) tick(id NodeID) {
	n := c.node(id)
	c.logf("tick %d", id)
	n.r.Tick(c.now)
	c.afterInput(n, invariant.Step{Ticked: true})
}

// deliver delivers the i-th message on its way, and keeps it if again.
func (c *testCluster) deliver(i int) {
	f := c.net[i]
	c.net = slices.Delete(c.net, i, i+1)
	c.receive(f)
}

func (c *testCluster) receive(f flying) {
	n := c.node(f.m.To)
	c.logf("deliver %s", describe(&f.m))
	if n.r == nil {
		return
	}
	m := f.m
	m.Entries = slices.Clone(m.Entries)
	if m.Type == raftpb.InstallSnapshot && m.Term >= n.r.Term() && m.Snapshot.Index > n.r.Commit() {
		s := m.Snapshot.Clone()
		n.disk.uninstalled, n.disk.uninstData = &s, f.data
		c.check.SnapshotCommitted(n.id, s.Index, s.Term)
	}
	if err := n.r.Step(c.now, &m); err != nil && n.r.Err() == nil {
		c.failf("node %d refuses %s: %v", n.id, describe(&m), err)
	}
	c.afterInput(n, invariant.Step{Delivered: &m})
}

func describe(m *Message) string {
	s := fmt.Sprintf("%v %d→%d term %d index %d@%d", m.Type, m.From, m.To, m.Term, m.Index, m.LogTerm)
	if len(m.Entries) > 0 {
		s += fmt.Sprintf(" +%d (to @%d)", len(m.Entries), m.Entries[len(m.Entries)-1].Term)
	}
	return s + fmt.Sprintf(" commit %d round %d match %d verified %d reject %v marked %v unmark %d",
		m.Commit, m.Round, m.Match, m.Verified, m.Reject, m.Marked, m.Unmark)
}

// persist completes the oldest write of a node.
func (c *testCluster) persist(id NodeID) {
	n := c.node(id)
	w := n.writes[0]
	n.writes = n.writes[1:]
	n.disk.write(&w)
	c.check.WriteDurable(id, w.Seq)
	c.logf("persist %d: write %d, %d entries", id, w.Seq, len(w.Entries))
	n.r.Persisted(c.now, w.Seq)
	c.after(n)
}

// applyNext lets a node apply, or restore, what it was given.
func (c *testCluster) applyNext(id NodeID) {
	n := c.node(id)
	switch {
	case len(n.apply) > 0:
		for _, e := range n.apply {
			n.applied, n.index = append(n.applied, e), e.Index
		}
		n.apply = nil
	case n.restore != nil:
		n.applied, n.index = slices.Clone(n.disk.data), n.disk.snapshot.Index
		c.check.Restored(id, n.index, n.disk.snapshot.Term)
		n.restore = nil
	default:
		return
	}
	c.logf("applied %d: up to %d", id, n.index)
	n.r.Applied(c.now, n.index)
	c.after(n)
}

func (c *testCluster) answerLogRead(id NodeID) {
	n := c.node(id)
	q := n.logReads[0]
	n.logReads = n.logReads[1:]
	var entries []Entry
	size := 0
	for i := q.Lo; i < q.Hi; i++ {
		e := n.disk.entry(i)
		if e == nil || len(entries) > 0 && size+len(e.Data) > q.MaxBytes {
			break
		}
		entries, size = append(entries, *e), size+len(e.Data)
	}
	var err error
	if len(entries) == 0 {
		err = ErrCompacted
	}
	c.logf("log read %d: %+v: %d", id, q, len(entries))
	n.r.LogRead(c.now, q, entries, err)
	c.after(n)
}

// sendSnapshot sends a snapshot that was asked for; lost says that it fails.
func (c *testCluster) sendSnapshot(id NodeID, lost bool) {
	n := c.node(id)
	m := n.sends[0].Message
	n.sends = n.sends[1:]
	s := n.disk.snapshot.Clone()
	m.Snapshot = &s
	lost = lost || c.cut(&m)
	c.logf("snapshot %d→%d at %d, lost %v", id, m.To, s.Index, lost)
	var err error
	if lost {
		err = errors.New("lost")
	} else {
		c.receive(flying{m: m, data: slices.Clone(n.disk.data)})
	}
	n.r.SnapshotSent(c.now, m.To, s.Index, err)
	c.after(n)
}

// compact takes a snapshot at what is applied and keeps trailing entries.
func (c *testCluster) compact(id NodeID, trailing Index) {
	n := c.node(id)
	s, err := n.r.SnapshotAt(n.index)
	if err != nil || s.Index <= n.disk.snapshot.Index || n.disk.uninstalled != nil {
		return
	}
	n.disk.snapshot, n.disk.data = s, slices.Clone(n.applied)
	c.check.SnapshotCommitted(id, s.Index, s.Term)
	through := s.Index - min(trailing, s.Index)
	if e := n.disk.entry(s.Index); e == nil || e.Term != s.Term {
		c.failf("node %d: snapshot at %d, which is not durable", id, s.Index)
	}
	c.logf("compact %d: snapshot at %d, log after %d", id, s.Index, through)
	if through >= n.disk.first {
		n.disk.log = slices.Clone(n.disk.log[through+1-n.disk.first:])
		n.disk.first = through + 1
	}
	n.r.Compacted(c.now, s, through)
	c.after(n)
}

func (c *testCluster) propose(id NodeID, data ...string) error {
	n := c.node(id)
	var entries []Entry
	for _, d := range data {
		entries = append(entries, Entry{Data: []byte(d)})
	}
	_, err := n.r.Propose(c.now, entries)
	c.logf("propose %d: %q: %v", id, data, err)
	c.after(n)
	return err
}

func (c *testCluster) changeMembership(id NodeID, changes ...Change) error {
	n := c.node(id)
	_, err := n.r.ChangeMembership(c.now, changes...)
	c.logf("change %d: %v: %v", id, changes, err)
	c.after(n)
	return err
}

func (c *testCluster) transfer(id, to NodeID) error {
	n := c.node(id)
	err := n.r.TransferLeadership(c.now, to)
	c.logf("transfer %d→%d: %v", id, to, err)
	c.after(n)
	return err
}

func (c *testCluster) readIndex(id NodeID, read uint64) error {
	n := c.node(id)
	c.check.ReadBegun(id, read)
	err := n.r.ReadIndex(c.now, read)
	c.logf("read %d: id %d: %v", id, read, err)
	c.after(n)
	return err
}

// --- many steps ---

// settle delivers, writes, applies until nothing is left; no timer fires.
func (c *testCluster) settle() {
	for range 100_000 {
		if !c.settleOnce() {
			return
		}
	}
	c.failf("does not settle")
}

func (c *testCluster) settleOnce() bool {
	if len(c.net) > 0 {
		c.deliver(0)
		return true
	}
	for _, n := range c.nodes {
		switch {
		case n.r == nil:
		case len(n.writes) > 0 && !c.stalled[n.id]:
			c.persist(n.id)
			return true
		case len(n.apply) > 0 || n.restore != nil:
			c.applyNext(n.id)
			return true
		case len(n.logReads) > 0:
			c.answerLogRead(n.id)
			return true
		case len(n.sends) > 0:
			c.sendSnapshot(n.id, false)
			return true
		}
	}
	return false
}

// run lets d of virtual time pass, with everything else immediate.
func (c *testCluster) run(d time.Duration) {
	end := c.now.Add(d)
	c.settle()
	for {
		next, who := end+1, (*testNode)(nil)
		for _, n := range c.nodes {
			if n.r != nil && n.r.Deadline() < next {
				next, who = n.r.Deadline(), n
			}
		}
		if who == nil {
			c.now = end
			return
		}
		c.now = max(c.now, next)
		c.tick(who.id)
		if who.r.Deadline() <= c.now {
			c.failf("node %d: a tick at its deadline does not move it: %v", who.id, time.Duration(who.r.Deadline()))
		}
		c.settle()
	}
}

// elect makes id the leader, as if its timer had been the first to fire.
func (c *testCluster) elect(id NodeID) {
	c.t.Helper()
	// What others remember of a leader must be older than an election timeout.
	for range 20 {
		c.now = max(c.now.Add(DefaultElectionTimeout), c.node(id).r.Deadline())
		c.tick(id)
		c.settle()
		if c.node(id).r.Role() == Leader {
			return
		}
	}
	c.failf("node %d does not win", id)
}

// join starts a node that is no member and holds nothing.
func (c *testCluster) join() NodeID {
	n := &testNode{id: NodeID(len(c.nodes) + 1), disk: &testDisk{first: 1}}
	c.nodes = append(c.nodes, n)
	c.start(n.id)
	return n.id
}

// votersOf are the voters of the membership in force at a node, of a joint one
// the incoming ones.
func votersOf(r *Raft) []NodeID {
	ids := []NodeID{}
	for _, m := range r.members.latest().Membership.Members {
		if m.Voter {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

func (c *testCluster) leader() NodeID {
	best := NodeID(0)
	for _, n := range c.nodes {
		if n.r != nil && n.r.Role() == Leader && (best == 0 || n.r.Term() > c.node(best).r.Term()) {
			best = n.id
		}
	}
	return best
}

// isolate cuts the given nodes off from all others, both ways.
func (c *testCluster) isolate(ids ...NodeID) {
	c.cut = func(m *Message) bool { return slices.Contains(ids, m.From) != slices.Contains(ids, m.To) }
	c.net = slices.DeleteFunc(c.net, func(f flying) bool { return c.cut(&f.m) })
}

func (c *testCluster) heal() { c.cut = func(*Message) bool { return false } }

// appliedData returns the commands that a node has applied.
func (c *testCluster) appliedData(id NodeID) []string {
	var data []string
	for _, e := range c.node(id).applied {
		if e.Type == EntryCommand {
			data = append(data, string(e.Data))
		}
	}
	return data
}

func (c *testCluster) requireApplied(want []string, ids ...NodeID) {
	c.t.Helper()
	for _, id := range ids {
		require.Equal(c.t, want, c.appliedData(id), "node %d", id)
	}
}

// requireConsistent: with everything delivered and applied, all nodes have
// applied the same.
func (c *testCluster) requireConsistent() {
	c.t.Helper()
	first := c.nodes[0]
	for _, n := range c.nodes[1:] {
		if n.index != first.index || !slices.EqualFunc(n.applied, first.applied, func(a, b Entry) bool {
			return a.Index == b.Index && a.Term == b.Term && string(a.Data) == string(b.Data)
		}) {
			c.failf("nodes %d and %d differ: applied %d and %d", first.id, n.id, first.index, n.index)
		}
	}
}

package raft

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// simReplica is a replica with its disk and its state machine: the list of the
// commands that it has applied.
type simReplica struct {
	id      NodeID
	c       *simCluster
	r       *replica // nil: down
	disk    *testDisk
	newest  Snapshot // the newest snapshot committed in the storage …
	data    []string // … and its data
	applied []string

	writes   []Write  // handed out, not durable yet
	commands []string // of the task that is being answered
	logReads []LogRead
	sends    []SendSnapshot
	taking   *simSnapshot // captured, being written
	runs     int
	answered func() // what callers do next who are answered together, once
}

type simSnapshot struct {
	meta Snapshot
	data []string
}

// simReceive is a snapshot of which a replica has begun to receive the data.
type simReceive struct {
	m    Message
	data []string
	from *simReplica
	to   *simReplica
	run  [2]int // of both, when it began
}

// simCall is a proposal, or a read barrier, and how it ended.
type simCall struct {
	future  future
	node    *simReplica
	run     int
	read    bool
	command string
	seen    int // of a read: what must be visible after it
	ended   bool
	given   bool // up, by its caller
	err     error
	result  int // of a success: the command's position
}

// simCluster runs replicas in one goroutine and virtual time, as testCluster
// does with cores. A command is applied at most once, everywhere at the same
// position, and every outcome that a call reports must prove true.
type simCluster struct {
	t        testing.TB
	rng      *rand.Rand
	cfg      func(*Config)
	replicas []*simReplica
	net      []flying
	receives []*simReceive
	now      Instant
	cut      func(m *Message) bool
	calls    []*simCall
	log      []string // what has been applied anywhere
	position map[string]int
	history  []string
}

func newSimCluster(t testing.TB, n int, cfg func(*Config)) *simCluster {
	c := &simCluster{
		t: t, cfg: cfg, rng: rand.New(rand.NewPCG(1, 1)), position: map[string]int{},
		cut: func(*Message) bool { return false },
	}
	for i := range n {
		s := &simReplica{id: NodeID(i + 1), c: c, disk: &testDisk{first: 1, snapshot: Snapshot{Membership: founding(n)}}}
		c.replicas = append(c.replicas, s)
		c.start(s)
	}
	return c
}

func (c *simCluster) at(id NodeID) *simReplica { return c.replicas[id-1] }

func (c *simCluster) logf(format string, args ...any) {
	if len(c.history) > 4000 {
		c.history = slices.Delete(c.history, 0, 2000)
	}
	c.history = append(c.history, fmt.Sprintf("%v ", time.Duration(c.now))+fmt.Sprintf(format, args...))
}

func (c *simCluster) failf(format string, args ...any) {
	c.t.Helper()
	for _, line := range c.history[max(0, len(c.history)-80):] {
		c.t.Log(line)
	}
	c.t.Fatalf(format, args...)
}

func (c *simCluster) config(id NodeID) Config {
	cfg := Config{ID: id}
	if c.cfg != nil {
		c.cfg(&cfg)
	}
	return cfg.withDefaults()
}

func (c *simCluster) start(s *simReplica) {
	s.runs++
	cfg := c.config(s.id)
	if s.newest.Index > s.disk.snapshot.Index {
		if e := s.disk.entry(s.newest.Index); e == nil || e.Term != s.newest.Term {
			s.disk.first, s.disk.log = s.newest.Index+1, nil
		}
		s.disk.snapshot = s.newest
	}
	state := s.disk.load()
	core, err := New(cfg.core(rand.NewPCG(uint64(s.id), uint64(s.runs))), state, c.now)
	if err != nil {
		c.failf("replica %d does not start from %+v: %v", s.id, state, err)
	}
	*s = simReplica{id: s.id, c: c, disk: s.disk, newest: s.newest, data: s.data, runs: s.runs}
	s.r = newReplica(core, &cfg, state, uint64(s.id)<<32|uint64(s.runs)<<16, s)
	c.logf("start %d: %d..%d, snapshot %d", s.id, state.First, state.Last, state.Snapshot.Index)
	s.r.settle(c.now)
	s.after()
}

func (c *simCluster) crash(s *simReplica) {
	c.logf("crash %d", s.id)
	*s = simReplica{id: s.id, c: c, disk: s.disk, newest: s.newest, data: s.data, runs: s.runs}
}

// save, send and compact make it a replicaIO.

func (s *simReplica) save(w Write) {
	w.Entries = slices.Clone(w.Entries)
	if w.Snapshot != nil {
		snapshot := w.Snapshot.Clone()
		w.Snapshot = &snapshot
	}
	s.writes = append(s.writes, w)
}

func (s *simReplica) send(messages []Message) {
	for _, m := range messages {
		m.Entries = slices.Clone(m.Entries)
		if !s.c.cut(&m) {
			s.c.net = append(s.c.net, flying{m: m})
		}
	}
}

func (s *simReplica) compact(through Index) {
	if through >= s.disk.first {
		s.disk.log = slices.Clone(s.disk.log[through+1-s.disk.first:])
		s.disk.first = through + 1
	}
	s.disk.snapshot = s.newest
}

// after takes the effects of an input.
func (s *simReplica) after() {
	if s.r == nil {
		return
	}
	fx := s.r.fx
	s.logReads = append(s.logReads, fx.logReads...)
	s.sends = append(s.sends, fx.snapshots...)
	for _, done := range fx.done {
		call := done.future.owner.(*simCall)
		if call.ended || call.given {
			s.c.failf("call %q ended twice", call.command)
		}
		call.ended, call.err = true, done.err
		s.c.logf("ended on %d: %q: %v", s.id, call.command, done.err)
		if done.err != nil {
			continue
		}
		if call.read {
			require.GreaterOrEqual(s.c.t, len(s.applied), call.seen, "a read does not see what was committed before it")
		} else {
			require.Equal(s.c.t, call.command, s.commands[done.result], "a result is another command's")
			call.result = s.c.position[call.command]
		}
	}
	held := holds(fx)
	fx.reset()
	if err := s.r.core.Err(); err != nil {
		s.c.failf("replica %d stopped: %v", s.id, err)
	}
	if held {
		if again := s.answered; again != nil {
			s.answered = nil
			again()
		}
		s.r.release(s.c.now)
		s.after()
	}
}

func (s *simReplica) propose(command string) *simCall {
	call := &simCall{node: s, run: s.runs, command: command}
	call.future = future{owner: call}
	call.future.command([]byte(command))
	s.c.calls = append(s.c.calls, call)
	s.c.logf("propose on %d: %q", s.id, command)
	if err := s.r.propose(s.c.now, &call.future); err != nil {
		call.ended, call.err = true, err
	}
	s.after()
	return call
}

func (s *simReplica) read() *simCall {
	call := &simCall{node: s, run: s.runs, read: true, command: "read", seen: len(s.c.log)}
	call.future = future{owner: call}
	s.c.calls = append(s.c.calls, call)
	if err := s.r.readBarrier(s.c.now, &call.future); err != nil {
		call.ended, call.err = true, err
	}
	s.after()
	return call
}

var errGiven = errors.New("given up")

func (call *simCall) giveUp() {
	if call.ended || call.given || call.node.runs != call.run || call.node.r == nil {
		return
	}
	if call.read {
		call.given = call.node.r.abandonRead(&call.future)
		return
	}
	if err, ok := call.node.r.abandon(&call.future, errGiven); ok {
		call.given, call.err = true, err
	}
}

// deliver delivers the i-th message on its way.
func (c *simCluster) deliver(i int) {
	f := c.net[i]
	c.net = slices.Delete(c.net, i, i+1)
	c.receive(f.m)
}

func (c *simCluster) receive(m Message) {
	s := c.at(m.To)
	if s.r == nil {
		return
	}
	c.logf("deliver %s", describe(&m))
	m.Entries = slices.Clone(m.Entries)
	s.r.step(c.now, []Message{m})
	s.after()
}

func (s *simReplica) persist() {
	w := s.writes[0]
	s.writes = s.writes[1:]
	s.disk.write(&w)
	s.c.logf("persist %d: write %d", s.id, w.Seq)
	s.r.persisted(s.c.now)
	s.after()
}

func (s *simReplica) tick() {
	s.r.tick(s.c.now)
	s.after()
}

// work does the next task of the state machine.
func (s *simReplica) work() bool {
	t, ok := s.r.nextTask(s.c.now)
	if !ok {
		return false
	}
	s.commands = nil
	switch t.kind {
	case taskApply:
		for _, e := range t.entries {
			s.c.logf("apply %d: %d@%d %q", s.id, e.Index, e.Term, e.Data)
			if e.Type == EntryCommand {
				s.commands = append(s.commands, string(e.Data))
				s.applyCommand(string(e.Data))
			}
		}
		s.r.applied(s.c.now, &t, nil)
	case taskRestore:
		s.c.logf("restore %d: %d", s.id, s.newest.Index)
		s.applied = slices.Clone(s.data)
		s.r.restored(s.c.now, &t, s.newest, nil)
	case taskCapture:
		s.taking = &simSnapshot{t.snapshot, slices.Clone(s.applied)}
	}
	s.after()
	return true
}

func (s *simReplica) applyCommand(command string) {
	c, i := s.c, len(s.applied)
	s.applied = append(s.applied, command)
	if i < len(c.log) {
		if c.log[i] != command {
			c.failf("replica %d applies %q as number %d, where another has %q", s.id, command, i, c.log[i])
		}
		return
	}
	if at, twice := c.position[command]; twice {
		c.failf("replica %d applies %q a second time, as number %d after %d", s.id, command, i, at)
	}
	c.log, c.position[command] = append(c.log, command), i
}

// finishSnapshot commits the snapshot that was captured.
func (s *simReplica) finishSnapshot() {
	taken := s.taking
	s.taking = nil
	s.c.logf("snapshot taken on %d: %d", s.id, taken.meta.Index)
	s.commitSnapshot(taken.meta, taken.data)
	s.r.snapshotTaken(s.c.now, taken.meta, nil)
	s.after()
}

func (s *simReplica) commitSnapshot(meta Snapshot, data []string) {
	if meta.Index > s.newest.Index {
		s.newest, s.data = meta.Clone(), data
	}
}

func (s *simReplica) answerLogRead() {
	q := s.logReads[0]
	s.logReads = s.logReads[1:]
	var entries []Entry
	for i := q.Lo; i < q.Hi && len(entries) < 3; i++ {
		if e := s.disk.entry(i); e != nil {
			entries = append(entries, *e)
		}
	}
	var err error
	if len(entries) == 0 {
		err = ErrCompacted
	}
	s.r.logRead(s.c.now, q, entries, err)
	s.after()
}

// sendSnapshot begins to send a snapshot.
func (s *simReplica) sendSnapshot() {
	m := s.sends[0].Message
	s.sends = s.sends[1:]
	snapshot := s.newest.Clone()
	m.Snapshot = &snapshot
	to := s.c.at(m.To)
	wanted, err := false, errors.New("unreachable")
	if to.r != nil && !s.c.cut(&m) {
		wanted, err = to.r.beginReceive(s.c.now, &m)
		to.after()
	}
	s.c.logf("snapshot %d→%d at %d: wanted %v, %v", s.id, to.id, snapshot.Index, wanted, err)
	if wanted {
		s.c.receives = append(s.c.receives, &simReceive{m, s.data, s, to, [2]int{s.runs, to.runs}})
		return
	}
	s.r.snapshotSent(s.c.now, m.To, snapshot.Index, err)
	s.after()
}

// finishReceive ends the reception number i; install says whether the receiver
// lives on after it has committed the snapshot's data.
func (c *simCluster) finishReceive(i int, ok bool) {
	q := c.receives[i]
	c.receives = slices.Delete(c.receives, i, i+1)
	err := errors.New("cut")
	if q.to.r != nil && q.to.runs == q.run[1] {
		if ok {
			q.to.commitSnapshot(*q.m.Snapshot, q.data)
			err = nil
		}
		c.logf("snapshot received by %d: %d: %v", q.to.id, q.m.Snapshot.Index, err)
		err = q.to.r.endReceive(c.now, &q.m, err)
		q.to.after()
	}
	if q.from.r != nil && q.from.runs == q.run[0] {
		q.from.r.snapshotSent(c.now, q.m.To, q.m.Snapshot.Index, err)
		q.from.after()
	}
}

// settle does everything that can be done without a timer.
func (c *simCluster) settle() {
	for range 200_000 {
		if !c.settleOnce() {
			return
		}
	}
	c.failf("does not settle")
}

func (c *simCluster) settleOnce() bool {
	if len(c.net) > 0 {
		c.deliver(0)
		return true
	}
	if len(c.receives) > 0 {
		c.finishReceive(0, true)
		return true
	}
	for _, s := range c.replicas {
		switch {
		case s.r == nil:
		case len(s.writes) > 0:
			s.persist()
			return true
		case s.work():
			return true
		case s.taking != nil:
			s.finishSnapshot()
			return true
		case len(s.logReads) > 0:
			s.answerLogRead()
			return true
		case len(s.sends) > 0:
			s.sendSnapshot()
			return true
		}
	}
	return false
}

// run lets d of virtual time pass, with everything else immediate.
func (c *simCluster) run(d time.Duration) {
	end := c.now.Add(d)
	c.settle()
	for {
		next, who := end+1, (*simReplica)(nil)
		for _, s := range c.replicas {
			if s.r != nil && s.r.deadline() < next {
				next, who = s.r.deadline(), s
			}
		}
		if who == nil {
			c.now = end
			return
		}
		c.now = max(c.now, next)
		who.tick()
		c.settle()
	}
}

// elect lets time pass until there is a leader that all who live follow.
func (c *simCluster) elect() *simReplica {
	c.t.Helper()
	for range 100 {
		c.run(50 * time.Millisecond)
		if l := c.leader(); l != nil {
			return l
		}
	}
	c.failf("no leader")
	return nil
}

func (c *simCluster) leader() *simReplica {
	var leader *simReplica
	for _, s := range c.replicas {
		if s.r != nil && s.r.core.Role() == Leader && (leader == nil || s.r.core.Term() > leader.r.core.Term()) {
			leader = s
		}
	}
	return leader
}

func (c *simCluster) follower() *simReplica {
	leader := c.leader()
	for _, s := range c.replicas {
		if s.r != nil && s != leader {
			return s
		}
	}
	return nil
}

// isolate cuts the given nodes off from all others, both ways.
func (c *simCluster) isolate(ids ...NodeID) {
	c.cut = func(m *Message) bool { return slices.Contains(ids, m.From) != slices.Contains(ids, m.To) }
	c.net = slices.DeleteFunc(c.net, func(f flying) bool { return c.cut(&f.m) })
}

func (c *simCluster) heal() { c.cut = func(*Message) bool { return false } }

// take removes and returns the messages on their way for which is is true.
func (c *simCluster) take(is func(m *Message) bool) []Message {
	var taken []Message
	c.net = slices.DeleteFunc(c.net, func(f flying) bool {
		if is(&f.m) {
			taken = append(taken, f.m)
			return true
		}
		return false
	})
	return taken
}

func isType(t raftpb.MessageType) func(m *Message) bool {
	return func(m *Message) bool { return m.Type == t }
}

// check asserts that every outcome told the truth, and that every call on a
// replica that lives has ended.
func (c *simCluster) check() {
	c.t.Helper()
	for _, call := range c.calls {
		if call.read {
			if !call.ended && !call.given && call.node.runs == call.run {
				c.failf("a read on %d has not ended", call.node.id)
			}
			continue
		}
		_, committed := c.position[call.command]
		switch {
		case !call.ended && !call.given:
			if call.node.r != nil && call.node.runs == call.run {
				c.failf("%q, proposed on %d, has not ended", call.command, call.node.id)
			}
		case call.err == nil:
			require.True(c.t, committed, "%q was acknowledged and is lost", call.command)
		case errors.Is(call.err, ErrOutcomeUnknown):
			require.NotErrorIs(c.t, call.err, ErrNotCommitted)
		default:
			if committed {
				c.failf("%q is committed, and its proposer was told: %v", call.command, call.err)
			}
		}
	}
}

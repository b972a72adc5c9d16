package coresim

import (
	"math/rand/v2"
	"slices"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bridge"
	"github.com/seed-6281cb22/raft/internal/invariant"
	"github.com/seed-6281cb22/raft/raftpb"
)

// node is a core with its disk and its state machine.
type node struct {
	id     raftpb.NodeID
	core   *raft.Raft
	disk   disk
	view   bridge.View
	offset int64 // of its clock
	rate   int64 // of its clock, in 1/1024
	clock  clock // the other one, for leases

	writes   writeQueue
	durable  uint64 // the newest of its writes that is on the disk
	apply    []raftpb.Entry
	restore  bool
	logReads []logRead
	answered answer // a LogRead that may be answered once more
	sends    []transfer

	// owes says that the node was given something and that its Ready has not
	// been taken since.
	owes bool

	// Reads are numbered from 1 in each life of the node.
	reads        uint64
	readAnswered uint64   // the last one
	ownReads     []uint64 // those that this node, as the leader, must end
	lease        leaseRead

	applied raftpb.Index
	digest  uint64 // of what is applied
}

// logRead is a LogRead that has not been answered. The log is read when it is
// asked for, or when it is answered.
type logRead struct {
	request raft.LogRead
	read    bool
	entries []raftpb.Entry
}

// answer is an answered LogRead; without entries it is none.
type answer struct {
	request raft.LogRead
	entries []raftpb.Entry
}

// transfer is a snapshot on its way, as it was when the transfer began.
type transfer struct {
	message  raftpb.Message
	snapshot *raftpb.Snapshot
}

// found makes the nodes of a cluster and starts them.
func (s *Simulator) found() {
	s.members = raftpb.Membership{Members: make([]raftpb.Member, s.swarm.nodes-s.swarm.joiners)}
	for i := range s.members.Members {
		s.members.Members[i] = raftpb.Member{ID: raftpb.NodeID(i + 1), Address: address(raftpb.NodeID(i+1), 0), Voter: true}
	}
	if s.swarm.leases && s.swarm.leaseFirst {
		s.members.Lease = uint64(s.swarm.lease)
	}
	s.digests = append(s.digests, 0)
	for i := range s.swarm.nodes {
		if i < cap(s.nodes) {
			s.nodes = s.nodes[:i+1]
		} else {
			s.nodes = append(s.nodes, node{})
		}
		n := &s.nodes[i]
		*n = node{id: raftpb.NodeID(i + 1), disk: n.disk, view: bridge.View{Peers: n.view.Peers}, writes: n.writes, rate: 1024}
		n.clock = clock{s: s}
		if n.id%2 == 0 {
			n.clock.skew = s.cfg.skew
		}
		n.disk.clear(raftpb.Membership{})
		if i < len(s.members.Members) {
			n.disk.clear(s.members)
		}
		n.disk.hard.Unmarked = s.cfg.Plain
		if s.swarm.drift > 0 {
			n.rate += int64(s.tape.Intn(2*s.swarm.drift+1) - s.swarm.drift)
		}
	}
	for i := range s.nodes {
		s.start(i)
	}
}

// local is the time on a node's clock.
func (s *Simulator) local(n *node) raft.Instant {
	return raft.Instant(s.now + s.now*(n.rate-1024)>>10 + n.offset)
}

// start starts a node from its disk.
func (s *Simulator) start(i int) {
	n := &s.nodes[i]
	state := n.disk.load()
	s.check.Started(n.id, checked(&state))
	cfg := s.swarm.core(s.tape, raft.CoreConfig{
		ID: n.id, Random: rand.NewPCG(s.tape.Uint64(), uint64(n.id)), Events: s.cfg.Observer != nil,
	})
	if s.swarm.leases {
		cfg.Clock = &n.clock
	}
	core, err := raft.New(cfg, state, s.local(n))
	if err != nil {
		s.fail(Refusal, n.id, "it does not start from %+v: %v", state, err)
		return
	}
	n.core, n.durable = core, 0
	s.forget(i)
	s.up.set(i, true)
	s.before(Restart, n, nil)
	s.after(Restart, i, nil)
}

// checked is what the checker is told of a State.
func checked(state *raft.State) *invariant.State {
	st := &invariant.State{
		HardState: state.HardState, SnapshotIndex: state.Snapshot.Index, SnapshotTerm: state.Snapshot.Term,
		First: state.First, Last: state.Last,
	}
	for _, r := range state.Runs {
		st.Runs = append(st.Runs, invariant.Run{First: r.First, Term: r.Term})
	}
	return st
}

// forget drops what a node has in memory, beside its core.
func (s *Simulator) forget(i int) {
	n := &s.nodes[i]
	n.writes.reset()
	n.apply, n.restore, n.applied, n.digest = nil, false, 0, 0
	n.answered.entries = n.answered.entries[:0]
	n.logReads, n.sends, n.ownReads = n.logReads[:0], n.sends[:0], n.ownReads[:0]
	n.owes, n.reads, n.readAnswered, n.lease = false, 0, 0, leaseRead{}
	for _, set := range []*nodeSet{&s.up, &s.paused, &s.starved, &s.leaders, &s.writing, &s.applying, &s.reading, &s.sending, &s.leasing} {
		set.set(i, false)
	}
}

// crash ends a node. Of its writes in flight the first few have reached the
// disk.
func (s *Simulator) crash(i, survived int) {
	n := &s.nodes[i]
	for range survived {
		n.makeDurable(n.writes.pop())
	}
	s.check.Crashed(n.id)
	n.core = nil
	s.forget(i)
}

func (n *node) makeDurable(w *pendingWrite) {
	n.disk.write(w)
	n.durable = w.seq
}

// spared is how many of a node's writes in flight must survive a crash.
func (s *Simulator) spared(n *node) int {
	if s.cfg.Spare == nil {
		return 0
	}
	newest := s.cfg.Spare(n.id)
	return int(max(newest, n.durable) - n.durable)
}

// before tells the observer what is about to happen.
func (s *Simulator) before(k Kind, n *node, m *raftpb.Message) {
	if s.cfg.Observer != nil {
		s.event = Event{Kind: k, Node: n.id, Message: m, Core: n.core, Now: s.local(n), Durable: n.durable}
		s.cfg.Observer.Before(&s.event)
	}
}

// after takes a node's Ready and checks everything, unless the node is to be
// given more before. m is the message that was delivered, if it was one.
func (s *Simulator) after(k Kind, i int, m *raftpb.Message) {
	n := &s.nodes[i]
	if s.swarm.hoard > 0 && k != Tick && n.core.Err() == nil && s.tape.Chance(s.swarm.hoard) {
		s.putOff(k, i, m)
		return
	}
	ticked := k == Tick && !n.owes
	if n.owes {
		n.owes, m = false, nil
	}
	s.ready = n.core.Ready()
	rd, v, committed := &s.ready, &n.view, n.view.Commit
	bridge.Inspect(n.core, v)
	s.step = invariant.Step{
		Delivered: m, Ticked: ticked, View: v, Messages: rd.Messages, Committed: rd.Committed, Restore: rd.Restore,
		Write: invariant.Write{Seq: rd.Write.Seq, HardState: rd.Write.HardState, Snapshot: rd.Write.Snapshot, Entries: rd.Write.Entries},
	}
	s.check.Stepped(&s.step)
	s.checkLeases(n, committed)
	s.hash(n, rd)
	if s.cfg.Transcript {
		s.note(k, n, m)
		s.noteReady(n, rd)
	}
	if s.cfg.Observer != nil {
		s.event = Event{Kind: k, Node: n.id, Message: m, Core: n.core, Now: s.local(n), Ready: rd, Durable: n.durable}
		s.cfg.Observer.After(&s.event)
	}
	s.take(i, rd)
	s.leaders.set(i, v.Role == bridge.Leader)
	s.result.Terms = max(s.result.Terms, v.Term)
	if err := s.check.Err(); err != nil && s.failed == nil {
		s.failed = err.(*invariant.Violation)
	}
}

// putOff leaves a node's Ready for later: a host may give a core any number of
// things before it takes one.
func (s *Simulator) putOff(k Kind, i int, m *raftpb.Message) {
	n := &s.nodes[i]
	n.owes = true
	bridge.Inspect(n.core, &n.view)
	s.leaders.set(i, n.view.Role == bridge.Leader)
	if s.cfg.Transcript {
		s.note(k, n, m)
	}
}

// takeOwed takes a node's Ready if it was put off.
func (s *Simulator) takeOwed(i int) {
	if s.nodes[i].owes {
		s.after(Tick, i, nil)
	}
}

// take takes over what a core wants done.
func (s *Simulator) take(i int, rd *raft.Ready) {
	n := &s.nodes[i]
	for k := range rd.Messages {
		m := &rd.Messages[k]
		to := int(m.To) - 1
		if !s.blocked[i].has(to) {
			s.net.send(i, to, m)
		}
	}
	if rd.Write.Seq != 0 {
		n.writes.push(&rd.Write)
		s.writing.set(i, true)
	}
	if len(rd.Committed) > 0 {
		n.apply = rd.Committed
		s.applying.set(i, true)
	}
	if rd.Restore != nil {
		n.restore = true
		s.applying.set(i, true)
	}
	for _, q := range rd.LogReads {
		x := logRead{request: q}
		if s.tape.Intn(8) == 7 {
			x.read, x.entries = true, append(x.entries, n.disk.entries(q.Lo, q.Hi, q.MaxBytes)...)
		}
		n.logReads = append(n.logReads, x)
		s.reading.set(i, true)
	}
	for k := range rd.Snapshots {
		newest := *n.disk.newest()
		n.sends = append(n.sends, transfer{rd.Snapshots[k].Message, &newest})
		s.sending.set(i, true)
	}
	for _, r := range rd.Reads {
		if r.OK {
			s.check.ReadAnswered(n.id, r.ID, r.Index)
			n.readAnswered = r.ID
		} else {
			s.check.ReadFailed(n.id, r.ID)
		}
		if k := slices.Index(n.ownReads, r.ID); k >= 0 {
			n.ownReads = slices.Delete(n.ownReads, k, k+1)
		}
	}
}

// hash takes what a step has made visible into the rolling hash of states.
func (s *Simulator) hash(n *node, rd *raft.Ready) {
	const prime = 0x9e3779b97f4a7c15
	v, h := &n.view, s.result.Hash
	mix := func(x uint64) {
		h = (h ^ x) * prime
		h ^= h >> 32
	}
	mix(uint64(n.id) | uint64(v.Role)<<8 | uint64(v.Vote)<<16 | uint64(v.Leader)<<24 | uint64(v.Held)<<32)
	mix(uint64(v.Deadline))
	mix(uint64(v.Term)<<48 ^ uint64(v.Commit)<<24 ^ uint64(v.Last))
	mix(uint64(v.Applied)<<48 ^ uint64(v.Durable)<<24 ^ uint64(v.Verified))
	mix(rd.Write.Seq<<32 ^ uint64(len(rd.Write.Entries))<<16 ^ uint64(len(rd.Committed))<<8 ^ uint64(len(rd.LogReads)))
	for i := range rd.Messages {
		m := &rd.Messages[i]
		mix(uint64(m.Type)<<56 ^ uint64(m.To)<<48 ^ uint64(m.Term)<<32 ^ uint64(m.Index))
		mix(uint64(m.Match)<<40 ^ uint64(m.Commit)<<20 ^ m.Round<<8 ^ uint64(len(m.Entries)) ^ m.Window)
	}
	s.result.Hash = h
}

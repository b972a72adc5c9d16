package coresim

import (
	"errors"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
)

// happen lets something happen: what the tape decides, or, if that is not
// possible a few times over, whatever is under way.
func (s *Simulator) happen() {
	s.now += s.swarm.pace
	for range 3 {
		if s.try(s.swarm.kinds[s.tape.Intn(len(s.swarm.kinds))]) {
			return
		}
	}
	for k := Deliver; k <= Tick; k++ {
		if s.try(k) {
			return
		}
	}
	if !s.try(Restart) {
		s.try(Wake)
	}
}

// try lets an event of this kind happen, if one can.
func (s *Simulator) try(k Kind) bool {
	awake := s.up &^ s.paused
	switch k {
	case Deliver, Drop, Duplicate:
		return s.carry(k)
	case Persist:
		return s.on(s.writing&awake, s.persist)
	case Apply:
		return s.on(s.applying&awake, s.applyNext)
	case AnswerLogRead:
		return s.answerLogRead(awake)
	case Tick:
		return awake&^s.starved != 0 && s.tick(awake&^s.starved)
	case Propose:
		return s.on(s.leaders&awake, s.propose)
	case Read:
		return s.on(awake, s.read)
	case Compact:
		return awake != 0 && s.compact(awake.pick(s.tape))
	case FinishTransfer:
		return s.on(s.sending&awake, s.finishTransfer)
	case Unreachable:
		return s.on(s.leaders&awake, s.unreachable)
	case ChangeMembers:
		return s.on(s.leaders&awake, s.changeMembers)
	case HandOver:
		return s.on(s.leaders&awake, s.handOver)
	case BeginLeaseRead:
		return s.on(s.leaders&awake&^s.leasing, s.beginLeaseRead)
	case EndLeaseRead:
		return s.on(s.leasing&awake, s.endLeaseRead)
	case SetLease:
		return s.on(s.leaders&awake, s.setLease)
	}
	return s.tryFault(k, awake)
}

// on does something to one of the nodes, if there is one.
func (s *Simulator) on(nodes nodeSet, do func(i int)) bool {
	if nodes == 0 {
		return false
	}
	do(nodes.pick(s.tape))
	return true
}

// count counts an event.
func (s *Simulator) count(k Kind) {
	s.result.Events++
	s.result.Counts[k]++
}

// carry delivers, drops, or duplicates a message.
func (s *Simulator) carry(k Kind) bool {
	links := s.net.pending
	for p := s.paused; p != 0; p &= p - 1 {
		links &^= 0xff << (8 * p.first())
	}
	if links == 0 {
		return false
	}
	at := pickLink(s.tape, links)
	position := uint32(0)
	if s.swarm.reorder {
		position = uint32(s.tape.Intn(int(s.net.links[at].count)))
	}
	to := at / 8
	switch {
	case k == Drop:
		s.count(Drop)
		s.net.release(s.net.take(at, position))
	case k == Duplicate && s.up.has(to):
		s.count(Duplicate)
		s.receive(Duplicate, to, s.net.peek(at, position))
	case k == Duplicate:
		return false
	case s.swarm.batches > 1 && s.up.has(to):
		s.deliverBatch(at, 1+s.tape.Intn(min(s.swarm.batches, int(s.net.links[at].count))))
	default:
		s.deliverOne(at, position)
	}
	return true
}

// deliverOne gives a node, if it is up, one message of a link.
func (s *Simulator) deliverOne(at int, position uint32) {
	s.count(Deliver)
	parcel := s.net.take(at, position)
	if to := at / 8; s.up.has(to) {
		s.receive(Deliver, to, &s.net.parcels[parcel].m)
	}
	s.net.release(parcel)
}

// receive gives a node one message.
func (s *Simulator) receive(k Kind, i int, m *raftpb.Message) {
	s.before(k, &s.nodes[i], m)
	s.stepOne(i, m)
	s.after(k, i, m)
}

func (s *Simulator) stepOne(i int, m *raftpb.Message) {
	n := &s.nodes[i]
	if err := n.core.Step(s.local(n), m); err != nil {
		s.fail(Refusal, n.id, "it refuses %+v: %v", *m, err)
	}
}

// deliverBatch gives a node the next messages of a link, and only then takes
// its Ready, as a host does that reads all that has arrived.
func (s *Simulator) deliverBatch(at, count int) {
	i := at / 8
	for range count {
		s.count(Deliver)
		parcel := s.net.take(at, 0)
		m := &s.net.parcels[parcel].m
		s.before(Deliver, &s.nodes[i], m)
		s.stepOne(i, m)
		if s.cfg.Transcript {
			s.note(Deliver, &s.nodes[i], m)
		}
		s.net.release(parcel)
	}
	s.after(Deliver, i, nil)
}

// persist makes one or several writes durable.
func (s *Simulator) persist(i int) {
	s.count(Persist)
	n := &s.nodes[i]
	count := n.writes.len()
	if count > 1 {
		count = 1 + s.tape.Intn(count)
	}
	for range count {
		n.makeDurable(n.writes.pop())
	}
	s.writing.set(i, n.writes.len() > 0)
	s.before(Persist, n, nil)
	s.check.WriteDurable(n.id, n.durable)
	n.core.Persisted(s.local(n), n.durable)
	s.after(Persist, i, nil)
}

// applyNext applies what a node was given, or else restores a snapshot.
func (s *Simulator) applyNext(i int) {
	s.count(Apply)
	n := &s.nodes[i]
	switch {
	case len(n.apply) > 0:
		for k := range n.apply {
			s.applyEntry(n, &n.apply[k])
		}
		n.apply = nil
	default:
		newest := &n.disk.snapshot
		n.applied, n.digest = newest.Index, s.digests[newest.Index]
		s.check.Restored(n.id, newest.Index, newest.Term)
		n.restore = false
	}
	s.applying.set(i, n.restore)
	s.before(Apply, n, nil)
	n.core.Applied(s.local(n), n.applied)
	s.after(Apply, i, nil)
}

func (s *Simulator) applyEntry(n *node, e *raftpb.Entry) {
	n.applied = e.Index
	n.digest = (n.digest ^ uint64(e.Term) ^ uint64(len(e.Data))<<32) * 0x9e3779b97f4a7c15
	if int(e.Index) == len(s.digests) {
		s.digests = append(s.digests, n.digest)
	}
}

// answerLogRead answers one of the reads of the log that a core waits for, or
// a second time, and late, one that has been answered.
func (s *Simulator) answerLogRead(awake nodeSet) bool {
	if nodes := s.reading & awake; nodes != 0 {
		i := nodes.pick(s.tape)
		n := &s.nodes[i]
		k := 0
		if len(n.logReads) > 1 {
			k = s.tape.Intn(len(n.logReads))
		}
		q, entries := n.logReads[k].request, n.logReads[k].entries
		if !n.logReads[k].read {
			entries = s.copies.of(n.disk.entries(q.Lo, q.Hi, q.MaxBytes))
		}
		n.logReads = append(n.logReads[:k], n.logReads[k+1:]...)
		s.reading.set(i, len(n.logReads) > 0)
		if len(n.answered.entries) == 0 && s.tape.Intn(8) == 7 {
			n.answered = answer{q, append(n.answered.entries, entries...)}
		}
		s.giveLogRead(i, q, entries)
		return true
	}
	if awake == 0 {
		return false
	}
	i := awake.pick(s.tape)
	again := &s.nodes[i].answered
	if len(again.entries) == 0 {
		return false
	}
	entries := s.copies.of(again.entries)
	again.entries = again.entries[:0]
	s.giveLogRead(i, again.request, entries)
	return true
}

func (s *Simulator) giveLogRead(i int, q raft.LogRead, entries []raftpb.Entry) {
	s.count(AnswerLogRead)
	n := &s.nodes[i]
	var err error
	if len(entries) == 0 {
		err = raft.ErrCompacted
	}
	s.before(AnswerLogRead, n, nil)
	n.core.LogRead(s.local(n), q, entries, err)
	if err := n.core.Err(); err != nil {
		s.fail(Refusal, n.id, "it refuses what its storage has read for %+v: %v", q, err)
	}
	s.after(AnswerLogRead, i, nil)
}

// tick ticks a node whose deadline has passed, or lets time pass until the
// first deadline.
func (s *Simulator) tick(awake nodeSet) bool {
	i := awake.pick(s.tape)
	if n := &s.nodes[i]; int64(s.local(n)) < n.view.Deadline {
		i = s.passTime(awake)
	}
	if i < 0 {
		return false
	}
	s.tickNode(i)
	return true
}

// passTime lets time pass until the first deadline of some nodes, and returns
// whose it is, -1 if there is none.
func (s *Simulator) passTime(nodes nodeSet) int {
	first, wait := -1, int64(1)<<62
	for ; nodes != 0; nodes &= nodes - 1 {
		i := nodes.first()
		n := &s.nodes[i]
		if n.view.Deadline == int64(raft.Never) {
			continue
		}
		// Of the node's clock; one more, since this rounds down.
		left := n.view.Deadline - int64(s.local(n))
		if left > 0 {
			left = left*1024/n.rate + 2
		}
		if left < wait {
			first, wait = i, left
		}
	}
	if first >= 0 {
		s.now += max(wait, 0)
		if s.swarm.late {
			s.now += int64(s.tape.Intn(int(s.swarm.heartbeat)))
		}
	}
	return first
}

func (s *Simulator) tickNode(i int) {
	s.count(Tick)
	n := &s.nodes[i]
	s.takeOwed(i)
	s.before(Tick, n, nil)
	n.core.Tick(s.local(n))
	s.after(Tick, i, nil)
}

// arena holds the data of all entries, which differ by where they begin in it.
var arena = func() []byte {
	b := make([]byte, 1<<16)
	x := uint64(1)
	for i := range b {
		x = x*6364136223846793005 + 1442695040888963407
		b[i] = byte(x >> 56)
	}
	return b
}()

// propose proposes one entry or a batch to a leader.
func (s *Simulator) propose(i int) {
	s.count(Propose)
	n := &s.nodes[i]
	var batch [32]raftpb.Entry
	count := 1
	if s.swarm.entries > 1 {
		count += s.tape.Intn(s.swarm.entries)
	}
	size := 1 + s.tape.Intn(s.swarm.entryBytes)
	for k := range batch[:count] {
		s.proposed++
		at := s.proposed * 61 % (len(arena) - size)
		batch[k].Data = arena[at : at+size : at+size]
	}
	s.before(Propose, n, nil)
	if _, err := n.core.Propose(s.local(n), batch[:count]); err != nil && !errors.Is(err, raft.ErrOverloaded) && !errors.Is(err, raft.ErrTransferring) {
		s.fail(Refusal, n.id, "a leader refuses a proposal: %v", err)
	}
	s.after(Propose, i, nil)
}

// openReads is how many reads of a node are waited for.
const openReads = 16

// read asks a node for an index to read at. Whoever has waited for too long
// gives up.
func (s *Simulator) read(i int) {
	s.count(Read)
	n := &s.nodes[i]
	n.reads++
	s.check.ReadFailed(n.id, n.reads-min(n.reads, openReads))
	s.before(Read, n, nil)
	s.check.ReadBegun(n.id, n.reads)
	switch err := n.core.ReadIndex(s.local(n), n.reads); {
	case err != nil:
		s.check.ReadFailed(n.id, n.reads)
	case n.core.Role() == raft.Leader:
		n.ownReads = append(n.ownReads, n.reads)
	}
	s.after(Read, i, nil)
}

// compact takes a snapshot of what a node has applied, and forgets the log
// before it but for some trailing entries.
func (s *Simulator) compact(i int) bool {
	n := &s.nodes[i]
	if n.disk.received != nil || n.applied <= n.disk.snapshot.Index {
		return false
	}
	snapshot, err := n.core.SnapshotAt(n.applied)
	if err != nil {
		return false
	}
	if !n.disk.holds(snapshot.Index, snapshot.Term) {
		s.fail(Refusal, n.id, "a snapshot at %d, which is not durable", snapshot.Index)
		return true
	}
	s.count(Compact)
	n.disk.snapshot = snapshot
	s.check.SnapshotCommitted(n.id, snapshot.Index, snapshot.Term)
	through := snapshot.Index - min(raftpb.Index(s.tape.Intn(16)), snapshot.Index)
	n.disk.forget(through)
	s.before(Compact, n, nil)
	n.core.Compacted(s.local(n), snapshot, through)
	s.after(Compact, i, nil)
	return true
}

// finishTransfer ends the sending of a snapshot: it has arrived, or not, and
// the sender learns the one or the other.
func (s *Simulator) finishTransfer(i int) {
	n := &s.nodes[i]
	k := s.tape.Intn(len(n.sends))
	x := n.sends[k]
	n.sends = append(n.sends[:k], n.sends[k+1:]...)
	s.sending.set(i, len(n.sends) > 0)
	to := int(x.message.To) - 1
	outcome := s.tape.Intn(4) // 0, 1: sent; 2: it has arrived, and nobody knows; 3: it has not
	var err error
	if outcome >= 2 || s.blocked[i].has(to) || s.paused.has(to) || !s.up.has(to) {
		err = errLost
	}
	if err == nil || outcome == 2 && s.up.has(to) && !s.paused.has(to) {
		s.install(to, x)
	}
	s.count(FinishTransfer)
	s.before(FinishTransfer, n, nil)
	n.core.SnapshotSent(s.local(n), x.message.To, x.snapshot.Index, err)
	s.after(FinishTransfer, i, nil)
}

var errLost = errors.New("lost on the way")

// install gives a node a snapshot, which its storage has committed before if
// it needs it.
func (s *Simulator) install(i int, x transfer) {
	n := &s.nodes[i]
	m := x.message
	m.Snapshot = x.snapshot
	if m.Term >= n.view.Term && m.Snapshot.Index > n.view.Commit {
		n.disk.received = m.Snapshot
		s.check.SnapshotCommitted(n.id, m.Snapshot.Index, m.Snapshot.Term)
	}
	s.count(Deliver)
	s.receive(Deliver, i, &m)
}

func (s *Simulator) unreachable(i int) {
	s.count(Unreachable)
	n := &s.nodes[i]
	peer := raftpb.NodeID(s.tape.Intn(len(s.nodes)) + 1)
	s.before(Unreachable, n, nil)
	n.core.Unreachable(s.local(n), peer)
	s.after(Unreachable, i, nil)
}

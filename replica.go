package raft

import (
	"fmt"

	"github.com/seed-6281cb22/raft/raftpb"
)

// A replica is a core together with what a running node needs around it:
// proposals and their outcomes, forwarding, reads, and the bookkeeping of
// applying and of snapshots.
//
// It is a deterministic event machine, like the core: it has no goroutine,
// lock, clock or randomness, each input is stamped with the time, and the same
// inputs give the same outputs. In production an executor keeps it behind one
// mutex; a simulator calls it from its one thread, in virtual time. Its
// outputs are of two kinds:
//
//   - replicaIO is called from within an input, for what must be encoded
//     before the core moves on: writes and messages.
//   - effects is data: what is to be done after the input, outside the lock.
type replica struct {
	core        *Raft
	cfg         *Config // with defaults filled in; it does not change
	incarnation uint64  // of this run; the entries that it proposes carry it
	io          replicaIO
	fx          *effects
	ended       error // why the replica has ended; nil while it runs
	closing     bool  // it accepts no more calls, and is about to end
	moved       bool  // the deadline may have; the executor's to reset
	held        bool  // calls that have just ended may be followed by others, see hold
	resting     bool  // its core is at rest, and it has given back what it kept for later

	saved   uint64  // newest write given to the storage
	durable uint64  // newest write known to be durable
	looked  Instant // when tick has last looked at the core's time
	late    bool    // and whether that was late

	proposals proposals
	forward   forwarding
	inbox     inbox
	reads     reads
	members   memberCalls
	apply     applying
	snapshots snapshots
	watched   watched
	metrics   metrics
	compare   comparison

	batch  []Entry   // reused by admission
	outbox []Message // the replica's own messages, sent by the next drain
	arena  []Entry   // their entries
}

// replicaIO takes what a replica has for its storage and its peers. Its
// methods take what they need of their arguments before they return, never
// wait, and never call the replica.
type replicaIO interface {
	save(w Write) // answered by persisted or persistFailed, each once, in order
	send(messages []Message)
	compact(through Index)
}

// effects is what is to be done after an input. Nothing in it needs the lock,
// and what has an outcome answers with another input.
type effects struct {
	done      []completion   // calls that have ended
	logReads  []LogRead      // answered by logRead
	snapshots []SendSnapshot // answered by snapshotSent
	events    []Event
}

// A completion is the end of a call. With result ≥ 0 its command has been
// applied, as the one with that number among those of the task.
type completion struct {
	future *future
	err    error
	result int
}

func (fx *effects) empty() bool {
	return len(fx.done) == 0 && len(fx.logReads) == 0 && len(fx.snapshots) == 0 &&
		len(fx.events) == 0
}

// reset makes fx empty, for its next use.
func (fx *effects) reset() {
	clear(fx.done)
	clear(fx.snapshots)
	clear(fx.events)
	fx.done, fx.logReads, fx.snapshots, fx.events = fx.done[:0], fx.logReads[:0], fx.snapshots[:0], fx.events[:0]
}

func newReplica(core *Raft, cfg *Config, initial State, incarnation uint64, io replicaIO) *replica {
	r := &replica{core: core, cfg: cfg, incarnation: incarnation, io: io, fx: new(effects)}
	r.proposals.first, r.proposals.next = 1, 1
	r.reads.id = incarnation // an id of an earlier run must not come again
	r.watched.applying = Never
	r.reads.fresh = longAgo
	r.compare.after = initial.Last
	r.snapshots.newest = initial.Snapshot.Index
	r.snapshots.marks = []logMark{{index: initial.Snapshot.Index}}
	r.snapshots.incoming = core.apply.restoring != nil // the core will ask to restore it
	r.apply.index = core.applied
	return r
}

// step takes messages that arrived together.
func (r *replica) step(now Instant, messages []Message) {
	if r.ended != nil {
		return
	}
	r.metrics.countReceived(messages)
	for i := range messages {
		m := &messages[i]
		if m.Group != r.cfg.Group || m.To != r.cfg.ID || m.From == r.cfg.ID {
			continue
		}
		switch m.Type {
		case raftpb.Propose:
			r.takeForwarded(m)
		case raftpb.ProposeReply:
			r.forwardAnswered(now, m)
		case raftpb.InstallSnapshot:
			// It must not reach the core without its data; that is for
			// beginReceive.
		default:
			_ = r.core.Step(now, m) // an error has become an Event
		}
	}
	r.settle(now)
}

// tick fires what is due. It comes at deadline, after all messages that have
// arrived have been stepped.
//
// But whoever calls it cannot see the messages that still lie in a socket, and
// what has kept it from coming in time may have kept others from sending: after
// a pause of a process the timer and the readers wake together, and of a machine
// that was stalled one process may wake long before the next. An election timeout
// would fire over unread heartbeats, or over those that are about to be sent
// (scenario H9). So only time in which this replica was awake counts: a look at
// the time that comes late by more than a heartbeat interval leaves as much of the
// timeout as there was when it was due. Who always comes late gets on by a
// heartbeat interval with each look.
func (r *replica) tick(now Instant) {
	if r.ended != nil {
		return
	}
	if due := r.look(); due <= now {
		late := now-due > Instant(r.cfg.HeartbeatInterval)
		if late {
			left := r.core.silence() - due
			if !r.late { // at least so much to read what lies there
				left = max(left, Instant(r.cfg.HeartbeatInterval))
			}
			r.core.excuse(now + left)
		}
		r.looked, r.late = now, late
	}
	r.core.Tick(now)
	r.settle(now)
}

// look is when the core's time must be looked at: at its deadline, and in the
// last part of an election timeout at every heartbeat interval, too, because only
// who looks notices that it was kept from it. While heartbeats come that part is
// not reached.
func (r *replica) look() Instant {
	due := r.core.Deadline()
	if due == Never || r.core.Role() == Leader { // a leader looks with its own heartbeats
		return due
	}
	last := Instant(r.cfg.ElectionTimeout - 2*r.cfg.HeartbeatInterval)
	return min(due, max(due-last, r.looked.Add(r.cfg.HeartbeatInterval)))
}

// deadline is when tick is next needed.
func (r *replica) deadline() Instant {
	if r.ended != nil {
		return Never
	}
	return min(r.look(), r.forwardDeadline(), r.readDeadline())
}

// persisted says that the oldest write not yet durable now is.
func (r *replica) persisted(now Instant) {
	if r.ended != nil {
		return
	}
	if since := r.core.writeSince(); since != Never {
		r.metrics.writeLatency.since(since, now)
	}
	r.durable++
	r.core.Persisted(now, r.durable)
	r.settle(now)
}

// persistFailed says that a write has failed. No later one succeeds, so this
// is the end.
func (r *replica) persistFailed(now Instant, err error) {
	if r.ended != nil {
		return
	}
	err = fmt.Errorf("storage: %w", err)
	r.core.PersistFailed(now, err)
	r.end(stopped(err))
}

// logRead answers one of effects.logReads.
func (r *replica) logRead(now Instant, request LogRead, entries []Entry, err error) {
	if r.ended != nil {
		return
	}
	r.core.LogRead(now, request, entries, err)
	r.settle(now)
}

// unreachable says that messages to a peer may have been lost.
func (r *replica) unreachable(now Instant, peer NodeID) {
	if r.ended != nil {
		return
	}
	r.metrics.Unreachable++
	r.core.Unreachable(now, peer)
	r.settle(now)
}

// settle ends every input: it moves into the core what may, and drains it.
func (r *replica) settle(now Instant) {
	r.moved = true
	for again := true; again; {
		r.hold()
		commit := r.core.Commit()
		r.route(now)
		r.askRead(now)
		r.beginChanges(now)
		r.drain(now)
		if err := r.core.Err(); err != nil {
			r.end(err)
			return
		}
		if r.core.members.removed {
			r.end(ErrRemoved)
			return
		}
		r.hold()
		// A commit, or the end of a read, which this drain has brought about
		// may be what others wait for.
		again = r.core.Commit() > commit && r.proposalsWait() || r.mayAskRead(now) || r.changesWait()
	}
	r.compactKept(now)
	r.watch(now)
	r.rest()
}

// drain hands out everything that the core wants done. Of a Ready's slices
// only Committed outlives the next call of the core.
func (r *replica) drain(now Instant) {
	rd := r.core.Ready()
	if rd.Write.Seq != 0 {
		r.saved = rd.Write.Seq
		if s := rd.Write.Snapshot; s != nil && s.Index > 0 {
			r.snapshots.installing = true
		}
		r.metrics.countWrite(&rd.Write)
		r.io.save(rd.Write) // before the messages: the disk is the slowest
	}
	if len(rd.Messages) > 0 {
		r.io.send(rd.Messages)
		r.metrics.countSent(rd.Messages)
	}
	if len(r.outbox) > 0 {
		r.io.send(r.outbox)
		r.metrics.countSent(r.outbox)
		r.outbox, r.arena = reuse(r.outbox), reuse(r.arena)
	}
	r.fx.logReads = append(r.fx.logReads, rd.LogReads...)
	r.fx.snapshots = append(r.fx.snapshots, rd.Snapshots...)
	r.fx.events = append(r.fx.events, rd.Events...)
	r.metrics.countEvents(rd.Events)
	r.metrics.committed(now, r.core.Commit())
	r.metrics.LogReads += uint64(len(rd.LogReads))
	for i := range rd.Snapshots {
		r.event(Event{Kind: EventSnapshotSending, Peer: rd.Snapshots[i].Message.To})
	}
	if rd.Restore != nil {
		r.apply.push(task{kind: taskRestore, snapshot: *rd.Restore})
	}
	if len(rd.Committed) > 0 {
		r.pushCommitted(rd.Committed)
	}
	for _, answer := range rd.Reads {
		r.readAnswered(now, answer)
	}
	r.settleMembers(rd.Events)
}

// end ends the replica and every call. The cause is ErrClosed, ErrRemoved, or
// wraps ErrStopped.
func (r *replica) end(cause error) {
	if r.ended != nil {
		return
	}
	if r.core.Err() != nil {
		r.fx.events = append(r.fx.events, r.core.Ready().Events...)
	}
	r.event(Event{Kind: EventEnded, Err: cause})
	r.ended = cause
	r.endProposals(cause)
	r.endReads(cause)
	r.endMembers(cause)
	r.endSnapshotCalls(MaxIndex, cause)
}

// complete ends a call. The future is no longer the replica's.
func (r *replica) complete(f *future, err error) {
	if f.kind == EntryStateHash {
		return // nobody waits for it
	}
	r.fx.done = append(r.fx.done, completion{future: f, err: err, result: -1})
}

func stopped(cause error) error { return fmt.Errorf("%w: %w", ErrStopped, cause) }

// reuse empties s for its next use, unless it has become large.
func reuse[E any](s []E) []E {
	if cap(s) > 4096 {
		return nil
	}
	clear(s)
	return s[:0]
}

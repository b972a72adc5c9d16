package raft

import "github.com/seed-6281cb22/raft/internal/quorum"

// PeerState, in the words of the core.
const (
	probing         = PeerProbing
	replicating     = PeerReplicating
	sendingSnapshot = PeerSnapshot
)

// maxInFlight bounds the AppendEntries with entries that a leader has on the
// way to one peer. Fewer may be, while the way to it reorders them.
const maxInFlight = 256

// progress is what a replica knows of another member: as a leader, of its log,
// and as a candidate, of its vote.
type progress struct {
	id              NodeID
	voter, outgoing bool // as in the membership in force
	priority        uint32
	vote            quorum.Vote

	state  PeerState
	marked bool // its storage is marked: it counts in no quorum
	paused bool // probing: nothing more until an answer, to the probe or to a later round
	notify bool // an AppendEntries is due, with or without entries
	// heartbeat: one without entries is due, whatever else is sent, since
	// one with entries is answered only when they are durable.
	heartbeat bool
	// asked: recovering, an AppendEntries without entries was sent after the
	// last one in flight, see askAfter.
	asked bool
	// unheard: nothing that was sent since a pipeline collapsed has arrived yet.
	unheard bool
	// misfit: the entry that was read does not fit beside what is on the way;
	// it is read again when nothing is.
	misfit bool
	told   peerReport // see watch

	match    Index
	next     Index
	verified Index // received there and verified, durable or not
	// mark names the peer's mark, and unmark is the first index that was
	// appended after this leader heard of it.
	mark    uint64
	unmark  Index
	round   uint64
	contact Instant // when it was heard from
	sent    Instant // when entries were last sent, or progress was made
	// sentRound is the round in which entries were last sent: who echoes a
	// later one has them, or they were lost.
	sentRound uint64
	// resume is the round whose answer lets entries be pipelined again after a
	// pipeline collapsed, see recovering; 0: they may be.
	resume  uint64
	reading Index // Lo of the LogRead under way, 0: none
	// snapshot is the index of the snapshot that it is being sent, or catches
	// up from: what comes after it is needed next. 0: none.
	snapshot Index

	// flow control: what is on the way and not yet received there, as far
	// as it has told, within the window that it has advertised.
	window   uint64
	inFlight []flight
	depth    int    // how many there may be
	bytes    uint64 // sum over inFlight
}

// flight is one AppendEntries with entries, on its way.
type flight struct {
	last  Index
	bytes uint64
}

// reset starts over, as a new leader must: "nextIndex initialized to leader
// last log index + 1, matchIndex to 0" (figure 2). What was learned in an
// earlier term does not count in this one.
func (p *progress) reset(next Index, now Instant) {
	*p = progress{
		id: p.id, voter: p.voter, outgoing: p.outgoing, priority: p.priority, inFlight: p.inFlight[:0], depth: maxInFlight,
		next: next, contact: now, sent: now, window: DefaultMaxMessageBytes,
	}
}

// probe goes back to finding out where the logs agree, from next on.
func (p *progress) probe(next Index) {
	p.state, p.paused = probing, false
	p.asked = false
	p.next = max(next, p.match+1)
	p.inFlight, p.bytes = p.inFlight[:0], 0
}

// matched says that everything up to index is durable there and the leader's.
func (p *progress) matched(index Index) {
	p.match = max(p.match, index)
	p.next = max(p.next, p.match+1)
}

// replicate begins to pipeline: everything below next is known to be there.
func (p *progress) replicate(next Index) {
	p.state, p.paused = replicating, false
	p.next = max(next, p.match+1)
}

// collapse ends a pipeline of which a message was rejected, in the given round.
// The next one is half as deep; it grows again with all that arrives.
func (p *progress) collapse(next Index, round uint64) {
	p.probe(next)
	p.resume, p.unheard = round+1, true
	p.depth = max(1, p.depth/2)
}

// suspend ends a pipeline of which messages may have been lost, in the given
// round. What is on the way either arrives or turns out to be lost, before
// anything is sent again.
func (p *progress) suspend(round uint64) {
	last := p.next - 1
	p.probe(p.verified + 1)
	p.resume, p.unheard = round+1, true
	if last > p.verified {
		p.launched(last, 0)
	}
}

// recovering reports whether messages of a collapsed pipeline may still be on
// the way. Each that was overtaken is rejected, and says nothing new. Would every
// rejection, and every answer of those that were not overtaken, start a pipeline
// of its own, then the messages would multiply without end on a network that
// reorders them. So as long as no round that began after the collapse has been
// answered, rejections count for nothing, and entries go one message at a time,
// each after the one before it has arrived. The first one has to in any case,
// again if what asks after it is rejected: a round may be answered while a slow
// way for entries is full of what is left of the pipeline.
func (p *progress) recovering() bool { return p.resume != 0 }

// lastInFlight returns the last entry on the way, 0 if there is none.
func (p *progress) lastInFlight() Index {
	if n := len(p.inFlight); n > 0 {
		return p.inFlight[n-1].last
	}
	return 0
}

// room is how many bytes of entries, at most limit, may be sent now; 0 if none.
// Where nothing is on the way, one entry of any size may be sent.
func (p *progress) room(limit int) int {
	if p.paused || p.reading != 0 || p.state == sendingSnapshot || len(p.inFlight) >= p.depth {
		return 0
	}
	if len(p.inFlight) > 0 && p.misfit {
		return 0
	}
	if len(p.inFlight) > 0 {
		return int(min(uint64(limit), p.window-min(p.window, p.bytes)))
	}
	if p.window == 0 && p.verified > p.match {
		return 0 // full; it says so when there is room again
	}
	return int(min(uint64(limit), max(p.window, 1)))
}

// fitting returns how many of entries are within room bytes. Where nothing is on
// the way and there is any room, that is at least one.
func (p *progress) fitting(entries []Entry, room int) int {
	least := 0
	if len(p.inFlight) == 0 && room > 0 {
		least = 1
	}
	for n := range entries {
		if room -= entrySize(&entries[n]); room < 0 {
			return max(n, least)
		}
	}
	return len(entries)
}

func (p *progress) launched(last Index, bytes uint64) {
	p.inFlight = append(p.inFlight, flight{last: last, bytes: bytes})
	p.bytes += bytes
	p.misfit = false
}

// landed says that everything up to verified has been received.
func (p *progress) landed(verified Index) {
	n := 0
	for n < len(p.inFlight) && p.inFlight[n].last <= verified {
		p.bytes -= p.inFlight[n].bytes
		n++
	}
	if n > 0 {
		p.inFlight = append(p.inFlight[:0], p.inFlight[n:]...)
		p.depth = min(p.depth+n, maxInFlight)
	}
}

package inmem

import (
	"bytes"
	"math/rand/v2"
	"time"

	"github.com/seed-6281cb22/raft"
)

// Faults is what happens to messages on their way. The zero value is a perfect
// network without delay.
type Faults struct {
	// MinDelay and MaxDelay bound the time from Send to Deliver, which is
	// drawn for each message between them, so that messages overtake each
	// other unless the two are equal. MaxDelay below MinDelay counts as
	// equal to it.
	MinDelay, MaxDelay time.Duration
	// Loss, Duplicate and Corrupt are the probabilities, 0 to 1, that a
	// message is lost, that it arrives twice, and that a bit of it is
	// flipped (which the receiver notices: it is lost, too).
	Loss, Duplicate, Corrupt float64
}

// Stats counts messages.
type Stats struct {
	Sent          uint64 // given to Send by a started transport
	Delivered     uint64 // handed to a Handler, duplicates included
	Lost          uint64 // by Faults.Loss
	Duplicated    uint64
	Corrupted     uint64 // by Faults.Corrupt, and noticed
	Blocked       uint64 // by a partition, when sent or on the way
	Undeliverable uint64 // to a node that is not known, not there, or of another cluster
}

// link is a way from one node to another.
type link struct {
	from, to raft.NodeID
}

// event is something that happens at a time.
type event struct {
	due      raft.Instant
	sequence uint64 // orders events that are due at the same time
	kind     eventKind
	link     link
	frame    []byte    // of a message
	transfer *transfer // of a snapshot
}

type eventKind uint8

const (
	messageArrives  eventKind = iota
	snapshotArrives           // at link.to
	snapshotEnds              // the result arrives at link.to, the sender of the snapshot
	unreachable               // link.from is reported to link.to
)

// scheduler decides what happens to everything that is sent, and when. It is
// pure: no clock, no lock, no goroutine.
type scheduler struct {
	now      raft.Instant
	sequence uint64
	events   []event // a heap by (due, sequence)
	random   raft.Random
	stats    Stats

	faults   Faults
	links    map[link]Faults // exceptions
	blocked  map[link]bool
	isolated map[raft.NodeID]bool
}

func newScheduler(opts Options) scheduler {
	random := opts.Random
	if random == nil {
		random = rand.NewPCG(opts.Seed, 0x9e3779b97f4a7c15)
	}
	return scheduler{
		random:   random,
		faults:   opts.Faults,
		links:    map[link]Faults{},
		blocked:  map[link]bool{},
		isolated: map[raft.NodeID]bool{},
	}
}

// fate is what is drawn for one message. Always all of it is drawn, so that a
// change of the faults does not change what else happens.
type fate struct {
	lost, duplicated, corrupted bool
	delay, duplicateDelay       time.Duration
	bit                         uint64
}

func (s *scheduler) draw(l link) fate {
	f, ok := s.links[l]
	if !ok {
		f = s.faults
	}
	spread := max(f.MaxDelay-f.MinDelay, 0)
	return fate{
		lost:           s.fraction() < f.Loss,
		duplicated:     s.fraction() < f.Duplicate,
		corrupted:      s.fraction() < f.Corrupt,
		delay:          f.MinDelay + time.Duration(s.fraction()*float64(spread)),
		duplicateDelay: f.MinDelay + time.Duration(s.fraction()*float64(spread)),
		bit:            s.random.Uint64(),
	}
}

// fraction draws from [0, 1).
func (s *scheduler) fraction() float64 { return float64(s.random.Uint64()>>11) / (1 << 53) }

// send takes a message's frame, which is the scheduler's now.
func (s *scheduler) send(l link, frame []byte) {
	s.stats.Sent++
	f := s.draw(l)
	switch {
	case s.cut(l):
		s.stats.Blocked++
		return
	case f.lost:
		s.stats.Lost++
		return
	}
	if f.duplicated {
		s.stats.Duplicated++
		s.schedule(f.duplicateDelay, event{kind: messageArrives, link: l, frame: frame})
	}
	if f.corrupted {
		frame = bytes.Clone(frame)
		bit := f.bit % uint64(8*len(frame))
		frame[bit/8] ^= 1 << (bit % 8)
	}
	s.schedule(f.delay, event{kind: messageArrives, link: l, frame: frame})
}

// cut says that nothing gets through on l.
func (s *scheduler) cut(l link) bool {
	return s.blocked[l] || s.isolated[l.from] || s.isolated[l.to]
}

// schedule has e happen after a delay.
func (s *scheduler) schedule(delay time.Duration, e event) {
	s.sequence++
	e.due, e.sequence = s.now.Add(delay), s.sequence
	s.push(e)
}

// next returns when the next event is due.
func (s *scheduler) next() (raft.Instant, bool) {
	if len(s.events) == 0 {
		return raft.Never, false
	}
	return s.events[0].due, true
}

// take returns the next event that is due at until or before, and lets the time
// be that of the event.
func (s *scheduler) take(until raft.Instant) (event, bool) {
	due, ok := s.next()
	if !ok || due > until {
		return event{}, false
	}
	s.now = max(s.now, due)
	return s.pop(), true
}

// takeWith returns the next event if it is a message that arrives together
// with first, one.
func (s *scheduler) takeWith(first event) (event, bool) {
	if len(s.events) == 0 {
		return event{}, false
	}
	e := s.events[0]
	if e.kind != messageArrives || e.due != first.due || e.link != first.link {
		return event{}, false
	}
	return s.pop(), true
}

func (a *event) before(b *event) bool {
	return a.due < b.due || a.due == b.due && a.sequence < b.sequence
}

func (s *scheduler) push(e event) {
	s.events = append(s.events, e)
	for i := len(s.events) - 1; i > 0; {
		parent := (i - 1) / 2
		if !s.events[i].before(&s.events[parent]) {
			break
		}
		s.events[i], s.events[parent] = s.events[parent], s.events[i]
		i = parent
	}
}

func (s *scheduler) pop() event {
	first := s.events[0]
	last := len(s.events) - 1
	s.events[0], s.events[last] = s.events[last], event{}
	s.events = s.events[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			break
		}
		if child+1 < last && s.events[child+1].before(&s.events[child]) {
			child++
		}
		if !s.events[child].before(&s.events[i]) {
			break
		}
		s.events[i], s.events[child] = s.events[child], s.events[i]
		i = child
	}
	return first
}

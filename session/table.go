package session

import (
	"iter"
	"slices"

	"github.com/seed-6281cb22/raft"
)

// table is the replicated state: the sessions, session time, and the limits in
// force. It changes only by entries, so that it is the same on all replicas.
//
// A capture of it shares pages of sessions with it, and costs one pointer for
// each page. What a capture may hold, a page or a session, has an older epoch
// than the table, and is copied before it is changed.
type table struct {
	limits Limits
	now    uint64 // session time, in milliseconds

	pages  []*page // of slots
	slots  int     // all that have been in use, and slot 0, which never is
	free   []int32
	places map[raft.Index]int32 // the slots, by ID.Index
	order  ring                 // of the slots, by last use
	epoch  uint64

	// record has changed list the sessions that change, for a DurableMachine.
	record  bool
	changed []raft.Index
}

const pageSize = 256

type page struct {
	epoch    uint64
	sessions [pageSize]*session // nil: free
}

func newTable() *table {
	t := &table{places: map[raft.Index]int32{}}
	t.grow()
	return t
}

// grow adds a slot, and returns it.
func (t *table) grow() int32 {
	if t.slots%pageSize == 0 {
		t.pages = append(t.pages, &page{epoch: t.epoch})
	}
	t.slots++
	t.order.grow()
	return int32(t.slots - 1)
}

// at returns the session in a slot, nil if it is free.
func (t *table) at(slot int32) *session { return t.pages[slot/pageSize].sessions[slot%pageSize] }

// put replaces the session in a slot.
func (t *table) put(slot int32, s *session) {
	p := t.pages[slot/pageSize]
	if p.epoch != t.epoch {
		owned := *p
		owned.epoch = t.epoch
		p = &owned
		t.pages[slot/pageSize] = p
	}
	p.sessions[slot%pageSize] = s
}

// add adds a session as the one that was used last.
func (t *table) add(s *session) {
	var slot int32
	if n := len(t.free); n > 0 {
		slot, t.free = t.free[n-1], t.free[:n-1]
	} else {
		slot = t.grow()
	}
	s.epoch = t.epoch
	t.put(slot, s)
	t.places[s.id.Index] = slot
	t.order.append(slot)
	t.note(s.id)
}

func (t *table) remove(slot int32) {
	id := t.at(slot).id
	t.put(slot, nil)
	t.free = append(t.free, slot)
	delete(t.places, id.Index)
	t.order.unlink(slot)
	t.note(id)
}

func (t *table) note(id ID) {
	if t.record {
		t.changed = append(t.changed, id.Index)
	}
}

// open adds a session for the entry at index, and puts its limits in force.
func (t *table) open(index raft.Index, c *command) ID {
	t.limits = c.limits
	t.expire()
	for len(t.places) >= t.limits.MaxSessions {
		t.remove(t.order.oldest())
	}
	id := ID{Index: index, Nonce: c.id.Nonce}
	t.add(&session{id: id, opened: t.now, used: t.now, last: index, acknowledged: 1})
	return id
}

// use returns the session that c belongs to, ready to be changed, as used last
// by the entry at index; nil if it is not there. Others that have not been used
// for too long by the time that c tells expire.
func (t *table) use(index raft.Index, c *command) *session {
	slot, ok := t.places[c.id.Index]
	if !ok || t.at(slot).id != c.id {
		return nil
	}
	s := t.own(slot)
	t.now = max(t.now, min(s.opened+c.age, maxNumber))
	s.used, s.last = t.now, index
	s.acknowledged = max(s.acknowledged, c.acknowledged)
	t.order.unlink(slot)
	t.order.append(slot)
	t.note(s.id)
	t.expire()
	return s
}

// own returns the session in slot, copied if a capture may hold it.
func (t *table) own(slot int32) *session {
	s := t.at(slot)
	if s.epoch != t.epoch {
		owned := *s
		owned.epoch, owned.results = t.epoch, slices.Clone(s.results)
		s = &owned
		t.put(slot, s)
	}
	return s
}

// close removes a session that is there.
func (t *table) close(id ID) { t.remove(t.places[id.Index]) }

// expire removes the sessions that have not been used for TTL.
func (t *table) expire() {
	ttl := milliseconds(t.limits.TTL)
	for slot := t.order.oldest(); slot != 0 && t.now-t.at(slot).used > ttl; slot = t.order.oldest() {
		t.remove(slot)
	}
}

// byUse yields the sessions in the order of their last use. The table must not
// change meanwhile.
func (t *table) byUse() iter.Seq[*session] {
	return func(yield func(*session) bool) {
		for slot := t.order.oldest(); slot != 0; slot = t.order.next[slot] {
			if !yield(t.at(slot)) {
				return
			}
		}
	}
}

// capture returns the sessions as they are now, in no order. They are not
// changed any more.
func (t *table) capture() iter.Seq[*session] {
	t.epoch++
	pages := slices.Clone(t.pages)
	return func(yield func(*session) bool) {
		for _, p := range pages {
			for _, s := range p.sessions {
				if s != nil && !yield(s) {
					return
				}
			}
		}
	}
}

// ring orders slots by last use. Slot 0 closes it.
type ring struct {
	next, prev []int32
}

func (r *ring) grow() { r.next, r.prev = append(r.next, 0), append(r.prev, 0) }

// oldest returns the slot that was used least recently, 0 if there is none.
func (r *ring) oldest() int32 { return r.next[0] }

func (r *ring) newest() int32 { return r.prev[0] }

func (r *ring) append(slot int32) {
	newest := r.newest()
	r.next[newest], r.prev[slot] = slot, newest
	r.next[slot], r.prev[0] = 0, slot
}

func (r *ring) unlink(slot int32) {
	next, prev := r.next[slot], r.prev[slot]
	r.next[prev], r.prev[next] = next, prev
}

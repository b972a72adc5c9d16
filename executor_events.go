package raft

// Events are delivered in order, one at a time, beside everything else: whoever
// listens holds up nothing but the next events.

// maxQueuedEvents bounds the events that wait to be delivered. Those beyond are
// lost, and said to be.
const maxQueuedEvents = 4096

// eventQueue holds events that are not delivered yet. The executor's mu guards
// it, all but logger and listener, which are the reporter's.
type eventQueue struct {
	waiting   []Event
	lost      uint64 // did not fit
	reporting bool   // there is a reporter

	logger   *logger
	listener func(Event)
}

func newEventQueue(cfg *Config) eventQueue {
	q := eventQueue{listener: cfg.OnEvent}
	if l := newLogger(cfg); l.enabled() {
		q.logger = l
	}
	return q
}

// put queues events, and returns whether a reporter is to be started.
func (q *eventQueue) put(events []Event) (start bool) {
	if len(events) == 0 || q.logger == nil && q.listener == nil {
		return false
	}
	room := min(maxQueuedEvents-len(q.waiting), len(events))
	q.waiting = append(q.waiting, events[:room]...)
	q.lost += uint64(len(events) - room)
	start = !q.reporting
	q.reporting = true
	return start
}

// take removes and returns what waits.
func (q *eventQueue) take() []Event {
	events := q.waiting
	q.waiting = nil
	if q.lost > 0 {
		last := &events[len(events)-1]
		events = append(events, Event{Kind: EventsLost, Term: last.Term, Role: last.Role, Leader: last.Leader, Count: q.lost})
		q.lost = 0
	}
	return events
}

// reportStep is the reporter: it delivers what waits, until nothing does.
func (x *executor) reportStep() bool {
	q := &x.events
	x.mu.Lock()
	events := q.take()
	if len(events) == 0 {
		q.reporting = false
		x.working--
		x.unlock()
		return false
	}
	x.mu.Unlock()
	for i := range events {
		if q.logger != nil {
			q.logger.event(&events[i])
		}
		if q.listener != nil {
			q.listener(events[i])
		}
	}
	return true
}

// movesPeers reports whether the transport must hear of other peers.
func movesPeers(events []Event) bool {
	for i := range events {
		switch events[i].Kind {
		case EventMembership, EventFarewellBegun, EventFarewellEnded:
			return true
		}
	}
	return false
}

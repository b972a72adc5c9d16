package session

import (
	"slices"

	"github.com/seed-6281cb22/raft"
)

// ledger is what Machine and DurableMachine have in common: it decides which
// commands reach the service, and what the others are answered.
//
// A batch goes through it in two passes, with the service between them. The
// first decides what is applied; it depends on no result. The second, again in
// the order of the log, does what depends on results. So a batch reaches the
// service in one piece, and where batches begin and end makes no difference.
type ledger[R any] struct {
	codec Codec[R]
	table *table

	// Of the batch that is being applied; reused.
	steps    []step
	commands []raft.Entry // for the service
	values   []R          // its results
	scratch  []byte
}

// step is what the second pass does about an entry.
type step struct {
	action       action
	session      *session // nil: none, or it is not there
	acknowledged uint64   // the session's, after this entry
	sequence     uint64
	room         int // Limits.MaxResultBytes, as in force at this entry
}

type action uint8

const (
	answered action = iota // the first pass has stored the result
	plain                  // the service's next result is the result
	first                  // so it is, and it is kept for repeats
	repeat                 // the result is the one that was kept
)

// admit is the first pass.
func (l *ledger[R]) admit(entries []raft.Entry, results []Result[R]) {
	clear(results[:len(entries)])
	for i := range entries {
		e := &entries[i]
		c, ok := decodeCommand(e.Data)
		if !ok {
			results[i].Status = Malformed
			l.steps = append(l.steps, step{})
			continue
		}
		l.steps = append(l.steps, l.decide(e, &c, &results[i]))
	}
	l.values = slices.Grow(l.values, len(l.commands))[:len(l.commands)]
}

// decide returns the step for an entry that says c.
func (l *ledger[R]) decide(e *raft.Entry, c *command, result *Result[R]) step {
	switch c.kind {
	case kindPlain:
		l.forward(e, c)
		return step{action: plain}
	case kindOpen:
		result.Session = l.table.open(e.Index, c)
		return step{}
	}
	s := l.table.use(e.Index, c)
	if s == nil {
		result.Status = Expired
		return step{}
	}
	next := step{session: s, acknowledged: s.acknowledged, sequence: c.sequence, room: l.table.limits.MaxResultBytes}
	switch c.kind {
	case kindClose:
		l.table.close(s.id)
	case kindCommand:
		next.action, result.Status = l.judge(s, c.sequence)
		if next.action == first {
			l.forward(e, c)
		}
	}
	return next
}

// judge says what is done about a session's command.
func (l *ledger[R]) judge(s *session, sequence uint64) (action, Status) {
	if sequence < s.acknowledged {
		return answered, Acknowledged
	}
	i, found := s.find(sequence)
	switch {
	case found:
		return repeat, OK
	case sequence-s.acknowledged >= uint64(l.table.limits.MaxInFlight):
		return answered, Busy
	}
	s.results = slices.Insert(s.results, i, kept{sequence: sequence})
	return first, OK
}

// forward has the service apply the payload of an entry.
func (l *ledger[R]) forward(e *raft.Entry, c *command) {
	forwarded := *e
	forwarded.Data, forwarded.Checksum = c.payload, 0 // the checksum was of the whole
	l.commands = append(l.commands, forwarded)
}

// settle is the second pass.
func (l *ledger[R]) settle(results []Result[R]) {
	values := l.values
	for i := range l.steps {
		next, result := &l.steps[i], &results[i]
		if next.session != nil {
			next.session.drop(next.acknowledged)
		}
		switch next.action {
		case plain, first:
			result.Value, values = values[0], values[1:]
			if next.action == first {
				l.scratch = l.codec.Append(l.scratch[:0], result.Value)
				next.session.keep(next.sequence, l.scratch, next.room)
			}
		case repeat:
			result.Value, result.Status = l.kept(next.session, next.sequence)
		}
	}
}

// kept returns the result of a command that has been applied.
func (l *ledger[R]) kept(s *session, sequence uint64) (R, Status) {
	var none R
	i, _ := s.find(sequence)
	if s.results[i].dropped {
		return none, ResultNotKept
	}
	value, err := l.codec.Decode(s.results[i].data)
	if err != nil {
		return none, ResultNotKept
	}
	return value, OK
}

// release forgets the batch, so that nothing of it is held in memory.
func (l *ledger[R]) release() {
	clear(l.steps)
	clear(l.commands)
	clear(l.values)
	l.steps, l.commands, l.values = l.steps[:0], l.commands[:0], l.values[:0]
	if cap(l.scratch) > maxScratch {
		l.scratch = nil
	}
}

// maxScratch is how many bytes stay allocated for encoding results.
const maxScratch = 64 << 10

package etcdraft

import (
	"encoding/binary"

	"go.etcd.io/raft/v3"
)

// retryReads is after how many ticks a question for a read index is asked again,
// since it may have been lost: what etcd's server waits.
const retryReads = 5

// reads are linearizable reads on their way. One question to a majority is open
// at a time, for all readers that were there when it was asked; those who come
// later wait for the next.
type reads struct {
	waiting []chan error // for the next question

	asked   []chan error // of the open question; nil if there is none
	number  uint64       // of that question
	askedAt uint64       // ticks: when it was last sent
	since   uint64       // ticks: when it was first sent

	confirmed []confirmed
}

// confirmed are readers that may go on as soon as index is applied.
type confirmed struct {
	index   uint64
	readers []chan error
}

// ask opens a question for those who wait.
func (r *reads) ask(now uint64) {
	r.asked, r.waiting = r.waiting, nil
	r.number++
	r.askedAt, r.since = now, now
}

// context names the open question.
func (r *reads) context() []byte { return binary.LittleEndian.AppendUint64(nil, r.number) }

// confirm takes answers. One to a question that is not open any more answered
// it before, since a question may be asked twice.
func (r *reads) confirm(states []raft.ReadState) {
	for _, s := range states {
		if r.asked != nil && binary.LittleEndian.Uint64(s.RequestCtx) == r.number {
			r.confirmed = append(r.confirmed, confirmed{s.Index, r.asked})
			r.asked = nil
		}
	}
}

// serve lets those go on whose index is applied. Later questions have no lower
// index.
func (r *reads) serve(applied uint64) {
	for len(r.confirmed) > 0 && r.confirmed[0].index <= applied {
		answerAll(r.confirmed[0].readers, nil)
		r.confirmed = r.confirmed[1:]
	}
}

// expire fails the open question, and who waits behind it, once it is too old.
func (r *reads) expire(now, patience uint64) {
	if r.asked != nil && now-r.since > patience {
		r.fail(errTimeout)
	}
}

// fail fails all that are on their way.
func (r *reads) fail(err error) {
	answerAll(r.waiting, err)
	answerAll(r.asked, err)
	for _, c := range r.confirmed {
		answerAll(c.readers, err)
	}
	r.waiting, r.asked, r.confirmed = nil, nil, nil
}

func answerAll(readers []chan error, err error) {
	for _, done := range readers {
		done <- err
	}
}

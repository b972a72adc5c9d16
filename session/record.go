package session

import (
	"encoding/binary"
	"slices"

	"github.com/seed-6281cb22/raft"
)

// session is one session in the table.
type session struct {
	id     ID
	opened uint64     // in session time
	used   uint64     // last, in session time
	last   raft.Index // the entry that used it last
	// acknowledged says that commands with lower sequence numbers are
	// neither repeated nor new.
	acknowledged uint64
	// results of the commands that have been applied, by sequence number,
	// ascending. Those below acknowledged are dropped.
	results []kept
	bytes   int    // of results
	epoch   uint64 // see table
}

// kept is a command that has been applied, with its result.
type kept struct {
	sequence uint64
	data     []byte // encoded, never changed
	dropped  bool   // the result was too large to be kept
}

// find returns where the command with a sequence number is, or belongs.
func (s *session) find(sequence uint64) (int, bool) {
	return slices.BinarySearchFunc(s.results, sequence, func(k kept, sequence uint64) int {
		switch {
		case k.sequence < sequence:
			return -1
		case k.sequence > sequence:
			return 1
		}
		return 0
	})
}

// keep keeps a command's result, if there is room.
func (s *session) keep(sequence uint64, data []byte, room int) {
	i, _ := s.find(sequence)
	if s.bytes+len(data) > room {
		s.results[i].dropped = true
		return
	}
	s.results[i].data = slices.Clone(data)
	s.bytes += len(data)
}

// drop drops the results below a sequence number.
func (s *session) drop(below uint64) {
	n, _ := s.find(below)
	for _, k := range s.results[:n] {
		s.bytes -= len(k.data)
	}
	s.results = slices.Delete(s.results, 0, n)
}

// append appends the session's record: id, opened, used − opened, last,
// acknowledged, the number of results, and for each result its sequence number
// less the lowest that it could have, 0 if its data is dropped, else the
// length of its data plus one, and the data.
func (s *session) append(b []byte) []byte {
	b = appendID(b, s.id)
	b = binary.AppendUvarint(b, s.opened)
	b = binary.AppendUvarint(b, s.used-s.opened)
	b = binary.AppendUvarint(b, uint64(s.last))
	b = binary.AppendUvarint(b, s.acknowledged)
	b = binary.AppendUvarint(b, uint64(len(s.results)))
	lowest := s.acknowledged
	for _, k := range s.results {
		b = binary.AppendUvarint(b, k.sequence-lowest)
		lowest = k.sequence + 1
		if k.dropped {
			b = append(b, 0)
			continue
		}
		b = binary.AppendUvarint(b, uint64(len(k.data))+1)
		b = append(b, k.data...)
	}
	return b
}

// decodeSession returns the session of a record, false if it is malformed. It
// aliases b.
func decodeSession(b []byte) (*session, bool) {
	d := decoder{b: b}
	s := &session{id: d.id(), opened: d.number(maxNumber)}
	s.used = s.opened + d.number(maxNumber)
	s.last = raft.Index(d.number(uint64(raft.MaxIndex)))
	s.acknowledged = d.number(maxNumber)
	d.bad = d.bad || s.last < s.id.Index || s.acknowledged == 0
	lowest := s.acknowledged
	for n := d.number(maxInFlight); n > 0 && !d.bad; n-- {
		k := kept{sequence: lowest + d.number(maxNumber)}
		if size := d.number(maxResultBytes + 1); size == 0 {
			k.dropped = true
		} else {
			k.data = d.bytes(size - 1)
		}
		d.bad = d.bad || k.sequence >= s.acknowledged+maxInFlight
		s.bytes += len(k.data)
		s.results = append(s.results, k)
		lowest = k.sequence + 1
	}
	return s, !d.bad && len(d.b) == 0
}

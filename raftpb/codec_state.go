package raftpb

import (
	"math"
	"slices"
	"unicode/utf8"
)

const membersTag = 1<<3 | bytesType

// EncodedLen returns the number of bytes that Append appends.
func (h *HardState) EncodedLen() int {
	return uintLen(uint64(h.Term)) +
		uintLen(uint64(h.Vote)) +
		uintLen(uint64(h.Commit)) +
		boolLen(h.Unmarked)
}

// Append appends the encoding of h to b and returns the extended slice.
func (h *HardState) Append(b []byte) []byte {
	b = appendUint(b, 1, uint64(h.Term))
	b = appendUint(b, 2, uint64(h.Vote))
	b = appendUint(b, 3, uint64(h.Commit))
	return appendBool(b, 4, h.Unmarked)
}

// Unmarshal sets h to the HardState that b encodes, without allocating. The
// error is a *DecodeError; h is then zero.
func (h *HardState) Unmarshal(b []byte) error {
	*h = HardState{}
	for i := 0; i < len(b); {
		tag, v, end := readField(b, i)
		if end < 0 {
			*h = HardState{}
			return malformed("HardState", i, fault(end))
		}
		switch tag {
		case 1<<3 | varintType:
			h.Term = Term(v)
		case 2<<3 | varintType:
			h.Vote = NodeID(v)
		case 3<<3 | varintType:
			h.Commit = Index(v)
		case 4<<3 | varintType:
			h.Unmarked = v != 0
		}
		i = end
	}
	return nil
}

// EncodedLen returns the number of bytes that Append appends.
func (m *Member) EncodedLen() int {
	n := uintLen(uint64(m.ID)) +
		boolLen(m.Voter) +
		boolLen(m.Outgoing) +
		boolLen(m.Leaving) +
		uintLen(uint64(m.Priority)) +
		uintLen(uint64(m.Intent))
	if m.Address != "" {
		n += bytesLen(len(m.Address))
	}
	return n
}

// Append appends the encoding of m to b and returns the extended slice.
//
// The Address must be valid UTF-8. Append does not check that, and no
// Unmarshal accepts the result otherwise: check it where an address enters.
func (m *Member) Append(b []byte) []byte {
	b = appendUint(b, 1, uint64(m.ID))
	if m.Address != "" {
		b = append(appendLength(b, 2, len(m.Address)), m.Address...)
	}
	b = appendBool(b, 3, m.Voter)
	b = appendBool(b, 4, m.Outgoing)
	b = appendBool(b, 5, m.Leaving)
	b = appendUint(b, 6, uint64(m.Priority))
	return appendUint(b, 7, uint64(m.Intent))
}

// Unmarshal sets m to the Member that b encodes. It shares nothing with b.
// The error is a *DecodeError; m is then zero.
func (m *Member) Unmarshal(b []byte) error {
	*m = Member{}
	if err := m.merge(b, 0); err != nil {
		*m = Member{}
		return err
	}
	return nil
}

// merge sets the fields that b[i:] holds.
func (m *Member) merge(b []byte, i int) error {
	var address []byte // copied once, however often it occurs
	for i < len(b) {
		tag, v, end := readField(b, i)
		if end < 0 {
			return malformed("Member", i, fault(end))
		}
		switch tag {
		case 1<<3 | varintType:
			m.ID = NodeID(v)
		case 2<<3 | bytesType:
			if address = b[end-int(v) : end]; !utf8.Valid(address) {
				return malformed("Member", i, faultUTF8)
			}
		case 3<<3 | varintType:
			m.Voter = v != 0
		case 4<<3 | varintType:
			m.Outgoing = v != 0
		case 5<<3 | varintType:
			m.Leaving = v != 0
		case 6<<3 | varintType:
			m.Priority = uint32(v)
		case 7<<3 | varintType:
			if v > math.MaxUint8 {
				return malformed("Member", i, faultEnum)
			}
			m.Intent = Intent(v)
		}
		i = end
	}
	m.Address = string(address)
	return nil
}

// EncodedLen returns the number of bytes that Append appends.
func (m *Membership) EncodedLen() (n int) {
	for i := range m.Members {
		n += bytesLen(m.Members[i].EncodedLen())
	}
	return n + uintLen(m.Lease)
}

// Append appends the encoding of m to b and returns the extended slice. The
// addresses must be valid UTF-8, see Member.Append.
func (m *Membership) Append(b []byte) []byte {
	for i := range m.Members {
		member := &m.Members[i]
		b = member.Append(appendLength(b, 1, member.EncodedLen()))
	}
	return appendUint(b, 2, m.Lease)
}

// Unmarshal sets m to the Membership that b encodes. Members is newly
// allocated, nil if there are none, and shares nothing with b nor with what m
// was before. The members are as b has them: neither their order nor their
// uniqueness is checked.
//
// Whatever b holds, Unmarshal allocates less than 64 bytes for each byte of b,
// plus 1 KiB. The error is a *DecodeError; m is then zero.
func (m *Membership) Unmarshal(b []byte) error {
	*m = Membership{}
	if err := m.merge(b, 0, math.MaxInt); err != nil {
		*m = Membership{}
		return err
	}
	return nil
}

// merge appends the members that b[i:] holds, which may take limit bytes with
// those that are there, and sets the other fields.
func (m *Membership) merge(b []byte, i, limit int) error {
	for i < len(b) {
		tag, v, end := readField(b, i)
		if end < 0 {
			return malformed("Membership", i, fault(end))
		}
		switch tag {
		case membersTag:
			n, more := len(m.Members), 1
			if n == cap(m.Members) {
				more = countFields(b, i, membersTag)
			}
			if n+more > limit/memberBytes {
				return malformed("Membership", i, faultLimit)
			}
			m.Members = slices.Grow(m.Members, more)
			m.Members = append(m.Members, Member{})
			if err := m.Members[n].merge(b[:end], end-int(v)); err != nil {
				return err
			}
		case 2<<3 | varintType:
			m.Lease = v
		}
		i = end
	}
	return nil
}

// EncodedLen returns the number of bytes that Append appends.
func (s *Snapshot) EncodedLen() int {
	n := uintLen(uint64(s.Index)) +
		uintLen(uint64(s.Term)) +
		uintLen(uint64(s.MembershipIndex)) +
		uintLen(s.Size) +
		fixed32Len(s.Checksum) +
		uintLen(s.Earliest) +
		uintLen(s.Latest)
	if s.hasMembership() {
		n += bytesLen(s.Membership.EncodedLen())
	}
	return n
}

// hasMembership reports whether the membership is encoded: an empty one is not.
func (s *Snapshot) hasMembership() bool {
	return len(s.Membership.Members) > 0 || s.Membership.Lease != 0
}

// Append appends the encoding of s to b and returns the extended slice. An
// empty membership is left out. The addresses must be valid UTF-8, see
// Member.Append.
func (s *Snapshot) Append(b []byte) []byte {
	b = appendUint(b, 1, uint64(s.Index))
	b = appendUint(b, 2, uint64(s.Term))
	if s.hasMembership() {
		b = s.Membership.Append(appendLength(b, 3, s.Membership.EncodedLen()))
	}
	b = appendUint(b, 4, uint64(s.MembershipIndex))
	b = appendUint(b, 5, s.Size)
	b = appendFixed32(b, 6, s.Checksum)
	b = appendUint(b, 7, s.Earliest)
	return appendUint(b, 8, s.Latest)
}

// Unmarshal sets s to the Snapshot that b encodes. Its membership is newly
// allocated and shares nothing with b nor with what s was before.
//
// Whatever b holds, Unmarshal allocates less than 64 bytes for each byte of b,
// plus 1 KiB. The error is a *DecodeError; s is then zero.
func (s *Snapshot) Unmarshal(b []byte) error {
	*s = Snapshot{}
	if err := s.merge(b, 0, math.MaxInt); err != nil {
		*s = Snapshot{}
		return err
	}
	return nil
}

// merge sets the fields that b[i:] holds. As protobuf has it, memberships are
// merged: the members of a second one are appended to those of the first, and
// its other fields replace the first one's. Members may take limit bytes.
func (s *Snapshot) merge(b []byte, i, limit int) error {
	for i < len(b) {
		tag, v, end := readField(b, i)
		if end < 0 {
			return malformed("Snapshot", i, fault(end))
		}
		switch tag {
		case 1<<3 | varintType:
			s.Index = Index(v)
		case 2<<3 | varintType:
			s.Term = Term(v)
		case 3<<3 | bytesType:
			if err := s.Membership.merge(b[:end], end-int(v), limit); err != nil {
				return err
			}
		case 4<<3 | varintType:
			s.MembershipIndex = Index(v)
		case 5<<3 | varintType:
			s.Size = v
		case 6<<3 | fixed32Type:
			s.Checksum = uint32(v)
		case 7<<3 | varintType:
			s.Earliest = v
		case 8<<3 | varintType:
			s.Latest = v
		}
		i = end
	}
	return nil
}

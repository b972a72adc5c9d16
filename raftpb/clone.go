package raftpb

import "slices"

// Clone returns a copy that shares no memory with m.
func (m Membership) Clone() Membership {
	m.Members = slices.Clone(m.Members)
	return m
}

// Clone returns a copy that shares no memory with s.
func (s Snapshot) Clone() Snapshot {
	s.Membership = s.Membership.Clone()
	return s
}

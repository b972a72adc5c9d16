package raftpb_test

import (
	"google.golang.org/protobuf/proto"

	"github.com/seed-6281cb22/raft/internal/oracle"
	"github.com/seed-6281cb22/raft/raftpb"
)

// codec is what every type of the package implements.
type codec interface {
	EncodedLen() int
	Append(b []byte) []byte
	Unmarshal(b []byte) error
}

// kind is a type of the package, together with its oracle.
type kind struct {
	name      string
	new       func() codec
	newOracle func() proto.Message
	toOracle  func(codec) proto.Message
}

var (
	messageKind = kind{
		"Message",
		func() codec { return new(raftpb.Message) },
		func() proto.Message { return new(oracle.Message) },
		func(c codec) proto.Message { return messageToOracle(c.(*raftpb.Message)) },
	}
	entryKind = kind{
		"Entry",
		func() codec { return new(raftpb.Entry) },
		func() proto.Message { return new(oracle.Entry) },
		func(c codec) proto.Message { return entryToOracle(c.(*raftpb.Entry)) },
	}
	hardStateKind = kind{
		"HardState",
		func() codec { return new(raftpb.HardState) },
		func() proto.Message { return new(oracle.HardState) },
		func(c codec) proto.Message { return hardStateToOracle(c.(*raftpb.HardState)) },
	}
	memberKind = kind{
		"Member",
		func() codec { return new(raftpb.Member) },
		func() proto.Message { return new(oracle.Member) },
		func(c codec) proto.Message { return memberToOracle(c.(*raftpb.Member)) },
	}
	membershipKind = kind{
		"Membership",
		func() codec { return new(raftpb.Membership) },
		func() proto.Message { return new(oracle.Membership) },
		func(c codec) proto.Message { return membershipToOracle(c.(*raftpb.Membership)) },
	}
	snapshotKind = kind{
		"Snapshot",
		func() codec { return new(raftpb.Snapshot) },
		func() proto.Message { return new(oracle.Snapshot) },
		func(c codec) proto.Message { return snapshotToOracle(c.(*raftpb.Snapshot)) },
	}

	kinds = []kind{messageKind, entryKind, hardStateKind, memberKind, membershipKind, snapshotKind}
)

// The functions below turn the types of this package into those of its oracle,
// field by field. A field forgotten here, in the codec, or in both is found by
// TestEveryFieldIsHandled, which goes by the schema.

func messageToOracle(m *raftpb.Message) *oracle.Message {
	o := &oracle.Message{
		Type:     oracle.MessageType(m.Type),
		Group:    uint64(m.Group),
		From:     uint64(m.From),
		To:       uint64(m.To),
		Term:     uint64(m.Term),
		Index:    uint64(m.Index),
		LogTerm:  uint64(m.LogTerm),
		Commit:   uint64(m.Commit),
		Round:    m.Round,
		Match:    uint64(m.Match),
		Verified: uint64(m.Verified),
		Window:   m.Window,
		Reject:   m.Reject,
		Context:  m.Context,
		Marked:   m.Marked,
		Unmark:   uint64(m.Unmark),
		Transfer: m.Transfer,
	}
	for i := range m.Entries {
		o.Entries = append(o.Entries, entryToOracle(&m.Entries[i]))
	}
	if m.Snapshot != nil {
		o.Snapshot = snapshotToOracle(m.Snapshot)
	}
	return o
}

func entryToOracle(e *raftpb.Entry) *oracle.Entry {
	return &oracle.Entry{
		Term:              uint64(e.Term),
		Index:             uint64(e.Index),
		Type:              oracle.EntryType(e.Type),
		Data:              e.Data,
		OriginNode:        uint64(e.Origin.Node),
		OriginIncarnation: e.Origin.Incarnation,
		OriginSequence:    e.Origin.Sequence,
		Earliest:          e.Earliest,
		Latest:            e.Latest,
		Checksum:          e.Checksum,
	}
}

func hardStateToOracle(h *raftpb.HardState) *oracle.HardState {
	return &oracle.HardState{
		Term:     uint64(h.Term),
		Vote:     uint64(h.Vote),
		Commit:   uint64(h.Commit),
		Unmarked: h.Unmarked,
	}
}

func memberToOracle(m *raftpb.Member) *oracle.Member {
	return &oracle.Member{
		Id:       uint64(m.ID),
		Address:  m.Address,
		Voter:    m.Voter,
		Outgoing: m.Outgoing,
		Leaving:  m.Leaving,
		Priority: m.Priority,
		Intent:   oracle.Intent(m.Intent),
	}
}

func membershipToOracle(m *raftpb.Membership) *oracle.Membership {
	o := &oracle.Membership{Lease: m.Lease}
	for i := range m.Members {
		o.Members = append(o.Members, memberToOracle(&m.Members[i]))
	}
	return o
}

func snapshotToOracle(s *raftpb.Snapshot) *oracle.Snapshot {
	o := &oracle.Snapshot{
		Index:           uint64(s.Index),
		Term:            uint64(s.Term),
		MembershipIndex: uint64(s.MembershipIndex),
		Size:            s.Size,
		Checksum:        s.Checksum,
		Earliest:        s.Earliest,
		Latest:          s.Latest,
	}
	if len(s.Membership.Members) > 0 || s.Membership.Lease != 0 {
		o.Membership = membershipToOracle(&s.Membership)
	}
	return o
}

package inmem

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// What a next version of the wire format may bring: fields of every wire type,
// with numbers that this version does not use, and messages of a new type.
const (
	newField = 1000
	newType  = 120
)

// nextVersion returns the frame of m as a next version would send it.
func nextVersion(m *raft.Message) []byte {
	b := m.Append(wire.Begin(nil))
	b = protowire.AppendTag(b, newField, protowire.VarintType)
	b = protowire.AppendVarint(b, 1<<63)
	b = protowire.AppendTag(b, newField+1, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, 1)
	b = protowire.AppendTag(b, newField+2, protowire.BytesType)
	b = protowire.AppendBytes(b, []byte("of a next version"))
	b = protowire.AppendTag(b, newField+3, protowire.Fixed32Type)
	b = protowire.AppendFixed32(b, 1)
	wire.Finish(b, 0, wire.KindMessage)
	return b
}

// unknownMessage returns a message that only a next version understands, of
// the same sender, receiver and term as m.
func unknownMessage(m *raft.Message) []byte {
	return nextVersion(&raft.Message{Type: newType, Group: m.Group, From: m.From, To: m.To, Term: m.Term})
}

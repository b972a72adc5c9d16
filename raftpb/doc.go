// Package raftpb holds the types that cross wire and disk, and their codec.
//
// The contract is raft.proto: what Append writes, any protobuf implementation
// reads, and the reverse. The Go types are plain value structs with typed
// numbers, and their codec is written by hand: an AppendEntries of 64 entries
// decodes several times faster than with generated code, and without an
// allocation per entry.
//
// Each type has the same three methods. EncodedLen returns how long the
// encoding is; Append appends it to a buffer of the caller's; Unmarshal
// replaces the receiver by what an input encodes:
//
//	b := m.Append(make([]byte, 0, m.EncodedLen()))
//	var received raftpb.Message
//	err := received.Unmarshal(b)
//
// # Ownership
//
// Append copies; b and the value share nothing afterwards. Unmarshal copies
// everything but [Entry].Data, which aliases the input: the bytes of an entry
// are immutable from the moment they arrive, and so must the input be. Message
// reuses the array of its Entries, see [Message.Unmarshal].
//
// # What is checked
//
// Unmarshal takes bytes from anyone. It never panics, allocates at most in
// proportion to the input, and fails with a [*DecodeError], which matches
// [ErrDecode], for what is not protobuf. It follows proto3 as the generated
// code does: unknown fields are skipped, groups included; of a scalar that
// occurs twice the last counts; a message that occurs twice is merged; strings
// must be valid UTF-8. In one thing it is stricter: an enum value above 255
// is refused rather than cut to the width of a Go type, where it could pass
// for a known one. Unknown enum values up to 255 are kept.
//
// Whether a value makes sense, such as a term within [MaxTerm], is for its
// user to check.
package raftpb

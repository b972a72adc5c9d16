// Package raftpb holds the types that cross wire and disk, and their codec.
//
// raft.proto is the contract. The Go types are plain value structs with typed
// numbers, and their codec is written by hand: an AppendEntries of 64 entries
// decodes several times faster than with generated code, without an
// allocation per entry.
package raftpb

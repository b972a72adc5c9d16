package raft

import "github.com/seed-6281cb22/raft/raftpb"

// The types that a service needs, by alias, so that it imports only this
// package, a storage and a transport. Package raftpb documents them.
type (
	Term       = raftpb.Term
	Index      = raftpb.Index
	NodeID     = raftpb.NodeID
	GroupID    = raftpb.GroupID
	Entry      = raftpb.Entry
	EntryType  = raftpb.EntryType
	HardState  = raftpb.HardState
	Member     = raftpb.Member
	Membership = raftpb.Membership
	Intent     = raftpb.Intent
	Snapshot   = raftpb.Snapshot
	Message    = raftpb.Message
)

// Limits, see package raftpb.
const (
	MaxTerm  = raftpb.MaxTerm
	MaxIndex = raftpb.MaxIndex
)

// Entry types, see package raftpb.
const (
	EntryCommand    = raftpb.EntryCommand
	EntryEmpty      = raftpb.EntryEmpty
	EntryMembership = raftpb.EntryMembership
	EntryStateHash  = raftpb.EntryStateHash
)

// Intents of members, see package raftpb.
const (
	IntentStay    = raftpb.IntentStay
	IntentVoter   = raftpb.IntentVoter
	IntentLearner = raftpb.IntentLearner
	IntentLeave   = raftpb.IntentLeave
)

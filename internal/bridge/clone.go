package bridge

import "github.com/seed-6281cb22/raft/raftpb"

// Clone returns a copy of core, a *raft.Raft: what either does afterwards
// never affects the other. A source of randomness cannot be copied, so the
// copy draws from random, a raft.Random.
var Clone func(core, random any) any

// Fingerprint appends to b all that decides what core, a *raft.Raft, does from
// the instant at on, in one form: two cores with the same fingerprint behave
// alike. Times are relative to at, the sequences of writes to what is durable,
// and memory that is kept for later does not count. Rounds and the names of
// marks stay as they are, since other cores and messages on their way hold
// them too.
//
// A node's id is taken for rename[id], where that exists, so that two cores in
// groups whose members have changed places have the same fingerprint. So is an
// address that is an id in decimal.
var Fingerprint func(b []byte, core any, at int64, rename []raftpb.NodeID) []byte

// FingerprintMessage is Fingerprint for a message on its way.
var FingerprintMessage func(b []byte, m *raftpb.Message, rename []raftpb.NodeID) []byte

// Timer is one of a core's timers.
type Timer uint8

// The timers.
const (
	ElectionTimer  Timer = iota // of all but leaders
	HeartbeatTimer              // of leaders
	QuorumTimer                 // of leaders: nobody else was heard from for an election timeout
)

// Fire lets core, a *raft.Raft, find at the instant now that this timer, and
// no other, is due, whatever its clock says.
var Fire func(core any, timer Timer, now int64)

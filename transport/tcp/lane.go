package tcp

import (
	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// laneID names one of the two ways from a node to another, each of which is a
// queue, a goroutine and a connection of its own.
//
// A vote that waits behind megabytes of entries, in the queue, in the socket's
// buffer, in the receiver's window or behind a Handler that is busy with them,
// is a vote lost: it comes after the election. So what an election, a lease or
// a read waits for shares none of these with entries.
type laneID int

const (
	urgentLane laneID = iota
	bulkLane
	lanes = 2
)

var laneNames = [lanes]string{"urgent", "bulk"}

func (l laneID) String() string { return laneNames[l] }

// purpose is what connections of the lane are for.
func (l laneID) purpose() wire.Purpose {
	if l == urgentLane {
		return wire.ForUrgent
	}
	return wire.ForMessages
}

// laneFor returns the lane of an incoming connection for messages.
func laneFor(p wire.Purpose) laneID {
	if p == wire.ForUrgent {
		return urgentLane
	}
	return bulkLane
}

// laneOf chooses a message's lane. Urgent is what is small whatever it says,
// and of no less use when it overtakes entries.
//
// An AppendEntries without entries is a heartbeat when the entry that it
// follows is known to be at the receiver. If not, it asks whether entries that
// were sent before it have arrived, and must come after them.
//
// Proposals and their answers are bulk: the ones have entries, and the others
// are followed by the entries that they speak of.
func laneOf(m *raft.Message) laneID {
	if len(m.Entries) > 0 || m.Snapshot != nil {
		return bulkLane
	}
	switch m.Type {
	case raftpb.PreVote, raftpb.PreVoteReply, raftpb.RequestVote, raftpb.RequestVoteReply, raftpb.TimeoutNow,
		raftpb.AppendEntriesReply, raftpb.InstallSnapshotReply, raftpb.ReadIndex, raftpb.ReadIndexReply:
		return urgentLane
	case raftpb.AppendEntries:
		if m.Index <= m.Match {
			return urgentLane
		}
	}
	return bulkLane
}

package raftpb

import "strconv"

// String returns the name of t as in the paper, or "MessageType(n)" for one
// that this version does not know.
func (t MessageType) String() string {
	switch t {
	case PreVote:
		return "PreVote"
	case PreVoteReply:
		return "PreVoteReply"
	case RequestVote:
		return "RequestVote"
	case RequestVoteReply:
		return "RequestVoteReply"
	case AppendEntries:
		return "AppendEntries"
	case AppendEntriesReply:
		return "AppendEntriesReply"
	case InstallSnapshot:
		return "InstallSnapshot"
	case InstallSnapshotReply:
		return "InstallSnapshotReply"
	case TimeoutNow:
		return "TimeoutNow"
	case Propose:
		return "Propose"
	case ProposeReply:
		return "ProposeReply"
	case ReadIndex:
		return "ReadIndex"
	case ReadIndexReply:
		return "ReadIndexReply"
	default:
		return "MessageType(" + strconv.Itoa(int(t)) + ")"
	}
}

// String returns "Command", "Empty", "Membership", or "EntryType(n)" for one
// that this version does not know.
func (t EntryType) String() string {
	switch t {
	case EntryCommand:
		return "Command"
	case EntryEmpty:
		return "Empty"
	case EntryStateHash:
		return "StateHash"
	case EntryMembership:
		return "Membership"
	default:
		return "EntryType(" + strconv.Itoa(int(t)) + ")"
	}
}

// String returns "Stay", "Voter", "Learner", "Leave", or "Intent(n)" for one
// that this version does not know.
func (i Intent) String() string {
	switch i {
	case IntentStay:
		return "Stay"
	case IntentVoter:
		return "Voter"
	case IntentLearner:
		return "Learner"
	case IntentLeave:
		return "Leave"
	default:
		return "Intent(" + strconv.Itoa(int(i)) + ")"
	}
}

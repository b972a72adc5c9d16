package etcdtrace

import (
	"strconv"

	"github.com/seed-6281cb22/raft"
)

// line is one line of a trace.
type line struct {
	Tag string `json:"tag"`
	// Time stands where a log of etcd-io/raft has its time, since its
	// validate.sh sorts the lines, as text, by what follows their second
	// colon. It numbers the lines in so many digits that this changes nothing.
	Time  int   `json:"ts"`
	Event event `json:"event"`
}

// firstTime is the first of as many numbers of ten digits as TLA+'s TLC, whose
// integers have 32 bits, can read.
const firstTime = 1_000_000_000

// event is one step of one node. The fields and their order are those of
// etcd-io/raft's state_trace.go. Its "prop" describes changes of the
// membership only, so that with a fixed one no line has it.
type event struct {
	Name    string      `json:"name"`
	Node    string      `json:"nid"`
	State   state       `json:"state"`
	Role    string      `json:"role"`
	Log     uint64      `json:"log"` // its length
	Conf    [2][]string `json:"conf"`
	Message *message    `json:"msg,omitempty"`
}

// state is a node's hard state.
type state struct {
	Term   uint64 `json:"term"`
	Vote   string `json:"vote"`
	Commit uint64 `json:"commit"`
}

// message is what was sent or received.
type message struct {
	Type       string `json:"type"`
	Term       uint64 `json:"term"`
	From       string `json:"from"`
	To         string `json:"to"`
	Entries    int    `json:"entries"` // their number
	LogTerm    uint64 `json:"logTerm"`
	Index      uint64 `json:"index"`
	Commit     uint64 `json:"commit"`
	Vote       string `json:"vote"`
	Reject     bool   `json:"reject"`
	RejectHint uint64 `json:"rejectHint"`
}

// The events that a run of a fixed membership without snapshots consists of.
const (
	initState                    = "InitState"
	becomeCandidate              = "BecomeCandidate"
	becomeLeader                 = "BecomeLeader"
	becomeFollower               = "BecomeFollower"
	replicate                    = "Replicate"
	commit                       = "Commit"
	ready                        = "Ready"
	sendRequestVoteRequest       = "SendRequestVoteRequest"
	sendRequestVoteResponse      = "SendRequestVoteResponse"
	sendAppendEntriesRequest     = "SendAppendEntriesRequest"
	sendAppendEntriesResponse    = "SendAppendEntriesResponse"
	receiveRequestVoteRequest    = "ReceiveRequestVoteRequest"
	receiveRequestVoteResponse   = "ReceiveRequestVoteResponse"
	receiveAppendEntriesRequest  = "ReceiveAppendEntriesRequest"
	receiveAppendEntriesResponse = "ReceiveAppendEntriesResponse"
)

// The message types of etcd-io/raft.
const (
	msgVote     = "MsgVote"
	msgVoteResp = "MsgVoteResp"
	msgApp      = "MsgApp"
	msgAppResp  = "MsgAppResp"
)

func name(id raft.NodeID) string { return strconv.FormatUint(uint64(id), 10) }

// roleName is the role as the specification has it. It knows no pre-candidate,
// who has not left its term and has voted for nobody: it is a follower.
func roleName(role raft.Role) string {
	switch role {
	case raft.Leader:
		return "StateLeader"
	case raft.Candidate:
		return "StateCandidate"
	}
	return "StateFollower"
}

func newMessage(kind string, from, to raft.NodeID, term raft.Term) *message {
	return &message{Type: kind, Term: uint64(term), From: name(from), To: name(to), Vote: name(0)}
}

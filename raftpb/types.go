package raftpb

// Term is a Raft term. Terms start at 1; 0 means none.
type Term uint64

// Index is a position in the log. The first entry has index 1; 0 means none.
type Index uint64

// NodeID names a node. It is chosen by the operator, unique within a cluster
// for all time, and not 0, which means none.
type NodeID uint64

// GroupID names a replication group among those of a process.
type GroupID uint64

// MaxTerm and MaxIndex are the largest valid term and index. A message that
// carries a larger one is malformed; so sums with them never overflow.
const (
	MaxTerm  Term  = 1<<62 - 1
	MaxIndex Index = 1<<62 - 1
)

// EntryType says what an entry's data is.
type EntryType uint8

// The types of entries.
const (
	EntryCommand    EntryType = 0 // a command for the state machine
	EntryEmpty      EntryType = 1 // no data: the first entry of a term, and others without effect
	EntryMembership EntryType = 2 // data is an encoded Membership
	// EntryStateHash, without data, asks for a hash of the state machine as of
	// this entry. With data it is its origin's answer: the index of the request
	// and the hash, 8 bytes each, big-endian.
	EntryStateHash EntryType = 3
)

// Origin says who proposed an entry: a node, a number that is different in
// each run of that node's process, and a sequence number of that run. The
// zero Origin is nobody's.
type Origin struct {
	Node        NodeID
	Incarnation uint64
	Sequence    uint64
}

// Entry is one entry of the replicated log.
//
// An Entry is immutable once it exists: its Data may be retained by anyone
// and is overwritten by no one.
type Entry struct {
	Term     Term
	Index    Index
	Data     []byte
	Origin   Origin
	Earliest uint64 // clock interval of the leader that created it, in Unix nanoseconds; 0 and 0: none
	Latest   uint64
	Checksum uint32 // of Data, from the proposer to apply, see Checksum; 0: none
	Type     EntryType
}

// HardState is what a replica must not forget: its current term, whom it
// voted for in it, and, as a hint that saves work, an index known to be
// committed.
type HardState struct {
	Term   Term
	Vote   NodeID
	Commit Index
	// Unmarked is false for marked storage: empty, or known to have lost
	// what it acknowledged. The zero HardState, that of empty storage, is
	// marked.
	Unmarked bool
}

// Member is one member of a replication group.
type Member struct {
	ID       NodeID
	Address  string // what the transport dials
	Voter    bool   // votes in the configuration, in a joint one in the incoming one
	Outgoing bool   // votes in the outgoing configuration of a joint one
	Leaving  bool   // leaves the group together with the joint configuration
	Priority uint32 // of the voters that have caught up, one with the highest should lead
	Intent   Intent // what the next change of voters makes of it
}

// Intent is what a member is to become, once all those that are to be voters
// have caught up with the log.
type Intent uint8

// The intents.
const (
	IntentStay    Intent = 0 // as it is
	IntentVoter   Intent = 1 // a voter, from a learner
	IntentLearner Intent = 2 // a learner, from a voter
	IntentLeave   Intent = 3 // no member, from a voter
)

// Membership is the whole membership of a group, ordered by ID. A member that
// votes in no configuration is a learner. The membership is joint while any
// member is Outgoing.
type Membership struct {
	Members []Member
	// Lease is the length of leases in nanoseconds, 0: no leases.
	Lease uint64
}

// Snapshot says what a snapshot of the state machine covers. A Snapshot of
// index 0 stands for the state before the first entry; its Membership is the
// founding one.
type Snapshot struct {
	Index           Index
	Term            Term
	Membership      Membership // in force at Index
	MembershipIndex Index      // of the entry that holds it, 0 for the founding one
	Size            uint64     // of the state machine's data in bytes
	Checksum        uint32     // CRC32C of the state machine's data
	Earliest        uint64     // clock interval of the entry at Index, as in Entry
	Latest          uint64
}

// MessageType names the messages of the paper, and those that forward.
type MessageType uint8

// The types of messages; Message says what each carries.
const (
	PreVote              MessageType = 1
	PreVoteReply         MessageType = 2
	RequestVote          MessageType = 3
	RequestVoteReply     MessageType = 4
	AppendEntries        MessageType = 5
	AppendEntriesReply   MessageType = 6
	InstallSnapshot      MessageType = 7
	InstallSnapshotReply MessageType = 8
	TimeoutNow           MessageType = 9
	Propose              MessageType = 10
	ProposeReply         MessageType = 11
	ReadIndex            MessageType = 12
	ReadIndexReply       MessageType = 13
)

// Message is what two members of a group send each other. Term is the
// sender's current term except where the table says otherwise.
//
//	PreVote               Term: the term it would campaign in; Index, LogTerm: of its last entry;
//	                      Context: names the sender's mark, 0: unmarked
//	PreVoteReply          Term: of the request when granted, else the sender's; Reject, Marked;
//	                      Round: Context of the request; Commit: index of a committed membership
//	                      that the receiver is no member of, 0: none
//	RequestVote           Index, LogTerm: of its last entry; Transfer; Context: names the
//	                      receiver's mark, as the sender knows it, 0: unmarked
//	RequestVoteReply      Reject, Marked
//	AppendEntries         Index, LogTerm: of the entry before Entries (prevLogIndex, prevLogTerm);
//	                      Commit; Round; Match: what the leader believes durable at the receiver;
//	                      Unmark: an index whose durable holding ends the receiver's mark, 0: none;
//	                      Context: of the mark that it ends
//	  with Reject         the receiver is no member any more, and nothing else; Round
//	AppendEntriesReply    Index: durable and verified; Verified: received and verified in this term;
//	                      Round: echo; Window: bytes of entries it can still take; Marked, then
//	                      Context: a random number that names the mark, as in all marked replies
//	  with Reject         Index: the prevLogIndex it rejects; Match, LogTerm: the conflict hint, a
//	                      lower index to try and the sender's term there
//	InstallSnapshot       Snapshot; its data follows on the same connection
//	InstallSnapshotReply  Index: durable and verified; Verified; Reject; Marked
//	TimeoutNow            -
//	Propose               Term: of the leader it is meant for; Entries: with Origin, in sequence
//	                      order; Context: lowest sequence number not yet answered
//	ProposeReply          Context: first sequence number answered; Index: given to it, the next
//	                      ones follow on; Match: how many; Round: the origin's incarnation;
//	                      Reject: refused, all of them: with Window 0 for want of room, with
//	                      the highest because they are damaged, else for their size, and
//	                      Window is the largest that is taken
//	ReadIndex             Context: the request's id
//	ReadIndexReply        Context: the request's id; Index; Reject
type Message struct {
	Type     MessageType
	Reject   bool
	Marked   bool
	Transfer bool
	Group    GroupID
	From     NodeID
	To       NodeID
	Term     Term
	Index    Index
	LogTerm  Term
	Commit   Index
	Round    uint64
	Match    Index
	Verified Index
	Window   uint64
	Context  uint64
	Unmark   Index
	Entries  []Entry
	Snapshot *Snapshot
}

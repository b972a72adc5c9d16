package raft

// Status is a replica's state at one moment.
type Status struct {
	ID       NodeID
	Group    GroupID
	Role     Role
	Term     Term
	Leader   NodeID // 0: unknown
	Commit   Index  // the highest index known to be committed
	Applied  Index  // the highest index applied
	Durable  Index  // the highest index durable here
	First    Index  // of the log's entries
	Last     Index
	Snapshot Index // the newest snapshot's index, 0: none
	Marked   bool  // see "Marked storage" in the package documentation
	Removed  bool  // see ErrRemoved
	// Membership is the one in force. It is shared; do not change it.
	Membership Membership
	// Ignored counts messages that were malformed, stale or from strangers.
	Ignored uint64
}

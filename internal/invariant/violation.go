package invariant

import (
	"fmt"

	"github.com/seed-6281cb22/raft/raftpb"
)

// The names of the checkers, which a Violation bears.
const (
	ElectionSafety        = "election-safety"          // one leader in a term, elected by a quorum
	LeaderAppendOnly      = "leader-append-only"       // a leader neither overwrites nor deletes
	LogMatching           = "log-matching"             // an index and a term name one entry, and one log before it
	LeaderCompleteness    = "leader-completeness"      // a leader holds all that was committed in earlier terms
	StateMachineSafety    = "state-machine-safety"     // the same entries everywhere, in order, once
	CommitJustified       = "commit-justified"         // an entry of the leader's own term, durable at a quorum
	CommitVerified        = "commit-verified"          // a follower's commit index is within what was verified
	VerifiedTruthful      = "verified-truthful"        // and that is the same in the leader's log
	DurableTruthful       = "durable-truthful"         // what a core takes for durable is
	DurableNeverRegresses = "durable-never-regresses"  // what is durable, and committed or acknowledged, stays
	VoteOnce              = "vote-once"                // one vote in a term, across crashes
	HardStateDurable      = "hard-state-durable"       // term and vote are durable before they are revealed
	AckDurable            = "ack-durable"              // what is acknowledged is durable, and the leader's
	MatchTruthful         = "match-truthful"           // what a leader believes of a peer is durable there
	Mark                  = "mark"                     // marked storage neither votes, campaigns nor counts
	Monotonic             = "monotonic"                // neither term nor commit index goes back
	ReadLinearizable      = "read-linearizable"        // a read sees all that was committed when it began
	LeaseExclusive        = "lease-exclusive"          // no commit while an earlier leader has a lease
	OneChange             = "one-change-at-a-time"     // of the membership, after the term's first commit
	Succession            = "membership-succession"    // voters change through joint consensus
	Removed               = "removed"                  // who believes to be removed was
	Bounds                = "bounds"                   // memory is within its configured bounds
	PreVoteChangesNothing = "pre-vote-changes-nothing" // neither term nor vote
	Deadline              = "deadline"                 // a tick at the deadline moves it
	Harness               = "harness"                  // the Checker was told of something impossible
)

// Violation says which rule was broken, and by whom.
type Violation struct {
	Checker string
	Node    raftpb.NodeID
	Detail  string
}

func (v *Violation) Error() string {
	return fmt.Sprintf("%s: node %d: %s", v.Checker, v.Node, v.Detail)
}

// fail keeps the first violation: what comes after it is its consequence.
func (c *Checker) fail(checker string, n *node, format string, args ...any) {
	if c.violation == nil {
		c.violation = &Violation{Checker: checker, Node: n.id, Detail: fmt.Sprintf(format, args...)}
	}
}

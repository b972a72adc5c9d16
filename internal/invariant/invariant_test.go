package invariant

import (
	"testing"

	"github.com/seed-6281cb22/raft/internal/bridge"
	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// Every checker finds what it is there for.
func TestViolationsAreFound(t *testing.T) {
	message := func(id raftpb.NodeID, m raftpb.Message) func(h *history) {
		return func(h *history) { h.step(id, func(s *Step) { s.Messages = []raftpb.Message{m} }) }
	}
	change := func(id raftpb.NodeID, f func(v *bridge.View)) func(h *history) {
		return func(h *history) { h.step(id, func(s *Step) { f(s.View) }) }
	}
	for _, test := range []struct {
		name, checker string
		violate       func(h *history) // of committed()
	}{
		{"two leaders in a term", ElectionSafety, func(h *history) { h.follow(3, 2, 0, 3); h.lead(3, 2) }},
		{"a leader without a quorum of votes", ElectionSafety, func(h *history) { h.follow(3, 3, 0, 3); h.lead(3, 3) }},
		{"a leader that becomes a candidate in its term", ElectionSafety, change(1, func(v *bridge.View) { v.Role = bridge.Candidate })},
		{"a leader overwrites", LeaderAppendOnly, func(h *history) {
			h.step(1, func(s *Step) { h.write(s, entry(1, 2)) })
		}},
		{"a leader takes a snapshot's log", LeaderAppendOnly, func(h *history) {
			h.step(1, func(s *Step) { h.write(s); s.Write.Snapshot = &raftpb.Snapshot{Index: 1, Term: 2} })
		}},
		{"one entry with two contents", LogMatching, func(h *history) {
			other := entry(1, 2)
			other.Data = []byte("else")
			h.follow(3, 2, 1, 0)
			h.step(3, func(s *Step) { h.write(s, other) })
		}},
		{"an entry that its leader has not made", LogMatching, func(h *history) {
			h.step(2, func(s *Step) { h.write(s, entry(2, 2)) })
		}},
		{"one entry after two different ones", LogMatching, func(h *history) {
			h.elect(3, 3, 2) // with an empty log
			h.violation, h.commits = nil, nil
			h.step(1, func(s *Step) { h.write(s, entry(2, 2)) })
			h.follow(3, 4, 0, 0)
			h.step(3, func(s *Step) { h.write(s, entry(2, 2)) })
		}},
		{"a gap in the log", LogMatching, func(h *history) {
			h.step(1, func(s *Step) { h.write(s, entry(3, 2)) })
		}},
		{"a log that is not what was written", LogMatching, change(1, func(v *bridge.View) { v.Last = 2 })},
		{"a leader sends what it does not have", LogMatching,
			message(1, raftpb.Message{Type: raftpb.AppendEntries, Term: 2, Index: 2, LogTerm: 2})},
		{"a leader sends a commit index that it has not reached", LogMatching,
			message(1, raftpb.Message{Type: raftpb.AppendEntries, Term: 2, Index: 1, LogTerm: 2, Commit: 2})},
		{"a leader sends entries out of order", LogMatching,
			message(1, raftpb.Message{Type: raftpb.AppendEntries, Term: 2, Entries: []raftpb.Entry{entry(2, 2)}})},
		{"a leader sends entries of another term", LogMatching,
			message(1, raftpb.Message{Type: raftpb.AppendEntries, Term: 2, Entries: []raftpb.Entry{entry(1, 1)}})},
		{"a leader that lacks what is committed", LeaderCompleteness, func(h *history) { h.elect(3, 3, 2) }},
		{"a commit that a later leader lacks", LeaderCompleteness, func(h *history) {
			h.step(1, func(s *Step) { h.write(s, entry(2, 2)) })
			h.persist(1)
			h.step(2, func(s *Step) { h.write(s, entry(2, 2)); s.View.Verified = 2 })
			h.persist(2)
			h.acknowledge(2, 1, 2)
			h.violation, h.commits = nil, nil
			h.follow(3, 2, 1, 0)
			h.step(3, func(s *Step) { h.write(s, entry(1, 2)) })
			h.persist(3)
			h.elect(3, 3, 2)
			h.commit(1, 2)
		}},
		{"two entries committed at an index", StateMachineSafety, func(h *history) {
			h.follow(3, 3, 0, 3)
			h.vote(2, 3, 3)
			h.commits = nil
			h.lead(3, 3)
			h.follow(3, 4, 0, 0)
			h.step(3, func(s *Step) { s.View.Verified, s.View.Commit = 1, 1 })
		}},
		{"a commit index beyond the log", StateMachineSafety, change(1, func(v *bridge.View) { v.Commit = 2 })},
		{"applied out of order", StateMachineSafety, func(h *history) { h.apply(1, entry(2, 2)) }},
		{"applied twice", StateMachineSafety, func(h *history) { h.apply(1, entry(1, 2)); h.apply(1, entry(1, 2)) }},
		{"applied what is not committed", StateMachineSafety, func(h *history) {
			h.step(1, func(s *Step) { h.write(s, entry(2, 2)) })
			h.persist(1)
			h.apply(1, entry(1, 2), entry(2, 2))
		}},
		{"applied before its own commit index", StateMachineSafety, func(h *history) { h.apply(2, entry(1, 2)) }},
		{"applied something else", StateMachineSafety, func(h *history) {
			other := entry(1, 2)
			other.Data = []byte("else")
			h.apply(1, other)
		}},
		{"applied before it is durable", StateMachineSafety, func(h *history) {
			h.follow(3, 2, 1, 0)
			h.step(3, func(s *Step) { h.write(s, entry(1, 2)); s.View.Verified, s.View.Commit = 1, 1 })
			h.apply(3, entry(1, 2))
		}},
		{"a snapshot of what is not committed", StateMachineSafety, func(h *history) { h.SnapshotCommitted(1, 2, 2) }},
		{"a snapshot of another term", StateMachineSafety, func(h *history) { h.SnapshotCommitted(1, 1, 1) }},
		{"a restore of what is not durable", StateMachineSafety, func(h *history) {
			h.step(1, func(s *Step) { s.Restore = &raftpb.Snapshot{Index: 1, Term: 2} })
		}},
		{"a restore of an old snapshot", StateMachineSafety, func(h *history) {
			h.SnapshotCommitted(1, 1, 2)
			h.apply(1, entry(1, 2))
			h.Restored(1, 0, 0)
		}},
		{"a commit without a quorum", CommitJustified, func(h *history) {
			h.step(1, func(s *Step) { h.write(s, entry(2, 2)) })
			h.persist(1)
			h.commit(1, 2)
		}},
		{"a commit with a marked one in the quorum", CommitJustified, func(h *history) {
			h.step(1, func(s *Step) { h.write(s, entry(2, 2)) })
			h.persist(1)
			h.step(2, func(s *Step) { h.write(s, entry(2, 2)); s.View.Verified = 2 })
			h.persist(2)
			h.acknowledge(2, 1, 2)
			h.step(1, func(s *Step) { s.View.Commit, s.View.Peers[0].Marked = 2, true })
		}},
		{"a commit that counts the leader before its fsync", CommitJustified, func(h *history) {
			h.step(1, func(s *Step) { h.write(s, entry(2, 2)) })
			h.step(2, func(s *Step) { h.write(s, entry(2, 2)); s.View.Verified = 2 })
			h.persist(2)
			h.acknowledge(2, 1, 2)
			h.commit(1, 2)
		}},
		{"a commit by one of two configurations", CommitJustified, func(h *history) {
			joint := membership(settled)
			for i := range joint.Members {
				joint.Members[i].Outgoing = i == settled-1
			}
			h.step(1, func(s *Step) { s.View.Membership = joint; h.write(s, entry(2, 2)) })
			h.persist(1)
			h.step(2, func(s *Step) { h.write(s, entry(2, 2)); s.View.Verified = 2 })
			h.persist(2)
			h.acknowledge(2, 1, 2)
			h.commit(1, 2)
		}},
		{"a commit of an old term by counting", CommitJustified, func(h *history) {
			h.step(1, func(s *Step) { h.write(s, entry(2, 2)) })
			h.persist(1)
			h.step(2, func(s *Step) { h.write(s, entry(2, 2)); s.View.Verified = 2 })
			h.persist(2)
			h.elect(2, 3, 1)
			h.commit(2, 2)
		}},
		{"a follower's commit that no leader has made", CommitJustified, func(h *history) {
			h.step(1, func(s *Step) { h.write(s, entry(2, 2)) })
			h.step(2, func(s *Step) { h.write(s, entry(2, 2)); s.View.Verified, s.View.Commit = 2, 2 })
		}},
		{"a commit beyond what is verified", CommitVerified, func(h *history) {
			h.step(2, func(s *Step) { s.View.Commit, s.View.Verified = 1, 0 })
		}},
		{"verified what the leader does not have", VerifiedTruthful, func(h *history) {
			h.elect(2, 3, 3)
			h.follow(1, 3, 2, 0)
			h.step(1, func(s *Step) { h.write(s, entry(2, 3)) })
			h.step(1, func(s *Step) { s.View.Verified = 3 })
		}},
		{"durable what is not", DurableTruthful, func(h *history) {
			h.step(1, func(s *Step) { h.write(s, entry(2, 2)); s.View.Durable = 2 })
		}},
		{"a write removes what is committed", DurableNeverRegresses, func(h *history) {
			h.elect(3, 3)
			h.violation = nil
			h.follow(2, 3, 3, 0)
			h.step(2, func(s *Step) { h.write(s, entry(1, 3)) })
			h.persist(2)
		}},
		{"a write removes what was acknowledged", DurableNeverRegresses, func(h *history) {
			h.step(1, func(s *Step) { h.write(s, entry(2, 2), entry(3, 2)) })
			h.step(2, func(s *Step) { h.write(s, entry(2, 2), entry(3, 2)); s.View.Verified = 3 })
			h.persist(2)
			h.acknowledge(2, 1, 3)
			h.step(2, func(s *Step) { h.write(s, entry(2, 2)) })
			h.WriteDurable(2, h.seq[1])
		}},
		{"a restart without the last entry", DurableNeverRegresses, func(h *history) {
			h.restart(2, &State{HardState: h.disks[1], First: 1})
		}},
		{"a restart with an older vote", DurableNeverRegresses, func(h *history) {
			h.restart(2, &State{HardState: raftpb.HardState{Term: 1, Unmarked: true}, First: 1, Last: 1, Runs: []Run{{1, 2}}})
		}},
		{"a restart with other terms", DurableNeverRegresses, func(h *history) {
			h.restart(2, &State{HardState: h.disks[1], First: 1, Last: 1, Runs: []Run{{1, 1}}})
		}},
		{"a restart with a later write without an earlier one", DurableNeverRegresses, func(h *history) {
			h.step(1, func(s *Step) { h.write(s, entry(2, 2)) })
			h.step(2, func(s *Step) { h.write(s, entry(2, 2)) })
			h.step(2, func(s *Step) { s.View.Term = 3; h.write(s) })
			h.restart(2, &State{HardState: h.disks[1], First: 1, Last: 1, Runs: []Run{{1, 2}}})
		}},
		{"a gap after the snapshot", DurableNeverRegresses, func(h *history) {
			h.Wiped(2)
			h.Started(2, &State{HardState: h.disks[1], First: 3, Last: 2})
		}},
		{"a second vote", VoteOnce, func(h *history) { h.follow(2, 2, 0, 3) }},
		{"a second vote after a crash", VoteOnce, func(h *history) {
			h.vote(3, 1, 3)
			h.Crashed(3)
			h.node(3).hard.Vote = 0
			h.Started(3, &State{HardState: raftpb.HardState{Term: 3, Unmarked: true}, First: 1})
			h.view(3).Vote = 0
			h.step(3, func(*Step) {})
			h.vote(3, 2, 3)
		}},
		{"a term revealed before it is durable", HardStateDurable,
			message(2, raftpb.Message{Type: raftpb.AppendEntriesReply, Term: 3, Reject: true})},
		{"a vote revealed before it is durable", HardStateDurable, func(h *history) {
			h.step(3, func(s *Step) { s.View.Vote = 2; h.write(s) })
			message(3, raftpb.Message{Type: raftpb.RequestVoteReply, Term: 1, To: 2})(h)
		}},
		{"a candidate whose vote is not durable", HardStateDurable, message(3, raftpb.Message{Type: raftpb.RequestVote, Term: 1})},
		{"an acknowledgement before it is durable", AckDurable, func(h *history) {
			h.step(1, func(s *Step) { h.write(s, entry(2, 2)) })
			h.step(2, func(s *Step) { h.write(s, entry(2, 2)); s.View.Verified = 2 })
			h.acknowledge(2, 1, 2)
		}},
		{"an acknowledgement of what the leader does not have", AckDurable, func(h *history) {
			h.step(1, func(s *Step) { h.write(s, entry(2, 2)) })
			h.persist(1)
			h.elect(2, 3, 3)
			h.follow(1, 3, 2, 0)
			h.acknowledge(1, 2, 2)
		}},
		{"a match that was not acknowledged", MatchTruthful, func(h *history) { h.match(1, 3, 1) }},
		{"a match at next", MatchTruthful, change(1, func(v *bridge.View) { v.Peers[0].Next = 1 })},
		{"a vote of marked storage", Mark, func(h *history) {
			h.Wiped(3)
			h.Started(3, &State{First: 1})
			*h.view(3) = bridge.View{ID: 3, Membership: membership(settled), MaxWindowBytes: 1 << 10}
			h.step(3, func(*Step) {})
			h.step(3, func(s *Step) { s.View.Term, s.View.Vote = 3, 1; h.write(s) })
			h.persist(3)
			message(3, raftpb.Message{Type: raftpb.RequestVoteReply, Term: 3, To: 1})(h)
		}},
		{"a pre-vote of marked storage", Mark, func(h *history) {
			h.step(2, func(s *Step) { s.View.Unmarked = false; h.write(s) })
			h.persist(2)
			message(2, raftpb.Message{Type: raftpb.PreVote, Term: 3})(h)
		}},
		{"a mark that is hidden", Mark, func(h *history) {
			h.step(2, func(s *Step) { s.View.Unmarked = false; h.write(s) })
			h.persist(2)
			message(2, raftpb.Message{Type: raftpb.AppendEntriesReply, Term: 2, Index: 1})(h)
		}},
		{"a marked leader", Mark, func(h *history) {
			h.follow(2, 3, 0, 2)
			h.vote(3, 2, 3)
			h.view(2).Unmarked = false
			h.lead(2, 3)
		}},
		{"a mark that ends by itself", Mark, func(h *history) {
			h.step(2, func(s *Step) { s.View.Unmarked = false; h.write(s) })
			h.step(2, func(s *Step) { s.View.Unmarked, s.Ticked = true, true; s.View.Deadline += 100 })
		}},
		{"a mark that ends before what ends it is durable", Mark, func(h *history) {
			h.step(2, func(s *Step) { s.View.Unmarked = false; h.write(s) })
			h.step(2, func(s *Step) {
				s.View.Unmarked, s.Delivered = true, &raftpb.Message{Type: raftpb.AppendEntries, Term: 2, Unmark: 2}
			})
		}},
		{"a term that goes back", Monotonic, change(1, func(v *bridge.View) { v.Term = 1 })},
		{"a commit index that goes back", Monotonic, change(1, func(v *bridge.View) { v.Commit = 0 })},
		{"a stale read", ReadLinearizable, func(h *history) { h.ReadBegun(3, 1); h.ReadAnswered(3, 1, 0) }},
		{"a read of what is not committed", ReadLinearizable, func(h *history) { h.ReadBegun(3, 1); h.ReadAnswered(3, 1, 2) }},
		{"a window that is too large", Bounds, change(1, func(v *bridge.View) { v.WindowBytes = 4 << 10 })},
		{"too much that is uncommitted", Bounds, change(1, func(v *bridge.View) { v.UncommittedBytes = 2 << 10 })},
		{"too many messages that are held", Bounds, change(1, func(v *bridge.View) { v.Held = 1000 })},
		{"too many reads that wait", Bounds, change(1, func(v *bridge.View) { v.PendingReads = 5 })},
		{"too many messages on the way", Bounds, change(1, func(v *bridge.View) { v.Peers[1].InFlight = 5 })},
		{"an account of bytes on the way that leaks", Bounds, change(1, func(v *bridge.View) { v.Peers[1].InFlightBytes = 1 })},
		{"more bytes on the way than a peer has asked for", Bounds, change(1, func(v *bridge.View) {
			v.Peers[1].InFlight, v.Peers[1].InFlightBytes = 1, 1<<20
		})},
		{"a message that is too large", Bounds, func(h *history) {
			a, b := entry(2, 2), entry(3, 2)
			a.Data = make([]byte, 1<<10)
			h.step(1, func(s *Step) {
				h.write(s, a, b)
				s.Messages = []raftpb.Message{{Type: raftpb.AppendEntries, Term: 2, Index: 1, LogTerm: 2, Entries: []raftpb.Entry{a, b}}}
			})
		}},
		{"too much to apply at once", Bounds, func(h *history) {
			a := entry(2, 2)
			a.Data = make([]byte, 2<<10)
			h.step(1, func(s *Step) { h.write(s, a) })
			h.step(2, func(s *Step) { h.write(s, a); s.View.Verified = 2 })
			h.persist(1)
			h.persist(2)
			h.acknowledge(2, 1, 2)
			h.commit(1, 2)
			h.apply(1, entry(1, 2), a)
		}},
		{"a pre-vote that changes a vote", PreVoteChangesNothing, func(h *history) {
			h.step(3, func(s *Step) {
				s.Delivered, s.View.Vote = &raftpb.Message{Type: raftpb.PreVote, Term: 2}, 2
				h.write(s)
			})
		}},
		{"a tick that leaves the deadline", Deadline, func(h *history) {
			h.step(1, func(s *Step) { s.Ticked, s.View.Now = true, 100 })
		}},
		{"a step of a node that is down", Harness, func(h *history) { h.Crashed(1); h.step(1, func(*Step) {}) }},
		{"a node started twice", Harness, func(h *history) { h.Started(1, &State{}) }},
		{"a write out of order", Harness, func(h *history) {
			h.step(1, func(s *Step) { h.write(s) })
			h.seq[0] = 0
			h.step(1, func(s *Step) { h.write(s) })
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := committed()
			require.NoError(t, h.Err())
			test.violate(h)
			require.Error(t, h.Err())
			require.Equal(t, test.checker, h.violation.Checker, "%v", h.Err())
		})
	}
}

package tcp_test

import (
	"math"
	"strings"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// recordings are what testdata/v1 holds. They are added to, and never changed.
func recordings() []recording {
	var all []recording
	add := func(name string, encoded []byte, value, doc any) {
		all = append(all, recording{name, encoded, value, doc})
	}

	for _, h := range []struct {
		name  string
		hello wire.Hello
		doc   docHello
	}{
		{"hello-messages", wire.Hello{
			Versions: wire.Versions{Min: 1, Max: 1}, Purpose: wire.ForMessages,
			From: raft.Identity{Cluster: "orders", Node: 1}, To: 2, Address: "10.0.0.1:7000",
		}, docHello{Lowest: 1, Highest: 1, Purpose: 1, From: 1, To: 2, Cluster: "orders", Address: "10.0.0.1:7000"}},
		{"hello-snapshot", wire.Hello{
			Versions: wire.Versions{Min: 1, Max: 3}, Purpose: wire.ForSnapshot, Features: 5, Required: 4,
			From: raft.Identity{Cluster: strings.Repeat("c", 64), Node: math.MaxUint64}, To: 1 << 63, Address: strings.Repeat("a", 255),
		}, docHello{
			Lowest: 1, Highest: 3, Purpose: 2, Features: 5, Required: 4, From: math.MaxUint64, To: 1 << 63,
			Cluster: strings.Repeat("c", 64), Address: strings.Repeat("a", 255),
		}},
		{"hello-urgent", wire.Hello{
			Versions: wire.Versions{Min: 258, Max: 772}, Purpose: wire.ForUrgent, Features: 0x0807060504030201, From: raft.Identity{Node: 3}, To: 4,
		}, docHello{Lowest: 258, Highest: 772, Purpose: 3, Features: 0x0807060504030201, From: 3, To: 4}},
	} {
		add(h.name, wire.AppendHello(nil, h.hello), h.hello, h.doc)
	}

	welcome := wire.Welcome{
		Version: 1, Versions: wire.Versions{Min: 1, Max: 2}, Features: 3, Required: 1,
		From: raft.Identity{Cluster: "orders", Node: 2},
	}
	docAnswer := docWelcome{Version: 1, Lowest: 1, Highest: 2, Features: 3, Required: 1, Node: 2, Cluster: "orders"}
	for i, name := range []string{
		"accepted", "wrong-version", "wrong-cluster", "wrong-node", "same-node", "wrong-purpose", "not-allowed", "busy", "no-feature",
	} {
		welcome, docAnswer := welcome, docAnswer
		welcome.Status, docAnswer.Status = wire.Status(i), byte(i)
		if welcome.Status == wire.WrongVersion {
			welcome.Version, docAnswer.Version = 0, 0
		}
		add("welcome-"+name, wire.AppendWelcome(nil, welcome), welcome, docAnswer)
	}

	add("ping", wire.AppendFrame(nil, wire.KindPing, nil), nil, nil)
	add("alive", wire.AppendUint64(nil, wire.KindAlive, 0x0102030405060708), uint64(0x0102030405060708), nil)
	add("transfer", wire.AppendUint64(nil, wire.KindTransfer, math.MaxUint64), uint64(math.MaxUint64), nil)
	add("offset", wire.AppendUint64(nil, wire.KindOffset, 1<<40), uint64(1<<40), nil)
	add("chunk", wire.AppendFrame(nil, wire.KindChunk, []byte("some data\x00\xff")), []byte("some data\x00\xff"), nil)
	add("end", wire.AppendFrame(nil, wire.KindEnd, nil), nil, nil)
	add("abort", wire.AppendAbort(nil, "the disk is full: élan"), "the disk is full: élan", nil)
	add("result-accepted", wire.AppendResult(nil, wire.Result{Accepted: true}), wire.Result{Accepted: true}, docResult{})
	add("result-refused", wire.AppendResult(nil, wire.Result{Reason: "no room"}), wire.Result{Reason: "no room"}, docResult{1, "no room"})
	add("result-busy", wire.AppendResult(nil, wire.Result{Busy: true, Reason: "later"}), wire.Result{Busy: true, Reason: "later"}, docResult{2, "later"})

	for _, m := range recordedMessages() {
		name := "message-" + m.Type.String()
		if m.Group == math.MaxUint64 {
			name += "-all-fields"
		}
		add(name, wire.AppendMessage(nil, &m), m, nil)
	}
	return all
}

// recordedMessages has one of each type, with the fields that it uses, and one
// with all fields.
func recordedMessages() []raft.Message {
	membership := raft.Membership{Lease: 500_000_000, Members: []raft.Member{
		{ID: 1, Address: "10.0.0.1:7000", Voter: true, Priority: 7},
		{ID: 2, Address: "10.0.0.2:7000", Voter: true, Outgoing: true, Intent: raftpb.IntentLearner},
		{ID: 3, Address: "10.0.0.3:7000", Outgoing: true, Leaving: true, Intent: raftpb.IntentLeave},
		{ID: 1 << 63, Intent: raftpb.IntentVoter},
	}}
	snapshot := &raft.Snapshot{
		Index: 1000, Term: 6, Membership: membership, MembershipIndex: 900, Size: 1 << 33,
		Checksum: 0x01020304, Earliest: 1_790_000_000_000_000_000, Latest: 1_790_000_000_001_000_000,
	}
	entries := []raft.Entry{
		{Term: 7, Index: 42, Type: raft.EntryEmpty},
		{
			Term: 7, Index: 43, Data: []byte("set x\x00\xff"), Checksum: 0xdeadbeef,
			Origin: raftpb.Origin{Node: 2, Incarnation: 0x1122334455667788, Sequence: 300}, Earliest: 5, Latest: 6,
		},
		{Term: 7, Index: 44, Type: raft.EntryMembership, Data: membership.Append(nil)},
		{Term: 7, Index: 45, Type: raftpb.EntryStateHash},
	}
	all := raft.Message{
		Type: raftpb.AppendEntries, Reject: true, Marked: true, Transfer: true,
		Group: math.MaxUint64, From: 1, To: 2, Term: raftpb.MaxTerm, Index: raftpb.MaxIndex, LogTerm: 3, Commit: 4, Round: 5,
		Match: 6, Verified: 7, Window: 8, Context: math.MaxUint64, Unmark: 9, Entries: entries, Snapshot: snapshot,
	}
	return []raft.Message{
		{Type: raftpb.PreVote, From: 1, To: 2, Term: 8, Index: 42, LogTerm: 7, Context: 9},
		{Type: raftpb.PreVoteReply, From: 2, To: 1, Term: 8, Reject: true, Marked: true, Round: 9, Commit: 40},
		{Type: raftpb.RequestVote, Group: 300, From: 1, To: 2, Term: 8, Index: 42, LogTerm: 7, Transfer: true},
		{Type: raftpb.RequestVoteReply, Group: 300, From: 2, To: 1, Term: 8},
		{
			Type: raftpb.AppendEntries, Group: 1, From: 1, To: 2, Term: 7, Index: 41, LogTerm: 6, Commit: 40, Round: 12,
			Match: 39, Unmark: 38, Context: 1 << 60, Entries: entries,
		},
		{Type: raftpb.AppendEntriesReply, Group: 1, From: 2, To: 1, Term: 7, Index: 43, Verified: 45, Round: 12, Window: 1 << 20},
		{Type: raftpb.InstallSnapshot, From: 1, To: 3, Term: 7, Snapshot: snapshot},
		{Type: raftpb.InstallSnapshotReply, From: 3, To: 1, Term: 7, Index: 1000, Verified: 1000},
		{Type: raftpb.TimeoutNow, From: 1, To: 2, Term: 7},
		{Type: raftpb.Propose, From: 2, To: 1, Term: 7, Context: 299, Entries: entries[1:2]},
		{Type: raftpb.ProposeReply, From: 1, To: 2, Term: 7, Context: 300, Index: 43, Match: 1, Round: 0x1122334455667788},
		{Type: raftpb.ReadIndex, From: 2, To: 1, Term: 7, Context: 77},
		{Type: raftpb.ReadIndexReply, From: 1, To: 2, Term: 7, Context: 77, Index: 45},
		all,
	}
}

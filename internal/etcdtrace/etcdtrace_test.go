package etcdtrace

import (
	"bytes"
	"encoding/json"
	"flag"
	"slices"
	"strings"
	"testing"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/tape"
	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

var (
	from = flag.Uint64("etcdtrace.from", 0, "first seed of TestTracesAreAllowed")
	runs = flag.Uint64("etcdtrace.runs", 40, "number of seeds of TestTracesAreAllowed")
)

// The traces of random runs are what the specification allows, and hold every
// kind of event.
func TestTracesAreAllowed(t *testing.T) {
	seen, total, ended := map[string]int{}, 0, uint64(0)
	for seed := *from; seed < *from+*runs; seed++ {
		r, err := Simulate(tape.FromSeed(seed))
		require.NoError(t, err, "seed %d", seed)
		events := r.events()
		require.NoError(t, checkTrace(events), "seed %d", seed)
		total += len(events)
		for _, e := range events {
			seen[e.Name]++
		}
		if r.Ended() != "" {
			require.Contains(t, r.Ended(), "has lost in a crash")
			ended++
		}
	}
	t.Logf("%d lines, %d of %d recordings ended before the run: %v", total, ended, *runs, seen)
	require.Less(t, ended, *runs/4+1)
	if *runs < 40 {
		return
	}
	for _, name := range []string{
		initState, becomeCandidate, becomeLeader, becomeFollower, replicate, commit, ready,
		sendRequestVoteRequest, sendRequestVoteResponse, sendAppendEntriesRequest, sendAppendEntriesResponse,
		receiveRequestVoteRequest, receiveRequestVoteResponse, receiveAppendEntriesRequest, receiveAppendEntriesResponse,
	} {
		require.NotZero(t, seen[name], name)
	}
}

// The same seed gives the same bytes.
func TestTracesAreDeterministic(t *testing.T) {
	var traces [2]bytes.Buffer
	for i := range traces {
		r, err := Simulate(tape.FromSeed(3))
		require.NoError(t, err)
		n, err := r.WriteTo(&traces[i])
		require.NoError(t, err)
		require.EqualValues(t, traces[i].Len(), n)
	}
	require.Equal(t, traces[0].String(), traces[1].String())
}

// A run as its trace tells it. Node 1 is elected, and commits its first entry
// before its own disk has it; its Ready stands where it sends. What node 2 is
// sent twice was sent twice. Node 2 restarts and votes for node 3, which leads in term 2.
func TestTranscript(t *testing.T) {
	d := newDriver(t, 3, 1, nil)
	d.elect(1)
	first := d.take(between(raftpb.AppendEntries, 1, 2))
	d.receive(first)
	d.receive(first)
	d.persistAll(2)
	d.deliver(raftpb.AppendEntries)
	d.persistAll(3)
	d.deliver(raftpb.AppendEntriesReply)
	d.deliver(raftpb.AppendEntries)
	d.crash(2, 0)
	d.start(2)
	d.elect(3)

	var lines []string
	for _, e := range d.r.events() {
		lines = append(lines, describe(e))
	}
	require.Equal(t, strings.TrimSpace(transcript), strings.Join(lines, "\n"))
	require.NoError(t, checkTrace(d.r.events()))
}

const transcript = `
1 InitState                    Follower  term 0 vote 0 log 0 commit 0
2 InitState                    Follower  term 0 vote 0 log 0 commit 0
3 InitState                    Follower  term 0 vote 0 log 0 commit 0
1 BecomeCandidate              Candidate term 1 vote 1 log 0 commit 0
1 SendRequestVoteResponse      Candidate term 1 vote 1 log 0 commit 0 | MsgVoteResp 1→1 term 1 index 0@0
1 SendRequestVoteRequest       Candidate term 1 vote 1 log 0 commit 0 | MsgVote 1→2 term 1 index 0@0
1 SendRequestVoteRequest       Candidate term 1 vote 1 log 0 commit 0 | MsgVote 1→3 term 1 index 0@0
1 Ready                        Candidate term 1 vote 1 log 0 commit 0
1 ReceiveRequestVoteResponse   Candidate term 1 vote 1 log 0 commit 0 | MsgVoteResp 1→1 term 1 index 0@0
2 ReceiveRequestVoteRequest    Follower  term 0 vote 0 log 0 commit 0 | MsgVote 1→2 term 1 index 0@0
2 Ready                        Follower  term 1 vote 1 log 0 commit 0
3 ReceiveRequestVoteRequest    Follower  term 0 vote 0 log 0 commit 0 | MsgVote 1→3 term 1 index 0@0
3 Ready                        Follower  term 1 vote 1 log 0 commit 0
1 ReceiveRequestVoteResponse   Candidate term 1 vote 1 log 0 commit 0 | MsgVoteResp 2→1 term 1 index 0@0
1 BecomeLeader                 Leader    term 1 vote 1 log 0 commit 0
1 Replicate                    Leader    term 1 vote 1 log 1 commit 0
1 SendAppendEntriesResponse    Leader    term 1 vote 1 log 1 commit 0 | MsgAppResp 1→1 term 1 index 1@0
1 SendAppendEntriesRequest     Leader    term 1 vote 1 log 1 commit 0 | MsgApp 1→2 term 1 index 0@0 +1 commit 0
1 SendAppendEntriesRequest     Leader    term 1 vote 1 log 1 commit 0 | MsgApp 1→2 term 1 index 0@0 +1 commit 0
1 SendAppendEntriesRequest     Leader    term 1 vote 1 log 1 commit 0 | MsgApp 1→3 term 1 index 0@0 +1 commit 0
1 Ready                        Leader    term 1 vote 1 log 1 commit 0
2 ReceiveAppendEntriesRequest  Follower  term 1 vote 1 log 0 commit 0 | MsgApp 1→2 term 1 index 0@0 +1 commit 0
2 Ready                        Follower  term 1 vote 1 log 1 commit 0
2 ReceiveAppendEntriesRequest  Follower  term 1 vote 1 log 1 commit 0 | MsgApp 1→2 term 1 index 0@0 +1 commit 0
2 Ready                        Follower  term 1 vote 1 log 1 commit 0
3 ReceiveAppendEntriesRequest  Follower  term 1 vote 1 log 0 commit 0 | MsgApp 1→3 term 1 index 0@0 +1 commit 0
3 Ready                        Follower  term 1 vote 1 log 1 commit 0
1 ReceiveAppendEntriesResponse Leader    term 1 vote 1 log 1 commit 0 | MsgAppResp 2→1 term 1 index 1@0
1 ReceiveAppendEntriesResponse Leader    term 1 vote 1 log 1 commit 0 | MsgAppResp 3→1 term 1 index 1@0
1 Commit                       Leader    term 1 vote 1 log 1 commit 1
2 InitState                    Follower  term 1 vote 1 log 1 commit 0
3 BecomeCandidate              Candidate term 2 vote 3 log 1 commit 0
3 SendRequestVoteRequest       Candidate term 2 vote 3 log 1 commit 0 | MsgVote 3→1 term 2 index 1@1
3 SendRequestVoteRequest       Candidate term 2 vote 3 log 1 commit 0 | MsgVote 3→2 term 2 index 1@1
3 SendRequestVoteResponse      Candidate term 2 vote 3 log 1 commit 0 | MsgVoteResp 3→3 term 2 index 0@0
3 Ready                        Candidate term 2 vote 3 log 1 commit 0
3 ReceiveRequestVoteResponse   Candidate term 2 vote 3 log 1 commit 0 | MsgVoteResp 3→3 term 2 index 0@0
1 ReceiveRequestVoteRequest    Leader    term 1 vote 1 log 1 commit 1 | MsgVote 3→1 term 2 index 1@1
1 Ready                        Follower  term 2 vote 3 log 1 commit 1
2 ReceiveRequestVoteRequest    Follower  term 1 vote 1 log 1 commit 0 | MsgVote 3→2 term 2 index 1@1
2 Ready                        Follower  term 2 vote 3 log 1 commit 0
3 ReceiveRequestVoteResponse   Candidate term 2 vote 3 log 1 commit 0 | MsgVoteResp 1→3 term 2 index 0@0
3 BecomeLeader                 Leader    term 2 vote 3 log 1 commit 0
3 Replicate                    Leader    term 2 vote 3 log 2 commit 0
3 SendAppendEntriesResponse    Leader    term 2 vote 3 log 2 commit 0 | MsgAppResp 3→3 term 2 index 2@0
3 SendAppendEntriesRequest     Leader    term 2 vote 3 log 2 commit 0 | MsgApp 3→1 term 2 index 1@1 +1 commit 0
3 SendAppendEntriesRequest     Leader    term 2 vote 3 log 2 commit 0 | MsgApp 3→2 term 2 index 1@1 +1 commit 0
`

// A term that a node has only heard of, in an answer to a pre-vote, is not
// shown, not even after a restart. It campaigns through it.
func TestATermThatWasHeardOf(t *testing.T) {
	d := newDriver(t, 3, 1, nil)
	d.campaign(1)
	d.persistAll(1)
	d.take(between(raftpb.RequestVote, 1, 3)) // lost
	d.deliver(raftpb.RequestVote)
	d.persistAll(2)
	d.now = d.host(3).core.Deadline()
	d.tick(3)
	d.deliver(raftpb.PreVote)
	d.deliver(raftpb.PreVoteReply)
	d.persistAll(3)
	require.EqualValues(t, 1, d.host(3).core.Term())
	d.crash(3, 0)
	d.start(3)
	require.EqualValues(t, 1, d.host(3).core.Term())
	d.now = d.now.Add(raft.DefaultElectionTimeout)
	d.elect(3)

	var lines []string
	for _, e := range d.r.events() {
		if e.Node == "3" && e.Message == nil {
			lines = append(lines, describe(e))
		}
	}
	require.Equal(t, []string{
		"3 InitState                    Follower  term 0 vote 0 log 0 commit 0",
		"3 InitState                    Follower  term 0 vote 0 log 0 commit 0",
		"3 BecomeCandidate              Candidate term 1 vote 3 log 0 commit 0",
		"3 BecomeCandidate              Candidate term 2 vote 3 log 0 commit 0",
		"3 Ready                        Candidate term 2 vote 3 log 0 commit 0",
		"3 BecomeLeader                 Leader    term 2 vote 3 log 0 commit 0",
		"3 Replicate                    Leader    term 2 vote 3 log 1 commit 0",
	}, slices.DeleteFunc(lines, func(l string) bool { return strings.Contains(l, "Ready                        Follower") }))
	require.NoError(t, checkTrace(d.r.events()))
}

// A line is an object of etcd-io/raft's schema. The lines stay in their order
// when its validate.sh sorts them by all that follows the second colon.
func TestLines(t *testing.T) {
	d := newDriver(t, 3, 1, nil)
	d.elect(1)
	d.deliver(raftpb.AppendEntries)
	r := d.r
	var b bytes.Buffer
	_, err := r.WriteTo(&b)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	require.Len(t, lines, len(r.events()))
	key := ""
	for i, text := range lines {
		var l line
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.DisallowUnknownFields()
		require.NoError(t, decoder.Decode(&l))
		require.Equal(t, r.events()[i], l.Event)
		fields := strings.SplitN(text, ":", 3)
		require.Less(t, key, fields[2])
		key = fields[2]
	}
	require.Equal(t, `{"tag":"trace","ts":1000000000,"event":{"name":"InitState","nid":"1",`+
		`"state":{"term":0,"vote":"0","commit":0},"role":"StateFollower","log":0,"conf":[["1","2","3"],[]]}}`, lines[0])
	first := strings.Index(b.String(), `"ReceiveAppendEntriesRequest"`)
	require.Contains(t, b.String()[first:], `"msg":{"type":"MsgApp","term":1,"from":"1","to":"2","entries":1,`+
		`"logTerm":0,"index":0,"commit":0,"vote":"0","reject":false,"rejectHint":0}}}`)
}

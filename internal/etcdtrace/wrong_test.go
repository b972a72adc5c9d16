package etcdtrace

import (
	"testing"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/tape"
	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// What breaks the rules shows in the trace: the recorder does not hide it.
func TestWrongRunsAreRefused(t *testing.T) {
	forged := func(kind raftpb.MessageType, from, to raft.NodeID) raft.Message {
		return raft.Message{Type: kind, From: from, To: to, Term: 1}
	}
	for _, c := range []struct {
		name string
		run  func(d *driver)
		want string
	}{
		{"a disk loses what it has called durable", func(d *driver) {
			d.elect(1)
			d.deliver(raftpb.AppendEntries)
			d.persistAll(2)
			d.crash(2, 0)
			d.host(2).log = nil
			d.start(2)
		}, "2 InitState"},
		{"a disk forgets a vote", func(d *driver) {
			d.elect(1)
			d.crash(2, 0)
			d.host(2).hard = raft.HardState{Unmarked: true}
			d.start(2)
		}, "2 InitState"},
		{"a leader is elected by a vote that nobody gave", func(d *driver) {
			d.campaign(1)
			d.persistAll(1)
			d.receive(forged(raftpb.RequestVoteReply, 2, 1))
		}, "1 BecomeLeader"},
		{"an entry is committed on an acknowledgement that nobody gave", func(d *driver) {
			d.elect(1)
			d.persistAll(1)
			m := forged(raftpb.AppendEntriesReply, 2, 1)
			m.Index, m.Verified = 1, 1
			d.receive(m)
		}, "1 Commit"},
		{"a follower takes what its leader did not send", func(d *driver) {
			d.elect(1)
			m := forged(raftpb.AppendEntries, 1, 2)
			m.Entries = []raft.Entry{{Index: 1, Term: 1}, {Index: 2, Term: 1}}
			d.receive(m)
		}, "2 ReceiveAppendEntriesRequest"},
		{"a vote is asked for that nobody asked for", func(d *driver) {
			d.receive(forged(raftpb.RequestVote, 2, 1))
		}, "1 ReceiveRequestVoteRequest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDriver(t, 3, 1, nil)
			c.run(d)
			require.Empty(t, d.r.Ended())
			require.ErrorContains(t, checkTrace(d.r.events()), c.want)
		})
	}
}

// The checker refuses a trace in which one thing is not as it was.
func TestAlteredTracesAreRefused(t *testing.T) {
	r, err := Simulate(tape.FromSeed(1))
	require.NoError(t, err)
	require.NoError(t, checkTrace(r.events()))
	alter := map[string]func(e *event){
		"term":   func(e *event) { e.State.Term++ },
		"vote":   func(e *event) { e.State.Vote = "9" },
		"commit": func(e *event) { e.State.Commit++ },
		"log":    func(e *event) { e.Log++ },
		"role":   func(e *event) { e.Role = "StatePreCandidate" },
		"config": func(e *event) { e.Conf[0] = []string{"1"} },
		"name":   func(e *event) { e.Name = "ReceiveSnapshot" },
	}
	message := map[string]func(m *message){
		"message's term":    func(m *message) { m.Term++ },
		"message's index":   func(m *message) { m.Index += 1000 },
		"message's from":    func(m *message) { m.From = m.To + "0" },
		"message's to":      func(m *message) { m.To = m.From + "0" },
		"message's type":    func(m *message) { m.Type = "MsgHeartbeat" },
		"message's entries": func(m *message) { m.Entries += 1000 },
	}
	done := map[string]int{} // how often lines of each name were altered
	for i, e := range r.events() {
		if done[e.Name]++; done[e.Name] > 3 || e.Name == initState && done[e.Name] <= 3 {
			continue
		}
		refused := func(what string, altered event) {
			events := r.events()
			events[i] = altered
			require.ErrorContains(t, checkTrace(events), "line ", "%s of line %d, %s", what, i+1, describe(e))
		}
		for what, change := range alter {
			altered := e
			change(&altered)
			refused(what, altered)
		}
		if e.Message == nil {
			continue
		}
		for what, change := range message {
			if what == "message's entries" && e.Message.Type != msgApp || what == "message's index" && e.Message.Type == msgVoteResp {
				continue // it has none
			}
			altered, m := e, *e.Message
			change(&m)
			altered.Message = &m
			refused(what, altered)
		}
	}
	require.Greater(t, len(done), 10)
}

// Each line is needed: without it the trace is refused, except for one that
// only adds to what the specification would have allowed anyway.
func TestLeftOutLinesAreMissed(t *testing.T) {
	d := newDriver(t, 3, 1, nil)
	d.elect(1)
	d.deliver(raftpb.AppendEntries)
	d.persistAll(2)
	d.persistAll(1)
	d.deliver(raftpb.AppendEntriesReply)
	d.propose(1, 1)
	d.deliver(raftpb.AppendEntries)
	for _, name := range []string{
		becomeCandidate, becomeLeader, replicate, commit, ready, sendRequestVoteRequest, sendAppendEntriesRequest,
		receiveRequestVoteRequest, receiveRequestVoteResponse, receiveAppendEntriesResponse, receiveAppendEntriesRequest,
	} {
		var rest []event
		left := false
		for _, e := range d.r.events() {
			if e.Name == name && !left {
				left = true
				continue
			}
			rest = append(rest, e)
		}
		require.True(t, left, name)
		require.Error(t, checkTrace(rest), name)
	}
}

// What the specification cannot follow ends the recording, which says why.
func TestWhereARecordingEnds(t *testing.T) {
	t.Run("marked storage", func(t *testing.T) {
		r := New(1)
		r.Started(1, raft.State{})
		require.Equal(t, "node 1 starts from marked storage", r.Ended())
	})
	t.Run("a snapshot", func(t *testing.T) {
		r := New(1)
		r.Started(1, raft.State{HardState: raft.HardState{Unmarked: true}, Snapshot: raft.Snapshot{Index: 5, Term: 1}})
		require.Equal(t, "node 1 starts from a snapshot", r.Ended())
	})
	t.Run("a log that nobody saw grow", func(t *testing.T) {
		r := New(1)
		r.Started(1, raft.State{HardState: raft.HardState{Unmarked: true}, First: 1, Last: 1})
		require.Equal(t, "node 1 has a log when the run begins", r.Ended())
	})
	t.Run("a leader loses what others have received", func(t *testing.T) {
		d := newDriver(t, 3, 1, nil)
		d.elect(1)
		d.deliver(raftpb.AppendEntries) // the leader's own write is under way
		require.EqualValues(t, d.host(1).writes[0].Seq, d.r.Revealed(1))
		lines := len(d.r.events())
		d.crash(1, 0)
		require.Equal(t, "node 1 loses, in a crash, what others have received from it", d.r.Ended())
		d.start(1)
		require.Len(t, d.r.events(), lines)
		require.NoError(t, checkTrace(d.r.events()))
	})
	t.Run("others receive what a leader has lost", func(t *testing.T) {
		d := newDriver(t, 3, 1, nil)
		d.elect(1)
		d.crash(1, 0)
		require.Empty(t, d.r.Ended())
		d.deliver(raftpb.AppendEntries)
		require.Equal(t, "node 2 receives what its sender 1 has lost in a crash", d.r.Ended())
		require.NoError(t, checkTrace(d.r.events()))
	})
	t.Run("a crash spares what others have received", func(t *testing.T) {
		d := newDriver(t, 3, 1, nil)
		d.elect(1)
		d.deliver(raftpb.AppendEntries)
		d.propose(1, 1) // a second write, of which nobody knows
		require.Len(t, d.host(1).writes, 2)
		d.crash(1, 1)
		d.start(1)
		require.Empty(t, d.r.Ended())
		require.NoError(t, checkTrace(d.r.events()))
		require.EqualValues(t, 1, d.r.events()[len(d.r.events())-1].Log)
	})
}

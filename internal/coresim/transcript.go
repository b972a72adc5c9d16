package coresim

import (
	"fmt"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bridge"
	"github.com/seed-6281cb22/raft/raftpb"
)

// How much a transcript keeps of each node, and shows of all.
const (
	transcriptPerNode = 200
	transcriptLines   = 400
)

var roleNames = [...]string{"follower", "pre-candidate", "candidate", "leader"}

// line adds a line to the transcript of a node.
func (s *Simulator) line(n *node, format string, args ...any) {
	s.transcript.Add(s.result.Events, time.Duration(s.now), int(n.id), fmt.Sprintf(format, args...))
}

// note says what happened to a node.
func (s *Simulator) note(k Kind, n *node, m *raftpb.Message) {
	if m != nil {
		s.line(n, "%v %s", k, describe(m))
		return
	}
	s.line(n, "%v", k)
}

// noteReady says what came of it.
func (s *Simulator) noteReady(n *node, rd *raft.Ready) {
	v := &n.view
	s.line(n, "    %s of term %d, vote %d, leader %d, commit %d, applied %d, log %d to %d of term %d, durable %d, verified %d, unmarked %v",
		roleNames[v.Role], v.Term, v.Vote, v.Leader, v.Commit, v.Applied, v.Base+1, v.Last, v.LastTerm, v.Durable, v.Verified, v.Unmarked)
	if v.Role == bridge.Leader {
		for i := range v.Peers {
			p := &v.Peers[i]
			s.line(n, "    peer %d: state %d, match %d, next %d, verified %d, in flight %d (%d bytes of %d), marked %v",
				p.ID, p.State, p.Match, p.Next, p.Verified, p.InFlight, p.InFlightBytes, p.Window, p.Marked)
		}
	}
	if w := &rd.Write; w.Seq != 0 {
		s.line(n, "    write %d: %+v, %s", w.Seq, w.HardState, describeEntries(w.Entries))
	}
	for i := range rd.Messages {
		s.line(n, "    send %s", describe(&rd.Messages[i]))
	}
	for _, q := range rd.LogReads {
		s.line(n, "    read log %+v", q)
	}
	if len(rd.Committed) > 0 {
		s.line(n, "    apply %s", describeEntries(rd.Committed))
	}
}

func describe(m *raftpb.Message) string {
	s := fmt.Sprintf("%v %d→%d term %d, index %d of term %d, commit %d, round %d, match %d, verified %d, window %d",
		m.Type, m.From, m.To, m.Term, m.Index, m.LogTerm, m.Commit, m.Round, m.Match, m.Verified, m.Window)
	if len(m.Entries) > 0 {
		s += ", " + describeEntries(m.Entries)
	}
	if m.Snapshot != nil {
		s += fmt.Sprintf(", snapshot at %d of term %d", m.Snapshot.Index, m.Snapshot.Term)
	}
	if m.Reject {
		s += ", rejected"
	}
	if m.Marked || m.Unmark != 0 || m.Context != 0 {
		s += fmt.Sprintf(", marked %v, unmark %d, context %x", m.Marked, m.Unmark, m.Context)
	}
	return s
}

func describeEntries(entries []raftpb.Entry) string {
	if len(entries) == 0 {
		return "no entries"
	}
	first, last := &entries[0], &entries[len(entries)-1]
	return fmt.Sprintf("entries %d to %d of term %d to %d", first.Index, last.Index, first.Term, last.Term)
}

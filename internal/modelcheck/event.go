package modelcheck

import (
	"fmt"
	"strings"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
)

// kind is what an event is.
type kind uint8

const (
	deliver kind = iota
	electionTimeout
	heartbeat
	stepDown
	propose
	persist
	restart
	compact
	changeMembership
	transfer
	kinds // how many there are
)

var kindNames = [...]string{
	"deliver", "election timeout", "heartbeat", "no quorum answers", "propose", "disk completes a write",
	"crash and restart", "snapshot and compact", "change of the membership", "transfer",
}

// event happens at one node.
type event struct {
	kind    kind
	node    raft.NodeID
	message uint32 // deliver: its number; changeMembership, transfer: which
}

// code packs an event: 4 bits for the kind, 4 for the node, 24 for the message.
func (e event) code() uint32 { return uint32(e.kind)<<28 | uint32(e.node)<<24 | e.message }

func decodeEvent(code uint32) event {
	return event{kind: kind(code >> 28), node: raft.NodeID(code >> 24 & 15), message: code & maxMessages}
}

const maxMessages = 1<<24 - 1

// messageTable numbers the messages. A message is sent once for all time.
type messageTable struct {
	numbers  map[string]uint32
	messages []raft.Message
	facts    []messageFacts
	received [maxNodes]uint32 // how many have this receiver
}

// messageFacts are what the search asks of a message all the time.
type messageFacts struct {
	to     uint8 // the position of its receiver
	kind   raftpb.MessageType
	grants bool // and says nothing beside it
	speaks bool // of a removal, which does not age
	term   uint8
	place  uint32 // among the messages to the same receiver
	prints prints
}

func (t *messageTable) of(number uint32) raft.Message { return t.messages[number] }

func (c *checker) number(m *raft.Message) uint32 {
	t := &c.messages
	c.buffer = printMessage(c.buffer[:0], m, nil)
	if n, ok := t.numbers[string(c.buffer)]; ok {
		return n
	}
	n := uint32(len(t.messages))
	if n >= maxMessages {
		panic("modelcheck: more different messages than can be numbered")
	}
	t.numbers[string(c.buffer)] = n
	t.messages = append(t.messages, *m)
	f := messageFacts{to: uint8(m.To - 1), kind: m.Type, grants: !m.Reject && !m.Marked, speaks: m.Commit > 0, term: uint8(m.Term)}
	f.place = t.received[f.to]
	t.received[f.to]++
	for i, rename := range c.permutations {
		c.buffer = printMessage(c.buffer[:0], m, rename)
		f.prints[i] = hash(c.buffer)
	}
	t.facts = append(t.facts, f)
	return n
}

// dead reports whether no future of its receiver can tell m from no message: it
// is a reply that the receiver, whose durable term never goes back, will always
// ignore. Nothing is lost with it. A request is never dead, since it is answered
// with the current term, from which its sender can learn.
func (m *messageFacts) dead(to *facts) bool {
	switch m.kind {
	case raftpb.PreVoteReply:
		// Granted, it names the term that was to come.
		return !m.speaks && (to.diskTerm > m.term || m.grants && to.diskTerm == m.term)
	case raftpb.RequestVoteReply:
		// One that is in the term, durably, and no candidate will not be
		// one in this term again: a candidate begins a term.
		// A leader takes it for a sign of life, which a promotion may wait for.
		return to.diskTerm > m.term ||
			to.diskTerm == m.term && !(to.term == m.term && (to.role == raft.Candidate || to.promotes))
	case raftpb.AppendEntriesReply, raftpb.InstallSnapshotReply:
		return to.diskTerm > m.term ||
			to.diskTerm == m.term && !(to.term == m.term && (to.role == raft.Candidate || to.role == raft.Leader))
	}
	return false
}

func describe(m *raft.Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %d→%d of term %d", m.Type, m.From, m.To, m.Term)
	switch m.Type {
	case raftpb.PreVote, raftpb.RequestVote:
		fmt.Fprintf(&b, ", last entry %d@%d", m.Index, m.LogTerm)
	case raftpb.PreVoteReply, raftpb.RequestVoteReply:
		b.WriteString(map[bool]string{false: ", granted", true: ", refused"}[m.Reject])
		if m.Commit > 0 {
			fmt.Fprintf(&b, ", removed by %d", m.Commit)
		}
	case raftpb.AppendEntries:
		fmt.Fprintf(&b, ", after %d@%d", m.Index, m.LogTerm)
		for i := range m.Entries {
			fmt.Fprintf(&b, " +%d@%d", m.Entries[i].Index, m.Entries[i].Term)
			if m.Entries[i].Type == raft.EntryMembership {
				b.WriteString(" " + membershipOf(&m.Entries[i]))
			}
		}
		if m.Reject {
			b.WriteString(", farewell")
		}
		fmt.Fprintf(&b, ", commit %d, match %d, round %d", m.Commit, m.Match, m.Round)
	case raftpb.InstallSnapshot:
		fmt.Fprintf(&b, ", up to %d@%d", m.Snapshot.Index, m.Snapshot.Term)
	case raftpb.AppendEntriesReply, raftpb.InstallSnapshotReply:
		if m.Reject {
			fmt.Fprintf(&b, ", refuses to append after %d, hint %d@%d, round %d", m.Index, m.Match, m.LogTerm, m.Round)
		} else {
			fmt.Fprintf(&b, ", durable %d, verified %d, round %d", m.Index, m.Verified, m.Round)
		}
	}
	if m.Marked {
		b.WriteString(", marked")
	}
	return b.String()
}

package rafttest

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/transcript"
)

// notes is what has happened last, for people. Without a recorder nothing is
// kept.
type notes struct {
	e        *engine
	recorder *transcript.Recorder[note]
}

// note is a line that is put into words only if somebody reads it.
type note struct {
	format string
	args   []any
}

// keptNotes is how many notes of each node are kept.
const keptNotes = 200

func (t *notes) start() {
	t.recorder = transcript.New(keptNotes, func(n note) string { return fmt.Sprintf(n.format, n.args...) })
}

func (t *notes) text() string { return t.recorder.Merged(keptNotes) }

// note notes something about a node, or, without one, about the world. What args
// refer to must not change.
func (t *notes) note(n *node, format string, args ...any) {
	if t.recorder == nil {
		return
	}
	id := 0
	if n != nil {
		id = int(n.id)
	}
	t.recorder.Add(int(t.e.events), time.Duration(t.e.now), id, note{format, args})
}

func (t *notes) received(n *node, m *raft.Message) {
	if t.recorder != nil {
		t.note(n, "%s", describe(m))
	}
}

func (t *notes) applied(n *node, e *raft.Entry) {
	if t.recorder != nil {
		t.note(n, "applies %d@%d %q", e.Index, e.Term, clip(e.Data))
	}
}

func (t *notes) ended(c *call) {
	switch {
	case t.recorder == nil:
	case c.err != nil:
		t.note(c.n, "%v ends: %v", c, c.err)
	case c.kind != callProposal:
		t.note(c.n, "%v ends", c)
	default:
		t.note(c.n, "%v ends: %v", c, c.value)
	}
}

// describe says what a message says.
func describe(m *raft.Message) fmt.Stringer {
	d := described{Message: *m}
	if n := len(m.Entries); n > 0 {
		d.first, d.last = m.Entries[0], m.Entries[n-1]
	}
	d.count, d.Entries = len(m.Entries), nil
	return &d
}

type described struct {
	raft.Message
	first, last raft.Entry
	count       int
}

func (m *described) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v from %d, term %d", m.Type, m.From, m.Term)
	field := func(name string, v uint64) {
		if v != 0 {
			fmt.Fprintf(&b, ", %s %d", name, v)
		}
	}
	field("index", uint64(m.Index))
	field("log term", uint64(m.LogTerm))
	field("commit", uint64(m.Commit))
	field("match", uint64(m.Match))
	field("verified", uint64(m.Verified))
	if m.count > 0 {
		fmt.Fprintf(&b, ", entries %d@%d to %d@%d", m.first.Index, m.first.Term, m.last.Index, m.last.Term)
	}
	if m.Snapshot != nil {
		fmt.Fprintf(&b, ", snapshot %d@%d", m.Snapshot.Index, m.Snapshot.Term)
	}
	if m.Reject {
		b.WriteString(", rejected")
	}
	if m.Marked {
		b.WriteString(", marked")
	}
	return b.String()
}

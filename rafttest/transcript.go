package rafttest

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed-6281cb22/raft"
)

// transcript is what has happened last, for people.
type transcript struct {
	on    bool
	limit int
	lines []string // a ring
	next  int
}

func (t *transcript) add(line string) {
	if len(t.lines) < t.limit {
		t.lines = append(t.lines, line)
		return
	}
	t.lines[t.next] = line
	t.next = (t.next + 1) % t.limit
}

// text returns the lines, oldest first.
func (t *transcript) text() string {
	return strings.Join(append(append([]string(nil), t.lines[t.next:]...), t.lines[:t.next]...), "\n")
}

func (t *transcript) world(now raft.Instant, format string, args ...any) {
	if t.on {
		t.add(fmt.Sprintf("%12v         ", shown(now)) + fmt.Sprintf(format, args...))
	}
}

func (t *transcript) note(n *node, format string, args ...any) {
	if t.on {
		t.add(fmt.Sprintf("%12v node %d: ", shown(n.e.now), n.id) + fmt.Sprintf(format, args...))
	}
}

func (t *transcript) received(n *node, m *raft.Message) {
	if t.on {
		t.note(n, "%s", describe(m))
	}
}

func (t *transcript) applied(n *node, e *raft.Entry) {
	if t.on {
		t.note(n, "applies %d@%d %q", e.Index, e.Term, clip(e.Data))
	}
}

func (t *transcript) ended(c *call) {
	if !t.on {
		return
	}
	switch {
	case c.err != nil:
		t.note(c.n, "%s ends: %v", c, c.err)
	case c.read:
		t.note(c.n, "%s ends", c)
	default:
		t.note(c.n, "%s ends: %v", c, c.value)
	}
}

// shown is an instant as people read it.
func shown(at raft.Instant) time.Duration { return time.Duration(at).Round(time.Microsecond) }

// describe says what a message says.
func describe(m *raft.Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s from %d, term %d", m.Type, m.From, m.Term)
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
	if n := len(m.Entries); n > 0 {
		fmt.Fprintf(&b, ", entries %d@%d to %d@%d", m.Entries[0].Index, m.Entries[0].Term, m.Entries[n-1].Index, m.Entries[n-1].Term)
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

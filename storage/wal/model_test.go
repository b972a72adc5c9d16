package wal

import (
	"fmt"
	"maps"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
)

// modelGroup is what a group's storage should hold, written down naively.
type modelGroup struct {
	hardState raft.HardState
	snapshot  raft.Index
	term      raft.Term // of the snapshot
	first     raft.Index
	entries   []raft.Entry // from first on
}

// model knows what was saved, what of it was acknowledged, and so what may be
// found after a crash: everything acknowledged, and of the rest the first
// writes, none of them in part.
type model struct {
	states  []map[raft.GroupID]modelGroup // after each write
	acked   int                           // so many writes
	commits map[raft.GroupID][]raft.Snapshot
	durable map[raft.GroupID]int // so many of commits
	compact map[raft.GroupID]raft.Index
}

func newModel() *model {
	return &model{
		states:  []map[raft.GroupID]modelGroup{{}},
		commits: map[raft.GroupID][]raft.Snapshot{},
		durable: map[raft.GroupID]int{},
		compact: map[raft.GroupID]raft.Index{},
	}
}

func (g modelGroup) apply(w raft.Write) modelGroup {
	if g.first == 0 {
		g.first = 1
	}
	g.hardState = w.HardState
	if w.Snapshot != nil {
		g.snapshot, g.term = w.Snapshot.Index, w.Snapshot.Term
		g.first, g.entries = g.snapshot+1, nil
	}
	if len(w.Entries) > 0 {
		keep := w.Entries[0].Index - g.first
		g.entries = append(slices.Clone(g.entries[:keep]), w.Entries...)
	}
	return g
}

// holds reports whether the log has an entry of that index and term.
func (g modelGroup) holds(index raft.Index, term raft.Term) bool {
	if index == g.snapshot {
		return term == g.term
	}
	i := int(index) - int(g.first)
	return i >= 0 && i < len(g.entries) && g.entries[i].Term == term
}

// commit is Load's rule for a committed snapshot.
func (g modelGroup) commit(s raft.Snapshot) modelGroup {
	if g.first == 0 {
		g.first = 1
	}
	if s.Index <= g.snapshot {
		return g
	}
	if !g.holds(s.Index, s.Term) {
		g.first, g.entries = s.Index+1, nil
	}
	g.snapshot, g.term = s.Index, s.Term
	return g
}

func (m *model) save(d *disk, group raft.GroupID, w raft.Write) {
	next := maps.Clone(m.states[len(m.states)-1])
	next[group] = next[group].apply(w)
	m.states = append(m.states, next)
	n := len(m.states) - 1
	d.queue(group, w, func(err error) {
		if err == nil {
			require.Equal(d.t, m.acked+1, n, "completed in order")
			m.acked = n
		}
	})
}

func (m *model) snapshot(d *disk, group raft.GroupID, s raft.Snapshot) error {
	m.commits[group] = append(m.commits[group], s)
	if err := d.trySnapshot(group, s, fmt.Sprintf("snapshot of %d at %d", group, s.Index)); err != nil {
		return err
	}
	m.durable[group] = len(m.commits[group])
	return nil
}

// check demands that what d holds is one of the states that may be, and makes
// it the only one.
func (m *model) check(d *disk) {
	d.t.Helper()
	require.Empty(d.t, d.log.damage, "a crash is no damage")
	loaded := map[raft.GroupID]raft.State{}
	for group := range m.states[len(m.states)-1] {
		loaded[group] = d.load(group)
	}
	var why []string
	for n := len(m.states) - 1; n >= m.acked; n-- {
		reason := m.differs(d, n, loaded)
		if reason == "" {
			m.settle(d, n, loaded)
			return
		}
		why = append(why, reason)
	}
	require.Fail(d.t, "lost or invented", "%d writes acknowledged of %d: %v", m.acked, len(m.states)-1, why)
}

func (m *model) differs(d *disk, n int, loaded map[raft.GroupID]raft.State) string {
	for group, state := range loaded {
		reason := "no commit fits"
		for c := m.durable[group]; c <= len(m.commits[group]) && reason != ""; c++ {
			g := m.states[n][group]
			for _, s := range m.commits[group][:c] {
				g = g.commit(s)
			}
			if c == 0 {
				g = g.commit(raft.Snapshot{})
			}
			reason = g.differs(d, group, state, m.compact[group])
		}
		if reason != "" {
			return fmt.Sprintf("group %d: %s", group, reason)
		}
	}
	return ""
}

func (g modelGroup) differs(d *disk, group raft.GroupID, state raft.State, compacted raft.Index) string {
	last := g.first + raft.Index(len(g.entries)) - 1
	switch {
	case state.HardState != g.hardState:
		return fmt.Sprintf("hard state %v, want %v", state.HardState, g.hardState)
	case state.Snapshot.Index != g.snapshot || state.Snapshot.Term != g.term:
		return fmt.Sprintf("snapshot at %d, want %d", state.Snapshot.Index, g.snapshot)
	case state.Last != last:
		return fmt.Sprintf("last index %d, want %d", state.Last, last)
	case state.First < g.first || state.First > max(g.first, compacted+1):
		return fmt.Sprintf("first index %d, want %d to %d", state.First, g.first, compacted+1)
	}
	want := g.entries[state.First-g.first:]
	if len(want) == 0 {
		return ""
	}
	var runs []raft.TermRun
	for _, e := range want {
		if len(runs) == 0 || runs[len(runs)-1].Term != e.Term {
			runs = append(runs, raft.TermRun{First: e.Index, Term: e.Term})
		}
	}
	if !slices.Equal(state.Runs, runs) {
		return fmt.Sprintf("runs %v, want %v", state.Runs, runs)
	}
	got := d.read(group, state.First, state.Last+1)
	for i := range want {
		if got[i].Index != want[i].Index || got[i].Term != want[i].Term || string(got[i].Data) != string(want[i].Data) {
			return fmt.Sprintf("entry %v, want %v", got[i], want[i])
		}
	}
	return ""
}

// settle makes the state after n writes the only one.
func (m *model) settle(d *disk, n int, loaded map[raft.GroupID]raft.State) {
	settled := maps.Clone(m.states[n])
	for group, state := range loaded {
		g := settled[group]
		for i, s := range m.commits[group] {
			if s.Index <= state.Snapshot.Index {
				g = g.commit(s)
				m.durable[group] = max(m.durable[group], i+1)
			}
		}
		m.commits[group] = m.commits[group][:m.durable[group]]
		settled[group] = g
	}
	m.states = append(m.states[:n:n], settled)
	m.acked = n
}

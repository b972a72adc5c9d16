package wal_test

// The reader's last steps: which groups are damaged, and their snapshots.

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-6281cb22/raft"
)

// judge finds the groups that the damage may concern.
func (l *docLog) judge() {
	for _, g := range l.groups {
		if l.broken && g.proven <= l.damaged {
			g.lose("damage may concern it")
		}
		if slices.ContainsFunc(g.entries, func(e docEntry) bool { return e.rots }) {
			g.lose("an entry is damaged")
		}
	}
	l.nowhere()
}

// nowhere finds the groups that lack an entry.
func (l *docLog) nowhere() {
	for _, g := range l.groups {
		if slices.ContainsFunc(g.entries, func(e docEntry) bool { return !e.found }) {
			g.lose("an entry is nowhere")
		}
	}
}

// snapshots adds those in files of their own.
func (l *docLog) snapshots(files map[string][]byte) {
	newest := map[uint64]string{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if base, ok := strings.CutSuffix(name, ".snapshot"); ok && len(base) == 50 {
			group, _ := strconv.ParseUint(base[:16], 16, 64)
			newest[group] = name
			if l.groups[group] == nil { // the log has no record of it
				l.groups[group] = &docGroup{id: group, first: 1}
				if l.broken {
					l.groups[group].lose("all of it may be missing")
				}
			}
		}
	}
	for _, g := range l.groups {
		var s raft.Snapshot
		if name, ok := newest[g.id]; ok && !readDocSnapshot(files[name], name, g.id, &s) {
			g.lose("its snapshot is damaged")
		}
		g.combine(s)
	}
}

func readDocSnapshot(b []byte, name string, group uint64, s *raft.Snapshot) bool {
	if len(b) < 40 {
		return false
	}
	t := b[len(b)-40:]
	u32, u64 := binary.LittleEndian.Uint32, binary.LittleEndian.Uint64
	size, length := u64(t[12:]), uint64(u32(t[20:]))
	chunks := (size + 65535) / 65536
	if string(t[:8]) != "RAFTSNAP" || u64(t[24:]) != group || size+4*chunks+length+40 != uint64(len(b)) ||
		u32(t[36:]) != crc(0, b[size:len(b)-4]) {
		return false
	}
	for i := range chunks {
		chunk := b[i*65536 : min(size, (i+1)*65536)]
		if u32(b[size+4*i:]) != crc(entrySeed(i), chunk) {
			return false
		}
	}
	err := s.Unmarshal(b[size+4*chunks : size+4*chunks+length])
	return err == nil && name == fmt.Sprintf("%016x-%016x-%016x.snapshot", group, uint64(s.Index), uint64(s.Term))
}

// combine is what a group makes of its snapshot, the zero one if there is none.
func (g *docGroup) combine(s raft.Snapshot) {
	if g.refused != "" {
		return
	}
	term, held := g.prevTerm, s.Index+1 == g.first
	if s.Index >= g.first && s.Index < g.end() {
		term, held = g.entries[s.Index-g.first].Term, true
	}
	fits := held && term == s.Term
	last := g.end() - 1
	switch {
	case s.Index < g.snapshot.Index || s.Index > 0 && s.Index == g.snapshot.Index && s.Term != g.snapshot.Term:
		g.lose("the snapshot's data is missing")
	case s.Index+1 < g.first:
		g.lose("entries behind the snapshot are missing")
	case g.hardState.Commit > max(last, s.Index):
		g.lose("committed entries are missing")
	case s.Index > 0 && !fits && s.Index <= g.hardState.Commit && s.Index <= last:
		g.lose("the snapshot is at odds with a committed entry")
	case s.Index > 0:
		g.snapshot = s
		if !fits {
			g.first, g.entries = s.Index+1, nil
		}
	}
}

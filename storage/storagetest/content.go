package storagetest

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/seed-6281cb22/raft"
)

// content is what a storage should hold, written down naively. It is a value:
// what changes it returns another one.
type content struct {
	identity  raft.Identity
	hardState raft.HardState
	snapshot  raft.Snapshot
	data      []byte       // of the snapshot
	first     raft.Index   // of entries
	prevTerm  raft.Term    // of the entry before first
	entries   []raft.Entry // from first on, those that may be forgotten included
}

func (c content) last() raft.Index { return c.first + raft.Index(len(c.entries)) - 1 }

// write returns what is there when w is durable.
func (c content) write(w raft.Write) content {
	if w.Identity != (raft.Identity{}) {
		c.identity = w.Identity
	}
	c.hardState = w.HardState
	if w.Snapshot != nil {
		if w.Snapshot.Index != c.snapshot.Index {
			c.data = nil // committed beforehand, so commit will add it
		}
		c.snapshot = *w.Snapshot
		c.first, c.prevTerm, c.entries = w.Snapshot.Index+1, w.Snapshot.Term, nil
	}
	if len(w.Entries) > 0 {
		keep := w.Entries[0].Index - c.first
		c.entries = append(slices.Clone(c.entries[:keep]), w.Entries...)
	}
	return c
}

// term returns that of an entry, if the log holds it or begins behind it.
func (c content) term(index raft.Index) (raft.Term, bool) {
	switch {
	case index+1 == c.first:
		return c.prevTerm, true
	case index < c.first || index > c.last():
		return 0, false
	}
	return c.entries[index-c.first].Term, true
}

// commit returns what Load finds when a SnapshotWriter has committed s.
func (c content) commit(s committed) content {
	if s.Index < c.snapshot.Index || s.Index == c.snapshot.Index && c.data != nil {
		return c
	}
	if term, held := c.term(s.Index); !held || term != s.Term {
		c.first, c.prevTerm, c.entries = s.Index+1, s.Term, nil
	}
	c.snapshot, c.data = s.Snapshot, s.data
	return c
}

// committed is a snapshot with its data.
type committed struct {
	raft.Snapshot
	data []byte
}

// describe fills in what the storage does.
func (s committed) describe() committed {
	s.Size = uint64(len(s.data))
	s.Checksum = crc32.Checksum(s.data, crc32.MakeTable(crc32.Castagnoli))
	return s
}

// differs says in what a storage, whose Load returned state, is not as it
// should be: "" if it is. Entries up to mayForget have been compacted.
func (c content) differs(s raft.Storage, state raft.State, mayForget raft.Index) string {
	lowest, highest := c.first, max(c.first, min(mayForget, c.last())+1)
	switch {
	case state.Identity != c.identity:
		return fmt.Sprintf("Identity is %v instead of %v", state.Identity, c.identity)
	case state.HardState != c.hardState:
		return fmt.Sprintf("HardState is %+v instead of %+v", state.HardState, c.hardState)
	case !sameSnapshot(state.Snapshot, c.snapshot):
		return fmt.Sprintf("Snapshot is %+v instead of %+v", state.Snapshot, c.snapshot)
	case state.Last != c.last():
		return fmt.Sprintf("Last is %d instead of %d", state.Last, c.last())
	case state.First < lowest || state.First > highest:
		return fmt.Sprintf("First is %d, and not between %d and %d", state.First, lowest, highest)
	}
	held := c.entries[state.First-c.first:]
	if runs := runsOf(held); !slices.Equal(state.Runs, runs) {
		return fmt.Sprintf("Runs are %v instead of %v", state.Runs, runs)
	}
	if want := membershipsOf(held, c.snapshot.Index); !slices.EqualFunc(state.Memberships, want, sameMembershipAt) {
		return fmt.Sprintf("Memberships are %v instead of %v", state.Memberships, want)
	}
	if reason := differingEntries(s, state.First, held); reason != "" {
		return reason
	}
	return c.differingSnapshot(s)
}

func runsOf(entries []raft.Entry) []raft.TermRun {
	var runs []raft.TermRun
	for _, e := range entries {
		if n := len(runs); n == 0 || runs[n-1].Term != e.Term {
			runs = append(runs, raft.TermRun{First: e.Index, Term: e.Term})
		}
	}
	return runs
}

func membershipsOf(entries []raft.Entry, above raft.Index) []raft.MembershipAt {
	var all []raft.MembershipAt
	for _, e := range entries {
		if e.Type != raft.EntryMembership || e.Index <= above {
			continue
		}
		at := raft.MembershipAt{Index: e.Index}
		if err := at.Membership.Unmarshal(e.Data); err != nil {
			panic("storagetest: an entry of the suite's own holds no membership: " + err.Error())
		}
		all = append(all, at)
	}
	return all
}

func differingEntries(s raft.Storage, first raft.Index, want []raft.Entry) string {
	got, err := s.Entries(nil, first, first+raft.Index(len(want)), 1<<30)
	if err != nil {
		return fmt.Sprintf("Entries from %d on: %v", first, err)
	}
	if len(got) != len(want) {
		return fmt.Sprintf("Entries from %d on are %d instead of %d", first, len(got), len(want))
	}
	for i := range want {
		if !sameEntry(got[i], want[i]) {
			return fmt.Sprintf("entry %s instead of %s", show(got[i]), show(want[i]))
		}
	}
	return ""
}

// differingSnapshot compares what OpenSnapshot returns.
func (c content) differingSnapshot(s raft.Storage) string {
	snapshot, r, err := s.OpenSnapshot()
	if c.data == nil {
		if err == nil {
			r.Close()
		}
		if !isErr(err, raft.ErrNoSnapshot) {
			return fmt.Sprintf("OpenSnapshot without a snapshot: %v instead of ErrNoSnapshot", err)
		}
		return ""
	}
	if err != nil {
		return fmt.Sprintf("OpenSnapshot: %v", err)
	}
	defer r.Close()
	if !sameSnapshot(snapshot, c.snapshot) {
		return fmt.Sprintf("OpenSnapshot returns %+v instead of %+v", snapshot, c.snapshot)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return fmt.Sprintf("reading the snapshot: %v", err)
	}
	if !bytes.Equal(data, c.data) {
		return fmt.Sprintf("the snapshot's data, %d bytes, is not what was written, %d bytes", len(data), len(c.data))
	}
	return ""
}

// The library's own encoding says what is the same: an empty slice is nil.

func sameEntry(a, b raft.Entry) bool { return bytes.Equal(a.Append(nil), b.Append(nil)) }

func sameSnapshot(a, b raft.Snapshot) bool { return bytes.Equal(a.Append(nil), b.Append(nil)) }

func sameMembershipAt(a, b raft.MembershipAt) bool {
	return a.Index == b.Index && bytes.Equal(a.Membership.Append(nil), b.Membership.Append(nil))
}

// show is an entry in a failure.
func show(e raft.Entry) string {
	return fmt.Sprintf("{%d of term %d, %v, %d bytes %.40q, %+v, %d, %d, %x}",
		e.Index, e.Term, e.Type, len(e.Data), e.Data, e.Origin, e.Earliest, e.Latest, e.Checksum)
}

func showAll(entries []raft.Entry) string {
	var all []string
	for _, e := range entries {
		all = append(all, show(e))
	}
	return fmt.Sprint(all)
}

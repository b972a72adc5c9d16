package wal_test

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
	"github.com/seed-6281cb22/raft/internal/vfs/drive"
	"github.com/seed-6281cb22/raft/storage/wal"
)

// docRun writes a log at random, by hand and the same for a seed.
type docRun struct {
	t     *testing.T
	fs    *vfs.Mem
	rng   *rand.Rand
	log   *wal.Log
	drive drive.Writer
	state map[raft.GroupID]*raft.State // as far as it is saved; no Memberships
}

const docGroups = 4

func newDocRun(t *testing.T, seed uint64) *docRun {
	return &docRun{t: t, fs: vfs.NewMem(), rng: rand.New(rand.NewPCG(seed, 7)), state: map[raft.GroupID]*raft.State{}}
}

func (r *docRun) open() {
	r.drive = drive.Writer{Random: r.rng.Uint64}
	var err error
	r.log, err = wal.Open("/wal", wal.Options{FS: r.fs, Manual: &r.drive, SegmentBytes: 32 << 10})
	require.NoError(r.t, err)
}

func (r *docRun) sync() {
	for r.drive.Sync() {
	}
}

// files is the directory as a reader finds it.
func files(fs *vfs.Mem) map[string][]byte {
	all := map[string][]byte{}
	for _, name := range fs.Names() {
		all[filepath.Base(name)], _ = fs.Bytes(name)
	}
	return all
}

// reopen compares what the reader makes of the directory with what Open does.
func (r *docRun) reopen() {
	r.t.Helper()
	want := readDoc(files(r.fs), nil)
	r.open()
	require.Empty(r.t, want.refused)
	for id := raft.GroupID(1); id <= docGroups; id++ {
		state := r.compare(id, want)
		r.state[id] = &state
	}
	r.sync()
}

// compare expects that Open and the reader agree on a group.
func (r *docRun) compare(id raft.GroupID, doc *docLog) raft.State {
	r.t.Helper()
	s := r.log.Storage(id)
	state, err := s.Load()
	g := doc.groups[uint64(id)]
	if g == nil {
		g = &docGroup{first: 1}
		if doc.broken {
			g.lose("all of it may be missing")
		}
	}
	var corrupt *raft.CorruptError
	if errors.As(err, &corrupt) {
		require.NotEmpty(r.t, g.refused, "group %d: Load: %v", id, err)
		return state
	}
	require.NoError(r.t, err)
	require.Empty(r.t, g.refused, "group %d", id)
	require.Equal(r.t, g.identity, state.Identity)
	require.Equal(r.t, g.hardState, state.HardState)
	require.Equal(r.t, g.snapshot, state.Snapshot)
	require.Equal(r.t, g.first, state.First, "group %d", id)
	require.Equal(r.t, g.end()-1, state.Last)
	entries, err := s.Entries(nil, state.First, state.Last+1, 1<<30)
	require.NoError(r.t, err)
	require.Len(r.t, entries, len(g.entries))
	for i := range entries {
		require.Equal(r.t, g.entries[i].Append(nil), entries[i].Append(nil))
	}
	return state
}

// step does something to a group that a replica may do.
func (r *docRun) step() {
	id := raft.GroupID(1 + r.rng.IntN(docGroups))
	if r.rng.IntN(2) == 0 {
		id = 1 // a hot one, so that the others' entries are relocated
	}
	s, state := r.log.Storage(id), r.state[id]
	hs := &state.HardState
	switch r.rng.IntN(12) {
	case 0:
		hs.Term, hs.Vote = hs.Term+1, raft.NodeID(r.rng.IntN(3))
		r.save(id, raft.Write{HardState: *hs, Identity: raft.Identity{Cluster: "c", Node: 9}})
	case 1:
		r.sync()
		index := max(hs.Commit, state.Snapshot.Index) // all that is committed
		if index > state.Snapshot.Index {
			r.snapshot(id, raft.Snapshot{Index: index, Term: termAt(state, index)})
			state.Snapshot.Index = index
			require.NoError(r.t, s.Compact(index))
		}
	case 2:
		r.sync()
		hs.Term++
		state.Snapshot = raft.Snapshot{Index: state.Last + 3, Term: hs.Term}
		r.snapshot(id, state.Snapshot)
		state.First, state.Last, hs.Commit, state.Runs = state.Last+4, state.Last+3, state.Last+3, nil
		r.save(id, raft.Write{HardState: *hs, Snapshot: &state.Snapshot})
	case 3:
		r.drive.Idle()
	case 4, 5:
		r.sync()
	default:
		r.append(id)
	}
}

func termAt(state *raft.State, index raft.Index) raft.Term {
	term := state.Snapshot.Term
	for _, run := range state.Runs {
		if run.First <= index {
			term = run.Term
		}
	}
	return term
}

func (r *docRun) append(id raft.GroupID) {
	state := r.state[id]
	hs := &state.HardState
	first := state.Last + 1
	if floor := max(hs.Commit, state.Snapshot.Index); first > floor+1 && r.rng.IntN(3) == 0 {
		first -= raft.Index(r.rng.Uint64N(uint64(first - floor)))
		hs.Term++
		state.Runs = slices.DeleteFunc(state.Runs, func(run raft.TermRun) bool { return run.First >= first })
	}
	hs.Term = max(hs.Term, 1)
	w := raft.Write{}
	for i := range raft.Index(1 + r.rng.IntN(3)) {
		e := raft.Entry{Index: first + i, Term: hs.Term, Data: bytes.Repeat([]byte{byte(i)}, r.rng.IntN(900))}
		if r.rng.IntN(10) == 0 {
			m := raft.Membership{Members: []raft.Member{{ID: 1, Voter: true}}}
			e.Type, e.Data = raft.EntryMembership, m.Append(nil)
		}
		w.Entries = append(w.Entries, e)
		state.Last = e.Index
	}
	if n := len(state.Runs); n == 0 || state.Runs[n-1].Term != hs.Term {
		state.Runs = append(state.Runs, raft.TermRun{First: first, Term: hs.Term})
	}
	if floor := max(hs.Commit, state.Snapshot.Index); state.Last > floor {
		hs.Commit = floor + raft.Index(r.rng.Uint64N(uint64(state.Last-floor)))
	}
	w.HardState = *hs
	r.save(id, w)
}

func (r *docRun) save(id raft.GroupID, w raft.Write) {
	r.log.Storage(id).Save(w, func(error) {}) // what a crash cuts off fails
}

func (r *docRun) snapshot(id raft.GroupID, s raft.Snapshot) {
	w, err := r.log.Storage(id).CreateSnapshot(s)
	require.NoError(r.t, err)
	_, err = w.Write(bytes.Repeat([]byte("state"), r.rng.IntN(30_000)))
	require.NoError(r.t, err)
	require.NoError(r.t, w.Commit())
	require.NoError(r.t, w.Close())
}

// life is some steps, and then the log is closed or crashes.
func (r *docRun) life() {
	for range 10 + r.rng.IntN(60) {
		r.step()
	}
	if r.rng.IntN(3) == 0 {
		require.NoError(r.t, r.log.Close())
		return
	}
	// The batch that is being written when it crashes: in part there, or not.
	if r.rng.IntN(2) == 0 {
		r.drive.Idle() // not synced, and before it
	}
	left := 1 + r.rng.IntN(2)
	r.fs.SetHook(func(op *vfs.Op) error {
		if !op.Mutates() {
			return nil
		}
		if left--; left < 0 {
			return vfs.ErrCrashed
		}
		return nil
	})
	r.append(1)
	r.sync()
	r.fs.SetHook(nil)
	r.fs.Crash([]vfs.Survival{vfs.Nothing, vfs.Everything, vfs.Fraction(1, 2), vfs.Last}[r.rng.IntN(4)])
}

// TestFormatDocument: a reader that was written from docs/wal-format.md finds
// the same as Open in any log, after crashes too.
func TestFormatDocument(t *testing.T) {
	for seed := range uint64(12) {
		r := newDocRun(t, seed)
		for range 8 {
			r.reopen()
			r.life()
		}
		r.reopen()
	}
}

// And in damaged ones: the same groups are refused.
func TestFormatDocumentOnDamage(t *testing.T) {
	refused, whole := 0, 0
	for seed := range uint64(12) {
		r := newDocRun(t, 100+seed)
		for range 4 {
			r.reopen()
			r.life()
			for range 12 {
				damaged := &docRun{t: t, fs: damagedCopy(r.rng, files(r.fs)), rng: r.rng}
				n := damaged.compareAll()
				refused += n
				whole += docGroups - n
			}
		}
	}
	t.Logf("%d groups refused, %d whole", refused, whole)
	require.Greater(t, refused, 300)
	require.Greater(t, whole, 300)
}

// compareAll opens a log that may be damaged, and returns how many groups are
// refused.
func (r *docRun) compareAll() (refused int) {
	r.t.Helper()
	doc := readDoc(files(r.fs), nil)
	r.drive = drive.Writer{Random: r.rng.Uint64}
	var err error
	if r.log, err = wal.Open("/wal", wal.Options{FS: r.fs, Manual: &r.drive, SegmentBytes: 32 << 10}); err != nil {
		require.NotEmpty(r.t, doc.refused, "Open: %v", err)
		return docGroups
	}
	require.Empty(r.t, doc.refused)
	for id := raft.GroupID(1); id <= docGroups; id++ {
		r.compare(id, doc)
		if g := doc.groups[uint64(id)]; g != nil && g.refused != "" {
			refused++
		}
	}
	require.NoError(r.t, r.log.Close())
	return refused
}

// And in logs that live on with damage, which is forgotten by neither.
func TestFormatDocumentAfterDamage(t *testing.T) {
	refused, whole := 0, 0
	for seed := range uint64(60) {
		r := newDocRun(t, 200+seed)
		r.reopen()
		r.life()
		damaged := &docRun{t: t, fs: damagedCopy(r.rng, files(r.fs)), rng: r.rng}
		if readDoc(files(damaged.fs), nil).refused != "" {
			continue
		}
		before := damaged.compareAll()
		for range 3 {
			damaged.open()
			for id := raft.GroupID(1); id <= docGroups; id++ {
				damaged.fill(id)
			}
			require.NoError(t, damaged.log.Close())
			require.Equal(t, before, damaged.compareAll(), "seed %d", seed)
		}
		refused += before
		whole += docGroups - before
	}
	require.Greater(t, refused, 30)
	require.Greater(t, whole, 30)
}

// fill makes the log rotate, if the group is not damaged.
func (r *docRun) fill(id raft.GroupID) {
	s := r.log.Storage(id)
	state, err := s.Load()
	if err != nil {
		return
	}
	for range 8 {
		state.Last++
		e := raft.Entry{Index: state.Last, Term: max(1, state.HardState.Term), Data: make([]byte, 9000)}
		s.Save(raft.Write{HardState: state.HardState, Entries: []raft.Entry{e}}, func(err error) { require.NoError(r.t, err) })
		r.sync()
	}
}

// An entry that rots, and whose segment is freed nevertheless.
func TestFormatDocumentOnRot(t *testing.T) {
	r := newDocRun(t, 1)
	r.reopen()
	r.save(2, raft.Write{HardState: raft.HardState{Term: 1}, Entries: []raft.Entry{
		{Index: 1, Term: 1, Data: []byte("stays as it is")}, {Index: 2, Term: 1, Data: []byte("rots")},
	}})
	r.sync()
	segment, at := "", 0
	for name, b := range files(r.fs) {
		if i := bytes.Index(b, []byte("rots")); i >= 0 {
			segment, at = name, i
		}
	}
	r.fs.Corrupt("/wal/"+segment, func(b []byte) { b[at] ^= 1 })
	for i := raft.Index(1); files(r.fs)[segment] != nil; i++ {
		require.Less(t, i, raft.Index(1000), "the segment is not freed")
		r.save(1, raft.Write{HardState: raft.HardState{Term: 1, Commit: i - 1}, Entries: []raft.Entry{{Index: i, Term: 1, Data: make([]byte, 8000)}}})
		r.sync()
		r.snapshot(1, raft.Snapshot{Index: i, Term: 1})
		require.NoError(t, r.log.Storage(1).Compact(i))
	}
	require.NoError(t, r.log.Close())
	doc := readDoc(files(r.fs), nil)
	require.NotEmpty(t, doc.groups[2].refused)
	require.Empty(t, doc.groups[1].refused)
	r.open()
	r.compare(1, doc)
	r.compare(2, doc)
}

// damagedCopy flips bits of what is in use, many of them where frames begin, and
// clears sectors, headers and checkpoints.
func damagedCopy(rng *rand.Rand, original map[string][]byte) *vfs.Mem {
	var names []string
	for name := range original {
		if strings.HasSuffix(name, ".wal") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for range 1 + rng.IntN(3) {
		hit := names[len(names)-1]
		if rng.IntN(2) == 0 {
			hit = names[rng.IntN(len(names))]
		}
		b := original[hit]
		at := rng.IntN(1 + len(bytes.TrimRight(b, "\x00")))
		if rng.IntN(2) == 0 {
			at = at&^4095 + rng.IntN(64)
		}
		switch rng.IntN(8) {
		case 0: // both copies of the header
			clear(b[:min(len(b), 8192)])
		case 1: // the checkpoint
			clear(b[min(len(b), 8192):min(len(b), 8192+512)])
		case 2, 3, 4:
			b[min(at, len(b)-1)] ^= 1 << rng.IntN(8)
		default:
			clear(b[at&^511 : min(len(b), at&^511+512)])
		}
	}
	fs := vfs.NewMem()
	if err := fs.MkdirAll("/wal"); err != nil {
		panic(err)
	}
	for name, b := range original {
		f, err := fs.Create("/wal/" + name)
		if err != nil {
			panic(err)
		}
		if _, err := f.WriteAt(b, 0); err != nil {
			panic(err)
		}
		if err := f.Sync(); err != nil {
			panic(err)
		}
	}
	return fs
}

var updateDocs = flag.Bool("update", false, "write the example of docs/wal-format.md")

const formatDocument = "../../docs/wal-format.md"

// TestFormatExample: the worked example in the document is what the library
// writes, as the reader explains it, and leaves out nothing.
func TestFormatExample(t *testing.T) {
	fs, d := vfs.NewMem(), &drive.Writer{Random: func() uint64 { return 0x1122334455667788 }}
	log, err := wal.Open("/wal", wal.Options{FS: fs, Manual: d, SegmentBytes: 32 << 10})
	require.NoError(t, err)
	log.Storage(5).Save(raft.Write{
		Identity:  raft.Identity{Cluster: "c", Node: 2},
		HardState: raft.HardState{Term: 1, Vote: 2},
		Entries:   []raft.Entry{{Index: 1, Term: 1, Data: []byte("hi")}},
	}, func(err error) { require.NoError(t, err) })
	require.True(t, d.Sync())
	require.NoError(t, log.Close())

	type line struct {
		off  int
		text string
	}
	var lines []line
	explained := map[int]bool{}
	all, segment := files(fs), ""
	doc := readDoc(all, func(file string, off int, b []byte, what string) {
		segment = file
		if off >= 8192 || off < 4096 {
			lines = append(lines, line{off, fmt.Sprintf("%6d  %-24s %s", off, strings.ReplaceAll(fmt.Sprintf("% x", b), " ", ""), what)})
		}
		for i := range b {
			explained[off+i] = true
		}
	})
	require.Empty(t, doc.refused)
	for at, c := range all[segment] {
		copyOfHeader := at >= 4096 && at < 4096+128
		require.True(t, c == 0 || explained[at] || copyOfHeader, "the byte at %d, %x, is not explained", at, c)
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.off, b.off) })
	var example strings.Builder
	for _, l := range lines {
		fmt.Fprintln(&example, l.text)
	}

	text, err := os.ReadFile(formatDocument)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), "\n```\n")
	require.True(t, ok, "no example in the document")
	old, after, ok := strings.Cut(rest, "```\n")
	require.True(t, ok)
	if *updateDocs {
		require.NoError(t, os.WriteFile(formatDocument, []byte(before+"\n```\n"+example.String()+"```\n"+after), 0o644))
		return
	}
	require.Equal(t, example.String(), old, "go test ./storage/wal -run TestFormatExample -update")
}

package wal

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

// The proofs run in a quick form, which takes a sample of the cases, unless the
// environment has WAL_PROOF=long, as .ci/long does: then they run every case,
// for some minutes. A table of what was tried and of what came of it:
//
//	go test ./storage/wal -run '^TestProof$' -v
func long() bool { return os.Getenv("WAL_PROOF") == "long" }

// stride is 1 in the long form, else n: every n-th case is tried.
func stride(n int) int {
	if long() {
		return 1
	}
	return n
}

// The outcomes of a fault.
const (
	exact          = "exact data"
	unacknowledged = "unacknowledged lost"
	groupRefused   = "groups refused"
	logRefused     = "log refused"
	limit          = "stated limit"
)

// tally counts the outcomes of each kind of fault.
type tally struct {
	kinds []string
	count map[string]map[string]int
}

func (y *tally) add(kind, outcome string) {
	if y.count[kind] == nil {
		y.kinds = append(y.kinds, kind)
		y.count[kind] = map[string]int{}
	}
	y.count[kind][outcome]++
}

func (y *tally) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	outcomes := []string{exact, unacknowledged, groupRefused, logRefused, limit}
	fmt.Fprintf(w, "\nfault\tcases\t%s\t\n", strings.Join(outcomes, "\t"))
	for _, kind := range y.kinds {
		total := 0
		for _, n := range y.count[kind] {
			total += n
		}
		fmt.Fprintf(w, "%s\t%d\t", kind, total)
		for _, o := range outcomes {
			fmt.Fprintf(w, "%d\t", y.count[kind][o])
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	return b.String()
}

// TestProof tries every fault of a kind, each on its own, and demands of all
// that nothing acknowledged is silently lost and nothing is invented.
func TestProof(t *testing.T) {
	y := &tally{count: map[string]map[string]int{}}
	for _, p := range []struct {
		name  string
		prove func(*testing.T, *tally)
	}{
		{"crash at every call", proveCrashes},
		{"crash in recovery", proveCrashesInRecovery},
		{"damage", proveDamage},
		{"files", proveFiles},
		{"misdirected and lost writes", proveMisdirection},
		{"failed calls", proveFailures},
	} {
		t.Run(p.name, func(t *testing.T) { p.prove(t, y) })
	}
	t.Log(y)
}

// fork returns a copy of the disk, without an open log, and of the model.
func (d *disk) fork(m *model) (*disk, *model) {
	c := *d
	c.fs, c.log, c.drive = d.fs.Clone(), nil, nil
	n := *m
	n.states = slices.Clone(m.states)
	n.durable, n.compact = maps.Clone(m.durable), maps.Clone(m.compact)
	n.commits = map[raft.GroupID][]raft.Snapshot{}
	for g, s := range m.commits {
		n.commits[g] = slices.Clone(s)
	}
	return &c, &n
}

// endings are what may become of a number of unsynced sectors.
func endings(unsynced, stride, offset int) map[string][]vfs.Survival {
	all := map[string][]vfs.Survival{
		"nothing":    {vfs.Nothing},
		"everything": {vfs.Everything},
		"last":       {vfs.Last},
	}
	fates := func(fate func(i int) vfs.Fate) vfs.Survival {
		i := -1
		return vfs.Sectors(func(string, int64) vfs.Fate { i++; return fate(i) })
	}
	one := func(n int, is vfs.Fate) vfs.Survival {
		return fates(func(i int) vfs.Fate {
			if i == n {
				return is
			}
			return vfs.Landed
		})
	}
	for n := offset % stride; n < unsynced; n += stride {
		all["prefix"] = append(all["prefix"], fates(func(i int) vfs.Fate {
			if i < n {
				return vfs.Landed
			}
			return vfs.Lost
		}))
		all["one sector missing"] = append(all["one sector missing"], one(n, vfs.Lost))
		all["one sector zeroed"] = append(all["one sector zeroed"], one(n, vfs.Zeroed))
		all["one sector garbage"] = append(all["one sector garbage"], one(n, vfs.Garbage))
	}
	return all
}

// recovers opens the log after a crash and demands all that was acknowledged.
func recovers(d *disk, m *model) (outcome string) {
	saved := len(m.states)
	d.mustOpen()
	m.check(d)
	if len(m.states) < saved {
		return unacknowledged
	}
	return exact
}

func proveCrashes(t *testing.T, y *tally) {
	cases := 0
	for n := 1; ; n++ {
		d, m := newDisk(t), newModel()
		crashed := d.crashAt(n, func() { script(d, m) })
		all := endings(d.fs.Unsynced(), stride(8), n)
		for _, kind := range slices.Sorted(maps.Keys(all)) {
			for _, ending := range all[kind] {
				c, cm := d.fork(m)
				c.fs.Crash(ending)
				y.add("crash: "+kind, recovers(c, cm))
				if cases++; cases%stride(20) == 0 || kind == "nothing" {
					goesOn(c, cm)
				}
			}
		}
		if !crashed {
			return
		}
	}
}

// proveCrashesInRecovery crashes, then crashes the recovery at each of its
// calls, and the recovery from that.
func proveCrashesInRecovery(t *testing.T, y *tally) {
	step := 11
	if long() {
		step = 3 // the number of cases is that of the calls, squared
	}
	for n := 1; ; n += step {
		d, m := newDisk(t), newModel()
		crashed := d.crashAt(n, func() { script(d, m) })
		all := endings(d.fs.Unsynced(), stride(64), n)
		for i, kind := range slices.Sorted(maps.Keys(all)) {
			if i%stride(len(all)) != n%stride(len(all)) {
				continue // in the quick form one of them, each time another
			}
			once, _ := d.fork(m)
			once.fs.Crash(all[kind][n%len(all[kind])])
			for again := 1; ; again++ {
				twice, cm := once.fork(m)
				recovering := twice.crashAt(again, func() { twice.open() })
				all := endings(twice.fs.Unsynced(), stride(31), n+again)
				for _, kind := range slices.Sorted(maps.Keys(all)) {
					for _, ending := range all[kind] {
						c, ccm := twice.fork(cm)
						c.fs.Crash(ending)
						y.add("crash, and crash in recovery: "+kind, recovers(c, ccm))
					}
				}
				if !recovering {
					break
				}
			}
		}
		if !crashed {
			return
		}
	}
}

// small is a log of a few segments, and what it holds.
type small struct {
	*disk
	model     *model
	newest    string // segment
	lastBatch int    // where that batch begins in it; the file's end if later frames state it
	history   []*vfs.Mem
}

// newSmall builds a log of three groups with all that a log may hold.
func newSmall(t *testing.T, closed bool) *small {
	d, m := newDisk(t), newModel()
	d.mustOpen()
	var history []*vfs.Mem
	m.save(d, 3, write(1, 0, entries(1, 1, 3)...))
	m.save(d, 1, write(1, 0, append(entries(1, 1, 3), membershipEntry(4, 1, membership(1, 2)))...))
	d.sync()
	for i := raft.Index(5); len(d.log.chain) < 3 || d.log.current.end < 5*blockSize; i++ {
		m.save(d, 1, write(2, i-1, entry(i, 2)))
		if i == 9 || i == 15 {
			require.NoError(t, m.snapshot(d, 1, raft.Snapshot{Index: i - 3, Term: 2}))
			m.compact[1] = i - 5
			require.NoError(t, d.log.Storage(1).Compact(i-5))
		}
		d.sync()
		history = append(history, d.fs.Clone())
	}
	m.save(d, 2, raft.Write{HardState: raft.HardState{Term: 7, Vote: 3}})
	d.sync()
	s := &small{disk: d, newest: d.log.current.name, lastBatch: int(d.log.current.end), history: history}
	m.save(d, 1, write(3, 9, entry(d.log.groups[1].tail+1, 3)))
	m.save(d, 3, write(3, 1, entries(3, 3, 2)...))
	d.sync()
	require.Equal(t, s.newest, d.log.current.name)
	if closed {
		require.NoError(t, d.log.Close())
		s.lastBatch = int(d.log.current.size)
	}
	d.fs.Crash(vfs.Nothing)
	s.model = m
	return s
}

// fault damages a copy of the log and judges what becomes of it. mayLimit says
// that the damage is one to which the stated limit applies.
func (s *small) fault(what string, mayLimit bool, damage func(fs *vfs.Mem)) (outcome string) {
	s.t.Helper()
	c, _ := s.fork(s.model)
	damage(c.fs)
	outcome, wrong := c.judge(s.model)
	require.Empty(s.t, wrong, what)
	require.False(s.t, outcome == limit && !mayLimit, "%s: acknowledged data is silently lost", what)
	return outcome
}

// judge opens the log and compares all groups with the model. That a group is
// in a state in which it was before is the stated limit.
func (d *disk) judge(m *model) (outcome, wrong string) {
	var corrupt *raft.CorruptError
	if err := d.open(); errors.As(err, &corrupt) {
		if corrupt.File == "" || corrupt.Reason == "" || corrupt.Remedy != logRemedy {
			return "", "the error does not say enough: " + err.Error()
		}
		return logRefused, ""
	} else if err != nil {
		return "", err.Error()
	}
	outcome = exact
	for _, group := range slices.Sorted(maps.Keys(m.states[len(m.states)-1])) {
		state, err := d.log.Storage(group).Load()
		if err == nil {
			err = d.readAll(group, state)
		}
		if errors.As(err, &corrupt) {
			if corrupt.File == "" || corrupt.Remedy != groupRemedy ||
				!slices.ContainsFunc(corrupt.Ranges, func(r raft.IndexRange) bool { return r.Group == group && r.First > 0 }) {
				return "", "the error does not say enough: " + err.Error()
			}
			outcome = groupRefused
			continue
		} else if err != nil {
			return "", err.Error()
		}
		loaded := map[raft.GroupID]raft.State{group: state}
		if wrong = m.differs(d, len(m.states)-1, loaded); wrong != "" {
			if !m.wasOnce(d, loaded) {
				return "", wrong
			}
			outcome = limit
		}
	}
	return outcome, ""
}

// wasOnce reports whether what is loaded is as after any of the writes.
func (m *model) wasOnce(d *disk, loaded map[raft.GroupID]raft.State) bool {
	former := *m
	former.durable = nil // the snapshots of later come with it
	for n := len(m.states) - 1; n >= 0; n-- {
		if former.differs(d, n, loaded) == "" {
			return true
		}
	}
	return false
}

// readAll reads a group's entries and its snapshot.
func (d *disk) readAll(group raft.GroupID, state raft.State) error {
	s := d.log.Storage(group)
	if _, err := s.Entries(nil, state.First, state.Last+1, 1<<30); err != nil {
		return err
	}
	snapshot, r, err := s.OpenSnapshot()
	if errors.Is(err, raft.ErrNoSnapshot) && state.Snapshot.Index == 0 {
		return nil
	} else if err != nil {
		return err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err == nil && string(data) != fmt.Sprintf("snapshot of %d at %d", group, snapshot.Index) {
		err = fmt.Errorf("the snapshot's data is %q", data)
	}
	return err
}

// cut shortens a file.
func cut(t testing.TB, fs *vfs.Mem, name string, size int64) {
	f, err := fs.Open(name)
	require.NoError(t, err)
	require.NoError(t, f.Truncate(size))
	require.NoError(t, f.Sync())
}

// proveDamage flips and zeroes every byte, cuts at every byte, and zeroes,
// swaps and duplicates every sector. The last batch of a log that was not
// closed is the stated limit.
func proveDamage(t *testing.T, y *tally) {
	for _, closed := range []bool{false, true} {
		s := newSmall(t, closed)
		state := map[bool]string{false: " (killed)", true: " (closed)"}[closed]
		for _, name := range s.fs.Names() {
			data, _ := s.fs.Bytes(name)
			inLast := func(off int) bool { return name == s.newest && off >= s.lastBatch }
			s.damageBytes(y, state, name, data, inLast)
			s.damageSectors(y, state, name, len(data), inLast)
		}
	}
}

func (s *small) damageBytes(y *tally, state, name string, data []byte, inLast func(int) bool) {
	for off := 0; off < len(data); off++ {
		// Most of a file is blank: the quick form visits what is not, more often.
		if blank := data[off] == 0; blank && off%stride(499) != 0 || !blank && off%stride(13) != 0 {
			continue
		}
		what := fmt.Sprintf("%s at %d%s", name, off, state)
		y.add("bit flipped"+state, s.fault("flip: "+what, inLast(off), func(fs *vfs.Mem) {
			fs.Corrupt(name, func(b []byte) { b[off] ^= 1 << (off % 8) })
		}))
		if data[off] != 0 {
			y.add("byte zeroed"+state, s.fault("zero: "+what, inLast(off), func(fs *vfs.Mem) {
				fs.Corrupt(name, func(b []byte) { b[off] = 0 })
			}))
		}
		y.add("file cut"+state, s.fault("cut: "+what, false, func(fs *vfs.Mem) { cut(s.t, fs, name, int64(off)) }))
	}
}

func (s *small) damageSectors(y *tally, state, name string, size int, inLast func(int) bool) {
	sector := func(b []byte, off int) []byte { return b[off:min(off+vfs.Sector, len(b))] }
	for a := 0; a < size; a += vfs.Sector {
		what := fmt.Sprintf("%s at %d%s", name, a, state)
		y.add("sector zeroed"+state, s.fault("zero: "+what, inLast(a), func(fs *vfs.Mem) {
			fs.Corrupt(name, func(b []byte) { clear(sector(b, a)) })
		}))
		for b := a % (stride(48) * vfs.Sector); b < size; b += stride(48) * vfs.Sector {
			if a == b {
				continue
			}
			what := fmt.Sprintf("%s: %d and %d%s", name, a, b, state)
			y.add("sectors swapped"+state, s.fault("swap: "+what, inLast(a) || inLast(b), func(fs *vfs.Mem) {
				fs.Corrupt(name, func(data []byte) {
					first := slices.Clone(sector(data, a))
					copy(sector(data, a), sector(data, b))
					copy(sector(data, b), first)
				})
			}))
			y.add("sector duplicated"+state, s.fault("duplicate: "+what, inLast(b), func(fs *vfs.Mem) {
				fs.Corrupt(name, func(data []byte) { copy(sector(data, b), slices.Clone(sector(data, a))) })
			}))
		}
	}
}

// proveFiles removes every file, puts each of its earlier contents in its
// place, and swaps it with every other file. That the newest segment is gone,
// or as it was once, is part of the stated limit: nothing else knows of what
// it held but a commit index or a snapshot.
func proveFiles(t *testing.T, y *tally) {
	s := newSmall(t, true)
	names := s.fs.Names()
	for i, name := range names {
		newest := name == s.newest
		y.add("file missing", s.fault("missing: "+name, newest, func(fs *vfs.Mem) {
			require.NoError(t, fs.Remove(name))
			require.NoError(t, fs.SyncDir(dir))
		}))
		for age, then := range s.history {
			if stale, ok := then.Bytes(name); ok {
				y.add("file stale", s.fault(fmt.Sprintf("%s as of %d", name, age), newest, func(fs *vfs.Mem) {
					cut(t, fs, name, int64(len(stale)))
					fs.Corrupt(name, func(b []byte) { copy(b, stale) })
				}))
			}
		}
		for _, other := range names[i+1:] {
			y.add("files swapped", s.fault(name+" and "+other, false, func(fs *vfs.Mem) {
				require.NoError(t, fs.Rename(name, dir+"/x"))
				require.NoError(t, fs.Rename(other, name))
				require.NoError(t, fs.Rename(dir+"/x", other))
				require.NoError(t, fs.SyncDir(dir))
			}))
		}
		if strings.HasSuffix(name, segmentSuffix) && !newest {
			data, _ := s.fs.Bytes(name)
			y.add("older segment under a newer name", s.fault("recycled: "+name, false, func(fs *vfs.Mem) {
				f, err := fs.Create(dir + "/" + segmentName(500))
				require.NoError(t, err)
				require.NoError(t, writeFull(f, data, 0))
				require.NoError(t, f.Sync())
				require.NoError(t, fs.SyncDir(dir))
			}))
		}
	}
}

// proveMisdirection loses each single write to a segment, or lets it go to
// another place in its file, or in another file. The stated limit: the last
// write, and a header that takes the place of its segment's checkpoint.
func proveMisdirection(t *testing.T, y *tally) {
	for _, c := range []struct {
		kind string
		to   func(op *vfs.Op) (name string, off int64)
	}{
		{"write lost", func(*vfs.Op) (string, int64) { return "nowhere", 0 }},
		{"write misdirected in its file", func(op *vfs.Op) (string, int64) { return op.Name, op.Off + 2*blockSize }},
		{"write misdirected to another file", func(op *vfs.Op) (string, int64) { return dir + "/" + segmentName(1), op.Off }},
	} {
		for n, last := 1, false; !last; n++ {
			d, m := newDisk(t), newModel()
			require.NoError(t, d.open())
			writes, both := 0, false
			d.fs.SetHook(func(op *vfs.Op) error {
				if op.Kind != vfs.OpWrite || !strings.HasSuffix(op.Name, segmentSuffix) {
					return nil
				}
				if writes++; writes == n {
					op.Misdirect, op.MisdirectOff = c.to(op)
					both = op.Off == 0 && op.Misdirect == op.Name
				}
				return nil
			})
			for i := raft.Index(1); i < 20; i++ {
				m.save(d, 1, write(1, i-1, entry(i, 1)))
				m.save(d, 2, write(1, 0, entries(1, raft.Term(i), 2)...))
				d.sync()
			}
			d.fs.SetHook(nil)
			d.fs.Crash(vfs.Nothing)
			last = n >= writes
			outcome, wrong := d.judge(m)
			require.Empty(t, wrong, "%s %d", c.kind, n)
			require.False(t, outcome == limit && !last && !both, "%s %d of %d", c.kind, n, writes)
			y.add(c.kind, outcome)
		}
	}
}

// proveFailures fails each single call, of the first Open on, with an error.
// What was acknowledged is there for the next process, whether or not the
// power fails in between; and it goes on.
func proveFailures(t *testing.T, y *tally) {
	for _, c := range []struct {
		kind string
		err  error
		keep int
	}{
		{"call failed", syscall.EIO, 0},
		{"disk full, short write", syscall.ENOSPC, 1000},
	} {
		for n := 1; ; n += stride(3) {
			d, m := newDisk(t), newModel()
			calls := 0
			d.fs.SetHook(func(op *vfs.Op) error {
				if c.keep > 0 && op.Kind != vfs.OpWrite {
					return nil
				}
				if calls++; calls != n {
					return nil
				}
				op.Keep = c.keep
				return c.err
			})
			script(d, m)
			d.fs.SetHook(nil)
			d.fs.Kill()
			if n%2 == 0 {
				d.fs.Crash(vfs.Nothing)
			}
			y.add(c.kind, recovers(d, m))
			goesOn(d, m)
			if calls < n {
				break
			}
		}
	}
}

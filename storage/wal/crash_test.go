package wal

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

var survivals = []struct {
	name string
	vfs.Survival
}{
	{"nothing", vfs.Nothing},
	{"everything", vfs.Everything},
	{"half", vfs.Fraction(1, 2)},
	{"last", vfs.Last},
}

// script runs all that the log does, with segments so small that each takes
// only a few batches. It ends early when something fails.
func script(d *disk, m *model) {
	if d.open() != nil {
		return
	}
	m.save(d, 3, write(1, 0, entries(1, 1, 3)...)) // idle from now on
	m.save(d, 1, write(1, 0, entries(1, 1, 2)...))
	m.save(d, 2, write(1, 0, entries(1, 1, 5)...))
	d.sync()
	for round := range raft.Index(14) {
		term := raft.Term(2 + round)
		last := 2 + 2*round
		m.save(d, 1, write(term, last, entries(last+1, term, 1)...))
		m.save(d, 2, write(term, 1, entries(2+round%3, term, 4)...)) // replaces a suffix
		d.drive.Sync()
		m.save(d, 1, write(term, last+1, entries(last+2, term, 1)...))
		d.drive.Sync()
		if round%3 == 1 {
			d.drive.Idle()
		}
		if round%4 == 3 {
			s := raft.Snapshot{Index: last, Term: term - 1}
			if m.snapshot(d, 1, s) != nil {
				return
			}
			m.compact[1] = last
			if d.log.Storage(1).Compact(last) != nil {
				return
			}
		}
		if round == 9 {
			s := raft.Snapshot{Index: 100, Term: term, Membership: membership(1, 2)}
			if m.snapshot(d, 4, s) != nil {
				return
			}
			w := write(term, 100, entries(101, term, 2)...)
			w.Snapshot = &s
			m.save(d, 4, w)
		}
	}
	d.log.Close()
}

// run runs the script until the n-th call that changes something, and reports
// whether there was one.
func (d *disk) crashAt(n int, what func()) bool {
	d.fs.SetHook(func(op *vfs.Op) error {
		if !op.Mutates() {
			return nil
		}
		n--
		if n == 0 {
			return vfs.ErrCrashed
		}
		return nil
	})
	what()
	return n <= 0
}

// goesOn writes some more and expects to find it again.
func goesOn(d *disk, m *model) {
	d.t.Helper()
	for group, g := range m.states[len(m.states)-1] {
		last := g.first + raft.Index(len(g.entries))
		m.save(d, group, write(50, g.hardState.Commit, entry(max(last, 1), 50)))
	}
	d.sync()
	require.Equal(d.t, len(m.states)-1, m.acked)
	d.crash(vfs.Nothing)
	m.check(d)
}

// TestCrashInRecovery crashes the recovery after a crash at each of its calls,
// twice in a row. What survives each crash varies. A single one, with all that
// may become of each sector, is TestProof's.
func TestCrashInRecovery(t *testing.T) {
	for n := 1; ; n += stride(15) {
		more := false
		for again := 1; ; again++ {
			survives := func(i int) vfs.Survival { return survivals[(n+again/i)%len(survivals)].Survival }
			d, m := newDisk(t), newModel()
			more = d.crashAt(n, func() { script(d, m) })
			d.fs.SetHook(nil)
			d.fs.Crash(survives(1))
			crashed := d.crashAt(again, func() { d.open() })
			d.fs.SetHook(nil)
			d.fs.Crash(survives(2))
			d.crashAt(again+1, func() { d.open() })
			d.crash(survives(3))
			m.check(d)
			goesOn(d, m)
			if !crashed {
				break
			}
		}
		if !more {
			break
		}
	}
}

// TestScenarioH11: a process is killed, the next one finds in the page cache
// what was never synced and builds on it, and then the power fails. The same
// when the recovery is killed half-way, twice.
func TestScenarioH11(t *testing.T) {
	kill := func(d *disk) {
		d.fs.SetHook(nil)
		d.fs.Kill()
	}
	for n := 1; ; n++ {
		more := false
		for again := 1; ; again++ {
			d, m := newDisk(t), newModel()
			more = d.crashAt(n, func() { script(d, m) })
			crashed := true
			for range 2 {
				kill(d)
				crashed = d.crashAt(again, func() { d.open() }) && crashed
			}
			kill(d)
			d.mustOpen()
			m.check(d)
			d.crash(survivals[(n+again)%len(survivals)].Survival)
			m.check(d)
			goesOn(d, m)
			if !crashed || n%5 != 0 {
				break
			}
		}
		if !more {
			break
		}
	}
}

// TestScenarioH13OnlyTheNewerRenameSurvives: a process is killed in an Open,
// which recycles files, and power fails in the
// next one, which takes them: of two renames only the second survives. No file
// may end up with two names.
func TestScenarioH13OnlyTheNewerRenameSurvives(t *testing.T) {
	for _, bytes := range []int64{minSegmentBytes, 2 * minSegmentBytes} {
		for n := 1; ; n++ {
			killed := false
			for k := 1 + n%stride(4); ; k += stride(4) {
				d := newDisk(t)
				d.mustOpen()
				d.fs.Kill()
				d.bytes = bytes
				killed = d.crashAt(n, func() { d.open() })
				d.fs.SetHook(nil)
				d.fs.Kill()
				crashed := d.crashAt(k, func() { d.open() })
				d.crash(vfs.Last)
				last := raft.Index(8 * bytes / minSegmentBytes * 4) // enough for all spares
				for i := range last {
					d.save(1, write(1, 0, raft.Entry{Index: i + 1, Term: 1, Data: make([]byte, 7000)}))
				}
				d.fs.Crash(vfs.Nothing)
				require.NoError(t, d.open(), "n=%d k=%d", n, k)
				require.Equal(t, last, d.load(1).Last, "n=%d k=%d", n, k)
				if !crashed {
					break
				}
			}
			if !killed {
				break
			}
		}
	}
}

// An Open that finds a segment with nothing but its checkpoint writes the
// header again, since that may come from the page cache. A power loss ruins
// what is being written, and never both copies: the segment may be all there
// is.
func TestHeaderSurvivesBeingConfirmed(t *testing.T) {
	for fate := vfs.Lost; fate <= vfs.Garbage; fate++ {
		for n := 1; ; n++ {
			d := newDisk(t)
			d.mustOpen()
			d.save(1, raft.Write{HardState: raft.HardState{Term: 7, Vote: 3}})
			require.NoError(t, d.log.Close())
			d.mustOpen() // a segment that holds all, and the one before is free
			d.fs.Crash(vfs.Nothing)
			more := d.crashAt(n, func() { d.open() })
			d.crash(vfs.Sectors(func(string, int64) vfs.Fate { return fate }))
			require.Equal(t, raft.HardState{Term: 7, Vote: 3}, d.load(1).HardState)
			if !more {
				break
			}
		}
	}
}

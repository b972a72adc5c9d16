package rafttest

import (
	"syscall"

	"github.com/seed-6281cb22/raft/internal/vfs"
)

// disk is a node's: a file system that forgets at a crash what was not synced,
// and what is wrong with it.
type disk struct {
	n     *node
	fs    *vfs.Mem
	salts uint64

	stalled  bool   // it does nothing, and says nothing
	waiting  func() // for that to end
	writes   uint64 // calls that changed something
	unstated bool   // damage to the last batch would look like a torn write

	faulted bool   // something was made to fail since the last start
	crashIn uint64 // the power goes at this write from now; 0: it does not
	failing bool   // every write and sync fails
	full    bool   // its capacity is limited
	failIn  uint64 // this write from now fails, and only this one
	short   bool   // it writes a part
}

func newDisk(n *node) *disk {
	d := &disk{n: n, fs: vfs.NewMem()}
	d.fs.SetHook(d.hook)
	return d
}

// hook sees every call of the file system.
func (d *disk) hook(op *vfs.Op) error {
	if !op.Mutates() {
		return nil
	}
	d.writes++
	if d.crashIn > 0 {
		if d.crashIn--; d.crashIn == 0 {
			d.n.dying = true
			d.n.e.transcript.note(d.n, "power loss at %s %s", op.Kind, op.Name)
			return vfs.ErrCrashed
		}
	}
	if d.failing {
		d.faulted = true
		return syscall.EIO
	}
	if d.failIn > 0 {
		if d.failIn--; d.failIn == 0 {
			d.faulted = true
			d.n.e.transcript.note(d.n, "error at %s %s", op.Kind, op.Name)
			if op.Kind == vfs.OpWrite && d.short {
				op.Keep = len(op.Data) / 2
				return syscall.ENOSPC
			}
			return syscall.EIO
		}
	}
	return nil
}

// stall lets the disk hang, or ends that.
func (d *disk) stall(stalled bool) {
	d.stalled = stalled
	if waiting := d.waiting; !stalled && waiting != nil {
		d.waiting = nil
		if d.n.up {
			d.n.later(0, waiting)
		}
	}
}

// limit lets the disk fill up after so many bytes more. With 0 it never does.
func (d *disk) limit(bytes int64) {
	d.full, d.faulted = bytes > 0, d.faulted || bytes > 0
	if d.full {
		bytes += d.fs.Used()
	}
	d.fs.SetCapacity(bytes)
}

// repair ends everything that is wrong with the disk, except for what it has
// lost.
func (d *disk) repair() {
	d.crashIn, d.failIn, d.failing, d.short = 0, 0, false, false
	d.limit(0)
	d.stall(false)
}

// crash is a power loss: the process ends, if there is one, and what was not
// synced is gone but for what survives.
func (n *node) crash(survives vfs.Survival) {
	n.e.transcript.note(n, "crashes")
	n.end()
	n.disk.waiting, n.disk.crashIn = nil, 0
	n.disk.unstated = true // what states it may not have been synced
	n.disk.fs.Crash(survives)
	n.store.crash(n)
}

// kill is the end of the process alone.
func (n *node) kill() {
	n.e.transcript.note(n, "is killed")
	n.stop()
	n.disk.waiting, n.disk.crashIn = nil, 0
}

// wipe takes everything off a disk whose process has ended.
func (n *node) wipe() {
	if n.up {
		n.crash(vfs.Nothing)
	}
	n.e.transcript.note(n, "loses its disk")
	salts := n.disk.salts
	n.disk, n.store = newDisk(n), store{}
	n.disk.salts = salts
	n.founder = false
	n.e.checks.wiped(n)
}

// drawSurvival decides what survives of the unsynced.
func (d *disk) drawSurvival() vfs.Survival {
	t := d.n.e.tape
	switch t.Intn(6) {
	case 0:
		return vfs.Nothing
	case 1:
		return vfs.Everything
	case 2:
		return vfs.Last
	case 3:
		den := 2 + t.Intn(6)
		return vfs.Fraction(1+t.Intn(den-1), den)
	case 4:
		return anySubset(d.n)
	default:
		return tornSectors(d.n)
	}
}

// anySubset lets any of the changes survive.
func anySubset(n *node) vfs.Survival {
	t := n.e.tape
	return vfs.Survival{
		Writes: func(_ string, unsynced []vfs.Write) (kept []vfs.Write) {
			for _, w := range unsynced {
				if t.Chance(0.5) {
					kept = append(kept, w)
				}
			}
			return kept
		},
		Names: func(_ string, unsynced []vfs.NameOp) (kept []vfs.NameOp) {
			for _, op := range unsynced {
				if t.Chance(0.5) {
					kept = append(kept, op)
				}
			}
			return kept
		},
	}
}

// tornSectors lets any of the sectors of the writes survive.
func tornSectors(n *node) vfs.Survival {
	t, names := n.e.tape, anySubset(n).Names
	return vfs.Survival{
		Writes: func(_ string, unsynced []vfs.Write) (kept []vfs.Write) {
			for _, w := range unsynced {
				if len(w.Data) <= vfs.Sector {
					if t.Chance(0.5) {
						kept = append(kept, w)
					}
					continue
				}
				for off := 0; off < len(w.Data); off += vfs.Sector {
					if off < 64*vfs.Sector && t.Chance(0.5) {
						end := min(off+vfs.Sector, len(w.Data))
						kept = append(kept, vfs.Write{Off: w.Off + int64(off), Data: w.Data[off:end]})
					}
				}
			}
			return kept
		},
		Names: names,
	}
}

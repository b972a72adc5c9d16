package vfs

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
)

// Sector is the unit in which a disk writes: a crash leaves of one either the
// old content or the new.
const Sector = 512

// Write is a change of a file's content that was not synced.
type Write struct {
	Off      int64  // where, or the new size
	Data     []byte // what was written
	Truncate bool   // sets the size instead
}

func (w Write) apply(b []byte) []byte {
	if w.Truncate {
		return resized(b, w.Off)
	}
	b = resized(b, max(int64(len(b)), w.Off+int64(len(w.Data))))
	copy(b[w.Off:], w.Data)
	return b
}

// NameOp is a change of a directory that was not synced: an OpCreate,
// OpRename or OpRemove.
type NameOp struct {
	Kind     OpKind
	Name, To string
	node     *inode
}

// apply makes sense for any subset of the operations.
func (op NameOp) apply(names map[string]*inode) {
	switch op.Kind {
	case OpCreate:
		names[op.Name] = op.node
	case OpRename:
		names[op.To] = op.node
		fallthrough
	case OpRemove:
		if names[op.Name] == op.node {
			delete(names, op.Name)
		}
	}
}

// Survival says what of the unsynced reaches the disk in a crash. It is asked
// file by file and directory by directory, in the order of the names (files of
// one name, of which one has replaced the other, in that of their creation), and
// gets the changes in the order in which they were made. What it returns is
// applied in that order: any of them, cut or altered at will.
type Survival struct {
	Writes func(name string, unsynced []Write) []Write
	Names  func(dir string, unsynced []NameOp) []NameOp
}

// Nothing of the unsynced survives.
var Nothing = Fraction(0, 1)

// Everything survives.
var Everything = Fraction(1, 1)

// Last is the survival of the last unsynced change alone, of each file and of
// each directory: a disk keeps no order.
var Last = Survival{
	Writes: func(_ string, unsynced []Write) []Write { return unsynced[len(unsynced)-1:] },
	Names:  func(_ string, unsynced []NameOp) []NameOp { return unsynced[len(unsynced)-1:] },
}

// Fraction is the survival of the first num/den of each file's unsynced
// bytes, in whole sectors, and of each directory's changes.
func Fraction(num, den int) Survival {
	return Survival{
		Writes: func(_ string, unsynced []Write) []Write {
			total := 0
			for _, w := range unsynced {
				total += len(w.Data)
			}
			keep := total * num / den
			if num < den {
				keep -= keep % Sector
			}
			var kept []Write
			for _, w := range unsynced {
				if len(w.Data) > keep {
					w.Data = w.Data[:keep]
				}
				keep -= len(w.Data)
				if len(w.Data) > 0 || w.Truncate && num > 0 {
					kept = append(kept, w)
				}
			}
			return kept
		},
		Names: func(_ string, unsynced []NameOp) []NameOp {
			return unsynced[:len(unsynced)*num/den]
		},
	}
}

// Kill is the end of the process and not of the machine: open files are dead
// and locks are free, and what was not synced is still seen and still not
// durable.
func (m *Mem) Kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kill()
}

func (m *Mem) kill() {
	m.epoch++
	m.down = false
	m.locks = map[string]*memLock{}
}

// Crash is a power loss and a restart: what was not synced is gone, except for
// what survives; open files are dead, locks are free.
func (m *Mem) Crash(survives Survival) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kill()

	// Files that have been replaced or removed may have had the same name.
	ordered := slices.SortedFunc(maps.Keys(m.nodes()), func(a, b *inode) int {
		return cmp.Or(cmp.Compare(a.name, b.name), a.number-b.number)
	})
	for _, n := range ordered {
		if len(n.unsynced) > 0 {
			for _, w := range survives.Writes(n.name, n.unsynced) {
				n.durable = w.apply(n.durable)
			}
		}
		n.unsynced = nil
		n.data = slices.Clone(n.durable)
		n.links = 0
	}

	byDir := map[string][]NameOp{}
	for _, op := range m.pending {
		dir := filepath.Dir(op.Name)
		byDir[dir] = append(byDir[dir], op)
	}
	for _, dir := range slices.Sorted(maps.Keys(byDir)) {
		for _, op := range survives.Names(dir, byDir[dir]) {
			op.apply(m.durable)
		}
	}
	m.pending = nil
	m.names = map[string]*inode{}
	m.used = 0
	for _, name := range slices.Sorted(maps.Keys(m.durable)) {
		m.link(name, m.durable[name])
	}
}

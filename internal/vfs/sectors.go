package vfs

import "slices"

// Fate is what becomes of an unsynced sector in a crash.
type Fate int

// The fates. Zeroed and Garbage are those of a sector that was being written
// when the power failed, or of blocks that a file system had allocated and not
// filled.
const (
	Lost    Fate = iota // the disk has what it had before
	Landed              // the disk has what was written
	Zeroed              // the disk has zeros
	Garbage             // the disk has bytes that no one has written
)

// Sectors is the survival of each unsynced sector by itself: a disk writes them
// in any order. Fate is asked sector by sector, write by write in the order in
// which they were made: name is the file, off the offset in it at which the
// part of the write begins that lies in the sector. A change of a file's size
// happens, and so do the changes of directories.
func Sectors(fate func(name string, off int64) Fate) Survival {
	return Survival{
		Writes: func(name string, unsynced []Write) []Write {
			var kept []Write
			for _, w := range unsynced {
				if w.Truncate {
					kept = append(kept, w)
					continue
				}
				for data, off := w.Data, w.Off; len(data) > 0; {
					n := min(int64(len(data)), Sector-off%Sector)
					if part, landed := fate(name, off).of(data[:n:n]); landed {
						kept = append(kept, Write{Off: off, Data: part})
					}
					data, off = data[n:], off+n
				}
			}
			return kept
		},
		Names: Everything.Names,
	}
}

// of returns what is written in place of data, if anything is.
func (f Fate) of(data []byte) ([]byte, bool) {
	switch f {
	case Landed:
		return data, true
	case Zeroed:
		return make([]byte, len(data)), true
	case Garbage:
		data = slices.Clone(data)
		for i := range data {
			data[i] ^= byte(0xa5 + 31*i)
		}
		return data, true
	}
	return nil, false
}

// Unsynced returns how many sectors of all files hold writes that are not
// synced: so often Sectors would ask.
func (m *Mem) Unsynced() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	count := Sectors(func(string, int64) Fate { n++; return Lost })
	for node := range m.nodes() {
		count.Writes(node.name, node.unsynced)
	}
	return n
}

// nodes returns the files that have a name, may have one after a crash, or
// have lost theirs and are not forgotten yet.
func (m *Mem) nodes() map[*inode]bool {
	nodes := map[*inode]bool{}
	for _, names := range []map[string]*inode{m.names, m.durable} {
		for _, n := range names {
			nodes[n] = true
		}
	}
	for _, op := range m.pending {
		nodes[op.node] = true
	}
	return nodes
}

// Clone returns a copy of the file system as it is, what is not synced
// included, without a hook: for a test that lets one history end in many
// ways. Open files and locks remain those of the original.
func (m *Mem) Clone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := NewMem()
	copies := map[*inode]*inode{}
	for n := range m.nodes() {
		copied := *n
		copied.data, copied.durable = slices.Clone(n.data), slices.Clone(n.durable)
		copied.unsynced = slices.Clone(n.unsynced)
		copies[n] = &copied
	}
	for name, n := range m.names {
		c.names[name] = copies[n]
	}
	for name, n := range m.durable {
		c.durable[name] = copies[n]
	}
	for _, op := range m.pending {
		op.node = copies[op.node]
		c.pending = append(c.pending, op)
	}
	for dir := range m.dirs {
		c.dirs[dir] = true
	}
	c.epoch, c.down, c.capacity, c.used, c.created = m.epoch, m.down, m.capacity, m.used, m.created
	return c
}

package vfs

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// ErrCrashed is what every call of a Mem returns between the moment that a
// hook returns it and the call of Crash, and what a file that was opened
// before the crash returns for ever after.
var ErrCrashed = errors.New("vfs: crashed")

// OpKind names the calls of FS and File.
type OpKind string

// The calls that a hook sees.
const (
	OpCreate   OpKind = "create"
	OpOpen     OpKind = "open"
	OpRename   OpKind = "rename"
	OpRemove   OpKind = "remove"
	OpList     OpKind = "list"
	OpMkdir    OpKind = "mkdir"
	OpSyncDir  OpKind = "syncdir"
	OpLock     OpKind = "lock"
	OpRead     OpKind = "read"
	OpWrite    OpKind = "write"
	OpSync     OpKind = "sync"
	OpTruncate OpKind = "truncate"
	OpSize     OpKind = "size"
)

// Op is a call that is about to be carried out.
type Op struct {
	Kind OpKind
	Name string // of the file or directory; of a renamed file, the old one
	To   string // the new name of a renamed file
	Off  int64  // of a read or write; the size of a truncate
	Data []byte // of a write; not to be changed or kept

	// What follows is for the hook to set.

	// Keep is for a hook that fails a write: so many bytes are written
	// nevertheless.
	Keep int
	// Misdirect is for a write that the hook lets pass: it goes to this file,
	// if not "", and to MisdirectOff, and is reported as done. A name that
	// does not exist loses the write.
	Misdirect    string
	MisdirectOff int64
	// Alter is for a read or write that the hook lets pass: it may change, in
	// place, a copy of what is read or written.
	Alter func(data []byte)
	// Stall is for any call that the hook lets pass: the call waits, while
	// others go on, until the channel is closed.
	Stall <-chan struct{}
}

// Mutates reports whether the call changes anything, durability included: a
// crash just before any other call is one before the next that does.
func (op *Op) Mutates() bool {
	switch op.Kind {
	case OpOpen, OpList, OpLock, OpRead, OpSize:
		return false
	}
	return true
}

// Mem is an in-memory FS that forgets at Crash what was not synced. It is
// deterministic: what it does depends on the calls alone. The zero value is
// not usable; NewMem is.
type Mem struct {
	mu       sync.Mutex
	hook     func(*Op) error
	names    map[string]*inode // what calls see
	durable  map[string]*inode // what a crash leaves
	pending  []NameOp          // not yet durable, in order
	dirs     map[string]bool
	locks    map[string]*memLock
	epoch    int  // counts crashes: a file of an earlier one is dead
	down     bool // a hook has said ErrCrashed
	capacity int64
	used     int64
	created  int // inodes, ever
}

// inode is a file's content, apart from its names.
type inode struct {
	number   int    // in the order of creation
	name     string // the last one, for hooks and Survival
	links    int    // in names
	data     []byte // what calls see
	durable  []byte
	unsynced []Write
}

// NewMem returns an empty file system that knows the directory "/".
func NewMem() *Mem {
	return &Mem{
		names:   map[string]*inode{},
		durable: map[string]*inode{},
		dirs:    map[string]bool{"/": true, ".": true},
		locks:   map[string]*memLock{},
	}
}

// SetHook sets what is called before every call. An error that it returns is
// the call's result, and the call has no effect, with three exceptions. Of a
// write Op.Keep bytes are written. A failed Sync drops what was unsynced: it
// is still seen and will never be durable, as on Linux. And after ErrCrashed
// every call fails until Crash. Of a call that it lets pass it may change the
// effect: see Op. The hook must not call the file system.
func (m *Mem) SetHook(hook func(*Op) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hook = hook
}

// SetCapacity limits the bytes in all named files: a write that would need
// more fails with ENOSPC. Zero is no limit.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// Used returns the bytes in all named files.
func (m *Mem) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// before says whether op may go ahead.
func (m *Mem) before(op *Op) error {
	if m.down {
		return ErrCrashed
	}
	if m.hook == nil {
		return nil
	}
	err := m.hook(op)
	if errors.Is(err, ErrCrashed) {
		m.down = true
	}
	if err == nil && op.Stall != nil {
		m.mu.Unlock()
		<-op.Stall
		m.mu.Lock()
		if m.down {
			return ErrCrashed
		}
	}
	return err
}

func pathError(op OpKind, name string, err error) error {
	return &fs.PathError{Op: string(op), Path: name, Err: err}
}

// Create implements FS.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.before(&Op{Kind: OpCreate, Name: name}); err != nil {
		return nil, pathError(OpCreate, name, err)
	}
	if !m.dirs[filepath.Dir(name)] {
		return nil, pathError(OpCreate, name, fs.ErrNotExist)
	}
	if n := m.names[name]; n != nil {
		m.resize(n, 0)
		n.unsynced = append(n.unsynced, Write{Truncate: true})
		return m.file(n), nil
	}
	m.created++
	n := &inode{number: m.created}
	m.link(name, n)
	m.pending = append(m.pending, NameOp{Kind: OpCreate, Name: name, node: n})
	return m.file(n), nil
}

// Open implements FS.
func (m *Mem) Open(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.before(&Op{Kind: OpOpen, Name: name}); err != nil {
		return nil, pathError(OpOpen, name, err)
	}
	n := m.names[name]
	if n == nil {
		return nil, pathError(OpOpen, name, fs.ErrNotExist)
	}
	return m.file(n), nil
}

func (m *Mem) file(n *inode) File { return &memFile{fs: m, node: n, epoch: m.epoch} }

func (m *Mem) link(name string, n *inode) {
	m.names[name] = n
	n.name = name
	n.links++
	if n.links == 1 {
		m.used += int64(len(n.data))
	}
}

func (m *Mem) unlink(name string) {
	n := m.names[name]
	if n == nil {
		return
	}
	delete(m.names, name)
	n.links--
	if n.links == 0 {
		m.used -= int64(len(n.data))
	}
}

func (m *Mem) resize(n *inode, size int64) {
	old := int64(len(n.data))
	if n.links > 0 {
		m.used += size - old
	}
	n.data = resized(n.data, size)
}

// resized returns b cut, or extended by zeros, to size.
func resized(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		return b[:size]
	}
	old := len(b)
	b = slices.Grow(b, int(size)-old)[:size]
	clear(b[old:])
	return b
}

// Rename implements FS. Both names must be in the same directory.
func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.before(&Op{Kind: OpRename, Name: oldName, To: newName}); err != nil {
		return pathError(OpRename, oldName, err)
	}
	n := m.names[oldName]
	if n == nil {
		return pathError(OpRename, oldName, fs.ErrNotExist)
	}
	if filepath.Dir(oldName) != filepath.Dir(newName) {
		return pathError(OpRename, oldName, errors.ErrUnsupported)
	}
	m.unlink(newName)
	m.link(newName, n)
	m.unlink(oldName)
	m.pending = append(m.pending, NameOp{Kind: OpRename, Name: oldName, To: newName, node: n})
	return nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.before(&Op{Kind: OpRemove, Name: name}); err != nil {
		return pathError(OpRemove, name, err)
	}
	n := m.names[name]
	if n == nil {
		return pathError(OpRemove, name, fs.ErrNotExist)
	}
	m.unlink(name)
	m.pending = append(m.pending, NameOp{Kind: OpRemove, Name: name, node: n})
	return nil
}

// List implements FS. It lists files only.
func (m *Mem) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.before(&Op{Kind: OpList, Name: dir}); err != nil {
		return nil, pathError(OpList, dir, err)
	}
	if !m.dirs[dir] {
		return nil, pathError(OpList, dir, fs.ErrNotExist)
	}
	var names []string
	for name := range m.names {
		if filepath.Dir(name) == dir {
			names = append(names, filepath.Base(name))
		}
	}
	for name := range m.locks {
		if filepath.Dir(name) == dir {
			names = append(names, filepath.Base(name))
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir = filepath.Clean(dir)
	if m.dirs[dir] {
		return nil
	}
	if err := m.before(&Op{Kind: OpMkdir, Name: dir}); err != nil {
		return pathError(OpMkdir, dir, err)
	}
	for ; !m.dirs[dir]; dir = filepath.Dir(dir) {
		m.dirs[dir] = true
	}
	return nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.before(&Op{Kind: OpSyncDir, Name: dir}); err != nil {
		return pathError(OpSyncDir, dir, err)
	}
	m.pending = slices.DeleteFunc(m.pending, func(op NameOp) bool {
		if filepath.Dir(op.Name) != filepath.Clean(dir) {
			return false
		}
		op.apply(m.durable)
		return true
	})
	return nil
}

// Lock implements FS. A crash releases it.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.before(&Op{Kind: OpLock, Name: name}); err != nil {
		return nil, pathError(OpLock, name, err)
	}
	if l := m.locks[name]; l != nil && l.held {
		return nil, ErrLocked
	}
	l := &memLock{fs: m, held: true}
	m.locks[name] = l
	return l, nil
}

type memLock struct {
	fs   *Mem
	held bool
}

func (l *memLock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	l.held = false
	return nil
}

// Bytes returns a copy of a file's content as calls see it, for tests.
func (m *Mem) Bytes(name string) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[name]
	if n == nil {
		return nil, false
	}
	return slices.Clone(n.data), true
}

// Corrupt changes a file's content behind everyone's back, durably: change
// gets what calls see and may change it in place.
func (m *Mem) Corrupt(name string, change func(data []byte)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.names[name]
	if n == nil {
		panic("vfs: Corrupt of a file that does not exist: " + name)
	}
	change(n.data)
	n.durable = slices.Clone(n.data)
	n.unsynced = nil
}

// Names returns the full names of all files, ascending, for tests.
func (m *Mem) Names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name := range m.names {
		names = append(names, name)
	}
	slices.SortFunc(names, strings.Compare)
	return names
}

// enoSpace reports whether n may grow to size.
func (m *Mem) enoSpace(n *inode, size int64) bool {
	grow := size - int64(len(n.data))
	return m.capacity > 0 && n.links > 0 && grow > 0 && m.used+grow > m.capacity
}

var errNoSpace error = syscall.ENOSPC

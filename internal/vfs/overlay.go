package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Overlay returns a file system that shows a directory of the operating
// system's and keeps all changes in memory: no byte of the directory is ever
// written, and its files are opened for reading only. What would happen to the
// directory can be tried so. Its locks are no one's.
func Overlay(dir string) (FS, error) {
	all, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	o := &overlay{dir: filepath.Clean(dir), nodes: map[string]*overlayNode{}}
	for _, e := range all {
		if !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		o.nodes[e.Name()] = &overlayNode{base: filepath.Join(dir, e.Name()), size: info.Size(), below: info.Size()}
	}
	return o, nil
}

type overlay struct {
	dir   string
	mu    sync.Mutex
	nodes map[string]*overlayNode // by the name in the directory
}

const overlayPage = 4096

// overlayNode is a file: the one below, as far as it has not been changed.
type overlayNode struct {
	mu    sync.Mutex
	base  string           // path of the file below, "": none
	below int64            // so many of its bytes still count
	pages map[int64][]byte // those that were written, by number
	size  int64
}

func (o *overlay) find(op OpKind, name string) (*overlayNode, error) {
	n := o.nodes[filepath.Base(name)]
	if n == nil || filepath.Dir(name) != o.dir {
		return nil, pathError(op, name, fs.ErrNotExist)
	}
	return n, nil
}

func (o *overlay) Create(name string) (File, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if filepath.Dir(name) != o.dir {
		return nil, pathError(OpCreate, name, fs.ErrNotExist)
	}
	n := &overlayNode{pages: map[int64][]byte{}}
	o.nodes[filepath.Base(name)] = n
	return &overlayFile{node: n}, nil
}

func (o *overlay) Open(name string) (File, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.find(OpOpen, name)
	if err != nil {
		return nil, err
	}
	f := &overlayFile{node: n}
	if n.base != "" {
		if f.below, err = os.Open(n.base); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (o *overlay) Rename(oldName, newName string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.find(OpRename, oldName)
	if err != nil {
		return err
	}
	delete(o.nodes, filepath.Base(oldName))
	o.nodes[filepath.Base(newName)] = n
	return nil
}

func (o *overlay) Remove(name string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, err := o.find(OpRemove, name)
	delete(o.nodes, filepath.Base(name))
	return err
}

func (o *overlay) List(dir string) ([]string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var names []string
	for name := range o.nodes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

func (o *overlay) MkdirAll(string) error { return nil }
func (o *overlay) SyncDir(string) error  { return nil }

func (o *overlay) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

type overlayFile struct {
	node  *overlayNode
	below *os.File // nil: none
}

func (f *overlayFile) ReadAt(b []byte, off int64) (int, error) {
	n := f.node
	n.mu.Lock()
	defer n.mu.Unlock()
	return f.readAt(b, off)
}

func (f *overlayFile) readAt(b []byte, off int64) (int, error) {
	n := f.node
	short := error(nil)
	if off+int64(len(b)) > n.size {
		short = io.EOF
		b = b[:max(0, n.size-off)]
	}
	clear(b)
	if from := min(int64(len(b)), n.below-off); from > 0 {
		if _, err := f.below.ReadAt(b[:from], off); err != nil && err != io.EOF {
			return 0, err
		}
	}
	for at := 0; at < len(b) && len(n.pages) > 0; {
		number, within := (off+int64(at))/overlayPage, (off+int64(at))%overlayPage
		size := min(len(b)-at, overlayPage-int(within))
		if page := n.pages[number]; page != nil {
			copy(b[at:at+size], page[within:])
		}
		at += size
	}
	return len(b), short
}

func (f *overlayFile) WriteAt(b []byte, off int64) (int, error) {
	n := f.node
	n.mu.Lock()
	defer n.mu.Unlock()
	end := off + int64(len(b))
	for number := off / overlayPage; number*overlayPage < end; number++ {
		if err := f.writePage(number, b, off); err != nil {
			return 0, err
		}
	}
	n.size = max(n.size, end)
	return len(b), nil
}

// writePage writes what of b, which begins at off, falls into a page.
func (f *overlayFile) writePage(number int64, b []byte, off int64) error {
	n := f.node
	from, to := max(0, number*overlayPage-off), min(int64(len(b)), (number+1)*overlayPage-off)
	part := b[from:to]
	page := n.pages[number]
	if page == nil {
		if number*overlayPage >= n.below && !slices.ContainsFunc(part, func(c byte) bool { return c != 0 }) {
			return nil // zeros over nothing: a file that is prepared
		}
		page = make([]byte, overlayPage)
		if _, err := f.readAt(page, number*overlayPage); err != nil && err != io.EOF {
			return err
		}
		if n.pages == nil {
			n.pages = map[int64][]byte{}
		}
		n.pages[number] = page
	}
	copy(page[(off+from)%overlayPage:], part)
	return nil
}

func (f *overlayFile) Truncate(size int64) error {
	n := f.node
	n.mu.Lock()
	defer n.mu.Unlock()
	for number, page := range n.pages {
		if keep := size - number*overlayPage; keep <= 0 {
			delete(n.pages, number)
		} else if keep < overlayPage {
			clear(page[keep:])
		}
	}
	n.below = min(n.below, size)
	n.size = size
	return nil
}

func (f *overlayFile) Sync() error { return nil }

func (f *overlayFile) Size() (int64, error) {
	f.node.mu.Lock()
	defer f.node.mu.Unlock()
	return f.node.size, nil
}

func (f *overlayFile) Close() error {
	if f.below == nil {
		return nil
	}
	return f.below.Close()
}

// LockExisting takes the lock of a name that FS.Lock may have created before,
// and writes nothing: without such a file there is no lock to take, and the
// Closer is nil. The error is ErrLocked when another holds it.
func LockExisting(name string) (io.Closer, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

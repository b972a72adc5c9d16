package vfs

import (
	"io"
	"io/fs"
)

// memFile is an open file of a Mem.
type memFile struct {
	fs     *Mem
	node   *inode
	epoch  int
	closed bool
}

// begin locks the file system and asks the hook; the caller unlocks.
func (f *memFile) begin(op *Op) error {
	f.fs.mu.Lock()
	op.Name = f.node.name
	switch {
	case f.closed:
		return pathError(op.Kind, op.Name, fs.ErrClosed)
	case f.epoch != f.fs.epoch:
		return pathError(op.Kind, op.Name, ErrCrashed)
	}
	if err := f.fs.before(op); err != nil {
		return pathError(op.Kind, op.Name, err)
	}
	if f.epoch != f.fs.epoch { // it has stalled for long
		return pathError(op.Kind, op.Name, ErrCrashed)
	}
	return nil
}

func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	defer f.fs.mu.Unlock()
	op := &Op{Kind: OpRead, Off: off}
	if err := f.begin(op); err != nil {
		return 0, err
	}
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.node.data[off:])
	if op.Alter != nil {
		op.Alter(b[:n])
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(b []byte, off int64) (int, error) {
	defer f.fs.mu.Unlock()
	op := &Op{Kind: OpWrite, Off: off, Data: b}
	err := f.begin(op)
	if err != nil {
		b = b[:min(op.Keep, len(b))]
		if f.closed || f.epoch != f.fs.epoch || len(b) == 0 {
			return 0, err
		}
	} else if f.fs.enoSpace(f.node, off+int64(len(b))) {
		return 0, pathError(OpWrite, op.Name, errNoSpace)
	}
	w := Write{Off: off, Data: append([]byte(nil), b...)}
	node := f.node
	if err == nil && op.Alter != nil {
		op.Alter(w.Data)
	}
	if err == nil && op.Misdirect != "" {
		if node = f.fs.names[op.Misdirect]; node == nil {
			return len(b), nil
		}
		w.Off = op.MisdirectOff
	}
	f.fs.resize(node, max(int64(len(node.data)), w.Off+int64(len(w.Data))))
	copy(node.data[w.Off:], w.Data)
	node.unsynced = append(node.unsynced, w)
	return len(b), err
}

func (f *memFile) Truncate(size int64) error {
	defer f.fs.mu.Unlock()
	if err := f.begin(&Op{Kind: OpTruncate, Off: size}); err != nil {
		return err
	}
	f.fs.resize(f.node, size)
	f.node.unsynced = append(f.node.unsynced, Write{Off: size, Truncate: true})
	return nil
}

func (f *memFile) Sync() error {
	defer f.fs.mu.Unlock()
	if err := f.begin(&Op{Kind: OpSync}); err != nil {
		if !f.fs.down {
			f.node.unsynced = nil // believed clean by the page cache
		}
		return err
	}
	for _, w := range f.node.unsynced {
		f.node.durable = w.apply(f.node.durable)
	}
	f.node.unsynced = nil
	return nil
}

func (f *memFile) Size() (int64, error) {
	defer f.fs.mu.Unlock()
	if err := f.begin(&Op{Kind: OpSize}); err != nil {
		return 0, err
	}
	return int64(len(f.node.data)), nil
}

func (f *memFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	f.closed = true
	return nil
}

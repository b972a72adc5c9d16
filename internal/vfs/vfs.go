// Package vfs is the small part of a file system that the library's storage
// needs, as an interface: the operating system's implementation ships, and an
// in-memory one, which forgets at a crash what was not synced, lets tests and
// the simulator fail or crash at every single call.
//
// The contract is what POSIX promises and no more. Data is durable once
// File.Sync has returned nil, a name once FS.SyncDir has; before that, any
// part of it may survive a crash, or none, in any order. A failed Sync says
// that what was written since the last successful one may be lost, even if a
// later Sync succeeds and reading still shows it.
package vfs

import (
	"errors"
	"io"
)

// ErrLocked says that a lock is held by someone else.
var ErrLocked = errors.New("vfs: locked")

// FS is a file system. Names are paths as package path/filepath makes them.
// Errors satisfy errors.Is with fs.ErrNotExist, syscall.ENOSPC and so on. All
// methods are safe for concurrent use.
type FS interface {
	// Create opens a new, empty file for reading and writing; a file of that
	// name is truncated.
	Create(name string) (File, error)
	// Open opens an existing file for reading and writing.
	Open(name string) (File, error)
	// Rename gives a file a new name, replacing the file of that name.
	Rename(oldName, newName string) error
	// Remove removes a name. Open files stay usable.
	Remove(name string) error
	// List returns the names in a directory, without the directory's, in
	// ascending order.
	List(dir string) ([]string, error)
	// MkdirAll creates a directory and its parents and makes their names
	// durable. It is no error if the directory exists.
	MkdirAll(dir string) error
	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error
	// Lock takes the exclusive lock of a name, which it creates, until the
	// returned Closer is closed or the process ends. The error is ErrLocked
	// when another holds it.
	Lock(name string) (io.Closer, error)
}

// File is an open file. ReadAt may run concurrently with all else.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes all written data durable, and of the metadata what reading
	// it back needs (fdatasync).
	Sync() error
	// Truncate sets the size.
	Truncate(size int64) error
	// Size returns the size in bytes.
	Size() (int64, error)
}

// WriteZeros fills the file from 0 to size with zeros, by writing them: the
// blocks are allocated and initialized then, so that a Sync of later
// overwrites needs no journal commit, and none of them can run out of space.
func WriteZeros(f File, size int64) error {
	zeros := make([]byte, min(size, 1<<20))
	for off := int64(0); off < size; {
		n, err := f.WriteAt(zeros[:min(size-off, int64(len(zeros)))], off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

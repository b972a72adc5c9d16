package wal

import (
	"sync"
	"sync/atomic"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
	"github.com/seed-6281cb22/raft/storage/wal"
)

// ours is storage/wal with one group. It has group commit, so each saver calls
// it directly.
type ours struct {
	log     *wal.Log
	storage raft.Storage
	fs      *countingFS

	mu   sync.Mutex // indexes are given in the order of the calls to Save
	last raft.Index
}

func openOurs(dir string) (durableLog, error) {
	fs := &countingFS{FS: vfs.OS()}
	log, err := wal.Open(dir, wal.Options{FS: fs})
	if err != nil {
		return nil, err
	}
	o := &ours{log: log, storage: log.Storage(1), fs: fs}
	_, err = o.storage.Load()
	return o, err
}

func (o *ours) savers(n int) []saver {
	savers := make([]saver, n)
	for i := range savers {
		done := make(chan error, 1)
		finish := func(err error) { done <- err }
		entries := make([]raft.Entry, 1)
		savers[i] = func(data []byte) error {
			o.mu.Lock()
			o.last++
			entries[0] = raft.Entry{Index: o.last, Term: 1, Data: data}
			hard := raft.HardState{Term: 1, Vote: 1, Commit: o.last - 1}
			o.storage.Save(raft.Write{HardState: hard, Entries: entries}, finish)
			o.mu.Unlock()
			return <-done
		}
	}
	return savers
}

func (o *ours) syncs() int64 { return o.fs.syncs.Load() }

func (o *ours) snapshot() error {
	w, err := o.storage.CreateSnapshot(raft.Snapshot{Index: o.last, Term: 1})
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.Commit(); err != nil {
		return err
	}
	return o.storage.Compact(o.last)
}

func (o *ours) close() error { return o.log.Close() }

// countingFS counts the syncs of files, those of the files that the log
// prepares ahead among them.
type countingFS struct {
	vfs.FS
	syncs atomic.Int64
}

func (c *countingFS) Create(name string) (vfs.File, error) {
	f, err := c.FS.Create(name)
	return &countingFile{f, c}, err
}

func (c *countingFS) Open(name string) (vfs.File, error) {
	f, err := c.FS.Open(name)
	return &countingFile{f, c}, err
}

type countingFile struct {
	vfs.File
	fs *countingFS
}

func (f *countingFile) Sync() error {
	f.fs.syncs.Add(1)
	return f.File.Sync()
}

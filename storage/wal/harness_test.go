package wal

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
	"github.com/seed-6281cb22/raft/internal/vfs/drive"
)

const dir = "/wal"

// disk is a simulated disk with a log on it that a test drives by hand.
type disk struct {
	t     testing.TB
	fs    *vfs.Mem
	log   *Log
	drive *drive.Writer
	seed  uint64
	bytes int64 // of a segment
	cache int   // Options.CacheBytes

	logger *zap.Logger // may be nil
}

func newDisk(t testing.TB) *disk {
	return &disk{t: t, fs: vfs.NewMem(), bytes: minSegmentBytes, cache: minCacheBytes}
}

func (d *disk) open() error {
	d.drive = &drive.Writer{Random: func() uint64 {
		d.seed++ // salts differ in both halves, and are the same in each run
		return d.seed * 0x9e3779b97f4a7c15
	}}
	log, err := Open(dir, Options{FS: d.fs, Manual: d.drive, SegmentBytes: d.bytes, CacheBytes: d.cache, Logger: d.logger})
	d.log = log
	return err
}

func (d *disk) mustOpen() {
	d.t.Helper()
	require.NoError(d.t, d.open())
}

// crash loses what does not survive, and opens the log again.
func (d *disk) crash(survives vfs.Survival) {
	d.t.Helper()
	d.fs.SetHook(nil)
	d.fs.Crash(survives)
	d.mustOpen()
}

func (d *disk) sync() {
	for d.drive.Sync() {
	}
}

// save saves w and syncs, and expects that to succeed.
func (d *disk) save(group raft.GroupID, w raft.Write) {
	d.t.Helper()
	d.queue(group, w, func(err error) { require.NoError(d.t, err) })
	d.sync()
}

func (d *disk) queue(group raft.GroupID, w raft.Write, done func(error)) {
	d.log.Storage(group).Save(w, done)
}

func (d *disk) load(group raft.GroupID) raft.State {
	d.t.Helper()
	state, err := d.log.Storage(group).Load()
	require.NoError(d.t, err)
	return state
}

// read reads entries, of which some may be in memory, and compares them with
// what is on the disk.
func (d *disk) read(group raft.GroupID, lo, hi raft.Index) []raft.Entry {
	d.t.Helper()
	entries, err := d.log.Storage(group).Entries(nil, lo, hi, 1<<30)
	require.NoError(d.t, err)
	cache := d.log.cache
	d.log.cache = nil
	defer func() { d.log.cache = cache }()
	fromDisk, err := d.log.Storage(group).Entries(nil, lo, hi, 1<<30)
	require.NoError(d.t, err)
	require.Equal(d.t, fromDisk, entries)
	return entries
}

func (d *disk) snapshot(group raft.GroupID, s raft.Snapshot, data string) {
	d.t.Helper()
	require.NoError(d.t, d.trySnapshot(group, s, data))
}

func (d *disk) trySnapshot(group raft.GroupID, s raft.Snapshot, data string) error {
	w, err := d.log.Storage(group).CreateSnapshot(s)
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(data)); err != nil {
		w.Close()
		return err
	}
	err = w.Commit()
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	return err
}

// entry makes an entry whose data tells it from all others.
func entry(index raft.Index, term raft.Term) raft.Entry {
	return raft.Entry{Index: index, Term: term, Data: fmt.Appendf(nil, "entry %d of term %d", index, term)}
}

func entries(first raft.Index, term raft.Term, n int) []raft.Entry {
	var all []raft.Entry
	for i := range n {
		all = append(all, entry(first+raft.Index(i), term))
	}
	return all
}

func write(term raft.Term, commit raft.Index, entries ...raft.Entry) raft.Write {
	return raft.Write{HardState: raft.HardState{Term: term, Commit: commit}, Entries: entries}
}

// segments returns the names of the segment files, ascending.
func (d *disk) segments() []string {
	var names []string
	for _, s := range d.log.chain {
		names = append(names, s.name)
	}
	return names
}

package wal

import (
	"math/rand/v2"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
	"github.com/seed-6281cb22/raft/internal/vfs/drive"
	"github.com/seed-6281cb22/raft/storage/wal"
)

// inline is storage/wal without its goroutine, which only this module's
// simulations do without: who saves writes and syncs by itself, as with the
// peers' logs. What it does not take of storage/wal's time is the price of
// handing each write to another goroutine, and its result back.
type inline struct {
	ours
	batcher
	writer  drive.Writer
	entries []raft.Entry
}

func openInline(dir string) (durableLog, error) {
	o := &inline{writer: drive.Writer{Random: rand.Uint64}}
	o.fs = &countingFS{FS: vfs.OS()}
	var err error
	if o.log, err = wal.Open(dir, wal.Options{FS: o.fs, Manual: &o.writer}); err != nil {
		return nil, err
	}
	o.storage = o.log.Storage(1)
	o.save = o.write
	_, err = o.storage.Load()
	return o, err
}

func (o *inline) write(batch [][]byte) (err error) {
	o.entries = o.entries[:0]
	for _, data := range batch {
		o.last++
		o.entries = append(o.entries, raft.Entry{Index: o.last, Term: 1, Data: data})
	}
	hard := raft.HardState{Term: 1, Vote: 1, Commit: o.last - 1}
	o.storage.Save(raft.Write{HardState: hard, Entries: o.entries}, func(failed error) { err = failed })
	o.writer.Sync()
	return err
}

func (o *inline) savers(n int) []saver { return o.batcher.savers(n) }

func (o *inline) close() error {
	o.stop()
	return o.ours.close()
}

package wal

import (
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"
)

// hashicorp is HashiCorp's raft-wal with its defaults. It holds entries only:
// term and vote are in another file there, and the commit index in none.
type hashicorp struct {
	batcher
	log  *wal.WAL
	fs   *countingVFS
	last uint64
}

func openHashicorp(dir string) (durableLog, error) {
	vfs := &countingVFS{VFS: fs.New()}
	log, err := wal.Open(dir, wal.WithSegmentFiler(segment.NewFiler(dir, vfs)), wal.WithLogger(hclog.NewNullLogger()))
	if err != nil {
		return nil, err
	}
	h := &hashicorp{log: log, fs: vfs}
	h.save = h.write
	return h, nil
}

func (h *hashicorp) write(batch [][]byte) error {
	logs := make([]*raft.Log, len(batch))
	for i, data := range batch {
		h.last++
		logs[i] = &raft.Log{Index: h.last, Term: 1, Type: raft.LogCommand, Data: data}
	}
	return h.log.StoreLogs(logs)
}

func (h *hashicorp) syncs() int64 { return h.fs.syncs.Load() }

// snapshot keeps the last entry: a log without any begins a new file.
func (h *hashicorp) snapshot() error {
	first, err := h.log.FirstIndex()
	if err != nil || first >= h.last {
		return err
	}
	return h.log.DeleteRange(first, h.last-1)
}

func (h *hashicorp) close() error {
	h.stop()
	return h.log.Close()
}

// countingVFS counts the syncs of segments. The file that names the segments
// is not written through it, but only changes with them.
type countingVFS struct {
	types.VFS
	syncs atomic.Int64
}

func (c *countingVFS) Create(dir, name string, size uint64) (types.WritableFile, error) {
	f, err := c.VFS.Create(dir, name, size)
	return &countingWritable{f, c}, err
}

func (c *countingVFS) OpenWriter(dir, name string) (types.WritableFile, error) {
	f, err := c.VFS.OpenWriter(dir, name)
	return &countingWritable{f, c}, err
}

type countingWritable struct {
	types.WritableFile
	vfs *countingVFS
}

func (f *countingWritable) Sync() error {
	f.vfs.syncs.Add(1)
	return f.WritableFile.Sync()
}

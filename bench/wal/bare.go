package wal

import (
	"path/filepath"
	"slices"

	"github.com/seed-6281cb22/raft/internal/vfs"
)

const (
	bareBytes  = 64 << 20
	blockBytes = 4096
)

// bare is what a log needs at least that never writes again into a block that it
// has synced: one pwrite of whole blocks that have been written before, and one
// fdatasync. It has no checksums, no lengths, and cannot be read back.
type bare struct {
	batcher
	file  vfs.File
	buf   []byte
	off   int64
	count int64
}

func openBare(dir string) (durableLog, error) {
	f, err := vfs.OS().Create(filepath.Join(dir, "bare"))
	if err != nil {
		return nil, err
	}
	if err := vfs.WriteZeros(f, bareBytes); err != nil {
		return nil, err
	}
	b := &bare{file: f}
	b.save = b.write
	return b, f.Sync()
}

func (b *bare) write(batch [][]byte) error {
	b.buf = b.buf[:0]
	for _, data := range batch {
		b.buf = append(b.buf, data...)
	}
	size := (len(b.buf) + blockBytes - 1) / blockBytes * blockBytes
	b.buf = slices.Grow(b.buf, size-len(b.buf))[:size]
	if b.off+int64(size) > bareBytes {
		b.off = 0
	}
	if _, err := b.file.WriteAt(b.buf, b.off); err != nil {
		return err
	}
	b.off += int64(size)
	b.count++
	return b.file.Sync()
}

func (b *bare) syncs() int64    { return b.count }
func (b *bare) snapshot() error { return nil }

func (b *bare) close() error {
	b.stop()
	return b.file.Close()
}

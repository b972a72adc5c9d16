package wal

import (
	"bytes"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

// countingFS counts the syncs of files.
type countingFS struct {
	vfs.FS
	syncs atomic.Int64
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

// floor is the least that a durable write can cost: one write and one sync of
// a block that has been written before.
type floor struct {
	file vfs.File
	buf  []byte
	off  int64
}

const floorBytes = 64 << 20

func newFloor(b *testing.B) *floor {
	f, err := vfs.OS().Create(filepath.Join(b.TempDir(), "floor"))
	require.NoError(b, err)
	require.NoError(b, vfs.WriteZeros(f, floorBytes))
	require.NoError(b, f.Sync())
	b.Cleanup(func() { f.Close() })
	return &floor{file: f, buf: bytes.Repeat([]byte{1}, blockSize)}
}

func (f *floor) write(b *testing.B) {
	if err := writeFull(f.file, f.buf, f.off); err != nil {
		b.Fatal(err)
	}
	if err := f.file.Sync(); err != nil {
		b.Fatal(err)
	}
	f.off = (f.off + blockSize) % floorBytes
}

// BenchmarkSaveOneClient alternates between a client that waits for each of
// its writes and the floor, so that both meet the same disk. It replaces the
// same entry again and again, so that segments are recycled as in a service
// that takes snapshots.
func BenchmarkSaveOneClient(b *testing.B) {
	log, err := Open(b.TempDir(), Options{})
	require.NoError(b, err)
	defer log.Close()
	floor := newFloor(b)
	s := log.Storage(1)
	data := make([]byte, 128)
	done := make(chan error, 1)
	finish := func(err error) { done <- err }
	entries := make([]raft.Entry, 1)
	var ours, floors time.Duration
	b.ReportAllocs()
	const run = 20
	for i := 0; b.Loop(); i++ {
		start := time.Now()
		if i/run%2 == 0 {
			floor.write(b)
			floors += time.Since(start)
		}
		start = time.Now()
		entries[0] = raft.Entry{Index: 1, Term: 1, Data: data}
		s.Save(raft.Write{HardState: raft.HardState{Term: 1}, Entries: entries}, finish)
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		if i/run%2 == 0 {
			ours += time.Since(start)
		}
	}
	if floors > 0 {
		b.ReportMetric(float64(ours)/float64(floors), "x-floor")
		b.ReportMetric(float64(floors.Nanoseconds())/float64((b.N+1)/2), "floor-ns")
	}
}

// BenchmarkSave256 has 256 savers, each with a group of its own and one write
// in flight. It reports how many entries share a sync, and how many entries are
// saved in the time of one write of the floor, which is measured before and
// after.
func BenchmarkSave256(b *testing.B) {
	fs := &countingFS{FS: vfs.OS()}
	log, err := Open(b.TempDir(), Options{FS: fs})
	require.NoError(b, err)
	defer log.Close()
	const savers = 256
	var next atomic.Int64
	var wait sync.WaitGroup
	data := make([]byte, 128)
	floor, floors := newFloor(b), time.Duration(0)
	const run = 50
	measure := func() {
		start := time.Now()
		for range run {
			floor.write(b)
		}
		floors += time.Since(start)
	}
	measure()
	before := fs.syncs.Load()
	b.ReportAllocs()
	b.ResetTimer()
	for g := range savers {
		s := log.Storage(raft.GroupID(g + 1))
		wait.Go(func() {
			done := make(chan error, 1)
			finish := func(err error) { done <- err }
			entries := make([]raft.Entry, 1)
			for next.Add(1) <= int64(b.N) {
				entries[0] = raft.Entry{Index: 1, Term: 1, Data: data}
				s.Save(raft.Write{HardState: raft.HardState{Term: 1}, Entries: entries}, finish)
				if err := <-done; err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	b.StopTimer()
	syncs := max(1, fs.syncs.Load()-before)
	measure()
	b.ReportMetric(float64(b.N)/float64(syncs), "entries/sync")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()*floors.Seconds()/(2*run), "entries/floor")
}

// BenchmarkSaveEncode is the pure part alone: no disk.
func BenchmarkSaveEncode(b *testing.B) {
	d := newDisk(b)
	d.bytes = 1 << 20
	d.mustOpen()
	s := d.log.Storage(1)
	data := make([]byte, 128)
	entries := make([]raft.Entry, 64)
	next := raft.Index(1)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		for j := range entries {
			entries[j] = raft.Entry{Index: next, Term: 1, Data: data}
			next++
		}
		s.Save(raft.Write{HardState: raft.HardState{Term: 1}, Entries: entries}, func(error) {})
		if i%64 == 63 {
			b.StopTimer()
			d.sync()
			b.StartTimer()
		}
	}
}

// BenchmarkOpen opens a log of 256 MiB, of entries of 1 KiB, which the page
// cache holds.
func BenchmarkOpen(b *testing.B) {
	const size, perWrite = 256 << 20, 64
	dir := b.TempDir()
	log, err := Open(dir, Options{})
	require.NoError(b, err)
	data := make([]byte, 1000)
	batch := make([]raft.Entry, perWrite)
	for next := raft.Index(1); next < size/1024; {
		for i := range batch {
			batch[i] = raft.Entry{Index: next, Term: 1, Data: data}
			next++
		}
		require.NoError(b, saveOne(log.Storage(1), write(1, 0, batch...)))
	}
	require.NoError(b, log.Close())
	b.SetBytes(size)
	for b.Loop() {
		log, err := Open(dir, Options{})
		require.NoError(b, err)
		b.StopTimer()
		require.NoError(b, log.Close())
		b.StartTimer()
	}
}

package wal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

// readCounter counts the reads of files.
type readCounter struct {
	vfs.FS
	reads atomic.Int64
}

func (c *readCounter) Open(name string) (vfs.File, error) {
	f, err := c.FS.Open(name)
	return countedFile{f, c}, err
}

type countedFile struct {
	vfs.File
	counter *readCounter
}

func (f countedFile) ReadAt(b []byte, off int64) (int, error) {
	f.counter.reads.Add(1)
	return f.File.ReadAt(b, off)
}

// What was just written is read without the disk, in whatever pieces it was
// written and is asked for; and without a cache it is not.
func TestNewestEntriesAreReadFromMemory(t *testing.T) {
	for _, cacheBytes := range []int{minCacheBytes, -1} {
		d := newDisk(t)
		d.mustOpen()
		require.NoError(t, d.log.Close())
		counter := &readCounter{FS: d.fs}
		log, err := Open(dir, Options{FS: counter, Manual: d.drive, SegmentBytes: d.bytes, CacheBytes: cacheBytes})
		require.NoError(t, err)
		d.log = log
		large := raft.Entry{Index: 3, Term: 1, Data: bytes.Repeat([]byte{7}, 3*minCacheBytes/minChunks)}
		d.queue(2, write(1, 0, entry(1, 1)), func(error) {})
		d.queue(1, write(1, 0, append(entries(1, 1, 2), large)...), func(error) {})
		d.queue(2, write(1, 0, entries(2, 1, 2)...), func(error) {})
		d.sync()
		d.save(1, write(1, 0, entries(4, 1, 5)...))
		counter.reads.Store(0)
		want := append(append(entries(1, 1, 2), large), entries(4, 1, 5)...)
		for lo := raft.Index(1); lo <= 8; lo++ {
			for hi := lo + 1; hi <= 9; hi++ {
				got, err := log.Storage(1).Entries(nil, lo, hi, 1<<20)
				require.NoError(t, err)
				require.Equal(t, want[lo-1:hi-1], got)
			}
		}
		got, err := log.Storage(2).Entries(nil, 1, 4, 1<<20)
		require.NoError(t, err)
		require.Equal(t, entries(1, 1, 3), got)
		require.Equal(t, cacheBytes > 0, counter.reads.Load() == 0, "%d reads", counter.reads.Load())
	}
}

// The data of an entry is the caller's own: who changes it, or keeps it for
// long, has no part in the cache.
func TestReadFromMemoryIsACopy(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	d.save(1, write(1, 0, entries(1, 1, 2)...))
	clear(d.read(1, 1, 3)[0].Data)
	require.Equal(t, entries(1, 1, 2), d.read(1, 1, 3))
}

// Rot of an entry in memory is found, as that of one on the disk is.
func TestDamageInMemory(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	d.save(1, write(1, 0, entries(1, 1, 2)...))
	at := bytes.Index(d.log.cache.chunks[0].buf, entry(2, 1).Data)
	d.log.cache.chunks[0].buf[at] ^= 1
	_, err := d.log.Storage(1).Entries(nil, 2, 3, 1000)
	var corrupt *raft.CorruptError
	require.ErrorAs(t, err, &corrupt)
	require.Contains(t, corrupt.Reason, "checksum")
}

// Damage on the disk to what is also in memory harms nobody while the log is
// open, and is found by the next Open.
func TestCacheOutlivesTheDisk(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	d.save(1, write(1, 0, entries(1, 1, 2)...))
	at := d.log.groups[1].locations[0]
	d.fs.Corrupt(d.log.current.name, func(b []byte) { b[at.off+at.size-1] ^= 1 })
	got, err := d.log.Storage(1).Entries(nil, 1, 3, 1000)
	require.NoError(t, err)
	require.Equal(t, entries(1, 1, 2), got)
	require.NoError(t, d.log.Close())
	d.mustOpen()
	require.Equal(t, []raft.IndexRange{{Group: 1, First: 1}}, d.refused(1).Ranges)
}

// A batch that fails leaves what is in memory as it was.
func TestFailedBatchIsNotKept(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	d.save(1, write(1, 0, entries(1, 1, 20)...))
	d.fs.SetHook(func(op *vfs.Op) error {
		if op.Mutates() {
			return errors.New("no")
		}
		return nil
	})
	var saveErr error
	d.queue(1, write(1, 0, entries(1, 2, 30)...), func(err error) { saveErr = err })
	d.sync()
	require.Error(t, saveErr)
	require.Len(t, d.log.cache.chunks, 1)
	require.Len(t, d.log.cache.chunks[0].extents, 1)
	require.Equal(t, entries(1, 1, 20), d.read(1, 1, 21))
}

// memory is what the cache takes.
func (c *cache) memory() int {
	size := 0
	for _, k := range c.chunks {
		size += cap(k.buf) + cap(k.extents)*extentBytes + chunkOverhead
	}
	return size
}

// TestCacheBound: whatever is put, no more memory is taken than was allowed,
// and most of it holds bytes, unless they come in pieces as small as what says
// where they are.
func TestCacheBound(t *testing.T) {
	for _, size := range []int{minCacheBytes, 100_000, 3 << 20, 16 << 20} {
		for _, each := range []int{1, 150, 5000, 40_000, 20 << 20} {
			c := newCache(size)
			b := make([]byte, each)
			off := int64(0)
			c.put(1, off, b)
			for oldest := c.chunks[0]; c.chunks[0] == oldest && each < size; { // until it has made room
				off += int64(each) + 100
				c.put(1, off, b)
				if len(c.chunks) > c.maxChunks {
					break
				}
			}
			require.LessOrEqual(t, c.memory(), size)
			if each == 1 {
				continue
			}
			held := 0
			for _, k := range c.chunks {
				held += len(k.buf)
			}
			require.Greater(t, held, size*3/4*7/8, "of %d, in pieces of %d", size, each)
		}
	}
}

// TestCacheIsFIFO compares the cache with all that was ever put: it holds the
// newest bytes, and gives those or nothing.
func TestCacheIsFIFO(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	c := newCache(minCacheBytes)
	c.maxExtents = 20 // so that both bounds are met
	disk := map[uint32][]byte{}
	segment, hits, misses := uint32(1), 0, 0
	for range 3000 {
		if random.IntN(50) == 0 {
			segment += 1 + random.Uint32N(3)
		}
		data := disk[segment]
		data = append(data, make([]byte, random.IntN(300))...) // not put
		b := make([]byte, random.IntN(2*c.chunkBytes)/(1+random.IntN(20)))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		c.put(segment, int64(len(data)), b)
		disk[segment] = append(data, b...)
		clear(b)

		from := segment - random.Uint32N(min(4, segment))
		data = disk[from]
		if len(data) == 0 {
			continue
		}
		var at []location
		var want []byte
		off := uint32(random.IntN(len(data)))
		for range 1 + random.IntN(4) {
			size := min(random.Uint32N(2000), uint32(len(data))-off)
			if size == 0 {
				break
			}
			at = append(at, location{from, off, size})
			want = append(want, data[off:off+size]...)
			off += size + min(random.Uint32N(20), uint32(len(data))-off-size)
		}
		if len(at) == 0 {
			continue
		}
		if got := c.read(at); got != nil {
			hits++
			require.Equal(t, want, got)
			require.Equal(t, len(got), cap(got))
		} else {
			misses++
		}
	}
	require.Greater(t, hits, 200)
	require.Greater(t, misses, 200)
	for _, k := range c.chunks {
		require.Zero(t, k.readers)
	}
}

// The same offsets of two segments are told apart.
func TestCacheTellsSegmentsApart(t *testing.T) {
	c := newCache(minCacheBytes)
	c.put(1, 100, bytes.Repeat([]byte{1}, 50))
	c.put(3, 400, bytes.Repeat([]byte{3}, 50))
	require.Equal(t, bytes.Repeat([]byte{1}, 10), c.read([]location{{1, 110, 10}}))
	require.Equal(t, bytes.Repeat([]byte{3}, 10), c.read([]location{{3, 410, 10}}))
	for _, at := range []location{{2, 110, 10}, {3, 110, 10}, {1, 410, 10}, {1, 145, 10}, {1, 95, 10}, {4, 410, 10}} {
		require.Nil(t, c.read([]location{at}), "%v", at)
	}
}

// TestCacheReadMeanwhile: what is being read stays as it is, although so much
// is put meanwhile that its memory would be used again.
func TestCacheReadMeanwhile(t *testing.T) {
	c := newCache(minCacheBytes)
	c.put(1, 100, []byte("what is read"))
	at := location{1, 105, 7}
	r := c.beginRead([]location{at})
	pinned := r.pinned[0]
	for i := range 4 * int64(c.maxChunks) {
		c.put(2, i*int64(c.chunkBytes), bytes.Repeat([]byte{9}, c.chunkBytes))
	}
	got, ok := r.append(nil, at)
	require.True(t, ok)
	require.Equal(t, "is read", string(got))
	require.NotContains(t, c.chunks, pinned)
	c.endRead(&r)
	require.Nil(t, c.read([]location{at}))

	reused := c.chunks[0]
	c.put(3, 0, []byte("more"))
	c.put(3, 4, bytes.Repeat([]byte{9}, c.chunkBytes))
	require.Contains(t, c.chunks, reused, "its memory is used again")
}

// TestCacheChangesNothing runs a random log, in which entries are appended,
// replaced, compacted and relocated, with crashes, and reads some of it after
// each step, from memory and from the disk.
func TestCacheChangesNothing(t *testing.T) {
	var hits, misses int
	for seed := range uint64(200 / stride(20)) {
		random := rand.New(rand.NewPCG(seed, 1))
		d := newDisk(t)
		d.mustOpen()
		for range 300 {
			group := raft.GroupID(1 + min(random.IntN(4), random.IntN(4)))
			state := d.load(group)
			if !cacheStep(d, random, group, state) {
				d.crash(survivals[random.IntN(len(survivals))].Survival)
			}
			if state = d.load(group); state.Last < state.First {
				continue
			}
			lo := state.First + raft.Index(random.Uint64N(uint64(state.Last-state.First+1)))
			d.read(group, lo, state.Last+1)
			if d.log.cache.read(d.log.groups[group].locations[lo-state.First:][:1]) != nil {
				hits++
			} else {
				misses++
			}
		}
	}
	require.Greater(t, hits, 50)
	require.Greater(t, misses, 50)
}

// cacheStep changes a group somehow, and reports false where the log is to be
// opened again instead.
func cacheStep(d *disk, random *rand.Rand, group raft.GroupID, state raft.State) bool {
	term := state.HardState.Term + raft.Term(random.IntN(2))
	switch random.IntN(20) {
	case 0:
		return false
	case 1: // what is replaced must not be found in memory
		if state.Last > state.First {
			from := state.First + raft.Index(random.Uint64N(uint64(state.Last-state.First)))
			d.save(group, write(term+1, state.HardState.Commit, cacheEntries(random, from, term+1)...))
		}
	case 2:
		if state.Last > state.Snapshot.Index+1 {
			index := state.Last - 1
			d.snapshot(group, raft.Snapshot{Index: index, Term: d.read(group, index, index+1)[0].Term}, "s")
			require.NoError(d.t, d.log.Storage(group).Compact(index-1))
		}
	default:
		d.save(group, write(term, state.HardState.Commit, cacheEntries(random, state.Last+1, term)...))
	}
	return true
}

func cacheEntries(random *rand.Rand, first raft.Index, term raft.Term) []raft.Entry {
	all := entries(first, max(term, 1), 1+random.IntN(5))
	for i := range all {
		all[i].Data = fmt.Appendf(all[i].Data, " %0*d", random.IntN(2000), random.Uint32())
	}
	return all
}

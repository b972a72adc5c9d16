package wal_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
	"github.com/seed-6281cb22/raft/storage/storagetest"
	"github.com/seed-6281cb22/raft/storage/wal"
)

const conformanceGroup = 3

// TestConformance runs the suite over the operating system's file system.
func TestConformance(t *testing.T) {
	storagetest.Run(t, storagetest.Options{Seeds: 3, New: func(t testing.TB) *storagetest.Device {
		dir := t.TempDir()
		var log *wal.Log
		return &storagetest.Device{
			Open: func() (raft.Storage, error) {
				var err error
				if log, err = wal.Open(dir, wal.Options{SegmentBytes: 64 << 10}); err != nil {
					return nil, err
				}
				return log.Storage(conformanceGroup), nil
			},
			Close:  func() error { return log.Close() },
			Damage: func(data []byte) int { return damageFiles(t, dir, data) },
		}
	}})
}

func damageFiles(t testing.TB, dir string, data []byte) (copies int) {
	names, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, name := range names {
		path := filepath.Join(dir, name.Name())
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		n := flipAll(content, data)
		if copies += n; n > 0 {
			require.NoError(t, os.WriteFile(path, content, 0o600))
		}
	}
	return copies
}

// flipAll flips a bit of each copy of data.
func flipAll(content, data []byte) (copies int) {
	for at := 0; ; copies++ {
		next := bytes.Index(content[at:], data)
		if next < 0 {
			return copies
		}
		content[at+next] ^= 1
		at += next + len(data)
	}
}

// TestConformanceInCrashes runs the suite over the simulated file system, with
// crashes, stalls, a full disk and damage. A second group is busy meanwhile.
func TestConformanceInCrashes(t *testing.T) {
	for i, c := range []struct {
		name     string
		survives vfs.Survival
	}{
		{"nothing", vfs.Nothing},
		{"everything", vfs.Everything},
		{"half", vfs.Fraction(1, 2)},
		{"last", vfs.Last},
	} {
		t.Run(c.name, func(t *testing.T) {
			storagetest.Run(t, storagetest.Options{
				Seeds:     10,
				FirstSeed: uint64(1000 * i),
				New:       func(testing.TB) *storagetest.Device { return newSimulated(c.survives).device() },
			})
		})
	}
}

// simulated is a log on a simulated disk.
type simulated struct {
	fs       *vfs.Mem
	survives vfs.Survival
	log      *wal.Log

	mu   sync.Mutex
	fuse int           // changing calls until the power is cut; 0: never
	full bool          // writes fail
	hang chan struct{} // not nil: writes wait until it is closed
}

func newSimulated(survives vfs.Survival) *simulated {
	s := &simulated{fs: vfs.NewMem(), survives: survives}
	s.fs.SetHook(s.before)
	return s
}

func (s *simulated) before(op *vfs.Op) error {
	s.mu.Lock()
	hang := s.hang
	s.mu.Unlock()
	if op.Kind == vfs.OpWrite && hang != nil {
		<-hang
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !op.Mutates():
	case s.fuse == 1:
		return vfs.ErrCrashed // for all calls to come, too
	case s.fuse > 1:
		s.fuse--
	case s.full && op.Kind == vfs.OpWrite:
		return syscall.ENOSPC
	}
	return nil
}

func (s *simulated) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *simulated) device() *storagetest.Device {
	return &storagetest.Device{
		Open: func() (raft.Storage, error) {
			var err error
			if s.log, err = wal.Open("/wal", wal.Options{FS: s.fs, SegmentBytes: 32 << 10}); err != nil {
				s.log = nil
				return nil, err
			}
			other := s.log.Storage(conformanceGroup + 1)
			state, err := other.Load()
			if err != nil {
				return nil, err
			}
			for i := range raft.Index(3) {
				other.Save(raft.Write{Entries: []raft.Entry{{Index: state.Last + 1 + i, Term: 1}}}, func(error) {})
			}
			return s.log.Storage(conformanceGroup), nil
		},
		Close: func() error {
			err := s.log.Close()
			s.log = nil
			s.set(func() { s.full = false })
			return err
		},
		Crash: func() {
			s.set(func() { s.fuse = 1 })
			if s.log != nil {
				s.log.Close() // what waits fails, and its goroutine ends
				s.log = nil
			}
			s.set(func() { s.fuse, s.full = 0, false })
			s.fs.Crash(s.survives)
		},
		CrashAfter: func(operations int) { s.set(func() { s.fuse = operations + 1 }) },
		Stall: func() (resume func()) {
			hang := make(chan struct{})
			s.set(func() { s.hang = hang })
			return func() { s.set(func() { s.hang = nil }); close(hang) }
		},
		FailWrites: func() { s.set(func() { s.full = true }) },
		Damage: func(data []byte) (copies int) {
			names := s.fs.Names()
			slices.Sort(names)
			for _, name := range names {
				s.fs.Corrupt(name, func(content []byte) { copies += flipAll(content, data) })
			}
			return copies
		},
	}
}

package wal

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

// open opens a log with its goroutines on the real file system.
func open(t *testing.T, dir string) *Log {
	t.Helper()
	log, err := Open(dir, Options{SegmentBytes: 64 << 10})
	require.NoError(t, err)
	return log
}

// saveOne saves and waits.
func saveOne(s raft.Storage, w raft.Write) error {
	done := make(chan error, 1)
	s.Save(w, func(err error) { done <- err })
	return <-done
}

// TestManyGroupsAtOnce saves, reads, takes snapshots and compacts in many
// groups at the same time, closes and opens again; for the race detector, too.
func TestManyGroupsAtOnce(t *testing.T) {
	dir := t.TempDir()
	const groups, rounds = 8, 150
	for part := range raft.Index(2) {
		log := open(t, dir)
		var wait sync.WaitGroup
		for g := range raft.GroupID(groups) {
			wait.Go(func() {
				s := log.Storage(g)
				state, err := s.Load()
				if err != nil || state.Last != part*rounds {
					t.Errorf("group %d: %v, %v", g, state, err)
					return
				}
				for i := state.Last + 1; i <= state.Last+rounds; i++ {
					if err := work(s, i); err != nil {
						t.Errorf("group %d: %v", g, err)
						return
					}
				}
			})
		}
		wait.Wait()
		require.NoError(t, log.Close())
	}
}

// work saves entry i, reads around, and now and then takes a snapshot.
func work(s raft.Storage, i raft.Index) error {
	data := bytes.Repeat([]byte{byte(i)}, 200)
	if err := saveOne(s, write(1, i-1, raft.Entry{Index: i, Term: 1, Data: data})); err != nil {
		return err
	}
	lo := max(1, i/10*10)
	got, err := s.Entries(nil, lo, i+1, 1<<20)
	if err != nil || len(got) != int(i+1-lo) || got[0].Data[0] != byte(lo) {
		return fmt.Errorf("entries %d to %d: %v, %w", lo, i, got, err)
	}
	if i%20 != 0 {
		return nil
	}
	w, err := s.CreateSnapshot(raft.Snapshot{Index: i - 11, Term: 1})
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := w.Write(data); err != nil {
		return err
	}
	if err := w.Commit(); err != nil {
		return err
	}
	return s.Compact(i - 11)
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	log := open(t, dir)
	_, err := Open(dir, Options{})
	var locked *LockedError
	require.ErrorAs(t, err, &locked)
	require.Equal(t, dir, locked.Dir)
	require.ErrorContains(t, err, dir)
	require.NoError(t, log.Close())
	require.NoError(t, open(t, dir).Close())
}

func TestCloseWaitsAndThenRefuses(t *testing.T) {
	dir := t.TempDir()
	log := open(t, dir)
	s := log.Storage(1)
	results := make(chan error, 100)
	for i := raft.Index(1); i <= 100; i++ {
		s.Save(write(1, 0, entry(i, 1)), func(err error) { results <- err })
	}
	require.NoError(t, log.Close())
	require.NoError(t, log.Close())
	require.Len(t, results, 100)
	for range 100 {
		require.NoError(t, <-results)
	}
	for range 3 {
		require.ErrorIs(t, saveOne(s, write(1, 0, entry(101, 1))), raft.ErrClosed)
	}
	_, err := s.Entries(nil, 1, 2, 1)
	require.ErrorIs(t, err, raft.ErrClosed)
	_, err = s.CreateSnapshot(raft.Snapshot{Index: 1, Term: 1})
	require.ErrorIs(t, err, raft.ErrClosed)
	_, _, err = s.OpenSnapshot()
	require.ErrorIs(t, err, raft.ErrClosed)
	_, err = s.Load()
	require.ErrorIs(t, err, raft.ErrClosed)

	log = open(t, dir)
	state, err := log.Storage(1).Load()
	require.NoError(t, err)
	require.EqualValues(t, 100, state.Last)
	require.NoError(t, log.Close())
}

// TestGroupCommit: what is saved while a sync is under way shares the next
// one.
func TestGroupCommit(t *testing.T) {
	fs := vfs.NewMem()
	syncing, proceed := make(chan bool), make(chan bool)
	log, err := Open("/wal", Options{FS: fs, SegmentBytes: minSegmentBytes})
	require.NoError(t, err)
	log.background.Wait()
	gate := &gateFile{log.current.file, syncing, proceed}
	log.current.file = gate
	done := make(chan error, 50)
	finish := func(err error) { done <- err }
	log.Storage(1).Save(write(1, 0, entry(1, 1)), finish)
	<-syncing
	for g := raft.GroupID(2); g <= 50; g++ {
		log.Storage(g).Save(write(1, 0, entry(1, 1)), finish)
	}
	require.Empty(t, done)
	proceed <- true
	<-syncing
	require.Len(t, done, 1)
	proceed <- true
	for range 50 {
		require.NoError(t, <-done)
	}
	closed := make(chan error)
	go func() { closed <- log.Close() }()
	<-syncing
	proceed <- true
	require.NoError(t, <-closed)
}

// gateFile lets a test decide when a sync goes on.
type gateFile struct {
	vfs.File
	syncing, proceed chan bool
}

func (g *gateFile) Sync() error {
	g.syncing <- true
	<-g.proceed
	return g.File.Sync()
}

// TestSaveTakesACopy: the write's slices are the caller's again.
func TestSaveTakesACopy(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	batch := entries(1, 1, 2)
	snapshot := raft.Snapshot{Membership: membership(1)}
	w := write(1, 0, batch...)
	w.Snapshot = &snapshot
	d.queue(1, w, func(error) {})
	batch[0], batch[1], snapshot.Index = raft.Entry{}, raft.Entry{}, 9
	snapshot.Membership.Members[0].ID = 9
	d.sync()
	require.Equal(t, membership(1), d.load(1).Snapshot.Membership)
	require.Equal(t, entries(1, 1, 2), d.read(1, 1, 3))
	require.Zero(t, d.load(1).Snapshot.Index)
}

// TestSaveAllocatesLittle: nothing per entry.
func TestSaveAllocatesLittle(t *testing.T) {
	d := newDisk(t)
	d.mustOpen()
	s := d.log.Storage(1)
	batch := entries(1, 1, 64)
	done := func(error) {}
	w := write(1, 0, batch...)
	allocs := testing.AllocsPerRun(100, func() { s.Save(w, done) })
	require.Less(t, allocs, 8.0, "for 64 entries, with the race detector's pools")
}

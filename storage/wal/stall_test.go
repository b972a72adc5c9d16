package wal

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/vfs"
)

// TestStalledDisk: while a sync stalls, nothing but the completion of writes
// waits for it. What waits shares the next sync.
func TestStalledDisk(t *testing.T) {
	fs := vfs.NewMem()
	log, err := Open(dir, Options{FS: fs, SegmentBytes: minSegmentBytes})
	require.NoError(t, err)
	s := log.Storage(1)
	require.NoError(t, saveOne(s, write(1, 0, entries(1, 1, 3)...)))
	log.background.Wait()

	stalled, proceed := make(chan bool), make(chan struct{})
	var once sync.Once
	fs.SetHook(func(op *vfs.Op) error {
		if op.Kind == vfs.OpSync {
			once.Do(func() {
				op.Stall = proceed
				close(stalled)
			})
		}
		return nil
	})
	done := make(chan error, 20)
	finish := func(err error) { done <- err }
	s.Save(write(1, 3, entry(4, 1)), finish)
	<-stalled
	for i := raft.Index(5); i < 15; i++ {
		s.Save(write(1, 3, entry(i, 1)), finish)
	}
	got, err := s.Entries(nil, 1, 4, 1000)
	require.NoError(t, err)
	require.Equal(t, entries(1, 1, 3), got)
	state, err := s.Load()
	require.NoError(t, err)
	require.EqualValues(t, 3, state.Last, "the last durable entry")
	require.NoError(t, s.Compact(0))
	require.Empty(t, done)
	close(proceed)
	for range 11 {
		require.NoError(t, <-done)
	}
	require.NoError(t, log.Close())
}

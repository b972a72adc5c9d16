package storage_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/storage"
)

// gate is a blocking storage whose writes wait for the test.
type gate struct {
	storage.Blocking
	saved chan raft.Write
	err   chan error
}

func (g *gate) Save(w raft.Write) error {
	g.saved <- w
	return <-g.err
}

func (g *gate) Load() (raft.State, error) { return raft.State{First: 1}, nil }

func TestAsyncKeepsTheOrderAndStopsAtAFailure(t *testing.T) {
	g := &gate{saved: make(chan raft.Write), err: make(chan error)}
	s := storage.Async(g)
	type result struct {
		seq uint64
		err error
	}
	results := make(chan result, 4)
	entries := []raft.Entry{{Index: 1}}
	snapshot := raft.Snapshot{Index: 0, Term: 1}
	for seq := uint64(1); seq <= 4; seq++ {
		s.Save(raft.Write{Seq: seq, Entries: entries, Snapshot: &snapshot}, func(err error) { results <- result{seq, err} })
	}
	entries[0].Index, snapshot.Term = 99, 99 // the caller's again
	loaded := make(chan struct{})
	go func() {
		s.Load()
		close(loaded)
	}()
	for seq := uint64(1); seq <= 2; seq++ {
		w := <-g.saved
		require.Equal(t, seq, w.Seq)
		require.EqualValues(t, 1, w.Entries[0].Index)
		require.EqualValues(t, 1, w.Snapshot.Term)
		g.err <- nil
		require.Equal(t, result{seq, nil}, <-results)
	}
	broken := errors.New("broken")
	<-g.saved
	select {
	case <-loaded:
		require.Fail(t, "Load did not wait")
	default:
	}
	g.err <- broken
	require.Equal(t, result{3, broken}, <-results)
	require.Equal(t, result{4, broken}, <-results, "without a call")
	<-loaded
}

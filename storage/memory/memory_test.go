package memory_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/storage/memory"
)

func Example() {
	s := memory.New()
	done := make(chan error)
	s.Save(raft.Write{
		HardState: raft.HardState{Term: 1},
		Entries:   []raft.Entry{{Index: 1, Term: 1, Data: []byte("hello")}},
	}, func(err error) { done <- err })
	fmt.Println("saved:", <-done)

	state, _ := s.Load() // as a second replica would
	entries, _ := s.Entries(nil, state.First, state.Last+1, 1<<20)
	fmt.Printf("%d: %s\n", entries[0].Index, entries[0].Data)
	// Output:
	// saved: <nil>
	// 1: hello
}

func save(t *testing.T, s raft.Storage, w raft.Write) {
	t.Helper()
	done := make(chan error, 1)
	s.Save(w, func(err error) { done <- err })
	require.NoError(t, <-done)
}

func commit(t *testing.T, s raft.Storage, snapshot raft.Snapshot, data string) {
	t.Helper()
	w, err := s.CreateSnapshot(snapshot)
	require.NoError(t, err)
	_, err = io.WriteString(w, data)
	require.NoError(t, err)
	require.NoError(t, w.Commit())
	require.NoError(t, w.Close())
}

func load(t *testing.T, s raft.Storage) raft.State {
	t.Helper()
	state, err := s.Load()
	require.NoError(t, err)
	return state
}

func entry(index raft.Index, term raft.Term) raft.Entry {
	return raft.Entry{Index: index, Term: term, Data: fmt.Appendf(nil, "%d/%d", index, term)}
}

func TestLog(t *testing.T) {
	s := memory.New()
	require.Equal(t, raft.State{First: 1}, load(t, s))
	identity := raft.Identity{Cluster: "c", Node: 1}
	m := raft.Membership{Members: []raft.Member{{ID: 1, Voter: true}}}
	save(t, s, raft.Write{Identity: identity, HardState: raft.HardState{Term: 2}, Entries: []raft.Entry{
		entry(1, 1), entry(2, 1), {Index: 3, Term: 2, Type: raft.EntryMembership, Data: m.Append(nil)},
	}})
	want := raft.State{
		Identity: identity, HardState: raft.HardState{Term: 2}, First: 1, Last: 3,
		Runs:        []raft.TermRun{{First: 1, Term: 1}, {First: 3, Term: 2}},
		Memberships: []raft.MembershipAt{{Index: 3, Membership: m}},
	}
	require.Equal(t, want, load(t, s))

	save(t, s, raft.Write{HardState: raft.HardState{Term: 3}, Entries: []raft.Entry{entry(2, 3)}})
	state := load(t, s)
	require.Equal(t, []raft.TermRun{{First: 1, Term: 1}, {First: 2, Term: 3}}, state.Runs)
	require.Empty(t, state.Memberships)
	got, err := s.Entries(nil, 1, 3, 3)
	require.NoError(t, err)
	require.Equal(t, []raft.Entry{entry(1, 1)}, got)

	commit(t, s, raft.Snapshot{Index: 1, Term: 1}, "one")
	require.Error(t, s.Compact(2))
	require.NoError(t, s.Compact(1))
	_, err = s.Entries(nil, 1, 3, 3)
	require.ErrorIs(t, err, raft.ErrCompacted)
	require.EqualValues(t, 2, load(t, s).First)
}

func TestCommittedSnapshotIsLoaded(t *testing.T) {
	for _, c := range []struct {
		name        string
		snapshot    raft.Snapshot
		first, last raft.Index
	}{
		{"the log holds its entry", raft.Snapshot{Index: 2, Term: 1}, 1, 3},
		{"another term", raft.Snapshot{Index: 2, Term: 2}, 3, 2},
		{"beyond the log", raft.Snapshot{Index: 9, Term: 1}, 10, 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := memory.New()
			save(t, s, raft.Write{Entries: []raft.Entry{entry(1, 1), entry(2, 1), entry(3, 1)}})
			commit(t, s, c.snapshot, "data")
			state := load(t, s)
			require.Equal(t, c.snapshot.Index, state.Snapshot.Index)
			require.EqualValues(t, 4, state.Snapshot.Size)
			require.Equal(t, c.first, state.First)
			require.Equal(t, c.last, state.Last)
			_, r, err := s.OpenSnapshot()
			require.NoError(t, err)
			data, err := io.ReadAll(r)
			require.NoError(t, err)
			require.Equal(t, "data", string(data))
		})
	}
}

func TestNothingSucceedsAfterAFailure(t *testing.T) {
	s := memory.New()
	results := make(chan error, 2)
	s.Save(raft.Write{Entries: []raft.Entry{entry(2, 1)}}, func(err error) { results <- err })
	s.Save(raft.Write{Entries: []raft.Entry{entry(1, 1)}}, func(err error) { results <- err })
	require.Error(t, <-results)
	require.Error(t, <-results)
	require.Zero(t, load(t, s).Last)
}

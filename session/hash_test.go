package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bubble"
	"github.com/seed-6281cb22/raft/storage/memory"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

// hashedJournal is a journal that can be compared.
type hashedJournal struct {
	journal
	hashError error
}

func (j *hashedJournal) StateHash() (uint64, error) {
	h := fnv.New64a()
	for _, payload := range j.all() {
		fmt.Fprintf(h, "%q", payload)
	}
	return h.Sum64(), j.hashError
}

// hashedStore is a store that can be compared.
type hashedStore struct{ *store }

func (s hashedStore) StateHash() (uint64, error) { return uint64(len(s.data.Applied)), nil }

// What decorates a StateHasher is one, and what decorates none is none.
func TestMachinesAreStateHashersLikeWhatTheyDecorate(t *testing.T) {
	plain, err := New[string](&journal{}, stringCodec{})
	require.NoError(t, err)
	hashed, err := New[string](&hashedJournal{}, stringCodec{})
	require.NoError(t, err)
	plainDurable, err := NewDurable[string](newStore(), stringCodec{})
	require.NoError(t, err)
	hashedDurable, err := NewDurable[string](hashedStore{newStore()}, stringCodec{})
	require.NoError(t, err)
	for machine, expected := range map[any]bool{plain: false, hashed: true, plainDurable: false, hashedDurable: true} {
		_, is := machine.(raft.StateHasher)
		require.Equal(t, expected, is, "%T", machine)
	}
}

// durableJournal is durable by itself, and knows nothing of sessions.
type durableJournal struct{ journal }

func (*durableJournal) LastApplied() raft.Index { return 0 }

// Sessions that are lost where the data is not would apply repeats again.
func TestNewRefusesWhatIsDurableByItself(t *testing.T) {
	_, err := New[string](&durableJournal{}, stringCodec{})
	var config *raft.ConfigError
	require.ErrorAs(t, err, &config)
	require.ErrorContains(t, err, "NewDurable")
}

// The hash covers the state machine and everything in the table, and does not
// depend on how a replica came to it.
func TestStateHash(t *testing.T) {
	newPair := func(t *testing.T) (raft.StateMachine[Result[string]], *table) {
		m, err := New[string](&hashedJournal{}, stringCodec{})
		require.NoError(t, err)
		return m, m.(*hashedMachine[string]).table
	}
	hash := func(m any) uint64 {
		h, err := m.(raft.StateHasher).StateHash()
		require.NoError(t, err)
		return h
	}
	a, b := ID{Index: 1, Nonce: 7}, ID{Index: 2, Nonce: 7}
	entries := entriesFrom(1, open(7, Limits{}), open(7, Limits{}), cmd(b, 1, 1, "x"), cmd(a, 1, 1, "y"), at(kindKeepAlive, b, 1, 5))
	m, table := newPair(t)
	other, _ := newPair(t)
	seen := map[uint64]raft.Index{}
	for i := range entries {
		require.NoError(t, m.Apply(entries[i:i+1], make([]Result[string], 1)))
		h := hash(m)
		require.NotContains(t, seen, h, "every entry changes the state")
		seen[h] = entries[i].Index
	}
	require.NoError(t, other.Apply(entries, make([]Result[string], len(entries))))
	require.Equal(t, hash(m), hash(other), "batches")

	restored, _ := newPair(t)
	s, err := m.Snapshot()
	require.NoError(t, err)
	require.NoError(t, restored.Restore(bytes.NewReader(written(t, s))))
	require.Equal(t, hash(m), hash(restored), "by way of a snapshot")

	durable, err := newDurable[string](hashedStore{newStore()}, stringCodec{})
	require.NoError(t, err)
	require.NoError(t, durable.Apply(entries, make([]Result[string], len(entries))))
	reopened, err := NewDurable[string](durable.inner, stringCodec{})
	require.NoError(t, err)
	require.Equal(t, hash(&hashedDurableMachine[string]{durable, hashedStore{newStore()}}), hash(&hashedDurableMachine[string]{reopened.(*hashedDurableMachine[string]).DurableMachine, hashedStore{newStore()}}), "after a restart")
	require.NotEqual(t, hash(&hashedDurableMachine[string]{durable, hashedStore{newStore()}}), hash(reopened), "the state machine's part")

	for name, spoil := range map[string]func(s *session){
		"result":       func(s *session) { s.results[0].data = []byte("z") },
		"dropped":      func(s *session) { s.results[0].dropped = true },
		"acknowledged": func(s *session) { s.acknowledged++ },
		"used":         func(s *session) { s.used-- },
		"nonce":        func(s *session) { s.id.Nonce++ },
	} {
		slot := table.places[b.Index]
		before, right := hash(m), *table.at(slot)
		right.results = append([]kept(nil), right.results...)
		spoil(table.at(slot))
		require.NotEqual(t, before, hash(m), name)
		table.put(slot, &right)
		require.Equal(t, before, hash(m), name)
	}

	failing, err := New[string](&hashedJournal{hashError: errors.New("disk")}, stringCodec{})
	require.NoError(t, err)
	_, err = failing.(raft.StateHasher).StateHash()
	require.ErrorContains(t, err, "disk")
}

// A replica whose sessions alone are wrong, though its service's data is right,
// is found and stops (raft.Config.CompareStateEvery): it would take a repeat for
// a new command one day.
func TestDivergedSessionsAreFound(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		network := inmem.NewNetwork(inmem.Options{})
		defer network.Close()
		members := []raft.Member{{ID: 1, Address: "1"}, {ID: 2, Address: "2"}, {ID: 3, Address: "3"}}
		nodes := make([]*raft.Node[Result[string]], 3)
		forgetful := &forgetfulMachine{}
		for i := range nodes {
			machine, err := New[string](&hashedJournal{}, stringCodec{})
			require.NoError(t, err)
			if i == 2 {
				forgetful.hashedMachine = machine.(*hashedMachine[string])
				machine = forgetful
			}
			transport := network.Transport(members[i].ID)
			nodes[i], err = raft.Start(raft.Config{
				ID: members[i].ID, Storage: memory.New(), Transport: transport, Bootstrap: members, CompareStateEvery: 10,
			}, machine)
			require.NoError(t, err)
			defer transport.Close()
			defer nodes[i].Close(context.WithoutCancel(ctx))
		}
		c, err := Open[string](ctx, Options{}, nodes[0], nodes[1])
		require.NoError(t, err)
		propose := func(n int) {
			for range n {
				_, err := c.Propose(ctx, []byte("a"))
				require.NoError(t, err)
			}
			bubble.Sleep(time.Second) // for the comparison
		}
		propose(30)
		for _, n := range nodes {
			require.NoError(t, n.Err())
		}
		forgetful.forget()
		propose(30)
		require.NoError(t, nodes[0].Err())
		require.NoError(t, nodes[1].Err())
		require.ErrorIs(t, nodes[2].Err(), raft.ErrDiverged)
	})
}

// forgetfulMachine forgets the results of a session when it is told to.
type forgetfulMachine struct {
	*hashedMachine[string]
	mu        sync.Mutex
	forgetful bool
}

func (m *forgetfulMachine) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetful = true
}

func (m *forgetfulMachine) Apply(entries []raft.Entry, results []Result[string]) error {
	err := m.hashedMachine.Apply(entries, results)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.forgetful {
		for s := range m.table.byUse() {
			s.drop(maxNumber)
		}
	}
	return err
}

package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
)

var _ raft.DurableStateMachine[Result[int]] = (*DurableMachine[int])(nil)

// store is a state machine that is durable by itself: what it holds survives a
// crash, as of the transaction that was synced last.
type store struct {
	data   storeData
	synced storeData
	crash  bool // the next Apply crashes before it commits
	extra  int  // calls of update, beyond one
}

type storeData struct {
	Applied []string
	Records map[uint64][]byte
	Through raft.Index
}

func (d storeData) clone() storeData {
	d.Applied = append([]string(nil), d.Applied...)
	d.Records = maps.Clone(d.Records)
	return d
}

var errCrash = errors.New("crash")

func newStore() *store { return &store{data: storeData{Records: map[uint64][]byte{}}} }

func (s *store) Apply(entries []raft.Entry, results []string, update func() Update) error {
	next := s.data.clone()
	for i, e := range entries {
		next.Applied = append(next.Applied, string(e.Data))
		results[i] = fmt.Sprintf("%d:%s", len(next.Applied), e.Data)
	}
	for range s.extra {
		update()
	}
	u := update()
	for _, c := range u.Changes {
		if c.Value == nil {
			delete(next.Records, c.Key)
		} else {
			next.Records[c.Key] = c.Value
		}
	}
	next.Through = u.Through
	if s.crash {
		return errCrash
	}
	s.data = next
	return nil
}

func (s *store) sync() { s.synced = s.data.clone() }

func (s *store) LastApplied() raft.Index { return s.data.Through }

func (s *store) Records(yield func(key uint64, value []byte) error) error {
	for k, v := range s.data.Records {
		if err := yield(k, v); err != nil {
			return err
		}
	}
	return nil
}

// captured can be written more than once.
type captured []byte

func (c captured) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(c)
	return int64(n), err
}

func (s *store) Snapshot() (io.WriterTo, error) {
	b, err := json.Marshal(s.data)
	return captured(b), err
}

func (s *store) Restore(r io.Reader) error {
	var d storeData
	if err := json.NewDecoder(r).Decode(&d); err != nil {
		return err
	}
	s.data = d
	return nil
}

// durableReplica is a DurableMachine over a store, which crashes now and then,
// and the log that is replayed.
type durableReplica struct {
	t       testing.TB
	machine *DurableMachine[string]
	store   *store
	log     []raft.Entry
}

func newDurableReplica(t testing.TB) *durableReplica {
	r := &durableReplica{t: t, store: newStore()}
	r.store.sync()
	r.start()
	return r
}

func (r *durableReplica) start() {
	r.t.Helper()
	machine, err := newDurable[string](r.store, stringCodec{})
	require.NoError(r.t, err)
	r.machine = machine
}

// restart loses what was not synced, and applies the log again from there on,
// as raft does for a state machine with a LastApplied.
func (r *durableReplica) restart() {
	r.t.Helper()
	r.store = &store{data: r.store.synced.clone(), synced: r.store.synced}
	r.start()
	for _, e := range r.log {
		if e.Index > r.machine.LastApplied() {
			require.NoError(r.t, r.machine.Apply([]raft.Entry{e}, make([]Result[string], 1)))
		}
	}
}

// apply applies a batch, crashing before, in or after it, or not.
func (r *durableReplica) apply(random *rand.Rand, batch []raft.Entry) []Result[string] {
	r.t.Helper()
	if random.IntN(3) == 0 {
		r.store.sync()
	}
	results := make([]Result[string], len(batch))
	switch random.IntN(6) {
	case 0:
		r.store.crash = true
		require.ErrorIs(r.t, r.machine.Apply(batch, results), errCrash)
		r.restart()
	case 1:
		r.restart()
	case 2:
		s := snapshotOf(r.t, r.machine)
		r.store = newStore()
		r.start()
		require.NoError(r.t, r.machine.Restore(bytes.NewReader(s)))
		r.store.sync()
	}
	require.NoError(r.t, r.machine.Apply(batch, results))
	r.log = append(r.log, batch...)
	require.Equal(r.t, batch[len(batch)-1].Index, r.machine.LastApplied())
	return results
}

// memory returns the records of the table in memory, stored those in the store.
func (r *durableReplica) memory() map[uint64][]byte {
	records := map[uint64][]byte{uint64(headKey): r.machine.table.head()}
	for s := range r.machine.table.capture() {
		records[uint64(s.id.Index)] = s.append(nil)
	}
	return records
}

func (r *durableReplica) stored() map[uint64][]byte { return r.store.data.Records }

// A crash between the service's changes and its sessions would apply a repeat
// twice, or lose it: there is none.
func TestDurableRepeatAfterCrash(t *testing.T) {
	r := newDurableReplica(t)
	id := ID{Index: 1, Nonce: 7}
	entries := entriesFrom(1, open(7, Limits{}), cmd(id, 1, 1, "a"), cmd(id, 1, 1, "a"), cmd(id, 1, 2, "b"))
	apply := func(entries ...raft.Entry) []Result[string] {
		results := make([]Result[string], len(entries))
		require.NoError(t, r.machine.Apply(entries, results))
		r.log = append(r.log, entries...)
		return results
	}
	apply(entries[:2]...)
	r.store.sync()
	r.restart()
	require.Equal(t, raft.Index(2), r.machine.LastApplied())
	require.Equal(t, []Result[string]{applied("1:a")}, apply(entries[2]))
	apply(entries[3])
	r.restart() // the last two entries were not synced
	require.Equal(t, []string{"a", "b"}, r.store.data.Applied)
}

// An entry that reaches no service is not applied again either.
func TestDurableStoresWhatConcernsSessionsOnly(t *testing.T) {
	r := newDurableReplica(t)
	require.NoError(t, r.machine.Apply(nil, nil))
	require.NoError(t, r.machine.Apply(entriesFrom(5, open(7, Limits{})), make([]Result[string], 1)))
	require.Equal(t, raft.Index(5), r.machine.LastApplied())
	require.Len(t, r.stored(), 2)
	require.NoError(t, r.machine.Apply(entriesFrom(6, at(kindClose, ID{5, 7}, 1, 0)), make([]Result[string], 1)))
	require.Equal(t, raft.Index(6), r.machine.LastApplied())
	require.Len(t, r.stored(), 1)
}

func TestDurableMustCallUpdateOnce(t *testing.T) {
	r := newDurableReplica(t)
	r.store.extra = 1
	require.ErrorIs(t, r.machine.Apply(entriesFrom(1, Plain(nil)), make([]Result[string], 1)), errNoUpdate)
	m, err := NewDurable[string](forgetful{newStore()}, stringCodec{})
	require.NoError(t, err)
	require.ErrorIs(t, m.Apply(entriesFrom(1, Plain(nil)), make([]Result[string], 1)), errNoUpdate)
}

type forgetful struct{ *store }

func (forgetful) Apply([]raft.Entry, []string, func() Update) error { return nil }

func TestDurableRefusesCorruptRecords(t *testing.T) {
	r := newDurableReplica(t)
	results := make([]Result[string], 2)
	require.NoError(t, r.machine.Apply(entriesFrom(1, open(7, Limits{}), cmd(ID{1, 7}, 1, 1, "a")), results))
	head, record := uint64(headKey), uint64(1)
	for name, spoil := range map[string]func(records map[uint64][]byte){
		"head cut":       func(m map[uint64][]byte) { m[head] = m[head][:2] },
		"head lost":      func(m map[uint64][]byte) { delete(m, head) },
		"record cut":     func(m map[uint64][]byte) { m[record] = m[record][:10] },
		"record doubled": func(m map[uint64][]byte) { m[2] = m[record] },
		"strange key":    func(m map[uint64][]byte) { m[99] = m[record] },
	} {
		s := &store{data: r.store.data.clone()}
		spoil(s.data.Records)
		_, err := NewDurable[string](s, stringCodec{})
		require.ErrorIs(t, err, ErrCorrupt, name)
	}
	require.ErrorContains(t, r.machine.Restore(bytes.NewReader([]byte("no JSON"))), "invalid")
}

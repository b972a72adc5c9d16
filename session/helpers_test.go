package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
)

// journal is a state machine: the list of the payloads applied. A result is the
// payload behind its position, counted from 1.
type journal struct {
	mu      sync.Mutex
	applied []string
	batches int
}

func (j *journal) Apply(entries []raft.Entry, results []string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.batches++
	for i, e := range entries {
		if results[i] != "" || e.Checksum != 0 {
			return errors.New("an entry with a result, or with a checksum of something else")
		}
		j.applied = append(j.applied, string(e.Data))
		results[i] = fmt.Sprintf("%d:%s", len(j.applied), e.Data)
	}
	return nil
}

func (j *journal) Snapshot() (io.WriterTo, error) {
	b, err := json.Marshal(j.all())
	return bytes.NewBuffer(b), err
}

func (j *journal) Restore(r io.Reader) error {
	var applied []string
	if err := json.NewDecoder(r).Decode(&applied); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.applied = applied
	return nil
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.applied)
}

type stringCodec struct{}

func (stringCodec) Append(b []byte, r string) []byte { return append(b, r...) }

func (stringCodec) Decode(b []byte) (string, error) {
	if string(b) == "undecodable" {
		return "", errors.New("undecodable")
	}
	return string(b), nil
}

// replica is a Machine with the journal that it decorates, and the index of the
// next entry.
type replica struct {
	t testing.TB
	*Machine[string]
	journal *journal
	next    raft.Index
}

func newReplica(t testing.TB) *replica {
	j := &journal{}
	return &replica{t: t, Machine: newMachine[string](j, stringCodec{}), journal: j, next: 1}
}

// apply applies commands in one batch.
func (r *replica) apply(commands ...[]byte) []Result[string] {
	r.t.Helper()
	results := slices.Repeat([]Result[string]{{Value: "stale", Status: 9, Session: ID{9, 9}}}, len(commands))
	require.NoError(r.t, r.Apply(entriesFrom(r.next, commands...), results))
	r.next += raft.Index(len(commands))
	return results
}

func entriesFrom(index raft.Index, commands ...[]byte) []raft.Entry {
	entries := make([]raft.Entry, len(commands))
	for i, c := range commands {
		entries[i] = raft.Entry{Type: raft.EntryCommand, Term: 1, Index: index + raft.Index(i), Data: c, Checksum: 1}
	}
	return entries
}

// one applies one command.
func (r *replica) one(command []byte) Result[string] {
	r.t.Helper()
	return r.apply(command)[0]
}

// open opens a session.
func (r *replica) open(l Limits) ID {
	r.t.Helper()
	result := r.one(open(7, l))
	require.Equal(r.t, OK, result.Status)
	require.Equal(r.t, ID{Index: r.next - 1, Nonce: 7}, result.Session)
	return result.Session
}

func (r *replica) snapshot() []byte {
	r.t.Helper()
	return snapshotOf(r.t, r.Machine)
}

func snapshotOf(t testing.TB, m interface {
	Snapshot() (io.WriterTo, error)
}) []byte {
	t.Helper()
	s, err := m.Snapshot()
	require.NoError(t, err)
	return written(t, s)
}

func written(t testing.TB, s io.WriterTo) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := s.WriteTo(&b)
	require.NoError(t, err)
	require.EqualValues(t, b.Len(), n)
	return b.Bytes()
}

func open(nonce uint64, l Limits) []byte {
	return (&command{kind: kindOpen, id: ID{Nonce: nonce}, limits: l.withDefaults()}).encode()
}

// cmd is a session's command whose client needs all results from acknowledged on.
func cmd(id ID, acknowledged, sequence uint64, payload string) []byte {
	return (&command{kind: kindCommand, id: id, acknowledged: acknowledged, sequence: sequence, payload: []byte(payload)}).encode()
}

// at is a command without a sequence number, so many milliseconds after its
// session was opened.
func at(k kind, id ID, acknowledged, age uint64) []byte {
	return (&command{kind: k, id: id, acknowledged: acknowledged, age: age}).encode()
}

func applied(value string) Result[string]    { return Result[string]{Value: value} }
func answer(s Status) Result[string]         { return Result[string]{Status: s} }
func opened(index raft.Index) Result[string] { return Result[string]{Session: ID{index, 7}} }

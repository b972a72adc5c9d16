package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/seed-6281cb22/raft"
)

// store is the replicated state machine: a map whose values have versions.
// It is what raft.StateMachine asks for, three methods, and nothing in it
// knows that it is replicated.
//
// Raft calls Apply, Snapshot and Restore from one goroutine at a time. The
// mutex is for the readers, who come whenever they like.
type store struct {
	mu    sync.RWMutex
	items map[string]item
}

// item is a value and its version: the log index of the command that wrote
// it. Every replica has the same log, hence the same versions, and no version
// of a key ever comes back, not even after a delete.
type item struct {
	value   string
	version raft.Index
}

// result is what a command means to its proposer.
type result struct {
	version raft.Index // the key's new version
	err     error      // errNotFound, errConflict or errMalformed: nothing was changed
}

var _ raft.StateMachine[result] = (*store)(nil)

func newStore() *store {
	return &store{items: make(map[string]item)}
}

// get reads one key of this replica. It is linearizable after a ReadBarrier,
// and possibly stale without.
func (s *store) get(key string) (item, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	it, ok := s.items[key]
	return it, ok
}

// Apply executes committed commands. It depends on nothing but the entries
// and the state: no clock, no random number, no map order.
func (s *store) Apply(entries []raft.Entry, results []result) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range entries {
		c, err := decodeCommand(e.Data)
		if err != nil {
			// All replicas refuse it alike. An error of Apply itself would
			// stop this one, and after it all others.
			results[i] = result{err: err}
			continue
		}
		results[i] = s.execute(c, e.Index)
	}
	return nil
}

// execute changes the state. The caller holds the mutex.
func (s *store) execute(c command, index raft.Index) result {
	old, found := s.items[c.key]
	current := absent
	if found {
		current = version(old.version)
	}
	if c.expect != anyVersion && c.expect != current {
		return result{err: errConflict}
	}
	if c.op == opPut {
		s.items[c.key] = item{value: c.value, version: index}
		return result{version: index}
	}
	if !found {
		return result{err: errNotFound}
	}
	delete(s.items, c.key)
	return result{version: index}
}

// Snapshot captures the state. Strings are immutable, so a copy of the map is
// a copy of everything, and later commands do not disturb it.
func (s *store) Snapshot() (io.WriterTo, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return snapshot(maps.Clone(s.items)), nil
}

// Restore replaces the state by a snapshot's.
func (s *store) Restore(r io.Reader) error {
	items, err := readSnapshot(r)
	if err != nil {
		return fmt.Errorf("kv: restore: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items = items
	return nil
}

// hash identifies the state: replicas that applied the same commands have the
// same one. It is that of the snapshot's bytes.
func (s *store) hash() string {
	s.mu.RLock()
	state := snapshot(maps.Clone(s.items))
	s.mu.RUnlock()
	h := sha256.New()
	state.WriteTo(h) // a hash takes all that it is given
	return hex.EncodeToString(h.Sum(nil))
}

// size returns the number of keys.
func (s *store) size() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.items)
}

// snapshot is the state at one moment. Its form is
//
//	"kv snapshot 1\n", number of keys (uvarint), and for each, ordered by key:
//	key length (uvarint), key, value length (uvarint), value, version (uvarint)
type snapshot map[string]item

const snapshotHeader = "kv snapshot 1\n"

// WriteTo streams the snapshot. It runs while Apply goes on.
func (s snapshot) WriteTo(w io.Writer) (int64, error) {
	counter := &countingWriter{w: w}
	out := bufio.NewWriterSize(counter, 64<<10)
	var number [binary.MaxVarintLen64]byte
	writeNumber := func(n uint64) { out.Write(binary.AppendUvarint(number[:0], n)) }
	writeString := func(text string) {
		writeNumber(uint64(len(text)))
		out.WriteString(text)
	}

	// A bufio.Writer keeps its first error, and Flush returns it.
	out.WriteString(snapshotHeader)
	writeNumber(uint64(len(s)))
	for _, key := range slices.Sorted(maps.Keys(s)) {
		writeString(key)
		writeString(s[key].value)
		writeNumber(uint64(s[key].version))
	}
	err := out.Flush()
	return counter.n, err
}

// readSnapshot is the reverse of WriteTo. Raft has checked the checksum, so
// what is wrong here is another format; memory still follows what is there,
// not what a length claims.
func readSnapshot(r io.Reader) (map[string]item, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	header := make([]byte, len(snapshotHeader))
	if _, err := io.ReadFull(in, header); err != nil {
		return nil, err
	}
	if string(header) != snapshotHeader {
		return nil, errors.New("not a snapshot of this version of kv")
	}
	count, err := binary.ReadUvarint(in)
	if err != nil {
		return nil, err
	}
	items := make(map[string]item)
	for range count {
		key, err := readString(in, maxKeyBytes)
		if err != nil {
			return nil, err
		}
		value, err := readString(in, maxValueBytes)
		if err != nil {
			return nil, err
		}
		version, err := binary.ReadUvarint(in)
		if err != nil {
			return nil, err
		}
		items[key] = item{value: value, version: raft.Index(version)}
	}
	if _, err := in.ReadByte(); err != io.EOF {
		return nil, errors.New("snapshot has data after its end")
	}
	return items, nil
}

func readString(in *bufio.Reader, limit uint64) (string, error) {
	length, err := binary.ReadUvarint(in)
	if err != nil {
		return "", err
	}
	if length > limit {
		return "", fmt.Errorf("length %d is above the limit of %d", length, limit)
	}
	var text strings.Builder
	if _, err := io.CopyN(&text, in, int64(length)); err != nil {
		return "", io.ErrUnexpectedEOF
	}
	return text.String(), nil
}

// countingWriter counts the bytes that reach w.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

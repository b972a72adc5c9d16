package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
)

// applyAll applies commands to s in one call, as entries first, first+1, ….
func applyAll(t *testing.T, s *store, first raft.Index, commands ...command) []result {
	t.Helper()
	entries := make([]raft.Entry, len(commands))
	for i, c := range commands {
		entries[i] = raft.Entry{Term: 1, Index: first + raft.Index(i), Data: c.encode()}
	}
	results := make([]result, len(entries))
	require.NoError(t, s.Apply(entries, results))
	return results
}

func put(key, value string) command { return command{op: opPut, key: key, value: value} }

func del(key string) command { return command{op: opDelete, key: key} }

func (c command) expecting(e expectation) command {
	c.expect = e
	return c
}

func TestStoreApply(t *testing.T) {
	tests := []struct {
		name     string
		commands []command
		last     result          // of the last command
		state    map[string]item // afterwards
	}{
		{"put", []command{put("a", "1")}, result{version: 1}, map[string]item{"a": {"1", 1}}},
		{"put over", []command{put("a", "1"), put("a", "2")}, result{version: 2}, map[string]item{"a": {"2", 2}}},
		{"put an empty value", []command{put("a", "")}, result{version: 1}, map[string]item{"a": {"", 1}}},
		{"delete", []command{put("a", "1"), put("b", "2"), del("a")}, result{version: 3}, map[string]item{"b": {"2", 2}}},
		{"delete what is not there", []command{del("a")}, result{err: errNotFound}, map[string]item{}},
		{"swap", []command{put("a", "1"), put("a", "2").expecting(version(1))}, result{version: 2}, map[string]item{"a": {"2", 2}}},
		{"swap another version", []command{put("a", "1"), put("a", "2"), put("a", "3").expecting(version(1))},
			result{err: errConflict}, map[string]item{"a": {"2", 2}}},
		{"swap what is not there", []command{put("a", "1").expecting(version(1))}, result{err: errConflict}, map[string]item{}},
		{"create", []command{put("a", "1").expecting(absent)}, result{version: 1}, map[string]item{"a": {"1", 1}}},
		{"create what is there", []command{put("a", "1"), put("a", "2").expecting(absent)}, result{err: errConflict}, map[string]item{"a": {"1", 1}}},
		{"delete a version", []command{put("a", "1"), del("a").expecting(version(1))}, result{version: 2}, map[string]item{}},
		{"delete another version", []command{put("a", "1"), put("a", "2"), del("a").expecting(version(1))},
			result{err: errConflict}, map[string]item{"a": {"2", 2}}},
		{"a deleted version does not come back", []command{put("a", "1"), del("a"), put("a", "1"), put("a", "2").expecting(version(1))},
			result{err: errConflict}, map[string]item{"a": {"1", 3}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newStore()
			results := applyAll(t, s, 1, test.commands...)
			require.Equal(t, test.last, results[len(results)-1])
			require.Equal(t, test.state, s.items)
		})
	}
}

func TestStoreRefusesMalformedCommands(t *testing.T) {
	tests := map[string][]byte{
		"nothing":               nil,
		"only an operation":     {byte(opPut)},
		"no key length":         {byte(opPut), 0},
		"a key that is cut off": {byte(opPut), 0, 5, 'a'},
		"a huge key length":     {byte(opPut), 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"an endless number":     bytes.Repeat([]byte{0xff}, 30),
		"an empty key":          put("", "x").encode(),
		"a long key":            put(strings.Repeat("k", maxKeyBytes+1), "x").encode(),
		"a large value":         put("k", strings.Repeat("v", maxValueBytes+1)).encode(),
		"operation 0":           command{op: 0, key: "k"}.encode(),
		"operation 99":          command{op: 99, key: "k"}.encode(),
		"delete with a value":   command{op: opDelete, key: "k", value: "v"}.encode(),
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			entries := []raft.Entry{{Index: 1, Data: data}, {Index: 2, Data: put("after", "x").encode()}}
			results := make([]result, 2)
			require.NoError(t, s.Apply(entries, results), "a bad command must not stop the replica")
			require.ErrorIs(t, results[0].err, errMalformed)
			require.Equal(t, result{version: 2}, results[1])
			require.Equal(t, map[string]item{"after": {"x", 2}}, s.items)
		})
	}
}

// A store built from a snapshot is the same as the one that was captured, and
// what is applied while the snapshot is written is not in it.
func TestStoreSnapshotRestore(t *testing.T) {
	for _, keys := range []int{0, 1, 1000} {
		t.Run(fmt.Sprint(keys, " keys"), func(t *testing.T) {
			s := newStore()
			for i := range keys {
				applyAll(t, s, raft.Index(i+1), put(fmt.Sprint("key ", i), strings.Repeat("v", i)))
			}
			before := s.hash()
			captured, err := s.Snapshot()
			require.NoError(t, err)
			applyAll(t, s, 5000, put("later", "x"), put("key 0", "overwritten"))

			var data bytes.Buffer
			n, err := captured.WriteTo(&data)
			require.NoError(t, err)
			require.EqualValues(t, data.Len(), n)

			restored := newStore()
			applyAll(t, restored, 1, put("old", "state"))
			require.NoError(t, restored.Restore(bytes.NewReader(data.Bytes())))
			require.Equal(t, before, restored.hash())
			require.NotEqual(t, s.hash(), restored.hash())
			require.Equal(t, keys, restored.size())
		})
	}
}

func TestStoreRestoreRefusesDamage(t *testing.T) {
	s := newStore()
	applyAll(t, s, 1, put("a", "1"), put("b", "22"))
	captured, err := s.Snapshot()
	require.NoError(t, err)
	var data bytes.Buffer
	_, err = captured.WriteTo(&data)
	require.NoError(t, err)

	for n := range data.Len() {
		require.Error(t, newStore().Restore(bytes.NewReader(data.Bytes()[:n])), "cut off at %d", n)
	}
	require.Error(t, newStore().Restore(strings.NewReader(data.String()+"x")), "data after the end")
	require.Error(t, newStore().Restore(strings.NewReader("kv snapshot 2\n")), "another format")

	before := s.hash()
	require.Error(t, s.Restore(bytes.NewReader(data.Bytes()[:data.Len()-1])))
	require.Equal(t, before, s.hash(), "a failed restore changes nothing")
}

// The hash tells apart every difference in state, and nothing else.
func TestStoreHash(t *testing.T) {
	hash := func(commands ...command) string {
		s := newStore()
		applyAll(t, s, 1, commands...)
		return s.hash()
	}
	require.Equal(t, hash(put("a", "1"), put("b", "2")), hash(put("a", "1"), put("b", "2")))
	require.Equal(t, hash(), hash(put("a", "1"), del("a")))
	states := []string{
		hash(), hash(put("a", "1")), hash(put("a", "2")), hash(put("b", "1")), hash(put("a1", "")),
		hash(del("x"), put("a", "1")), // the same value in another version
		hash(put("a", "1"), put("b", "2")), hash(put("b", "2"), put("a", "1")),
	}
	for i, a := range states {
		for j, b := range states[:i] {
			require.NotEqual(t, a, b, "states %d and %d", i, j)
		}
	}
}

func FuzzDecodeCommand(f *testing.F) {
	f.Add(put("key", "value").encode())
	f.Add(del("key").expecting(version(7)).encode())
	f.Add([]byte{byte(opPut), 0, 0xff, 0xff, 1, 'a'})
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodeCommand(data)
		if err != nil {
			require.ErrorIs(t, err, errMalformed)
			return
		}
		again, err := decodeCommand(c.encode())
		require.NoError(t, err)
		require.Equal(t, c, again)
	})
}

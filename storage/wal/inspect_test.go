package wal

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
)

// TestInspectDamage: an inspection shows where frames are missing; and later,
// when the log has been used again, which segments are there for nobody but
// who examines them.
func TestInspectDamage(t *testing.T) {
	dir := t.TempDir()
	log := open(t, dir)
	require.NoError(t, saveOne(log.Storage(1), write(1, 0, entries(1, 1, 1)...)))
	require.NoError(t, saveOne(log.Storage(1), write(1, 0, entries(2, 1, 1)...)))
	require.NoError(t, saveOne(log.Storage(2), write(1, 0, entries(1, 1, 1)...)))
	require.NoError(t, saveOne(log.Storage(2), write(1, 0, entries(2, 1, 1)...)))
	name, number := log.current.name, log.current.number
	require.NoError(t, log.Close())
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	at := bytes.Index(content, entry(2, 1).Data)
	content[at] ^= 1
	require.NoError(t, os.WriteFile(name, content, 0o600))

	found, err := Inspect(dir)
	require.NoError(t, err)
	require.Empty(t, found.Refused)
	require.Len(t, found.Damage, 1)
	s := found.Segments[len(found.Segments)-1]
	require.Equal(t, number, s.Number)
	require.True(t, s.Needed)
	require.Len(t, s.Gaps, 1)
	require.Equal(t, int64(at)/blockSize*blockSize, s.Gaps[0].Offset)
	require.Equal(t, s.Gaps[0].First, s.Gaps[0].Last)
	require.NotEmpty(t, found.Groups[0].Refused)
	require.Empty(t, found.Groups[1].Refused)

	log = open(t, dir)
	for term := raft.Term(2); term < 40; term++ {
		require.NoError(t, saveOne(log.Storage(2), write(term, 0, raft.Entry{Index: 1, Term: term, Data: make([]byte, 8*blockSize)})))
	}
	require.NoError(t, log.Close())
	again, err := Inspect(dir)
	require.NoError(t, err)
	require.Equal(t, found.Damage, again.Damage)
	s = again.Segments[0]
	require.Equal(t, number, s.Number)
	require.False(t, s.Needed)
	require.Len(t, s.Gaps, 1)
	require.True(t, again.Segments[len(again.Segments)-1].Needed)
	require.NotEmpty(t, again.Groups[0].Refused)
	require.Empty(t, again.Groups[1].Refused)
}

package raft

import (
	"bytes"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A received snapshot is checked before it is committed, whatever the
// transport may have checked.
func TestReceivedSnapshotIsChecked(t *testing.T) {
	const data = "a snapshot's data"
	meta := Snapshot{Index: 1, Size: uint64(len(data)), Checksum: crc32.Checksum([]byte(data), castagnoli)}
	var stored bytes.Buffer
	require.NoError(t, copySnapshot(&stored, strings.NewReader(data), &meta))
	require.Equal(t, data, stored.String())
	for _, damaged := range []string{"", data[1:], data + "!", strings.ToUpper(data)} {
		require.Error(t, copySnapshot(new(bytes.Buffer), strings.NewReader(damaged), &meta), "%q", damaged)
	}
}

// What a leader of an earlier term has asked for is not sent, and so many at
// once.
func TestNextSends(t *testing.T) {
	x := &executor{cfg: Config{MaxSnapshotSends: 2}, machine: &typedMachine[int]{}, replica: &replica{core: &Raft{term: 5}}}
	for i, term := range []Term{4, 5, 4, 5, 5} {
		x.sends.waiting = append(x.sends.waiting, SendSnapshot{Message{To: NodeID(i), Term: term}})
	}
	var sent []NodeID
	for _, s := range x.nextSends() {
		sent = append(sent, s.Message.To)
	}
	require.Equal(t, []NodeID{1, 3}, sent)
	require.Empty(t, x.nextSends())
	x.sends.under--
	require.Len(t, x.nextSends(), 1)
}

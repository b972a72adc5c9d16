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

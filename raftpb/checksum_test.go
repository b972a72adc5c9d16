package raftpb_test

import (
	"encoding/binary"
	"testing"

	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

func TestChecksum(t *testing.T) {
	// RFC 3720, B.4: the CRC32C of 32 bytes of zeros.
	require.Equal(t, uint32(0x8a9136aa), raftpb.Checksum(make([]byte, 32)))
}

// No data has the checksum that means none, or damage to it would pass.
func TestChecksumIsNeverNone(t *testing.T) {
	require.Equal(t, uint32(1), raftpb.Checksum(nil))
	// The CRC32C of a 4-byte message is 0 for exactly one message.
	zero := binary.LittleEndian.AppendUint32(nil, 0x9be09bab)
	require.Equal(t, uint32(1), raftpb.Checksum(zero))
	e := raftpb.Entry{Data: zero, Checksum: raftpb.Checksum(zero)}
	require.True(t, e.Intact())
	e.Data = append([]byte{0xaa}, zero[1:]...)
	require.False(t, e.Intact())
}

func TestIntact(t *testing.T) {
	e := raftpb.Entry{Data: []byte("command")}
	require.True(t, e.Intact(), "there is no checksum")
	e.Checksum = raftpb.Checksum(e.Data)
	require.True(t, e.Intact())
	for bit := range 8 * len(e.Data) {
		damaged := []byte("command")
		damaged[bit/8] ^= 1 << (bit % 8)
		other := raftpb.Entry{Data: damaged, Checksum: e.Checksum}
		require.False(t, other.Intact())
	}
	e.Data = nil
	require.False(t, e.Intact())
}

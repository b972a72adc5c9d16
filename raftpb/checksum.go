package raftpb

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum returns what Entry.Checksum is for an entry with this Data: its
// CRC32C, and 1 where that is 0, which means that there is none.
func Checksum(data []byte) uint32 {
	return max(crc32.Checksum(data, castagnoli), 1)
}

// Intact reports whether Data is what Checksum was computed from. An entry
// without a Checksum is intact: who proposed it did not give it one.
func (e *Entry) Intact() bool {
	return e.Checksum == 0 || e.matchesChecksum() // which is not inlined
}

func (e *Entry) matchesChecksum() bool { return e.Checksum == Checksum(e.Data) }

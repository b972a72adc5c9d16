package wal

import (
	"encoding/binary"
	"hash/crc32"
)

// The format on disk, version 1. All numbers are little-endian.
//
// A segment is a file of blocks. Its first two blocks each begin with a copy
// of the same header, so that a single damaged sector does not hide the
// segment. Batches follow, each on a fresh block; a batch is a sequence of
// frames, each aligned to 8 bytes, filled up with zeros to the end of its last
// block. The first frame is the checkpoint. A header is written only when the
// frames that it vouches for are synced.
const (
	blockSize   = 4096
	frameAlign  = 8
	headerBytes = 2 * blockSize // of a segment, two copies
	formatMagic = "RAFTWAL\n"

	formatVersion = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func alignUp[T int | int64](n, to T) T { return (n + to - 1) / to * to }

// segmentHeader:
//
//	 0  magic, 8 bytes           32  first LSN, u64
//	 8  format version, u32      40  durable LSN, u64
//	12  CRC32C of all but it     48  number of the segment before, u32
//	16  number, u32              56  where that one ends, u64
//	24  salt, u64                64  LSN of the last frame there, u64
//	                             72  size of the file, u64
//	                             80  zeros, to 128
//
// Magic, version, CRC and number keep their places in all versions.
type segmentHeader struct {
	version uint32
	number  uint32
	// salt seeds all checksums of the segment's frames, so that neither the
	// stale frames of a recycled file nor bytes that a client has crafted
	// pass for frames.
	salt     uint64
	firstLSN uint64
	// durableLSN: frames up to it were synced before this header was written.
	durableLSN uint64
	// The segment before this one in the chain, and the offset at which it
	// ends: what it holds beyond does not exist. Zero: this is the first.
	prevNumber uint32
	prevEnd    int64
	// prevLSN is that of the last frame there. The numbers up to firstLSN
	// are missing if a segment that held nothing of lasting use has been left
	// out.
	prevLSN uint64
	// size is what the file has at least. It is written before it is used, so
	// a shorter one has been cut, and nobody knows what it held.
	size int64
}

const segmentHeaderBytes = 128

func (h *segmentHeader) encode() []byte {
	b := make([]byte, segmentHeaderBytes)
	copy(b, formatMagic)
	binary.LittleEndian.PutUint32(b[8:], h.version)
	binary.LittleEndian.PutUint32(b[16:], h.number)
	binary.LittleEndian.PutUint64(b[24:], h.salt)
	binary.LittleEndian.PutUint64(b[32:], h.firstLSN)
	binary.LittleEndian.PutUint64(b[40:], h.durableLSN)
	binary.LittleEndian.PutUint32(b[48:], h.prevNumber)
	binary.LittleEndian.PutUint64(b[56:], uint64(h.prevEnd))
	binary.LittleEndian.PutUint64(b[64:], h.prevLSN)
	binary.LittleEndian.PutUint64(b[72:], uint64(h.size))
	binary.LittleEndian.PutUint32(b[12:], segmentHeaderCRC(b))
	return b
}

func segmentHeaderCRC(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:12], castagnoli), castagnoli, b[16:segmentHeaderBytes])
}

// decodeSegmentHeader reports whether b begins with a valid header.
func decodeSegmentHeader(b []byte) (segmentHeader, bool) {
	if len(b) < segmentHeaderBytes || string(b[:8]) != formatMagic ||
		binary.LittleEndian.Uint32(b[12:]) != segmentHeaderCRC(b) {
		return segmentHeader{}, false
	}
	return segmentHeader{
		version:    binary.LittleEndian.Uint32(b[8:]),
		number:     binary.LittleEndian.Uint32(b[16:]),
		salt:       binary.LittleEndian.Uint64(b[24:]),
		firstLSN:   binary.LittleEndian.Uint64(b[32:]),
		durableLSN: binary.LittleEndian.Uint64(b[40:]),
		prevNumber: binary.LittleEndian.Uint32(b[48:]),
		prevEnd:    int64(binary.LittleEndian.Uint64(b[56:])),
		prevLSN:    binary.LittleEndian.Uint64(b[64:]),
		size:       int64(binary.LittleEndian.Uint64(b[72:])),
	}, true
}

// frameHeader:
//
//	 0  magic, u32               24  length of the body, u32
//	 4  flags, u32               28  CRC32C of the body, u32
//	 8  LSN, u64                 32  zero, u32
//	16  durable LSN, u64         36  CRC32C of the header so far, u32
//
// The magic differs from segment to segment: it contains half of the salt.
// Both checksums are seeded by the salt.
type frameHeader struct {
	flags      uint32
	lsn        uint64 // log sequence number: 1 for the log's first frame, then ascending by one
	durableLSN uint64 // the highest known to be synced when this was written
	length     uint32
	bodyCRC    uint32
}

const (
	frameHeaderBytes = 40
	frameMagic       = 0x52_46_52_4d

	// flagBatchEnd marks the last frame of a batch: the next one is on the
	// next block.
	flagBatchEnd = 1
)

// salted is what a segment's salt makes of the constants.
type salted struct {
	magic uint32
	seed  uint32
}

func newSalted(salt uint64) salted {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], salt)
	return salted{magic: frameMagic ^ uint32(salt>>32), seed: crc32.Checksum(b[:], castagnoli)}
}

// put writes the header of the frame whose body follows it in b.
func (s salted) put(b []byte, h frameHeader) {
	binary.LittleEndian.PutUint32(b[0:], s.magic)
	binary.LittleEndian.PutUint32(b[4:], h.flags)
	binary.LittleEndian.PutUint64(b[8:], h.lsn)
	binary.LittleEndian.PutUint64(b[16:], h.durableLSN)
	binary.LittleEndian.PutUint32(b[24:], h.length)
	body := b[frameHeaderBytes : frameHeaderBytes+int(h.length)]
	binary.LittleEndian.PutUint32(b[28:], crc32.Update(s.seed, castagnoli, body))
	binary.LittleEndian.PutUint32(b[32:], 0)
	binary.LittleEndian.PutUint32(b[36:], crc32.Update(s.seed, castagnoli, b[:36]))
}

// header reports whether b begins with a valid frame header.
func (s salted) header(b []byte) (frameHeader, bool) {
	if len(b) < frameHeaderBytes || binary.LittleEndian.Uint32(b) != s.magic ||
		binary.LittleEndian.Uint32(b[36:]) != crc32.Update(s.seed, castagnoli, b[:36]) {
		return frameHeader{}, false
	}
	return frameHeader{
		flags:      binary.LittleEndian.Uint32(b[4:]),
		lsn:        binary.LittleEndian.Uint64(b[8:]),
		durableLSN: binary.LittleEndian.Uint64(b[16:]),
		length:     binary.LittleEndian.Uint32(b[24:]),
		bodyCRC:    binary.LittleEndian.Uint32(b[28:]),
	}, true
}

// entryCRC is the checksum of an entry's encoding. It is seeded by the group,
// so that no group's entry passes for another's.
func entryCRC(group uint64, encoded []byte) uint32 {
	seed := uint32((group + 1) * 0x9e3779b97f4a7c15 >> 32)
	return crc32.Update(seed, castagnoli, encoded)
}

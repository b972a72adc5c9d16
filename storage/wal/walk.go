package wal

import (
	"encoding/binary"
	"hash/crc32"
)

// frame is a valid frame of a segment.
type frame struct {
	off  int // of its header
	lsn  uint64
	body []byte
}

// hole is where the next frame should be and no valid one is: the end of the
// segment, a torn write, or damage.
type hole struct {
	off  int
	lsn  uint64 // of the frame that should be there
	next uint64 // LSN of the valid frame that follows, 0: none
}

// walked is what a segment's bytes hold.
type walked struct {
	frames []frame
	holes  []hole // ascending; the last one is the end
	// durableLSN is the highest that any frame states. An intact header
	// suffices, since it has a checksum of its own.
	durableLSN uint64
	// highestLSN is that of any intact frame header, end where its frame
	// ends: what is beyond is blank or of the file's earlier lives.
	highestLSN uint64
	end        int
}

// walk reads the frames in a segment's bytes, beginning with lsn.
func walk(data []byte, s salted, lsn uint64) *walked {
	w := &walked{}
	for off := headerBytes; ; {
		if h, body, next, ok := w.frameAt(data, s, off); ok && h.lsn == lsn {
			w.frames = append(w.frames, frame{off, lsn, body})
			lsn++
			off = next
			continue
		}
		gap := hole{off: off, lsn: lsn}
		off = w.scan(data, s, off+frameAlign, lsn)
		if off >= 0 {
			h, _ := s.header(data[off:])
			gap.next, lsn = h.lsn, h.lsn
		}
		w.holes = append(w.holes, gap)
		if off < 0 {
			return w
		}
	}
}

// frameAt returns the frame at off and where the next one is, if it is valid,
// and takes note of an intact header in any case.
func (w *walked) frameAt(data []byte, s salted, off int) (h frameHeader, body []byte, next int, ok bool) {
	if off < 0 || off > len(data) {
		return h, nil, 0, false
	}
	if h, ok = s.header(data[off:]); !ok {
		return h, nil, 0, false
	}
	start := off + frameHeaderBytes
	w.durableLSN = max(w.durableLSN, h.durableLSN)
	w.highestLSN = max(w.highestLSN, h.lsn)
	w.end = max(w.end, min(len(data), start+int(h.length)))
	if int64(h.length) > int64(len(data)-start) {
		return h, nil, 0, false
	}
	end := start + int(h.length)
	body = data[start:end:end]
	if crc32.Update(s.seed, castagnoli, body) != h.bodyCRC {
		return h, nil, 0, false
	}
	if h.flags&flagBatchEnd != 0 {
		return h, body, alignUp(end, blockSize), true
	}
	return h, body, alignUp(end, frameAlign), true
}

// scan returns the offset of the next valid frame above lsn, or -1.
func (w *walked) scan(data []byte, s salted, off int, lsn uint64) int {
	for ; off+frameHeaderBytes <= len(data); off += frameAlign {
		if binary.LittleEndian.Uint32(data[off:]) != s.magic {
			continue
		}
		if h, _, _, ok := w.frameAt(data, s, off); ok && h.lsn > lsn {
			return off
		}
	}
	return -1
}

package session

import (
	"encoding/binary"
	"time"

	"github.com/seed-6281cb22/raft"
)

// Numbers are varints as of encoding/binary, a nonce is 8 bytes, little
// endian. A byte slice at the end of something has no length of its own.

// maxNumber bounds times, ages and sequence numbers, so that sums of two of
// them do not overflow.
const maxNumber = 1 << 62

// A decoder takes values off the front of b. After bad has become true, what it
// returns means nothing.
type decoder struct {
	b   []byte
	bad bool
}

// number takes a number of at most most.
func (d *decoder) number(most uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > most {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) nonce() uint64 {
	if len(d.b) < 8 {
		d.bad = true
		return 0
	}
	v := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return v
}

// bytes takes n bytes.
func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

// An ID is its index and its nonce.
func appendID(b []byte, id ID) []byte {
	b = binary.AppendUvarint(b, uint64(id.Index))
	return binary.LittleEndian.AppendUint64(b, id.Nonce)
}

func (d *decoder) id() ID {
	index := raft.Index(d.number(uint64(raft.MaxIndex)))
	d.bad = d.bad || index == 0
	return ID{Index: index, Nonce: d.nonce()}
}

// Limits are their fields in order, TTL in milliseconds.
func appendLimits(b []byte, l Limits) []byte {
	b = binary.AppendUvarint(b, uint64(l.MaxSessions))
	b = binary.AppendUvarint(b, uint64(l.MaxInFlight))
	b = binary.AppendUvarint(b, uint64(l.MaxResultBytes))
	return binary.AppendUvarint(b, milliseconds(l.TTL))
}

func (d *decoder) limits() Limits {
	return Limits{
		MaxSessions:    int(d.number(maxSessions)),
		MaxInFlight:    int(d.number(maxInFlight)),
		MaxResultBytes: int(d.number(maxResultBytes)),
		TTL:            time.Duration(d.number(milliseconds(maxTTL))) * time.Millisecond,
	}
}

func milliseconds(d time.Duration) uint64 { return uint64(max(0, d.Milliseconds())) }

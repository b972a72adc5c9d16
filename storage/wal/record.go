package wal

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/seed-6281cb22/raft"
)

// A frame's body is a sequence of records, each about one group:
//
//	0  kind, u8           8  group, u64
//	1  flags, u8         16  LSN of the frame with the group's previous
//	4  length of the         record that was no checkpoint, u64
//	   payload, u32      24  payload
//
// In payloads, numbers are unsigned varints, and raftpb messages are preceded
// by their length. An entry is its length (u32), its CRC32C (u32) and its
// encoding.
const recordHeaderBytes = 24

type recordKind uint8

const (
	// recordSave is a raft.Write: HardState, [Identity,] [Snapshot,] number
	// of entries, entries. They replace the log's suffix from the first on.
	recordSave recordKind = 1
	// recordRelocate has entries that an old segment holds, too: number,
	// entries. It changes nothing but where they are.
	recordRelocate recordKind = 2
	// recordCheckpoint is the state of a group, see group.appendCheckpoint.
	recordCheckpoint recordKind = 3
	// recordCheckpointHead begins a segment: the number of the first segment
	// that is needed, that of this one, and its salt. Its group is zero.
	recordCheckpointHead recordKind = 4
	// recordCompact says that the group's log begins later: first index.
	// Losing it loses nothing.
	recordCompact recordKind = 5
	// recordDamaged has an entry that an old segment holds, and that is
	// damaged: index, term, and the entry as it is there, its length put
	// right. So it pins no segment, and is refused as before.
	recordDamaged recordKind = 6
	// recordLost is part of a checkpoint, see appendDamage. Its group is zero.
	recordLost recordKind = 7
)

const (
	flagIdentity = 1 << iota
	flagSnapshot
)

const entryHeaderBytes = 8

// errFormat: checksums are right and the content is not. Either this library
// is wrong, or someone has written it with intent.
var errFormat = errors.New("malformed record")

// beginRecord appends the header of a record without its length and LSN.
func beginRecord(b []byte, kind recordKind, flags byte, group raft.GroupID) []byte {
	var h [recordHeaderBytes]byte
	h[0], h[1] = byte(kind), flags
	binary.LittleEndian.PutUint64(h[8:], uint64(group))
	return append(b, h[:]...)
}

// endRecord sets the length of the record that begins at start.
func endRecord(b []byte, start int) {
	binary.LittleEndian.PutUint32(b[start+4:], uint32(len(b)-start-recordHeaderBytes))
}

func putPrevLSN(record []byte, lsn uint64) { binary.LittleEndian.PutUint64(record[16:], lsn) }

// appender is a raftpb type.
type appender interface {
	EncodedLen() int
	Append([]byte) []byte
}

func appendMessage(b []byte, m appender) []byte {
	return m.Append(binary.AppendUvarint(b, uint64(m.EncodedLen())))
}

func appendIdentity(b []byte, id raft.Identity) []byte {
	b = binary.AppendUvarint(b, uint64(len(id.Cluster)))
	b = append(b, id.Cluster...)
	return binary.AppendUvarint(b, uint64(id.Node))
}

// location is where an entry is: its segment's number, and within the file.
type location struct {
	segment uint32 // 0: nowhere
	off     uint32
	size    uint32 // with its header
}

// entryMeta is what is kept of an entry in a record.
type entryMeta struct {
	term raft.Term
	off  uint32 // from the start of the buffer that holds the record
	size uint32
}

// encoded is a record and what apply needs to know of it. It is reused.
type encoded struct {
	buf         []byte
	entries     []entryMeta
	memberships []raft.MembershipAt
	hardState   raft.HardState
}

func (e *encoded) reset() {
	if cap(e.buf) > maxRetainedBytes {
		e.buf = nil
	}
	e.buf = e.buf[:0]
	e.entries = e.entries[:0]
	clear(e.memberships)
	e.memberships = e.memberships[:0]
}

// save encodes w as a record.
func (e *encoded) save(group raft.GroupID, w *raft.Write) error {
	flags := byte(0)
	if w.Identity != (raft.Identity{}) {
		flags |= flagIdentity
	}
	if w.Snapshot != nil {
		flags |= flagSnapshot
	}
	b := beginRecord(e.buf, recordSave, flags, group)
	e.hardState = w.HardState // a copy, so that w need not escape to the heap
	b = appendMessage(b, &e.hardState)
	if flags&flagIdentity != 0 {
		b = appendIdentity(b, w.Identity)
	}
	if flags&flagSnapshot != 0 {
		b = appendMessage(b, w.Snapshot)
	}
	b = binary.AppendUvarint(b, uint64(len(w.Entries)))
	for i := range w.Entries {
		entry := &w.Entries[i]
		if entry.Index != w.Entries[0].Index+raft.Index(i) {
			return fmt.Errorf("wal: group %d: entries of a write do not follow each other: %d after %d", group, entry.Index, w.Entries[i-1].Index)
		}
		start := len(b)
		b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
		b = entry.Append(b)
		e.sealEntry(b, start, group, entry.Term)
		if entry.Type == raft.EntryMembership {
			at := raft.MembershipAt{Index: entry.Index}
			if err := at.Membership.Unmarshal(entry.Data); err != nil {
				return fmt.Errorf("wal: group %d: entry %d holds no membership: %w", group, entry.Index, err)
			}
			e.memberships = append(e.memberships, at)
		}
	}
	if len(b) > maxWriteBytes {
		return fmt.Errorf("wal: group %d: a write of %d bytes is larger than %d", group, len(b), maxWriteBytes)
	}
	e.buf = b
	endRecord(e.buf, 0)
	return nil
}

// sealEntry completes the entry whose header is at start and that ends b.
func (e *encoded) sealEntry(b []byte, start int, group raft.GroupID, term raft.Term) {
	body := b[start+entryHeaderBytes:]
	binary.LittleEndian.PutUint32(b[start:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b[start+4:], entryCRC(uint64(group), body))
	e.entries = append(e.entries, entryMeta{term: term, off: uint32(start), size: uint32(len(b) - start)})
}

// openEntry checks the entry that fills b and returns its encoding.
func openEntry(group raft.GroupID, b []byte) ([]byte, error) {
	if len(b) < entryHeaderBytes || int(binary.LittleEndian.Uint32(b)) != len(b)-entryHeaderBytes {
		return nil, errors.New("wrong length of an entry")
	}
	body := b[entryHeaderBytes:]
	if binary.LittleEndian.Uint32(b[4:]) != entryCRC(uint64(group), body) {
		return nil, errors.New("wrong checksum of an entry")
	}
	return body, nil
}

// decoder takes values from the front of a payload. After a failure all that
// it returns is zero.
type decoder struct {
	buf []byte
	pos int
	err error
}

func (d *decoder) fail() { d.err, d.pos = errFormat, len(d.buf) }

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.buf[d.pos:])
	if n <= 0 {
		d.fail()
		return 0
	}
	d.pos += n
	return v
}

// count is a number of things that take at least size bytes each.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64((len(d.buf)-d.pos)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) bytes(n int) []byte {
	if n < 0 || n > len(d.buf)-d.pos {
		d.fail()
		return nil
	}
	d.pos += n
	return d.buf[d.pos-n : d.pos : d.pos]
}

func (d *decoder) message(m interface{ Unmarshal([]byte) error }) {
	b := d.bytes(d.count(1))
	if d.err == nil {
		if err := m.Unmarshal(b); err != nil {
			d.err = fmt.Errorf("%w: %w", errFormat, err)
		}
	}
}

func (d *decoder) identity() raft.Identity {
	return raft.Identity{Cluster: string(d.bytes(d.count(1))), Node: raft.NodeID(d.uvarint())}
}

// record is a decoded record header with its payload.
type record struct {
	kind    recordKind
	flags   byte
	group   raft.GroupID
	prevLSN uint64
	bytes   []byte // the whole record
	off     int    // of it in the frame's body
}

// records splits a frame's body.
func records(body []byte) ([]record, error) {
	var all []record
	for off := 0; off < len(body); {
		if len(body)-off < recordHeaderBytes {
			return nil, errFormat
		}
		h := body[off:]
		length := uint64(binary.LittleEndian.Uint32(h[4:]))
		if length > uint64(len(h)-recordHeaderBytes) {
			return nil, errFormat
		}
		all = append(all, record{
			kind:    recordKind(h[0]),
			flags:   h[1],
			group:   raft.GroupID(binary.LittleEndian.Uint64(h[8:])),
			prevLSN: binary.LittleEndian.Uint64(h[16:]),
			bytes:   h[:recordHeaderBytes+int(length)],
			off:     off,
		})
		off += recordHeaderBytes + int(length)
	}
	return all, nil
}

// decode fills o, and into with the entries, from a save, relocate or compact
// record. Offsets of entries count from the record's start.
func (r *record) decode(o *op, into *encoded) error {
	d := decoder{buf: r.bytes, pos: recordHeaderBytes}
	o.kind = r.kind
	if r.kind == recordCompact {
		if o.first = raft.Index(d.uvarint()); o.first == 0 {
			d.fail()
		}
		return d.err
	}
	if r.kind == recordDamaged {
		return r.decodeDamaged(&d, o, into)
	}
	if r.kind == recordSave {
		d.message(&o.hardState)
		if r.flags&flagIdentity != 0 {
			o.identity = d.identity()
		}
		if r.flags&flagSnapshot != 0 {
			o.snapshot = &raft.Snapshot{}
			d.message(o.snapshot)
			if o.snapshot.Index > raft.MaxIndex {
				d.fail()
			}
		}
	}
	n := d.count(entryHeaderBytes)
	for i := 0; i < n && d.err == nil; i++ {
		start := d.pos
		size := d.bytes(4)
		if d.err != nil {
			break
		}
		d.bytes(4 + int(binary.LittleEndian.Uint32(size)))
		if d.err != nil {
			break
		}
		if err := into.decodeEntry(r, o, i, start, d.pos); err != nil {
			return err
		}
	}
	return d.err
}

func (r *record) decodeDamaged(d *decoder, o *op, into *encoded) error {
	o.first = raft.Index(d.uvarint())
	term := raft.Term(d.uvarint())
	if len(d.buf)-d.pos < entryHeaderBytes {
		d.fail()
	}
	into.entries = append(into.entries, entryMeta{term: term, off: uint32(d.pos), size: uint32(len(d.buf) - d.pos)})
	return d.err
}

func (e *encoded) decodeEntry(r *record, o *op, i, start, end int) error {
	body, err := openEntry(r.group, r.bytes[start:end])
	if err != nil {
		return err
	}
	var entry raft.Entry
	if err := entry.Unmarshal(body); err != nil {
		return err
	}
	if i == 0 {
		o.first = entry.Index
	}
	if entry.Index != o.first+raft.Index(i) || entry.Index == 0 || entry.Index > raft.MaxIndex {
		return errFormat
	}
	if entry.Type == raft.EntryMembership && r.kind == recordSave {
		at := raft.MembershipAt{Index: entry.Index}
		if err := at.Membership.Unmarshal(entry.Data); err != nil {
			return err
		}
		e.memberships = append(e.memberships, at)
	}
	e.entries = append(e.entries, entryMeta{term: entry.Term, off: uint32(start), size: uint32(end - start)})
	return nil
}

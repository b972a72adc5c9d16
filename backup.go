package raft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"unicode/utf8"
)

// Backup says what a backup holds, which ExportSnapshot has written.
type Backup struct {
	// Cluster and Group are those that it was taken from.
	Cluster string
	Group   GroupID
	// Snapshot is the index and term up to which it holds all commands, the
	// membership there, and the size and checksum of the data.
	Snapshot Snapshot
}

// A backup begins with a header, little endian, after which the data follows to
// its end:
//
//	 0  magic, 8 bytes            16  group, u64
//	 8  format version, u32       24  length of the cluster's name, u8, and the name
//	12  length of what follows    ..  the encoded Snapshot
//	    up to the checksum, u32   ..  CRC32C of all before, u32
//
// The checksum of the data is in the Snapshot.
const (
	backupMagic       = "RAFTBKUP"
	backupVersion     = 1
	backupPrefixBytes = 16
	// maxBackupHeader bounds what a wrong length makes a reader hold: more
	// than a membership of maxMembers takes.
	maxBackupHeader = 16 << 20
)

func (b *Backup) header() []byte {
	body := binary.LittleEndian.AppendUint64(nil, uint64(b.Group))
	body = append(body, byte(len(b.Cluster)))
	body = append(body, b.Cluster...)
	body = b.Snapshot.Append(body)

	h := append([]byte(nil), backupMagic...)
	h = binary.LittleEndian.AppendUint32(h, backupVersion)
	h = binary.LittleEndian.AppendUint32(h, uint32(len(body)))
	h = append(h, body...)
	return binary.LittleEndian.AppendUint32(h, crc32.Checksum(h, castagnoli))
}

// BackupError says that what was to be imported is no backup, a damaged one, a
// part of one, or one of a format that this version does not know.
type BackupError struct {
	Reason string
}

func (e *BackupError) Error() string { return "raft: not a usable backup: " + e.Reason }

func badBackup(format string, args ...any) error {
	return &BackupError{fmt.Sprintf(format, args...)}
}

// readBackup reads a backup's header.
func readBackup(r io.Reader) (b Backup, header []byte, err error) {
	prefix, err := readExactly(r, backupPrefixBytes)
	if err != nil {
		return b, nil, err
	}
	if string(prefix[:8]) != backupMagic {
		return b, nil, badBackup("it does not begin with %q", backupMagic)
	}
	version, length := binary.LittleEndian.Uint32(prefix[8:]), binary.LittleEndian.Uint32(prefix[12:])
	if version != backupVersion {
		return b, nil, badBackup("its format has version %d, and this library reads version %d", version, backupVersion)
	}
	if length > maxBackupHeader {
		return b, nil, badBackup("its header is damaged")
	}
	rest, err := readExactly(r, int64(length)+4)
	if err != nil {
		return b, nil, err
	}
	header = append(prefix, rest...)
	sum := len(header) - 4
	if crc32.Checksum(header[:sum], castagnoli) != binary.LittleEndian.Uint32(header[sum:]) {
		return b, nil, badBackup("its header is damaged")
	}
	return b, header, b.parse(header[backupPrefixBytes:sum])
}

// parse takes a header whose checksum is right apart, since anybody can write
// one.
func (b *Backup) parse(body []byte) error {
	const fixed = 9
	if len(body) < fixed || len(body) < fixed+int(body[8]) {
		return badBackup("its header is cut short")
	}
	b.Group = GroupID(binary.LittleEndian.Uint64(body))
	end := fixed + int(body[8])
	name, snapshot := body[fixed:end], body[end:]
	b.Cluster = string(name)
	s := &b.Snapshot
	if err := s.Unmarshal(snapshot); err != nil {
		return badBackup("%v", err)
	}
	switch {
	case len(name) > maxClusterBytes || !utf8.Valid(name):
		return badBackup("it is of a cluster with an impossible name")
	case s.Index == 0 || s.Index > MaxIndex || s.Term == 0 || s.Term > MaxTerm:
		return badBackup("it ends at entry %d of term %d", s.Index, s.Term)
	}
	return nil
}

// readExactly reads n bytes, and holds no more than there are.
func readExactly(r io.Reader, n int64) ([]byte, error) {
	var b bytes.Buffer
	switch read, err := io.Copy(&b, io.LimitReader(r, n)); {
	case err != nil:
		return nil, fmt.Errorf("raft: read a backup: %w", err)
	case read < n:
		return nil, badBackup("it is cut short")
	}
	return b.Bytes(), nil
}

// ErrNotEmpty: a backup is imported into empty storage only.
var ErrNotEmpty = errors.New("raft: the storage is not empty")

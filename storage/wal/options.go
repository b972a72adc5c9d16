package wal

import (
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/seed-6281cb22/raft/internal/vfs"
	"github.com/seed-6281cb22/raft/internal/vfs/drive"
)

// Options configure a log. The zero value is a good choice.
type Options struct {
	// SegmentBytes is the size of a segment file, a multiple of 4096 between
	// 32 KiB and 1 GiB. Zero means 8 MiB: large enough that the two extra
	// syncs of a new segment are lost among up to 2048 batches, small enough
	// to be read at once by Open, two at a time, and to be prepared in a few
	// milliseconds. An empty log takes five segments; up to 16 that are free
	// stay, to be used again. With many groups choose at least 2 KiB
	// per group, since each segment states them all. It may differ from one
	// Open to the next.
	SegmentBytes int64

	// CacheBytes bounds the memory for the newest entries of all groups
	// together, so that reading them takes no disk: those of a follower that
	// is somewhat behind, or of a state machine that is. Zero means 16 MiB, a
	// negative value that nothing is kept; from 64 KiB on. The memory is taken
	// as it is filled. What is there is checked as if it came from the disk,
	// but damage on the disk to an entry that is also in memory shows only
	// later: when the entry is moved, or by Open.
	CacheBytes int

	// Logger hears of recoveries, damage and failures. Nil is silent.
	Logger *zap.Logger

	// Progress, if not nil, is called by Open, after each segment that it has
	// read: so many bytes of so many. A gigabyte takes some seconds.
	Progress func(done, total int64)

	// FS is for tests and simulation within this module. Nil means the
	// operating system's.
	FS vfs.FS

	// Manual is for simulation within this module: no goroutine is started,
	// and syncing is up to the caller.
	Manual *drive.Writer
}

const (
	defaultSegmentBytes = 8 << 20
	minSegmentBytes     = 32 << 10
	maxSegmentBytes     = 1 << 30

	defaultCacheBytes = 16 << 20
	minCacheBytes     = 64 << 10
)

func (o Options) withDefaults() (Options, error) {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	if o.SegmentBytes < minSegmentBytes || o.SegmentBytes > maxSegmentBytes || o.SegmentBytes%blockSize != 0 {
		return o, fmt.Errorf("wal: Options.SegmentBytes: %d is not a multiple of %d between %d and %d",
			o.SegmentBytes, blockSize, minSegmentBytes, maxSegmentBytes)
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCacheBytes
	}
	if o.CacheBytes > 0 && o.CacheBytes < minCacheBytes {
		return o, fmt.Errorf("wal: Options.CacheBytes: %d is less than %d", o.CacheBytes, minCacheBytes)
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	if o.Manual != nil && o.Manual.Random == nil {
		return o, errors.New("wal: Options.Manual: Random is nil")
	}
	return o, nil
}

// LockedError says that another process, or another Log of this one, has the
// directory open.
type LockedError struct {
	Dir string
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("wal: directory %s is in use by another process", e.Dir)
}

// VersionError says that a file was written by a newer version of this
// library, in a format that this one does not know.
type VersionError struct {
	File      string
	Version   uint32 // of the file
	Supported uint32 // the newest that is known here
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("wal: %s has format version %d, and this version of the library knows only those up to %d",
		e.File, e.Version, e.Supported)
}

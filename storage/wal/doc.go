// Package wal is a write-ahead log for all replication groups of a process:
// one file is written and synced for all of them, so that groups share their
// disk syncs.
//
//	log, err := wal.Open("/var/lib/service/raft", wal.Options{})
//	…
//	defer log.Close()
//	storage := log.Storage(group) // a raft.Storage
//
// # How it works
//
// The log is a chain of segments, files of equal size that are written before
// they are used, since an overwrite of existing blocks syncs 1.5 to 1.8 times
// faster than a growing file. What has been saved while the last sync was
// under way is written and synced together, as one batch: group commit without
// a timer. A batch starts on a fresh block, so bytes that were acknowledged
// are never written again. It consists of frames; a frame holds the records of
// several groups and is there after a crash entirely or not at all.
//
// Each segment begins with a checkpoint: the state of every group but for the
// entries themselves. It names the first segment that is still needed. What
// only a few entries of idle groups keep needed is written again into the
// newest segment, so disk use stays within about three times the live entries
// plus some segments.
//
// The newest entries of all groups are kept in memory, too, within
// Options.CacheBytes.
//
// # Damage
//
// A write that was never acknowledged may be torn by a crash; it is cut.
// Damage to anything acknowledged is refused with a *raft.CorruptError by the
// Load of every group that it may concern, by this Open and by every later
// one; the other groups go on, and the segments with what is left of the lost
// ones stay as they are until someone removes them. A damaged log takes no new
// group, since the damage may have been all of it.
//
// Torn and damaged are told apart by a number in each frame, the highest that
// was known to be durable when it was written. The limit: a damaged last batch,
// before any later frame states that it was durable, looks like a torn write.
// The writer appends such a frame, or begins a segment, after a tenth of a
// second without work, and Close syncs it. A segment under another name is refused by Open, and so is a
// missing one that a later one follows; that the newest one has been deleted,
// or replaced by what it once held, or has lost both its header and its
// checkpoint, shows only in a commit index above the log's end.
//
// A failed write or sync, a full disk included, ends the log for good: all
// later writes fail, since after a failed sync nobody knows what is on disk.
//
// The files are described in docs/wal-format.md. Inspect reads them without
// changing anything, and so does the command raftctl.
package wal

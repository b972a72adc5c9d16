package wal

import "github.com/seed-6281cb22/raft"

// What can still be done. A member must not begin anew under its old name with
// less than it has acknowledged: it could vote twice in a term.
const (
	logRemedy = "nothing has been changed; restore the file from a copy of the disk, or replace the members that are kept here " +
		"by new ones, with other ids and in another directory, to which their peers send all they have"
	groupRemedy = "other groups go on; replace the member by a new one, with another id, to which its peers send all they have, " +
		"and keep the directory until then"
)

// corruptLog is what Open returns of damage that may concern every group.
func corruptLog(file string, off int64, reason string) *raft.CorruptError {
	return &raft.CorruptError{File: file, Offset: off, Reason: reason, Remedy: logRemedy}
}

// corruptGroups is damage that concerns only some groups.
func corruptGroups(file string, off int64, reason string, ranges ...raft.IndexRange) *raft.CorruptError {
	return &raft.CorruptError{File: file, Offset: off, Reason: reason, Ranges: ranges, Remedy: groupRemedy}
}

package mutation

// Of replay, and of damage that it finds.
var walReplay = []Mutation{
	{
		ID: "W82", File: "storage/wal/replay.go", Func: "replay.run",
		Find: "if last { durable = max", Replace: "if i == 0 { durable = max",
		Wrong: "what the header of the last segment says is looked at in the first",
		By:    []*Engine{test("./storage/wal", "TestLoadReturnsWhatWasSaved")},
	},
	{
		ID: "W83", File: "storage/wal/ahead.go", Func: "ahead.read",
		Find: "min(seg.size, end)", Replace: "seg.size+0*end",
		Wrong: "what was cut from a segment counts again when it has a successor",
		By:    []*Engine{test("./storage/wal", "TestRotationAndRecycling")},
	},
	{
		ID: "W84", File: "storage/wal/replay.go", Func: "replay.hole",
		Find: "seg.baseless = seg.baseless || h.lsn == seg.header.firstLSN", Replace: "",
		Wrong: "that a checkpoint is damaged is not noted",
		By:    []*Engine{test("./storage/wal", "TestDamagedCheckpointIsNoBeginning")},
	},
	{
		ID: "W85", File: "storage/wal/replay.go", Func: "replay.checkpoint",
		Find: "case g.lastLSN != stated.lastLSN: return errMissing", Replace: "",
		Wrong: "a checkpoint does not show that a record before it is missing",
		By:    []*Engine{test("./storage/wal", "TestCheckpointShowsThatARecordIsMissing")},
	},
	{
		ID: "W86", File: "storage/wal/replay.go", Func: "replay.checkpoint",
		Find: "g.compact(stated.first-1, r.l.accountFunc)", Replace: "",
		Wrong: "a checkpoint does not make its compactions durable",
		By:    []*Engine{test("./storage/wal", "TestCacheChangesNothing")},
	},
	{
		ID: "W87", File: "storage/wal/replay.go", Func: "replay.checkpoint",
		Find: "g.compact(stated.first-1, r.l.accountFunc) g.provenLSN = f.lsn", Replace: "g.compact(stated.first-1, r.l.accountFunc)",
		Wrong: "a checkpoint does not clear a group of damage before it",
		By:    []*Engine{test("./storage/wal", "TestFormatDocumentAfterDamage")},
	},
	{
		ID: "W88", File: "storage/wal/replay.go", Func: "replay.save",
		Find: "r.carry.add(&r.enc, o)", Replace: "",
		Wrong: "what is not known to be durable is cut, whole as it is (H11)",
		By:    []*Engine{test("./storage/wal", "TestLoadReturnsWhatWasSaved")},
	},
	{
		ID: "W89", File: "storage/wal/replay.go", Func: "replay.save",
		Find: "r.seen[g] = f.lsn", Replace: "",
		Wrong: "a second record that is not known to be durable counts as out of order",
		By:    []*Engine{test("./storage/wal", "TestCacheChangesNothing")},
	},
	{
		ID: "W90", File: "storage/wal/replay.go", Func: "replay.judge",
		Find: "if at.segment == 0 && !g.lost && g.refused == nil {", Replace: "if at.segment == 0 && g.lost && g.refused == nil {",
		Wrong: "a group loads whose entries are nowhere",
		By:    []*Engine{test("./storage/wal", "TestFormatDocumentOnDamage")},
	},
	{
		ID: "W91", File: "storage/wal/replay.go", Func: "replay.frame",
		Find: "default: err = fmt.Errorf(\"%w: unknown kind %d\", errFormat, rec.kind)", Replace: "default:",
		Wrong: "a record of a kind that is not known counts as nothing",
		By:    []*Engine{test("./storage/wal", "TestUnknownRecordIsDamage")},
	},
	{
		ID: "W92", File: "storage/wal/damage.go", Func: "replay.stated",
		Find: "r.l.damage = append(r.l.damage, e)", Replace: "",
		Wrong: "after earlier damage a group that is not known begins anew",
		By:    []*Engine{test("./storage/wal", "TestScenarioW7")},
	},
	{
		ID: "W93", File: "storage/wal/damage.go", Func: "replay.stated",
		Find: "r.l.group(lost.Group).lose(e, lost)", Replace: "",
		Wrong: "a group that earlier damage has cost begins anew",
		By:    []*Engine{test("./storage/wal", "TestDamagePinsNothing")},
	},
	{
		ID: "W94", File: "storage/wal/damage.go", Func: "replay.stated",
		Find: "i := slices.IndexFunc(r.l.damage, same); i >= 0", Replace: "i := -1; i >= 0 && same(e)",
		Wrong: "the same damage counts again with each checkpoint",
		By:    []*Engine{test("./storage/wal", "TestDamagePinsNothing")},
	},
	{
		ID: "W95", File: "storage/wal/damage.go", Func: "replay.stated",
		Find: "r.l.kept = append(r.l.kept, kept...)", Replace: "_ = kept",
		Wrong: "the next Open frees the damaged segments",
		By:    []*Engine{test("./storage/wal", "TestScenarioW7")},
	},
	{
		ID: "W96", File: "storage/wal/damage.go", Func: "replay.keepDamaged",
		Find: "l.account(at, -1)", Replace: "_ = at",
		Wrong: "a group that is lost pins its segments",
		By:    []*Engine{test("./storage/wal", "TestDamagePinsNothing")},
	},
	{
		ID: "W97", File: "storage/wal/damage.go", Func: "replay.keepDamaged",
		Find: "r.keep(at.segment)", Replace: "",
		Wrong: "what is left of a group that is lost is freed",
		By:    []*Engine{test("./storage/wal", "TestAllOfALostGroupStays")},
	},
	{
		ID: "W98", File: "storage/wal/damage.go", Func: "replay.keepDamaged",
		Find: "return !slices.Contains(names, segmentName(number))", Replace: "return false",
		Wrong: "a damaged segment that was removed is stated for good",
		By:    []*Engine{test("./storage/wal", "TestDamagePinsNothing")},
	},
	{
		ID: "W99", File: "storage/wal/damage.go", Func: "Log.appendDamage",
		Find: "i == 0 || len(e.Ranges) > 0", Replace: "i == 0",
		Wrong: "of two damages the second is forgotten",
		By:    []*Engine{test("./storage/wal", "TestSecondDamage")},
	},
	{
		ID: "W100", File: "storage/wal/ahead.go", Func: "ahead.begin",
		Find: "if i == len(a.chain) || a.manual {", Replace: "if i == len(a.chain) {",
		Wrong: "a simulated log reads its segments in a goroutine, and twice",
		By:    []*Engine{test("./storage/wal", "TestLoadReturnsWhatWasSaved")},
	},
	{
		ID: "W101", File: "storage/wal/ahead.go", Func: "ahead.begin",
		Find: "if i == len(a.chain) || a.manual {", Replace: "if i == len(a.chain) || i > 0 {",
		Wrong: "Open does not read ahead",
		By:    []*Engine{test("./storage/wal", "TestOpenReadsAhead")},
	},
	{
		ID: "W102", File: "storage/wal/ahead.go", Func: "ahead.read",
		Find: "a.buffers[i%2]", Replace: "a.buffers[0]",
		Wrong: "the segment that is replayed is overwritten by the next one",
		By:    []*Engine{test("./storage/wal", "TestReadingAheadTakesOtherMemory")},
	},
	{
		ID: "W103", File: "storage/wal/damage.go", Func: "group.lose",
		Find: "e.Ranges = append(e.Ranges, missing)", Replace: "_ = missing",
		Wrong: "it is not said which groups are lost",
		By:    []*Engine{test("./storage/wal", "TestScenarioW2")},
	},
	{
		ID: "W104", File: "storage/wal/replay.go", Func: "replay.save",
		Find: "r.keep(seg.number)", Replace: "",
		Wrong: "the segment with the last writes of a group that is lost is used again",
		By:    []*Engine{test("./storage/wal", "TestAllOfALostGroupStays")},
	},
}

// Of which files are the log.
var walOpen = []Mutation{
	{
		ID: "W105", File: "storage/wal/open.go", Func: "Log.survey",
		Find: "if err := misnamed(other, newest); err != nil {", Replace: "if err := misnamed(other, newest+1<<30); err != nil {",
		Wrong: "a newest segment that was renamed is recycled",
		By:    []*Engine{test("./storage/wal", "TestMisnamedSegmentsAreRefused")},
	},
	{
		ID: "W106", File: "storage/wal/open.go", Func: "Log.survey",
		Find: "l.highestNumber = max(l.highestNumber, number) seg, _, err", Replace: "_ = number; seg, _, err",
		Wrong: "the number of a spare is given again",
		By:    []*Engine{test("./storage/wal", "TestCacheChangesNothing")},
	},
	{
		ID: "W107", File: "storage/wal/open.go", Func: "Log.link",
		Find: "if last.size < last.header.size {", Replace: "if false {",
		Wrong: "a newest segment that was cut is taken for a shorter log",
		By:    []*Engine{test("./storage/wal", "TestNewestSegmentIsCut")},
	},
	{
		ID: "W108", File: "storage/wal/open.go", Func: "Log.link",
		Find: "if seg == last { return nil, damage }", Replace: "",
		Wrong: "a log of one segment whose checkpoint is damaged is opened as empty",
		By:    []*Engine{test("./storage/wal", "TestDamagedOnlyCheckpointIsRefused")},
	},
	{
		ID: "W109", File: "storage/wal/open.go", Func: "Log.neverExisted",
		Find: "if len(data) < minSegmentBytes {", Replace: "if false {",
		Wrong: "a segment that was cut to nothing never existed",
		By:    []*Engine{test("./storage/wal", "TestNewestSegmentIsCut")},
	},
	{
		ID: "W110", File: "storage/wal/open.go", Func: "Log.openSegment",
		Find: "seg.header.version > formatVersion", Replace: "false",
		Wrong: "a segment in a newer format is read as one in this",
		By:    []*Engine{test("./storage/wal", "TestNewerVersion")},
	},
	{
		ID: "W111", File: "storage/wal/open.go", Func: "Log.openSegment",
		Find: "seg.header.number == number", Replace: "seg.header.number > 0",
		Wrong: "a segment counts under another's name",
		By:    []*Engine{test("./storage/wal", "TestCrashInRecovery")},
	},
	{
		ID: "W112", File: "storage/wal/open.go", Func: "Log.forgetTorn",
		Find: "len(torn) >= maxTorn", Replace: "false",
		Wrong: "torn tails are kept for good",
		By:    []*Engine{test("./storage/wal", "TestTornTailsAreBounded")},
	},
	{
		ID: "W113", File: "storage/wal/open.go", Func: "Log.surveySpare",
		Find: "if size != l.opts.SegmentBytes {", Replace: "if size < 0 {",
		Wrong: "spares of another size are used",
		By:    []*Engine{test("./storage/wal", "TestSegmentSizeMayChange")},
	},
	{
		ID: "W114", File: "storage/wal/open.go", Func: "Log.recover",
		Find: "r.refuseDamagedEntries()", Replace: "",
		Wrong: "a damaged entry that was moved is found only when it is read",
		By:    []*Engine{test("./storage/wal", "TestDamagedEntryPinsNoSegment")},
	},
	{
		ID: "W115", File: "storage/wal/open.go", Func: "Log.recover",
		Find: "g.tail = g.last()", Replace: "_ = g",
		Wrong: "after Open the next write seems to leave a gap",
		By:    []*Engine{test("./storage/wal", "TestCacheChangesNothing")},
	},
}

// Of reading entries and of the cache.
var walReads = []Mutation{
	{
		ID: "W116", File: "storage/wal/read.go", Func: "storage.Entries",
		Find: "if r.taken > maxBytes && r.read > 0 {", Replace: "if r.taken > maxBytes {",
		Wrong: "an entry that is larger than asked for cannot be read",
		By:    []*Engine{test("./storage/wal", "TestEntriesHonoursItsLimits")},
	},
	{
		ID: "W117", File: "storage/wal/read.go", Func: "piece.read",
		Find: "e.Index != p.first+raft.Index(i) || e.Term != p.terms[i]", Replace: "e.Index != p.first+raft.Index(i)",
		Wrong: "an entry of another term is read for the right one",
		By:    []*Engine{test("./storage/wal", "TestEntryOfAnotherTermIsDamage")},
	},
	{
		ID: "W118", File: "storage/wal/read.go", Func: "reader.locate",
		Find: "case l.filesClosed: return nil, raft.ErrClosed", Replace: "",
		Wrong: "a closed log is read",
		By:    []*Engine{test("./storage/wal", "TestCloseWaitsAndThenRefuses")},
	},
	{
		ID: "W119", File: "storage/wal/read.go", Func: "reader.locate",
		Find: "case r.lo < g.first: return nil, raft.ErrCompacted", Replace: "case r.lo < g.first: return nil, nil",
		Wrong: "what was compacted is read as nothing",
		By:    []*Engine{test("./storage/wal", "TestEntriesHonoursItsLimits")},
	},
	{
		ID: "W120", File: "storage/wal/read.go", Func: "reader.locate",
		Find: "at[n].off-end > maxGapBytes", Replace: "at[n].off-end > 1<<30",
		Wrong: "entries that lie far apart are read with all that lies between",
		By:    []*Engine{test("./storage/wal", "TestEntriesReadsLittle")},
	},
	{
		ID: "W121", File: "storage/wal/read.go", Func: "reader.locate",
		Find: "size > maxBytes-r.taken ||", Replace: "",
		Wrong: "as much is read as lies together, however little was asked for",
		By:    []*Engine{test("./storage/wal", "TestEntriesReadsLittle")},
	},
	{
		ID: "W122", File: "storage/wal/walk.go", Func: "walked.frameAt",
		Find: "if crc32.Update(s.seed, castagnoli, body) != h.bodyCRC {", Replace: "if false {",
		Wrong: "a frame's body is not checked",
		By:    []*Engine{test("./storage/wal", "TestDamagedCheckpointConcernsNoGroup")},
	},
	{
		ID: "W123", File: "storage/wal/format.go", Func: "salted.header",
		Find: "binary.LittleEndian.Uint32(b[36:]) != crc32.Update(s.seed, castagnoli, b[:36])", Replace: "false",
		Wrong: "a frame's header is not checked",
		By:    []*Engine{test("./storage/wal", "TestDamagedCheckpointConcernsNoGroup")},
	},
	{
		ID: "W124", File: "storage/wal/format.go", Func: "decodeSegmentHeader",
		Find: "binary.LittleEndian.Uint32(b[12:]) != segmentHeaderCRC(b)", Replace: "false",
		Wrong: "a segment's header is not checked",
		By:    []*Engine{test("./storage/wal", "TestHeaderIsChecked")},
	},
	{
		ID: "W125", File: "storage/wal/format.go", Func: "entryCRC",
		Find: "uint32((group + 1) * 0x9e3779b97f4a7c15 >> 32)", Replace: "uint32(0 * group)",
		Wrong: "an entry passes for another group's",
		By:    []*Engine{test("./storage/wal", "TestFormatDocument")},
	},
	{
		ID: "W126", File: "storage/wal/format.go", Func: "newSalted",
		Find: "magic: frameMagic ^ uint32(salt>>32)", Replace: "magic: frameMagic",
		Wrong: "the magic number is the same in all segments",
		By:    []*Engine{test("./storage/wal", "TestFormatDocument")},
	},
	{
		ID: "W127", File: "storage/wal/record.go", Func: "encoded.decodeEntry",
		Find: "entry.Index != o.first+raft.Index(i) ||", Replace: "",
		Wrong: "entries of a record need not follow each other",
		By:    []*Engine{test("./storage/wal", "TestEntriesOfARecordFollowEachOther")},
	},
	{
		ID: "W128", File: "storage/wal/record.go", Func: "encoded.decodeEntry",
		Find: "entry.Type == raft.EntryMembership && r.kind == recordSave", Replace: "entry.Type == raft.EntryMembership && r.kind == recordDamaged",
		Wrong: "the memberships that entries hold are not found again",
		By:    []*Engine{test("./storage/wal", "TestLoadReturnsWhatWasSaved")},
	},
	{
		ID: "W129", File: "storage/wal/cache.go", Func: "cache.roomy",
		Find: "if oldest := c.chunks[0]; oldest.readers == 0 {", Replace: "if oldest := c.chunks[0]; oldest != nil {",
		Wrong: "the cache's memory is overwritten while it is read",
		By:    []*Engine{test("./storage/wal", "TestCacheReadMeanwhile")},
	},
	{
		ID: "W130", File: "storage/wal/cache.go", Func: "cache.roomy",
		Find: "if len(c.chunks) == c.maxChunks {", Replace: "if false {",
		Wrong: "the cache grows without a bound",
		By:    []*Engine{test("./storage/wal", "TestCacheBound")},
	},
	{
		ID: "W131", File: "storage/wal/cache.go", Func: "cache.endRead",
		Find: "k.readers--", Replace: "_ = k",
		Wrong: "the cache's memory is never used again once it was read",
		By:    []*Engine{test("./storage/wal", "TestCacheIsFIFO")},
	},
	{
		ID: "W132", File: "storage/wal/cache.go", Func: "cacheReader.seek",
		Find: "x.segment == segment && off-x.off < end-x.at", Replace: "off-x.off < end-x.at",
		Wrong: "an entry is looked for in the cached part of another segment",
		By:    []*Engine{test("./storage/wal", "TestCacheTellsSegmentsApart")},
	},
	{
		ID: "W133", File: "storage/wal/cache.go", Func: "cacheReader.append",
		Find: "if len(held) == 0 { return nil, false }", Replace: "if len(held) == 0 { break }",
		Wrong: "an entry that is in the cache in part is read in part",
		By:    []*Engine{test("./storage/wal", "TestEntriesHonoursItsLimits")},
	},
	{
		ID: "W134", File: "storage/wal/cache.go", Func: "cache.keep",
		Find: "base+int64(lo)", Replace: "base",
		Wrong: "what the cache holds is not where it says",
		By:    []*Engine{test("./storage/wal", "TestNewestEntriesAreReadFromMemory")},
	},
	{
		ID: "W135", File: "storage/wal/cache.go", Func: "newCache",
		Find: "chunkBytes: whole - whole/8", Replace: "chunkBytes: whole",
		Wrong: "the cache does not count what says where things are",
		By:    []*Engine{test("./storage/wal", "TestCacheBound")},
	},
	{
		ID: "W136", File: "storage/wal/read.go", Func: "piece.bytes",
		Find: "if b := p.cache.read(p.at); b != nil {", Replace: "if b := p.cache.read(nil); b != nil {",
		Wrong: "the cache is never read",
		By:    []*Engine{test("./storage/wal", "TestLoadReturnsWhatWasSaved")},
	},
}

// Of snapshots.
var walSnapshots = []Mutation{
	{
		ID: "W137", File: "storage/wal/snapshot.go", Func: "Log.surveySnapshots",
		Find: "g.committedErr = err", Replace: "",
		Wrong: "a group whose snapshot is damaged loads",
		By:    []*Engine{test("./storage/wal", "TestContradictionsAreRefused")},
	},
	{
		ID: "W138", File: "storage/wal/snapshot.go", Func: "snapshotMeta.bears",
		Find: "filepath.Base(name) == snapshotName(group, &m.snapshot)", Replace: "true",
		Wrong: "a snapshot counts under another's name",
		By:    []*Engine{test("./storage/wal", "TestSnapshotUnderAnotherName")},
	},
	{
		ID: "W139", File: "storage/wal/snapshot.go", Func: "readSnapshotMeta",
		Find: "crc32.Checksum(b[:sum], castagnoli) != binary.LittleEndian.Uint32(b[sum:])", Replace: "sum < 0",
		Wrong: "a snapshot's metadata is not checked",
		By:    []*Engine{test("./storage/wal", "TestContradictionsAreRefused")},
	},
	{
		ID: "W140", File: "storage/wal/snapshot.go", Func: "readSnapshotMeta",
		Find: "if v := binary.LittleEndian.Uint32(t[8:]); v > formatVersion {", Replace: "if v := uint32(0); v > formatVersion {",
		Wrong: "a snapshot in a newer format is read as one in this",
		By:    []*Engine{test("./storage/wal", "TestSnapshotOfANewerVersion")},
	},
	{
		ID: "W141", File: "storage/wal/snapshot.go", Func: "snapshotWriter.Commit",
		Find: "w.flush()", Replace: "",
		Wrong: "the end of a snapshot is not written",
		By:    []*Engine{test("./storage/wal", "TestSnapshotData")},
	},
	{
		ID: "W142", File: "storage/wal/snapshot.go", Func: "snapshotWriter.flush",
		Find: "chunkCRC(int64(len(w.meta.chunks)), w.chunk)", Replace: "chunkCRC(0, w.chunk)",
		Wrong: "parts of a snapshot may change places",
		By:    []*Engine{test("./storage/wal", "TestSnapshotData")},
	},
	{
		ID: "W143", File: "storage/wal/snapshot.go", Func: "Log.commitSnapshot",
		Find: "older.Index > 0 && old != name", Replace: "false",
		Wrong: "snapshots that have been replaced stay",
		By:    []*Engine{test("./storage/wal", "TestReplacedSnapshotsAreRemoved")},
	},
	{
		ID: "W144", File: "storage/wal/snapshot.go", Func: "snapshotReader.load",
		Find: "r.chunk == chunk", Replace: "r.chunk >= 0",
		Wrong: "a snapshot's first part is read again and again",
		By:    []*Engine{test("./storage/wal", "TestSnapshotData")},
	},
	{
		ID: "W145", File: "storage/wal/snapshot.go", Func: "Log.openSnapshot",
		Find: "case err == nil && g.lost: err = g.refused", Replace: "",
		Wrong: "the snapshot of a group that is lost is given out",
		By:    []*Engine{test("./storage/wal", "TestDamagePinsNothing")},
	},
}

// Of inspection.
var walInspection = []Mutation{
	{
		ID: "W146", File: "storage/wal/inspect.go", Func: "Inspect",
		Find: "i.InUse = true", Replace: "",
		Wrong: "that the log is in use is not said",
		By:    []*Engine{test("./cmd/raftctl", "TestLogInUse")},
	},
	{
		ID: "W147", File: "storage/wal/inspect.go", Func: "Inspection.recovered",
		Find: "l.segments[i.Segments[j].Number] != nil", Replace: "true",
		Wrong: "segments that are not needed any more count as needed",
		By:    []*Engine{test("./storage/wal", "TestInspectDamage")},
	},
	{
		ID: "W148", File: "storage/wal/inspect.go", Func: "Inspection.segment",
		Find: "if hole.next > 0 {", Replace: "if false {",
		Wrong: "gaps between frames are not shown",
		By:    []*Engine{test("./storage/wal", "TestInspectDamage")},
	},
	{
		ID: "W149", File: "storage/wal/inspect.go", Func: "GroupInfo.read",
		Find: "_, err = io.Copy(io.Discard, r)", Replace: "",
		Wrong: "a snapshot's data is not verified",
		By:    []*Engine{test("./cmd/raftctl", "TestDamagedDirectories")},
	},
}

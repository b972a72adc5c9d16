package mutation

// Of what a batch holds and says.
var walBatches = []Mutation{
	{
		ID: "W40", File: "storage/wal/writer.go", Func: "Log.write",
		Find: "l.nextLSN, l.durableLSN = next, next-1", Replace: "l.nextLSN = next",
		Wrong: "no frame says that the ones before it are durable",
		By:    []*Engine{test("./storage/wal", "TestCacheOutlivesTheDisk")},
	},
	{
		ID: "W41", File: "storage/wal/writer.go", Func: "Log.idle",
		Find: "if err := l.rotate(); err != nil {", Replace: "if err := error(nil); err != nil {",
		Wrong: "damage to the last batch goes unnoticed if it fills its segment, however long ago it was",
		By:    []*Engine{test("./storage/wal", "TestLargeBatchIsStated")},
	},
	{
		ID: "W42", File: "storage/wal/writer.go", Func: "Log.idle",
		Find: "b.seal(seg.salted, l.nextLSN, l.durableLSN)", Replace: "b.seal(seg.salted, l.nextLSN, 0)",
		Wrong: "the frame of an idle writer says nothing",
		By:    []*Engine{test("./storage/wal", "TestCacheOutlivesTheDisk")},
	},
	{
		ID: "W43", File: "storage/wal/writer.go", Func: "Log.idle",
		Find: "l.nextLSN, l.statedLSN = next, l.durableLSN", Replace: "l.nextLSN, l.statedLSN = next-1, l.durableLSN",
		Wrong: "the number of an idle writer's frame is given again",
		By:    []*Engine{test("./storage/wal", "TestCompactSurvivesARestart")},
	},
	{
		ID: "W44", File: "storage/wal/writer.go", Func: "Log.idle",
		Find: "seg.end += b.size()", Replace: "",
		Wrong: "an idle writer's frame is overwritten",
		By:    []*Engine{test("./storage/wal", "TestCompactSurvivesARestart")},
	},
	{
		ID: "W45", File: "storage/wal/writer.go", Func: "Log.complete",
		Find: "if o.err != nil { o.done(o.err) } else { o.done(err) }", Replace: "o.done(err)",
		Wrong: "a write that was refused is acknowledged",
		By:    []*Engine{test("./storage/wal", "TestScenarioW7")},
	},
	{
		ID: "W46", File: "storage/wal/writer.go", Func: "Log.stateCompactions",
		Find: "g.unstated = false", Replace: "",
		Wrong: "only the first compaction of a group gets to the disk",
		By:    []*Engine{test("./storage/wal", "TestCompactDoesNotOvertakeASave")},
	},
	{
		ID: "W47", File: "storage/wal/writer.go", Func: "Log.complete",
		Find: "if err == nil { l.cache.keep", Replace: "if true { l.cache.keep",
		Wrong: "entries that could not be written get into the cache",
		By:    []*Engine{test("./storage/wal", "TestFailedBatchIsNotKept")},
	},
	{
		ID: "W48", File: "storage/wal/batch.go", Func: "batch.seal",
		Find: "o.group.lastLSN = lsn", Replace: "",
		Wrong: "a group's records are not chained",
		By:    []*Engine{test("./storage/wal", "TestLoadReturnsWhatWasSaved")},
	},
	{
		ID: "W49", File: "storage/wal/batch.go", Func: "batch.seal",
		Find: "h.flags = flagBatchEnd", Replace: "",
		Wrong: "no frame says that its batch ends",
		By:    []*Engine{test("./storage/wal", "TestLoadReturnsWhatWasSaved")},
	},
	{
		ID: "W50", File: "storage/wal/batch.go", Func: "batch.add",
		Find: "m.off += uint32(o.at)", Replace: "",
		Wrong: "all entries of a batch are looked for at its beginning",
		By:    []*Engine{test("./storage/wal", "TestEntriesHonoursItsLimits")},
	},
}

// Of the state of a group.
var walGroups = []Mutation{
	{
		ID: "W51", File: "storage/wal/group.go", Func: "group.install",
		Find: "for _, at := range g.locations { account(at, -1) }", Replace: "",
		Wrong: "what a snapshot replaces pins its segments for good",
		By:    []*Engine{test("./storage/wal", "TestLiveBytes")},
	},
	{
		ID: "W52", File: "storage/wal/group.go", Func: "group.truncate",
		Find: "account(at, -1)", Replace: "_ = at",
		Wrong: "what is replaced pins its segments for good",
		By:    []*Engine{test("./storage/wal", "TestLiveBytes")},
	},
	{
		ID: "W53", File: "storage/wal/group.go", Func: "group.compact",
		Find: "account(at, -1)", Replace: "_ = at",
		Wrong: "what is compacted pins its segments for good",
		By:    []*Engine{test("./storage/wal", "TestLiveBytes")},
	},
	{
		ID: "W54", File: "storage/wal/group.go", Func: "group.compact",
		Find: "g.prevTerm, _ = g.term(through)", Replace: "",
		Wrong: "the term of the last entry that was compacted is forgotten",
		By:    []*Engine{test("./storage/wal", "TestRotationAndRecycling")},
	},
	{
		ID: "W55", File: "storage/wal/group.go", Func: "group.compact",
		Find: "g.runs[0].First = g.first", Replace: "",
		Wrong: "the first term run reaches below the log",
		By:    []*Engine{test("./storage/wal", "TestRotationAndRecycling")},
	},
	{
		ID: "W56", File: "storage/wal/group.go", Func: "group.compact",
		Find: "g.memberships[i].Index >= g.first", Replace: "g.memberships[i].Index > g.first",
		Wrong: "compaction forgets the membership of the entry behind it",
		By:    []*Engine{test("./storage/wal", "TestMembershipsFollowTheLog")},
	},
	{
		ID: "W57", File: "storage/wal/group.go", Func: "group.truncate",
		Find: "g.memberships[len(g.memberships)-1].Index >= index", Replace: "g.memberships[len(g.memberships)-1].Index > index",
		Wrong: "the membership of a replaced entry stays",
		By:    []*Engine{test("./storage/wal", "TestMembershipsFollowTheLog")},
	},
	{
		ID: "W58", File: "storage/wal/group.go", Func: "group.truncate",
		Find: "g.cuts++", Replace: "",
		Wrong: "a reader does not notice that what it reads has been replaced",
		By:    []*Engine{test("./storage/wal", "TestEntriesAreOfOneMoment")},
	},
	{
		ID: "W59", File: "storage/wal/group.go", Func: "group.check",
		Find: "i < first || i > tail+1", Replace: "i < first",
		Wrong: "a write may leave a gap",
		By:    []*Engine{test("./storage/wal", "TestWrongWritesAreRefused")},
	},
	{
		ID: "W60", File: "storage/wal/group.go", Func: "group.check",
		Find: "g.identity != (raft.Identity{}) && w.Identity != g.identity", Replace: "false",
		Wrong: "one member's log takes the writes of another",
		By:    []*Engine{test("./storage/wal", "TestWrongWritesAreRefused")},
	},
	{
		ID: "W61", File: "storage/wal/group.go", Func: "group.advance",
		Find: "g.replacing++", Replace: "",
		Wrong: "a compaction does not wait for a write that replaces what it forgets",
		By:    []*Engine{test("./storage/wal", "TestCompactDoesNotOvertakeASave")},
	},
	{
		ID: "W62", File: "storage/wal/group.go", Func: "group.compactable",
		Find: "through = min(through, g.replaceFrom-1)", Replace: "",
		Wrong: "what a write under way replaces is forgotten before",
		By:    []*Engine{test("./storage/wal", "TestCompactDoesNotOvertakeASave")},
	},
}

// Of segments: what they begin with, and how they are freed.
var walSegments = []Mutation{
	{
		ID: "W63", File: "storage/wal/relocate.go", Func: "Log.cleanNext",
		Find: "if size <= slackSegments*l.opts.SegmentBytes+slackFactor*live {", Replace: "if true {",
		Wrong: "idle groups pin old segments for good",
		By:    []*Engine{test("./storage/wal", "TestDamagePinsNothing")},
	},
	{
		ID: "W64", File: "storage/wal/relocate.go", Func: "Log.encodeRelocation",
		Find: "if _, err := openEntry(found.group.id, buf); err != nil {", Replace: "if err := error(nil); err != nil {",
		Wrong: "an entry is moved without a check of its checksum",
		By:    []*Engine{test("./storage/wal", "TestDamagedEntryPinsNoSegment")},
	},
	{
		ID: "W65", File: "storage/wal/relocate.go", Func: "encoded.damaged",
		Find: "binary.LittleEndian.PutUint32(buf, uint32(len(buf)-entryHeaderBytes))", Replace: "",
		Wrong: "a damaged entry is moved with its damaged length",
		By:    []*Engine{test("./storage/wal", "TestDamagedEntryPinsNoSegment")},
	},
	{
		ID: "W66", File: "storage/wal/relocate.go", Func: "Log.locate",
		Find: "s.last = min(s.last, g.last())", Replace: "",
		Wrong: "what is to be moved may have been replaced by less",
		By:    []*Engine{test("./storage/wal", "TestCacheChangesNothing")},
	},
	{
		ID: "W67", File: "storage/wal/relocate.go", Func: "Log.locate",
		Find: "s.first = max(s.first, g.first)", Replace: "",
		Wrong: "what is to be moved may have been compacted",
		By:    []*Engine{test("./storage/wal", "TestCacheChangesNothing")},
	},
	{
		ID: "W68", File: "storage/wal/relocate.go", Func: "Log.locate",
		Find: "if at.segment != segment {", Replace: "if at.segment == 0 {",
		Wrong: "entries are read from a segment that they are not in",
		By:    []*Engine{test("./storage/wal", "TestCacheChangesNothing")},
	},
	{
		ID: "W69", File: "storage/wal/checkpoint.go", Func: "group.appendCheckpoint",
		Find: "uint64(g.prevTerm)", Replace: "0",
		Wrong: "a checkpoint does not hold the term before the log",
		By:    []*Engine{test("./storage/wal", "TestFormatDocument")},
	},
	{
		ID: "W70", File: "storage/wal/checkpoint.go", Func: "group.appendCheckpoint",
		Find: "putPrevLSN(b[start:], g.lastLSN)", Replace: "",
		Wrong: "a checkpoint does not say which record was the last",
		By:    []*Engine{test("./storage/wal", "TestLoadReturnsWhatWasSaved")},
	},
	{
		ID: "W71", File: "storage/wal/checkpoint.go", Func: "group.appendCheckpoint",
		Find: "uint64(g.memberships[i].Index)", Replace: "uint64(g.first)",
		Wrong: "a checkpoint does not hold the indexes of the memberships",
		By:    []*Engine{test("./storage/wal", "TestMembershipsFollowTheLog")},
	},
	{
		ID: "W72", File: "storage/wal/checkpoint.go", Func: "decodeCheckpointHead",
		Find: "own != uint64(number) ||", Replace: "",
		Wrong: "a stale head of a checkpoint counts as the segment's own",
		By:    []*Engine{test("./storage/wal", "TestCrashInRecovery")},
	},
	{
		ID: "W73", File: "storage/wal/segment.go", Func: "Log.checkpoint",
		Find: "for i > 0 && l.chain[i].baseless {", Replace: "for false {",
		Wrong: "the log begins with a segment whose checkpoint is damaged",
		By:    []*Engine{test("./storage/wal", "TestDamagedCheckpointIsNoBeginning")},
	},
	{
		ID: "W74", File: "storage/wal/segment.go", Func: "Log.checkpoint",
		Find: "b.buf = l.appendDamage(b.buf)", Replace: "",
		Wrong: "damage is forgotten when the segment where it was is freed",
		By:    []*Engine{test("./storage/wal", "TestScenarioW7")},
	},
	{
		ID: "W75", File: "storage/wal/segment.go", Func: "Log.newSegment",
		Find: "seg.header.durableLSN = next - 1", Replace: "",
		Wrong: "a header does not say that its checkpoint is durable",
		By:    []*Engine{test("./storage/wal", "TestFormatExample")},
	},
	{
		ID: "W76", File: "storage/wal/segment.go", Func: "Log.recycleFile",
		Find: "if slices.Contains(l.kept, number) {", Replace: "if false {",
		Wrong: "a damaged segment is used again, and cannot be examined",
		By:    []*Engine{test("./storage/wal", "TestScenarioW7")},
	},
	{
		ID: "W77", File: "storage/wal/segment.go", Func: "Log.recycleFile",
		Find: "enough || size != l.opts.SegmentBytes", Replace: "enough && false || size != l.opts.SegmentBytes",
		Wrong: "what is freed is never given back to the file system",
		By:    []*Engine{test("./storage/wal", "TestRotationAndRecycling")},
	},
	{
		ID: "W150", File: "storage/wal/segment.go", Func: "Log.recycleFile",
		Find: ">= maxSpares", Replace: "> wantedSpares",
		Wrong: "a log that is compacted now and then removes files and writes new ones",
		By:    []*Engine{test("./storage/wal", "TestSteadyLogWritesNoNewFiles")},
	},
	{
		ID: "W78", File: "storage/wal/segment.go", Func: "Log.takeSpare",
		Find: "keep := reservedSpares", Replace: "keep := 0",
		Wrong: "no spare is left for an Open on a full disk",
		By:    []*Engine{test("./storage/wal", "TestScenarioH15")},
	},
	{
		ID: "W79", File: "storage/wal/segment.go", Func: "Log.segmentFile",
		Find: "h.prevNumber, h.prevEnd, h.prevLSN = l.current.number, l.current.end, l.nextLSN-1", Replace: "h.prevNumber, h.prevEnd, h.prevLSN = l.current.number, l.current.size, l.nextLSN-1",
		Wrong: "a segment's torn end counts again when it has a successor",
		By:    []*Engine{test("./storage/wal", "TestRotationAndRecycling")},
	},
	{
		ID: "W80", File: "storage/wal/segment.go", Func: "readSegmentHeader",
		Find: "copyAt += blockSize", Replace: "copyAt += headerBytes",
		Wrong: "the second copy of a header is never read",
		By:    []*Engine{test("./storage/wal", "TestScenarioW4")},
	},
	{
		ID: "W81", File: "storage/wal/segment.go", Func: "Log.writeSpare",
		Find: "if err := f.Sync(); err != nil {", Replace: "if err := error(nil); err != nil {",
		Wrong: "a spare is not synced before it gets its name",
		By:    []*Engine{test("./storage/wal", "TestCrashInRecovery")},
	},
}

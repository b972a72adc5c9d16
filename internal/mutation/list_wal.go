package mutation

// Of writing and of what is given back.
var walWrites = []Mutation{
	{
		ID: "M13c", File: "storage/wal/writer.go", Func: "Log.write",
		Find: "if err := seg.file.Sync(); err != nil { return 0, err }", Replace: "_ = seg.file.Sync()",
		Wrong: "an error of fsync is ignored (W6)",
		By:    []*Engine{Stack},
	},
	{
		ID: "M13d", File: "storage/wal/writer.go", Func: "Log.complete",
		Find: "l.failed = fmt.Errorf(\"wal: writing to %s failed, and nothing more is written: %w\", l.dir, err)", Replace: "",
		Wrong: "after a failed write the next one may succeed (W6)",
		By:    []*Engine{Stack},
	},
	{
		ID: "M28b", File: "storage/wal/group.go", Func: "group.install",
		Find: "g.snapshot = s", Replace: "g.snapshot = s; g.snapshot.Membership = raft.Membership{}",
		Wrong: "a snapshot is stored without its membership",
		By:    []*Engine{Stack},
	},
	{
		ID: "W1", File: "storage/wal/writer.go", Func: "Log.write",
		Find: "if err := seg.file.Sync(); err != nil { return 0, err }", Replace: "",
		Wrong: "no fsync",
		By:    []*Engine{Stack},
	},
	{
		ID: "W2", File: "storage/wal/writer.go", Func: "Log.rotate",
		Find: "if l.durableLSN+1 != l.nextLSN {", Replace: "if false {",
		Wrong: "no fsync of a segment before the next one says where it ends",
		By:    []*Engine{Stack, test("./storage/wal", "TestScenarioW1IdleFrame")},
	},
	{
		ID: "W3", File: "storage/wal/segment.go", Func: "Log.newSegment",
		Find: "if err == nil { err = seg.file.Sync() }", Replace: "",
		Wrong: "a segment's header is written before what it vouches for is synced",
		By:    []*Engine{Stack},
	},
	{
		ID: "W4", File: "storage/wal/segment.go", Func: "segment.writeHeader",
		Find: "return s.file.Sync()", Replace: "return nil",
		Wrong: "a segment's header is not synced",
		By:    []*Engine{Stack},
	},
	{
		ID: "W5", File: "storage/wal/segment.go", Func: "Log.segmentFile",
		Find: "if err := l.fs.SyncDir(l.dir); err != nil { return nil, err }", Replace: "",
		Wrong: "the directory is not synced after a segment got its name",
		By:    []*Engine{Stack},
	},
	{
		ID: "W6", File: "storage/wal/segment.go", Func: "Log.segmentFile",
		Find: "salt: l.random()", Replace: "salt: 1",
		Wrong: "a recycled segment keeps its salt",
		By:    []*Engine{test("./storage/wal", "TestScenarioW10")},
	},
	{
		ID: "W7", File: "storage/wal/segment.go", Func: "Log.checkpoint",
		Find: "if s.live > 0 {", Replace: "if s.live < 0 {",
		Wrong: "segments that hold entries still needed are recycled",
		By:    []*Engine{Stack},
	},
	{
		ID: "W8", File: "storage/wal/checkpoint.go", Func: "group.appendCheckpoint",
		Find: "b = appendMessage(b, &g.hardState)", Replace: "b = appendMessage(b, &raft.HardState{})",
		Wrong: "a checkpoint does not hold the hard state",
		By:    []*Engine{Stack},
	},
	{
		ID: "W9", File: "storage/wal/group.go", Func: "group.truncate",
		Find: "g.runs[len(g.runs)-1].First >= index", Replace: "g.runs[len(g.runs)-1].First > index",
		Wrong: "a truncated entry's term stays in the term runs",
		By:    []*Engine{Stack},
	},
	{
		ID: "W10", File: "storage/wal/group.go", Func: "group.relocate",
		Find: "!ok || term != m.term || index < g.first", Replace: "!ok && term == 0 || index < g.first",
		Wrong: "a relocated entry takes the place of the one that has replaced it (H14)",
		By:    []*Engine{test("./storage/wal", "TestScenarioH14")},
	},
	{
		ID: "W11", File: "storage/wal/group.go", Func: "group.apply",
		Find:    "g.relocate(o.first, entries, segment, base, account) return nil",
		Replace: "if o.first < g.first { g.relocate(o.first, entries, segment, base, account); return nil }; o.hardState = g.hardState",
		Wrong:   "relocated entries truncate what follows them (H14)",
		By:      []*Engine{Stack},
	},
	{
		ID: "W12", File: "storage/wal/group.go", Func: "group.relocate",
		Find: "account(g.locations[index-g.first], -1)", Replace: "",
		Wrong: "a relocated entry pins its old segment for good",
		By:    []*Engine{Stack},
	},
	{
		ID: "W13", File: "storage/wal/read.go", Func: "reader.locate",
		Find: "case changed && r.read > 0: return nil, nil", Replace: "",
		Wrong: "what is read is part of one log and part of the one that has replaced it",
		By:    []*Engine{test("./storage/wal", "TestEntriesAreOfOneMoment")},
	},
	{
		ID: "W14", File: "storage/wal/record.go", Func: "openEntry",
		Find: "binary.LittleEndian.Uint32(b[4:]) != entryCRC(uint64(group), body)", Replace: "false",
		Wrong: "entries are read without a check of their checksum",
		By:    []*Engine{test("./storage/wal", "TestDamageWhileOpen")},
	},
	{
		ID: "W15", File: "storage/wal/snapshot.go", Func: "snapshotWriter.Commit",
		Find: "w.err = w.file.Sync()", Replace: "",
		Wrong: "a snapshot is committed before it is synced",
		By:    []*Engine{Stack},
	},
	{
		ID: "W16", File: "storage/wal/snapshot.go", Func: "Log.commitSnapshot",
		Find: "if err := l.fs.SyncDir(l.dir); err != nil { return fmt.Errorf(\"wal: committing a snapshot: %w\", err) }", Replace: "",
		Wrong: "the directory is not synced after a snapshot got its name",
		By:    []*Engine{Stack},
	},
	{
		ID: "W17", File: "storage/wal/snapshot.go", Func: "Log.commitSnapshot",
		Find: "if s.Index < older.Index {", Replace: "if false {",
		Wrong: "an older snapshot replaces a newer one (L15)",
		By:    []*Engine{test("./storage/wal", "TestSnapshotData")},
	},
	{
		ID: "W18", File: "storage/wal/snapshot.go", Func: "snapshotReader.load",
		Find: "chunkCRC(chunk, r.buf) != r.meta.chunks[chunk]", Replace: "false",
		Wrong: "a snapshot is read without a check of its checksums",
		By:    []*Engine{test("./storage/wal", "TestSnapshotData")},
	},
	{
		ID: "W19", File: "storage/wal/storage.go", Func: "storage.Load",
		Find: "if m.Index > snapshot.Index {", Replace: "if m.Index > g.snapshot.Index {",
		Wrong: "memberships that a snapshot covers are loaded beside it",
		By:    []*Engine{Stack},
	},
}

// Of recovery.
var walRecovery = []Mutation{
	{
		ID: "M27a", File: "storage/wal/storage.go", Func: "group.judgeSnapshot",
		Find: "case c.Index > 0 && (!held || term != c.Term):", Replace: "case c.Index > 0 && !held && term == 0:",
		Wrong: "a snapshot is loaded with a log that does not hold its last entry",
		By:    []*Engine{test("./storage/wal", "TestScenarioH18")},
	},
	{
		ID: "M27b", File: "storage/wal/storage.go", Func: "storage.Load",
		Find: "if install { return s.install(), nil }", Replace: "_ = install",
		Wrong: "a snapshot beyond the log is loaded with the log below it: a gap, after a crash between the two writes",
		By:    []*Engine{test("./storage/wal", "TestScenarioH18")},
	},
	{
		ID: "M37a", File: "storage/wal/replay.go", Func: "replay.segment",
		Find: "holes[0].lsn < f.lsn && holes[0].lsn <= durable", Replace: "false",
		Wrong: "a corrupt frame in the middle is taken for a torn tail",
		By:    []*Engine{Stack},
	},
	{
		ID: "M37b", File: "storage/wal/replay.go", Func: "replay.run",
		Find: "durable = max(seg.header.durableLSN, w.durableLSN)", Replace: "durable = seg.header.durableLSN",
		Wrong: "what later frames say of the durable ones is not looked at",
		By:    []*Engine{Stack},
	},
	{
		ID: "M37c", File: "storage/wal/walk.go", Func: "walk",
		Find: "off = w.scan(data, s, off+frameAlign, lsn)", Replace: "off = -1",
		Wrong: "behind a bad frame nothing is looked for (W2)",
		By:    []*Engine{Stack},
	},
	{
		ID: "M37d", File: "storage/wal/replay.go", Func: "replay.run",
		Find: "durable = l.chain[i+1].header.prevLSN", Replace: "durable = 0",
		Wrong: "damage in a sealed segment is no damage (W4)",
		By:    []*Engine{Stack},
	},
	{
		ID: "M37e", File: "storage/wal/replay.go", Func: "replay.segment",
		Find: "if holes[0].lsn <= durable {", Replace: "if false {",
		Wrong: "a segment whose end is missing is taken for a shorter one",
		By:    []*Engine{test("./storage/wal", "TestScenarioW4")},
	},
	{
		ID: "W30", File: "storage/wal/replay.go", Func: "replay.segment",
		Find: "r.frame(seg, f, f.lsn > durable, first && i == 0)", Replace: "r.frame(seg, f, false, first && i == 0)",
		Wrong: "what was found and is not known to be durable is not written again (H11)",
		By:    []*Engine{Stack},
	},
	{
		ID: "W31", File: "storage/wal/replay.go", Func: "replay.save",
		Find: "if prev != rec.prevLSN {", Replace: "if prev > rec.prevLSN {",
		Wrong: "that an earlier record of the group is missing is not noticed",
		By:    []*Engine{test("./storage/wal", "TestScenarioW2")},
	},
	{
		ID: "W32", File: "storage/wal/replay.go", Func: "replay.judge",
		Find: "if r.found != nil && g.provenLSN <= r.l.damagedLSN {", Replace: "if false {",
		Wrong: "a group whose last record was damaged loads with a shorter log (H16)",
		By:    []*Engine{test("./storage/wal", "TestScenarioH16")},
	},
	{
		ID: "W33", File: "storage/wal/storage.go", Func: "group.judgeSnapshot",
		Find: "if g.hardState.Commit > max(last, c.Index) {", Replace: "if false {",
		Wrong: "a log that ends before its commit index loads",
		By:    []*Engine{test("./storage/wal", "TestContradictionsAreRefused")},
	},
	{
		ID: "W34", File: "storage/wal/open.go", Func: "Log.survey",
		Find: "if err := l.neverExisted(f); err != nil {", Replace: "if err := error(nil); err != nil {",
		Wrong: "a segment whose header was damaged counts as one that never existed",
		By:    []*Engine{test("./storage/wal", "TestDamagedNewestHeader")},
	},
	{
		ID: "W35", File: "storage/wal/segment.go", Func: "Log.dispensable",
		Find: "if g.lastLSN >= l.current.header.firstLSN {", Replace: "if g.lastLSN > l.nextLSN {",
		Wrong: "Open leaves out a segment that holds records",
		By:    []*Engine{Stack},
	},
	{
		ID: "W36", File: "storage/wal/open.go", Func: "Log.link",
		Find: "if prev == nil || prev.number >= seg.number || prev.number < needed {", Replace: "if prev == nil { break }; if prev.number >= seg.number || prev.number < needed {",
		Wrong: "a missing segment is the log's beginning",
		By:    []*Engine{test("./storage/wal", "TestScenarioW4")},
	},
	{
		ID: "W37", File: "storage/wal/replay.go", Func: "replay.run",
		Find: "l.nextLSN, l.durableLSN, l.statedLSN = durable+1, durable, durable", Replace: "l.nextLSN, l.durableLSN, l.statedLSN = w.highestLSN+1, w.highestLSN, w.highestLSN",
		Wrong: "what is read from the page cache counts as durable",
		By:    []*Engine{Stack, test("./storage/wal", "TestScenarioW6PageCache")},
	},
	{
		ID: "W38", File: "storage/wal/open.go", Func: "Log.recover",
		Find: "if err := l.fs.SyncDir(l.dir); err != nil { return err } names, err := l.fs.List(l.dir)", Replace: "names, err := l.fs.List(l.dir)",
		Wrong: "Open builds on names that are not durable",
		By:    []*Engine{test("./storage/wal", "TestOlderSnapshotStaysUntilTheNewerIsDurable")},
	},
	{
		ID: "W39", File: "storage/wal/replay.go", Func: "replay.run",
		Find: "if err := r.confirmHeader(seg, w); err != nil {", Replace: "if err := error(nil); err != nil {",
		Wrong: "Open builds on a header that is not durable",
		By:    []*Engine{test("./storage/wal", "TestScenarioH11")},
	},
}

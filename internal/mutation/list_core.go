package mutation

// Of elections, terms and votes.
var elections = []Mutation{
	{
		ID: "M2a", File: "log.go", Func: "raftLog.upToDate",
		Find: "return term > own || term == own && index >= l.last", Replace: "_ = own; return true",
		Wrong: "any log is up to date",
	},
	{
		ID: "M2b", File: "election.go", Func: "Raft.handleRequestVote",
		Find: "&& r.log.upToDate(m.Index, m.LogTerm)", Replace: "",
		Wrong: "a vote, though not a pre-vote, without the up-to-date check",
	},
	{
		ID: "M3", File: "log.go", Func: "raftLog.upToDate",
		Find: "return term > own || term == own && index >= l.last", Replace: "_ = own; return index >= l.last",
		Wrong: "up to date by length only",
	},
	{
		ID: "M4", File: "log.go", Func: "raftLog.upToDate",
		Find: "return term > own || term == own && index >= l.last", Replace: "return term >= own",
		Wrong: "up to date by term only",
	},
	{
		ID: "M5a", File: "durability.go", Func: "Raft.send",
		Find: "if r.hardStateDurable() {", Replace: "if r.hardStateDurable() || m.Type.String() == \"RequestVoteReply\" {",
		Wrong: "a vote is sent before it is durable",
	},
	{
		ID: "M5b", File: "election.go", Func: "Raft.handleRequestVote",
		Find: "r.setHardState(r.term, m.From, true)", Replace: "r.votedFor, r.unmarked = m.From, true",
		Wrong: "a vote is not written",
	},
	{
		ID: "M5c", File: "durability.go", Func: "Raft.send",
		Find: "if r.hardStateDurable() {", Replace: "if r.hardStateDurable() || m.Type.String() == \"RequestVote\" {",
		Wrong: "votes are asked for before the own one is durable",
	},
	{
		ID: "M6a", File: "durability.go", Func: "Raft.send",
		Find: "if r.hardStateDurable() {", Replace: "if r.hardStateDurable() || m.Type.String() == \"AppendEntriesReply\" {",
		Wrong: "an acknowledgement reveals a term that is not durable",
	},
	{
		ID: "M6b", File: "raft.go", Func: "Raft.becomeFollower",
		Find: "r.setHardState(term, 0, r.unmarked)", Replace: "r.term, r.votedFor = term, 0",
		Wrong: "a term that a message brings is not written",
	},
	{
		ID: "M7a", File: "election.go", Func: "Raft.handleRequestVote",
		Find: "(r.votedFor == 0 || r.votedFor == m.From) &&", Replace: "",
		Wrong: "votes for whoever asks, twice in a term too",
	},
	{
		ID: "M7b", File: "raft.go", Func: "Raft.becomeFollower",
		Find: "if term > r.term {", Replace: "if term >= r.term {",
		Wrong: "stepping down forgets the vote of the current term",
	},
	{
		ID: "M14d", File: "election.go", Func: "ballot.result",
		Find: "majority := quorum.Size(b.voters)", Replace: "majority := (b.voters + 1) / 2",
		Wrong: "half of an even number of votes elects",
	},
	{
		ID: "M16a", File: "raft.go", Func: "Raft.Step",
		Find: "case m.Term < r.term:", Replace: "case m.Term < r.term && m.Type != raftpb.RequestVoteReply:",
		Wrong: "a vote of an earlier term counts",
	},
	{
		ID: "M36a", File: "raft.go", Func: "announcesNoTerm",
		Find: "m.Type == raftpb.PreVote ||", Replace: "",
		Wrong: "being asked for a pre-vote changes the term",
	},
	{
		ID: "M36b", File: "election.go", Func: "Raft.handlePreVote",
		Find: "reply.Term = m.Term", Replace: "reply.Term = m.Term; r.setHardState(m.Term, m.From, true)",
		Wrong: "granting a pre-vote changes term and vote",
	},
	{
		ID: "M36c", File: "raft.go", Func: "announcesNoTerm",
		Find: "m.Type == raftpb.PreVoteReply && !m.Reject", Replace: "m.Type == raftpb.PreVoteReply",
		Wrong: "a refused pre-vote does not tell the term: who has the longer log and the lower term is stranded",
	},
	{
		ID: "M36d", File: "election.go", Func: "Raft.tickLeader",
		Find: "if r.now >= min(r.quorumContact().Add(r.cfg.ElectionTimeout), r.stalled()) {", Replace: "if r.now >= r.stalled() {",
		Wrong: "a leader without a quorum does not step down",
	},
	{
		ID: "M36e", File: "election.go", Func: "Raft.handlePreVote",
		Find: "&& r.now < r.election.heard.Add(r.cfg.ElectionTimeout)", Replace: "&& r.role == Follower",
		Wrong: "a follower refuses pre-votes for as long as it remembers a leader",
	},
	{
		ID: "M38a", File: "raft.go", Func: "Raft.Step",
		Find: "case m.Term < r.term:", Replace: "case m.Term < r.term && m.Type != raftpb.AppendEntries:",
		Wrong: "AppendEntries of an earlier term is accepted",
	},
	{
		ID: "M38b", File: "raft.go", Func: "Raft.Step",
		Find: "case m.Term < r.term:", Replace: "case m.Term < r.term && m.Type != raftpb.InstallSnapshot:",
		Wrong: "InstallSnapshot of an earlier term is accepted",
	},
	{
		ID: "C1", File: "durability.go", Func: "Raft.releaseHeld",
		Find: "if h.term == r.term {", Replace: "{ h.m.Term = r.term;",
		Wrong: "a held message is sent in the new term instead of dropped",
	},
	{
		ID: "C2", File: "durability.go", Func: "Raft.send",
		Find: "seq: r.writes.newest()", Replace: "seq: r.writes.drained",
		Wrong: "a held message waits for the newest write handed out, not for the one that is being gathered",
	},
	{
		ID: "C3", File: "raft.go", Func: "Raft.becomeLeader",
		Find: "r.appendOwn(Entry{Type: EntryEmpty})", Replace: "",
		Wrong: "a leader begins without an entry of its term",
	},
	{
		ID: "C4", File: "election.go", Func: "Raft.tickLeader",
		Find: "if r.now >= min(r.quorumContact().Add(r.cfg.ElectionTimeout), r.stalled()) {", Replace: "if r.now >= r.quorumContact().Add(r.cfg.ElectionTimeout) {",
		Wrong: "a leader whose disk hangs does not step down (E13)",
	},
	{
		ID: "C5", File: "election.go", Func: "Raft.handlePreVote",
		Find: "&& !sticky &&", Replace: "&& (true || sticky) &&",
		Wrong: "who hears from a leader grants pre-votes: whoever was cut off deposes it",
	},
}

// Of replication and of what is committed.
var commits = []Mutation{
	{
		ID: "M1", File: "replication.go", Func: "Raft.advanceCommit",
		Find: "if n <= r.commit || n < r.leading.first {", Replace: "if n <= r.commit {",
		Wrong: "commits entries of an old term by counting (figure 8)",
	},
	{
		ID: "M8a", File: "replication.go", Func: "Raft.appendFrom",
		Find: "if len(entries) == 0 {", Replace: "if len(entries) == 0 { if len(m.Entries) > 0 && verified < r.log.last { r.truncate(verified + 1) }",
		Wrong: "a short AppendEntries truncates what follows it",
	},
	{
		ID: "M8b", File: "replication.go", Func: "Raft.appendFrom",
		Find: "} else if term != e.Term {", Replace: "} else {",
		Wrong: "entries that match are overwritten, and what follows them truncated",
	},
	{
		ID: "M9", File: "replication.go", Func: "Raft.handleAppendEntries",
		Find: "r.setCommit(min(m.Commit, f.verified))", Replace: "r.setCommit(min(m.Commit, r.log.last))",
		Wrong: "commit = min(leaderCommit, last index), not the last verified index",
	},
	{
		ID: "M10", File: "replication.go", Func: "Raft.handleAppendEntries",
		Find: "r.setCommit(min(m.Commit, f.verified))", Replace: "if len(m.Entries) == 0 { r.setCommit(m.Commit) } else { r.setCommit(min(m.Commit, f.verified)) }",
		Wrong: "the commit index of an AppendEntries without entries is taken on trust",
	},
	{
		ID: "M14a", File: "internal/quorum/quorum.go", Func: "Size",
		Find: "n/2 + 1", Replace: "max(n/2, 1)",
		Wrong: "half is a quorum",
	},
	{
		ID: "M14b", File: "internal/quorum/quorum.go", Func: "Reached",
		Find: "values[Size(len(values))-1]", Replace: "values[(len(values)-1)/2]",
		Wrong: "the wrong element, of an even number of voters",
	},
	{
		ID: "M14c", File: "internal/quorum/quorum.go", Func: "Reached",
		Find: "values[Size(len(values))-1]", Replace: "values[max(Size(len(values))-2, 0)]",
		Wrong: "the element before: what one less than a quorum has reached",
	},
	{
		ID: "C10", File: "replication.go", Func: "Raft.setCommit",
		Find: "if index > r.commit {", Replace: "if index != r.commit {",
		Wrong: "the commit index goes back",
	},
	{
		ID: "C11", File: "raft.go", Func: "Raft.becomeFollower",
		Find: "if r.following.term != r.term {", Replace: "if r.following.term == 0 {",
		Wrong: "what one leader has verified counts for the next",
	},
	{
		ID: "C12", File: "replication.go", Func: "Raft.appendFrom",
		Find: "return entries[n-1].Index, nil", Replace: "return entries[len(entries)-1].Index, nil",
		Wrong: "entries that were refused for want of room count as verified",
	},
	{
		ID: "C14", File: "replication.go", Func: "Raft.handleRejection",
		Find: "p.probe(min(next, m.Index))", Replace: "p.probe(max(p.next, next))",
		Wrong: "a rejection does not move the place to try next (L12)",
	},
	{
		ID: "C15", File: "progress.go", Func: "progress.probe",
		Find: "p.state, p.paused = probing, false", Replace: "p.state = probing",
		Wrong: "a probe that was rejected is not followed by another",
	},
	{
		ID: "C16", File: "replication.go", Func: "Raft.handleAcknowledgement",
		Find: "if missing && r.now >= p.sent.Add(r.cfg.HeartbeatInterval) {", Replace: "if missing && m.Verified > p.verified {",
		Wrong: "entries that were lost on the way are not sent again (H7)",
	},
	{
		ID: "C17", File: "replication.go", Func: "Raft.admit",
		Find: "used := r.log.window.bytes(r.durable(), entries[0].Index-1)", Replace: "used := r.log.window.bytes(0, entries[0].Index-1)",
		Wrong: "durable entries fill a follower's window: a new leader's first one finds no room (H8)",
	},
	{
		ID: "C18", File: "progress.go", Func: "progress.probe",
		Find: "p.next = max(next, p.match+1)", Replace: "p.next = next",
		Wrong: "a reordered rejection makes next < match (L4)",
	},
	{
		ID: "C19", File: "progress.go", Func: "progress.landed",
		Find: "p.bytes -= p.inFlight[n].bytes", Replace: "",
		Wrong: "bytes in flight leak (L5)",
	},
	{
		ID: "C20", File: "replication.go", Func: "Raft.sendHeartbeat",
		Find: "prev := p.match", Replace: "prev := p.next - 1",
		Wrong: "a heartbeat's previous entry may still be on the way: it is rejected (H7)",
	},
}

// Of what is durable, and of what is acknowledged.
var acknowledgements = []Mutation{
	{
		ID: "M11a", File: "replication.go", Func: "Raft.acknowledge",
		Find: "index := min(r.durable(), f.verified)", Replace: "index := f.verified",
		Wrong: "acknowledged before the fsync",
	},
	{
		ID: "M11b", File: "durability.go", Func: "writePipeline.durableBelow",
		Find: "if f := w.gathering.first; f != 0 {", Replace: "if f := w.gathering.first; f != 0 && len(w.inFlight) > 0 {",
		Wrong: "with no write in flight, what is about to be written counts as durable",
	},
	{
		ID: "M11c", File: "durability.go", Func: "Raft.Persisted",
		Find: "for n < len(w.inFlight) && w.inFlight[n].seq <= seq {", Replace: "for n < len(w.inFlight) {",
		Wrong: "the completion of one write is taken for that of all",
	},
	{
		ID: "M12", File: "replication.go", Func: "Raft.advanceCommit",
		Find: "quorumOf(r, r.durable(),", Replace: "quorumOf(r, r.log.last,",
		Wrong: "the leader counts itself before its own fsync",
	},
	{
		ID: "M13a", File: "durability.go", Func: "Raft.PersistFailed",
		Find: "r.fail(err)", Replace: "_ = err",
		Wrong: "the core ignores that a write has failed",
	},
	{
		ID: "M15a", File: "progress.go", Func: "progress.matched",
		Find: "p.match = max(p.match, index)", Replace: "p.match = index",
		Wrong: "a stale reply lowers match",
	},
	{
		ID: "M15b", File: "replication.go", Func: "Raft.handleAppendEntriesReply",
		Find: "if !m.Reject { p.matched(m.Index) }", Replace: "p.matched(m.Index)",
		Wrong: "a rejection is taken for an acknowledgement",
	},
	{
		ID: "M15c", File: "replication.go", Func: "Raft.handleRejection",
		Find: "m.Index <= p.match || p.state == sendingSnapshot", Replace: "p.state == sendingSnapshot",
		Wrong: "a rejection of what is known to match is believed",
	},
	{
		ID: "M16b", File: "raft.go", Func: "Raft.Step",
		Find: "case m.Term < r.term:", Replace: "case m.Term < r.term && m.Type != raftpb.AppendEntriesReply:",
		Wrong: "an acknowledgement of an earlier term counts",
	},
	{
		ID: "M17", File: "progress.go", Func: "progress.reset",
		Find: "next: next,", Replace: "next: next, match: min(p.match, next-1),",
		Wrong: "match is kept across terms",
	},
	{
		ID: "M18a", File: "replication.go", Func: "Raft.handleAppendEntriesReply",
		Find: "if !m.Reject { p.matched(m.Index) }", Replace: "if !m.Reject { p.matched(p.next - 1) }",
		Wrong: "any reply, a duplicate too, advances match to the last entry sent",
	},
	{
		ID: "M18b", File: "replication.go", Func: "Raft.handleAppendEntriesReply",
		Find: "if !m.Reject { p.matched(m.Index) }", Replace: "if !m.Reject { p.matched(m.Verified) }",
		Wrong: "what is received there is taken for durable",
	},
	{
		ID: "M34", File: "durability.go", Func: "Raft.takeCommitted",
		Find: "min(r.commit, r.durable())+1", Replace: "r.commit+1",
		Wrong: "applied before it is durable here",
	},
	{
		ID: "M35a", File: "durability.go", Func: "Raft.takeCommitted",
		Find: "a.restoring != nil || a.handedOut > r.applied", Replace: "a.restoring != nil",
		Wrong: "what is being applied is handed out again",
	},
	{
		ID: "M35b", File: "durability.go", Func: "Raft.takeCommitted",
		Find: "a.restoring != nil || a.handedOut > r.applied", Replace: "a.handedOut > r.applied",
		Wrong: "entries are applied before the snapshot is restored",
	},
	{
		ID: "M35c", File: "durability.go", Func: "applyState.restore",
		Find: "a.fetched, a.reading = false, 0", Replace: "a.reading = 0",
		Wrong: "entries that were fetched before a snapshot took over are applied after it",
	},
	{
		ID: "M35d", File: "durability.go", Func: "Raft.Applied",
		Find: "a.handedOut = max(a.handedOut, r.applied)", Replace: "",
		Wrong: "what a snapshot has skipped counts as not handed out: what follows is applied twice",
	},
	{
		ID: "C30", File: "durability.go", Func: "Raft.Persisted",
		Find: "w.inFlight[n].seq <= seq {", Replace: "(w.inFlight[n].seq <= seq || w.inFlight[n].first != 0 && w.inFlight[n].first >= w.inFlight[0].first) {",
		Wrong: "durable by index, not by write: A→C→A acknowledges what is not on disk (H1, L2)",
	},
	{
		ID: "C31", File: "durability.go", Func: "writePipeline.durableBelow",
		Find: "if p.first != 0 { limit = min(limit, p.first) }", Replace: "if p.first != 0 { limit = p.first }",
		Wrong: "only the newest write in flight limits what is durable",
	},
	{
		ID: "C32", File: "durability.go", Func: "writePipeline.touchFrom",
		Find: "if w.gathering.first == 0 || i < w.gathering.first {", Replace: "{",
		Wrong: "a write is remembered by the last index that it touches, not the first",
	},
	{
		ID: "C33", File: "durability.go", Func: "writePipeline.touchEntries",
		Find: "if w.entries == 0 || i < w.entries {", Replace: "if w.entries == 0 {",
		Wrong: "a write that replaces entries of its own leaves out the first",
	},
	{
		ID: "C34", File: "durability.go", Func: "writePipeline.touchSnapshot",
		Find: "w.touchFrom(commit + 1)", Replace: "w.touchFrom(s.Index + 1)",
		Wrong: "a snapshot counts as durable before the write that installs it is",
	},
	{
		ID: "C35", File: "durability.go", Func: "Raft.takeRestore",
		Find: "!a.restoreDue || r.durable() < a.restoring.Index", Replace: "!a.restoreDue",
		Wrong: "a snapshot is restored before it is durable",
	},
	{
		ID: "C36", File: "snapshot.go", Func: "Raft.replySnapshot",
		Find: "index := min(r.durable(), f.verified)", Replace: "index := f.verified",
		Wrong: "a snapshot is acknowledged before the write that installs it is durable",
	},
}

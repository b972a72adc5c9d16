package mutation

// Of membership.
var memberships = []Mutation{
	{
		ID: "M19", File: "change.go", Func: "Raft.ChangeMembership",
		Find: "max(latest.Index, r.leading.first)", Replace: "latest.Index",
		Wrong: "a change of the membership before the term's first commit",
		By:    []*Engine{Core},
	},
	{
		ID: "M20", File: "change.go", Func: "Raft.ChangeMembership",
		Find: "max(latest.Index, r.leading.first)", Replace: "r.leading.first",
		Wrong: "two changes of the membership at once",
		By:    []*Engine{Core},
	},
	{
		ID: "M21a", File: "election.go", Func: "quorumOf",
		Find: "return quorum.ReachedInBoth(incoming, outgoing)", Replace: "return quorum.Reached(incoming)",
		Wrong: "the new voters alone commit in a joint membership",
		By:    []*Engine{Core, Model},
	},
	{
		ID: "M21b", File: "election.go", Func: "Raft.countVotes",
		Find: "return quorum.Both(incoming.Result(), outgoing.Result())", Replace: "return incoming.Result()",
		Wrong: "the new voters alone elect in a joint membership",
		By:    []*Engine{Core},
	},
	{
		ID: "M24", File: "snapshot.go", Func: "Raft.SnapshotAt",
		Find: "m := r.members.committed(index)", Replace: "m := r.members.latest()",
		Wrong: "a membership that is not committed in a snapshot",
		By:    []*Engine{test(".", "TestScenarioL15SnapshotHoldsTheMembershipOfItsIndex")},
	},
	{
		ID: "M25b", File: "election.go", Func: "quorumOf",
		Find: "if r.members.selfVoter {", Replace: "{",
		Wrong: "a leader that was removed counts itself",
		By:    []*Engine{Core},
	},
	{
		ID: "C90", File: "change.go", Func: "Raft.advanceMembership",
		Find: "case isJoint(m):", Replace: "case isJoint(m) && latest.Index > r.leading.first:",
		Wrong: "a joint membership that an earlier leader entered is never left (E4)",
		By:    []*Engine{Core},
	},
	{
		ID: "C91", File: "change.go", Func: "Raft.advanceMembership",
		Find: "case isJoint(m):", Replace: "case isJoint(m) && r.members.selfVoter:",
		Wrong: "a leader resigns before it leaves the joint membership (E4, E5)",
		By:    []*Engine{test(".", "TestScenarioE5LeaderThatDoesNotVoteAnyMoreHandsOver")},
	},
	{
		ID: "C92", File: "change.go", Func: "Raft.caughtUp",
		Find: "|| p.marked ||", Replace: "||",
		Wrong: "a learner with marked storage becomes a voter",
		By:    []*Engine{Core},
	},
	{
		ID: "C93", File: "departure.go", Func: "Raft.removalOf",
		Find: "return in.Index", Replace: "return 0",
		Wrong: "who was removed and has missed it is not told (E10)",
		By:    []*Engine{Core},
	},
	{
		ID: "C94", File: "departure.go", Func: "Raft.bidFarewell",
		Find: "if r.commit < d.removal {", Replace: "if false {",
		Wrong: "a farewell before the removal is committed",
		By:    []*Engine{Core},
	},
	{
		ID: "C95", File: "transfer.go", Func: "Raft.checkTransfer",
		Find: "r.now >= l.transferUntil ||", Replace: "",
		Wrong: "a transfer to a target that is away never ends (E6)",
		By:    []*Engine{test(".", "TestScenarioE6TransferThatFails")},
	},
	{
		ID: "M22", File: "membership.go", Func: "membershipState.truncate",
		Find: "s.history[n-1].Index >= index", Replace: "s.history[n-1].Index > index",
		Wrong: "a membership is not rolled back when its entry is truncated",
		By:    []*Engine{test(".", "TestSection6LatestMembershipInTheLogIsInForceAndRollsBack")},
	},
	{
		ID: "M23", File: "membership.go", Func: "membershipState.latest",
		Find: "return &s.history[len(s.history)-1]", Replace: "return &s.history[0]",
		Wrong: "a membership is ignored until it is applied",
		By:    []*Engine{Core, Model},
	},
	{
		ID: "M25a", File: "raft.go", Func: "Raft.syncPeers",
		Find: "p.voter, p.outgoing, p.priority = m.Voter, m.Outgoing, m.Priority", Replace: "p.voter, p.outgoing, p.priority = true, m.Outgoing, m.Priority",
		Wrong: "a learner is counted in a quorum",
		By:    []*Engine{test(".", "TestSection6Learners")},
	},
}

// Of snapshots.
var snapshots = []Mutation{
	{
		ID: "M26a", File: "snapshot.go", Func: "Raft.handleInstallSnapshot",
		Find: "s.Index <= r.commit || known && term == s.Term", Replace: "known && term == s.Term",
		Wrong: "a stale snapshot rolls the log back",
		By:    []*Engine{Core},
	},
	{
		ID: "M26b", File: "snapshot.go", Func: "Raft.handleInstallSnapshot",
		Find: "s.Index <= r.commit || known && term == s.Term && s.Index <= r.log.last {", Replace: "s.Index <= r.commit {_, _ = term, known;",
		Wrong: "a snapshot truncates a log that goes on from it (L3)",
		By:    []*Engine{Core},
	},
	{
		ID: "M28", File: "snapshot.go", Func: "Raft.SnapshotAt",
		Find: "Membership: m.Membership.Clone(), ", Replace: "",
		Wrong: "a snapshot without the membership",
		By:    []*Engine{Core, Model},
	},
	{
		ID: "C40", File: "snapshot.go", Func: "Raft.SnapshotSent",
		Find: "if err != nil || index > r.log.last {", Replace: "if err != nil { return }; if index > r.log.last {",
		Wrong: "a snapshot that could not be sent is never sent again",
		By:    []*Engine{Core},
	},
	{
		ID: "C41", File: "snapshot.go", Func: "Raft.Compacted",
		Find: "|| through > snapshot.Index", Replace: "",
		Wrong: "the log is compacted beyond the snapshot",
		By:    []*Engine{test(".", "TestCompactedTakesOnlyWhatIsCovered")},
	},
	{
		ID: "C42", File: "raft.go", Func: "New",
		Find: "r.apply.restore(s)", Replace: "r.applied, r.apply.handedOut = s.Index, s.Index",
		Wrong: "after a restart the snapshot is not restored",
		By:    []*Engine{Core},
	},
}

// Of reads.
var reads = []Mutation{
	{
		ID: "M29", File: "read.go", Func: "Raft.addRead",
		Find: "index: max(r.commit, l.first)", Replace: "index: r.commit",
		Wrong: "a read before the term's first commit",
		By:    []*Engine{Core},
	},
	{
		ID: "M30a", File: "read.go", Func: "Raft.addRead",
		Find: "round: l.round + 1", Replace: "round: l.round",
		Wrong: "a read is confirmed by the round that is under way, which began before it",
		By:    []*Engine{Core},
	},
	{
		ID: "M30b", File: "replication.go", Func: "Raft.handleAppendEntriesReply",
		Find: "p.round = max(p.round, m.Round)", Replace: "p.round = r.leading.round",
		Wrong: "any reply confirms the newest round",
		By:    []*Engine{test(".", "TestSection64ReadIsConfirmedByARoundThatBeganAfterIt")},
	},
	{
		ID: "M30c", File: "read.go", Func: "Raft.confirmReads",
		Find: "l.reads[n].round <= confirmed && ", Replace: "",
		Wrong: "a read is served without asking a quorum",
		By:    []*Engine{Core},
	},
	{
		ID: "C50", File: "replication.go", Func: "Raft.rejectAppend",
		Find: "Round: r.following.round, ", Replace: "",
		Wrong: "a rejection does not echo the round: reads wait for the logs to agree",
		By:    []*Engine{test(".", "TestSection64RejectionEchoesTheRound")},
	},
	{
		ID: "C51", File: "raft.go", Func: "Raft.becomeFollower",
		Find: "r.failReads(reads)", Replace: "_ = reads",
		Wrong: "reads that wait when a leader steps down never end (R4)",
		By:    []*Engine{Core},
	},
	{
		ID: "C52", File: "raft.go", Func: "New",
		Find: "r.readSalt = cfg.Random.Uint64()", Replace: "r.readSalt = 1",
		Wrong: "a late answer to an earlier process's read confirms one of this process (R2)",
		By:    []*Engine{Core},
	},
	{
		ID: "C53", File: "replication.go", Func: "Raft.handleAppendEntries",
		Find: "if len(m.Entries) == 0 || durable >= f.verified {", Replace: "if durable >= f.verified {",
		Wrong: "a stalled disk silences heartbeats and reads (H6)",
		By:    []*Engine{test(".", "TestScenarioH6MajorityOfDisksStalls")},
	},
}

// Of marked storage.
var marks = []Mutation{
	{
		ID: "C60", File: "election.go", Func: "Raft.mayVoteFor",
		Find: "return r.unmarked || r.founder() && lastIndex == 0", Replace: "return true",
		Wrong: "a marked replica votes (H2)",
		By:    []*Engine{Core},
	},
	{
		ID: "C61", File: "election.go", Func: "Raft.mayVoteFor",
		Find: "r.founder() && lastIndex == 0", Replace: "r.founder()",
		Wrong: "a wiped founder votes for whoever has a log",
		By:    []*Engine{Core},
	},
	{
		ID: "C62", File: "election.go", Func: "Raft.handleRequestVote",
		Find: "(r.unmarked || m.Context == r.mark) && ", Replace: "",
		Wrong: "a founder answers a request for a vote that was meant for the storage it had before",
		By:    []*Engine{test(".", "TestScenarioH2WipedFounderDoesNotGrantALateRequest")},
	},
	{
		ID: "C63", File: "election.go", Func: "Raft.mayCampaign",
		Find: "!r.unmarked && !r.founder() || ", Replace: "",
		Wrong: "a marked replica campaigns",
		By:    []*Engine{Core},
	},
	{
		ID: "C64", File: "replication.go", Func: "Raft.handleAppendEntries",
		Find: " && min(durable, f.verified) >= m.Unmark", Replace: "",
		Wrong: "a mark goes before the entry that ends it is there",
		By:    []*Engine{Core},
	},
	{
		ID: "C65", File: "replication.go", Func: "Raft.handleAppendEntries",
		Find: " && m.Context == r.mark", Replace: "",
		Wrong: "what was to end an earlier mark ends this one",
		By:    []*Engine{test(".", "TestScenarioH2WipedMemberIsNotUnmarkedByWhatWasSentBefore")},
	},
	{
		ID: "C66", File: "replication.go", Func: "Raft.sendAppend",
		Find: "if p.marked && r.commit >= p.unmark {", Replace: "if p.marked {",
		Wrong: "a mark is ended by an entry that is not committed",
		By:    []*Engine{Core},
	},
	{
		ID: "C67", File: "replication.go", Func: "Raft.heardMark",
		Find: "if m.Reject || m.Index < p.unmark || r.commit < p.unmark {", Replace: "if false {",
		Wrong: "an acknowledgement that was sent before the mark is believed",
		By:    []*Engine{test(".", "TestScenarioH2AcknowledgementThatComesAfterTheMarkDoesNotCount")},
	},
	{
		ID: "C68", File: "election.go", Func: "quorumOf",
		Find: "if !p.marked {", Replace: "{",
		Wrong: "a marked replica counts in a quorum",
		By:    []*Engine{Core},
	},
	{
		ID: "C70", File: "replication.go", Func: "Raft.handleAppendEntries",
		Find: "if m.Match > max(r.loaded, f.acknowledged) {", Replace: "if false {",
		Wrong: "a disk that has lost what it acknowledged is not found out (H4)",
		By:    []*Engine{test(".", "TestScenarioH4WhatConvictsAStorage")},
	},
	{
		ID: "C71", File: "replication.go", Func: "Raft.handleAppendEntries",
		Find: "if m.Match > max(r.loaded, f.acknowledged) {", Replace: "if m.Match > r.loaded {",
		Wrong: "a healthy disk is found out",
		By:    []*Engine{Core, Model},
	},
	{
		ID: "C72", File: "election.go", Func: "Raft.founder",
		Find: "!r.unmarked && r.votedFor == 0 && r.log.last == 0", Replace: "!r.unmarked && r.votedFor == 0",
		Wrong: "a marked replica that holds entries counts as a founder",
		By:    []*Engine{Core},
	},
	{
		ID: "C73", File: "raft.go", Func: "Raft.becomeCandidate",
		Find: "r.setHardState(r.term+1, r.cfg.ID, true)", Replace: "r.setHardState(r.term+1, r.cfg.ID, r.unmarked)",
		Wrong: "a founder keeps its mark when it votes for itself",
		By:    []*Engine{Core},
	},
}

// Of the window of entries in memory, and of what is read back.
var window = []Mutation{
	{
		ID: "C80", File: "durability.go", Func: "Raft.releaseWindow",
		Find: "limit := r.durable() + 1", Replace: "limit := r.log.last + 1",
		Wrong: "entries leave memory before they are durable",
		By:    []*Engine{Core},
	},
	{
		ID: "C81", File: "durability.go", Func: "Raft.logReadForPeer",
		Find: "|| request.Term != r.term ", Replace: "",
		Wrong: "entries that were read in an earlier term are sent in this one",
		By:    []*Engine{test(".", "TestLateLogReadOfAnEarlierTermIsIgnored")},
	},
	{
		ID: "C82", File: "durability.go", Func: "Raft.logReadForPeer",
		Find: "if p.next != request.Lo || p.state == sendingSnapshot {", Replace: "if p.state == sendingSnapshot {",
		Wrong: "entries that were read for a peer are sent as those that it needs by now",
		By:    []*Engine{Core},
	},
	{
		ID: "C83", File: "log.go", Func: "window.truncate",
		Find: "w.sum = w.upTo(i - 1)", Replace: "",
		Wrong: "truncated entries stay in the account of bytes (L6)",
		By:    []*Engine{test(".", "TestTruncatedEntriesAreNoLongerCounted")},
	},
}

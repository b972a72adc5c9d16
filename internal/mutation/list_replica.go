package mutation

// Of forwarding, admission and reads in the replica.
var forwards = []Mutation{
	{
		ID: "R1", File: "replica_inbox.go", Func: "replica.takeForwarded",
		Find: "o.next++", Replace: "",
		Wrong: "a forwarded proposal that comes twice is taken twice (H10)",
		By:    []*Engine{Stack},
	},
	{
		ID: "R2", File: "replica_inbox.go", Func: "replica.takeForwarded",
		Find: "|| m.Term != r.core.Term() ", Replace: "",
		Wrong: "a proposal forwarded in an earlier term is taken by a leader elected again (H10)",
		By:    []*Engine{test(".", "TestScenarioH10ForwardDuplicatedToAReelectedLeader")},
	},
	{
		ID: "R3", File: "replica_admission.go", Func: "replica.syncTerm",
		Find: "r.inbox.clear()", Replace: "",
		Wrong: "what was forwarded and not admitted in one term is admitted in the next",
		By:    []*Engine{Stack},
	},
	{
		ID: "R4", File: "replica_inbox.go", Func: "replica.takeForwarded",
		Find: "case s > o.next: return", Replace: "case s > o.next: o.next = s + 1; r.takeEntry(key, o, e)",
		Wrong: "a leader takes a proposal that follows a gap: what fills it is never taken",
		By:    []*Engine{test(".", "TestForwardAfterAGapIsLeftUnanswered")},
	},
	{
		ID: "R5", File: "replica_forward.go", Func: "replica.forwardTo",
		Find: "if f.first < f.sent && now >= f.resendAt {", Replace: "if false {",
		Wrong: "a forwarded proposal that was lost is not sent again (H10)",
		By:    []*Engine{Stack},
	},
	{
		ID: "R6", File: "replica_inbox.go", Func: "replica.takeEntry",
		Find: "o.add(answer)", Replace: "",
		Wrong: "a refusal is not remembered: when its answer is lost, the origin hears nothing more",
		By:    []*Engine{test(".", "TestRefusalIsToldAgain")},
	},
	{
		ID: "R7", File: "replica_forward.go", Func: "replica.forwardAnswered",
		Find: "|| m.Round != r.incarnation ", Replace: "",
		Wrong: "an answer to an earlier run of the process is believed",
		By:    []*Engine{test(".", "TestScenarioH10AnswerToAnEarlierRun")},
	},
	{
		ID: "R8", File: "replica_reads.go", Func: "replica.readAnswered",
		Find: "|| answer.ID != q.id ", Replace: "",
		Wrong: "a late answer confirms reads that were asked after it (R2)",
		By:    []*Engine{Stack},
	},
	{
		ID: "R9", File: "replica_reads.go", Func: "replica.askRead",
		Find: "q.id++", Replace: "",
		Wrong: "a read that is asked again has the same id: the first answer confirms those that joined since (R2)",
		By:    []*Engine{Stack},
	},
	{
		ID: "R10", File: "replica_reads.go", Func: "replica.readAnswered",
		Find: "if r.hasApplied(answer.Index) {", Replace: "{",
		Wrong: "a read ends before its index is applied",
		By:    []*Engine{Stack},
	},
	{
		ID: "R11", File: "replica.go", Func: "replica.tick",
		Find: "if late {", Replace: "if false {",
		Wrong: "a process that was paused campaigns over unread heartbeats (H9)",
		By:    []*Engine{test(".", "TestScenarioH9PausedReplicaReadsBeforeItCampaigns")},
	},
	{
		ID: "R32", File: "replica.go", Func: "replica.look",
		Find: "max(due-last, r.looked.Add(r.cfg.HeartbeatInterval))", Replace: "max(due-last+last, r.looked.Add(r.cfg.HeartbeatInterval))",
		Wrong: "a machine that was stalled for less than an election timeout campaigns over heartbeats that are about to be sent (H9)",
		By:    []*Engine{test(".", "TestScenarioH9StalledMachineKeepsItsLeader")},
	},
	{
		ID: "R33", File: "election.go", Func: "Raft.handlePreVote",
		Find: "max(r.election.heard.Add(r.cfg.ElectionTimeout), r.election.patience)", Replace: "r.election.heard.Add(r.cfg.ElectionTimeout)",
		Wrong: "a replica that has just woken from a pause helps to depose a leader from which it has not read yet (H9)",
		By:    []*Engine{test(".", "TestScenarioH9StalledReplicaDoesNotHelpToDeposeALeader")},
	},
	{
		ID: "R12", File: "replica_reads.go", Func: "replica.readAnswered",
		Find: "if !answer.OK {", Replace: "if !answer.OK { return };if false {",
		Wrong: "a read that failed with its leader is not asked again (R4)",
		By:    []*Engine{Stack},
	},
}

// Of how calls end, and of applying.
var outcomes = []Mutation{
	{
		ID: "M13b", File: "replica.go", Func: "replica.persistFailed",
		Find: "r.core.PersistFailed(now, err) r.end(stopped(err))", Replace: "r.durable++; r.core.Persisted(now, r.durable); r.settle(now)",
		Wrong: "a write that failed is taken for durable",
		By:    []*Engine{Stack},
	},
	{
		ID: "M35e", File: "replica_apply.go", Func: "replica.nextTask",
		Find: "t := a.tasks[0] n := copy(a.tasks, a.tasks[1:])", Replace: "n := len(a.tasks) - 1; t := a.tasks[n]",
		Wrong: "tasks of the state machine are done out of order",
		By:    []*Engine{Stack},
	},
	{
		ID: "M35f", File: "replica_apply.go", Func: "replica.restored",
		Find: "r.apply.index, r.apply.term = opened.Index, max(r.apply.term, opened.Term)", Replace: "r.apply.index, r.apply.term = t.snapshot.Index, max(r.apply.term, opened.Term)",
		Wrong: "a snapshot newer than asked for is taken for the one asked for: entries are applied twice",
		By:    []*Engine{test(".", "TestDeclinedSnapshotIsRestoredInPlaceOfAnOlderOne")},
	},
	{
		ID: "R20", File: "replica_admission.go", Func: "replica.syncTerm",
		Find: "r.inbox.clear()", Replace: "r.inbox.clear(); r.loseBefore(0, term)",
		Wrong: "a proposal counts as lost when its leader's term ends (H10)",
		By:    []*Engine{Stack},
	},
	{
		ID: "R21", File: "replica_proposals.go", Func: "replica.skipTo",
		Find: "r.resolve(now, slot, errSkipped, -1)", Replace: "r.resolve(now, slot, errLost, -1)",
		Wrong: "what a snapshot has skipped counts as lost (H10)",
		By:    []*Engine{Stack},
	},
	{
		ID: "R22", File: "replica_apply.go", Func: "replica.restored",
		Find: "r.skipTo(now, &opened)", Replace: "",
		Wrong: "what a snapshot has skipped is waited for",
		By:    []*Engine{Stack},
	},
	{
		ID: "R23", File: "replica_proposals.go", Func: "replica.met",
		Find: "|| e.Origin.Incarnation != r.incarnation ", Replace: "",
		Wrong: "an entry of an earlier run ends a proposal of this one",
		By:    []*Engine{Stack},
	},
	{
		ID: "R24", File: "replica_proposals.go", Func: "replica.abandon",
		Find: "fmt.Errorf(\"%w: %w\", ErrOutcomeUnknown, cause)", Replace: "fmt.Errorf(\"%w: %w\", ErrNotCommitted, cause)",
		Wrong: "a proposal that its caller gives up counts as not committed, wherever it is",
		By:    []*Engine{Stack},
	},
	{
		ID: "R25", File: "replica_proposals.go", Func: "replica.endProposals",
		Find: "fmt.Errorf(\"%w: %w\", ErrOutcomeUnknown, cause)", Replace: "fmt.Errorf(\"%w: %w\", ErrNotCommitted, cause)",
		Wrong: "what is in the log when the replica ends counts as not committed",
		By:    []*Engine{Stack},
	},
	{
		ID: "R26", File: "replica_proposals.go", Func: "replica.loseBefore",
		Find: "slot.term < term", Replace: "slot.term <= term",
		Wrong: "the first entry of a term ends that term's proposals as lost",
		By:    []*Engine{Stack},
	},
	{
		ID: "R27", File: "replica_apply.go", Func: "replica.applied",
		Find: "if e.Type == EntryCommand {", Replace: "{",
		Wrong: "an entry that is no command shifts the results",
		By:    []*Engine{Stack},
	},
	{
		ID: "R28", File: "replica_snapshots.go", Func: "replica.snapshotTaken",
		Find: "if err == nil && meta.Index > s.newest {", Replace: "if meta.Index > s.newest {",
		Wrong: "the log is compacted although the snapshot could not be written",
		By:    []*Engine{test(".", "TestSnapshotThatFails")},
	},
	{
		ID: "R29", File: "replica_snapshots.go", Func: "replica.endReceive",
		Find: "if err == nil {", Replace: "{",
		Wrong: "a snapshot whose data could not be stored is installed",
		By:    []*Engine{Stack},
	},
	{
		ID: "R30", File: "replica_proposals.go", Func: "replica.skipTo",
		Find: "case slot.term == snapshot.Term && slot.index > snapshot.Index:", Replace: "case slot.term == snapshot.Term && slot.index < snapshot.Index:",
		Wrong: "of a snapshot's term, the proposals that it covers are waited for",
		By:    []*Engine{Stack},
	},
	{
		ID: "R31", File: "replica_apply.go", Func: "replica.applied",
		Find: "r.loseBefore(now, e.Term)", Replace: "",
		Wrong: "a proposal that is lost never ends",
		By:    []*Engine{Stack},
	},
	{
		ID: "I2", File: "executor.go", Func: "executor.apply",
		Find: "err := checkIntact(t.entries)", Replace: "err := error(nil)",
		Wrong: "an entry that was damaged on the way is applied",
		By:    []*Engine{test(".", "TestDamagedEntryIsNotApplied"), Stack},
	},
	{
		ID: "I3", File: "replica_inbox.go", Func: "replica.takeEntry",
		Find: "case !e.Intact(): answer.limit = damaged", Replace: "",
		Wrong: "a forwarded proposal that was damaged on the way enters the log",
		By:    []*Engine{test(".", "TestDamagedForwardIsRefused"), Stack},
	},
	{
		ID: "I4", File: "replica_admission.go", Func: "replica.gather",
		Find: "if !e.Intact() {", Replace: "if false {",
		Wrong: "a proposal that changes while it waits enters the log",
		By:    []*Engine{test(".", "TestDamagedProposalIsRefused")},
	},
	{
		ID: "I1", File: "raft.go", Func: "Raft.checkAppendEntries",
		Find: "if !e.Intact() {", Replace: "if false {",
		Wrong: "a follower appends what was damaged between its leader and itself",
		By:    []*Engine{test(".", "TestDamagedAppendIsNotTaken")},
	},
	{
		ID: "I5", File: "replica_compare.go", Func: "replica.compareAnswer",
		Find: "case 2*votes > voters:", Replace: "case votes > 0:",
		Wrong: "the first answer is taken for that of a majority",
		By:    []*Engine{test(".", "TestDivergedWithoutAMajority")},
	},
	{
		ID: "I6", File: "replica_compare.go", Func: "mostCommon",
		Find: "&& isVoter(m, answers[j].node) ", Replace: "",
		Wrong: "learners vote on what the state is",
		By:    []*Engine{test(".", "TestDivergedLearner")},
	},
	{
		ID: "I7", File: "replica_compare.go", Func: "replica.pushCommitted",
		Find: "if n == 0 {", Replace: "{",
		Wrong: "the state is hashed at the end of whatever batch the request came in",
		By:    []*Engine{test(".", "TestRequestEndsATask")},
	},
	{
		ID: "I8", File: "departure.go", Func: "Raft.hearRemoval",
		Find: "r.leader == 0 && ", Replace: "",
		Wrong: "an overtaken answer to a pre-vote ends a node that was added again (E10)",
		By:    []*Engine{test(".", "TestScenarioE10RemovalHeardOfAfterTheReturn")},
	},
	{
		ID: "R29b", File: "replica.go", Func: "replica.settle",
		Find: "r.compactKept(now)", Replace: "",
		Wrong: "the log that was kept for a follower stays after that has caught up, until the next snapshot",
		By:    []*Engine{test(".", "TestScenarioL15SlowFollowerIsNotSentSnapshotsForever")},
	},
}

// Of package session.
var sessions = []Mutation{
	{
		ID: "X1", File: "session/ledger.go", Func: "ledger.judge",
		Find: "if sequence < s.acknowledged {", Replace: "if false {",
		Wrong: "a late repeat of a command whose result is not kept any more is applied again",
		By:    []*Engine{test("./session", "TestAcknowledgedIsRefused")},
	},
	{
		ID: "X2", File: "session/table.go", Func: "table.use",
		Find: "t.note(s.id)", Replace: "",
		Wrong: "the sessions that are stored are behind the data: after a power loss, a repeat is applied again",
		By:    []*Engine{test("./session", "TestDurableMachineWhereverThePowerFails")},
	},
	{
		ID: "X3", File: "session/snapshot.go", Func: "decodeHead",
		Find: "t.now, t.limits = d.number(maxNumber), d.limits()", Replace: "t.now = d.number(maxNumber); d.limits()",
		Wrong: "sessions expire earlier or later on replicas that were sent a snapshot",
		By:    []*Engine{test("./session", "TestSessionsUnderFaults")},
	},
	{
		ID: "X4", File: "session/hash.go", Func: "table.hash",
		Find: "write(b)", Replace: "",
		Wrong: "a replica whose sessions alone have diverged is not found",
		By:    []*Engine{test("./session", "TestDivergedSessionsAreFound")},
	},
}

package mutation

// Of leases.
var leases = []Mutation{
	{
		ID: "M31a", File: "lease.go", Func: "Raft.leaseLasts",
		Find: "from.earliest+lease > now.latest", Replace: "from.earliest+lease > now.earliest",
		Wrong: "a lease lasts while it may not be over, in place of while it is not",
		By:    []*Engine{test(".", "TestLeaseAllowsForTheErrorOfClocks")},
	},
	{
		ID: "M31b", File: "lease.go", Func: "Raft.leaseLasts",
		Find: "from.earliest+lease > now.latest", Replace: "from.latest+lease > now.latest",
		Wrong: "a lease is counted from the latest time at which its entry may have been created",
		By:    []*Engine{test(".", "TestLeaseAllowsForTheErrorOfClocks")},
	},
	{
		ID: "M31c", File: "guarded_read.go", Func: "guardedRead.counts",
		Find: "return g.x.replica.leaseReadValid(g.x.now(), g.lease)", Replace: "return true",
		Wrong: "the lease is checked before the state is read, and not after",
		By:    []*Engine{test(".", "TestScenarioR5NodeIsPausedInALeaseRead")},
	},
	{
		ID: "M31d", File: "lease.go", Func: "Raft.LeaseReadValid",
		Find: "read.term == r.term && ", Replace: "",
		Wrong: "what was read in one term is valid by the lease of another",
		By:    []*Engine{test(".", "TestLeaseReadIsOfOneTerm")},
	},
	{
		ID: "M31e", File: "lease.go", Func: "Raft.LeaseReadValid",
		Find: " && r.leased()", Replace: " && r.mayLease()",
		Wrong: "whoever still believes to lead takes a lease read for valid",
		By:    []*Engine{test(".", "TestScenarioR5PauseBetweenCheckAndRead")},
	},
	{
		ID: "M32", File: "lease.go", Func: "Raft.mayLease",
		Find: " && l.transferee == 0", Replace: "",
		Wrong: "a lease is kept after a transfer of leadership has begun",
		By:    []*Engine{test(".", "TestScenarioR5LeaseReadDuringATransfer")},
	},
	{
		ID: "M33a", File: "replication.go", Func: "Raft.advanceCommit",
		Find: "if !r.mayCommit() {", Replace: "if !r.mayCommit() && false {",
		Wrong: "commits are not deferred under a predecessor's lease",
		By:    []*Engine{Core, test(".", "TestScenarioR5RestartedFollowersElectInsideALease")},
	},
	{
		ID: "M33b", File: "lease.go", Func: "Raft.mayCommit",
		Find: "if end < now.earliest {", Replace: "if end < now.latest {",
		Wrong: "a deferral ends when the lease may be over, in place of when it is",
		By:    []*Engine{test(".", "TestDeferralEndsWithTheLease")},
	},
	{
		ID: "M33c", File: "lease.go", Func: "Raft.deferCommits",
		Find: "d.latest = r.log.stamp.latest", Replace: "d.latest = r.log.stamp.earliest",
		Wrong: "a deferral is counted from the earliest time at which the newest entry may have been created",
		By:    []*Engine{test(".", "TestDeferralEndsWithTheLease")},
	},
	{
		ID: "M33d", File: "lease.go", Func: "Raft.deferCommits",
		Find: "if r.log.stamped {", Replace: "if r.log.stamp.known() {",
		Wrong: "an entry without an interval is taken to be as old as the one before it (H17)",
		By:    []*Engine{test(".", "TestScenarioH17EntryWithoutAnInterval")},
	},
	{
		ID: "M33e", File: "lease.go", Func: "Raft.deferCommits",
		Find: "_, lease := r.members.leases(r.commit)", Replace: "lease, _ := r.members.leases(r.commit)",
		Wrong: "a deferral goes by the shorter of two leases (H17)",
		By:    []*Engine{test(".", "TestScenarioH17SuccessorGoesByTheLongerLease")},
	},
	{
		ID: "M33f", File: "lease.go", Func: "Raft.BeginLeaseRead",
		Find: "lease, _ := r.members.leases(r.commit)", Replace: "_, lease := r.members.leases(r.commit)",
		Wrong: "a lease read begins by the longer of two leases (H17)",
		By:    []*Engine{test(".", "TestScenarioH17ReadsGoByTheShorterLease")},
	},
	{
		ID: "M33g", File: "lease.go", Func: "Raft.leased",
		Find: "lease, _ := r.members.leases(r.commit)", Replace: "_, lease := r.members.leases(r.commit)",
		Wrong: "a lease read ends by the longer of two leases (H17)",
		By:    []*Engine{test(".", "TestScenarioH17ReadsGoByTheShorterLease")},
	},
	{
		ID: "M33h", File: "lease.go", Func: "Raft.deferralDeadline",
		Find: "return d.recheck", Replace: "return Never",
		Wrong: "the end of a deferral is no part of the deadline",
		By:    []*Engine{test(".", "TestDeferralEndsWithTheLease")},
	},
	{
		ID: "C120", File: "log.go", Func: "raftLog.truncate",
		Find: "l.restamp()", Replace: "",
		Wrong: "a truncated entry leaves its clock interval",
		By:    []*Engine{test(".", "TestTruncationForgetsTheStamp")},
	},
	{
		ID: "C121", File: "lease.go", Func: "Raft.renewLease",
		Find: "newest.earliest+lease/2 >= now.latest", Replace: "newest.earliest+lease/2 < now.latest",
		Wrong: "a lease is renewed while it is young, and not when it is old",
		By:    []*Engine{test(".", "TestLeaseIsRenewedByReads")},
	},
	{
		ID: "R120", File: "guarded_read.go", Func: "executor.beginLeaseRead",
		Find: "ok && x.replica.hasApplied(lease.Index)", Replace: "ok",
		Wrong: "a lease read does not wait for what is committed to be applied",
		By:    []*Engine{test(".", "TestLeaseReadWaitsForTheStateMachine")},
	},
	{
		ID: "R121", File: "replica_reads.go", Func: "replica.isFresh",
		Find: "now-r.reads.fresh < Instant(maxAge)", Replace: "r.reads.fresh != longAgo",
		Wrong: "a stale read is of any age",
		By:    []*Engine{Stack, test(".", "TestStaleReadIsOfBoundedAge")},
	},
}

package mutation

// Of calls about members, and of who comes and goes.
var memberCalls = []Mutation{
	{
		ID: "R60", File: "replica.go", Func: "replica.settle",
		Find: "if r.core.members.removed {", Replace: "if false {",
		Wrong: "a replica that was removed does not end",
		By:    []*Engine{Stack},
	},
	{
		ID: "R61", File: "executor_peers.go", Func: "executor.syncPeers",
		Find: "if x.peers[m.ID] != m.Address {", Replace: `if x.peers[m.ID] == "" {`,
		Wrong: "the transport does not learn a member's new address",
		By:    []*Engine{Stack},
	},
	{
		ID: "R62", File: "replica_membership.go", Func: "replica.changeEnded",
		Find: "case isJoint(m) || hasIntent(m):", Replace: "case false:",
		Wrong: "a change of the membership ends before it is done",
		By:    []*Engine{test(".", "TestAVoterJoins")},
	},
	{
		ID: "R63", File: "replica_membership.go", Func: "replica.changeEnded",
		Find: "return known && term > c.term, errChangeLost", Replace: "return known && term == 0, errChangeLost",
		Wrong: "a lost change ends only when the log has grown beyond it",
		By:    []*Engine{test("./rafttest", "TestALostChangeEndsSoon")},
	},
	{
		ID: "R64", File: "replica_membership.go", Func: "replica.changeEnded",
		Find: "case !slices.ContainsFunc(c.changes, func(change Change) bool { return !change.holds(m) }):", Replace: "case true:",
		Wrong: "a change that another one has replaced counts as done",
		By:    []*Engine{Stack},
	},
	{
		ID: "R65", File: "replica_membership.go", Func: "replica.changesWait",
		Find: "return r.mayChange() && slices", Replace: "return false && slices",
		Wrong: "a change that waits for its leader's first commit waits for ever",
		By:    []*Engine{test("./rafttest", "TestAChangeThatIsRefused")},
	},
	{
		ID: "R66", File: "replica_membership.go", Func: "replica.transferEnded",
		Find: "case leader == r.cfg.ID || c.to != 0 && c.to != leader:", Replace: "case leader == r.cfg.ID && c.to == 0:",
		Wrong: "a transfer counts as done whoever leads",
		By:    []*Engine{Stack},
	},
	{
		ID: "R67", File: "replica_membership.go", Func: "replica.transferEnded",
		Find: "&& !failed", Replace: "",
		Wrong: "a transfer that has failed does not end",
		By:    []*Engine{test("./rafttest", "TestTransferAndClose")},
	},
	{
		ID: "R68", File: "replica_membership.go", Func: "replica.transferEnded",
		Find: "case leader == 0:", Replace: "case false:",
		Wrong: "a transfer counts as done when nobody leads",
		By:    []*Engine{Stack},
	},
	{
		ID: "R69", File: "replica_membership.go", Func: "replica.endMembers",
		Find: "for _, c := range r.members.changes {", Replace: "for _, c := range r.members.changes[:0] {",
		Wrong: "a change does not end with its replica",
		By:    []*Engine{test("./rafttest", "TestMemberCallsEndWithTheirReplica")},
	},
	{
		ID: "R70", File: "node.go", Func: "Node.Close",
		Find: "n.x.handOver(ctx)", Replace: "",
		Wrong: "a leader is closed without a hand-over",
		By:    []*Engine{test(".", "TestCloseHandsOver")},
	},
	{
		ID: "C96", File: "transfer.go", Func: "Raft.successor",
		Find: "|| p.marked ||", Replace: "||",
		Wrong: "leadership is handed to a voter whose storage is marked",
		By:    []*Engine{test(".", "TestScenarioE6TransferAndChangesOfTheMembership")},
	},
	{
		ID: "C97", File: "departure.go", Func: "Raft.hearMembership",
		Find: "case m.Reject && m.Round > f.round &&", Replace: "case m.Reject &&",
		Wrong: "a farewell that is late removes a node that was added again",
		By:    []*Engine{test(".", "TestScenarioE10WhatIsNoRemoval")},
	},
	{
		ID: "C98", File: "departure.go", Func: "Raft.hearRemoval",
		Find: "m.Commit > r.members.committed(r.commit).Index && ", Replace: "m.Commit > 0 && ",
		Wrong: "an old answer about a removal is believed",
		By:    []*Engine{test(".", "TestScenarioE10WhatIsNoRemoval")},
	},
	{
		ID: "C99", File: "departure.go", Func: "Raft.hearMembership",
		Find: "&& r.knowsItself()", Replace: "",
		Wrong: "a node that waits to be added takes a farewell for its own",
		By:    []*Engine{test(".", "TestScenarioE10WhatIsNoRemoval")},
	},
}

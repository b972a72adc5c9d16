package mutation

// fitToLead is the test with a case for each condition of Raft.preferred.
var fitToLead = []*Engine{test(".", "TestWhoIsFitToLead")}

// Of election priorities.
var priorities = []Mutation{
	{
		ID: "C140", File: "priority.go", Func: "Raft.preferred",
		Find: "p.voter && ", Replace: "",
		Wrong: "leadership is handed to a learner of higher priority",
		By:    fitToLead,
	},
	{
		ID: "C141", File: "priority.go", Func: "Raft.preferred",
		Find: "!p.marked && ", Replace: "",
		Wrong: "leadership is handed to a voter with marked storage",
		By:    fitToLead,
	},
	{
		ID: "C142", File: "priority.go", Func: "Raft.preferred",
		Find: "p.priority > r.members.selfPriority", Replace: "p.priority >= r.members.selfPriority",
		Wrong: "leadership is handed to a voter of the same priority",
		By:    fitToLead,
	},
	{
		ID: "C143", File: "priority.go", Func: "Raft.preferred",
		Find: " && p.state == replicating", Replace: "",
		Wrong: "leadership is handed to a voter of which it is not known where the logs agree",
		By:    fitToLead,
	},
	{
		ID: "C144", File: "priority.go", Func: "Raft.preferred",
		Find: "p.match >= r.commit && ", Replace: "",
		Wrong: "leadership is handed to a voter that lacks what is committed",
		By:    fitToLead,
	},
	{
		ID: "C145", File: "priority.go", Func: "Raft.preferred",
		Find: " && r.now < p.contact.Add(r.cfg.ElectionTimeout)", Replace: "",
		Wrong: "leadership is handed to a voter that is not heard from",
		By:    fitToLead,
	},
	{
		ID: "C146", File: "priority.go", Func: "Raft.preferred",
		Find: "best == nil || p.priority > best.priority", Replace: "true",
		Wrong: "of the fit voters the last one is preferred, in place of the one of highest priority",
		By:    []*Engine{test(".", "TestHighestPriorityIsPreferred")},
	},
	{
		ID: "C147", File: "priority.go", Func: "Raft.yield",
		Find: "_ = r.TransferLeadership(r.now, p.id)", Replace: "",
		Wrong: "a leader does not hand over to who should lead",
		By:    []*Engine{Core, Stack, test(".", "TestLeaderYieldsToAVoterOfHigherPriority")},
	},
	{
		ID: "C148", File: "priority.go", Func: "Raft.yield",
		Find: "r.now < max(y.since.Add(wait), y.notBefore)", Replace: "r.now < y.notBefore",
		Wrong: "a leader hands over to who should lead at once, before that one has been fit for a while",
		By:    []*Engine{test(".", "TestLeaderYieldsToAVoterOfHigherPriority")},
	},
	{
		ID: "C149", File: "priority.go", Func: "Raft.yield",
		Find: "wait << y.attempts", Replace: "wait",
		Wrong: "a leader tries again and again, as often, to hand over to who does not take over",
		By:    []*Engine{test(".", "TestLeaderBacksOffFromYielding")},
	},
	{
		ID: "C150", File: "priority.go", Func: "Raft.deference",
		Find: "return r.cfg.ElectionTimeout / 2", Replace: "return 0",
		Wrong: "who should not lead campaigns as early as who should",
		By:    []*Engine{test(".", "TestLowerPriorityCampaignsLater")},
	},
	{
		ID: "C151", File: "priority.go", Func: "Raft.deference",
		Find: "p.id != r.leader && ", Replace: "",
		Wrong: "a voter waits for the leader that may be gone",
		By:    []*Engine{test(".", "TestLowerPriorityCampaignsLater")},
	},
	{
		ID: "C152", File: "priority.go", Func: "Raft.deference",
		Find: "return r.cfg.ElectionTimeout / 2", Replace: "return 1 << 60",
		Wrong: "who should not lead never campaigns while there is one that should",
		By:    []*Engine{Core, test(".", "TestPriorityNeverPreventsALeader")},
	},
}

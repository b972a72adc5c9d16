package modelcheck

// Bounds are options that have a name.
type Bounds struct {
	Name    string
	Options Options
}

// Small returns bounds that are explored within seconds, each of which brings
// in some kinds of events. Together they reach most of the mutations of
// SCENARIOS.md, M, that do not need reads, a lost disk, or time; those that need the fewest states come first.
func Small() []Bounds {
	return []Bounds{
		{"an election, a slow disk and a crash", Options{
			Nodes: 3, MaxTerm: 1, MaxLog: 2, MaxTimeouts: 2, MaxCrashes: 1, MaxWrites: 2,
		}},
		{"replication and heartbeats", Options{
			Nodes: 3, MaxTerm: 1, MaxLog: 3, MaxTimeouts: 1, MaxProposals: 1, MaxRounds: 1,
		}},
		{"heartbeats to slow disks", Options{
			Nodes: 3, MaxTerm: 1, MaxLog: 1, MaxTimeouts: 1, MaxRounds: 1, MaxWrites: 2,
		}},
		{"one leader after the other", Options{
			Nodes: 3, MaxTerm: 2, MaxLog: 2, MaxTimeouts: 2, MaxStepDowns: 1,
		}},
		{"a leader's entries beyond its successor's", Options{
			Nodes: 3, MaxTerm: 2, MaxLog: 3, MaxTimeouts: 2, MaxProposals: 1,
		}},
		{"an even number of nodes", Options{
			Nodes: 4, MaxTerm: 1, MaxLog: 1, MaxTimeouts: 2,
		}},
		{"two nodes without budgets", Options{
			Nodes: 2, MaxTerm: 2, MaxLog: 1, MaxTimeouts: Unlimited, MaxCrashes: Unlimited, MaxStepDowns: Unlimited, MaxWrites: 1,
		}},
		{"snapshots", Options{
			Nodes: 3, MaxTerm: 1, MaxLog: 1, MaxTimeouts: 1, MaxRounds: 1, MaxCompactions: 1, MaxCrashes: 1, MaxWrites: 1,
		}},
		{"founders", Options{
			Nodes: 3, MaxTerm: 1, MaxLog: 1, MaxTimeouts: 2, MaxWrites: 1, Start: Founders,
		}},
		{"two changes", Options{
			Nodes: 2, MaxTerm: 2, MaxLog: 5, MaxTimeouts: 2, MaxChanges: 2,
		}},
		{"a change, slow disks and a crash", Options{
			Nodes: 2, MaxTerm: 2, MaxLog: 4, MaxTimeouts: 2, MaxChanges: 1, MaxCrashes: 1, MaxWrites: 1,
		}},
		{"a member joins", Options{
			Nodes: 2, Voters: 1, MaxTerm: 1, MaxLog: 4, MaxTimeouts: 1, MaxChanges: 1, MaxRounds: 2,
		}},
		{"a change and a transfer", Options{
			Nodes: 3, MaxTerm: 2, MaxLog: 3, MaxTimeouts: 1, MaxChanges: 1, MaxTransfers: 1,
		}},
		{"a change and two leaders", Options{
			Nodes: 3, MaxTerm: 2, MaxLog: 3, MaxTimeouts: 2, MaxChanges: 1,
		}},
		{"a lone node", Options{
			Nodes: 1, MaxTerm: 3, MaxLog: 3, MaxTimeouts: Unlimited, MaxProposals: Unlimited, MaxCrashes: Unlimited, MaxWrites: 3,
		}},
		{"two leaders, a slow disk and a crash", Options{
			Nodes: 3, MaxTerm: 2, MaxLog: 2, MaxTimeouts: 2, MaxCrashes: 1, MaxWrites: 1,
		}},
		{"three leaders", Options{
			Nodes: 3, MaxTerm: 3, MaxLog: 2, MaxTimeouts: 3,
		}},
	}
}

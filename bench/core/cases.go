// Package core measures this library's core, and etcd-raft's, without any I/O.
// README.md of the module states the conditions.
package core

import (
	"fmt"

	"github.com/seed-6281cb22/raft/bench/contest"
	"github.com/seed-6281cb22/raft/bench/internal/children"
)

// entrants are compared. The first one is what the others are compared with.
var entrants = []children.Entrant{{Name: children.Ours}, {Name: children.Etcd36}, {Name: children.Etcd37}}

// measurement is a part of the table.
type measurement struct {
	title string
	contest.Case
	// targets say how many times faster the first entrant should be than
	// another one, by that one's name.
	targets map[string]float64
	long    bool // each turn is one operation of many milliseconds
}

// Sizes of the cases. Of the two counts of groups, the one has all of a turn
// served from the caches, and the other none.
const (
	behind       = 100_000
	tail         = 10_000
	hotGroups    = 1
	coldGroups   = 10_000
	memoryGroups = 2_000
)

// measurements are all of the table's.
func measurements() []measurement {
	var all []measurement
	for _, wire := range []bool{false, true} {
		for _, bytes := range []int{16, 128, 1024} {
			all = append(all, proposals(bytes, wire)...)
		}
	}
	for _, voters := range []int{5, 7, 9} {
		all = append(all, measurement{
			title: fmt.Sprintf("%d voters, 128 B, one proposal per Ready", voters),
			Case:  contest.Case{Kind: contest.Propose, Voters: voters, Bytes: 128, Calls: 1, PerCall: 1},
		})
	}
	return append(all,
		measurement{title: "heartbeat", Case: contest.Case{Kind: contest.Heartbeat, Voters: 3}},
		measurement{title: "election", Case: contest.Case{Kind: contest.Vote, Voters: 3}},
		measurement{title: "ReadIndex, one at a time", Case: contest.Case{Kind: contest.Read, Voters: 3, Calls: 1}},
		measurement{title: "ReadIndex, 64 at once", Case: contest.Case{Kind: contest.Read, Voters: 3, Calls: 64}},
		measurement{title: "idle group, hot caches", Case: contest.Case{Kind: contest.Idle, Voters: 3, Groups: hotGroups}},
		measurement{title: fmt.Sprintf("idle groups, %d in turn", coldGroups), Case: contest.Case{Kind: contest.Idle, Voters: 3, Groups: coldGroups}},
		measurement{
			title: fmt.Sprintf("follower %d entries of 128 B behind", behind), long: true,
			Case: contest.Case{Kind: contest.CatchUp, Voters: 3, Bytes: 128, Behind: behind},
		},
		measurement{
			title: fmt.Sprintf("divergent tail of %d entries of 128 B", tail), long: true,
			Case: contest.Case{Kind: contest.Diverge, Voters: 3, Bytes: 128, Behind: tail},
		},
	)
}

// proposals are the three ways to propose.
func proposals(bytes int, wire bool) []measurement {
	title := fmt.Sprintf("%d B", bytes)
	one, batch := map[string]float64{children.Etcd37: 10, children.Etcd36: 5}, map[string]float64{children.Etcd37: 15}
	if wire {
		title += ", encoded"
		one, batch = map[string]float64{children.Etcd37: 8}, nil
	}
	if bytes != 128 {
		one, batch = nil, nil
	}
	c := contest.Case{Kind: contest.Propose, Voters: 3, Bytes: bytes, Wire: wire, Calls: 1, PerCall: 1}
	calls, message := c, c
	calls.Calls, message.PerCall = 64, 64
	return []measurement{
		{title: title + ", one proposal per Ready", Case: c, targets: one},
		{title: title + ", 64 Propose calls per Ready", Case: calls, targets: batch},
		{title: title + ", one call with 64 entries", Case: message, targets: batch},
	}
}

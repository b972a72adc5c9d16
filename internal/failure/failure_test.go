package failure

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft/internal/tape"
)

func TestReport(t *testing.T) {
	full := Report{
		Engine:        "rafttest",
		Seed:          42,
		Violation:     "leader completeness: node 3 leads term 7 without entry 12 of term 5,\nwhich nodes 1 and 2 have committed\n",
		Before:        "leader completeness: node 5 leads term 31 without entry 90 of term 22",
		Replay:        "go test ./mykv -run TestSimulation -rafttest.seed 42",
		Recorded:      &tape.Recording{Decisions: []uint64{1, 2, 3, 0, 5}, Spans: []tape.Span{{Start: 0, End: 2}, {Start: 2, End: 5}}},
		Reduced:       &tape.Recording{Decisions: []uint64{0, 2}, Spans: []tape.Span{{Start: 0, End: 2}}},
		ReplayReduced: "go test ./mykv -run TestSimulation -rafttest.replay /tmp/seed-42.tape",
		Setup:         []string{"3 nodes, election timeout 1s, one entry per message", "faults: crash 2%, loss 10%"},
		History:       "/tmp/seed-42.html",
		Transcript: `    step         time  1 2 3
       4    3.000000s  1 . .  candidate of term 2
       5    3.000000s  1 . .  RequestVote to 3
`,
	}
	require.Equal(t, `rafttest: seed 42: leader completeness: node 3 leads term 7 without entry 12 of term 5,
  which nodes 1 and 2 have committed

replay    go test ./mykv -run TestSimulation -rafttest.seed 42
reduced   go test ./mykv -run TestSimulation -rafttest.replay /tmp/seed-42.tape
          to 2 decisions (1 not mild) in 1 spans, from 5 decisions (4 not mild) in 2 spans
before    leader completeness: node 5 leads term 31 without entry 90 of term 22
setup     3 nodes, election timeout 1s, one entry per message
          faults: crash 2%, loss 10%
history   /tmp/seed-42.html

the last events of the reduced run:
    step         time  1 2 3
       4    3.000000s  1 . .  candidate of term 2
       5    3.000000s  1 . .  RequestVote to 3
`, full.String())

	unreduced := full
	unreduced.Violation = "a stale read"
	unreduced.Before = unreduced.Violation
	unreduced.Reduced, unreduced.ReplayReduced = nil, ""
	unreduced.Setup, unreduced.History = nil, ""
	unreduced.Transcript = "one event"
	require.Equal(t, `rafttest: seed 42: a stale read

replay    go test ./mykv -run TestSimulation -rafttest.seed 42
          not reduced: 5 decisions (4 not mild) in 2 spans

the last events:
one event
`, unreduced.String())

	least := Report{Engine: "coresim", Seed: 1, Violation: "two leaders of term 3"}
	require.Equal(t, "coresim: seed 1: two leaders of term 3\n", least.String())
}

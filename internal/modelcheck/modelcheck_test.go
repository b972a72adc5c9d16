package modelcheck

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func check(t *testing.T, o Options) Report {
	t.Helper()
	r, err := Check(context.Background(), o, nil)
	require.NoError(t, err)
	t.Logf("%d states, %d transitions, depth %d, %d node states, %d messages, %v",
		r.States, r.Transitions, r.Depth, r.NodeStates, r.Messages, r.Elapsed)
	return r
}

// The shipping core within small bounds, each of which brings in some kinds of
// events: nothing is broken, and nothing was left out.
func TestCheckFindsNothing(t *testing.T) {
	for name, o := range map[string]Options{
		"elections, one after the other": {Nodes: 3, MaxTerm: 2, MaxLog: 2, MaxTimeouts: 2, MaxStepDowns: 1},
		"replication and heartbeats":     {Nodes: 3, MaxTerm: 1, MaxLog: 2, MaxTimeouts: 1, MaxProposals: Unlimited, MaxRounds: 1},
		"a slow disk and crashes":        {Nodes: 3, MaxTerm: 1, MaxLog: 2, MaxTimeouts: 2, MaxCrashes: 1, MaxWrites: 2},
		"two nodes without budgets": {
			Nodes: 2, MaxTerm: 2, MaxLog: 1, MaxTimeouts: Unlimited, MaxCrashes: Unlimited, MaxStepDowns: Unlimited, MaxWrites: 1,
		},
		"snapshots":   {Nodes: 2, MaxTerm: 1, MaxLog: 3, MaxTimeouts: 1, MaxProposals: 1, MaxRounds: 2, MaxCompactions: 1, MaxCrashes: 1, MaxWrites: 1},
		"founders":    {Nodes: 3, MaxTerm: 1, MaxLog: 1, MaxTimeouts: 2, MaxCrashes: 1, MaxWrites: 1, Start: Founders},
		"a lone node": {Nodes: 1, MaxTerm: 3, MaxLog: 3, MaxTimeouts: Unlimited, MaxProposals: Unlimited, MaxCrashes: Unlimited, MaxWrites: 3},
	} {
		t.Run(name, func(t *testing.T) {
			r := check(t, o)
			require.Nil(t, r.Violation)
			require.True(t, r.Complete)
			require.Greater(t, r.States, 20)
			require.Greater(t, r.Transitions, r.States)
		})
	}
}

// Every kind of event that bounds allow happens, and leads on.
func TestCheckTakesEveryKindOfEvent(t *testing.T) {
	c := newChecker(Options{
		Nodes: 2, MaxTerm: 1, MaxLog: 2, MaxTimeouts: 1, MaxProposals: 1, MaxStepDowns: 1, MaxRounds: 1,
		MaxCrashes: 1, MaxWrites: 1, MaxCompactions: 1,
	})
	_, err := c.run(context.Background(), nil)
	require.NoError(t, err)
	taken := [compact + 1]int{}
	for _, o := range c.parents[1:] {
		taken[decodeEvent(o.event).kind]++
	}
	for k, n := range taken {
		require.NotZero(t, n, kindNames[k])
	}
	committed := uint8(0)
	for n := range c.parents {
		s := c.replay(c.way(uint32(n)), nil)
		committed = max(committed, s.ghost.committed)
	}
	require.Equal(t, uint8(2), committed, "the term's first entry, and what was proposed")
}

// forgetful is a group whose disks forget a vote when their node crashes, which
// no Raft survives.
var forgetful = Options{Nodes: 3, MaxTerm: 1, MaxLog: 1, MaxTimeouts: 2, MaxCrashes: 1, MaxWrites: 1, Disk: ForgetsVotes}

func TestCheckFindsADiskThatForgetsVotes(t *testing.T) {
	r := check(t, forgetful)
	require.NotNil(t, r.Violation)
	require.False(t, r.Complete)
	transcript := strings.Join(r.Violation.Transcript, "\n")
	t.Logf("\n%s", transcript)
	require.Contains(t, r.Violation.Broken, "election safety")
	require.Contains(t, transcript, "crash and restart")
	require.Equal(t, 2, strings.Count(transcript, "node 1: election timeout")+strings.Count(transcript, "node 2: election timeout")+
		strings.Count(transcript, "node 3: election timeout"))

	sound := forgetful
	sound.Disk = Keeps
	require.Nil(t, check(t, sound).Violation)
}

// What is found, and after how many events, is the same whether states are
// reduced or not.
func TestSymmetryHidesNoViolation(t *testing.T) {
	all := forgetful
	all.Symmetry = Full
	reduced, full := check(t, forgetful), check(t, all)
	require.NotNil(t, full.Violation)
	require.Equal(t, full.Violation.Events, reduced.Violation.Events)
	kind, _, _ := strings.Cut(full.Violation.Broken, ":")
	require.Contains(t, reduced.Violation.Broken, kind)
	require.Less(t, reduced.States, full.States)
}

// Each state that reduction keeps stands for as many as there are different
// ones among its permutations, and for all of them.
func TestSymmetryKeepsOneStateOfEachOrbit(t *testing.T) {
	for name, o := range map[string]Options{
		"elections":   {Nodes: 3, MaxTerm: 2, MaxLog: 2, MaxTimeouts: 2},
		"replication": {Nodes: 3, MaxTerm: 1, MaxLog: 2, MaxTimeouts: 1, MaxProposals: 1},
		"two nodes":   {Nodes: 2, MaxTerm: 2, MaxLog: 2, MaxTimeouts: Unlimited, MaxCrashes: 1, MaxWrites: 1},
	} {
		t.Run(name, func(t *testing.T) {
			c := newChecker(o)
			_, err := c.run(context.Background(), nil)
			require.NoError(t, err)
			orbits := 0
			for n := range c.parents {
				s := c.replay(c.way(uint32(n)), nil)
				images := map[hash128]bool{}
				for p := range c.permutations {
					images[c.print(&s, p)] = true
				}
				orbits += len(images)
			}
			o.Symmetry = Full
			require.Equal(t, check(t, o).States, orbits)
			require.Less(t, len(c.parents), orbits)
		})
	}
}

// The way to every state that is kept leads to that state.
func TestReplayLeadsToTheState(t *testing.T) {
	c := newChecker(Options{Nodes: 3, MaxTerm: 2, MaxLog: 2, MaxTimeouts: 2, MaxCrashes: 1, MaxWrites: 1, MaxStates: 5000})
	_, err := c.run(context.Background(), nil)
	require.ErrorIs(t, err, errTooManyStates)
	for n := range c.parents {
		s := c.replay(c.way(uint32(n)), nil)
		require.False(t, c.seen.add(c.fingerprint(&s)))
	}
}

func TestCheckIsDeterministic(t *testing.T) {
	o := Options{Nodes: 3, MaxTerm: 1, MaxLog: 2, MaxTimeouts: 1, MaxProposals: 1, MaxRounds: 1}
	first, second := check(t, o), check(t, o)
	first.Elapsed, second.Elapsed = 0, 0
	require.Equal(t, first, second)
}

// Whoever stops a check early is told so.
func TestCheckThatEndsEarlyIsNotComplete(t *testing.T) {
	o := Options{Nodes: 3, MaxTerm: 2, MaxLog: 2, MaxTimeouts: 2, MaxStates: 100}
	r := check(t, o)
	require.False(t, r.Complete)
	require.Nil(t, r.Violation)
	require.GreaterOrEqual(t, r.States, 100)
	require.Less(t, r.States, 200)

	o.MaxStates, o.MaxDepth = 0, 3
	r = check(t, o)
	require.True(t, r.Complete, "within its bounds")
	require.Equal(t, 3, r.Depth)

	ctx, cancel := context.WithCancel(context.Background())
	o.MaxDepth = 0
	r, err := Check(ctx, o, func(p Progress) {
		if p.Depth == 2 {
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, r.Complete)
	require.Equal(t, 3, r.Depth)

	_, err = Check(context.Background(), Options{Nodes: 6, MaxTerm: 1, MaxLog: 1}, nil)
	require.ErrorContains(t, err, "Nodes is 6")
}

func TestStateSet(t *testing.T) {
	var s stateSet
	require.True(t, s.add(hash128{}))
	require.False(t, s.add(hash128{}))
	for i := range uint64(200_000) {
		require.True(t, s.add(hash128{hi: i + 1, lo: 7}), "the same slot for all")
		if i > 300 {
			break
		}
	}
	for i := range uint64(200_000) { // through a growth
		h := hash128{prime1, prime2}.with(i)
		if !s.add(h) || s.add(h) {
			t.Fatal(i)
		}
	}
	require.Equal(t, 200_303, s.len)
}

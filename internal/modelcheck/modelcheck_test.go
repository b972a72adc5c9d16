package modelcheck

import (
	"context"
	"strings"
	"testing"

	"github.com/seed-6281cb22/raft/raftpb"
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
	for _, b := range Small() {
		t.Run(b.Name, func(t *testing.T) {
			r := check(t, b.Options)
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
	members := newChecker(Options{Nodes: 2, MaxTerm: 2, MaxLog: 3, MaxTimeouts: 1, MaxChanges: 1, MaxTransfers: 1})
	_, err = members.run(context.Background(), nil)
	require.NoError(t, err)
	taken := [kinds]int{}
	for _, o := range append(c.parents[1:], members.parents[1:]...) {
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

// Members join, leave, and replace each other, the leader among them, and hear
// of it.
func TestSmallBoundsChangeTheMembership(t *testing.T) {
	reached := map[string]map[nodeSet]bool{}
	removed, asked := false, false
	for _, b := range Small() {
		if b.Name != "a member joins" && b.Name != "a change and a transfer" {
			continue
		}
		c := newChecker(b.Options)
		_, err := c.run(context.Background(), nil)
		require.NoError(t, err)
		voters := map[nodeSet]bool{}
		for i := range c.nodes.facts {
			f := &c.nodes.facts[i]
			voters[f.voters] = true
			removed = removed || f.removed
		}
		reached[b.Name] = voters
		for _, o := range c.parents[1:] {
			e := decodeEvent(o.event)
			asked = asked || e.kind == deliver && c.messages.facts[e.message].kind == raftpb.TimeoutNow
		}
	}
	require.Equal(t, map[nodeSet]bool{0: true, 1: true, 2: true, 3: true}, reached["a member joins"])
	require.Len(t, reached["a change and a transfer"], 7, "all sets of three but the empty one")
	require.True(t, removed)
	require.True(t, asked, "to campaign at once")
}

// Among the small bounds, every kind of message is sent, and delivered.
func TestSmallBoundsDeliverEveryKindOfMessage(t *testing.T) {
	delivered := map[raftpb.MessageType]bool{}
	for _, b := range Small() {
		if b.Name != "snapshots" && b.Name != "replication and heartbeats" {
			continue
		}
		c := newChecker(b.Options)
		_, err := c.run(context.Background(), nil)
		require.NoError(t, err)
		for _, o := range c.parents[1:] {
			if e := decodeEvent(o.event); e.kind == deliver {
				delivered[c.messages.facts[e.message].kind] = true
			}
		}
	}
	for kind := raftpb.PreVote; kind <= raftpb.InstallSnapshotReply; kind++ {
		// A pre-vote changes nothing at who is asked: it is answered without
		// an event.
		require.Equal(t, kind != raftpb.PreVote, delivered[kind], kind)
	}
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
		"elections":   {Nodes: 3, MaxTerm: 1, MaxLog: 2, MaxTimeouts: 2, MaxStepDowns: 1},
		"replication": {Nodes: 3, MaxTerm: 1, MaxLog: 2, MaxTimeouts: 1, MaxProposals: 1},
		"transfers":   {Nodes: 3, MaxTerm: 2, MaxLog: 2, MaxTimeouts: 1, MaxTransfers: 1},
		"members":     {Nodes: 2, MaxTerm: 2, MaxLog: 3, MaxTimeouts: 1, MaxChanges: 1},
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

// reached are the states of the nodes, and what is remembered of their past,
// that some state has, whatever its messages.
func reached(t *testing.T, c *checker) map[hash128]bool {
	_, err := c.run(context.Background(), nil)
	require.NoError(t, err)
	found := map[hash128]bool{}
	for n := range c.parents {
		s := c.replay(c.way(uint32(n)), nil)
		s.messages = nil
		found[c.fingerprint(&s)] = true
	}
	t.Logf("%d states, %d of them without their messages", len(c.parents), len(found))
	return found
}

// Without the messages that nobody needs, and with answers that need no event,
// the nodes come into the same states.
func TestForgottenMessagesAndAnswersHideNoState(t *testing.T) {
	for name, o := range map[string]Options{
		"elections":          {Nodes: 2, MaxTerm: 2, MaxLog: 2, MaxTimeouts: 2, MaxStepDowns: 1},
		"three nodes":        {Nodes: 3, MaxTerm: 1, MaxLog: 1, MaxTimeouts: 2},
		"replication":        {Nodes: 2, MaxTerm: 1, MaxLog: 3, MaxTimeouts: 1, MaxProposals: 1, MaxRounds: 1, MaxCrashes: 1},
		"members":            {Nodes: 2, MaxTerm: 2, MaxLog: 3, MaxTimeouts: 1, MaxChanges: 1, MaxTransfers: 1},
		"a slow disk":        {Nodes: 2, MaxTerm: 2, MaxLog: 2, MaxTimeouts: 2, MaxCrashes: 1, MaxWrites: 1},
		"founders, one term": {Nodes: 2, MaxTerm: 1, MaxLog: 1, MaxTimeouts: 2, MaxCrashes: 1, MaxWrites: 1, Start: Founders},
	} {
		t.Run(name, func(t *testing.T) {
			plain := newChecker(o)
			plain.plain = true
			require.Equal(t, reached(t, plain), reached(t, newChecker(o)))
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

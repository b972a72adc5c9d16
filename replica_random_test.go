package raft

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var (
	replicaFrom = flag.Uint64("replica.from", 0, "first seed of TestReplicaRandom")
	replicaRuns = flag.Uint64("replica.runs", 200, "number of seeds of TestReplicaRandom")
)

// TestReplicaRandom runs replicas under loss, duplication, reordering, delay,
// partition and crashes, with proposals and reads on any of them, callers that
// give up, snapshots and small limits. Every outcome must prove true, no
// command may be applied twice, and when the faults stop every call must end.
func TestReplicaRandom(t *testing.T) {
	counts := map[string]int{}
	for seed := *replicaFrom; seed < *replicaFrom+*replicaRuns; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runReplicaSwarm(t, seed, 3000, counts) })
	}
	t.Log(counts)
}

func runReplicaSwarm(t *testing.T, seed uint64, steps int, counts map[string]int) {
	rng := rand.New(rand.NewPCG(seed, 11))
	some := func(n int) int { // off in half of the runs
		if rng.IntN(2) == 0 {
			return 0
		}
		return 1 + rng.IntN(n)
	}
	nodes := []int{1, 2, 3, 3, 3, 4, 5}[rng.IntN(7)]
	message, uncommitted, pendingBytes := 1<<rng.IntN(12), 1<<(7+rng.IntN(10)), 1<<(10+rng.IntN(10))
	snapshotEntries, trailing := int64(1+rng.IntN(60)), int64(rng.IntN(20)-1)
	if rng.IntN(3) == 0 {
		snapshotEntries = -1
	}
	c := newSimCluster(t, nodes, func(cfg *Config) {
		cfg.MaxEntryBytes, cfg.MaxMessageBytes, cfg.MaxUncommittedBytes = 64, message, uncommitted
		cfg.MaxPendingBytes = pendingBytes
		cfg.SnapshotEntries, cfg.TrailingEntries = snapshotEntries, trailing
	})
	weights := []struct {
		weight int
		step   func(s *simReplica)
	}{
		{20 + rng.IntN(80), func(*simReplica) { // deliver
			if n := len(c.net); n > 0 {
				c.deliver(rng.IntN(min(n, 1+rng.IntN(8))))
			}
		}},
		{some(20), func(*simReplica) { // lose
			if n := len(c.net); n > 0 {
				i := rng.IntN(n)
				c.net = append(c.net[:i], c.net[i+1:]...)
			}
		}},
		{some(20), func(*simReplica) { // repeat
			if n := len(c.net); n > 0 {
				c.net = append(c.net, c.net[rng.IntN(n)])
			}
		}},
		{5 + rng.IntN(50), func(s *simReplica) {
			if s.r != nil && len(s.writes) > 0 {
				s.persist()
			}
		}},
		{5 + rng.IntN(30), func(s *simReplica) {
			if s.r != nil {
				s.work()
			}
		}},
		{2 + rng.IntN(20), func(s *simReplica) {
			if s.r == nil {
				return
			}
			if d := s.r.deadline(); d != Never && d < c.now.Add(2*time.Second) {
				c.now = max(c.now, d)
				s.tick()
			}
		}},
		{5 + rng.IntN(30), func(s *simReplica) {
			if s.r != nil {
				command := fmt.Sprintf("%d.%d", s.id, len(c.calls))
				if rng.IntN(30) == 0 {
					command += fmt.Sprintf("%0100d", 0)
				}
				s.propose(command)
			}
		}},
		{some(10), func(s *simReplica) {
			if s.r != nil {
				s.read()
			}
		}},
		{some(10), func(*simReplica) { // give up
			if n := len(c.calls); n > 0 {
				c.calls[n-1-rng.IntN(min(n, 20))].giveUp()
			}
		}},
		{some(2), func(s *simReplica) { // crash or start
			if s.r != nil {
				c.crash(s)
			} else {
				c.start(s)
			}
		}},
		{some(2), func(s *simReplica) { // cut off or heal
			if rng.IntN(2) == 0 {
				c.isolate(s.id)
			} else {
				c.heal()
			}
		}},
		{10, func(s *simReplica) {
			switch {
			case s.r == nil:
			case s.taking != nil && rng.IntN(4) == 0:
				s.finishSnapshot()
			case len(s.logReads) > 0:
				s.answerLogRead()
			case len(s.sends) > 0:
				s.sendSnapshot()
			case len(c.receives) > 0 && rng.IntN(4) == 0:
				c.finishReceive(rng.IntN(len(c.receives)), rng.IntN(4) > 0)
			}
		}},
		{some(3), func(s *simReplica) {
			if s.r != nil {
				s.r.unreachable(c.now, NodeID(1+rng.IntN(nodes)))
				s.after()
			}
		}},
	}
	total := 0
	for _, w := range weights {
		total += w.weight
	}
	for range steps {
		pick := rng.IntN(total)
		for _, w := range weights {
			if pick -= w.weight; pick < 0 {
				w.step(c.replicas[rng.IntN(nodes)])
				break
			}
		}
	}
	c.heal()
	for _, s := range c.replicas {
		if s.r == nil {
			c.start(s)
		}
	}
	c.elect()
	c.run(3 * time.Second)
	c.check()
	for _, call := range c.calls {
		counts[kindOf(call)]++
	}
}

func kindOf(call *simCall) string {
	kind := "proposal "
	if call.read {
		kind = "read "
	}
	switch {
	case call.given:
		kind += "given up, "
	case !call.ended:
		return kind + "on a crashed replica"
	}
	switch {
	case call.err == nil:
		return kind + "ok"
	case errors.Is(call.err, errSkipped):
		return kind + "skipped"
	case errors.Is(call.err, errLost):
		return kind + "lost"
	case errors.Is(call.err, ErrNotCommitted):
		return kind + "not committed"
	case errors.Is(call.err, ErrOutcomeUnknown):
		return kind + "unknown"
	}
	return kind + call.err.Error()
}

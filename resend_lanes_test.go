package raft

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

// laned is a network like transport/tcp's: what has entries, or asks after
// them, goes from node 1 to node 2 through a queue that is drained slowly. All
// else overtakes it.
type laned struct {
	c           *testCluster
	queue       []flying
	queued      int            // bytes
	limit, rate int            // bytes that the queue holds, and that leave it in a millisecond
	credit      int            // bytes that may leave it now
	left        int            // messages that have left it
	lost        func(int) bool // whether the nth one is lost then
	sent        int            // bytes of all that was queued
	unreachable bool           // to be told
}

func (l *laned) size(m *Message) int {
	_, size := bulk([]Message{*m})
	return 10 + size
}

// launch takes what the nodes send.
func (l *laned) launch() {
	c := l.c
	for len(c.net) > 0 {
		f := c.net[0]
		c.net = c.net[1:]
		size := l.size(&f.m)
		switch {
		case f.m.To != 2 || f.m.Type != raftpb.AppendEntries || len(f.m.Entries) == 0 && f.m.Index <= f.m.Match:
			c.receive(f)
		case l.queued > 0 && l.queued+size > l.limit:
			l.unreachable = true
		default:
			l.queued, l.sent = l.queued+size, l.sent+size
			l.queue = append(l.queue, f)
		}
	}
}

func (l *laned) step() {
	c := l.c
	c.now = c.now.Add(time.Millisecond)
	if l.unreachable {
		l.unreachable = false
		c.node(1).r.Unreachable(c.now, 2)
		c.after(c.node(1))
		l.launch()
	}
	for l.credit += l.rate; len(l.queue) > 0 && l.size(&l.queue[0].m) <= l.credit; l.launch() {
		f := l.queue[0]
		l.queue = l.queue[1:]
		l.credit -= l.size(&f.m)
		l.queued -= l.size(&f.m)
		if l.left++; l.lost == nil || !l.lost(l.left) {
			c.receive(f)
		}
	}
	if len(l.queue) == 0 {
		l.credit = 0
	}
	for _, n := range c.nodes {
		if n.r.Deadline() <= c.now {
			c.tick(n.id)
		}
		for len(n.writes) > 0 {
			c.persist(n.id)
		}
		c.applyNext(n.id)
		for len(n.logReads) > 0 {
			c.answerLogRead(n.id)
		}
	}
	l.launch()
}

// Heartbeats that are answered at once do not have all that is on a slow way
// sent again and again when a message of it was lost, or may have been. (Each
// rejection of what followed the lost one, and each queue that was full, started
// another pipeline with the next heartbeat's answer: 500 times the data.)
func TestLossOnASlowWayThatHeartbeatsOvertakeDoesNotMultiply(t *testing.T) {
	const entries, size, rate = 400, 1000, 10
	for name, l := range map[string]laned{
		"nothing is lost":             {limit: 1 << 30},
		"one is lost":                 {limit: 1 << 30, lost: func(n int) bool { return n == 20 }},
		"a connection breaks":         {limit: 1 << 30, lost: func(n int) bool { return n > 20 && n < 50 }, unreachable: true},
		"some are lost":               {limit: 1 << 30, lost: func(n int) bool { return n%100 == 3 }},
		"the queue is full":           {limit: 100 << 10},
		"it is full, and one is lost": {limit: 100 << 10, lost: func(n int) bool { return n == 20 }},
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestCluster(t, 3, nil)
			c.elect(1)
			c.run(time.Second)
			l.c, l.rate = c, rate
			for range entries {
				require.NoError(t, c.propose(1, strings.Repeat("x", size)))
				l.launch()
				for _, id := range []NodeID{1, 3} {
					for len(c.node(id).writes) > 0 {
						c.persist(id)
					}
				}
				l.launch()
			}
			leader, peer := c.node(1).r, c.node(1).r.peer(2)
			for ms := 0; peer.match < leader.Last() || peer.state != replicating; ms++ {
				require.Less(t, ms, 5*entries*size/rate, "caught up to %d of %d", peer.match, leader.Last())
				l.step()
			}
			require.Less(t, l.sent, 5*entries*size)
		})
	}
}

// However slow the way is, however short its queue, and whatever is lost on it
// for a while: then the peer catches up. (A queue that is full was filled, with
// each heartbeat's answer, with what it held already, for ever.)
func TestPeerOnASlowWayThatHeartbeatsOvertakeCatchesUp(t *testing.T) {
	const proposing, failing, patience = 2000, 3000, 60_000 // ms
	for seed := range uint64(40) {
		random := rand.New(rand.NewPCG(seed, 0))
		c := newTestCluster(t, 3, func(cfg *CoreConfig) {
			cfg.MaxMessageBytes, cfg.MaxWindowBytes = 3000<<random.IntN(8), 64<<10<<random.IntN(8)
		})
		c.elect(1)
		c.run(time.Second)
		ms, loss, proposed := 0, random.Float64()/10, 0
		l := &laned{c: c, rate: 5 + random.IntN(200), limit: 10 << 10 << random.IntN(8)}
		l.lost = func(int) bool { return ms < failing && random.Float64() < loss }
		leader, peer := c.node(1).r, c.node(1).r.peer(2)
		for ; ms < failing || peer.match < leader.Last() || peer.state != replicating; ms++ {
			require.Less(t, ms, patience, "seed %d: caught up to %d of %d", seed, peer.match, leader.Last())
			if size := random.IntN(2000); ms < proposing && random.IntN(10) == 0 && c.propose(1, strings.Repeat("x", size)) == nil {
				proposed += size + entryOverhead
				l.launch()
			}
			if ms < failing && random.IntN(500) == 0 { // a connection breaks
				gone := random.IntN(len(l.queue) + 1)
				for i := range gone {
					l.queued -= l.size(&l.queue[i].m)
				}
				l.queue, l.unreachable = l.queue[gone:], true
			}
			l.step()
		}
		require.Equal(t, Leader, leader.Role(), "seed %d", seed)
		require.Less(t, l.sent, 10*proposed, "seed %d", seed)
	}
}

package raft_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bubble"
	"github.com/seed-6281cb22/raft/transport/inmem"
)

// history is what clients saw: of each command when its call began and ended,
// and as what.
type history struct {
	mu       sync.Mutex
	started  time.Time
	acked    map[string]ack
	refused  map[string]error
	position int // the highest one that was acknowledged
}

type ack struct {
	begun, ended time.Duration
	position     int
}

// TestNodesUnderPartitions: clients on all nodes while the network loses,
// duplicates, delays and cuts, and nodes stop and start. In the end the journal
// must be a linearization of what the clients saw.
func TestNodesUnderPartitions(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			virtual(t, func(t *testing.T, ctx context.Context) { runPartitions(t, ctx, seed) })
		})
	}
}

func runPartitions(t *testing.T, ctx context.Context, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 3))
	c := newCluster(t, 3, func(cfg *raft.Config) {
		cfg.SnapshotEntries, cfg.TrailingEntries = int64(20+seed*10), int64(seed*3)
		cfg.MaxMessageBytes = 800 << seed
	})
	c.network.SetFaults(inmem.Faults{MinDelay: time.Millisecond, MaxDelay: 20 * time.Millisecond, Loss: 0.02, Duplicate: 0.05})
	h := &history{started: time.Now(), acked: map[string]ack{}, refused: map[string]error{}}
	run, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	nodes := make(chan struct{}, 1) // a lock; who waits for a mutex would stop virtual time
	var clients sync.WaitGroup
	for client := range 9 {
		random := rand.New(rand.NewPCG(seed, uint64(client)))
		clients.Go(func() {
			for i := 0; run.Err() == nil; i++ {
				nodes <- struct{}{}
				node, journal := c.nodes[client%3], c.journals[client%3]
				<-nodes
				if node == nil {
					bubble.Sleep(100 * time.Millisecond)
					continue
				}
				short, cancel := context.WithTimeout(run, time.Duration(random.IntN(3000))*time.Millisecond)
				if i%4 == 3 {
					h.read(t, short, node, journal)
				} else {
					h.write(t, short, node, fmt.Sprintf("%d.%d", client, i))
				}
				cancel()
				bubble.Sleep(time.Duration(random.IntN(50)) * time.Millisecond)
			}
		})
	}
	for run.Err() == nil {
		bubble.Sleep(time.Duration(500+rng.IntN(2000)) * time.Millisecond)
		id := c.members[rng.IntN(3)].ID
		switch rng.IntN(4) {
		case 0:
			c.network.Isolate(id)
		case 1:
			c.network.Block(id, c.members[rng.IntN(3)].ID)
		case 2:
			c.network.HealAll()
		case 3:
			nodes <- struct{}{}
			c.stop(int(id) - 1)
			<-nodes
			bubble.Sleep(time.Duration(rng.IntN(2000)) * time.Millisecond)
			nodes <- struct{}{}
			c.start(int(id) - 1)
			<-nodes
		}
	}
	clients.Wait()
	c.network.HealAll()
	for i := 0; ; i++ { // a snapshot may skip one: then nobody knows
		if _, err := c.nodes[0].Propose(ctx, fmt.Append(nil, "last ", i)); err == nil {
			break
		}
	}
	h.check(t, c.requireSame())
	require.Greater(t, len(h.acked), 100)
	t.Logf("%+v", c.network.Stats())
}

func (h *history) write(t *testing.T, ctx context.Context, node *raft.Node[int], command string) {
	begun := time.Since(h.started)
	position, err := node.Propose(ctx, []byte(command))
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		h.acked[command] = ack{begun, time.Since(h.started), position}
		h.position = max(h.position, position)
	case errors.Is(err, raft.ErrOutcomeUnknown):
		require.NotErrorIs(t, err, raft.ErrNotCommitted)
	default:
		h.refused[command] = err
	}
}

func (h *history) read(t *testing.T, ctx context.Context, node *raft.Node[int], j *journal) {
	h.mu.Lock()
	seen := h.position
	h.mu.Unlock()
	if node.ReadBarrier(ctx) == nil {
		require.GreaterOrEqual(t, len(j.all()), seen, "a read misses what was acknowledged before it")
	}
}

func (h *history) check(t *testing.T, journal []string) {
	at := map[string]int{}
	for i, command := range journal {
		require.Zero(t, at[command], "%q is applied twice", command)
		at[command] = i + 1
	}
	for command, a := range h.acked {
		require.Equal(t, a.position, at[command], "%q", command)
	}
	for command, err := range h.refused {
		require.Zero(t, at[command], "%q is applied, and its proposer was told: %v", command, err)
	}
	latest := time.Duration(0) // the latest begin of what comes before in the journal
	for _, command := range journal {
		if a, acked := h.acked[command]; acked {
			require.GreaterOrEqual(t, a.ended, latest, "%q had ended before another began that comes before it", command)
			latest = max(latest, a.begun)
		}
	}
	t.Logf("%d acknowledged, %d refused, journal of %d", len(h.acked), len(h.refused), len(journal))
}

package raft_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/bubble"
)

// listener records the events of one node, and that they never come two at a
// time.
type listener struct {
	mu      sync.Mutex
	events  []raft.Event
	busy    atomic.Bool
	overlap atomic.Bool
}

func (l *listener) on(e raft.Event) {
	if !l.busy.CompareAndSwap(false, true) {
		l.overlap.Store(true)
	}
	l.mu.Lock()
	l.events = append(l.events, e)
	l.mu.Unlock()
	l.busy.Store(false)
}

// of returns the events of some kinds.
func (l *listener) of(kinds ...raft.EventKind) []raft.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []raft.Event
	for _, e := range l.events {
		if slices.Contains(kinds, e.Kind) {
			found = append(found, e)
		}
	}
	return found
}

// tapped lets a test be a peer of the node.
type tapped struct {
	raft.Transport
	handler raft.Handler
}

func (t *tapped) Start(self raft.Identity, h raft.Handler) error {
	t.handler = h
	return t.Transport.Start(self, h)
}

// nonsense is a message that every replica ignores.
var nonsense = []raft.Message{{From: 7, To: 1, Term: 1}}

func listened(n int) ([]*listener, func(*raft.Config)) {
	listeners := make([]*listener, n)
	return listeners, func(cfg *raft.Config) {
		l := new(listener)
		listeners[cfg.ID-1] = l
		cfg.OnEvent = l.on
	}
}

// The names and numbers are stable.
func TestEventKinds(t *testing.T) {
	names := map[string]bool{}
	for k := raft.EventRole; k <= raft.EventCommitDeferralEnded; k++ {
		require.NotEmpty(t, k.String())
		require.False(t, names[k.String()], "%v twice", k)
		names[k.String()] = true
	}
	require.Equal(t, "event 0", raft.EventKind(0).String())
	require.Equal(t, fmt.Sprint("event ", int(raft.EventCommitDeferralEnded)+1), (raft.EventCommitDeferralEnded + 1).String())
	require.EqualValues(t, 1, raft.EventRole)
	require.EqualValues(t, 17, raft.EventSnapshotAccepted)
	require.EqualValues(t, 34, raft.EventsLost)
	require.EqualValues(t, 35, raft.EventDiverged)
	require.EqualValues(t, 37, raft.EventCommitDeferralEnded)
	e := raft.Event{Kind: raft.EventPeerState, Role: raft.Leader, Term: 3, Leader: 1, Peer: 2, State: raft.PeerReplicating, Index: 7}
	require.Equal(t, "peer state: leader of term 3, leader 1, peer 2 replicating, index 7", e.String())
	e = raft.Event{Kind: raft.EventEnded, Term: 3, Count: 2, Duration: time.Second, Reason: "why", Err: errors.New("what")}
	require.Equal(t, "ended: follower of term 3, count 2, for 1s, why, what", e.String())
}

func TestOnEventTellsALifeInOrder(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		listeners, configure := listened(3)
		c := newCluster(t, 3, configure)
		leader := c.leader()
		c.propose(leader, "x")
		require.NoError(t, c.nodes[leader].TransferLeadership(ctx, c.members[(leader+1)%3].ID))
		synctest.Wait()
		l := listeners[leader]

		roles := l.of(raft.EventRole)
		term := raft.Term(0)
		for _, e := range roles {
			require.GreaterOrEqual(t, e.Term, term, "in order")
			term = e.Term
		}
		led := slices.IndexFunc(roles, func(e raft.Event) bool { return e.Role == raft.Leader })
		require.Greater(t, led, 1, "it was a candidate before it led")
		require.Equal(t, c.members[leader].ID, roles[led].Leader)
		require.Equal(t, raft.Follower, roles[len(roles)-1].Role)
		require.Equal(t, c.members[(leader+1)%3].ID, roles[len(roles)-1].Leader)
		require.Equal(t, c.members[(leader+1)%3].ID, l.of(raft.EventTransferBegun)[0].Peer)
		require.Empty(t, l.of(raft.EventTransferFailed))
		require.NotEmpty(t, l.of(raft.EventUnmarked), "a founder")
		require.Len(t, l.of(raft.EventPeerState), 2)

		require.NoError(t, c.nodes[leader].Close(ctx))
		all := len(l.events)
		require.Equal(t, raft.EventEnded, l.events[all-1].Kind)
		require.ErrorIs(t, l.events[all-1].Err, raft.ErrClosed)
		synctest.Wait()
		require.Len(t, l.events, all, "Close waits for the last one, and nothing comes after it")
		require.False(t, l.overlap.Load())
	})
}

// A listener may ask the node things.
func TestOnEventMayCallTheNode(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		var node *raft.Node[int]
		started, answers := make(chan struct{}), make(chan error, 1)
		c := newCluster(t, 1, func(cfg *raft.Config) {
			cfg.OnEvent = func(e raft.Event) {
				if e.Kind == raft.EventMembership {
					<-started
					node.Status()
					_, err := node.Propose(ctx, []byte("from the listener"))
					answers <- err
				}
			}
		})
		node = c.nodes[0]
		close(started)
		require.NoError(t, <-answers)
	})
}

// A listener that does not return holds up nothing, and is told how much it
// has missed.
func TestOnEventThatBlocksHoldsUpNothing(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		gate := make(chan struct{})
		var lost atomic.Uint64
		var tap *tapped
		c := newCluster(t, 1, func(cfg *raft.Config) {
			tap = &tapped{Transport: cfg.Transport}
			cfg.Transport = tap
			cfg.OnEvent = func(e raft.Event) {
				<-gate
				if e.Kind == raft.EventsLost {
					lost.Add(e.Count)
				}
			}
		})
		c.propose(0, "x")
		for range 5000 {
			tap.handler.Deliver(nonsense)
		}
		c.propose(0, "y")
		close(gate)
		synctest.Wait()
		require.Greater(t, lost.Load(), uint64(500))
	})
}

func TestSnapshotEvents(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		listeners, configure := listened(3)
		c := newCluster(t, 3, func(cfg *raft.Config) {
			configure(cfg)
			cfg.SnapshotEntries, cfg.TrailingEntries = 10, -1
		})
		leader, behind := c.leader(), c.follower()
		c.propose(leader, "before")
		c.network.Isolate(c.members[behind].ID)
		for i := range 30 {
			c.propose(leader, fmt.Sprint(i))
		}
		c.network.HealAll()
		c.requireSame()
		synctest.Wait()
		taken := listeners[leader].of(raft.EventSnapshotTaken)
		require.NotEmpty(t, taken)
		sent := listeners[leader].of(raft.EventSnapshotSending, raft.EventSnapshotSent)
		require.Len(t, sent, 2)
		require.Equal(t, c.members[behind].ID, sent[1].Peer)
		for i, e := range listeners[behind].of(raft.EventSnapshotReceiving, raft.EventSnapshotAccepted, raft.EventSnapshotRestored) {
			require.Equal(t, []raft.EventKind{raft.EventSnapshotReceiving, raft.EventSnapshotAccepted, raft.EventSnapshotRestored}[i], e.Kind)
			require.Equal(t, sent[1].Index, e.Index)
		}
		lost, back := listeners[leader].of(raft.EventPeerLost), listeners[leader].of(raft.EventPeerBack)
		if len(lost) > 0 {
			require.Equal(t, c.members[behind].ID, lost[0].Peer)
			require.Len(t, back, len(lost))
		}
	})
}

func TestSnapshotThatFailsIsReported(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		listeners, configure := listened(1)
		c := newCluster(t, 1, func(cfg *raft.Config) {
			configure(cfg)
			cfg.SnapshotEntries = 10
		})
		broken := errors.New("broken")
		c.journals[0].capture = func() error { return broken }
		for i := range 12 {
			c.propose(0, fmt.Sprint(i))
		}
		synctest.Wait()
		require.ErrorIs(t, listeners[0].of(raft.EventSnapshotNotTaken)[0].Err, broken)
		require.Empty(t, listeners[0].of(raft.EventSnapshotTaken))
	})
}

// slowStorage lets every write take a while, once it is told to.
type slowStorage struct {
	raft.Storage
	delay atomic.Int64
}

func (s *slowStorage) Save(w raft.Write, done func(error)) {
	s.Storage.Save(w, func(err error) {
		bubble.Sleep(time.Duration(s.delay.Load()))
		done(err)
	})
}

func TestSlowDiskAndSlowApplyAreReported(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		listeners, configure := listened(1)
		var slow *slowStorage
		c := newCluster(t, 1, func(cfg *raft.Config) {
			configure(cfg)
			slow = &slowStorage{Storage: cfg.Storage}
			cfg.Storage = slow
		})
		kinds := []raft.EventKind{raft.EventDiskSlow, raft.EventDiskRecovered, raft.EventApplySlow, raft.EventApplyRecovered}
		c.propose(0, "fast")
		synctest.Wait()
		require.Empty(t, listeners[0].of(kinds...))

		slow.delay.Store(int64(raft.DefaultElectionTimeout * 3 / 4))
		c.propose(0, "slow disk")
		slow.delay.Store(0)
		c.journals[0].apply = func([]raft.Entry) error {
			bubble.Sleep(raft.DefaultElectionTimeout)
			return nil
		}
		c.propose(0, "slow apply")
		c.journals[0].apply = nil
		c.propose(0, "fast")
		synctest.Wait()
		var seen []raft.EventKind
		for _, e := range listeners[0].of(kinds...) {
			seen = append(seen, e.Kind)
			if e.Kind == raft.EventDiskSlow || e.Kind == raft.EventApplySlow {
				require.GreaterOrEqual(t, e.Duration, raft.DefaultElectionTimeout/2)
				require.Less(t, e.Duration, raft.DefaultElectionTimeout, "while it goes on")
			}
		}
		require.Equal(t, kinds, seen)
	})
}

func TestOverloadIsReported(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		listeners, configure := listened(2)
		c := newCluster(t, 2, func(cfg *raft.Config) {
			configure(cfg)
			cfg.MaxEntryBytes, cfg.MaxPendingBytes = 100, 1000
		})
		leader := c.leader()
		c.propose(leader, "x")
		c.network.Isolate(c.members[1-leader].ID) // nothing is committed
		var calls sync.WaitGroup
		for range 20 {
			calls.Go(func() { c.nodes[leader].Propose(ctx, make([]byte, 100)) })
		}
		synctest.Wait()
		require.Len(t, listeners[leader].of(raft.EventOverloadBegun), 1)
		require.Empty(t, listeners[leader].of(raft.EventOverloadEnded))
		c.network.HealAll()
		calls.Wait()
		c.propose(c.leader(), "y")
		synctest.Wait()
		ended := listeners[leader].of(raft.EventOverloadEnded)
		require.Len(t, ended, 1)
		require.EqualValues(t, 20-4, ended[0].Count, "of 228 bytes each")
	})
}

// The log is made of the same events, one line each.
func TestLoggerWritesTheEvents(t *testing.T) {
	virtual(t, func(t *testing.T, ctx context.Context) {
		l := new(listener)
		core, lines := observer.New(zapcore.DebugLevel)
		var tap *tapped
		c := newCluster(t, 1, func(cfg *raft.Config) {
			tap = &tapped{Transport: cfg.Transport}
			cfg.Transport, cfg.OnEvent, cfg.Logger = tap, l.on, zap.New(core)
		})
		c.propose(0, "x")
		for range 5 {
			tap.handler.Deliver(nonsense)
		}
		c.stop(0)
		synctest.Wait()
		var events, messages []string
		ignored := 0
		for _, e := range l.events {
			if e.Kind == raft.EventIgnored {
				if ignored++; ignored&(ignored-1) != 0 {
					continue
				}
			}
			events = append(events, e.Kind.String())
		}
		for _, line := range lines.All() {
			messages = append(messages, line.Message)
			require.EqualValues(t, 1, line.ContextMap()["node"])
		}
		require.Equal(t, 5, ignored)
		require.Equal(t, events, messages)
		require.Equal(t, "ended", messages[len(messages)-1])
		require.True(t, strings.Contains(strings.Join(messages, ","), "message ignored"))
	})
}

package session

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
)

// model is what doc.go and result.go say, in the plainest way: one entry at a
// time, and search through everything.
type model struct {
	sessions map[ID]*modelSession
	limits   Limits
	now      uint64
	applied  int
}

type modelSession struct {
	opened, used uint64
	last         raft.Index
	acknowledged uint64
	results      map[uint64]*string // nil: not kept
}

func (m *model) apply(e raft.Entry) Result[string] {
	c, ok := decodeCommand(e.Data)
	switch {
	case !ok:
		return answer(Malformed)
	case c.kind == kindPlain:
		return applied(m.service(c.payload))
	case c.kind == kindOpen:
		m.limits = c.limits
		m.expire()
		for len(m.sessions) >= m.limits.MaxSessions {
			delete(m.sessions, m.leastRecentlyUsed())
		}
		id := ID{e.Index, c.id.Nonce}
		m.sessions[id] = &modelSession{m.now, m.now, e.Index, 1, map[uint64]*string{}}
		return Result[string]{Session: id}
	}
	s := m.sessions[c.id]
	if s == nil {
		return answer(Expired)
	}
	m.now = max(m.now, s.opened+c.age)
	s.used, s.last = m.now, e.Index
	m.expire()
	s.acknowledged = max(s.acknowledged, c.acknowledged)
	maps.DeleteFunc(s.results, func(n uint64, _ *string) bool { return n < s.acknowledged })
	switch {
	case c.kind == kindKeepAlive:
		return answer(OK)
	case c.kind == kindClose:
		delete(m.sessions, c.id)
		return answer(OK)
	case c.sequence < s.acknowledged:
		return answer(Acknowledged)
	}
	if first, repeat := s.results[c.sequence]; repeat && first == nil {
		return answer(ResultNotKept)
	} else if repeat {
		return applied(*first)
	}
	if c.sequence >= s.acknowledged+uint64(m.limits.MaxInFlight) {
		return answer(Busy)
	}
	value := m.service(c.payload)
	s.results[c.sequence] = nil
	if s.bytes()+len(value) <= m.limits.MaxResultBytes {
		s.results[c.sequence] = &value
	}
	return applied(value)
}

func (m *model) service(payload []byte) string {
	m.applied++
	return fmt.Sprintf("%d:%s", m.applied, payload)
}

func (m *model) expire() {
	maps.DeleteFunc(m.sessions, func(_ ID, s *modelSession) bool { return m.now-s.used > milliseconds(m.limits.TTL) })
}

func (m *model) leastRecentlyUsed() (oldest ID) {
	for id, s := range m.sessions {
		if o := m.sessions[oldest]; o == nil || s.last < o.last {
			oldest = id
		}
	}
	return oldest
}

func (s *modelSession) bytes() (n int) {
	for _, r := range s.results {
		if r != nil {
			n += len(*r)
		}
	}
	return n
}

// randomEntries is a history of some clients' commands, in which everything is
// repeated, reordered, forgotten and malformed.
func randomEntries(random *rand.Rand, n int) []raft.Entry {
	var commands [][]byte
	ids := []ID{{Index: 1000, Nonce: 7}}
	pick := func() ID { return ids[max(0, len(ids)-1-random.IntN(6))] }
	base := uint64(1)
	for i := range n {
		if random.IntN(6) == 0 {
			base++
		}
		acknowledged := base + random.Uint64N(3)
		var c []byte
		switch random.IntN(20) {
		case 0, 1:
			c = open(7, Limits{
				MaxSessions: 1 + random.IntN(5), MaxInFlight: 1 + random.IntN(4), MaxResultBytes: 1 + random.IntN(40),
				TTL: time.Duration(1+random.IntN(50)) * time.Millisecond,
			})
			ids = append(ids, ID{Index: raft.Index(i + 1), Nonce: 7})
		case 2:
			c = at([]kind{kindKeepAlive, kindClose}[random.IntN(2)], pick(), acknowledged, random.Uint64N(100))
		case 3:
			c = Plain([]byte("plain"))
		case 4:
			c = make([]byte, random.IntN(10))
			for i := range c {
				c[i] = byte(random.IntN(8))
			}
		case 5, 6, 7, 8, 9, 10:
			c = (&command{
				kind: kindCommand, id: pick(), age: random.Uint64N(30), acknowledged: acknowledged,
				sequence: acknowledged + random.Uint64N(5), payload: bytes.Repeat([]byte("x"), random.IntN(30)),
			}).encode()
		default:
			if len(commands) > 0 {
				c = commands[max(0, len(commands)-1-random.IntN(8))]
			}
		}
		commands = append(commands, c)
	}
	return entriesFrom(1, commands...)
}

// Whatever the history, and wherever batches end: a Machine answers as the
// model does, one that takes other batches, one that is restored in the middle
// and one that is durable by itself and crashes answer the same, and their
// states are the same wherever their batches meet.
func TestRandomHistories(t *testing.T) {
	statuses := map[Status]int{}
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 1))
		entries := randomEntries(random, 200)
		want := &model{sessions: map[ID]*modelSession{}}
		single, batched, restored := newReplica(t), newReplica(t), newReplica(t)
		durable := newDurableReplica(t)
		for len(entries) > 0 {
			batch := entries[:1+random.IntN(min(10, len(entries)))]
			entries = entries[len(batch):]
			var expected, one []Result[string]
			for i, e := range batch {
				expected = append(expected, want.apply(e))
				results := make([]Result[string], 1)
				require.NoError(t, single.Apply(batch[i:i+1], results))
				one = append(one, results...)
				statuses[results[0].Status]++
			}
			require.Equal(t, expected, one, "seed %d, from entry %d", seed, batch[0].Index)
			for _, m := range []raft.StateMachine[Result[string]]{batched, restored} {
				results := make([]Result[string], len(batch))
				require.NoError(t, m.Apply(batch, results))
				require.Equal(t, expected, results, "seed %d, entries %d to %d", seed, batch[0].Index, batch[len(batch)-1].Index)
			}
			require.Equal(t, expected, durable.apply(random, batch), "seed %d", seed)

			state := single.snapshot()
			require.Equal(t, state, batched.snapshot(), "seed %d, entry %d", seed, batch[len(batch)-1].Index)
			require.Equal(t, state, restored.snapshot(), "seed %d, entry %d", seed, batch[len(batch)-1].Index)
			require.Equal(t, durable.memory(), durable.stored(), "seed %d", seed)
			require.Equal(t, sessionsOf(single.table), sessionsOf(durable.machine.table), "seed %d", seed)
			require.Len(t, single.table.places, len(want.sessions))
			if random.IntN(4) == 0 {
				restored = newReplica(t)
				require.NoError(t, restored.Restore(bytes.NewReader(state)))
			}
		}
	}
	for s := OK; s <= Malformed; s++ {
		require.Greater(t, statuses[s], 30, "status %d is rare: %v", s, statuses)
	}
}

// sessionsOf returns the records of a table, by last use.
func sessionsOf(t *table) (records []string) {
	sessions := slices.Collect(t.capture())
	sortByUse(sessions)
	for _, s := range sessions {
		records = append(records, string(s.append(nil)))
	}
	return append(records, string(t.head()))
}

// A table's bounds hold whatever is committed.
func TestTableIsBounded(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	r := newReplica(t)
	limits := Limits{MaxSessions: 4, MaxInFlight: 8, MaxResultBytes: 64}
	for range 2000 {
		id := r.open(limits)
		for n := range uint64(3) {
			r.one(cmd(id, 1, 1+n*random.Uint64N(6), strings.Repeat("x", random.IntN(50))))
		}
		for s := range r.table.capture() {
			require.True(t, s.bytes <= 64 && len(s.results) <= 8)
		}
	}
	require.Equal(t, 5, r.table.slots)
	require.Len(t, r.table.places, 4)
}

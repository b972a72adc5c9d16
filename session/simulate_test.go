package session

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/rafttest"
)

// workload is what the clients of one simulated run have in mind, and what they
// have seen.
type workload struct {
	sessions []*clientSession
	clock    uint64 // in milliseconds, of all clients
	opens    uint64
	results  map[string]string // by payload
	counts   workloadCounts
}

// workloadCounts says what some replica has gone through.
type workloadCounts struct {
	repeats, refused, reopened int
	evicted                    int // by MaxSessions
	idle                       int // expired by TTL
}

// clientSession is a session as its client sees it.
type clientSession struct {
	id                 ID
	opened             uint64 // by clock
	acknowledged, next uint64
}

// command opens a session, or proposes a command of one: a new one or, as a
// client does that has heard nothing or an unknown outcome, one that was
// proposed before, on whatever node. A client that gives a command up, or has
// its result, says so from then on.
func (w *workload) command(c *rafttest.Choices) []byte {
	w.clock += uint64(c.Intn(10))
	if len(w.sessions) == 0 || c.Chance(0.04) {
		w.opens++
		limits := Limits{
			MaxSessions: 3 + c.Intn(3), MaxInFlight: 2 + c.Intn(3), MaxResultBytes: 200,
			TTL: time.Duration(50+c.Intn(400)) * time.Millisecond,
		}
		return (&command{kind: kindOpen, id: ID{Nonce: w.opens}, limits: limits}).encode()
	}
	s := w.sessions[max(0, len(w.sessions)-1-c.Intn(4))]
	if s.acknowledged < s.next && c.Chance(0.3) {
		s.acknowledged++
	}
	cmd := command{kind: kindCommand, id: s.id, age: w.clock - s.opened, acknowledged: s.acknowledged, sequence: s.next}
	if c.Chance(0.04) {
		cmd.kind = []kind{kindKeepAlive, kindClose}[c.Intn(2)]
		return cmd.encode()
	}
	if outstanding := s.next - s.acknowledged; outstanding == 4 || outstanding > 0 && c.Chance(0.5) {
		cmd.sequence = s.acknowledged + uint64(c.Intn(int(outstanding)))
	} else {
		s.next++
	}
	cmd.payload = fmt.Appendf(nil, "%v/%d", s.id, cmd.sequence)
	return cmd.encode()
}

// opened notes a session that some replica has opened.
func (w *workload) opened(id ID) {
	for _, s := range w.sessions {
		if s.id == id {
			return
		}
	}
	w.sessions = append(w.sessions, &clientSession{id: id, opened: w.clock, acknowledged: 1, next: 1})
}

// watched is a Machine or a DurableMachine, over a service that must apply no
// payload twice, and must answer each always the same.
type watched struct {
	raft.StateMachine[Result[string]]
	w       *workload
	table   func() *table
	applied func() []string
	reopen  func() error // nil: it is not durable by itself
}

func (w *workload) watchedMachine() *watched {
	j := &journal{}
	m := newMachine[string](j, stringCodec{})
	return &watched{
		StateMachine: m, w: w,
		table: func() *table { return m.table }, applied: func() []string { return j.applied },
	}
}

func (w *workload) watchedDurable() *watched {
	s := newStore()
	m, err := newDurable[string](s, stringCodec{})
	if err != nil {
		panic(err) // an empty store
	}
	watched := &watched{StateMachine: m, w: w, applied: func() []string { return s.data.Applied }}
	watched.table = func() *table { return m.table }
	watched.reopen = func() error {
		m, err = newDurable[string](s, stringCodec{})
		watched.StateMachine = m
		return err
	}
	return watched
}

func (m *watched) Apply(entries []raft.Entry, results []Result[string]) error {
	if m.reopen != nil && entries[0].Index%7 == 0 {
		m.w.counts.reopened++
		if err := m.reopen(); err != nil {
			return err
		}
	}
	sessions, fresh := len(m.table().places), len(m.applied())
	if err := m.StateMachine.Apply(entries, results); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, payload := range m.applied() {
		if seen[payload] {
			return fmt.Errorf("%s is applied twice", payload)
		}
		seen[payload] = true
	}
	m.w.counts.repeats -= len(m.applied()) - fresh
	for i := range results {
		if err := m.check(&entries[i], &results[i]); err != nil {
			return err
		}
	}
	if len(entries) == 1 {
		m.countExpiry(&entries[0], sessions)
	}
	return nil
}

// check checks an answer, and notes it.
func (m *watched) check(e *raft.Entry, result *Result[string]) error {
	w := m.w
	c, ok := decodeCommand(e.Data)
	switch {
	case !ok:
		return fmt.Errorf("a malformed command at %d", e.Index)
	case result.Session != ID{}:
		w.opened(result.Session)
	case result.Status != OK:
		w.counts.refused++
	case c.kind == kindCommand:
		w.counts.repeats++
		payload := string(c.payload)
		if first, there := w.results[payload]; there && first != result.Value {
			return fmt.Errorf("%s is answered %q, and was answered %q", payload, result.Value, first)
		}
		w.results[payload] = result.Value
	}
	return nil
}

// countExpiry counts the sessions that an entry let expire.
func (m *watched) countExpiry(e *raft.Entry, before int) {
	c, _ := decodeCommand(e.Data)
	gone := before - len(m.table().places)
	switch c.kind {
	case kindOpen:
		m.w.counts.evicted += gone + 1
	case kindCommand, kindKeepAlive:
		m.w.counts.idle += gone
	}
}

// StateHash makes the machines comparable, so that the sessions are compared
// during the runs too.
func (m *watched) StateHash() (uint64, error) { return m.table().hash(uint64(len(m.applied()))), nil }

// Commands of sessions, proposed again and again on any node while everything
// goes wrong, members come and go, replicas are sent snapshots and sessions
// expire, are applied once each, and are always answered the same.
//
// RAFTTEST_SEEDS and RAFTTEST_SEED in the environment are how many runs there
// are of each kind of machine, and the first one's seed.
func TestSessionsUnderFaults(t *testing.T) {
	seeds := fromEnvironment(t, "RAFTTEST_SEEDS", 30)
	for _, kind := range []struct {
		name    string
		machine func(w *workload) *watched
		first   uint64
	}{
		{"Machine", (*workload).watchedMachine, 0},
		{"DurableMachine", (*workload).watchedDurable, 1 << 32},
	} {
		t.Run(kind.name, func(t *testing.T) {
			first := fromEnvironment(t, "RAFTTEST_SEED", kind.first)
			var sum workloadCounts
			faults, happened := rafttest.Counts{}, rafttest.Counts{}
			for seed := first; seed < first+seeds; seed++ {
				w := &workload{results: map[string]string{}}
				result, err := rafttest.Simulation[*watched, Result[string]]{
					Machine:  func() *watched { return kind.machine(w) },
					Command:  w.command,
					Config:   func(c *raft.Config) { c.CompareStateEvery = 20 },
					Duration: 30 * time.Second,
					Requests: 300,
				}.Run(seed)
				require.NoError(t, err, "seed %d", seed)
				sum.repeats += w.counts.repeats
				sum.refused += w.counts.refused
				sum.reopened += w.counts.reopened
				sum.evicted += w.counts.evicted
				sum.idle += w.counts.idle
				for fault, n := range result.Faults {
					faults[fault] += n
				}
				for what, n := range result.Happened {
					happened[what] += n
				}
			}
			t.Logf("%+v\n%v\n%v", sum, faults, happened)
			if seeds < 30 {
				return // too few to require that all of it happened
			}
			require.Greater(t, sum.repeats, 1000)
			require.Greater(t, sum.evicted, 100)
			require.Greater(t, sum.idle, 30)
			require.Equal(t, kind.name == "DurableMachine", sum.reopened > 0)
			for _, what := range []string{"change done", "snapshot restored", "state hashed", "removed"} {
				require.NotZero(t, happened[what], what)
			}
		})
	}
}

func fromEnvironment(t *testing.T, name string, otherwise uint64) uint64 {
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(v, 10, 64)
	require.NoError(t, err, name)
	return n
}

package session

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/rafttest"
)

// workload is what the clients of one simulated run have in mind.
type workload struct {
	sessions  []*clientSession
	clock     uint64
	unrelated uint64 // numbers the sessions that are being opened
	repeats   int    // that some replica has answered from its table
}

// clientSession is a session as its client sees it.
type clientSession struct {
	id                 ID
	acknowledged, next uint64
}

var tight = Limits{MaxSessions: 3, MaxInFlight: 4, MaxResultBytes: 200, TTL: time.Hour}

// command opens a session, or proposes a command of one: a new one or, as a
// client does that has heard nothing, one that was proposed before. A client
// that gives a command up, or has its result, says so from then on.
func (w *workload) command(c *rafttest.Choices) []byte {
	if len(w.sessions) == 0 || c.Chance(0.02) {
		w.unrelated++
		return (&command{kind: kindOpen, id: ID{Nonce: w.unrelated}, limits: tight}).encode()
	}
	s := w.sessions[c.Intn(len(w.sessions))]
	w.clock++
	if s.acknowledged < s.next && c.Chance(0.3) {
		s.acknowledged++
	}
	sequence := s.next
	if outstanding := s.next - s.acknowledged; outstanding == uint64(tight.MaxInFlight) || outstanding > 0 && c.Chance(0.5) {
		sequence = s.acknowledged + uint64(c.Intn(int(outstanding)))
	} else {
		s.next++
	}
	return (&command{
		kind: kindCommand, id: s.id, age: w.clock, acknowledged: s.acknowledged, sequence: sequence,
		payload: fmt.Appendf(nil, "%v/%d", s.id, sequence),
	}).encode()
}

// opened notes a session that some replica has opened.
func (w *workload) opened(id ID) {
	for _, s := range w.sessions {
		if s.id == id {
			return
		}
	}
	w.sessions = append(w.sessions, &clientSession{id: id, acknowledged: 1, next: 1})
}

// watched is a Machine over a journal in which no payload may stand twice.
type watched struct {
	*Machine[string]
	journal *journal
	w       *workload
}

func (m *watched) Apply(entries []raft.Entry, results []Result[string]) error {
	before := len(m.journal.applied)
	if err := m.Machine.Apply(entries, results); err != nil {
		return err
	}
	fresh := len(m.journal.applied) - before
	for i := range results {
		switch {
		case results[i].Session != ID{}:
			m.w.opened(results[i].Session)
		case results[i].Status == OK && fresh > 0:
			fresh--
		case results[i].Status == OK:
			m.w.repeats++
		}
	}
	seen := map[string]bool{}
	for _, payload := range m.journal.applied {
		if seen[payload] {
			return fmt.Errorf("%s is applied twice", payload)
		}
		seen[payload] = true
	}
	return nil
}

// Commands of sessions, proposed again and again on any node while everything
// goes wrong, are applied once each.
func TestSessionsUnderFaults(t *testing.T) {
	var total rafttest.Result
	repeats, sessions := 0, 0
	for seed := range uint64(30) {
		w := &workload{}
		result, err := rafttest.Simulation[*watched, Result[string]]{
			Machine: func() *watched {
				j := &journal{}
				return &watched{newMachine[string](j, stringCodec{}), j, w}
			},
			Command:  w.command,
			Duration: 30 * time.Second,
			Requests: 300,
		}.Run(seed)
		require.NoError(t, err, "seed %d", seed)
		total.Succeeded += result.Succeeded
		repeats += w.repeats
		sessions += len(w.sessions)
	}
	t.Logf("%d succeeded, %d repeats answered by some replica, %d sessions", total.Succeeded, repeats, sessions)
	require.NotZero(t, total.Succeeded)
	require.Greater(t, repeats, 100)
	require.Greater(t, sessions, 100, "so that some expire")
}

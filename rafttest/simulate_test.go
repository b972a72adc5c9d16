package rafttest

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/tape"
)

// registers is a state machine of named registers. A command "key value" sets
// one, and its result is the value before.
type registers struct {
	values map[string]string
	before map[string]string // the values before the last ones
	forget string            // a key that no snapshot holds
}

func newRegisters() *registers {
	return &registers{values: map[string]string{}, before: map[string]string{}}
}

func (m *registers) Apply(entries []raft.Entry, results []string) error {
	for i := range entries {
		key, value, _ := strings.Cut(string(entries[i].Data), " ")
		results[i] = m.values[key]
		m.before[key] = m.values[key]
		m.values[key] = value
	}
	return nil
}

func (m *registers) Snapshot() (io.WriterTo, error) { return journalSnapshot(m.lines()), nil }

func (m *registers) lines() (lines []string) {
	for _, key := range slices.Sorted(maps.Keys(m.values)) {
		if key != m.forget {
			lines = append(lines, key+" "+m.values[key])
		}
	}
	return lines
}

func (m *registers) Restore(r io.Reader) error {
	j := new(Journal)
	if err := j.Restore(r); err != nil {
		return err
	}
	m.values = map[string]string{}
	for _, line := range j.Commands() {
		key, value, _ := strings.Cut(line, " ")
		m.values[key] = value
	}
	return nil
}

// register is the model of one of them.
type register string

func (r register) Apply(command []byte) (Model[string], string) {
	_, value, _ := strings.Cut(string(command), " ")
	return register(value), string(r)
}

func (r register) Read([]byte) string { return string(r) }

func registerSimulation() Simulation[*registers, string] {
	return Simulation[*registers, string]{
		Machine: newRegisters,
		Command: func(c *Choices) []byte {
			b := binary.AppendUvarint(nil, c.Uint64())
			return fmt.Appendf(nil, "%d %x", c.Intn(5), b)
		},
		Query: func(c *Choices) []byte { return fmt.Append(nil, c.Intn(5)) },
		Read:  func(m *registers, query []byte) string { return m.values[string(query)] },
		Model: register(""),
		Key: func(request []byte) string {
			key, _, _ := strings.Cut(string(request), " ")
			return key
		},
		Config:   func(c *raft.Config) { c.MaxEntryBytes = 1000 },
		MinNodes: 1,
	}
}

// Registers of their own under everything that can go wrong.
func TestSimulate(t *testing.T) {
	s := registerSimulation()
	s.Seeds = 60
	r := Simulate(t, s)
	t.Logf("%+v", r)
	require.NotZero(t, r.Succeeded)
	require.NotZero(t, r.Reads)
	require.NotZero(t, r.LeaseReads)
	require.NotZero(t, r.StaleReads)
	for _, what := range []string{
		"election", "start", "refusal to start", "power loss in a start", "snapshot received", "snapshot restored",
		"replica stopped by its disk", "mark ended", "majority left alone",
	} {
		require.NotZero(t, r.Happened[what], what)
	}
}

// Journals with commands of many sizes, in clusters whose limits are tight.
func TestSimulateJournal(t *testing.T) {
	r := Simulate(t, Simulation[*Journal, int]{
		Machine: func() *Journal { return new(Journal) },
		Command: func(c *Choices) []byte {
			b := fmt.Appendf(nil, "%x ", c.Uint64())
			return append(b, make([]byte, c.Intn(50)*c.Intn(2))...)
		},
		Config:   func(c *raft.Config) { c.MaxEntryBytes = 64 },
		MinNodes: 1, MaxNodes: 5,
		Seeds: 10, First: 1 << 32,
	})
	t.Logf("%+v", r)
	require.NotZero(t, r.Succeeded)
}

// Every kind of fault, by itself and long enough, happens and does no harm.
func TestEachFault(t *testing.T) {
	for i, name := range faultNames {
		t.Run(name, func(t *testing.T) {
			s := registerSimulation()
			s.Faults, s.Duration, s.Seeds = 1<<i, 20*time.Second, 10
			r := Simulate(t, s)
			for _, f := range faults {
				if f.kind == 1<<i {
					require.NotZero(t, r.Faults[f.name], f.name)
					delete(r.Faults, f.name)
				}
			}
			require.Empty(t, r.Faults, "no other one")

		})
	}
}

// The same tape gives the same states, whatever the machine does beside it. A
// recording of it, too.
func TestSimulationIsDeterministic(t *testing.T) {
	s := registerSimulation()
	for seed := range uint64(4) {
		var hashes []uint64
		for _, procs := range []int{1, 2, 2} {
			before := runtime.GOMAXPROCS(procs)
			o := s.run(tape.FromSeed(seed), withoutTranscript)
			runtime.GOMAXPROCS(before)
			require.Nil(t, o.failure)
			hashes = append(hashes, o.hash)
		}
		recorded := tape.FromSeed(seed)
		recording := recorded.Record()
		hashes = append(hashes, s.run(recorded, withTranscript).hash, s.run(tape.Replay(recording), withoutTranscript).hash)
		for _, hash := range hashes {
			require.Equal(t, hashes[0], hash, "seed %d: %x", seed, hashes)
		}
	}
}

// A mild tape is a mild run: what a reduction ends at when nothing matters.
func TestTheMildestRun(t *testing.T) {
	s := registerSimulation()
	o := s.run(new(tape.Tape), withoutTranscript)
	require.Nil(t, o.failure)
	require.Empty(t, o.faults)
	require.Equal(t, uint64(0), o.calls.Unknown+o.calls.NotCommitted)
	require.NotZero(t, o.calls.Succeeded)
}

// What is wrong with a user's service is found, reduced and reported.
func TestFindings(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	small := func() Simulation[*registers, string] {
		s := registerSimulation()
		s.Duration, s.Seeds, s.MaxNodes, s.Requests = 4*time.Second, 50, 3, 60
		return s
	}
	t.Run("stale read", func(t *testing.T) {
		s := small()
		s.Read = func(m *registers, query []byte) string { return m.before[string(query)] }
		message := failureOf(func(t TB) { Simulate(t, s) })
		require.Contains(t, message, "linearizability: history not linearizable")
		require.Contains(t, message, "RAFTTEST_SEED=")
		require.Contains(t, message, "go test -run '^TestOfAUser$' .")
		require.Contains(t, message, "the last events of the reduced run")
		page := regexp.MustCompile(`history +(.+\.html)`).FindStringSubmatch(message)
		require.FileExists(t, page[1])

		path := regexp.MustCompile(`RAFTTEST_TAPE=(\S+)`).FindStringSubmatch(message)
		t.Setenv("RAFTTEST_TAPE", path[1])
		require.Contains(t, failureOf(func(t TB) { Simulate(t, s) }), "linearizability: history not linearizable")
	})
	t.Run("lost in a snapshot", func(t *testing.T) {
		s := small()
		s.Seeds = 200
		s.Machine = func() *registers { m := newRegisters(); m.forget = "3"; return m }
		require.Contains(t, failureOf(func(t TB) { Simulate(t, s) }), "results: ")
	})
	t.Run("standstill", func(t *testing.T) {
		e := newEngine(new(tape.Tape), calm(1), host[*registers, string](newRegisters))
		var again func()
		again = func() { e.after(0, again) }
		again()
		e.run(raft.Instant(time.Second))
		require.ErrorContains(t, e.failure, "time stands still")
	})
	t.Run("panic", func(t *testing.T) {
		s := small()
		s.Command = func(c *Choices) []byte { return make([]byte, c.Intn(2)-1) }
		require.Contains(t, failureOf(func(t TB) { Simulate(t, s) }), "panic: runtime error: makeslice: len out of range")
	})
}

func TestSeedsOfTheEnvironment(t *testing.T) {
	s := registerSimulation()
	s.Faults, s.Duration = FaultPause, 4*time.Second
	t.Setenv("RAFTTEST_SEED", "7")
	first, count, err := s.seeds()
	require.NoError(t, err)
	require.Equal(t, []any{uint64(7), 1}, []any{first, count})
	t.Setenv("RAFTTEST_SEEDS", "3")
	first, count, err = s.seeds()
	require.NoError(t, err)
	require.Equal(t, []any{uint64(7), 3}, []any{first, count})
	require.Equal(t, 3, Simulate(t, s).Seeds)
	t.Setenv("RAFTTEST_SEEDS", "many")
	require.Contains(t, failureOf(func(t TB) { Simulate(t, s) }), "RAFTTEST_SEEDS")
	t.Setenv("RAFTTEST_TAPE", "/nonexistent")
	require.Contains(t, failureOf(func(t TB) { Simulate(t, s) }), "/nonexistent")
}

// BenchmarkEvents is the rate of the full stack, checks included.
func BenchmarkEvents(b *testing.B) {
	s := registerSimulation()
	s.MinNodes, s.MaxNodes = 3, 3
	var events uint64
	var virtual time.Duration
	for seed := uint64(0); b.Loop(); seed++ {
		o := s.run(tape.FromSeed(seed%50), withoutTranscript)
		if o.failure != nil {
			b.Fatal(o.failure)
		}
		events += o.events
		virtual += o.virtual
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(virtual.Hours()/b.Elapsed().Minutes(), "hours/min")
}

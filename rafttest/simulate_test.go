package rafttest

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/tape"
)

// registers is a state machine of named registers. A command "key value" sets
// one, and its result is the value before.
type registers struct {
	values map[string]string
}

func newRegisters() *registers { return &registers{map[string]string{}} }

func (m *registers) Apply(entries []raft.Entry, results []string) error {
	for i := range entries {
		key, value, _ := strings.Cut(string(entries[i].Data), " ")
		results[i] = m.values[key]
		m.values[key] = value
	}
	return nil
}

func (m *registers) Snapshot() (io.WriterTo, error) { return journalSnapshot(m.lines()), nil }

func (m *registers) lines() (lines []string) {
	for _, key := range slices.Sorted(maps.Keys(m.values)) {
		lines = append(lines, key+" "+m.values[key])
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

func TestSimulate(t *testing.T) {
	s := registerSimulation()
	s.Seeds = 30
	r := Simulate(t, s)
	t.Logf("%+v", r)
}

func TestSimulationIsDeterministic(t *testing.T) {
	s := registerSimulation()
	for seed := range uint64(5) {
		var hashes []uint64
		for _, procs := range []int{1, 2, 2} {
			before := runtime.GOMAXPROCS(procs)
			o := s.run(tape.FromSeed(seed), withoutTranscript)
			runtime.GOMAXPROCS(before)
			require.Nil(t, o.failure)
			hashes = append(hashes, o.hash)
		}
		require.Equal(t, hashes[0], hashes[1])
		require.Equal(t, hashes[0], hashes[2])
	}
}

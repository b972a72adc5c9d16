package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/coresim"
	"github.com/seed-6281cb22/raft/internal/tape"
)

// command runs raftsim and returns its status and what it says.
func command(args ...string) (status int, out, errs string) {
	var o, e bytes.Buffer
	status = run(context.Background(), args, &o, &e)
	return status, o.String(), e.String()
}

func TestSoak(t *testing.T) {
	status, out, errs := command("soak", "-seeds", "3", "-seed", "1", "-nodes", "3")
	require.Equal(t, clean, status, errs)
	require.Contains(t, out, "stack: 3 seeds")
	require.Contains(t, out, "core: 3 seeds")
	require.Contains(t, out, "nothing found")

	status, out, _ = command("soak", "-duration", "1ms", "-engine", "core", "-workers", "1")
	require.Equal(t, clean, status)
	require.NotContains(t, out, "stack")
}

// What an engine finds ends the soak, and is said.
func TestSoakThatFindsSomething(t *testing.T) {
	var out bytes.Buffer
	s := &soaking{out: &out, tallies: map[string]*tally{"core": {}}, stop: func() {}, seeds: 5}
	s.work(context.Background(), []string{"core"}, func(string) engine { return broken{} })
	require.Equal(t, found, s.summary([]string{"core"}))
	require.Contains(t, out.String(), "FOUND")
	require.Contains(t, out.String(), "seed 0 is wrong")
}

func TestReplay(t *testing.T) {
	for _, name := range engineNames {
		status, out, errs := command("replay", "-engine", name, "-seed", "3", "-nodes", "3")
		require.Equal(t, clean, status, errs)
		require.Contains(t, out, "AppendEntries")
	}

	// A file says which engine it is for.
	decisions := tape.FromSeed(3)
	recording := decisions.Record()
	_, err := coresim.Run(coresim.Config{Nodes: 3}, decisions)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "a.tape")
	file := tape.File{Seed: 3, Header: map[string]string{"engine": "core", "nodes": "3"}, Recording: recording}
	require.NoError(t, tape.WriteFile(path, file))
	_, bySeed, _ := command("replay", "-engine", "core", "-seed", "3", "-nodes", "3")
	status, byFile, errs := command("replay", path)
	require.Equal(t, clean, status, errs)
	require.Equal(t, bySeed, byFile)

	file.Header = map[string]string{"engine": "rafttest", "test": "TestMine"}
	require.NoError(t, tape.WriteFile(path, file))
	status, _, errs = command("replay", path)
	require.Equal(t, misuse, status)
	require.Contains(t, errs, "TestMine")
}

func TestCheck(t *testing.T) {
	status, out, errs := command("check", "-nodes", "2", "-terms", "1", "-log", "2")
	require.Equal(t, clean, status, errs)
	require.Contains(t, out, "explored all of it")
}

func TestTrace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trace.ndjson")
	status, out, errs := command("trace", "-seed", "2", "-o", path)
	require.Equal(t, clean, status, errs)
	require.Empty(t, out)
	lines, err := os.ReadFile(path)
	require.NoError(t, err)
	for line := range strings.Lines(string(lines)) {
		require.True(t, json.Valid([]byte(line)), "%s", line)
	}
	status, out, _ = command("trace", "-seed", "2")
	require.Equal(t, clean, status)
	require.Equal(t, string(lines), out)
}

func TestMisuse(t *testing.T) {
	for _, args := range [][]string{
		{}, {"nonsense"}, {"soak", "-nodes", "8"}, {"soak", "-engine", "none"}, {"soak", "rest"}, {"soak", "-no-such-flag"},
		{"replay", "-engine", "none"}, {"replay", "no such file"}, {"check", "-nodes", "9"}, {"trace", "-o", "/no/such/directory/file"},
	} {
		status, _, errs := command(args...)
		require.Equal(t, misuse, status, "%v", args)
		require.NotEmpty(t, errs, "%v", args)
	}
	status, _, errs := command("soak", "-h")
	require.Equal(t, clean, status)
	require.Contains(t, errs, "-duration")
}

func TestCount(t *testing.T) {
	require.Equal(t, "0", count(0))
	require.Equal(t, "999", count(999))
	require.Equal(t, "1,000", count(1000))
	require.Equal(t, "12,345,678", count(12345678))
}

// broken is an engine that finds every seed wrong.
type broken struct{}

func (broken) run(seed uint64) (outcome, error) {
	return outcome{events: 1}, fmt.Errorf("seed %d is wrong", seed)
}

func (broken) show(uint64, string) (string, error) { return "", nil }

func entries(command string) []raft.Entry { return []raft.Entry{{Data: []byte(command)}} }

// The simulated service is what its model says, and survives a snapshot.
func TestService(t *testing.T) {
	r, m := register{}, model("")
	for _, command := range []string{"a append xy", "a swap y z", "a swap q r", "a append w"} {
		results := make([]string, 1)
		require.NoError(t, r.Apply(entries(command), results))
		next, answer := m.Apply([]byte(command))
		require.Equal(t, answer, results[0])
		m = next.(model)
	}
	require.Equal(t, "zw", r["a"])
	require.Equal(t, "zw", m.Read(nil))

	source, err := r.Snapshot()
	require.NoError(t, err)
	var b bytes.Buffer
	_, err = source.WriteTo(&b)
	require.NoError(t, err)
	other := register{"b": "is replaced"}
	require.NoError(t, other.Restore(&b))
	require.Equal(t, r, other)
}

package wal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
)

// killDir is, in the environment, the directory of the process to be killed.
const killDir = "WAL_KILL_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killDir); dir != "" {
		if err := victim(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const victims = 4 // groups

// victim writes to several groups at once until it is killed, and prints a line
// for each entry that has been acknowledged.
func victim(dir string) error {
	log, err := Open(dir, Options{SegmentBytes: 128 << 10})
	if err != nil {
		return err
	}
	var group sync.WaitGroup
	failed := make(chan error, victims)
	for g := range raft.GroupID(victims) {
		group.Go(func() { failed <- suffer(log.Storage(g), g) })
	}
	return <-failed
}

// suffer appends entries, and votes in a new term with each; now and then it
// replaces the last one, and takes a snapshot and compacts.
func suffer(s raft.Storage, group raft.GroupID) error {
	state, err := s.Load()
	if err != nil {
		return err
	}
	term := state.HardState.Term
	for next := state.Last + 1; ; next++ {
		term++
		if term%7 == 0 && next > state.First+1 {
			next--
		}
		w := raft.Write{
			HardState: raft.HardState{Term: term, Vote: raft.NodeID(term%5 + 1)},
			Entries:   []raft.Entry{victimEntry(group, next, term)},
		}
		if err := saveOne(s, w); err != nil {
			return err
		}
		if _, err := fmt.Printf("%d %d %d\n", group, next, term); err != nil {
			return err
		}
		if next%64 == 0 {
			if err := retire(s, next-20); err != nil {
				return err
			}
		}
	}
}

// retire takes a snapshot of an index and compacts up to it.
func retire(s raft.Storage, index raft.Index) error {
	got, err := s.Entries(nil, index, index+1, 0)
	if errors.Is(err, raft.ErrCompacted) {
		return nil // by this one's predecessor
	} else if err != nil {
		return err
	}
	w, err := s.CreateSnapshot(raft.Snapshot{Index: index, Term: got[0].Term})
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := fmt.Fprint(w, index); err != nil {
		return err
	}
	if err := w.Commit(); err != nil {
		return err
	}
	return s.Compact(index)
}

func victimEntry(group raft.GroupID, index raft.Index, term raft.Term) raft.Entry {
	data := fmt.Appendf(nil, "group %d, entry %d of term %d, ", group, index, term)
	for i := range int(term*37) % 3000 {
		data = append(data, byte(i))
	}
	return raft.Entry{Index: index, Term: term, Data: data}
}

// acknowledged is what a victim has said of a group last.
type acknowledged struct {
	last raft.Index
	term raft.Term
}

// TestKill kills a process that writes to a real disk, again and again: what it
// has said to be acknowledged is there, and nothing that it has not written. It
// cannot show what a power loss would, which is TestProof's.
func TestKill(t *testing.T) {
	kills := 5
	if long() {
		kills = 300
	}
	dir := t.TempDir()
	acks := map[raft.GroupID]acknowledged{}
	total := 0
	for kill := range kills {
		n := 0 // while it opens the log
		if kill%5 != 4 {
			n = rand.IntN(400)
		}
		total += killAfter(t, dir, n, acks)
		verifyVictims(t, dir, acks)
	}
	t.Logf("%d kills, %d acknowledged writes, all of them recovered", kills, total)
}

// killAfter runs a victim and kills it when it has printed n lines. It notes
// all that it has printed, and returns how many lines that is.
func killAfter(t *testing.T, dir string, n int, acks map[raft.GroupID]acknowledged) (lines int) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	reader := bufio.NewReader(out)
	for killed := false; ; lines++ {
		if lines >= n && !killed {
			require.NoError(t, cmd.Process.Kill())
			killed = true
		}
		line, err := reader.ReadString('\n')
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		var g raft.GroupID
		var a acknowledged
		_, err = fmt.Sscanf(line, "%d %d %d\n", &g, &a.last, &a.term)
		require.NoError(t, err, line)
		acks[g] = a
	}
	require.ErrorContains(t, cmd.Wait(), "killed")
	require.GreaterOrEqual(t, lines, n)
	return lines
}

// verifyVictims opens the log and compares it with what was acknowledged: of
// each group at most one write more.
func verifyVictims(t *testing.T, dir string, acks map[raft.GroupID]acknowledged) {
	log, err := Open(dir, Options{SegmentBytes: 128 << 10})
	require.NoError(t, err)
	for g := range raft.GroupID(victims) {
		s := log.Storage(g)
		state, err := s.Load()
		require.NoError(t, err)
		a := acks[g]
		require.Contains(t, []raft.Term{a.term, a.term + 1}, state.HardState.Term, "group %d", g)
		if state.HardState.Term == a.term {
			require.Equal(t, a.last, state.Last, "group %d", g)
		} else {
			require.Contains(t, []raft.Index{a.last, a.last + 1}, state.Last, "group %d", g)
		}
		if a.term > 0 {
			require.Equal(t, raft.NodeID(state.HardState.Term%5+1), state.HardState.Vote)
		}
		got, err := s.Entries(nil, state.First, state.Last+1, 1<<30)
		require.NoError(t, err)
		require.Len(t, got, int(state.Last+1-state.First))
		for i, e := range got {
			require.Equal(t, victimEntry(g, state.First+raft.Index(i), e.Term), e)
		}
		acks[g] = acknowledged{state.Last, state.HardState.Term}
	}
	require.NoError(t, log.Close())
}

package coresim

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed-6281cb22/raft/internal/invariant"
	"github.com/seed-6281cb22/raft/internal/tape"
	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/stretchr/testify/require"
)

var (
	from = flag.Uint64("coresim.from", 0, "first seed of TestSwarm")
	runs = flag.Uint64("coresim.runs", 300, "number of seeds of TestSwarm")
)

// TestSwarm runs many seeds. What a failing one prints is how to repeat it.
func TestSwarm(t *testing.T) {
	var s Simulator
	total := Result{}
	begin := time.Now()
	for seed := *from; seed < *from+*runs; seed++ {
		result, err := s.Run(Config{}, tape.FromSeed(seed))
		if err != nil {
			t.Fatal(Explain(Config{}, seed))
		}
		total.add(&result)
	}
	t.Log(total.String(), time.Since(begin))
	for k, n := range total.Counts {
		require.True(t, n > 0 || *runs < 100, "no seed has a %v", Kind(k))
	}
	require.True(t, total.LeaseReads > 1000 || *runs < 100, "too few lease reads")
}

func (r *Result) add(o *Result) {
	r.Events += o.Events
	r.Virtual += o.Virtual
	r.Commits += o.Commits
	r.Terms += o.Terms
	r.LeaseReads += o.LeaseReads
	for k := range o.Counts {
		r.Counts[k] += o.Counts[k]
	}
}

func (r *Result) String() string {
	s := fmt.Sprintf("%d events, %v of virtual time, %d entries committed, %d terms, %d lease reads", r.Events, r.Virtual, r.Commits, r.Terms, r.LeaseReads)
	for k, n := range r.Counts {
		s += fmt.Sprintf(", %v %d", Kind(k), n)
	}
	return s
}

// Config.Plain leaves out what it says.
func TestPlainRuns(t *testing.T) {
	var s Simulator
	total := Result{}
	for seed := range uint64(60) {
		result, err := s.Run(Config{Plain: true}, tape.FromSeed(seed))
		require.NoError(t, err)
		total.add(&result)
		require.EqualValues(t, 1, s.swarm.batches)
		for i := range s.nodes {
			require.True(t, s.nodes[i].disk.hard.Unmarked)
		}
	}
	for _, k := range []Kind{Compact, FinishTransfer, ChangeMembers, HandOver, Wipe, PersistFails, BeginLeaseRead, EndLeaseRead, SetLease, ShiftClock} {
		require.Zero(t, total.Counts[k], "%v", k)
		total.Counts[k] = 1
	}
	for k, n := range total.Counts {
		require.NotZero(t, n, "no seed has a %v", Kind(k))
	}
}

// The same tape gives the same run, on one processor and on two, in fresh
// memory and in that of another run.
func TestRunsAreDeterministic(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var used Simulator
	for seed := range uint64(40) {
		runtime.GOMAXPROCS(1)
		first, err := Run(Config{}, tape.FromSeed(seed))
		require.NoError(t, err)
		runtime.GOMAXPROCS(2)
		second, err := used.Run(Config{}, tape.FromSeed(seed))
		require.NoError(t, err)
		require.Equal(t, first, second)
		require.NotZero(t, first.Hash)
	}
}

// liar watches a run, and changes what is delivered.
type liar struct {
	change        func(m *raftpb.Message)
	before, after int
	events        int // that cores have reported
}

func (l *liar) Before(e *Event) {
	l.before++
	if e.Message != nil && l.change != nil {
		l.change(e.Message)
	}
}

func (l *liar) After(e *Event) {
	l.after++
	if e.Ready != nil {
		l.events += len(e.Ready.Events)
	}
}

// An observer hears of everything, and changes nothing by that.
func TestObserverHearsOfEveryEvent(t *testing.T) {
	var watching liar
	watched, err := Run(Config{Observer: &watching}, tape.FromSeed(3))
	require.NoError(t, err)
	alone, err := Run(Config{}, tape.FromSeed(3))
	require.NoError(t, err)
	require.Equal(t, alone, watched)
	require.Greater(t, watching.before, alone.Events/2)
	require.GreaterOrEqual(t, watching.before, watching.after)
	require.NotZero(t, watching.events)
}

// What goes wrong is found, by name, with a transcript of the nodes' last
// events if one is asked for, and the same again from the tape.
func TestFailureIsFoundAndRepeated(t *testing.T) {
	acknowledgesTooMuch := func(m *raftpb.Message) {
		if m.Type == raftpb.AppendEntriesReply && !m.Reject && m.Index < m.Verified {
			m.Index++
		}
	}
	found := hunt(Config{Observer: &liar{change: acknowledgesTooMuch}}, 0, 100)
	require.NotNil(t, found)
	require.Equal(t, invariant.MatchTruthful, found.Failure.Violation.Checker)
	require.Positive(t, found.Events)

	recorded := tape.FromSeed(found.Seed)
	recording := recorded.Record()
	result, err := Run(Config{Observer: &liar{change: acknowledgesTooMuch}}, recorded)
	require.Error(t, err)
	require.Empty(t, result.Transcript)
	result, err = Run(Config{Observer: &liar{change: acknowledgesTooMuch}, Transcript: true}, tape.Replay(recording))
	var failure *Failure
	require.ErrorAs(t, err, &failure)
	require.Equal(t, found.Failure.Event, failure.Event)
	require.Equal(t, found.Failure.Violation, failure.Violation)
	require.Contains(t, result.Transcript, "AppendEntriesReply")
	var violation *invariant.Violation
	require.ErrorAs(t, err, &violation)

	require.Nil(t, Hunt(0, 2))

	report := Explain(Config{Observer: &liar{change: acknowledgesTooMuch}}, found.Seed)
	require.Contains(t, report.Violation, invariant.MatchTruthful)
	require.Contains(t, report.Transcript, "AppendEntriesReply")
	require.Less(t, len(report.Reduced.Decisions), len(recording.Decisions)*3/4)
	path := report.ReplayReduced[strings.LastIndexByte(report.ReplayReduced, ' ')+1:]
	defer os.Remove(path)
	file, err := tape.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, report.Reduced.Decisions, file.Recording.Decisions)
}

// When the faults have stopped everything must go on: a cluster in which
// nobody hears of an election never has a leader, one that hears nothing of a
// read never ends it.
func TestLivenessIsChecked(t *testing.T) {
	for _, lost := range []raftpb.MessageType{raftpb.RequestVoteReply, raftpb.AppendEntriesReply} {
		found := hunt(Config{Observer: &liar{change: func(m *raftpb.Message) {
			if m.Type == lost { // becomes one that means nothing
				*m = raftpb.Message{Type: raftpb.PreVoteReply, From: m.From, To: m.To, Term: 1, Reject: true}
			}
		}}}, 0, 100)
		require.NotNil(t, found, "%v", lost)
		require.Equal(t, Liveness, found.Failure.Violation.Checker)
	}
}

// Clocks whose bounds are wrong let lease reads miss what was acknowledged, and
// that is found: those that are slow, and those that are fast.
func TestWrongClocksAreFound(t *testing.T) {
	for _, skew := range []time.Duration{-time.Second, time.Second} {
		found := hunt(Config{skew: int64(skew)}, 0, 2000)
		require.NotNil(t, found)
		require.Contains(t, []string{invariant.LeaseExclusive, invariant.ReadLinearizable}, found.Failure.Violation.Checker)
	}
}

// A core that panics is a failure like others.
func TestPanicIsAFailure(t *testing.T) {
	found := hunt(Config{Observer: &liar{change: func(*raftpb.Message) { panic("broken") }}}, 0, 10)
	require.NotNil(t, found)
	require.Equal(t, Panic, found.Failure.Violation.Checker)
	require.Contains(t, found.Failure.Error(), "broken")
}

// BenchmarkEvents measures the swarm's mix, with all checks on.
func BenchmarkEvents(b *testing.B) {
	b.ReportAllocs()
	var s Simulator
	events, seed, before := 0, uint64(0), cpuTime()
	for b.Loop() {
		result, err := s.Run(Config{}, tape.FromSeed(seed))
		require.NoError(b, err)
		events += result.Events
		seed++
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	if used := cpuTime() - before; used > 0 {
		b.ReportMetric(float64(events)/used.Seconds(), "events/cpu-s")
	}
	b.ReportMetric(float64(events)/float64(b.N), "events/op")
}

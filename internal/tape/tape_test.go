package tape

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// questions asks t a mixture of questions and returns the answers.
func questions(t *Tape, n int) []uint64 {
	var answers []uint64
	for i := range n {
		t.Begin()
		answers = append(answers, t.Uint64(), uint64(t.Intn(i+1)))
		t.Begin()
		hit := uint64(0)
		if t.Chance(0.3) {
			hit = 1
		}
		answers = append(answers, hit)
		t.End()
		t.End()
	}
	return answers
}

func TestRecordingChangesNoAnswer(t *testing.T) {
	recorded := FromSeed(7)
	recorded.Record()
	require.Equal(t, questions(FromSeed(7), 50), questions(recorded, 50))
}

func TestReplayGivesTheSameAnswersAndRecordsTheSame(t *testing.T) {
	first := FromSeed(7)
	recording := first.Record()
	answers := questions(first, 50)

	again := Replay(recording)
	rerecorded := again.Record()
	require.Equal(t, answers, questions(again, 50))
	require.Equal(t, recording.Decisions, rerecorded.Decisions)
	require.Equal(t, recording.Spans, rerecorded.Spans)
	require.Equal(t, answers, questions(Replay(recording), 50), "without recording")
}

func TestSeedsDiffer(t *testing.T) {
	seen := make(map[uint64]bool)
	for seed := range uint64(1000) {
		v := FromSeed(seed).Uint64()
		require.False(t, seen[v], "seed %d begins like another", seed)
		seen[v] = true
	}
}

func TestMildAfterTheEndAndFromTheBeginningOfTheZeroTape(t *testing.T) {
	for name, tape := range map[string]*Tape{
		"zero tape": {},
		"ended":     Replay(&Recording{}),
	} {
		require.Equal(t, make([]uint64, 30), questions(tape, 10), name)
		require.False(t, tape.Chance(1), name)
	}
}

func TestReplayTakesAnswersModuloWhatIsAllowed(t *testing.T) {
	tape := Replay(&Recording{Decisions: []uint64{17, 3, 2, 1 << 63}})
	recording := tape.Record()
	require.Equal(t, 7, tape.Intn(10))
	require.True(t, tape.Chance(0))
	require.False(t, tape.Chance(1))
	require.Equal(t, uint64(1<<63), tape.Uint64())
	require.Equal(t, []uint64{7, 1, 0, 1 << 63}, recording.Decisions, "what is recorded is what was answered")
}

func TestChanceAndIntnFollowTheirDistribution(t *testing.T) {
	for _, record := range []bool{false, true} {
		tape := FromSeed(1)
		if record {
			tape.Record()
		}
		hits, counts := 0, make([]int, 5)
		for range 10_000 {
			if tape.Chance(0.25) {
				hits++
			}
			counts[tape.Intn(5)]++
			require.False(t, tape.Chance(0))
			require.True(t, tape.Chance(1))
		}
		require.InDelta(t, 2500, hits, 200)
		for _, c := range counts {
			require.InDelta(t, 2000, c, 200)
		}
	}
}

func TestSpansNest(t *testing.T) {
	tape := Replay(&Recording{})
	r := tape.Record()
	tape.Begin()
	tape.Uint64()
	tape.Begin()
	tape.Uint64()
	tape.End()
	tape.Begin()
	tape.End()
	tape.Uint64()
	tape.End()
	tape.Begin()
	tape.Uint64() // the program fails here
	require.Equal(t, []Span{{0, 3}, {1, 2}, {2, 2}, {3, 4}}, settled(r))
}

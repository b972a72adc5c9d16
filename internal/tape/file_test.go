package tape

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func encoded(t *testing.T, f File) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, Encode(&b, f))
	return b.String()
}

func TestFileReadsAsStated(t *testing.T) {
	f := File{
		Seed:   42,
		Header: map[string]string{"nodes": "3", "engine": "rafttest", "filter": "a=b c"},
		Recording: &Recording{
			Decisions: append([]uint64{5, 3, 3, 7, 10, 1, 0, 0, 0}, 9),
			Spans:     []Span{{1, 3}, {3, 9}, {4, 6}, {9, 9}},
		},
	}
	text := encoded(t, f)
	require.Equal(t, `raft tape 1
seed=42
engine=rafttest
filter=a=b c
nodes=3

5 (3 3)(7 (10 1) 0*3)() 9
end 10
`, text)
	decoded, err := Decode(strings.NewReader(text))
	require.NoError(t, err)
	require.Equal(t, f, decoded)
}

func TestFileOfALongRunComesBackAndItsLinesAreShort(t *testing.T) {
	tape := FromSeed(3)
	f := File{Seed: math.MaxUint64, Header: map[string]string{}, Recording: tape.Record()}
	questions(tape, 500)
	f.Recording.open = nil
	text := encoded(t, f)
	for line := range strings.Lines(text) {
		require.LessOrEqual(t, len(line), lineWidth+1)
	}
	decoded, err := Decode(strings.NewReader(text))
	require.NoError(t, err)
	require.Equal(t, f, decoded)
	require.Equal(t, questions(FromSeed(3), 500), questions(Replay(decoded.Recording), 500))
}

func TestFileOfAFailureInTheMidstOfASpan(t *testing.T) {
	tape := FromSeed(3)
	f := File{Header: map[string]string{}, Recording: tape.Record()}
	tape.Begin()
	tape.Intn(1)
	decoded, err := Decode(strings.NewReader(encoded(t, f)))
	require.NoError(t, err)
	require.Equal(t, []Span{{0, 1}}, decoded.Recording.Spans)
}

func TestEncodeRefuses(t *testing.T) {
	for want, f := range map[string]File{
		`"" is no key`:            {Header: map[string]string{"": "x"}, Recording: &Recording{}},
		`"a b" is no key`:         {Header: map[string]string{"a b": "x"}, Recording: &Recording{}},
		`"seed" is given twice`:   {Header: map[string]string{"seed": "1"}, Recording: &Recording{}},
		`more than one line`:      {Header: map[string]string{"a": "x\ny"}, Recording: &Recording{}},
		`span 1 begins`:           {Recording: &Recording{Decisions: []uint64{1, 2, 3}, Spans: []Span{{1, 2}, {0, 3}}}},
		`span 0 begins`:           {Recording: &Recording{Spans: []Span{{1, 1}}}},
		`span 1 ends`:             {Recording: &Recording{Decisions: []uint64{1, 2, 3}, Spans: []Span{{0, 2}, {1, 3}}}},
		`span 0 ends`:             {Recording: &Recording{Decisions: []uint64{1, 2, 3}, Spans: []Span{{2, 1}}}},
		`16777217 decisions are `: {Recording: &Recording{Decisions: make([]uint64, maxDecisions+1)}},
	} {
		var b bytes.Buffer
		require.ErrorContains(t, Encode(&b, f), want)
		require.Zero(t, b.Len())
	}
	require.ErrorContains(t, Encode(fullDisk{}, File{Recording: &Recording{}}), "disk is full")
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("disk is full") }

func TestDecodeSaysWhatIsWrongAndWhere(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", `line 1: "" instead of "raft tape 1"`},
		{"raft tape 2\n", `line 1: "raft tape 2" instead of "raft tape 1": another version, or no tape`},
		{"raft tape 1", `line 1: the file ends too early`},
		{"raft tape 1\nnodes=3\n", `line 2: "nodes=3" instead of the seed`},
		{"raft tape 1\nseed=x\n", `line 2: "x" is no number`},
		{"raft tape 1\nseed=18446744073709551616\n", `line 2: "18446744073709551616" is no number, or too large`},
		{"raft tape 1\nseed=1", `line 2: the file ends too early`},
		{"raft tape 1\nseed=1\nnodes\n", `line 3: "nodes" is no key=value`},
		{"raft tape 1\nseed=1\nseed=1\n", `line 3: the header "seed" is given twice`},
		{"raft tape 1\nseed=1\na=1\na=1\n", `line 4: the header "a" is given twice`},
		{"raft tape 1\nseed=1\n\n1 2\n", `line 5: `},
		{"raft tape 1\nseed=1\n\n1 2", `line 4: the file ends too early`},
		{"raft tape 1\nseed=1\n\n1 -2\n", `line 4: "-2" is no number`},
		{"raft tape 1\nseed=1\n\n1 2*\n", `line 4: "" is no number`},
		{"raft tape 1\nseed=1\n\n1 2*16777216\n", `line 4: more than the 16777216 decisions`},
		{"raft tape 1\nseed=1\n\n(1))\nend 1\n", `line 4: a ')' too many`},
		{"raft tape 1\nseed=1\n\n((1)\nend 1\n", `line 5: 1 ')' are missing`},
		{"raft tape 1\nseed=1\n\n1 2\nend 3\n", `line 5: 2 decisions instead of 3`},
		{"raft tape 1\nseed=1\n\n1 2\nend x\n", `line 5: "x" is no number`},
		{"raft tape 1\nseed=1\n\n1 2\nend 2\n3\n", `line 6: "3\n" after the end`},
	} {
		_, err := Decode(strings.NewReader(c.text))
		require.ErrorContains(t, err, "tape: decode: "+c.want, "%q", c.text)
	}
}

func TestWriteFileAndReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.tape")
	f := File{Seed: 1, Header: map[string]string{"nodes": "3"}, Recording: &Recording{Decisions: []uint64{1, 2}}}
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("x"), 1000), 0o666))
	require.NoError(t, WriteFile(path, f))
	read, err := ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, f, read)

	require.ErrorIs(t, WriteFile(filepath.Join(path, "x"), f), syscall.ENOTDIR)
	require.ErrorContains(t, WriteFile(path, File{Header: map[string]string{"": ""}}), "is no key")
	_, err = ReadFile(path + "x")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(path, []byte("raft tape 1\n"), 0o666))
	_, err = ReadFile(path)
	require.ErrorContains(t, err, path+": tape: decode: line 2: ")
}

func TestRecordingSaysHowLargeItIs(t *testing.T) {
	r := &Recording{Decisions: []uint64{0, 1, 2, 0, 0}, Spans: []Span{{0, 3}, {1, 2}, {3, 4}}}
	require.Equal(t, "5 decisions (2 not mild) in 2 spans", r.String())
	require.Equal(t, "0 decisions (0 not mild) in 0 spans", new(Recording).String())
}

func FuzzDecode(f *testing.F) {
	f.Add("raft tape 1\nseed=42\nengine=rafttest\n\n5 (3 42)(7 (10 1) 0*57)\nend 62\n")
	f.Add("raft tape 1\nseed=0\n\n()(()) ()\nend 0\n")
	f.Add("raft tape 1\nseed=0\n\n(1 1\n1)(\n)\nend 3\n")
	f.Add("raft tape 1\nseed=0\n\n(1\nend 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Decode(strings.NewReader(text))
		if err != nil {
			require.ErrorContains(t, err, "tape: decode: line ")
			return
		}
		again, err := Decode(strings.NewReader(encoded(t, file)))
		require.NoError(t, err)
		require.Equal(t, file.Seed, again.Seed)
		require.Equal(t, file.Header, again.Header)
		require.Equal(t, file.Recording.Spans, again.Recording.Spans)
		require.Equal(t, file.Recording.Decisions, again.Recording.Decisions)
	})
}

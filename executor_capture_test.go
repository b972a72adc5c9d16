package raft

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// pieces is a captured state of which each run may be another.
type pieces struct {
	runs [][]byte // the last one again and again
	most int      // bytes in a Write, 0: up to 10,000
	fail error    // what the runs after the first end with
	done []error  // what each run ended with
}

func (s *pieces) WriteTo(w io.Writer) (written int64, err error) {
	defer func() { s.done = append(s.done, err) }()
	data := s.runs[min(len(s.done), len(s.runs)-1)]
	buf := make([]byte, max(s.most, 10_000))
	for size := max(s.most, 1); len(data) > 0; size = max(s.most, size*3%9973+1) {
		n := copy(buf[:size], data)
		if _, err := w.Write(buf[:n]); err != nil {
			return written, err
		}
		clear(buf) // the writer's no more
		data, written = data[n:], written+int64(n)
	}
	if len(s.done) > 0 {
		return written, s.fail
	}
	return written, nil
}

// bodyOf returns the body that captureSend makes of s.
func bodyOf(t *testing.T, ctx context.Context, env environment, s io.WriterTo) *capturedBody {
	x := &executor{ctx: ctx, env: env}
	var whole digest
	require.NoError(t, x.writeCaptured(s, &whole))
	return &capturedBody{x: x, source: s, whole: whole}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func TestCapturedStateIsReadAsItIsMade(t *testing.T) {
	for _, env := range []environment{&realTime{}, steppedEnvironment{}} {
		for _, size := range []int{0, 1, pieceBytes - 1, pieceBytes, pieceBytes + 1, 3*pieceBytes + 77} {
			for _, most := range []int{0, 4 * pieceBytes} {
				data := randomBytes(size)
				s := &pieces{runs: [][]byte{data}, most: most}
				b := bodyOf(t, context.Background(), env, s)
				require.NoError(t, iotest.TestReader(b, data), "%T, %d bytes", env, size)
				b.cut()
				for i, err := range s.done {
					require.True(t, err == nil || errors.Is(err, errCutShort), "run %d: %v", i, err)
				}
			}
		}
	}
}

// A transfer that broke goes on where it was, by another run.
func TestCapturedStateGoesOnAfterACut(t *testing.T) {
	data := randomBytes(5 * pieceBytes)
	s := &pieces{runs: [][]byte{data}}
	b := bodyOf(t, context.Background(), &realTime{}, s)
	half := make([]byte, 2*pieceBytes+5)
	_, err := io.ReadFull(b, half)
	require.NoError(t, err)
	require.Equal(t, data[:len(half)], half)
	require.Len(t, s.done, 1, "the second is under way")

	at := pieceBytes + 9
	_, err = b.Seek(int64(at), io.SeekStart)
	require.NoError(t, err)
	require.Len(t, s.done, 2)
	require.ErrorIs(t, s.done[1], errCutShort)
	rest, err := io.ReadAll(b)
	require.NoError(t, err)
	require.Equal(t, data[at:], rest)
	require.Len(t, s.done, 3)
	require.NoError(t, s.done[2])
}

// What is not what was measured is never given away whole.
func TestCapturedStateThatChanges(t *testing.T) {
	broken := errors.New("broken")
	data := randomBytes(2*pieceBytes + 5)
	other := bytes.Clone(data)
	other[0]++
	for name, test := range map[string]struct {
		second []byte
		fail   error
		want   error
	}{
		"empty":        {nil, nil, errNotRepeatable},
		"shorter":      {data[:len(data)-1], nil, errNotRepeatable},
		"one piece":    {data[:pieceBytes], nil, errNotRepeatable},
		"longer":       {append(bytes.Clone(data), 0), nil, errNotRepeatable},
		"much longer":  {append(bytes.Clone(data), data...), nil, errNotRepeatable},
		"another":      {other, nil, errNotRepeatable},
		"fails":        {data[:pieceBytes+1], broken, broken},
		"fails at end": {data, broken, broken},
	} {
		for _, env := range []environment{&realTime{}, steppedEnvironment{}} {
			b := bodyOf(t, context.Background(), env, &pieces{runs: [][]byte{data, test.second}, fail: test.fail})
			got, err := io.ReadAll(b)
			require.ErrorIs(t, err, test.want, "%s, %T", name, env)
			require.Less(t, len(got), len(data), "%s, %T", name, env)
			_, err = b.Read(make([]byte, 1))
			require.ErrorIs(t, err, test.want)
			b.cut()
		}
	}
}

// The end of the replica ends a run in its middle.
func TestCapturedStateEndsWithTheReplica(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &pieces{runs: [][]byte{randomBytes(3 * pieceBytes)}}
	b := bodyOf(t, ctx, &realTime{}, s)
	_, err := io.ReadFull(b, make([]byte, pieceBytes))
	require.NoError(t, err)
	cancel()
	_, err = b.Read(make([]byte, 1))
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, s.done, 2)
	require.ErrorIs(t, s.done[1], context.Canceled)
}

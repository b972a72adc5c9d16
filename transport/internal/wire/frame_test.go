package wire

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// readAll returns all frames in src, with payloads copied, and what ended them.
func readAll(src io.Reader, limit int) (frames []Frame, err error) {
	r := NewReader(limit)
	for {
		f, ok, err := r.Next()
		if err != nil {
			return frames, err
		}
		if ok {
			frames = append(frames, Frame{f.Kind, bytes.Clone(f.Payload)})
			continue
		}
		if _, err := r.Fill(src); err != nil {
			if err == io.EOF && r.Buffered() > 0 {
				err = io.ErrUnexpectedEOF
			}
			return frames, err
		}
	}
}

func someFrames() ([]Frame, []byte) {
	frames := []Frame{
		{KindPing, []byte{}},
		{KindChunk, []byte("data")},
		{KindMessage, bytes.Repeat([]byte("x"), 3*readerBytes)},
		{KindEnd, []byte{}},
		{KindChunk, bytes.Repeat([]byte("y"), readerBytes-HeaderBytes)},
		{KindAbort, []byte("z")},
	}
	var stream []byte
	for _, f := range frames {
		stream = AppendFrame(stream, f.Kind, f.Payload)
	}
	return frames, stream
}

func TestFramesArriveHoweverTheStreamIsCut(t *testing.T) {
	want, stream := someFrames()
	for name, src := range map[string]io.Reader{
		"at once":          bytes.NewReader(stream),
		"byte by byte":     iotest.OneByteReader(bytes.NewReader(stream)),
		"half reads":       iotest.HalfReader(bytes.NewReader(stream)),
		"data with an EOF": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		got, err := readAll(src, 1<<20)
		require.Equal(t, io.EOF, err, name)
		require.Equal(t, want, got, name)
	}
}

func TestOneFillYieldsEveryCompleteFrame(t *testing.T) {
	var stream []byte
	for range 100 {
		stream = AppendUint64(stream, KindAlive, 7)
	}
	r := NewReader(1 << 20)
	_, err := r.Fill(bytes.NewReader(stream[:len(stream)-1]))
	require.NoError(t, err)
	n := 0
	for {
		_, ok, err := r.Next()
		require.NoError(t, err)
		if !ok {
			break
		}
		n++
	}
	require.Equal(t, 99, n)
	require.Equal(t, HeaderBytes+8-1, r.Buffered())
}

func TestEveryFlippedBitIsNoticed(t *testing.T) {
	stream := AppendFrame(nil, KindMessage, []byte("payload"))
	for bit := range 8 * len(stream) {
		damaged := bytes.Clone(stream)
		damaged[bit/8] ^= 1 << (bit % 8)
		frames, err := readAll(bytes.NewReader(damaged), 1<<20)
		require.Empty(t, frames, "bit %d", bit)
		var frameError *FrameError
		require.ErrorAs(t, err, &frameError, "bit %d", bit)
	}
}

func TestWhatIsRefused(t *testing.T) {
	withFlags := AppendFrame(nil, KindPing, nil)
	withFlags[5] = 1
	binary.LittleEndian.PutUint16(withFlags[6:], headerCheck(withFlags))
	binary.LittleEndian.PutUint32(withFlags[8:], frameCRC(withFlags, nil))
	cases := map[string]struct {
		stream []byte
		reason string
	}{
		"zeros":          {make([]byte, 64), "wrong check"},
		"another people": {[]byte("GET / HTTP/1.1\r\n\r\n"), "wrong check"},
		"flags":          {withFlags, "unknown flags"},
		"above limit":    {AppendFrame(nil, KindPing, make([]byte, 101)), "at most 100"},
	}
	for name, c := range cases {
		frames, err := readAll(bytes.NewReader(c.stream), 100)
		require.Empty(t, frames, name)
		require.ErrorContains(t, err, c.reason, name)
	}
	_, err := readAll(bytes.NewReader(AppendFrame(nil, KindPing, make([]byte, 100))), 100)
	require.Equal(t, io.EOF, err)
}

func TestAStreamThatEndsInsideAFrame(t *testing.T) {
	stream := AppendFrame(nil, KindMessage, []byte("payload"))
	for n := 1; n < len(stream); n++ {
		_, err := readAll(bytes.NewReader(stream[:n]), 1<<20)
		require.Equal(t, io.ErrUnexpectedEOF, err, "after %d bytes", n)
	}
}

// A length that is only claimed must not allocate.
func TestMemoryFollowsTheBytesThatArrive(t *testing.T) {
	huge := AppendFrame(nil, KindMessage, nil)
	binary.LittleEndian.PutUint32(huge, 1<<30)
	binary.LittleEndian.PutUint16(huge[6:], headerCheck(huge))
	r := NewReader(1<<31 - 1)
	src := io.MultiReader(bytes.NewReader(huge), bytes.NewReader(make([]byte, 300<<10)))
	arrived := 0
	for {
		n, err := r.Fill(src)
		arrived += n
		if err == io.EOF {
			break
		}
		_, ok, err := r.Next()
		require.NoError(t, err)
		require.False(t, ok)
		require.LessOrEqual(t, len(r.buf), max(2*arrived, readerBytes))
	}
	require.Equal(t, 300<<10+HeaderBytes, arrived)

	small := NewReader(MaxHandshakeBytes)
	_, err := small.Fill(bytes.NewReader(make([]byte, 1<<20)))
	require.NoError(t, err)
	require.Len(t, small.buf, MaxHandshakeBytes+HeaderBytes)
}

func TestALargeBufferIsLetGo(t *testing.T) {
	large := AppendFrame(nil, KindMessage, make([]byte, 8<<20))
	small := AppendFrame(nil, KindPing, nil)
	r := NewReader(16 << 20)
	src := io.MultiReader(bytes.NewReader(large), bytes.NewReader(small))
	for range 2 {
		_, ok, _ := r.Next()
		for !ok {
			_, err := r.Fill(src)
			require.NoError(t, err)
			var frameErr error
			_, ok, frameErr = r.Next()
			require.NoError(t, frameErr)
		}
	}
	require.Len(t, r.buf, readerBytes)
}

func FuzzReader(f *testing.F) {
	_, stream := someFrames()
	f.Add(stream, uint8(3))
	f.Add(AppendUint64(AppendFrame(nil, KindPing, nil), KindAlive, 9), uint8(1))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint8(5))
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8) {
		whole, wholeErr := readAll(bytes.NewReader(stream), 1<<16)
		pieces, piecesErr := readAll(&pieceReader{stream, int(piece) + 1}, 1<<16)
		require.Equal(t, whole, pieces)
		require.Equal(t, wholeErr, piecesErr)

		// Frames that were read, written again, are the stream.
		var again []byte
		for _, f := range whole {
			again = AppendFrame(again, f.Kind, f.Payload)
		}
		require.True(t, bytes.HasPrefix(stream, again))
		if wholeErr == io.EOF {
			require.Equal(t, len(stream), len(again))
		}
	})
}

// pieceReader reads at most n bytes at a time.
type pieceReader struct {
	rest []byte
	n    int
}

func (r *pieceReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.rest[:min(r.n, len(r.rest))])
	r.rest = r.rest[n:]
	return n, nil
}

// A connection's reader allows little before the handshake and more after it,
// and its bytes come in pieces of any sizes: that makes no difference to the
// frames, and its memory stays within what has arrived.
func FuzzReaderOfAConnection(f *testing.F) {
	_, stream := someFrames()
	f.Add(append(AppendHello(nil, hello), stream...), []byte{1, 0, 200, 3})
	f.Add(append(AppendHello(nil, hello), 1, 2, 3), []byte{255, 1})
	f.Add(AppendFrame(AppendHello(nil, hello), KindMessage, make([]byte, 5000)), []byte{})
	f.Add(AppendFrame(nil, KindHello, make([]byte, MaxHandshakeBytes+1)), []byte{7})
	f.Fuzz(func(t *testing.T, stream []byte, cuts []byte) {
		read := func(cuts []byte) (frames []Frame, err error) {
			r, src := NewReader(MaxHandshakeBytes), &cutReader{rest: stream, cuts: cuts}
			for {
				f, ok, err := r.Next()
				switch {
				case err != nil:
					return frames, err
				case ok:
					frames = append(frames, Frame{f.Kind, bytes.Clone(f.Payload)})
					r.SetLimit(1 << 16)
					continue
				}
				if _, err := r.Fill(src); err != nil {
					return frames, err
				}
				arrived := len(stream) - len(src.rest)
				require.LessOrEqual(t, len(r.buf), max(2*arrived, readerBytes))
				if len(frames) == 0 {
					require.LessOrEqual(t, len(r.buf), MaxHandshakeBytes+HeaderBytes)
				}
			}
		}
		whole, wholeErr := read(nil)
		pieces, piecesErr := read(cuts)
		require.Equal(t, whole, pieces)
		require.Equal(t, wholeErr, piecesErr)
	})
}

// cutReader reads what cuts say, again and again, and all there is room for
// where they say 0.
type cutReader struct {
	rest []byte
	cuts []byte
	next int // of cuts
}

func (r *cutReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := len(p)
	if len(r.cuts) > 0 {
		if cut := int(r.cuts[r.next%len(r.cuts)]); cut > 0 {
			n = min(n, cut)
		}
		r.next++
	}
	n = copy(p[:n], r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

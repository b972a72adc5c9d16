package tcp_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// recordedSum is the sum of all files of testdata/v1, see TestRecordedBytes. A
// recording is for ever: this changes only when another one is added.
const recordedSum = "aa5ee681c01bd6c683e4b39dde2f9b5d1e486703e62e506ba5e5e9c06a70972d"

var record = flag.Bool("record", false, "write the files of testdata/v1 that are missing")

// recording is a frame of version 1, as bytes and as what it says.
type recording struct {
	name    string
	encoded []byte // as the library writes it today
	value   any    // as the library reads it: a wire.Hello, wire.Welcome, raft.Message, uint64, []byte, string, wire.Result or nil
	doc     any    // as the document's reader does; nil: the same as value
}

func (r recording) file() string { return filepath.Join("testdata", "v1", r.name+".hex") }

// decoded is what the library reads in a frame.
func decoded(f wire.Frame) (any, error) {
	switch f.Kind {
	case wire.KindHello:
		return wire.ParseHello(f)
	case wire.KindWelcome:
		return wire.ParseWelcome(f)
	case wire.KindMessage:
		var b wire.Batch
		if err := b.Add(f.Payload); err != nil {
			return nil, err
		}
		return b.Messages()[0], nil
	case wire.KindAlive, wire.KindOffset, wire.KindTransfer:
		return wire.Uint64(f.Payload)
	case wire.KindChunk:
		return f.Payload, nil
	case wire.KindAbort:
		return wire.Text(f.Payload), nil
	case wire.KindResult:
		return wire.ParseResult(f.Payload)
	}
	return nil, nil
}

// The bytes that were recorded are what is written today, and what they say is
// what it was, for the library and for a reader of the document.
func TestRecordedBytes(t *testing.T) {
	sum := sha256.New()
	for _, r := range recordings() {
		if *record {
			writeMissing(t, r)
		}
		text, err := os.ReadFile(r.file())
		require.NoError(t, err, "no recording: go test -run TestRecordedBytes ./transport/tcp -record")
		sum.Write([]byte(r.name + "\n"))
		sum.Write(text)
		b, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		require.NoError(t, err, r.name)

		require.Equal(t, b, r.encoded, "%s is written otherwise", r.name)
		f, n, err := wire.Parse(b, len(b))
		require.NoError(t, err, r.name)
		require.Equal(t, len(b), n, r.name)
		value, err := decoded(f)
		require.NoError(t, err, r.name)
		require.Equal(t, r.value, value, r.name)

		df, n, wrong := docParse(b, len(b))
		require.Empty(t, wrong, r.name)
		require.Equal(t, len(b), n, r.name)
		require.Equal(t, b, df.encode(), r.name)
		value, err = df.decode()
		require.NoError(t, err, r.name)
		if r.doc == nil {
			r.doc = r.value
		}
		require.Equal(t, r.doc, value, r.name)
	}
	require.Equal(t, recordedSum, hex.EncodeToString(sum.Sum(nil)), "a recording was changed or added")
	files, err := filepath.Glob(filepath.Join("testdata", "v1", "*"))
	require.NoError(t, err)
	require.Len(t, files, len(recordings()), "files that nothing reads")
}

func writeMissing(t *testing.T, r recording) {
	require.NoError(t, os.MkdirAll(filepath.Dir(r.file()), 0o755))
	f, err := os.OpenFile(r.file(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if os.IsExist(err) {
		return
	}
	require.NoError(t, err)
	text := ""
	for b := r.encoded; len(b) > 0; b = b[min(32, len(b)):] {
		text += hex.EncodeToString(b[:min(32, len(b))]) + "\n"
	}
	_, err = f.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// The library and the document's reader agree on every recording that is cut or
// damaged anywhere.
func TestDamagedRecordings(t *testing.T) {
	for _, r := range recordings() {
		for i := range r.encoded {
			b := bytes.Clone(r.encoded)
			b[i] ^= 1 << (i % 8)
			for _, b := range [][]byte{b, r.encoded[:i]} {
				_, n, err := wire.Parse(b, 1<<20)
				_, docN, wrong := docParse(b, 1<<20)
				require.Equal(t, n, docN)
				require.Equal(t, err != nil, wrong != "", "%s, byte %d: %v, %s", r.name, i, err, wrong)
				require.Zero(t, n, "damage is noticed")
			}
		}
	}
}

// A payload that is cut is refused by both, or says the same to both.
func TestCutPayloads(t *testing.T) {
	for _, r := range recordings() {
		f, _, err := wire.Parse(r.encoded, len(r.encoded))
		require.NoError(t, err)
		if f.Kind != wire.KindHello && f.Kind != wire.KindWelcome {
			continue
		}
		for n := range f.Payload {
			_, err := decoded(wire.Frame{Kind: f.Kind, Payload: f.Payload[:n]})
			require.Error(t, err)
			_, err = docFrame{byte(f.Kind), f.Payload[:n:n]}.decode()
			require.Error(t, err)
		}
		longer := append(bytes.Clone(f.Payload), "of a later version"...)
		value, err := decoded(wire.Frame{Kind: f.Kind, Payload: longer})
		require.NoError(t, err)
		require.Equal(t, r.value, value)
	}
}

// There is a recording of every kind of frame, purpose and status, and of every
// type of message, entry and intent.
func TestEverythingIsRecorded(t *testing.T) {
	seen := map[string]map[int]bool{}
	see := func(what string, n int) {
		if seen[what] == nil {
			seen[what] = map[int]bool{}
		}
		seen[what][n] = true
	}
	for _, r := range recordings() {
		see("Kind", int(r.encoded[4]))
		switch v := r.value.(type) {
		case wire.Hello:
			see("Purpose", int(v.Purpose))
		case wire.Welcome:
			see("Status", int(v.Status))
		case raft.Message:
			see("MessageType", int(v.Type))
			for _, e := range v.Entries {
				see("EntryType", int(e.Type))
			}
			if v.Snapshot != nil {
				for _, m := range v.Snapshot.Membership.Members {
					see("Intent", int(m.Intent))
				}
			}
		}
	}
	found := 0
	for _, file := range []string{"../internal/wire/frame.go", "../internal/wire/handshake.go", "../../raftpb/types.go"} {
		for _, c := range constants(t, file) {
			if seen[c.typeName] == nil {
				continue
			}
			found++
			require.True(t, seen[c.typeName][c.value], "there is no recording of %s %s: add one to recordings", c.typeName, c.name)
		}
	}
	require.Greater(t, found, 40)
}

type constant struct {
	name, typeName string
	value          int
}

// constants returns the typed integer constants of a Go file.
func constants(t *testing.T, file string) (all []constant) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	require.NoError(t, err)
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		typeName, ok := spec.Type.(*ast.Ident)
		literal, isLiteral := spec.Values[0].(*ast.BasicLit)
		if !ok || !isLiteral {
			return true
		}
		if value, err := strconv.Atoi(literal.Value); err == nil {
			all = append(all, constant{spec.Names[0].Name, typeName.Name, value})
		}
		return true
	})
	return all
}

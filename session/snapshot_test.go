package session

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
)

// A captured state is written as it was, while the next commands are applied.
func TestSnapshotIsOfTheMomentOfCapture(t *testing.T) {
	r := newReplica(t)
	id := r.open(Limits{})
	other := r.open(Limits{})
	r.one(cmd(id, 1, 1, "a"))
	r.one(cmd(id, 1, 2, "b"))
	want := r.snapshot()

	captured, err := r.Snapshot()
	require.NoError(t, err)
	r.one(at(kindKeepAlive, id, 2, 0))
	r.one(cmd(id, 2, 3, "c"))
	r.one(cmd(id, 3, 4, "d"))
	r.one(at(kindClose, other, 1, 0))
	r.open(Limits{MaxSessions: 5})
	require.Equal(t, want, written(t, captured))
	require.NotEqual(t, want, r.snapshot())
}

// Apply beside WriteTo: for the race detector.
func TestSnapshotIsWrittenBesideApply(t *testing.T) {
	r := newReplica(t)
	id := r.open(Limits{})
	sequence := uint64(0)
	for range 20 {
		captured, err := r.Snapshot()
		require.NoError(t, err)
		done := make(chan error)
		go func() {
			_, err := captured.WriteTo(io.Discard)
			done <- err
		}()
		for range 20 {
			sequence++
			r.one(cmd(id, max(3, sequence)-2, sequence, "x"))
		}
		require.NoError(t, <-done)
	}
}

func TestSnapshotClosesTheOther(t *testing.T) {
	closed := &closing{}
	require.NoError(t, (&capture{inner: closed}).Close())
	require.True(t, closed.closed)
	require.NoError(t, (&capture{inner: &bytes.Buffer{}}).Close())
}

type closing struct {
	bytes.Buffer
	closed bool
}

func (c *closing) Close() error {
	c.closed = true
	return nil
}

func TestSnapshotReportsWriteErrors(t *testing.T) {
	r := newReplica(t)
	for range 500 {
		r.open(Limits{})
	}
	size := len(r.snapshot())
	for n := 0; n < size; n += 1000 {
		captured, err := r.Snapshot()
		require.NoError(t, err)
		_, err = captured.WriteTo(&shortWriter{n})
		require.ErrorIs(t, err, errFull)
	}
}

var errFull = errors.New("disk full")

type shortWriter struct{ room int }

func (w *shortWriter) Write(p []byte) (int, error) {
	if len(p) > w.room {
		return 0, errFull
	}
	w.room -= len(p)
	return len(p), nil
}

// busyReplica has sessions with everything in them.
func busyReplica(t testing.TB) (*replica, ID) {
	r := newReplica(t)
	limits := Limits{MaxResultBytes: 10, MaxSessions: 4}
	r.open(limits)
	id := r.open(limits)
	r.one(cmd(id, 1, 1, "a"))
	r.one(cmd(id, 1, 3, "too large to be kept"))
	r.one(cmd(id, 1, 4, ""))
	r.one(at(kindKeepAlive, r.open(limits), 9, 1000))
	return r, id
}

func TestRestore(t *testing.T) {
	r, id := busyReplica(t)
	state := r.snapshot()
	copied := newReplica(t)
	copied.open(Limits{})
	require.NoError(t, copied.Restore(iotest.OneByteReader(bytes.NewReader(state))))
	copied.next = r.next
	require.Equal(t, state, copied.snapshot())
	require.Equal(t, applied("1:a"), copied.one(cmd(id, 1, 1, "a")))
	require.Equal(t, answer(ResultNotKept), copied.one(cmd(id, 1, 3, "too large to be kept")))
	require.Equal(t, applied("3:"), copied.one(cmd(id, 1, 4, "")))
	require.Equal(t, r.journal.all(), copied.journal.all())
}

func TestRestoreRefusesWhatIsCorrupt(t *testing.T) {
	r, _ := busyReplica(t)
	whole := r.snapshot()
	table := len(whole) - len(snapshotOf(t, r.journal))
	before := newReplica(t)
	before.open(Limits{})
	state := before.snapshot()
	refuse := func(name string, snapshot []byte) {
		t.Helper()
		require.ErrorIs(t, before.Restore(bytes.NewReader(snapshot)), ErrCorrupt, name)
		require.Equal(t, state, before.snapshot(), "nothing has changed")
	}
	for n := range table {
		refuse(fmt.Sprint("cut to ", n), whole[:n])
	}
	refuse("another format", append([]byte("sessions\x02"), whole[len(magic):]...))
	refuse("a record without an end", append([]byte(magic), bytes.Repeat([]byte{0xff}, 30)...))
	refuse("a huge record", append([]byte(magic), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 2, 3))

	for name, sessions := range map[string][]session{
		"no id":              {{last: 1, acknowledged: 1}},
		"used before opened": {{id: ID{1, 1}, opened: 2, used: 1, last: 1, acknowledged: 1}},
		"last before open":   {{id: ID{2, 1}, last: 1, acknowledged: 1}},
		"acknowledged 0":     {{id: ID{1, 1}, last: 1}},
		"in the future":      {{id: ID{1, 1}, used: 101, last: 1, acknowledged: 1}},
		"one too many":       {{id: ID{1, 1}, last: 1, acknowledged: 1}, {id: ID{2, 1}, last: 2, acknowledged: 1}, {id: ID{3, 1}, last: 3, acknowledged: 1}},
		"the same twice":     {{id: ID{1, 1}, last: 1, acknowledged: 1}, {id: ID{1, 2}, last: 2, acknowledged: 1}},
		"of the same entry":  {{id: ID{1, 1}, last: 2, acknowledged: 1}, {id: ID{2, 2}, last: 2, acknowledged: 1}},
		"not by use":         {{id: ID{1, 1}, used: 5, last: 1, acknowledged: 1}, {id: ID{2, 1}, used: 4, last: 2, acknowledged: 1}},
		"too far ahead":      {{id: ID{1, 1}, last: 1, acknowledged: 1, results: []kept{{sequence: 1 + maxInFlight}}}},
	} {
		s := newTable()
		s.now, s.limits = 100, Limits{MaxSessions: 2}.withDefaults()
		b := &bytes.Buffer{}
		b.WriteString(magic)
		record := func(p []byte) {
			require.Less(t, len(p), 128)
			b.WriteByte(byte(len(p)))
			b.Write(p)
		}
		record(s.head())
		b.WriteByte(byte(len(sessions)))
		for i := range sessions {
			record(sessions[i].append(nil))
		}
		b.WriteString("[]")
		refuse(name, b.Bytes())
	}

	broken := errors.New("broken pipe")
	err := before.Restore(io.MultiReader(bytes.NewReader(whole[:20]), iotest.ErrReader(broken)))
	require.ErrorIs(t, err, broken)
	require.NotErrorIs(t, err, ErrCorrupt)
}

// What is restored at all is written as the same bytes again.
func FuzzRestore(f *testing.F) {
	r, _ := busyReplica(f)
	f.Add(r.snapshot())
	f.Add(newReplica(f).snapshot())
	f.Fuzz(func(t *testing.T, snapshot []byte) {
		r := newReplica(t)
		if r.Restore(bytes.NewReader(snapshot)) != nil {
			return
		}
		state := r.snapshot()
		again := newReplica(t)
		require.NoError(t, again.Restore(bytes.NewReader(state)))
		require.Equal(t, state, again.snapshot())
		sessions := slices.Collect(r.table.capture())
		for _, s := range sessions {
			r.next = max(r.next, s.last+1)
		}
		for _, s := range sessions {
			if r.next < raft.MaxIndex {
				r.one(cmd(s.id, s.acknowledged, s.acknowledged, "x"))
			}
		}
	})
}

// Any bytes are answered, in any batches alike.
func FuzzApply(f *testing.F) {
	id := ID{Index: 1, Nonce: 7}
	f.Add(cmd(id, 1, 1, "a"), cmd(id, 1, 1, "a"), at(kindClose, id, 1, 5))
	f.Add(open(7, Limits{MaxSessions: 1}), cmd(ID{Index: 2, Nonce: 7}, 1, 1, "a"), at(kindKeepAlive, id, 1, 5))
	f.Add(Plain([]byte("x")), []byte("raw"), []byte{})
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		single, batched := newReplica(t), newReplica(t)
		single.open(Limits{})
		batched.open(Limits{})
		results := append(append(single.apply(a), single.apply(b)...), single.apply(c)...)
		require.Equal(t, results, batched.apply(a, b, c))
		require.Equal(t, single.snapshot(), batched.snapshot())
		if d, ok := decodeCommand(a); ok {
			again, ok := decodeCommand(d.encode())
			require.True(t, ok)
			require.Equal(t, d, again)
		}
	})
}

// What Snapshot and the Apply calls after it cost with many sessions.
func BenchmarkSnapshot(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		r := newReplica(b)
		commands := make([][]byte, n)
		for i := range commands {
			commands[i] = open(7, Limits{MaxSessions: n})
		}
		r.apply(commands...)
		for i := range commands {
			commands[i] = cmd(ID{raft.Index(i + 1), 7}, 1, 1, "x")
		}
		r.apply(commands...)
		b.Run(fmt.Sprintf("capture/%d", n), func(b *testing.B) {
			for b.Loop() {
				r.table.capture()
			}
		})
		b.Run(fmt.Sprintf("write/%d", n), func(b *testing.B) {
			for b.Loop() {
				c := &capture{head: r.table.head(), sessions: r.table.capture(), inner: &bytes.Buffer{}}
				size, err := c.WriteTo(io.Discard)
				require.NoError(b, err)
				b.SetBytes(size)
			}
		})
	}
}

func BenchmarkApply(b *testing.B) {
	const sessions, batch = 1000, 100
	m := newMachine[string](nothing{}, stringCodec{})
	results := make([]Result[string], sessions)
	commands := make([][]byte, sessions)
	for i := range commands {
		commands[i] = open(7, Limits{})
	}
	require.NoError(b, m.Apply(entriesFrom(1, commands...), results))
	next := raft.Index(sessions + 1)
	b.ReportAllocs()
	entries := make([]raft.Entry, batch)
	for n := uint64(1); b.Loop(); n++ {
		b.StopTimer()
		for i := range entries {
			id := ID{Index: 1 + (next+raft.Index(i))%sessions, Nonce: 7}
			entries[i] = raft.Entry{Type: raft.EntryCommand, Index: next + raft.Index(i), Data: cmd(id, n, n, "payload")}
		}
		next += batch
		b.StartTimer()
		if err := m.Apply(entries, results); err != nil {
			b.Fatal(err)
		}
	}
}

// nothing is a service that does nothing.
type nothing struct{}

func (nothing) Apply(entries []raft.Entry, results []string) error {
	for i := range entries {
		results[i] = "done"
	}
	return nil
}

func (nothing) Snapshot() (io.WriterTo, error) { return &bytes.Buffer{}, nil }
func (nothing) Restore(io.Reader) error        { return nil }

package session

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
)

var _ raft.StateMachine[Result[int]] = (*Machine[int])(nil)

func TestRepeatReturnsTheFirstResult(t *testing.T) {
	r := newReplica(t)
	id := r.open(Limits{})
	require.Equal(t, applied("1:a"), r.one(cmd(id, 1, 1, "a")))
	require.Equal(t, applied("2:b"), r.one(cmd(id, 1, 2, "b")))
	require.Equal(t, applied("1:a"), r.one(cmd(id, 1, 1, "a")))
	require.Equal(t, applied("2:b"), r.one(cmd(id, 2, 2, "b")))
	require.Equal(t, []string{"a", "b"}, r.journal.all())
}

// Repeats in one batch with the first, and before and after what acknowledges
// it: the batch reaches the service in one piece all the same.
func TestRepeatsInOneBatch(t *testing.T) {
	r := newReplica(t)
	id := ID{Index: 1, Nonce: 7}
	results := r.apply(
		open(7, Limits{}),
		cmd(id, 1, 1, "a"),
		cmd(id, 1, 1, "a"),
		cmd(id, 1, 2, "b"),
		cmd(id, 2, 2, "b"),
		cmd(id, 1, 1, "a"),
		at(kindClose, id, 3, 0),
		cmd(id, 2, 2, "b"),
		Plain([]byte("p")),
	)
	require.Equal(t, []Result[string]{
		opened(1), applied("1:a"), applied("1:a"), applied("2:b"), applied("2:b"),
		answer(Acknowledged), answer(OK), answer(Expired), applied("3:p"),
	}, results)
	require.Equal(t, 1, r.journal.batches)
	require.Empty(t, r.table.places)
}

// Three commands, each twice, in every order: each is applied once, and both of
// its proposals have its one result.
func TestDuplicatesInAllOrders(t *testing.T) {
	const commands = 3
	var orders func(rest []int, done []int)
	orders = func(rest, done []int) {
		if len(rest) > 0 {
			for i := range rest {
				orders(slices.Delete(slices.Clone(rest), i, i+1), append(slices.Clone(done), rest[i]))
			}
			return
		}
		r := newReplica(t)
		id := r.open(Limits{})
		results := map[int]string{}
		for _, n := range done {
			result := r.one(cmd(id, 1, uint64(n), fmt.Sprint(n)))
			require.Equal(t, OK, result.Status)
			if first, again := results[n]; again {
				require.Equal(t, first, result.Value, "order %v", done)
			}
			results[n] = result.Value
		}
		require.Len(t, r.journal.all(), commands)
	}
	orders([]int{1, 2, 3, 1, 2, 3}, nil)
}

func TestCommandsMayOvertake(t *testing.T) {
	r := newReplica(t)
	id := r.open(Limits{})
	require.Equal(t, applied("1:c"), r.one(cmd(id, 1, 3, "c")))
	require.Equal(t, applied("2:a"), r.one(cmd(id, 1, 1, "a")))
	require.Equal(t, applied("3:b"), r.one(cmd(id, 2, 2, "b")))
	require.Equal(t, applied("1:c"), r.one(cmd(id, 2, 3, "c")))
}

// What the client does not wait for any more is not applied later.
func TestAcknowledgedIsRefused(t *testing.T) {
	r := newReplica(t)
	id := r.open(Limits{})
	require.Equal(t, applied("1:c"), r.one(cmd(id, 3, 3, "c")))
	require.Equal(t, answer(Acknowledged), r.one(cmd(id, 1, 1, "a")))
	require.Equal(t, answer(OK), r.one(at(kindKeepAlive, id, 4, 0)))
	require.Equal(t, answer(Acknowledged), r.one(cmd(id, 1, 3, "c")))
	require.Equal(t, []string{"c"}, r.journal.all())
}

func TestBusy(t *testing.T) {
	r := newReplica(t)
	id := r.open(Limits{MaxInFlight: 2})
	require.Equal(t, applied("1:b"), r.one(cmd(id, 1, 2, "b")))
	require.Equal(t, answer(Busy), r.one(cmd(id, 1, 3, "c")))
	require.Equal(t, applied("2:a"), r.one(cmd(id, 1, 1, "a")), "the oldest is never refused")
	require.Equal(t, applied("3:c"), r.one(cmd(id, 2, 3, "c")))
}

func TestUnknownSessions(t *testing.T) {
	r := newReplica(t)
	id := r.open(Limits{})
	require.Equal(t, answer(Expired), r.one(cmd(ID{Index: 9, Nonce: 7}, 1, 1, "a")))
	require.Equal(t, answer(Expired), r.one(cmd(ID{Index: id.Index, Nonce: 8}, 1, 1, "a")), "a session of another history")
	require.Equal(t, answer(OK), r.one(at(kindClose, id, 1, 0)))
	for _, k := range []kind{kindKeepAlive, kindClose} {
		require.Equal(t, answer(Expired), r.one(at(k, id, 1, 0)))
	}
	require.Empty(t, r.journal.all())
}

func TestOpenTwiceIsTwoSessions(t *testing.T) {
	r := newReplica(t)
	a, b := r.open(Limits{}), r.open(Limits{})
	require.NotEqual(t, a, b)
	require.Equal(t, applied("1:x"), r.one(cmd(a, 1, 1, "x")))
	require.Equal(t, applied("2:x"), r.one(cmd(b, 1, 1, "x")))
}

func TestPlainCommands(t *testing.T) {
	r := newReplica(t)
	require.Equal(t, applied("1:x"), r.one(Plain([]byte("x"))))
	require.Equal(t, applied("2:x"), r.one(Plain([]byte("x"))))
	require.Equal(t, applied("3:"), r.one(Plain(nil)))
}

func TestTheLeastRecentlyUsedExpires(t *testing.T) {
	r := newReplica(t)
	three := Limits{MaxSessions: 3}
	a, b, c := r.open(three), r.open(three), r.open(three)
	r.one(at(kindKeepAlive, a, 1, 0))
	d := r.open(three)
	require.Equal(t, answer(Expired), r.one(cmd(b, 1, 1, "b")))
	require.Equal(t, answer(OK), r.one(at(kindKeepAlive, c, 1, 0)))
	e := r.open(Limits{MaxSessions: 2}) // from now on there are two
	for _, id := range []ID{a, d} {
		require.Equal(t, answer(Expired), r.one(cmd(id, 1, 1, "x")))
	}
	require.Equal(t, applied("1:c"), r.one(cmd(c, 1, 1, "c")))
	require.Equal(t, applied("2:e"), r.one(cmd(e, 1, 1, "e")))
}

func TestSessionTime(t *testing.T) {
	r := newReplica(t)
	ttl := Limits{TTL: 10 * time.Millisecond}
	a, b := r.open(ttl), r.open(ttl)
	keepAlive := func(id ID, age uint64) Status { return r.one(at(kindKeepAlive, id, 1, age)).Status }

	require.Equal(t, OK, keepAlive(a, 10))
	require.EqualValues(t, 10, r.table.now)
	require.Equal(t, OK, keepAlive(b, 9), "exactly TTL after its last use, and session time does not go back")
	require.EqualValues(t, 10, r.table.now)
	c := r.open(ttl) // at 10
	require.Equal(t, OK, keepAlive(c, 10))
	require.EqualValues(t, 20, r.table.now)
	require.Equal(t, OK, keepAlive(c, 11), "a and b were used at 10")
	require.Equal(t, answer(Expired), r.one(cmd(a, 1, 1, "a")))
	require.Equal(t, Expired, keepAlive(b, 12))
	require.Equal(t, OK, keepAlive(c, 100), "its own command does not find it expired")

	d := r.open(Limits{TTL: time.Hour})
	require.Equal(t, OK, keepAlive(d, 1000))
	require.Equal(t, OK, keepAlive(c, 101), "the limits that came last are in force for all")
	r.open(Limits{TTL: time.Millisecond})
	require.Equal(t, OK, keepAlive(d, 1002))
	require.Equal(t, Expired, keepAlive(c, 101))
	require.Equal(t, OK, keepAlive(d, maxNumber))
	require.EqualValues(t, uint64(maxNumber), r.table.now, "which does not overflow")
}

func TestResultsThatDoNotFitAreNotKept(t *testing.T) {
	r := newReplica(t)
	id := r.open(Limits{MaxResultBytes: 6})
	require.Equal(t, applied("1:aa"), r.one(cmd(id, 1, 1, "aa")))
	require.Equal(t, applied("2:b"), r.one(cmd(id, 1, 2, "b")))
	require.Equal(t, applied("1:aa"), r.one(cmd(id, 1, 1, "aa")))
	require.Equal(t, answer(ResultNotKept), r.one(cmd(id, 1, 2, "b")), "but it is not applied again")
	require.Equal(t, applied("3:c"), r.one(cmd(id, 2, 3, "c")), "the first was acknowledged, there is room")
	require.Equal(t, applied("3:c"), r.one(cmd(id, 2, 3, "c")))
	require.Equal(t, answer(ResultNotKept), r.one(cmd(id, 2, 2, "b")))
	require.Len(t, r.journal.all(), 3)
}

func TestResultThatTheCodecDoesNotDecode(t *testing.T) {
	r := newReplica(t)
	id := r.open(Limits{})
	r.one(cmd(id, 1, 1, "a"))
	r.table.own(r.table.places[id.Index]).results[0].data = []byte("undecodable")
	require.Equal(t, answer(ResultNotKept), r.one(cmd(id, 1, 1, "a")))
}

func TestMalformedCommands(t *testing.T) {
	id := ID{Index: 1, Nonce: 7}
	whole := map[string][]byte{
		"open": open(7, Limits{}), "keep-alive": at(kindKeepAlive, id, 1, 0), "close": at(kindClose, id, 1, 0),
	}
	bad := map[string][]byte{
		"nothing":            nil,
		"no kind":            {0, 1, 2},
		"unknown kind":       {6},
		"a raw command":      []byte("set x"),
		"nothing in open":    {byte(kindOpen)},
		"limits of 0":        (&command{kind: kindOpen}).encode(),
		"too many sessions":  open(7, Limits{MaxSessions: maxSessions + 1}),
		"no session":         cmd(ID{}, 1, 1, "x"),
		"acknowledged 0":     cmd(id, 0, 1, "x"),
		"age too large":      at(kindKeepAlive, id, 1, maxNumber+1),
		"sequence too large": cmd(id, 1, maxNumber+2, "x"),
		"an endless number":  append([]byte{byte(kindCommand)}, bytes.Repeat([]byte{0xff}, 20)...),
	}
	for name, b := range whole {
		bad[name+" and more"] = append(slices.Clone(b), 0)
		for n := 1; n < len(b); n++ {
			bad[fmt.Sprint(name, " cut to ", n)] = b[:n]
		}
	}
	command := cmd(id, 1, 1, "")
	for n := 1; n < len(command); n++ {
		bad[fmt.Sprint("command cut to ", n)] = command[:n]
	}
	r := newReplica(t)
	r.open(Limits{})
	for name, b := range bad {
		before := r.snapshot()
		require.Equal(t, answer(Malformed), r.one(b), name)
		require.Equal(t, before, r.snapshot(), name)
	}
	require.Empty(t, r.journal.all())
}

func TestApplyFailsWithTheService(t *testing.T) {
	m := newMachine[string](failing{}, stringCodec{})
	require.ErrorIs(t, m.Apply(entriesFrom(1, Plain(nil)), make([]Result[string], 1)), errBroken)
	_, err := m.Snapshot()
	require.ErrorIs(t, err, errBroken)
	busy, _ := busyReplica(t)
	require.ErrorIs(t, m.Restore(bytes.NewReader(busy.snapshot())), errBroken)
	require.Empty(t, m.table.places)
}

var errBroken = errors.New("broken")

type failing struct{}

func (failing) Apply([]raft.Entry, []string) error { return errBroken }
func (failing) Snapshot() (io.WriterTo, error)     { return nil, errBroken }
func (failing) Restore(io.Reader) error            { return errBroken }

// After a batch nothing of it is held.
func TestBatchesAreReleased(t *testing.T) {
	r := newReplica(t)
	id := r.open(Limits{MaxResultBytes: 1 << 20})
	r.apply(cmd(id, 1, 1, string(make([]byte, maxScratch))), Plain([]byte("x")))
	require.Nil(t, r.scratch)
	for _, c := range r.commands[:cap(r.commands)] {
		require.Zero(t, c)
	}
	for _, v := range r.values[:cap(r.values)] {
		require.Zero(t, v)
	}
	for _, s := range r.steps[:cap(r.steps)] {
		require.Zero(t, s)
	}
}

func TestStatusErrors(t *testing.T) {
	require.NoError(t, OK.Err())
	seen := map[error]bool{}
	for s := Expired; s <= Malformed; s++ {
		require.Error(t, s.Err())
		require.False(t, seen[s.Err()])
		seen[s.Err()] = true
	}
	require.ErrorContains(t, Status(77).Err(), "77")
}

// What the package's text on expiry says of session time that was behind: it is
// the use of an older session by which it catches up, and those that were used
// meanwhile are then older by that much. A client that uses its session often
// keeps that small.
func TestSessionTimeCatchesUp(t *testing.T) {
	limits := Limits{TTL: 100 * time.Millisecond}
	for pause, expected := range map[uint64]Status{50: OK, 101: Expired} {
		r := newReplica(t)
		older := r.open(limits)
		// For a while no session is used, and then one is opened.
		newer := r.open(limits)
		require.Equal(t, answer(OK), r.one(at(kindKeepAlive, older, 1, pause)))
		require.Equal(t, answer(expected), r.one(at(kindKeepAlive, newer, 1, 1)), "a pause of %d ms", pause)
	}
}

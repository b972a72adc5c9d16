package raftpb_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft/raftpb"
)

// What is on disk and on the wire must not change: this test compares with
// bytes worked out by hand from raft.proto, and holds even if that is edited.
func TestEncodingIsPinned(t *testing.T) {
	members := raftpb.Membership{Members: []raftpb.Member{
		{ID: 1, Address: "a:1", Voter: true},
		{ID: 300, Outgoing: true, Leaving: true, Intent: raftpb.IntentLeave},
	}, Lease: 129}
	const membersHex = "0a09 0801 1203613a31 1801  0a09 08ac02 2001 2801 3803 108101"
	entry := raftpb.Entry{
		Term: 1, Index: 128, Type: raftpb.EntryMembership, Data: []byte{0xff},
		Origin:   raftpb.Origin{Node: 3, Incarnation: 0x0102030405060708, Sequence: 4},
		Earliest: 5, Latest: 6, Checksum: 0x0a0b0c0d,
	}
	const entryHex = "0801 108001 1802 2201ff 2803 310807060504030201 3804 4005 4806 550d0c0b0a"
	snapshot := raftpb.Snapshot{Index: 1, Term: 2, Membership: members, MembershipIndex: 3, Size: 4, Checksum: 5, Earliest: 6, Latest: 7}
	const snapshotHex = "0801 1002 1a19" + membersHex + "2003 2804 3505000000 3806 4007"

	for _, c := range []struct {
		value    codec
		expected string
	}{
		{&raftpb.HardState{}, ""},
		{&raftpb.HardState{Term: 1, Vote: 2, Commit: 3, Unmarked: true}, "0801 1002 1803 2001"},
		{&raftpb.HardState{Term: math.MaxUint64}, "08 ffffffffffffffffff01"},
		{&raftpb.Entry{}, ""},
		{&entry, entryHex},
		{&raftpb.Member{}, ""},
		{&members.Members[0], "0801 1203613a31 1801"},
		{&raftpb.Membership{}, ""},
		{&members, membersHex},
		{&raftpb.Snapshot{}, ""},
		{&snapshot, snapshotHex},
		{&raftpb.Message{}, ""},
		{&raftpb.Message{Entries: make([]raftpb.Entry, 2), Snapshot: new(raftpb.Snapshot)}, "7a00 7a00 9a0100"},
		{
			&raftpb.Message{
				Type: raftpb.AppendEntries, Group: 2, From: 3, To: 4, Term: 5, Index: 6, LogTerm: 7, Commit: 8,
				Round: 9, Match: 10, Verified: 11, Window: 12, Reject: true, Context: 14,
				Entries: []raftpb.Entry{entry}, Marked: true, Unmark: 17, Transfer: true, Snapshot: &snapshot,
			},
			"0805 1002 1803 2004 2805 3006 3807 4008 4809 500a 580b 600c 6801 700e" +
				"7a20" + entryHex + "800101 880111 900101 9a012c" + snapshotHex,
		},
	} {
		expected, err := hex.DecodeString(strings.ReplaceAll(c.expected, " ", ""))
		require.NoError(t, err)
		require.Equal(t, hex.EncodeToString(expected), hex.EncodeToString(c.value.Append(nil)), "%+v", c.value)
		require.Equal(t, len(expected), c.value.EncodedLen(), "%+v", c.value)

		decoded := reflect.New(reflect.TypeOf(c.value).Elem()).Interface().(codec)
		require.NoError(t, decoded.Unmarshal(expected))
		require.Equal(t, c.value, decoded)
	}
}

func TestMalformedInput(t *testing.T) {
	message, entry, member := new(raftpb.Message), new(raftpb.Entry), new(raftpb.Member)
	hardState, membership, snapshot := new(raftpb.HardState), new(raftpb.Membership), new(raftpb.Snapshot)
	for _, c := range []struct {
		name      string
		into      codec
		input     string
		innermost string
		offset    int
		reason    string
	}{
		{"no value", hardState, "0801 10", "HardState", 2, "field is longer than the input"},
		{"varint cut off", hardState, "0801 1080", "HardState", 2, "field is longer than the input"},
		{"tag cut off", hardState, "0801 90", "HardState", 2, "field is longer than the input"},
		{"varint of 2⁶⁴", hardState, "08 80808080808080808002", "HardState", 0, "varint is larger than 64 bits"},
		{"varint of 11 bytes", hardState, "08 8080808080808080808000", "HardState", 0, "varint is larger than 64 bits"},
		{"field number 0", hardState, "0801 0000", "HardState", 2, "invalid field number"},
		{"field number 2²⁹", hardState, "80808080 1000", "HardState", 0, "invalid field number"},
		{"wire type 6", hardState, "0e", "HardState", 0, "invalid wire type"},
		{"wire type 7", hardState, "0f", "HardState", 0, "invalid wire type"},
		{"end of no group", hardState, "0c", "HardState", 0, "malformed group"},
		{"group without end", hardState, "0b 0801", "HardState", 0, "malformed group"},
		{"end of another group", hardState, "0b 14", "HardState", 0, "malformed group"},
		{"fixed32 cut off", entry, "55 010203", "Entry", 0, "field is longer than the input"},
		{"fixed64 cut off", entry, "31 01020304050607", "Entry", 0, "field is longer than the input"},
		{"data cut off", entry, "0801 2203 0102", "Entry", 2, "field is longer than the input"},
		{"data of length 2⁶⁴-1", entry, "22 ffffffffffffffffff01", "Entry", 0, "field is longer than the input"},
		{"data of length 2⁶³", entry, "22 80808080808080808001", "Entry", 0, "field is longer than the input"},
		{"unknown bytes cut off", entry, "fa0105 00", "Entry", 0, "field is longer than the input"},
		{"entry type 260", entry, "0801 188402", "Entry", 2, "enum value is larger than 255"},
		{"entry type 2³²", entry, "18 8080808010", "Entry", 0, "enum value is larger than 255"},
		{"entry type -1", entry, "18 ffffffffffffffffff01", "Entry", 0, "enum value is larger than 255"},
		{"message type 260", message, "08 8402", "Message", 0, "enum value is larger than 255"},
		{"address in Latin-1", member, "0801 1202 61e4", "Member", 2, "string is not valid UTF-8"},
		{"address replaced, in Latin-1", member, "1201 e4 1200", "Member", 0, "string is not valid UTF-8"},
		{"member in a membership", membership, "0a00 0a03 1201e4", "Member", 4, "string is not valid UTF-8"},
		{"membership in a snapshot", snapshot, "0801 1a02 0a05", "Membership", 4, "field is longer than the input"},
		{"snapshot in a message", message, "0801 9a0102 0880", "Snapshot", 5, "field is longer than the input"},
		// The entry's last varint would end in the next field of the message.
		{"entry in a message", message, "7a00 7a02 0880 0801", "Entry", 4, "field is longer than the input"},
	} {
		t.Run(c.name, func(t *testing.T) {
			input, err := hex.DecodeString(strings.ReplaceAll(c.input, " ", ""))
			require.NoError(t, err)

			err = c.into.Unmarshal(input)

			require.Equal(t, &raftpb.DecodeError{Type: c.innermost, Offset: c.offset, Reason: c.reason}, err)
			require.ErrorIs(t, err, raftpb.ErrDecode)
			require.EqualError(t, err, fmt.Sprintf("raftpb: cannot decode %s: %s at byte %d", c.innermost, c.reason, c.offset))
			require.Zero(t, c.into.EncodedLen(), "the receiver is zero")
		})
	}
}

func TestUnmarshalReplacesEveryField(t *testing.T) {
	full := filled(t, reflect.TypeFor[raftpb.Message]()).(*raftpb.Message)
	full.Entries = append(full.Entries, full.Entries[0], full.Entries[0])
	for _, k := range kinds {
		receiver := filled(t, reflect.TypeOf(k.new()).Elem())
		require.NoError(t, receiver.Unmarshal(nil))
		if m, ok := receiver.(*raftpb.Message); ok {
			require.Empty(t, m.Entries)
			m.Entries = nil
		}
		require.Equal(t, k.new(), receiver)
	}

	// Entries of a reused array keep nothing of what they were.
	empty := (&raftpb.Message{Entries: make([]raftpb.Entry, 3)}).Append(nil)
	require.NoError(t, full.Unmarshal(empty))
	require.Equal(t, &raftpb.Message{Entries: make([]raftpb.Entry, 3)}, full)
}

func TestUnmarshalReusesEntriesAndClearsTheRest(t *testing.T) {
	encode := func(entries int) []byte {
		m := raftpb.Message{Term: 1}
		for i := range entries {
			m.Entries = append(m.Entries, raftpb.Entry{Index: raftpb.Index(i + 1), Data: []byte("data")})
		}
		return m.Append(nil)
	}
	for _, c := range []struct {
		name     string
		input    []byte
		expected int
		err      bool
	}{
		{"fewer", encode(3), 3, false},
		{"none", encode(0), 0, false},
		{"as many", encode(8), 8, false},
		{"malformed after three", append(encode(3), 0x08), 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m raftpb.Message
			require.NoError(t, m.Unmarshal(encode(8)))
			array := m.Entries[:cap(m.Entries)]

			err := m.Unmarshal(c.input)

			require.Equal(t, c.err, err != nil)
			require.Len(t, m.Entries, c.expected)
			require.Equal(t, cap(array), cap(m.Entries))
			require.Same(t, &array[0], &m.Entries[:1][0])
			for _, e := range array[c.expected:] {
				require.Zero(t, e)
			}
		})
	}

	t.Run("malformed, into an empty array", func(t *testing.T) {
		m := raftpb.Message{Entries: make([]raftpb.Entry, 0, 8)}
		array := m.Entries[:8]
		require.Error(t, m.Unmarshal(append(encode(3), 0x08)))
		require.Equal(t, make([]raftpb.Entry, 8), array)
	})

	t.Run("more", func(t *testing.T) {
		var m raftpb.Message
		require.NoError(t, m.Unmarshal(encode(8)))
		old := m.Entries
		require.NoError(t, m.Unmarshal(encode(9)))
		require.Len(t, m.Entries, 9)
		require.Equal(t, raftpb.Index(9), m.Entries[8].Index)
		require.NotSame(t, &old[0], &m.Entries[0])
	})

	t.Run("malformed after more", func(t *testing.T) {
		var m raftpb.Message
		require.NoError(t, m.Unmarshal(encode(2)))
		array := m.Entries[:cap(m.Entries)]
		require.Error(t, m.Unmarshal(append(encode(9), 0x08)))
		require.Empty(t, m.Entries)
		require.Same(t, &array[0], &m.Entries[:1][0], "a peer's garbage does not grow the array")
		require.Equal(t, make([]raftpb.Entry, len(array)), array)
	})
}

func TestOnlyEntryDataAliasesTheInput(t *testing.T) {
	original := filled(t, reflect.TypeFor[raftpb.Message]()).(*raftpb.Message)
	original.Entries[0].Data = []byte("data")
	original.Entries = append(original.Entries, original.Entries[0])
	input := original.Append(nil)
	var m raftpb.Message
	require.NoError(t, m.Unmarshal(input))
	require.Equal(t, original, &m)

	data := m.Entries[0].Data
	require.Equal(t, len(data), cap(data), "an append to the data would overwrite the input")
	at := bytes.Index(input, data)
	input[at]++
	require.Equal(t, input[at], data[0], "data is a part of the input")

	clear(input)
	require.Equal(t, make([]byte, len(data)), m.Entries[1].Data)
	for i := range m.Entries {
		m.Entries[i].Data = original.Entries[i].Data
	}
	require.Equal(t, original, &m, "nothing else is")
}

func TestReuseLeavesSnapshotsAlone(t *testing.T) {
	input := (&raftpb.Message{Snapshot: &raftpb.Snapshot{
		Index: 1, Membership: raftpb.Membership{Members: []raftpb.Member{{ID: 1}}},
	}}).Append(nil)
	other := (&raftpb.Message{Snapshot: &raftpb.Snapshot{
		Index: 2, Membership: raftpb.Membership{Members: []raftpb.Member{{ID: 2}}},
	}}).Append(nil)
	var m raftpb.Message
	require.NoError(t, m.Unmarshal(input))
	snapshot := m.Snapshot
	membership := snapshot.Membership

	require.NoError(t, m.Unmarshal(other))
	require.NoError(t, snapshot.Unmarshal(nil))

	require.Equal(t, raftpb.Index(2), m.Snapshot.Index)
	require.Equal(t, []raftpb.Member{{ID: 1}}, membership.Members)
}

// The bound that the doc comments of Unmarshal state.
const (
	allocatedPerInputByte = 64
	allocatedBesides      = 1024
)

func TestHostileInputAllocatesInProportion(t *testing.T) {
	repeat := func(unit string, n int) []byte {
		b, err := hex.DecodeString(strings.ReplaceAll(unit, " ", ""))
		require.NoError(t, err)
		return bytes.Repeat(b, n)
	}
	within := func(tag string, content []byte) []byte {
		b := repeat(tag, 1)
		n := len(content)
		for ; n >= 0x80; n >>= 7 {
			b = append(b, byte(n)|0x80)
		}
		return append(append(b, byte(n)), content...)
	}
	const members = "0a00"
	const addressed = "0a03 120161"
	const n = 100_000
	for _, c := range []struct {
		name  string
		into  codec
		input func(n int) []byte
	}{
		{"empty entries", new(raftpb.Message), func(n int) []byte { return repeat("7a00", n) }},
		{"empty entries, then damage", new(raftpb.Message), func(n int) []byte { return append(repeat("7a00", n), 0x7a) }},
		{"empty entries, into a small array", &raftpb.Message{Entries: make([]raftpb.Entry, 0, 1)}, func(n int) []byte { return repeat("7a00", n) }},
		{"empty entries, one more than fit", &raftpb.Message{Entries: make([]raftpb.Entry, 0, 256)}, func(n int) []byte { return repeat("7a00", min(n, 257)) }},
		{"empty entries, some more than fit", &raftpb.Message{Entries: make([]raftpb.Entry, 0, n-n/4)}, func(n int) []byte { return repeat("7a00", n) }},
		{"empty snapshots", new(raftpb.Message), func(n int) []byte { return repeat("9a0100", n) }},
		{"one membership in each snapshot", new(raftpb.Message), func(n int) []byte { return repeat("9a0104 1a02"+members, n) }},
		{"a membership in one snapshot", new(raftpb.Message), func(n int) []byte {
			return within("9a01", within("1a", repeat(members, n)))
		}},
		{"empty memberships", new(raftpb.Snapshot), func(n int) []byte { return repeat("1a00", n) }},
		{"one member in each membership", new(raftpb.Snapshot), func(n int) []byte { return repeat("1a02"+members, n) }},
		{"one address in each membership", new(raftpb.Snapshot), func(n int) []byte { return repeat("1a05"+addressed, n) }},
		{"empty members", new(raftpb.Membership), func(n int) []byte { return repeat(members, n) }},
		{"addresses", new(raftpb.Membership), func(n int) []byte { return repeat(addressed, n) }},
		{"an address many times", new(raftpb.Member), func(n int) []byte { return repeat("120161", n) }},
		{"large lengths", new(raftpb.Message), func(n int) []byte { return repeat("7affffffffffffffffff01", n) }},
		{"unknown groups", new(raftpb.Entry), func(n int) []byte { return repeat("fb01fc01", n) }},
		{"data many times", new(raftpb.Entry), func(n int) []byte { return repeat("2201ff", n) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, n := range []int{1, 10, 257, 5_000, n} {
				input := c.input(n)

				allocated := allocatedBy(t, c.into, input)

				t.Logf("%d bytes of input: %.1f bytes allocated per byte", len(input), float64(allocated)/float64(len(input)))
				require.LessOrEqual(t, allocated, uint64(allocatedPerInputByte*len(input)+allocatedBesides))
			}
		})
	}
}

// allocatedBy returns how many bytes it takes to decode input into a copy of
// into: the least of some runs, as the runtime allocates now and then too.
func allocatedBy(t *testing.T, into codec, input []byte) uint64 {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	least := uint64(math.MaxUint64)
	for range 3 {
		receiver := reflect.New(reflect.TypeOf(into).Elem())
		receiver.Elem().Set(reflect.ValueOf(into).Elem())
		decode := receiver.Interface().(codec).Unmarshal
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := decode(input)
		runtime.ReadMemStats(&after)
		if err != nil {
			requireDecodeError(t, err, input)
		}
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

func TestUnmarshalWithinRefusesBeforeItAllocates(t *testing.T) {
	const entry, member = int(unsafe.Sizeof(raftpb.Entry{})), int(unsafe.Sizeof(raftpb.Member{}))
	members := func(n int) []byte {
		m := raftpb.Message{Snapshot: &raftpb.Snapshot{Membership: raftpb.Membership{Members: make([]raftpb.Member, n)}}}
		return m.Append(nil)
	}
	for name, c := range map[string]struct {
		input []byte
		into  raftpb.Message
		needs int
	}{
		"entries":                    {bytes.Repeat([]byte{0x7a, 0}, 10_000), raftpb.Message{}, 10_000 * entry},
		"entries, with room":         {bytes.Repeat([]byte{0x7a, 0}, 10), raftpb.Message{Entries: make([]raftpb.Entry, 0, 20)}, 10 * entry},
		"members":                    {members(10_000), raftpb.Message{}, 10_000 * member},
		"members, in many snapshots": {bytes.Repeat(members(1), 1000), raftpb.Message{}, 1000 * member},
	} {
		m := c.into
		require.NoError(t, m.UnmarshalWithin(c.input, c.needs), name)
		m = c.into
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := m.UnmarshalWithin(c.input, c.needs-1)
		runtime.ReadMemStats(&after)
		require.ErrorContains(t, err, "more entries or members than the limit allows", name)
		require.ErrorIs(t, err, raftpb.ErrDecode, name)
		require.Empty(t, m.Entries, name)
		require.Nil(t, m.Snapshot, name)
		if len(c.input) > 3000 && name != "members, in many snapshots" { // those allocate one by one
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<10), name)
		}
	}
}

func TestAllocations(t *testing.T) {
	full := filled(t, reflect.TypeFor[raftpb.Message]()).(*raftpb.Message)
	full.Snapshot = nil
	for range 63 {
		full.Entries = append(full.Entries, full.Entries[0])
	}
	encoded := full.Append(nil)
	buffer := make([]byte, 0, full.EncodedLen())
	reused := new(raftpb.Message)
	for _, c := range []struct {
		name    string
		allowed float64
		f       func()
	}{
		{"encode", 0, func() { buffer = full.Append(buffer[:0]) }},
		{"decode, reused", 0, func() { require.NoError(t, reused.Unmarshal(encoded)) }},
		{"decode, fresh", 1, func() { require.NoError(t, new(raftpb.Message).Unmarshal(encoded)) }},
	} {
		require.LessOrEqual(t, testing.AllocsPerRun(100, c.f), c.allowed, c.name)
	}
}

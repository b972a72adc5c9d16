package raftpb_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/seed-6281cb22/raft/internal/oracle"
	"github.com/seed-6281cb22/raft/raftpb"
)

// The fuzz targets hold the codec against the code generated from raft.proto:
// on arbitrary bytes, and, since those seldom reach deep, on random values and
// on what comes of joining, cutting and damaging their encodings.

func FuzzMessage(f *testing.F)    { fuzzKind(f, messageKind) }
func FuzzEntry(f *testing.F)      { fuzzKind(f, entryKind) }
func FuzzHardState(f *testing.F)  { fuzzKind(f, hardStateKind) }
func FuzzMember(f *testing.F)     { fuzzKind(f, memberKind) }
func FuzzMembership(f *testing.F) { fuzzKind(f, membershipKind) }
func FuzzSnapshot(f *testing.F)   { fuzzKind(f, snapshotKind) }

func fuzzKind(f *testing.F, k kind) {
	for _, seed := range seeds(k) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) { requireAgreement(t, k, b) })
}

// Groups may be nested, in unknown fields too, and so can be nested deep.
func TestDeepGroupsAgree(t *testing.T) {
	for _, depth := range []int{1, 9_999, 10_000, 10_001, 10_002, 1_000_000} {
		b := append(bytes.Repeat([]byte{0x0b}, depth), bytes.Repeat([]byte{0x0c}, depth)...)
		requireAgreement(t, messageKind, b)
		requireAgreement(t, messageKind, b[:depth])
		requireAgreement(t, entryKind, b)
	}
}

func FuzzRandomValues(f *testing.F) {
	for seed := range uint64(64) {
		f.Add(seed, seed*seed)
	}
	f.Fuzz(func(t *testing.T, seed1, seed2 uint64) {
		r := rand.New(rand.NewPCG(seed1, seed2))
		for _, k := range kinds {
			one, other := randomValue(r, k), randomValue(r, k)
			requireRoundTrip(t, k, one)

			b, c := one.Append(nil), other.Append(nil)
			requireAgreement(t, k, b)
			requireAgreement(t, k, append(bytes.Clone(b), c...)) // merges
			requireAgreement(t, k, splice(r, b, randomField(r)))
			requireAgreement(t, k, b[:r.IntN(len(b)+1)])
			requireAgreement(t, k, damage(r, b))
		}
	})
}

// requireAgreement demands that k and its oracle both refuse b, or both take
// it for the same value, and that each reads what the other makes of that.
func requireAgreement(t *testing.T, k kind, b []byte) {
	t.Helper()
	expected := k.newOracle()
	expectedErr := proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(b, expected)
	refuse := expectedErr != nil || hasWideEnum(b, expected.ProtoReflect().Descriptor())

	input := bytes.Clone(b)
	got := k.new()
	err := got.Unmarshal(b)
	require.Equal(t, input, b, "the input was changed")
	require.Equal(t, refuse, err != nil, "%s from %x: got %v, oracle %v", k.name, b, err, expectedErr)
	if err != nil {
		requireDecodeError(t, err, b)
		require.Equal(t, k.new(), got, "not zero after an error")
		return
	}
	dropEmptyMembership(expected)
	requireEqualOracle(t, expected, k.toOracle(got))
	requireRoundTrip(t, k, got)

	encoded, err := proto.Marshal(expected)
	require.NoError(t, err)
	again := k.new()
	require.NoError(t, again.Unmarshal(encoded))
	require.Equal(t, got, again)
}

// requireRoundTrip demands that the encoding of value is of the stated length
// and decodes to the same value, here and by the oracle.
func requireRoundTrip(t *testing.T, k kind, value codec) {
	t.Helper()
	encoded := value.Append([]byte("prefix"))
	require.Equal(t, "prefix", string(encoded[:6]))
	encoded = encoded[6:]
	require.Len(t, encoded, value.EncodedLen(), "EncodedLen")

	decoded := k.new()
	require.NoError(t, decoded.Unmarshal(encoded))
	require.Equal(t, value, decoded)
	require.Equal(t, encoded, decoded.Append(make([]byte, 0, len(encoded))))

	byOracle := k.newOracle()
	require.NoError(t, proto.Unmarshal(encoded, byOracle))
	requireEqualOracle(t, k.toOracle(value), byOracle)
}

func requireEqualOracle(t *testing.T, expected, actual proto.Message) {
	t.Helper()
	require.True(t, proto.Equal(expected, actual), "expected %v\nactual   %v", expected, actual)
}

func requireDecodeError(t *testing.T, err error, input []byte) {
	t.Helper()
	require.ErrorIs(t, err, raftpb.ErrDecode)
	var decodeError *raftpb.DecodeError
	require.ErrorAs(t, err, &decodeError)
	require.GreaterOrEqual(t, decodeError.Offset, 0)
	require.Less(t, decodeError.Offset, len(input))
	require.NotEmpty(t, decodeError.Type)
	require.NotEmpty(t, decodeError.Reason)
}

// hasWideEnum returns whether b, which the oracle has accepted, holds an enum
// value above 255: the one thing that the codec refuses and the oracle takes.
func hasWideEnum(b []byte, message protoreflect.MessageDescriptor) bool {
	for len(b) > 0 {
		number, wireType, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		end := n + protowire.ConsumeFieldValue(number, wireType, b[n:])
		if end < n {
			return false
		}
		if field := message.Fields().ByNumber(number); field != nil {
			switch {
			case field.Kind() == protoreflect.EnumKind && wireType == protowire.VarintType:
				if v, _ := protowire.ConsumeVarint(b[n:]); v > math.MaxUint8 {
					return true
				}
			case field.Kind() == protoreflect.MessageKind && wireType == protowire.BytesType:
				if v, _ := protowire.ConsumeBytes(b[n:]); hasWideEnum(v, field.Message()) {
					return true
				}
			}
		}
		b = b[end:]
	}
	return false
}

// dropEmptyMembership makes up for the one difference between the types: a
// Snapshot of this package has no membership that is present and empty.
func dropEmptyMembership(m proto.Message) {
	switch m := m.(type) {
	case *oracle.Message:
		if m.Snapshot != nil {
			dropEmptyMembership(m.Snapshot)
		}
	case *oracle.Snapshot:
		if len(m.Membership.GetMembers()) == 0 && m.Membership.GetLease() == 0 {
			m.Membership = nil
		}
	}
}

// seeds returns inputs that between them reach every branch of the codec.
func seeds(k kind) [][]byte {
	seeds := [][]byte{
		nil,
		{0x00},                   // field number 0
		{0x07},                   // the same, wire type 7
		{0x08},                   // no value
		{0x08, 0x80},             // varint cut off
		{0x08, 0x80, 0x00},       // not canonical, but valid
		{0x88, 0x00, 0x01},       // tag not canonical, but valid
		{0x08, 0x84, 0x02},       // 260
		{0x18, 0x84, 0x02},       // 260
		{0x18, 0x84, 0x82, 0x80}, // cut off
		{0x0e},                   // wire type 6
		{0x0f},                   // wire type 7
		{0x0b, 0x0c},             // a group where a number is expected
		{0x0c},                   // the end of no group
		{0xfb, 0x01, 0xfc, 0x01}, // an unknown group
		{0xfb, 0x01, 0x08, 0x01, 0x03, 0x04, 0xfc, 0x01},                         // with field number 0 in it
		{0xfb, 0x01, 0x08, 0x01, 0x0b, 0x0c, 0xfc, 0x01},                         // with a group in it
		{0xfb, 0x01, 0x0b, 0xfc, 0x01},                                           // overlapping groups
		{0x0d, 0x01, 0x02, 0x03},                                                 // fixed32 cut off
		{0x0d, 0x01, 0x02, 0x03, 0x04},                                           // fixed32 where a number is expected
		{0x09, 1, 2, 3, 4, 5, 6, 7},                                              // fixed64 cut off
		{0x09, 1, 2, 3, 4, 5, 6, 7, 8},                                           // fixed64 where a number is expected
		{0x0a, 0x05, 0x01},                                                       // bytes cut off
		{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},       // of length 2⁶⁴-1
		{0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},       // 2⁶⁴-1
		{0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02},       // 2⁶⁴
		{0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00}, // 11 bytes
		{0xf8, 0xff, 0xff, 0xff, 0x0f, 0x00},                                     // the largest field number
		{0x80, 0x80, 0x80, 0x80, 0x10, 0x00},                                     // one larger
		{0x88, 0x80, 0x80, 0x80, 0x80, 0x01, 0x00},                               // field 1 above 2³²
		{0x12, 0x01, 0xff},                                                       // not UTF-8, in a member's address
		{0x12, 0x01, 0xff, 0x12, 0x00},
		{0x12, 0x01, 0x61, 0x12, 0x00}, // an address, replaced by none
		{0x22, 0x01, 0x61, 0x22, 0x00}, // data, replaced by none
		{0x08, 0x84, 0x02, 0x08, 0x04}, // a wide enum value, replaced
		{0x0a, 0x03, 0x12, 0x01, 0xff},
		{0x7a, 0x00, 0x7a, 0x00},
		{0x7a, 0x02, 0x08, 0x80}, // an entry that would be whole if its message went on
		{0x7a, 0x03, 0x22, 0x02, 0x01, 0x00},
		{0x7a, 0x03, 0x18, 0x84, 0x02},
		{0x9a, 0x01, 0x02, 0x1a, 0x00},                                                       // an empty membership
		{0x9a, 0x01, 0x04, 0x1a, 0x02, 0x0a, 0x00, 0x9a, 0x01, 0x04, 0x1a, 0x02, 0x0a, 0x00}, // two, merged
		{0x1a, 0x02, 0x0a, 0x00, 0x1a, 0x02, 0x0a, 0x00},
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 8 {
		seeds = append(seeds, randomValue(r, k).Append(nil))
	}
	return seeds
}

func randomValue(r *rand.Rand, k kind) codec {
	switch k.name {
	case "Message":
		return randomMessage(r)
	case "Entry":
		return randomEntry(r)
	case "HardState":
		return &raftpb.HardState{
			Term:     raftpb.Term(randomUint(r)),
			Vote:     raftpb.NodeID(randomUint(r)),
			Commit:   raftpb.Index(randomUint(r)),
			Unmarked: randomBool(r),
		}
	case "Member":
		return randomMember(r)
	case "Membership":
		return &raftpb.Membership{Members: randomMembers(r), Lease: randomUint(r)}
	case "Snapshot":
		return randomSnapshot(r)
	default:
		panic("no random " + k.name)
	}
}

func randomMessage(r *rand.Rand) *raftpb.Message {
	m := &raftpb.Message{
		Type:     raftpb.MessageType(randomUint(r)),
		Reject:   randomBool(r),
		Marked:   randomBool(r),
		Transfer: randomBool(r),
		Group:    raftpb.GroupID(randomUint(r)),
		From:     raftpb.NodeID(randomUint(r)),
		To:       raftpb.NodeID(randomUint(r)),
		Term:     raftpb.Term(randomUint(r)),
		Index:    raftpb.Index(randomUint(r)),
		LogTerm:  raftpb.Term(randomUint(r)),
		Commit:   raftpb.Index(randomUint(r)),
		Round:    randomUint(r),
		Match:    raftpb.Index(randomUint(r)),
		Verified: raftpb.Index(randomUint(r)),
		Window:   randomUint(r),
		Context:  randomUint(r),
		Unmark:   raftpb.Index(randomUint(r)),
	}
	for range randomCount(r) {
		m.Entries = append(m.Entries, *randomEntry(r))
	}
	if randomBool(r) {
		m.Snapshot = randomSnapshot(r)
	}
	return m
}

func randomEntry(r *rand.Rand) *raftpb.Entry {
	e := &raftpb.Entry{
		Term:  raftpb.Term(randomUint(r)),
		Index: raftpb.Index(randomUint(r)),
		Origin: raftpb.Origin{
			Node:        raftpb.NodeID(randomUint(r)),
			Incarnation: randomUint(r),
			Sequence:    randomUint(r),
		},
		Earliest: randomUint(r),
		Latest:   randomUint(r),
		Checksum: uint32(randomUint(r)),
		Type:     raftpb.EntryType(randomUint(r)),
	}
	if n := []int{0, 1, 127, 128, 300, r.IntN(64)}[r.IntN(6)]; n > 0 {
		e.Data = make([]byte, n)
		for i := range e.Data {
			e.Data[i] = byte(r.Uint32())
		}
	}
	return e
}

func randomMember(r *rand.Rand) *raftpb.Member {
	alphabet := []string{"a", ".", ":9", "ß", "世", "\U0001f600", "\x00"}
	var address strings.Builder
	for range randomCount(r) {
		address.WriteString(alphabet[r.IntN(len(alphabet))])
	}
	return &raftpb.Member{
		ID:       raftpb.NodeID(randomUint(r)),
		Address:  address.String(),
		Voter:    randomBool(r),
		Outgoing: randomBool(r),
		Leaving:  randomBool(r),
		Priority: uint32(randomUint(r)),
		Intent:   raftpb.Intent(r.IntN(256)),
	}
}

func randomMembers(r *rand.Rand) (members []raftpb.Member) {
	for range randomCount(r) {
		members = append(members, *randomMember(r))
	}
	return members
}

func randomSnapshot(r *rand.Rand) *raftpb.Snapshot {
	return &raftpb.Snapshot{
		Index:           raftpb.Index(randomUint(r)),
		Term:            raftpb.Term(randomUint(r)),
		Membership:      raftpb.Membership{Members: randomMembers(r), Lease: randomUint(r)},
		MembershipIndex: raftpb.Index(randomUint(r)),
		Size:            randomUint(r),
		Checksum:        uint32(randomUint(r)),
		Earliest:        randomUint(r),
		Latest:          randomUint(r),
	}
}

// randomUint returns 0 often, and otherwise a number of a random length.
func randomUint(r *rand.Rand) uint64 {
	if r.IntN(3) == 0 {
		return 0
	}
	return r.Uint64() >> r.IntN(64)
}

func randomBool(r *rand.Rand) bool { return r.IntN(2) == 0 }

// randomCount returns a small number, now and then one that takes two bytes.
func randomCount(r *rand.Rand) int {
	if r.IntN(16) == 0 {
		return r.IntN(200)
	}
	return r.IntN(4)
}

// randomField returns the encoding of a field of a random number and wire
// type: an unknown one mostly, or a known one of another wire type or value.
func randomField(r *rand.Rand) []byte {
	number := protowire.Number(1 + r.IntN(24))
	if r.IntN(4) == 0 {
		number = 1 + protowire.Number(r.IntN(int(protowire.MaxValidNumber)))
	}
	switch r.IntN(5) {
	case 0:
		return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), randomUint(r))
	case 1:
		return protowire.AppendFixed32(protowire.AppendTag(nil, number, protowire.Fixed32Type), r.Uint32())
	case 2:
		return protowire.AppendFixed64(protowire.AppendTag(nil, number, protowire.Fixed64Type), r.Uint64())
	case 3:
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), make([]byte, r.IntN(8)))
	default:
		b := protowire.AppendTag(nil, number, protowire.StartGroupType)
		for range r.IntN(3) {
			b = append(b, randomField(r)...)
		}
		return protowire.AppendTag(b, number, protowire.EndGroupType)
	}
}

// splice inserts field into b, between two of its fields.
func splice(r *rand.Rand, b, field []byte) []byte {
	var boundaries []int
	for i := 0; i < len(b); {
		boundaries = append(boundaries, i)
		_, _, n := protowire.ConsumeField(b[i:])
		i += n
	}
	boundaries = append(boundaries, len(b))
	at := boundaries[r.IntN(len(boundaries))]
	return bytes.Join([][]byte{b[:at], field, b[at:]}, nil)
}

// damage changes some bytes of b.
func damage(r *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) > 0 {
		for range 1 + r.IntN(3) {
			b[r.IntN(len(b))] ^= byte(1 << r.IntN(8))
		}
	}
	return b
}

package raftpb_test

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/seed-6281cb22/raft/internal/oracle"
	"github.com/seed-6281cb22/raft/raftpb"
)

// The tests in this file go by the schema, and by the Go types, so that a
// field or a type that is added to one of them only makes them fail.

func TestEveryTypeIsHandled(t *testing.T) {
	messages := oracle.File_raftpb_raft_proto.Messages()
	require.Equal(t, messages.Len(), len(kinds))
	for i := range messages.Len() {
		require.NotNil(t, messages.ByName(protoreflect.Name(kinds[i].name)), kinds[i].name)
	}
}

// Each field of the schema, alone in a message, survives the way through the
// Go type, at its full width.
func TestEveryFieldIsHandled(t *testing.T) {
	for _, k := range kinds {
		fields := k.newOracle().ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			field := fields.Get(i)
			for _, bits := range []uint64{1, math.MaxUint64} {
				t.Run(string(field.FullName()), func(t *testing.T) {
					expected := k.newOracle()
					setField(expected.ProtoReflect(), field, bits)
					encoded, err := proto.Marshal(expected)
					require.NoError(t, err)

					value := k.new()
					require.NoError(t, value.Unmarshal(encoded))

					require.NotEqual(t, k.new(), value, "the field is ignored")
					requireEqualOracle(t, expected, k.toOracle(value))
					requireRoundTrip(t, k, value)
				})
			}
		}
	}
}

// Each field of the Go types, alone in a value, survives the way through the
// encoding.
func TestEveryGoFieldIsHandled(t *testing.T) {
	for _, k := range kinds {
		structType := reflect.TypeOf(k.new()).Elem()
		for i := range structType.NumField() {
			t.Run(k.name+"."+structType.Field(i).Name, func(t *testing.T) {
				value := k.new()
				fill(t, reflect.ValueOf(value).Elem().Field(i))
				requireRoundTrip(t, k, value)
			})
		}
	}
}

// setField sets a field of m to what the lowest bits make, and everything in
// it likewise.
func setField(m protoreflect.Message, field protoreflect.FieldDescriptor, bits uint64) {
	switch {
	case field.IsList():
		element := m.Mutable(field).List().AppendMutable().Message()
		setFields(element, bits)
	case field.Kind() == protoreflect.MessageKind:
		setFields(m.Mutable(field).Message(), bits)
	default:
		m.Set(field, scalar(field, bits))
	}
}

func setFields(m protoreflect.Message, bits uint64) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		setField(m, fields.Get(i), bits)
	}
}

func scalar(field protoreflect.FieldDescriptor, bits uint64) protoreflect.Value {
	switch field.Kind() {
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(bits)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(bits))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(uint8(bits)))
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(strings.Repeat("s", int(uint8(bits))))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(strings.Repeat("b", int(uint8(bits)))))
	default:
		panic("raft.proto uses a type that the tests do not know: " + field.Kind().String())
	}
}

// filled returns a value of a type of the package in which nothing is zero.
func filled(t *testing.T, structType reflect.Type) codec {
	value := reflect.New(structType)
	fill(t, value.Elem())
	return value.Interface().(codec)
}

func fill(t *testing.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(math.MaxUint64 >> (64 - v.Type().Bits()))
	case reflect.String:
		v.SetString("filled")
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	default:
		require.Fail(t, "a Go type uses a kind that the tests do not know", v.Kind().String())
	}
}

// The numbers and names of the constants are those of the schema.
func TestEnumsFollowTheSchema(t *testing.T) {
	goName := func(name string) string { // PRE_VOTE → PreVote
		words := strings.Split(name, "_")
		for i, w := range words {
			words[i] = w[:1] + strings.ToLower(w[1:])
		}
		return strings.Join(words, "")
	}

	for number, name := range oracle.MessageType_name {
		if number != int32(oracle.MessageType_MESSAGE_UNSPECIFIED) {
			require.Equal(t, goName(name), raftpb.MessageType(number).String())
		}
	}
	require.Equal(t, "MessageType(0)", raftpb.MessageType(0).String())
	require.Equal(t, "MessageType(14)", raftpb.MessageType(14).String())

	for number, name := range oracle.EntryType_name {
		require.Equal(t, goName(strings.TrimPrefix(name, "ENTRY_")), raftpb.EntryType(number).String())
	}
	require.Equal(t, "EntryType(4)", raftpb.EntryType(4).String())

	for number, name := range oracle.Intent_name {
		require.Equal(t, goName(strings.TrimPrefix(name, "INTENT_")), raftpb.Intent(number).String())
	}
	require.Equal(t, "Intent(4)", raftpb.Intent(4).String())
}

package raftpb_test

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/seed-6281cb22/raft/internal/oracle"
	"github.com/seed-6281cb22/raft/raftpb"
)

// benchmarkMessages are the AppendEntries of BASELINES.md, 64 entries of 128
// bytes, with the fields that were measured there, and with all that this
// library sets; and a heartbeat.
func benchmarkMessages() map[string]*raftpb.Message {
	bulk := func(set func(e *raftpb.Entry)) *raftpb.Message {
		m := heartbeat()
		for i := range 64 {
			e := raftpb.Entry{Term: 7, Index: m.Index + 1 + raftpb.Index(i), Data: make([]byte, 128)}
			set(&e)
			m.Entries = append(m.Entries, e)
		}
		return m
	}
	return map[string]*raftpb.Message{
		"heartbeat": heartbeat(),
		"64x128B":   bulk(func(*raftpb.Entry) {}),
		"64x128B_origin_checksum": bulk(func(e *raftpb.Entry) {
			e.Origin = raftpb.Origin{Node: 3, Incarnation: 0xfeedfacecafebeef, Sequence: uint64(e.Index)}
			e.Checksum = 0xdeadbeef
		}),
	}
}

func heartbeat() *raftpb.Message {
	return &raftpb.Message{
		Type: raftpb.AppendEntries, Group: 1, From: 1, To: 2, Term: 7, Index: 1_000_000,
		LogTerm: 7, Commit: 999_990, Round: 12_345, Match: 999_936,
	}
}

var benchmarkNames = []string{"heartbeat", "64x128B", "64x128B_origin_checksum"}

func BenchmarkEncode(b *testing.B) {
	messages := benchmarkMessages()
	for _, name := range benchmarkNames {
		m := messages[name]
		generated := messageToOracle(m)
		size := int64(m.EncodedLen())
		b.Run(fmt.Sprintf("%s/fresh", name), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(size)
			for b.Loop() {
				m.Append(make([]byte, 0, m.EncodedLen()))
			}
		})
		b.Run(fmt.Sprintf("%s/reused", name), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(size)
			var buffer []byte
			for b.Loop() {
				buffer = m.Append(buffer[:0])
			}
		})
		b.Run(fmt.Sprintf("%s/generated_reused", name), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(size)
			var buffer []byte
			for b.Loop() {
				buffer, _ = proto.MarshalOptions{}.MarshalAppend(buffer[:0], generated)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	messages := benchmarkMessages()
	for _, name := range benchmarkNames {
		encoded := messages[name].Append(nil)
		b.Run(fmt.Sprintf("%s/fresh", name), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(encoded)))
			for b.Loop() {
				m := new(raftpb.Message)
				if err := m.Unmarshal(encoded); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("%s/reused", name), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(encoded)))
			m := new(raftpb.Message)
			for b.Loop() {
				if err := m.Unmarshal(encoded); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("%s/generated", name), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(encoded)))
			for b.Loop() {
				if err := proto.Unmarshal(encoded, new(oracle.Message)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

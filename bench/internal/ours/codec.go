package ours

import (
	"fmt"

	"github.com/seed-6281cb22/raft/bench/contest"
	"github.com/seed-6281cb22/raft/internal/oracle"
	"github.com/seed-6281cb22/raft/raftpb"
	"google.golang.org/protobuf/proto"
)

// The variants of the codec's cases.
const (
	Fresh     = "fresh"     // decodes into a new Message
	Reused    = "reused"    // decodes into the same Message again and again
	Generated = "generated" // protoc-gen-go's code for raft.proto; a new message
)

// newCodec times one AppendEntries. All encode into a buffer that is there.
func newCodec(c contest.Case) (operation func() error, err error) {
	m := &raftpb.Message{
		Type: raftpb.AppendEntries, Group: 1, From: 1, To: 2, Term: 7, Index: 1_000_000,
		LogTerm: 7, Commit: 999_990, Round: 12_345, Match: 999_936,
	}
	for i := range c.Calls {
		m.Entries = append(m.Entries, raftpb.Entry{Term: 7, Index: m.Index + 1 + raftpb.Index(i), Data: make([]byte, c.Bytes)})
	}
	encoded := m.Append(nil)
	generated := new(oracle.Message)
	if err := proto.Unmarshal(encoded, generated); err != nil {
		return nil, err
	}
	var buffer []byte
	reused := new(raftpb.Message)
	operation, ok := map[contest.Kind]map[string]func() error{
		contest.Encode: {
			Reused: func() error {
				buffer = m.Append(buffer[:0])
				return nil
			},
			Generated: func() (err error) {
				buffer, err = proto.MarshalOptions{}.MarshalAppend(buffer[:0], generated)
				return err
			},
		},
		contest.Decode: {
			Fresh:     func() error { return new(raftpb.Message).Unmarshal(encoded) },
			Reused:    func() error { return reused.Unmarshal(encoded) },
			Generated: func() error { return proto.Unmarshal(encoded, new(oracle.Message)) },
		},
	}[c.Kind][c.Variant]
	if !ok {
		return nil, fmt.Errorf("no variant %q of %s", c.Variant, c.Kind)
	}
	return operation, nil
}

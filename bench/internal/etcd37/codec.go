package etcd37

import (
	"fmt"

	"github.com/seed-6281cb22/raft/bench/contest"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// newCodec times one MsgApp, encoded into a buffer that is there, and decoded
// into a new message, which its cores keep parts of.
func newCodec(c contest.Case) (operation func() error, err error) {
	m := &raftpb.Message{
		Type: raftpb.MsgApp.Enum(), From: new(uint64(1)), To: new(uint64(2)), Term: new(uint64(7)),
		Index: new(uint64(1_000_000)), LogTerm: new(uint64(7)), Commit: new(uint64(999_990)),
	}
	for i := range c.Calls {
		m.Entries = append(m.Entries, &raftpb.Entry{
			Term: new(uint64(7)), Index: new(m.GetIndex() + 1 + uint64(i)), Data: make([]byte, c.Bytes),
		})
	}
	encoded, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	var buffer []byte
	switch c.Kind {
	case contest.Encode:
		operation = func() (err error) {
			buffer, err = proto.MarshalOptions{}.MarshalAppend(buffer[:0], m)
			return err
		}
	case contest.Decode:
		operation = func() error { return proto.Unmarshal(encoded, new(raftpb.Message)) }
	default:
		return nil, fmt.Errorf("no codec case %q", c.Kind)
	}
	return operation, nil
}

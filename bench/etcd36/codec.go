package main

import (
	"fmt"

	"github.com/seed-6281cb22/raft/bench/contest"
	"go.etcd.io/raft/v3/raftpb"
)

// newCodec times one MsgApp, encoded into a buffer that is there, and decoded
// into a new message, which its cores keep parts of.
func newCodec(c contest.Case) (operation func() error, err error) {
	m := &raftpb.Message{
		Type: raftpb.MsgApp, From: 1, To: 2, Term: 7, Index: 1_000_000, LogTerm: 7, Commit: 999_990,
	}
	for i := range c.Calls {
		m.Entries = append(m.Entries, raftpb.Entry{Term: 7, Index: m.Index + 1 + uint64(i), Data: make([]byte, c.Bytes)})
	}
	encoded, err := m.Marshal()
	if err != nil {
		return nil, err
	}
	var buffer []byte
	switch c.Kind {
	case contest.Encode:
		operation = func() (err error) {
			buffer, err = marshal(buffer, m)
			return err
		}
	case contest.Decode:
		operation = func() error { return new(raftpb.Message).Unmarshal(encoded) }
	default:
		return nil, fmt.Errorf("no codec case %q", c.Kind)
	}
	return operation, nil
}

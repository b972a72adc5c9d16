package raftpb_test

import (
	"errors"
	"fmt"

	"github.com/seed-6281cb22/raft/raftpb"
)

// A message is encoded into a buffer of the caller's, and decoded into a
// Message that is used again for the next one.
func Example() {
	m := raftpb.Message{
		Type: raftpb.AppendEntries,
		From: 1, To: 2, Term: 7, Index: 41, LogTerm: 6, Commit: 40,
		Entries: []raftpb.Entry{{Term: 7, Index: 42, Data: []byte("set x 1")}},
	}
	b := m.Append(make([]byte, 0, m.EncodedLen()))

	var received raftpb.Message
	if err := received.Unmarshal(b); err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range received.Entries {
		fmt.Printf("%v in term %d: entry %d is %q\n", received.Type, received.Term, e.Index, e.Data)
	}

	err := received.Unmarshal(b[:len(b)-1])
	fmt.Println(err)
	fmt.Println(errors.Is(err, raftpb.ErrDecode))

	// Output:
	// AppendEntries in term 7: entry 42 is "set x 1"
	// raftpb: cannot decode Message: field is longer than the input at byte 14
	// true
}

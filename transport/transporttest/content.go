package transporttest

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
)

// fingerprint tells messages apart that differ in anything. An entry without
// data is the same with nil Data and with an empty one.
type fingerprint [sha256.Size]byte

func fingerprintOf(m *raft.Message) fingerprint { return sha256.Sum256(m.Append(nil)) }

// letter is a message that was given to a transport. It is guarded by suite.mu.
type letter struct {
	what      string
	from      *host
	to        raft.NodeID
	told      int // how often from was told that to is unreachable, before
	delivered int // how often
	snapshot  bool
	received  bool // a snapshot, by DeliverSnapshot
}

// register notes a message that h is about to send.
func (s *suite) register(h *host, m *raft.Message) *letter {
	as := fingerprintOf(m)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &letter{what: describe(m), from: h, to: m.To, told: h.unreachable[m.To]}
	s.sent[as] = l
	return l
}

// number returns one that it has not returned before.
func (s *suite) number() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.numbers++
	return s.numbers
}

// message makes one that no other is equal to.
func (s *suite) message(from *host, to raft.NodeID) raft.Message {
	return raft.Message{Type: raftpb.AppendEntries, From: from.id, To: to, Term: 1, Index: 2, Context: s.number()}
}

// withData makes a message with entries of some sizes.
func (s *suite) withData(from *host, to raft.NodeID, sizes ...int) raft.Message {
	m := s.message(from, to)
	for i, size := range sizes {
		m.Entries = append(m.Entries, raft.Entry{Term: 1, Index: raft.Index(3 + i), Data: pattern(m.Context+uint64(i), 0, size)})
	}
	return m
}

// noise is what all content is made of. Its length is a prime number, so that
// nothing that is lost or repeated as a whole looks right.
var noise = sync.OnceValue(func() []byte {
	b := make([]byte, 1048573)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
})

// pattern returns n bytes of an endless string, from an offset on, which begins
// elsewhere for each seed.
func pattern(seed uint64, offset int64, n int) []byte {
	all := noise()
	b := make([]byte, 0, n)
	for at := (seed%7919*104729 + uint64(offset)) % uint64(len(all)); len(b) < n; at = 0 {
		b = append(b, all[at:min(uint64(len(all)), at+uint64(n-len(b)))]...)
	}
	return b
}

// cloneMessage copies all but the Data of entries.
func cloneMessage(m *raft.Message) raft.Message {
	c := *m
	c.Entries = slices.Clone(m.Entries)
	if m.Snapshot != nil {
		snapshot := *m.Snapshot
		snapshot.Membership.Members = slices.Clone(m.Snapshot.Membership.Members)
		c.Snapshot = &snapshot
	}
	return c
}

// scribble overwrites what belongs to the caller of Send again.
func scribble(m *raft.Message) {
	for i := range m.Entries {
		m.Entries[i] = raft.Entry{Term: 99, Index: 99, Data: []byte("the caller's")}
	}
	*m = raft.Message{Type: raftpb.TimeoutNow, From: 99, To: 99, Term: 99}
}

func describe(m *raft.Message) string {
	text := fmt.Sprintf("%v from %d to %d, context %d", m.Type, m.From, m.To, m.Context)
	if m.Group != 0 {
		text += fmt.Sprintf(", group %d", m.Group)
	}
	bytes := 0
	for i := range m.Entries {
		bytes += len(m.Entries[i].Data)
	}
	if len(m.Entries) > 0 {
		text += fmt.Sprintf(", %d entries of %d bytes", len(m.Entries), bytes)
	}
	if m.Snapshot != nil {
		text += fmt.Sprintf(", a snapshot of %d bytes", m.Snapshot.Size)
	}
	return text
}

// types are those of messages that Send sends.
var types = []raftpb.MessageType{
	raftpb.PreVote, raftpb.PreVoteReply, raftpb.RequestVote, raftpb.RequestVoteReply,
	raftpb.AppendEntries, raftpb.AppendEntriesReply, raftpb.InstallSnapshotReply, raftpb.TimeoutNow,
	raftpb.Propose, raftpb.ProposeReply, raftpb.ReadIndex, raftpb.ReadIndexReply,
}

// varied returns messages of which each has one more of the fields set that a
// Message has, whatever they are, and one has all of them. The snapshot is not
// among them.
func varied(from, to raft.NodeID, t raftpb.MessageType) []raft.Message {
	var all []raft.Message
	base := raft.Message{Type: t, From: from, To: to}
	full := base
	fields := reflect.TypeFor[raft.Message]()
	for i := range fields.NumField() {
		switch fields.Field(i).Name {
		case "Type", "From", "To", "Snapshot":
			continue
		}
		m := base
		fill(reflect.ValueOf(&m).Elem().Field(i), uint64(i))
		fill(reflect.ValueOf(&full).Elem().Field(i), uint64(100+i))
		all = append(all, m)
	}
	return append(all, full)
}

// fill sets a value and all that it is made of to something that is not zero,
// and not the same everywhere.
func fill(v reflect.Value, n uint64) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8: // an enumeration
		v.SetUint(1)
	case reflect.Uint32:
		v.SetUint(1<<31 + n)
	case reflect.Uint64:
		v.SetUint(1<<61 + n) // the largest valid index and term are a little below 1<<62
	case reflect.String:
		v.SetString(fmt.Sprintf("host%d:1", n))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(pattern(n, 0, 100))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		for i := range 3 { // the last one stays zero
			if i < 2 {
				fill(v.Index(i), 10*n+uint64(i))
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), 20*n+uint64(i))
		}
	}
}

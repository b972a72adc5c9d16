package rafttest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"reflect"

	"github.com/seed-6281cb22/raft"
)

// position is how much a state machine has applied: so many commands, up to an
// index, and a hash of them all.
type position struct {
	count uint64
	index raft.Index
	hash  uint64
}

const positionBytes = 24

// result is what a call of a command ends with.
type result struct {
	count uint64 // the command is that many-th
	value any    // of the user's type
}

// ledger is what has been applied anywhere, in order: the one history that all
// state machines share.
type ledger struct {
	records []record
}

type record struct {
	index   raft.Index
	term    raft.Term
	command []byte
	result  any
	hash    uint64 // of all up to here
}

// at returns the position after count commands.
func (l *ledger) at(count uint64) position {
	if count == 0 {
		return position{}
	}
	r := &l.records[count-1]
	return position{count, r.index, r.hash}
}

func chain(hash uint64, e *raft.Entry) uint64 {
	const prime = 1099511628211
	mix := func(v uint64) { hash = (hash ^ v) * prime; hash ^= hash >> 32 }
	mix(uint64(e.Index))
	mix(uint64(e.Term))
	for _, b := range e.Data {
		hash = (hash ^ uint64(b)) * prime
	}
	mix(uint64(len(e.Data)))
	return hash
}

// machine hosts a user's state machine, and compares all that it is given, and
// all that it says, with the ledger.
type machine[M raft.StateMachine[R], R any] struct {
	n       *node
	sm      M
	pos     position
	results []R
}

func (m *machine[M, R]) position() position { return m.pos }

func (m *machine[M, R]) Apply(entries []raft.Entry, results []any) error {
	var none R
	m.results = m.results[:0]
	for range entries {
		m.results = append(m.results, none)
	}
	if err := m.sm.Apply(entries, m.results); err != nil {
		return err
	}
	for i := range entries {
		e := &entries[i]
		m.pos = position{m.pos.count + 1, e.Index, chain(m.pos.hash, e)}
		m.n.applied(e, m.pos, m.results[i])
		results[i] = result{m.pos.count, m.results[i]}
	}
	m.commit()
	return nil
}

// applied compares what a node has applied with what others have.
func (n *node) applied(e *raft.Entry, pos position, value any) {
	l := &n.e.ledger
	if !e.Intact() {
		n.e.fail("integrity", "node %d applies %q at index %d, which is not what was proposed", n.id, clip(e.Data), e.Index)
	}
	n.e.transcript.applied(n, e)
	n.e.checks.applied(n, e)
	if pos.count > uint64(len(l.records))+1 {
		n.e.fail("state machines", "node %d applies command %d, and nobody has applied the %d-th", n.id, pos.count, len(l.records)+1)
		return
	}
	if pos.count == uint64(len(l.records))+1 {
		if last := l.at(uint64(len(l.records))); e.Index <= last.index {
			n.e.fail("state machines", "node %d applies index %d after index %d", n.id, e.Index, last.index)
		}
		l.records = append(l.records, record{e.Index, e.Term, e.Data, value, pos.hash})
		return
	}
	r := &l.records[pos.count-1]
	switch {
	case r.index != e.Index || r.term != e.Term || !bytes.Equal(r.command, e.Data) || r.hash != pos.hash:
		n.e.fail("state machines", "node %d applies %q of index %d and term %d as command %d, which elsewhere was %q of index %d and term %d",
			n.id, clip(e.Data), e.Index, e.Term, pos.count, clip(r.command), r.index, r.term)
	case !reflect.DeepEqual(r.result, value):
		n.e.fail("results", "%q at index %d gives %v on node %d, and gave %v elsewhere", clip(e.Data), e.Index, value, n.id, r.result)
	}
}

// clip shortens what is shown of a command.
func clip(b []byte) []byte {
	if len(b) > 40 {
		return append(append([]byte(nil), b[:40]...), "…"...)
	}
	return b
}

// Snapshot puts the position before the user's data.
func (m *machine[M, R]) Snapshot() (io.WriterTo, error) {
	data, err := m.sm.Snapshot()
	return &snapshot{m.pos, data}, err
}

type snapshot struct {
	pos  position
	data io.WriterTo
}

func (s *snapshot) WriteTo(w io.Writer) (int64, error) {
	var b []byte
	b = binary.LittleEndian.AppendUint64(b, s.pos.count)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.pos.index))
	b = binary.LittleEndian.AppendUint64(b, s.pos.hash)
	n, err := w.Write(b)
	if err != nil {
		return int64(n), err
	}
	rest, err := s.data.WriteTo(w)
	return int64(n) + rest, err
}

func (s *snapshot) Close() error {
	if c, ok := s.data.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

func (m *machine[M, R]) Restore(r io.Reader) error {
	b := make([]byte, positionBytes)
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	pos := position{
		count: binary.LittleEndian.Uint64(b),
		index: raft.Index(binary.LittleEndian.Uint64(b[8:])),
		hash:  binary.LittleEndian.Uint64(b[16:]),
	}
	l := &m.n.e.ledger
	if pos.count > uint64(len(l.records)) || l.at(pos.count) != pos {
		m.n.e.fail("state machines", "node %d restores a snapshot of %d commands up to index %d that nobody has applied", m.n.id, pos.count, pos.index)
	}
	if pos.count < m.pos.count {
		m.n.e.fail("state machines", "node %d restores a snapshot of %d commands, and has applied %d", m.n.id, pos.count, m.pos.count)
	}
	m.pos = pos
	m.n.e.happened["snapshot restored"]++
	m.n.e.transcript.note(m.n, "restores a snapshot of %d commands", pos.count)
	if err := m.sm.Restore(r); err != nil {
		return err
	}
	m.commit()
	return nil
}

// content is the user's snapshot, by which state machines are compared.
func (m *machine[M, R]) content() ([]byte, error) {
	data, err := m.sm.Snapshot()
	if err != nil {
		return nil, err
	}
	if c, ok := data.(io.Closer); ok {
		defer c.Close()
	}
	var b bytes.Buffer
	_, err = data.WriteTo(&b)
	return b.Bytes(), err
}

// Journal is a state machine that keeps the commands that it has applied. The
// result of each is its number, from 1 on.
type Journal struct {
	commands []string
}

// Commands returns what has been applied, in order.
func (j *Journal) Commands() []string { return j.commands }

// Apply implements raft.StateMachine.
func (j *Journal) Apply(entries []raft.Entry, results []int) error {
	for i := range entries {
		j.commands = append(j.commands, string(entries[i].Data))
		results[i] = len(j.commands)
	}
	return nil
}

// Snapshot implements raft.StateMachine.
func (j *Journal) Snapshot() (io.WriterTo, error) {
	return journalSnapshot(j.commands[:len(j.commands):len(j.commands)]), nil
}

type journalSnapshot []string

func (s journalSnapshot) WriteTo(w io.Writer) (int64, error) {
	b := binary.AppendUvarint(nil, uint64(len(s)))
	for _, command := range s {
		b = binary.AppendUvarint(b, uint64(len(command)))
		b = append(b, command...)
	}
	n, err := w.Write(b)
	return int64(n), err
}

// Restore implements raft.StateMachine.
func (j *Journal) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	count, n := binary.Uvarint(b)
	commands := make([]string, 0, min(count, uint64(len(b))))
	for b = b[max(n, 0):]; n > 0 && count > 0; count-- {
		var size uint64
		if size, n = binary.Uvarint(b); n <= 0 || size > uint64(len(b)-n) {
			return fmt.Errorf("rafttest: a journal's snapshot is cut short")
		}
		commands = append(commands, string(b[n:n+int(size)]))
		b = b[n+int(size):]
	}
	j.commands = commands
	return nil
}

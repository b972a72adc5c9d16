package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/rafttest"
)

// register is the service that the stack engine simulates: texts under a few
// keys, to which commands append, or which they replace if the text is what they
// expect. Each answer is the text that a command found. So every answer
// says much of what came before it.
type register map[string]string

// A request is "key op argument …", words without spaces.
func words(request []byte) (key, op string, arguments []string) {
	all := strings.Fields(string(request))
	return all[0], all[1], all[2:]
}

// apply returns the text of a key after a command.
func apply(text, op string, arguments []string) string {
	switch op {
	case "append":
		const longest = 64 // so that a text does not grow for ever
		text += arguments[0]
		return text[max(0, len(text)-longest):]
	case "swap":
		if text == "" || strings.HasSuffix(text, arguments[0]) {
			return arguments[1]
		}
	}
	return text
}

// Apply implements raft.StateMachine.
func (r register) Apply(entries []raft.Entry, results []string) error {
	for i := range entries {
		key, op, arguments := words(entries[i].Data)
		results[i] = r[key]
		r[key] = apply(r[key], op, arguments)
	}
	return nil
}

// Snapshot implements raft.StateMachine.
func (r register) Snapshot() (io.WriterTo, error) {
	b, err := json.Marshal(r) // in the order of the keys
	return bytes.NewReader(b), err
}

// Restore implements raft.StateMachine.
func (r register) Restore(from io.Reader) error {
	clear(r)
	return json.NewDecoder(from).Decode(&r)
}

// model is the text of one key.
type model string

// Apply implements rafttest.Model.
func (m model) Apply(command []byte) (rafttest.Model[string], string) {
	_, op, arguments := words(command)
	return model(apply(string(m), op, arguments)), string(m)
}

// Read implements rafttest.Model.
func (m model) Read([]byte) string { return string(m) }

// simulation is the service under all faults.
func simulation(nodes int) rafttest.Simulation[register, string] {
	key := func(c *rafttest.Choices) string { return string(rune('a' + c.Intn(8))) }
	letter := func(c *rafttest.Choices) string { return string(rune('a' + c.Intn(26))) }
	return rafttest.Simulation[register, string]{
		Machine: func() register { return register{} },
		Command: func(c *rafttest.Choices) []byte {
			if c.Chance(0.3) {
				return fmt.Appendf(nil, "%s swap %s %s", key(c), letter(c), letter(c))
			}
			return fmt.Appendf(nil, "%s append %s", key(c), letter(c)+letter(c))
		},
		Query: func(c *rafttest.Choices) []byte { return fmt.Appendf(nil, "%s read", key(c)) },
		Read: func(r register, query []byte) string {
			key, _, _ := words(query)
			return r[key]
		},
		Model: model(""),
		Key: func(request []byte) string {
			key, _, _ := words(request)
			return key
		},
		MinNodes: nodes, MaxNodes: nodes,
		Seeds: 1,
	}
}

package session_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"strconv"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/session"
)

// savings is an account that is durable by itself: what its file holds is there
// after a restart. The file stands for a database; writing it is a transaction.
type savings struct{ file string }

// contents is what is in the file: the balance, and what the sessions need.
type contents struct {
	Balance int
	Records map[uint64][]byte
	Through raft.Index
}

func (s *savings) read() (c contents) {
	json.Unmarshal([]byte(s.file), &c)
	return c
}

func (s *savings) Apply(entries []raft.Entry, results []int, update func() session.Update) error {
	c := s.read()
	for i, e := range entries {
		amount, _ := strconv.Atoi(string(e.Data))
		c.Balance += amount
		results[i] = c.Balance
	}
	u := update() // after the results are there, before anything is written
	if c.Records == nil {
		c.Records = map[uint64][]byte{}
	}
	for _, change := range u.Changes {
		if change.Value == nil {
			delete(c.Records, change.Key)
		} else {
			c.Records[change.Key] = change.Value
		}
	}
	c.Through = u.Through
	b, err := json.Marshal(c)
	s.file = string(b)
	return err
}

func (s *savings) LastApplied() raft.Index { return s.read().Through }

func (s *savings) Records(yield func(key uint64, value []byte) error) error {
	for key, value := range s.read().Records {
		if err := yield(key, value); err != nil {
			return err
		}
	}
	return nil
}

func (s *savings) Snapshot() (io.WriterTo, error) { return captured(s.file), nil }

// captured can be written more than once, which a strings.Reader cannot.
type captured string

func (c captured) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(c))
	return int64(n), err
}

func (s *savings) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	s.file = string(b)
	return err
}

// The machine is given to raft.Start. Here it is shown by itself, and restarted.
func ExampleNewDurable() {
	disk := &savings{}
	start := func() raft.DurableStateMachine[session.Result[int]] {
		machine, err := session.NewDurable(disk, balances{})
		if err != nil {
			log.Fatal(err)
		}
		return machine
	}
	results := make([]session.Result[int], 1)
	command := raft.Entry{Index: 7, Data: session.Plain([]byte("10"))}
	if err := start().Apply([]raft.Entry{command}, results); err != nil {
		log.Fatal(err)
	}
	fmt.Println(results[0].Value, start().LastApplied())
	// Output: 10 7
}

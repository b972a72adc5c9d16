package rafttest_test

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/rafttest"
)

// t stands for the *testing.T of a test.
var t rafttest.TB = example{}

type example struct{}

func (example) Helper()                           {}
func (example) Name() string                      { return "Example" }
func (example) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// A leader is cut off, and its successor loses its power.
func Example() {
	c := rafttest.New(t, 3)
	c.Elect(1)
	c.Propose("a")

	c.Partition(1)
	fmt.Println("b is command", c.Propose("b"))
	successor := c.Leader()
	c.Heal()
	c.Crash(successor)
	c.Propose("c")
	c.Restart(successor)

	c.RequireConsistent()
	fmt.Println(successor != 1, c.Machine(successor).Commands())
	// Output:
	// b is command 2
	// true [a b c]
}

// counter is a state machine: a command adds a number, and its result is the
// sum.
type counter struct{ sum int }

func (c *counter) Apply(entries []raft.Entry, results []int) error {
	for i := range entries {
		n, _ := strconv.Atoi(string(entries[i].Data))
		c.sum += n
		results[i] = c.sum
	}
	return nil
}

func (c *counter) Snapshot() (io.WriterTo, error) { return sum(c.sum), nil }

func (c *counter) Restore(r io.Reader) error {
	_, err := fmt.Fscan(r, &c.sum)
	return err
}

type sum int

func (s sum) WriteTo(w io.Writer) (int64, error) {
	n, err := fmt.Fprintln(w, int(s))
	return int64(n), err
}

// sum is also the model of a counter.
func (s sum) Apply(command []byte) (rafttest.Model[int], int) {
	n, _ := strconv.Atoi(string(command))
	return s + sum(n), int(s) + n
}

func (s sum) Read([]byte) int { return int(s) }

// A cluster of one's own state machines, by hand.
func ExampleNewCluster() {
	c := rafttest.NewCluster(t, 3, func() *counter { return new(counter) })
	fmt.Println(c.Propose("20"))
	one := c.StartPropose(2, "1")
	two := c.StartPropose(3, "1")
	c.RunUntil(func() bool { return one.Done() && two.Done() })
	if err := c.ReadBarrier(1); err != nil {
		fmt.Println(err)
	}
	fmt.Println(c.Machine(1).sum)
	// Output:
	// 20
	// 22
}

// One's own state machines under faults, and the answers judged by a model.
func ExampleSimulate() {
	result := rafttest.Simulate(t, rafttest.Simulation[*counter, int]{
		Machine:  func() *counter { return new(counter) },
		Command:  func(c *rafttest.Choices) []byte { return strconv.AppendInt(nil, int64(c.Intn(100)), 10) },
		Query:    func(*rafttest.Choices) []byte { return nil },
		Read:     func(c *counter, _ []byte) int { return c.sum },
		Model:    sum(0),
		MaxNodes: 3,
		Requests: 100,
		Seeds:    5,
	})
	fmt.Println(result.Seeds, "runs,", result.Virtual > time.Minute, result.Succeeded > 50)
	// Output:
	// 5 runs, true true
}

// A cluster moves to another machine, and nobody misses the old ones.
func ExampleCluster_ChangeMembership() {
	c := rafttest.New(t, 1)
	c.Propose("a")
	next := c.Join()
	c.ChangeMembership(raft.AddVoter(next, "the new machine"))
	c.TransferLeadership(next)
	c.ChangeMembership(raft.Remove(1))
	c.RunUntil(func() bool { return c.Err(1) != nil })
	fmt.Println(c.Err(1))

	c.Propose("b")
	c.RequireConsistent()
	fmt.Println(c.Machine(next).Commands())
	// Output:
	// raft: removed from the group
	// [a b]
}

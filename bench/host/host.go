// Package host runs nodes of a contender in a process of their own, so that one
// library's heap and scheduler settings do not touch another's, and so that a
// node can be killed. The parent asks by net/rpc over the process's standard
// input and output.
package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/seed-6281cb22/raft/bench/contender"
	"github.com/seed-6281cb22/raft/bench/internal/turns"
)

// Options say what a process runs.
type Options struct {
	Library       string
	Nodes         []contender.Config // one, or all of a cluster
	SnapshotBytes int64
}

// Main is the whole life of a host process: it starts the nodes, and answers
// its parent until that hangs up.
func Main(encoded string, libraries map[string]contender.Start) error {
	var opts Options
	if err := json.Unmarshal([]byte(encoded), &opts); err != nil {
		return err
	}
	start := libraries[opts.Library]
	if start == nil {
		return fmt.Errorf("no library %q", opts.Library)
	}
	out := os.Stdout
	os.Stdout = os.Stderr // what libraries print does not belong in the conversation
	h := &Host{nodes: map[int]contender.Node{}, machines: map[int]*contender.Machine{}}
	defer h.close()
	for _, c := range opts.Nodes {
		c.Machine = &contender.Machine{SnapshotBytes: opts.SnapshotBytes}
		node, err := start(c)
		if err != nil {
			return fmt.Errorf("node %d: %w", c.Node, err)
		}
		h.nodes[c.Node], h.machines[c.Node] = node, c.Machine
	}
	server := rpc.NewServer()
	if err := server.Register(h); err != nil {
		return err
	}
	server.ServeConn(struct {
		io.Reader
		io.WriteCloser
	}{untilHungUp{os.Stdin, h}, out})
	return nil
}

// MainOfTests is what the main function of tests does that run hosts, whose
// program is the test binary: that of a host if it was started as one, and else
// run. It returns the process's exit code.
func MainOfTests(run func() int, libraries map[string]contender.Start) int {
	if len(os.Args) != 3 || os.Args[1] != Argument {
		return run()
	}
	if err := Main(os.Args[2], libraries); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// untilHungUp ends what is under way when the parent is gone: the conversation
// ends only after all answers.
type untilHungUp struct {
	io.Reader
	h *Host
}

func (u untilHungUp) Read(b []byte) (int, error) {
	n, err := u.Reader.Read(b)
	if err != nil {
		u.h.mu.Lock()
		defer u.h.mu.Unlock()
		for _, stop := range u.h.loads {
			stop()
		}
	}
	return n, err
}

// Host is what a parent can ask. Its methods have the shape that net/rpc asks
// for; a parent uses Process.
type Host struct {
	nodes    map[int]contender.Node
	machines map[int]*contender.Machine

	mu      sync.Mutex
	profile *os.File                   // being written, if not nil
	loads   map[int]context.CancelFunc // by Load.ID
	probes  map[int]*probe             // by node
}

func (h *Host) close() {
	for _, n := range h.nodes {
		n.Close()
	}
}

// Status is what a node says of itself.
type Status struct {
	Leader  int
	Term    uint64
	Applied uint64
}

// Status answers for one node.
func (h *Host) Status(node int, reply *Status) error {
	n := h.nodes[node]
	if n == nil {
		return errNoNode
	}
	*reply = Status{n.Leader(), n.Term(), h.machines[node].Applied()}
	return nil
}

var errNoNode = errors.New("host: no such node here")

// Snapshot has a node take a snapshot.
func (h *Host) Snapshot(node int, _ *struct{}) error {
	if h.nodes[node] == nil {
		return errNoNode
	}
	return h.nodes[node].Snapshot()
}

// Close ends all nodes in an orderly way.
func (h *Host) Close(struct{}, *struct{}) error {
	var errs []error
	for _, n := range h.nodes {
		errs = append(errs, n.Close())
	}
	clear(h.nodes)
	return errors.Join(errs...)
}

// Usage is what a process has used up to now, and what it holds.
type Usage struct {
	CPU        time.Duration
	Allocated  uint64 // bytes, since the start
	Mallocs    uint64
	Heap       uint64 // bytes of live objects, if Collect was true
	Goroutines int
	Resident   uint64 // bytes
}

// Sub returns what was used since before; what is held stays.
func (u Usage) Sub(before Usage) Usage {
	u.CPU -= before.CPU
	u.Allocated -= before.Allocated
	u.Mallocs -= before.Mallocs
	return u
}

// Usage answers for the process; collect has it collect garbage before.
func (h *Host) Usage(collect bool, reply *Usage) error {
	if collect {
		runtime.GC()
		runtime.GC()
	}
	*reply = usage()
	return nil
}

// usage stops everything for some microseconds: cheaper figures leave out what
// was allocated last, which is all in a short time with one client.
func usage() Usage {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u := Usage{
		CPU:        turns.CPUTime(),
		Allocated:  m.TotalAlloc,
		Mallocs:    m.Mallocs,
		Heap:       m.HeapAlloc,
		Goroutines: runtime.NumGoroutine(),
	}
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		var size, resident uint64
		fmt.Sscan(string(b), &size, &resident)
		u.Resident = resident * uint64(os.Getpagesize())
	}
	return u
}

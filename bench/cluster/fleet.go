package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/seed-6281cb22/raft/bench/contender"
	"github.com/seed-6281cb22/raft/bench/host"
)

const (
	nodes = 3
	// Logs are compacted as a service would, and alike for all: a snapshot of
	// next to nothing so often, and so much that stays.
	snapshotEvery = 100_000
	keep          = 10_000
	// patience is how long a cluster may take to elect a leader.
	patience = time.Minute
	// tries is how often a turn is taken again in which something failed.
	tries = 4
)

// fleet is the running processes of one contender with one GOMAXPROCS.
type fleet struct {
	name      string
	procs     int
	processes []*host.Process // one, or one for each node
}

func (f *fleet) start(processes int, addrs []string, dir string, log io.Writer) error {
	var configs []contender.Config
	for i := range nodes {
		configs = append(configs, contender.Config{
			Node: i + 1, Addrs: addrs, Dir: filepath.Join(dir, fmt.Sprint(i+1)), Timing: contender.Default,
			SnapshotEvery: snapshotEvery, Keep: keep,
		})
		if err := os.MkdirAll(configs[i].Dir, 0o755); err != nil {
			return err
		}
	}
	each := nodes / processes
	for i := 0; i < nodes; i += each {
		p, err := host.Run(host.Options{Library: f.name, Nodes: configs[i : i+each]}, f.procs, log)
		if err != nil {
			return err
		}
		f.processes = append(f.processes, p)
	}
	return nil
}

// freeAddrs returns addresses on which nobody listens just now, and whose ports
// are below those that systems give to connections: of the hosts that are
// started first, too.
func freeAddrs(n int) (addrs []string, err error) {
	const least, most = 10_000, 32_000
	for range 100 * n {
		if len(addrs) == n {
			return addrs, nil
		}
		addr := fmt.Sprintf("127.0.0.1:%d", least+rand.IntN(most-least))
		var l net.Listener
		if l, err = net.Listen("tcp", addr); err == nil {
			defer l.Close() // all at the end, so that they differ
			addrs = append(addrs, addr)
		}
	}
	return nil, fmt.Errorf("no free ports: %w", err)
}

func (f *fleet) kill() {
	for _, p := range f.processes {
		p.Kill()
	}
}

// on returns the process that a node is in.
func (f *fleet) on(node int) *host.Process { return f.processes[(node-1)%len(f.processes)] }

// leader returns the node that leads, 0 for none: of several that say so the one
// with the highest term.
func (f *fleet) leader() (leader int, err error) {
	var term uint64
	for node := 1; node <= nodes; node++ {
		s, err := f.on(node).Status(node)
		if err != nil {
			return 0, err
		}
		if s.Leader == node && s.Term > term {
			leader, term = node, s.Term
		}
	}
	return leader, nil
}

// awaitLeader waits until a node leads.
func (f *fleet) awaitLeader(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if leader, err := f.leader(); err != nil || leader != 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("no leader: %w", ctx.Err())
		}
	}
}

// use is what all processes of a fleet have used, or one of them.
type use struct {
	at        time.Time
	cpu       time.Duration
	allocated uint64
}

func (f *fleet) use(except ...*host.Process) (u use, err error) {
	u.at = time.Now()
	for _, p := range f.processes {
		if len(except) > 0 && p == except[0] {
			continue
		}
		one, err := p.Usage(false)
		if err != nil {
			return u, err
		}
		u.cpu += one.CPU
		u.allocated += one.Allocated
	}
	return u, nil
}

// turn is what a fleet is to do on its turn.
type turn struct {
	workload
	warmup, length time.Duration
	device         string // whose flushes are counted; empty: none
	profile        string // the beginning of files' names; empty: none
}

// take takes a turn, and takes it again, twice as long, if something failed: a
// leader may have been replaced, or no operation ended in so short a time. What
// fails always is counted in the sample.
func (f *fleet) take(ctx context.Context, t turn) (s sample, err error) {
	for range tries {
		if err = errors.Join(f.awaitLeader(ctx), ctx.Err()); err != nil {
			return s, err
		}
		if s, err = f.takeOnce(t); err == nil && s.Errors == 0 {
			return s, nil
		}
		t.warmup, t.length = 2*t.warmup, 2*t.length
	}
	return s, err
}

func (f *fleet) takeOnce(t turn) (sample, error) {
	leader, err := f.leader()
	if err != nil || leader == 0 {
		return sample{}, errors.Join(err, errors.New("the leader is gone"))
	}
	process := f.on(leader)
	type outcome struct {
		host.Result
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		r, err := process.Load(host.Load{
			Node: leader, Clients: t.clients, Bytes: t.bytes, Reads: t.reads, Warmup: t.warmup, Duration: t.length,
		})
		done <- outcome{r, err}
	}()
	<-time.After(t.warmup)
	before, err := f.observe(process, t)
	if err == nil {
		<-time.After(t.length)
	}
	after, errAfter := f.observeEnd(process, t)
	o := <-done
	if err = errors.Join(err, errAfter, o.err); err != nil {
		return sample{}, err
	}
	return newSample(o.Result, before, after), nil
}

// season has the fleet write before anything is measured.
func (f *fleet) season(ctx context.Context, operations uint64, seconds int) error {
	if f.name == Floor {
		return nil
	}
	var done uint64
	for i := 0; i < seconds && done < operations; i++ {
		s, err := f.take(ctx, turn{workload: workload{bytes: 1024, clients: 256}, length: time.Second})
		if err != nil {
			return err
		}
		done += s.Operations
	}
	return nil
}

// observed is what is seen from outside at some moment of a turn.
type observed struct {
	others  use // of the processes without clients
	flushes uint64
}

func (f *fleet) observe(leader *host.Process, t turn) (o observed, err error) {
	if t.profile != "" {
		for i, p := range f.processes {
			if err := p.Profile(fmt.Sprintf("%s-process-%d.pprof", t.profile, i+1)); err != nil {
				return o, err
			}
		}
	}
	o.flushes = flushes(t.device)
	o.others, err = f.use(leader)
	return o, err
}

func (f *fleet) observeEnd(leader *host.Process, t turn) (o observed, err error) {
	o.flushes = flushes(t.device)
	o.others, err = f.use(leader)
	if t.profile != "" {
		for _, p := range f.processes {
			err = errors.Join(err, p.StopProfile())
		}
	}
	return o, err
}

// deviceOf returns the name of the block device that holds a directory, as
// /sys/block has it, empty if that does not tell.
func deviceOf(dir string) string {
	info, err := os.Stat(dir)
	if err != nil {
		return ""
	}
	id, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	major, minor := id.Dev>>8&0xfff, id.Dev&0xff|id.Dev>>12&0xfff00
	target, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", major, minor))
	if err != nil {
		return ""
	}
	name := filepath.Base(target)
	if _, err := os.Stat("/sys/block/" + name); err != nil {
		name = filepath.Base(filepath.Dir(target)) // a partition is below its disk
	}
	return name
}

// flushes returns how many flushes a block device has completed so far, 0 if that
// is not known.
func flushes(device string) uint64 {
	if device == "" {
		return 0
	}
	stat, err := os.ReadFile("/sys/block/" + device + "/stat")
	if err != nil {
		return 0
	}
	return flushesOf(string(stat))
}

// flushesOf finds them in a device's statistics: the 16th field, by
// Documentation/block/stat.rst of Linux.
func flushesOf(stat string) uint64 {
	fields := strings.Fields(stat)
	if len(fields) < 16 {
		return 0
	}
	n, err := strconv.ParseUint(fields[15], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

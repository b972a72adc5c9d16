// Package children has contenders take turns, each in a process of its own, so
// that no one's garbage is collected in another one's turn. Who waits for its
// turn does nothing.
package children

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-6281cb22/raft/bench/contest"
	"github.com/seed-6281cb22/raft/bench/internal/etcd37"
	"github.com/seed-6281cb22/raft/bench/internal/ours"
)

// The contenders' names.
const (
	Ours   = "this library"
	Etcd37 = "etcd-raft v3.7"
	Etcd36 = "etcd-raft v3.6"
)

// Command is the first argument that turns this program into a contender, which
// the second one names, see Serve.
const Command = "contend"

// Serve is what a child process does.
func Serve(args []string) error {
	contenders := map[string]func() contest.Contender{Ours: ours.Contender, Etcd37: etcd37.Contender}
	if len(args) != 1 || contenders[args[0]] == nil {
		return fmt.Errorf("no contender %q", args)
	}
	return contest.Serve(os.Stdin, os.Stdout, contenders[args[0]]())
}

// Programs starts contenders.
type Programs struct {
	procs  int
	self   string
	etcd36 string
	dir    string
}

// Build builds what this program does not hold already. Each child will have
// that GOMAXPROCS. The module bench must be the one that the working directory
// is in.
func Build(ctx context.Context, procs int) (*Programs, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	gomod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOMOD: %w", err)
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	p := &Programs{procs: procs, self: self, etcd36: filepath.Join(dir, "etcd36"), dir: dir}
	build := exec.CommandContext(ctx, "go", "build", "-o", p.etcd36, ".")
	build.Dir = filepath.Join(filepath.Dir(strings.TrimSpace(string(gomod))), "etcd36")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("building %s: %w\n%s", build.Dir, err, out), p.Close())
	}
	return p, nil
}

// Close removes what was built.
func (p *Programs) Close() error { return os.RemoveAll(p.dir) }

// Entrant takes part in a comparison.
type Entrant struct {
	Name    string // a contender's
	Variant string // of a codec's case, else ""
}

// String is what a table calls it.
func (e Entrant) String() string { return strings.TrimSuffix(e.Name+", "+e.Variant, ", ") }

// Compare has each entrant take that many turns of that length, in an order
// that rotates, after half a turn each that does not count. Of each it returns
// the samples, round by round.
func (p *Programs) Compare(ctx context.Context, entrants []Entrant, c contest.Case, rounds int, length time.Duration) (_ [][]contest.Sample, err error) {
	children := make([]*child, len(entrants))
	defer func() {
		for _, c := range children {
			if c != nil {
				err = errors.Join(err, c.close())
			}
		}
	}()
	for i, e := range entrants {
		c.Variant = e.Variant
		if children[i], err = p.start(ctx, e.Name, c); err != nil {
			return nil, fmt.Errorf("%v: %w", e, err)
		}
		if _, err = children[i].turn(length / 2); err != nil {
			return nil, fmt.Errorf("%v: %w", e, err)
		}
	}
	samples := make([][]contest.Sample, len(entrants))
	for round := range rounds {
		for k := range entrants {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			i := (round + k) % len(entrants)
			s, err := children[i].turn(length)
			if err != nil {
				return nil, fmt.Errorf("%v: %w", entrants[i], err)
			}
			samples[i] = append(samples[i], s)
		}
	}
	return samples, nil
}

// child is a contender's process.
type child struct {
	process *exec.Cmd
	in      io.WriteCloser
	write   *json.Encoder
	read    *json.Decoder
}

func (p *Programs) start(ctx context.Context, name string, about contest.Case) (*child, error) {
	process := exec.CommandContext(ctx, p.self, Command, name)
	if name == Etcd36 {
		process = exec.CommandContext(ctx, p.etcd36)
	}
	process.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", p.procs))
	process.Stderr = os.Stderr
	in, err := process.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, err
	}
	c := &child{process, in, json.NewEncoder(in), json.NewDecoder(out)}
	if _, err := c.ask(about); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *child) turn(length time.Duration) (contest.Sample, error) { return c.ask(length) }

func (c *child) ask(what any) (contest.Sample, error) {
	if err := c.write.Encode(what); err != nil {
		return contest.Sample{}, err
	}
	var reply contest.Reply
	if err := c.read.Decode(&reply); err != nil {
		return contest.Sample{}, fmt.Errorf("its process has ended: %w", err)
	}
	if reply.Error != "" {
		return contest.Sample{}, errors.New(reply.Error)
	}
	return reply.Sample, nil
}

// close ends the process, by the end of its input.
func (c *child) close() error {
	return errors.Join(c.in.Close(), c.process.Wait())
}

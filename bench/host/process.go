package host

import (
	"encoding/json"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Argument is what a program is called with to be a host: it must call Main with
// the argument that follows.
const Argument = "host"

// Process is a host process, seen from its parent.
type Process struct {
	cmd    *exec.Cmd
	client *rpc.Client
}

// Run starts a host. prefix is put before the command, to run it somewhere else
// ("ip netns exec NAME"); gomaxprocs 0 leaves that to Go. What the process prints
// goes to log.
func Run(opts Options, gomaxprocs int, log io.Writer, prefix ...string) (*Process, error) {
	encoded, err := json.Marshal(opts)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := append(prefix, self, Argument, string(encoded))
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if gomaxprocs > 0 {
		cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", gomaxprocs))
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, client: rpc.NewClient(struct {
		io.Reader
		io.WriteCloser
	}{out, in})}
	return p, nil
}

func (p *Process) call(method string, args, reply any) error {
	if err := p.client.Call("Host."+method, args, reply); err != nil {
		return fmt.Errorf("%s: %w", strings.ToLower(method), err)
	}
	return nil
}

// Status returns what a node says of itself.
func (p *Process) Status(node int) (s Status, err error) {
	err = p.call("Status", node, &s)
	return s, err
}

// Usage returns what the process has used; collect collects garbage first.
func (p *Process) Usage(collect bool) (u Usage, err error) {
	err = p.call("Usage", collect, &u)
	return u, err
}

// Load runs a load to its end.
func (p *Process) Load(l Load) (r Result, err error) {
	err = p.call("Load", l, &r)
	return r, err
}

// StopLoad ends a load that Load waits for in another goroutine.
func (p *Process) StopLoad(id int) error { return p.call("StopLoad", id, &struct{}{}) }

// Profile begins to write a CPU profile of the process into a new file.
func (p *Process) Profile(file string) error { return p.call("Profile", file, &struct{}{}) }

// StopProfile ends that.
func (p *Process) StopProfile() error { return p.call("StopProfile", struct{}{}, &struct{}{}) }

// Snapshot has a node take a snapshot.
func (p *Process) Snapshot(node int) error { return p.call("Snapshot", node, &struct{}{}) }

// Probe begins to write on a node, every ProbeEvery.
func (p *Process) Probe(node int) error { return p.call("Probe", node, &struct{}{}) }

// StopProbe ends that.
func (p *Process) StopProbe(node int) error { return p.call("StopProbe", node, &struct{}{}) }

// Await returns when the first write of a probe succeeded that began at or after
// since.
func (p *Process) Await(node int, since time.Time, within time.Duration) (ended time.Time, err error) {
	err = p.call("Await", Await{node, since, within}, &ended)
	return ended, err
}

// Successes returns when a probe's writes that began at or after since were
// acknowledged, in order.
func (p *Process) Successes(node int, since time.Time) (ended []time.Time, err error) {
	err = p.call("Successes", Successes{node, since}, &ended)
	return ended, err
}

// Signal sends a signal to the process: SIGKILL, SIGSTOP, SIGCONT. It reaches
// the host behind a prefix, too.
func (p *Process) Signal(s syscall.Signal) error { return syscall.Kill(-p.cmd.Process.Pid, s) }

// Kill ends the process as a crash would.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	p.client.Close()
	p.cmd.Wait()
}

// Close ends nodes and process in an orderly way.
func (p *Process) Close() error {
	err := p.call("Close", struct{}{}, &struct{}{})
	p.client.Close()
	p.cmd.Wait()
	return err
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
)

// patience is how long a test waits for what should happen soon, on a machine
// that is busy with other things.
const patience = 2 * time.Minute

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "raft-kv-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaryPath = filepath.Join(dir, "kv")
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

var binaryPath string

// buildBinary builds the program, once.
var buildBinary = sync.OnceValue(func() error {
	out, err := exec.Command("go", "build", "-o", binaryPath, ".").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
})

// process is one kv serve, which can be started again after it has ended.
type process struct {
	t    *testing.T
	id   raft.NodeID
	http string
	args []string

	// How it is run and reached: by exec.Command and httpClient as a rule.
	command func(name string, args ...string) *exec.Cmd
	client  *http.Client

	cmd    *exec.Cmd
	output *lockedBuffer // of the current run
	exited chan struct{} // closed when the current run has ended
}

// newProcess prepares node id of the cluster peers; it does not start it.
func newProcess(t *testing.T, id raft.NodeID, peers, http, dir string, more ...string) *process {
	require.NoError(t, buildBinary())
	args := append([]string{"serve", "-id", fmt.Sprint(id), "-peers", peers, "-http", http, "-data", dir}, more...)
	return &process{t: t, id: id, http: http, args: args, command: exec.Command, client: httpClient}
}

// start starts the process. It is killed when the test ends.
func (p *process) start() {
	p.output = &lockedBuffer{}
	p.cmd = p.command(binaryPath, p.args...)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	require.NoError(p.t, p.cmd.Start())
	exited, cmd := make(chan struct{}), p.cmd
	p.exited = exited
	go func() {
		cmd.Wait()
		close(exited)
	}()
	p.t.Cleanup(func() {
		cmd.Process.Kill()
		<-exited
	})
}

// kill ends the process with SIGKILL, as a crash would.
func (p *process) kill() {
	require.NoError(p.t, p.cmd.Process.Kill())
	<-p.exited
}

// terminate asks the process to end, and returns its exit code.
func (p *process) terminate() int {
	p.signal()
	return p.wait()
}

// signal asks the process to end.
func (p *process) signal() { require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM)) }

// wait waits until the process has ended by itself, and returns its exit code.
func (p *process) wait() int {
	select {
	case <-p.exited:
	case <-time.After(patience):
		require.FailNow(p.t, "process does not end", "%v\n%s", p.args, p.output)
	}
	return p.cmd.ProcessState.ExitCode()
}

// status asks for the node's status; ok is false while it does not answer.
func (p *process) status(query string) (reply statusReply, ok bool) {
	r, err := p.client.Get("http://" + p.http + "/status" + query)
	if err != nil {
		return reply, false
	}
	defer r.Body.Close()
	return reply, json.NewDecoder(r.Body).Decode(&reply) == nil && r.StatusCode == http.StatusOK
}

// httpClient waits longer than the server does, so that a request ends with
// the server's answer, if the server lives.
var httpClient = &http.Client{
	Timeout:   2 * requestTimeout,
	Transport: &http.Transport{MaxIdleConnsPerHost: 64},
}

// answer is what came back for a request.
type answer struct {
	code int
	etag string
	body string
}

// do sends one request to the node.
func (p *process) do(ctx context.Context, method, path, body string, headers ...string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+p.http+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	response, err := p.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header.Get("ETag"), string(b)}, err
}

// newProcesses prepares a cluster of n processes on free ports.
func newProcesses(t *testing.T, n int, more ...string) []*process {
	addresses := freeAddresses(t, 2*n)
	var peers []string
	for i := range n {
		peers = append(peers, fmt.Sprintf("%d=%s", i+1, addresses[i]))
	}
	dir := t.TempDir()
	processes := make([]*process, n)
	for i := range processes {
		data := filepath.Join(dir, fmt.Sprint("node-", i+1))
		processes[i] = newProcess(t, raft.NodeID(i+1), strings.Join(peers, ","), addresses[n+i], data, more...)
	}
	return processes
}

// freeAddresses returns loopback addresses that nobody listens on, and that it has
// not returned before: a test that runs beside this one may not have started, or
// have killed, the process that an address is for. Their ports are below those that
// the system gives to outgoing connections, so none of these takes one before its
// process does, or while that is down.
func freeAddresses(t *testing.T, n int) []string {
	var addresses []string
	for tries := 0; len(addresses) < n; tries++ {
		require.Less(t, tries, 1000, "no free ports")
		address := fmt.Sprintf("127.0.0.1:%d", 12000+rand.IntN(20000))
		if _, returned := addressesReturned.LoadOrStore(address, true); returned {
			continue
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		l.Close()
		addresses = append(addresses, address)
	}
	return addresses
}

var addressesReturned sync.Map

func TestFreeAddressesAreReturnedOnce(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 100 {
		for _, address := range freeAddresses(t, 6) {
			require.False(t, seen[address], address)
			seen[address] = true
		}
	}
}

// waitForLeader waits until all of the processes follow the same one of them.
func waitForLeader(t *testing.T, processes []*process) *process {
	t.Helper()
	var leader *process
	eventually(t, "a leader", func() bool {
		leader = nil
		var term raft.Term
		for _, p := range processes {
			s, ok := p.status("")
			if !ok || s.Leader == 0 || term != 0 && s.Term != term {
				return false
			}
			term = s.Term
			if s.Leader == p.id {
				leader = p
			}
		}
		return leader != nil
	}, outputs(processes))
	return leader
}

// eventually waits until condition holds.
func eventually(t *testing.T, what string, condition func() bool, context func() string) {
	t.Helper()
	ctx, cancel := withTimeout(t, patience)
	defer cancel()
	if err := waitFor(ctx, condition); err != nil {
		require.FailNow(t, "waited in vain for "+what, context())
	}
}

func withTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(t.Context(), d, errors.New("the test's patience is over"))
}

// outputs returns what the processes have printed, for a failure's message.
func outputs(processes []*process) func() string {
	return func() string {
		var b strings.Builder
		for _, p := range processes {
			fmt.Fprintf(&b, "--- node %d, %v:\n%s", p.id, p.args, p.output)
		}
		return b.String()
	}
}

// lockedBuffer is a bytes.Buffer for concurrent use.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

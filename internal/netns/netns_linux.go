package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Network is hosts numbered from 1 on one switch. It is not safe for concurrent
// use. Its methods fail the test that it was made for when the system refuses
// what New has found it able to do.
type Network struct {
	t      require.TestingT
	prefix string // of the names of its namespaces
	hosts  []host
}

type host struct {
	name    string // of its namespace
	address string
}

const (
	cable      = "eth0"              // a host's end
	nobodysMAC = "02:00:00:00:ff:ff" // what is sent there is lost without a word
)

// networks counts those of this process, whose names so differ.
var networks atomic.Int64

// New makes a network of the given number of hosts, which is gone when the test
// ends. All reach each other. It skips the test, and says what is missing, on a
// machine that cannot have such a network, and when testing.Short.
func New(t testing.TB, hosts int) *Network {
	t.Helper()
	if testing.Short() {
		t.Skip("hosts in network namespaces take long: left out by -short")
	}
	n, err := Make(t, hosts)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(n.Remove)
	return n
}

// Make is New for programs: the error says what the machine lacks, and the
// network stays until Remove. What the system refuses later fails t.
func Make(t require.TestingT, hosts int) (*Network, error) {
	if _, err := exec.LookPath("ip"); err != nil {
		return nil, errors.New("hosts in network namespaces need the command ip: apt-get install iproute2")
	}
	removeOrphans()
	n := &Network{t: t, prefix: fmt.Sprintf("raft-%d-%d-", os.Getpid(), networks.Add(1))}
	if err := n.cables(hosts); err != nil {
		n.Remove()
		return nil, fmt.Errorf("no hosts in network namespaces here: they need root (or CAP_SYS_ADMIN and CAP_NET_ADMIN), and bridge and veth in the kernel: %w", err)
	}
	for i, h := range n.hosts {
		n.must(n.bridge(), "link set "+port(i+1)+" master switch up")
		n.must(h.name, append(n.neighbours(i+1),
			"link set lo up",
			fmt.Sprintf("addr add %s/24 dev %s", h.address, cable))...)
	}
	return n, nil
}

// cables makes all that the system may refuse.
func (n *Network) cables(hosts int) error {
	if err := ip("", "netns add "+n.bridge()); err != nil {
		return err
	}
	if err := ip(n.bridge(), "link add name switch up type bridge"); err != nil {
		return err
	}
	for i := range hosts {
		h := host{name: fmt.Sprint(n.prefix, i+1), address: fmt.Sprintf("10.90.0.%d", i+1)}
		if err := ip("", "netns add "+h.name); err != nil {
			return err
		}
		n.hosts = append(n.hosts, h)
		add := fmt.Sprintf("link add name %s type veth peer name %s address %s netns %s", port(i+1), cable, mac(i+1), h.name)
		if err := ip(n.bridge(), add); err != nil {
			return err
		}
		if err := ip(h.name, "link set "+cable+" up"); err != nil {
			return err
		}
	}
	return nil
}

// Remove takes the network away, whatever has happened before.
func (n *Network) Remove() {
	for _, name := range append(namespaces(n.prefix), n.bridge()) {
		ip("", "netns del "+name) //nolint:errcheck // it may be gone
	}
}

// Address returns the IP address of a host.
func (n *Network) Address(host int) string { return n.hosts[host-1].address }

// Prefix returns what runs a program on a host when it is put before it. The
// program replaces it, with the same process id.
func (n *Network) Prefix(host int) []string {
	return []string{"ip", "netns", "exec", n.hosts[host-1].name}
}

// Command returns what prepares programs to be run on a host, as exec.Command
// does. They are killed when the process of the test ends, however that ends.
func (n *Network) Command(host int) func(program string, args ...string) *exec.Cmd {
	prefix := n.Prefix(host)
	return func(program string, args ...string) *exec.Cmd {
		cmd := exec.Command(prefix[0], slices.Concat(prefix[1:], []string{program}, args)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		return cmd
	}
}

// Unplug takes a host's cable out of the switch: it sees so, and neither hears
// nor is heard.
func (n *Network) Unplug(host int) { n.must(n.bridge(), "link set "+port(host)+" down") }

// Plug undoes Unplug.
func (n *Network) Plug(host int) { n.must(n.bridge(), "link set "+port(host)+" up") }

// Block loses all that host from sends to host to, without a word to either.
// What comes the other way arrives; but a TCP connection needs both ways.
func (n *Network) Block(from, to int) { n.must(n.hosts[from-1].name, n.neighbour(to, nobodysMAC)) }

// Split blocks all ways between a host of the one side and one of the other.
func (n *Network) Split(one, other []int) {
	for _, a := range one {
		for _, b := range other {
			n.Block(a, b)
			n.Block(b, a)
		}
	}
}

// Heal undoes Block and Unplug for all hosts.
func (n *Network) Heal() {
	for i, h := range n.hosts {
		n.Plug(i + 1)
		n.must(h.name, n.neighbours(i+1)...)
	}
}

// Move gives a host another address, and returns it. The old one is gone: what
// is sent there finds nobody. Nothing from or to the host is blocked afterwards.
func (n *Network) Move(host int) (address string) {
	h := &n.hosts[host-1]
	old := h.address
	h.address = fmt.Sprintf("10.90.0.%d", 100+host)
	n.must(h.name, append([]string{
		fmt.Sprintf("addr del %s/24 dev %s", old, cable),
		fmt.Sprintf("addr add %s/24 dev %s", h.address, cable),
	}, n.neighbours(host)...)...)
	for i, other := range n.hosts {
		if i+1 != host {
			n.must(other.name, n.neighbour(host, mac(host)))
		}
	}
	return h.address
}

// Shape sends all that is for a host through a queueing discipline of the kernel
// (see tc(8)), like "netem delay 20ms loss 1%" or "tbf rate 1mbit burst 3kb
// limit 3kb". It is the switch's: no sender knows how full the queue is. The
// error says that the kernel has none of that name.
func (n *Network) Shape(host int, discipline string) error {
	return run("", "tc", append([]string{"-n", n.bridge(), "qdisc", "replace", "dev", port(host), "root"}, strings.Fields(discipline)...)...)
}

// Unshape undoes Shape.
func (n *Network) Unshape(host int) {
	require.NoError(n.t, run("", "tc", "-n", n.bridge(), "qdisc", "del", "dev", port(host), "root"))
}

func (n *Network) bridge() string { return n.prefix + "switch" }

func port(host int) string { return fmt.Sprint("port", host) }
func mac(host int) string  { return fmt.Sprintf("02:00:00:00:00:%02x", host) }

// neighbour is the command that says at which hardware address a host is to be
// found. There is no ARP here: all hosts know it of all others.
func (n *Network) neighbour(host int, mac string) string {
	return fmt.Sprintf("neigh replace %s lladdr %s nud permanent dev %s", n.Address(host), mac, cable)
}

// neighbours are those commands for a host that reaches all others.
func (n *Network) neighbours(host int) []string {
	var lines []string
	for i := range n.hosts {
		if i+1 != host {
			lines = append(lines, n.neighbour(i+1, mac(i+1)))
		}
	}
	return lines
}

func (n *Network) must(namespace string, lines ...string) {
	if h, ok := n.t.(interface{ Helper() }); ok {
		h.Helper()
	}
	require.NoError(n.t, ip(namespace, lines...))
}

// ip executes commands of ip, one a line, in a namespace.
func ip(namespace string, lines ...string) error {
	args := []string{"-batch", "-"}
	if namespace != "" {
		args = append([]string{"-n", namespace}, args...)
	}
	return run(strings.Join(lines, "\n")+"\n", "ip", args...)
}

// run runs a command, which takes milliseconds.
func run(input, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(append([]string{name}, args...), " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// namespaces returns the names that begin with prefix.
func namespaces(prefix string) []string {
	paths, _ := filepath.Glob("/run/netns/" + prefix + "*") // the pattern is right
	for i, p := range paths {
		paths[i] = filepath.Base(p)
	}
	return paths
}

// removeOrphans removes the namespaces of tests that could not: their processes
// are gone.
func removeOrphans() {
	for _, name := range namespaces("raft-") {
		var pid, network int
		if _, err := fmt.Sscanf(name, "raft-%d-%d-", &pid, &network); err != nil {
			continue
		}
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			ip("", "netns del "+name) //nolint:errcheck // another test may do the same
		}
	}
}

package netns

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The test binary is also the program that runs on the hosts: it prints the
// datagrams that arrive, and sends one for each line "address text" of its
// input.
const runsOnHost = "NETNS_TEST_HOST"

func TestMain(m *testing.M) {
	if os.Getenv(runsOnHost) != "" {
		if err := exchange(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func exchange() error {
	conn, err := net.ListenPacket("udp", ":7000")
	if err != nil {
		return err
	}
	fmt.Println("ready")
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			fmt.Printf("%s: %s\n", from.(*net.UDPAddr).IP, buf[:n])
		}
	}()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		to, text, _ := strings.Cut(lines.Text(), " ")
		address, err := net.ResolveUDPAddr("udp", to+":7000")
		if err != nil {
			return err
		}
		conn.WriteTo([]byte(text), address) // what is lost may be refused, too
		fmt.Println("sent")
	}
	return nil
}

// peer is that program on a host.
type peer struct {
	t     *testing.T
	input io.Writer
	lines chan string // of its output
	cmd   *exec.Cmd
}

func startPeer(t *testing.T, n *Network, host int) *peer {
	p := &peer{t: t, lines: make(chan string, 100), cmd: n.Command(host)(os.Args[0])}
	p.cmd.Env = append(os.Environ(), runsOnHost+"=1")
	p.cmd.Stderr = os.Stderr
	input, err := p.cmd.StdinPipe()
	require.NoError(t, err)
	p.input = input
	output, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			p.lines <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-ended
		p.cmd.Wait()
	})
	require.Equal(t, "ready", p.next())
	return p
}

func (p *peer) next() string {
	p.t.Helper()
	select {
	case line := <-p.lines:
		return line
	case <-time.After(time.Minute):
		require.FailNow(p.t, "nothing came")
		return ""
	}
}

// send sends a datagram and returns when that has happened. Nothing else may
// arrive here meanwhile.
func (p *peer) send(to, text string) {
	p.t.Helper()
	fmt.Fprintln(p.input, to, text)
	require.Equal(p.t, "sent", p.next())
}

// Datagrams stay in order on the way: one that does not come before the next
// one is lost.
func TestNetwork(t *testing.T) {
	n := New(t, 3)
	one, two, three := startPeer(t, n, 1), startPeer(t, n, 2), startPeer(t, n, 3)
	arrives := func(from *peer, fromAddress string, to *peer, toAddress, text string) {
		t.Helper()
		from.send(toAddress, text)
		require.Equal(t, fromAddress+": "+text, to.next())
	}
	a1, a2, a3 := n.Address(1), n.Address(2), n.Address(3)
	arrives(one, a1, two, a2, "hello")

	n.Block(1, 2)
	one.send(a2, "lost one way")
	arrives(two, a2, one, a1, "the other way")
	arrives(one, a1, three, a3, "elsewhere")
	n.Heal()
	arrives(one, a1, two, a2, "after one way")

	n.Split([]int{1}, []int{2, 3})
	one.send(a2, "lost in the split")
	two.send(a1, "lost in the split")
	arrives(two, a2, three, a3, "on one side")
	n.Heal()
	arrives(two, a2, one, a1, "after the split")
	arrives(one, a1, two, a2, "after the split")

	n.Unplug(3)
	one.send(a3, "lost at the switch")
	three.send(a1, "lost at the plug")
	n.Plug(3)
	arrives(one, a1, three, a3, "after plugging")
	arrives(three, a3, one, a1, "after plugging")

	moved := n.Move(3)
	require.NotEqual(t, a3, moved)
	require.Equal(t, moved, n.Address(3))
	one.send(a3, "lost at the old address")
	arrives(one, a1, three, moved, "at the new address")
	arrives(three, moved, one, a1, "from the new address")
}

func TestShape(t *testing.T) {
	n := New(t, 2)
	one, two := startPeer(t, n, 1), startPeer(t, n, 2)
	require.ErrorContains(t, n.Shape(1, "nonesuch"), "nonesuch")
	if err := n.Shape(2, "netem loss 100%"); err != nil {
		t.Skipf("no netem in this kernel: %v", err)
	}
	one.send(n.Address(2), "lost")
	n.Unshape(2)
	one.send(n.Address(2), "not lost")
	require.Equal(t, n.Address(1)+": not lost", two.next())
}

// A network leaves nothing behind, and the next one takes away what was left by
// a process that was killed.
func TestNothingIsLeft(t *testing.T) {
	var prefix string
	t.Run("network", func(t *testing.T) {
		n := New(t, 2)
		prefix = n.prefix
		require.Len(t, namespaces(prefix), 3)
	})
	if prefix == "" {
		t.Skip("no hosts in network namespaces here: see above")
	}
	require.Empty(t, namespaces(prefix))

	ended := exec.Command("true")
	require.NoError(t, ended.Run())
	orphan := fmt.Sprintf("raft-%d-1-switch", ended.Process.Pid)
	require.NoError(t, ip("", "netns add "+orphan))
	t.Cleanup(func() { ip("", "netns del "+orphan) }) //nolint:errcheck // it is gone as a rule
	New(t, 1)
	require.NotContains(t, namespaces("raft-"), orphan)
}

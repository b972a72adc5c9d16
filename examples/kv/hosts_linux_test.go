package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/internal/netns"
)

// Five hosts, which talk by mutual TLS, with a network between them that breaks
// in all ways that a network can, and hosts that crash, while clients write, read and compare-and-swap
// through all of them. Whatever is left of a majority goes on each time; once
// the network is whole each host serves again; and in the end the clients' whole
// history is linearizable, and the hosts have the same state.
func TestHosts(t *testing.T) {
	t.Parallel()
	h := startHosts(t, 5)
	h.step("the leader's cable is pulled out", func() {
		leader := h.leader()
		h.net.Unplug(leader)
		rest := h.except(leader)
		waitForLeader(t, rest)
		h.clients.waitForMore(rest, 50)
		h.stepsDown(leader)
	})
	h.step("the leader and one more on one side, three on the other", func() {
		leader := h.leader()
		with := leader%5 + 1
		rest := h.except(leader, with)
		h.net.Split([]int{leader, with}, ids(rest))
		waitForLeader(t, rest)
		h.clients.waitForMore(rest, 50)
		h.stepsDown(leader)
		for _, p := range h.nodes { // long enough for all to give up their connections
			h.logs(p, "has been silent")
		}
	})
	h.step("the leader is heard, and hears nobody", func() {
		leader := h.leader()
		rest := h.except(leader)
		for _, from := range ids(rest) {
			h.net.Block(from, leader)
		}
		waitForLeader(t, rest)
		h.clients.waitForMore(rest, 50)
		h.stepsDown(leader)
	})
	h.step("one that does not hear the leader", func() {
		leader := h.leader()
		deaf := leader%5 + 1
		h.net.Block(leader, deaf)
		h.clients.waitForMore(h.except(deaf), 150)
	})
	h.step("only one, not the leader, reaches a majority", func() {
		leader := h.leader()
		hub := leader%5 + 1
		spokes := ids(h.except(hub))
		for i, a := range spokes {
			h.net.Split([]int{a}, spokes[i+1:])
		}
		eventually(t, "the one that reaches a majority to lead", func() bool {
			s, ok := h.nodes[hub-1].status("")
			return ok && s.Leader == s.ID
		}, outputs(h.nodes))
		h.clients.waitForMore(h.nodes[hub-1:hub], 50)
	})
	h.step("a follower's cable has a loose contact", func() {
		follower := h.leader()%5 + 1
		for range 10 {
			h.net.Unplug(follower)
			h.clients.waitForMore(h.except(follower), 10)
			h.net.Plug(follower)
			h.clients.waitForMore(h.except(follower), 10)
		}
	})
	h.step("each leader's cable in turn", func() {
		for range 3 {
			leader := waitForLeader(t, h.nodes)
			h.net.Unplug(int(leader.id))
			h.clients.waitForMore(h.except(int(leader.id)), 20)
			h.net.Plug(int(leader.id))
		}
	})
	h.step("the leader and one more crash", func() {
		leader := h.leader()
		with := leader%5 + 1
		h.kill(leader, with)
		h.clients.waitForMore(h.except(leader, with), 100)
		h.start(leader, with)
	})
	h.step("all crash", func() {
		h.kill(1, 2, 3, 4, 5)
		h.start(1, 2, 3, 4, 5)
	})
	h.step("a host gets another address, and then crashes", func() {
		mover := h.leader()%5 + 1
		h.setAddress(mover, h.net.Move(mover)+":7000")
		h.clients.waitForMore(h.nodes[mover-1:mover], 10)
		h.kill(mover)
		h.clients.waitForMore(h.except(mover), 10)
		h.start(mover)
	})
	h.shaped("narrow cables, which lose what does not fit", "tbf rate 2mbit burst 3kb limit 3kb")
	h.shaped("delay and loss on all ways", "netem delay 10ms 5ms loss 2%")
	h.verify()
}

// hosts is a cluster with one node on each host.
type hosts struct {
	t       *testing.T
	net     *netns.Network
	nodes   []*process // node n is on host n
	clients *clients
}

func startHosts(t *testing.T, n int) *hosts {
	h := &hosts{t: t, net: netns.New(t, n)}
	require.NoError(t, buildBinary())
	var peers []string
	for i := range n {
		peers = append(peers, fmt.Sprintf("%d=%s:7000", i+1, h.net.Address(i+1)))
	}
	dir, err := os.MkdirTemp("", "kv-hosts-") // t.TempDir's are too long for a socket's path
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	list := strings.Join(peers, ",")
	founders, err := parsePeers(list)
	require.NoError(t, err)
	authority := newAuthority(t, dir)
	for i := range n {
		p := newHostProcess(t, h.net, i+1, list, dir)
		p.args = append(p.args, authority.flags(raft.Identity{Cluster: clusterName(founders), Node: p.id})...)
		h.nodes = append(h.nodes, p)
		h.start(i + 1)
	}
	waitForLeader(t, h.nodes)
	for _, p := range h.nodes {
		// A founder that has not voted for the first leader may do so for nobody
		// before that leader has told it that it is a member.
		eventually(t, fmt.Sprintf("node %d to be founded", p.id), func() bool {
			s, ok := p.status("")
			return ok && !s.Marked
		}, outputs(h.nodes))
	}
	h.clients = startClients(t, h.nodes)
	return h
}

// newHostProcess prepares node id on the host of that number. Its clients reach
// it through the file system, whatever becomes of the network.
func newHostProcess(t *testing.T, network *netns.Network, id int, peers, dir string) *process {
	socket := filepath.Join(dir, fmt.Sprint(id, ".socket"))
	p := newProcess(t, raft.NodeID(id), peers, "unix:"+socket, filepath.Join(dir, fmt.Sprint("node-", id)),
		"-listen", ":7000", "-snapshot-entries", "1000")
	p.http = fmt.Sprint("node-", id)
	p.command = network.Command(id)
	p.client = &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	t.Cleanup(p.client.CloseIdleConnections)
	return p
}

// step does what breaks something, and waits until there is progress where
// there can be. Then the network is whole again, and each node must serve soon.
func (h *hosts) step(name string, breaks func()) {
	h.t.Helper()
	began := time.Now()
	h.clients.nextKeys()
	breaks()
	h.net.Heal()
	healed := time.Now()
	h.serves()
	h.t.Logf("%-60s %5.1f s, recovered after %.1f s", name, healed.Sub(began).Seconds(), time.Since(healed).Seconds())
}

// shaped is a step with all cables shaped, where the kernel can.
func (h *hosts) shaped(name, discipline string) {
	h.t.Helper()
	for i := range h.nodes {
		if err := h.net.Shape(i+1, discipline); err != nil {
			h.t.Logf("left out: %s: not in this kernel: %v", name, err)
			return
		}
	}
	h.step(name, func() { h.clients.waitForMore(h.nodes, 400) })
	for i := range h.nodes {
		h.net.Unshape(i + 1)
	}
}

// serves waits until each node has done a write, and then a linearizable read.
func (h *hosts) serves() {
	h.t.Helper()
	done := make([]bool, len(h.nodes))
	eventually(h.t, "each node to serve", func() bool {
		var asking sync.WaitGroup
		for i, p := range h.nodes {
			if !done[i] {
				asking.Go(func() { done[i] = servesNow(h.t.Context(), p) })
			}
		}
		asking.Wait()
		for _, ok := range done {
			if !ok {
				return false
			}
		}
		return true
	}, outputs(h.nodes))
}

func servesNow(ctx context.Context, p *process) bool {
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	path := fmt.Sprint("/kv/probe-", p.id)
	if a, err := p.do(ctx, "PUT", path, "probed"); err != nil || a.code != http.StatusNoContent {
		return false
	}
	a, err := p.do(ctx, "GET", path, "")
	return err == nil && a.code == http.StatusOK && a.body == "probed"
}

// leader returns the number of the host whose node leads.
func (h *hosts) leader() int {
	h.t.Helper()
	return int(waitForLeader(h.t, h.nodes).id)
}

// stepsDown waits until a leader that has lost its majority knows so.
func (h *hosts) stepsDown(host int) {
	h.t.Helper()
	eventually(h.t, "a leader without a majority to step down", func() bool {
		s, ok := h.nodes[host-1].status("")
		return ok && s.Role != raft.Leader.String()
	}, outputs(h.nodes))
}

// logs waits until a node has logged text since it was started.
func (h *hosts) logs(p *process, text string) {
	h.t.Helper()
	eventually(h.t, fmt.Sprintf("node %d to log %q", p.id, text), func() bool {
		return strings.Contains(p.output.String(), text)
	}, outputs(h.nodes))
}

// except returns the nodes that are on none of some hosts.
func (h *hosts) except(some ...int) []*process {
	var rest []*process
	for _, p := range h.nodes {
		excepted := false
		for _, host := range some {
			excepted = excepted || int(p.id) == host
		}
		if !excepted {
			rest = append(rest, p)
		}
	}
	return rest
}

// ids returns the numbers of the hosts that nodes are on.
func ids(nodes []*process) []int {
	var all []int
	for _, p := range nodes {
		all = append(all, int(p.id))
	}
	return all
}

func (h *hosts) kill(hosts ...int) {
	for _, host := range hosts {
		h.nodes[host-1].kill()
	}
}

// start starts nodes, for the first time or after they were killed, which
// leaves a socket that nobody listens on.
func (h *hosts) start(hosts ...int) {
	h.t.Helper()
	for _, host := range hosts {
		p := h.nodes[host-1]
		socket, _ := strings.CutPrefix(p.args[6], "unix:")
		if err := os.Remove(socket); err != nil {
			require.ErrorIs(h.t, err, os.ErrNotExist)
		}
		p.start()
	}
}

// setAddress tells the cluster another address of a node.
func (h *hosts) setAddress(node int, address string) {
	h.t.Helper()
	eventually(h.t, "the address to be changed", func() bool {
		ctx, cancel := context.WithTimeout(h.t.Context(), clientTimeout)
		defer cancel()
		// A second attempt is a conflict if the first one has had its effect.
		a, err := waitForLeader(h.t, h.except(node)).do(ctx, "PUT", fmt.Sprint("/members/", node), address)
		return err == nil && (a.code == http.StatusNoContent || a.code == http.StatusConflict)
	}, outputs(h.nodes))
	for _, p := range h.nodes {
		eventually(h.t, fmt.Sprintf("node %d to know the address", p.id), func() bool {
			s, ok := p.status("")
			return ok && s.Members[node-1].Address == address
		}, outputs(h.nodes))
	}
}

// verify ends the load and judges it all.
func (h *hosts) verify() {
	h.t.Helper()
	h.clients.stop()
	waitForSameState(h.t, h.nodes)
	h.clients.verify()
	for _, p := range h.nodes {
		p.signal()
	}
	for _, p := range h.nodes {
		require.Equal(h.t, exitOK, p.wait(), "%s", p.output)
		require.NotContains(h.t, p.output.String(), "panic")
	}
}

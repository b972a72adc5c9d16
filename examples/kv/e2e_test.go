package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
)

// Three processes; clients write through all of them; the leader is killed in
// mid-write and comes back. Nothing that was acknowledged is lost, and all
// three end in the same state.
func TestEndToEndKillLeader(t *testing.T) {
	tests := []struct {
		name  string
		flags []string
	}{
		{"catches up from the log", nil},
		{"catches up from a snapshot", []string{"-snapshot-entries=100"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			processes := newProcesses(t, 3, test.flags...)
			for _, p := range processes {
				p.start()
			}
			leader := waitForLeader(t, processes)

			traffic := startTraffic(t, processes)
			traffic.waitForMore(300)
			leader.kill()
			traffic.waitForMore(300)

			if test.flags != nil {
				// Else the log would do.
				missing := processes[leader.id%3]
				eventually(t, "the log's start to be forgotten", func() bool {
					s, ok := missing.status("")
					return ok && s.First > 300
				}, outputs(processes))
			}
			leader.start()
			waitForLeader(t, processes)
			traffic.waitForMore(100)
			traffic.stop()

			waitForSameState(t, processes)
			traffic.verify()
			for _, p := range processes {
				require.Equal(t, exitOK, p.terminate(), "%s", p.output)
				require.NotContains(t, p.output.String(), "panic")
			}
		})
	}
}

// A member that has lost its disk comes back with -rejoin and gets everything
// from the others.
func TestEndToEndRejoin(t *testing.T) {
	t.Parallel()
	processes := newProcesses(t, 3)
	for _, p := range processes {
		p.start()
	}
	waitForLeader(t, processes)
	traffic := startTraffic(t, processes)
	traffic.waitForMore(100)

	lost := processes[2]
	lost.kill()
	data := lost.args[len(lost.args)-1]
	require.NoError(t, os.RemoveAll(data))
	lost.args = append(lost.args, "-rejoin")
	lost.start()
	eventually(t, "the mark to go", func() bool {
		s, ok := lost.status("")
		return ok && !s.Marked && s.Applied > 100 && len(s.Members) == 3
	}, outputs(processes))
	traffic.stop()
	waitForSameState(t, processes)
	traffic.verify()
}

// A new process takes the leader's place while clients write; the old one ends
// by itself.
func TestEndToEndReplace(t *testing.T) {
	t.Parallel()
	processes := newProcesses(t, 3)
	for _, p := range processes {
		p.start()
	}
	leader := waitForLeader(t, processes)
	traffic := startTraffic(t, processes)
	traffic.waitForMore(100)

	addresses := freeAddresses(t, 2)
	peers := leader.args[slices.Index(leader.args, "-peers")+1]
	joiner := newProcess(t, 4, peers, addresses[1], t.TempDir(), "-join", addresses[0])
	joiner.start()
	// Another one may lead by the time that it is asked. A repeated request
	// is a conflict if the first one has had its effect.
	change := func(method string, id raft.NodeID, address string) {
		eventually(t, fmt.Sprint("a change of node ", id), func() bool {
			r, err := http.NewRequest(method, fmt.Sprintf("http://%s/members/%d", waitForLeader(t, processes).http, id), strings.NewReader(address))
			require.NoError(t, err)
			reply, err := httpClient.Do(r)
			if err != nil {
				return method == "DELETE" // it has ended; else what follows fails
			}
			defer reply.Body.Close()
			return reply.StatusCode == http.StatusNoContent || reply.StatusCode == http.StatusConflict
		}, outputs(processes))
	}
	change("PUT", 4, addresses[0])
	leader = waitForLeader(t, processes)
	processes = append(processes, joiner)
	change("DELETE", leader.id, "")
	require.Equal(t, exitOK, leader.wait(), "%s", leader.output)

	remaining := slices.DeleteFunc(slices.Clone(processes), func(p *process) bool { return p == leader })
	waitForLeader(t, remaining)
	traffic.waitForMore(100)
	traffic.stop()
	waitForSameState(t, remaining)
	s, ok := joiner.status("")
	require.True(t, ok)
	var ids []raft.NodeID
	for _, m := range s.Members {
		ids = append(ids, m.ID)
	}
	require.Len(t, ids, 3)
	require.NotContains(t, ids, leader.id)
	traffic.processes = remaining
	traffic.verify()
}

// What must not be started says why, on stderr, and exits with 1.
func TestEndToEndRefusals(t *testing.T) {
	t.Parallel()
	addresses := freeAddresses(t, 6)
	peers := func(n int) string {
		return fmt.Sprintf("1=%s,2=%s", addresses[n], addresses[n+1])
	}
	dir := t.TempDir() + "/data"
	owner := newProcess(t, 1, peers(0), addresses[4], dir)
	owner.start()
	eventually(t, "the first process", func() bool {
		_, ok := owner.status("")
		return ok
	}, outputs([]*process{owner}))

	refused := func(want string, id raft.NodeID, peers, http, dir string) {
		t.Helper()
		p := newProcess(t, id, peers, http, dir)
		p.start()
		require.Equal(t, exitFailed, p.wait(), "%s", p.output)
		lines := strings.Split(strings.TrimSpace(p.output.String()), "\n")
		require.Contains(t, lines[len(lines)-1], want)
		require.NotContains(t, p.output.String(), "panic")
	}
	refused("another process", 1, peers(2), addresses[5], dir) // the directory is locked
	refused(addresses[4], 1, peers(2), addresses[4], dir+"2")  // the HTTP port is taken
	refused(addresses[0], 1, peers(0), addresses[5], dir+"3")  // the peers' port is taken

	require.Equal(t, exitOK, owner.terminate(), "%s", owner.output)
	refused("storage belongs to node 1 of cluster", 2, peers(0), addresses[5], dir)
	refused("storage belongs to node 1 of cluster", 1, peers(2), addresses[5], dir)

	owner.start() // and nothing of that has harmed it
	eventually(t, "the owner to start again", func() bool {
		_, ok := owner.status("")
		return ok
	}, outputs([]*process{owner}))
}

// waitForSameState waits until all nodes have the same state.
func waitForSameState(t *testing.T, processes []*process) {
	t.Helper()
	eventually(t, "the nodes to have the same state", func() bool {
		var hash string
		for _, p := range processes {
			s, ok := p.status("?hash=1")
			if !ok || hash != "" && s.Hash != hash {
				return false
			}
			hash = s.Hash
		}
		return true
	}, outputs(processes))
}

// traffic is clients that write through all nodes and remember what was
// acknowledged: writers, each with ever new keys, and counters, who increment
// one shared number by compare-and-swap.
type traffic struct {
	t         *testing.T
	processes []*process
	cancel    context.CancelFunc
	clients   sync.WaitGroup

	acknowledged atomic.Int64
	increments   atomic.Int64 // acknowledged
	uncertain    atomic.Int64 // increments that may have taken place

	mu   sync.Mutex
	keys []string
}

const (
	writers    = 8
	counters   = 2
	counterKey = "counter"
)

func startTraffic(t *testing.T, processes []*process) *traffic {
	ctx, cancel := context.WithCancel(t.Context())
	tr := &traffic{t: t, processes: processes, cancel: cancel}
	for i := range writers {
		tr.clients.Go(func() { tr.write(ctx, i) })
	}
	for i := range counters {
		tr.clients.Go(func() { tr.count(ctx, i) })
	}
	t.Cleanup(tr.stop)
	return tr
}

func (tr *traffic) stop() {
	tr.cancel()
	tr.clients.Wait()
}

// waitForMore waits until n more writes are acknowledged.
func (tr *traffic) waitForMore(n int64) {
	tr.t.Helper()
	goal := tr.acknowledged.Load() + n
	eventually(tr.t, "more acknowledgements", func() bool { return tr.acknowledged.Load() >= goal }, outputs(tr.processes))
}

// write writes new keys, one after the other. A request that fails in any way
// goes to the next node: a key has only one value, so repeating is harmless.
func (tr *traffic) write(ctx context.Context, client int) {
	node := client
	for n := 0; ctx.Err() == nil; n++ {
		key := fmt.Sprintf("client-%d-%06d", client, n)
		for ctx.Err() == nil {
			a, err := tr.processes[node%len(tr.processes)].do(ctx, "PUT", "/kv/"+key, valueOf(key))
			if err == nil && a.code == http.StatusNoContent {
				tr.mu.Lock()
				tr.keys = append(tr.keys, key)
				tr.mu.Unlock()
				tr.acknowledged.Add(1)
				break
			}
			node++
			pause(ctx, err)
		}
	}
}

// count increments the counter. An increment is not idempotent: one with an
// unknown outcome may have taken place.
func (tr *traffic) count(ctx context.Context, client int) {
	node := client
	for ctx.Err() == nil {
		p := tr.processes[node%len(tr.processes)]
		old, err := p.do(ctx, "GET", "/kv/"+counterKey, "")
		condition, n := "If-None-Match: *", 0
		if err == nil && old.code == http.StatusOK {
			condition = "If-Match: " + old.etag
			n, err = strconv.Atoi(old.body)
		}
		if err != nil || old.code == http.StatusServiceUnavailable {
			node++
			pause(ctx, err)
			continue
		}
		a, err := p.do(ctx, "PUT", "/kv/"+counterKey, strconv.Itoa(n+1), condition)
		switch {
		case err == nil && a.code == http.StatusNoContent:
			tr.increments.Add(1)
		case err != nil || strings.Contains(a.body, `"unknown"`):
			tr.uncertain.Add(1)
			node++
		}
	}
}

// verify looks for everything that was acknowledged on every node.
func (tr *traffic) verify() {
	tr.t.Helper()
	ctx, cancel := withTimeout(tr.t, patience)
	defer cancel()
	var missing sync.Map
	var readers sync.WaitGroup
	for i := range 8 {
		readers.Go(func() {
			for k := i; k < len(tr.keys); k += 8 {
				for _, p := range tr.processes {
					a, err := p.do(ctx, "GET", "/kv/"+tr.keys[k]+"?stale=1", "")
					if err != nil || a.code != http.StatusOK || a.body != valueOf(tr.keys[k]) {
						missing.Store(fmt.Sprintf("%s on node %d", tr.keys[k], p.id), a)
					}
				}
			}
		})
	}
	readers.Wait()
	missing.Range(func(what, got any) bool {
		require.FailNow(tr.t, "an acknowledged write is missing", "%v: got %v", what, got)
		return false
	})

	acknowledged, uncertain := tr.increments.Load(), tr.uncertain.Load()
	for _, p := range tr.processes {
		a, err := p.do(ctx, "GET", "/kv/"+counterKey, "")
		require.NoError(tr.t, err)
		require.Equal(tr.t, http.StatusOK, a.code, a.body)
		n, err := strconv.ParseInt(a.body, 10, 64)
		require.NoError(tr.t, err)
		require.GreaterOrEqual(tr.t, n, acknowledged, "increments were lost")
		require.LessOrEqual(tr.t, n, acknowledged+uncertain, "increments took place twice")
	}
	require.Positive(tr.t, acknowledged)
	tr.t.Logf("%d writes and %d increments (%d uncertain) acknowledged, all there", len(tr.keys), acknowledged, uncertain)
}

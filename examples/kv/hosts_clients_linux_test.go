package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft/internal/history"
)

const (
	clientCount   = 10
	clientPeriod  = 10 * time.Millisecond // at most one operation of each client in it
	clientTimeout = time.Second
	keysAtOnce    = 8
)

// operations of the clients. Every value that is written is another one, so
// that to compare values is to compare versions.
type clientInput struct {
	kind     clientKind
	key      string
	old, new string // "": no such key
}

type clientKind string

const (
	clientGet  clientKind = "get"
	clientPut  clientKind = "put"
	clientSwap clientKind = "compare and swap"
)

type clientOutput struct {
	value   string // of a get
	swapped bool
}

// clientModel is one key of a store that is not replicated.
var clientModel = history.Model[string, clientInput, clientOutput]{
	Init: func() string { return "" },
	Apply: func(state string, in clientInput) (string, clientOutput) {
		switch {
		case in.kind == clientGet:
			return state, clientOutput{value: state}
		case in.kind == clientSwap && state != in.old:
			return state, clientOutput{}
		}
		return in.new, clientOutput{swapped: true}
	},
	Key: func(in clientInput) string { return in.key },
}

// clients use the cluster, each doing one operation after the other, and
// remember what they were told. The first ones stay with one node each; the
// others go to any.
type clients struct {
	t       *testing.T
	nodes   []*process
	began   time.Time
	cancel  context.CancelFunc
	running sync.WaitGroup

	phase        atomic.Int64   // of the keys in use
	acknowledged []atomic.Int64 // by node: writes

	mu      sync.Mutex
	history history.History[clientInput, clientOutput]
}

func startClients(t *testing.T, nodes []*process) *clients {
	ctx, cancel := context.WithCancel(t.Context())
	c := &clients{t: t, nodes: nodes, began: time.Now(), cancel: cancel, acknowledged: make([]atomic.Int64, len(nodes))}
	for i := range clientCount {
		c.running.Go(func() { c.run(ctx, i) })
	}
	t.Cleanup(c.stop)
	return c
}

func (c *clients) stop() {
	c.cancel()
	c.running.Wait()
}

// nextKeys lets the clients go on with other keys: those of unknown outcome
// make a key's history costly to judge.
func (c *clients) nextKeys() { c.phase.Add(1) }

// waitForMore waits until n more writes are acknowledged by some of the nodes.
func (c *clients) waitForMore(nodes []*process, n int64) {
	c.t.Helper()
	count := func() (sum int64) {
		for _, p := range nodes {
			sum += c.acknowledged[p.id-1].Load()
		}
		return sum
	}
	goal := count() + n
	eventually(c.t, "more acknowledgements", func() bool { return count() >= goal }, outputs(c.nodes))
}

func (c *clients) run(ctx context.Context, client int) {
	random := rand.New(rand.NewPCG(1, uint64(client)))
	pace := time.NewTicker(clientPeriod)
	defer pace.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		p := c.nodes[client%len(c.nodes)]
		if client >= len(c.nodes) {
			p = c.nodes[random.IntN(len(c.nodes))]
		}
		in := clientInput{
			kind: clientPut,
			key:  fmt.Sprintf("phase-%d-key-%d", c.phase.Load(), random.IntN(keysAtOnce)),
			new:  fmt.Sprintf("client-%d-write-%d", client, n),
		}
		if random.IntN(2) == 0 {
			c.write(client, p, in)
		} else {
			c.swap(client, p, in)
		}
	}
}

// write writes without looking.
func (c *clients) write(client int, p *process, in clientInput) {
	c.do(client, p, in, "PUT", in.new)
}

// swap reads, and writes if that is still there.
func (c *clients) swap(client int, p *process, in clientInput) {
	a, ok := c.do(client, p, clientInput{kind: clientGet, key: in.key}, "GET", "")
	if !ok {
		return
	}
	condition := "If-None-Match: *"
	if a.code == http.StatusOK {
		in.old, condition = a.body, "If-Match: "+a.etag
	}
	in.kind = clientSwap
	c.do(client, p, in, "PUT", in.new, condition)
}

// do does one operation. It returns the answer if it is a definite one.
func (c *clients) do(client int, p *process, in clientInput, method, body string, headers ...string) (a answer, ok bool) {
	c.mu.Lock()
	operation := c.history.Invoke(client, time.Since(c.began), in)
	c.mu.Unlock()

	// Not the test's context: what has begun ends with the node's answer.
	ctx, cancel := context.WithTimeout(context.Background(), clientTimeout)
	defer cancel()
	a, err := p.do(ctx, method, "/kv/"+in.key, body, headers...)

	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Since(c.began)
	switch {
	case err == nil && a.code == http.StatusNoContent:
		c.acknowledged[p.id-1].Add(1)
		c.history.OK(operation, now, clientOutput{swapped: true})
	case err == nil && a.code == http.StatusPreconditionFailed:
		c.history.OK(operation, now, clientOutput{})
	case err == nil && in.kind == clientGet && (a.code == http.StatusOK || a.code == http.StatusNotFound):
		out := clientOutput{}
		if a.code == http.StatusOK {
			out.value = a.body
		}
		c.history.OK(operation, now, out)
	case in.kind == clientGet || definitelyNot(a, err):
		c.history.Failed(operation, now)
		return a, false
	default:
		c.history.Unknown(operation, now)
		return a, false
	}
	return a, true
}

// definitelyNot says that a write that was not acknowledged has no effect, and
// never will have.
func definitelyNot(a answer, err error) bool {
	var network *net.OpError
	if err != nil {
		return errors.As(err, &network) && network.Op == "dial"
	}
	var reply errorReply
	return json.Unmarshal([]byte(a.body), &reply) == nil && reply.Outcome == notCommitted
}

// verify judges the history.
func (c *clients) verify() {
	c.t.Helper()
	counts := map[history.Outcome]int{}
	for _, op := range c.history.Operations() {
		counts[op.Outcome]++
	}
	result := history.Check(clientModel, &c.history, history.DefaultSteps)
	c.t.Logf("%d operations ended well, %d failed, %d are of unknown outcome; %s after %d steps",
		counts[history.OK], counts[history.Failed], counts[history.Unknown], result.Verdict, result.Steps)
	if result.Verdict != history.Linearizable {
		page := filepath.Join(os.TempDir(), "kv-hosts-history.html")
		require.NoError(c.t, result.VisualizePath(page))
		require.NoError(c.t, result.Err(), "see %s", page)
	}
}

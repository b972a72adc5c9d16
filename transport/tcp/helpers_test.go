package tcp

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
)

// patience is how long a test waits for what must come. Nothing waits so long
// in a test that passes.
const patience = 20 * time.Second

// recorder is a Handler that hands on what it gets.
type recorder struct {
	messages    chan raft.Message
	unreachable chan raft.NodeID
	// onDeliver, onSnapshot, if set, are called first.
	onDeliver  func([]raft.Message)
	onSnapshot func(raft.Message, io.Reader) error
}

func newRecorder() *recorder {
	return &recorder{messages: make(chan raft.Message, 1<<17), unreachable: make(chan raft.NodeID, 1<<17)}
}

func (r *recorder) Deliver(messages []raft.Message) {
	if r.onDeliver != nil {
		r.onDeliver(messages)
	}
	for _, m := range messages {
		m.Entries = append([]raft.Entry(nil), m.Entries...) // the slice is the transport's
		r.messages <- m
	}
}

func (r *recorder) DeliverSnapshot(m raft.Message, body io.Reader) error {
	return r.onSnapshot(m, body)
}

func (r *recorder) Unreachable(id raft.NodeID) { r.unreachable <- id }

// receive waits for the next value.
func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

// node is a transport with its handler.
type node struct {
	*Transport
	*recorder
	id raft.NodeID
}

func (n *node) addr() string { return n.Addr().String() }

// listenNode returns a transport that is not started yet.
func listenNode(t testing.TB, id raft.NodeID, opts Options) *node {
	transport, err := Listen("127.0.0.1:0", opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, transport.Close()) })
	return &node{transport, newRecorder(), id}
}

func (n *node) start(t testing.TB) *node {
	require.NoError(t, n.Start(raft.Identity{Cluster: "test", Node: n.id}, n.recorder))
	return n
}

func startNode(t testing.TB, id raft.NodeID, opts Options) *node {
	return listenNode(t, id, opts).start(t)
}

// pair returns two nodes, 1 and 2, that know each other.
func pair(t testing.TB, opts Options) (a, b *node) {
	a, b = startNode(t, 1, opts), startNode(t, 2, opts)
	a.SetPeer(2, b.addr())
	b.SetPeer(1, a.addr())
	return a, b
}

// waitFor waits until a condition holds that nothing announces.
func waitFor(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		require.True(t, time.Now().Before(deadline), "never: %s", what)
		runtime.Gosched()
	}
}

// heartbeat returns a small message of the bulk lane, unless n is 0.
func heartbeat(from, to raft.NodeID, n int) raft.Message {
	return raft.Message{Type: raftpb.AppendEntries, From: from, To: to, Term: 1, Index: raft.Index(n)}
}

// requestVote returns a message of the urgent lane.
func requestVote(from, to raft.NodeID, n int) raft.Message {
	return raft.Message{Type: raftpb.RequestVote, From: from, To: to, Term: 1, Index: raft.Index(n)}
}

func appendEntries(from, to raft.NodeID, sizes ...int) raft.Message {
	m := heartbeat(from, to, 1)
	for i, size := range sizes {
		m.Entries = append(m.Entries, raft.Entry{Term: 1, Index: raft.Index(2 + i), Data: bytes.Repeat([]byte{byte('a' + i)}, size)})
	}
	return m
}

// snapshotOf returns an InstallSnapshot for data.
func snapshotOf(from, to raft.NodeID, data []byte) raft.Message {
	return raft.Message{Type: raftpb.InstallSnapshot, From: from, To: to, Term: 1,
		Snapshot: &raft.Snapshot{Index: 10, Term: 1, Size: uint64(len(data))}}
}

func someData(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i * i >> 3)
	}
	return data
}

// authority signs certificates for the nodes of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{cert, key}
}

// config returns mutual TLS with a certificate for all nodes of a test.
func (a *authority) config(t testing.TB) *tls.Config {
	return a.configFor(t, func(c *x509.Certificate) {
		for id := raft.NodeID(1); id <= 3; id++ {
			c.URIs = append(c.URIs, NodeURI(raft.Identity{Cluster: "test", Node: id}))
		}
	})
}

// configOf returns mutual TLS for one node.
func (a *authority) configOf(t testing.TB, id raft.NodeID) *tls.Config {
	return a.configFor(t, namedNode(id))
}

// namedNode puts a node's name into its certificate.
func namedNode(id raft.NodeID) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.URIs = []*url.URL{NodeURI(raft.Identity{Cluster: "test", Node: id})} }
}

// configFor returns mutual TLS with a certificate that change has changed.
func (a *authority) configFor(t testing.TB, change func(*x509.Certificate)) *tls.Config {
	der, key := a.issue(t, change)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		RootCAs:      pool,
		ClientCAs:    pool,
		ClientAuth:   tls.RequireAndVerifyClientCert,
	}
}

// issue signs a certificate.
func (a *authority) issue(t testing.TB, change func(*x509.Certificate)) (der []byte, key *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "node"},
		NotAfter:    time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	change(template)
	der, err = x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	return der, key
}

// cuttable is a Dial that can cut all it has made.
type cuttable struct {
	mu    sync.Mutex
	conns []net.Conn
	dials int
}

func (c *cuttable) dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dials++
	if err == nil {
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

func (c *cuttable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

// TestMain fails when a goroutine of this package outlives the tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if leaked := goroutines(); code == 0 && leaked != "" {
		println("leaked goroutines:\n" + leaked)
		code = 1
	}
	os.Exit(code)
}

// goroutines returns the stacks of goroutines that run code of this package
// which is no test's, once those that are about to end have ended.
func goroutines() string {
	var found string
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		found = ""
		for _, g := range strings.Split(string(buf), "\n\n")[1:] { // the first one is this one
			if strings.Contains(g, "raft/transport/tcp.") && !strings.Contains(g, "testing.tRunner") {
				found += g + "\n\n"
			}
		}
		if found == "" {
			return ""
		}
	}
	return found
}

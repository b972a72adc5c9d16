package tcp

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/internal/wire"
)

// attempt has node 1 dial node 2, which must not work, and returns why, as each
// side tells it.
func attempt(t *testing.T, dialer, listener Options) (counted Stats, dialed, listened error) {
	core, logs := observer.New(zapcore.WarnLevel)
	listener.Logger = zap.New(core)
	a, b := startNode(t, 1, dialer), startNode(t, 2, listener)
	a.SetPeer(2, b.addr())
	waitFor(t, "told to the dialer", func() bool { dialed = a.Peers()[0].Err; return dialed != nil })
	waitFor(t, "told to the listener", func() bool { return logs.Len() > 0 })
	require.NoError(t, a.Close())
	require.Zero(t, a.Stats().Connects)
	require.Zero(t, b.Stats().Accepted)
	require.NoError(t, b.Close())
	return b.Stats(), dialed, loggedError(logs.All()[0])
}

func TestTLSIsRequiredOfBothSides(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	good := Options{TLS: ca.config(t)}
	trusting := func(c *tls.Config) Options { return Options{TLS: c, VerifyPeer: TrustEveryCertificate} }
	expired := func(id raft.NodeID) *tls.Config {
		return ca.configFor(t, func(c *x509.Certificate) { namedNode(id)(c); c.NotAfter = time.Now().Add(-time.Minute) })
	}
	clientOnly := ca.configFor(t, func(c *x509.Certificate) {
		namedNode(2)(c)
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	})
	old := ca.config(t)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	both := func(c *tls.Config) *tls.Config { // takes what the other side has, and shows what it has
		c.RootCAs, c.ClientCAs = ca.config(t).RootCAs, ca.config(t).ClientCAs
		return c
	}
	for name, c := range map[string]struct {
		dialer, listener Options
		dialed, listened error // nil: an error that is no refusal
		text             string
	}{
		"the dialer is plain":              {Options{}, good, nil, nil, "first record does not look like"},
		"the listener is plain":            {good, Options{}, nil, nil, "wrong check of the header"},
		"the dialer's authority":           {trusting(both(other.config(t))), good, ErrTLS, ErrTLS, "unknown authority"},
		"the listener's authority":         {good, trusting(both(other.config(t))), ErrTLS, ErrTLS, "bad certificate"},
		"the dialer's is expired":          {trusting(expired(1)), good, ErrTLS, ErrTLS, "expired"},
		"the listener's is expired":        {good, trusting(expired(2)), ErrTLS, ErrTLS, "bad certificate"},
		"the listener's is for clients":    {good, Options{TLS: clientOnly}, ErrTLS, ErrTLS, "bad certificate"},
		"the dialer's is node 3's":         {trusting(ca.configOf(t, 3)), good, ErrNotAllowed, ErrNotAllowed, `not for raft:test/1 but for ["raft:test/3"]`},
		"the listener's is node 3's":       {good, trusting(ca.configOf(t, 3)), ErrNotAllowed, ErrTLS, "bad certificate"},
		"the dialer's is nobody's":         {trusting(ca.configFor(t, func(*x509.Certificate) {})), good, ErrNotAllowed, ErrNotAllowed, "not for raft:test/1 but for []"},
		"the dialer speaks TLS 1.2 only":   {Options{TLS: old}, good, ErrTLS, ErrTLS, "unsupported versions"},
		"the listener speaks TLS 1.2 only": {good, Options{TLS: old}, ErrTLS, ErrTLS, ""},
	} {
		t.Run(name, func(t *testing.T) {
			stats, dialed, listened := attempt(t, c.dialer, c.listener)
			require.ErrorContains(t, listened, c.text)
			for _, side := range []struct{ got, want error }{{dialed, c.dialed}, {listened, c.listened}} {
				var refused *HandshakeError
				if side.want == nil {
					require.False(t, errors.As(side.got, &refused), "%v", side.got)
					continue
				}
				require.ErrorAs(t, side.got, &refused)
				require.ErrorIs(t, refused, side.want)
			}
			if c.listened == nil {
				require.Positive(t, stats.Garbage)
			} else {
				require.Positive(t, stats.Refused)
			}
		})
	}
}

// A certificate is the node's wherever the node is, and whoever checks more
// says so.
func TestWhoIsWhoseCertificate(t *testing.T) {
	ca := newAuthority(t)
	nameless := ca.configFor(t, func(c *x509.Certificate) { c.DNSNames = []string{"node.example"} })
	named := nameless.Clone()
	named.ServerName = "node.example"
	wrongName := named.Clone()
	wrongName.ServerName = "other.example"
	own := nameless.Clone() // an own way to verify that an authority vouches for the other side
	own.InsecureSkipVerify, own.ClientAuth = true, tls.RequireAnyClientCert
	own.VerifyConnection = func(state tls.ConnectionState) error {
		_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: nameless.RootCAs, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		return err
	}
	chains := nameless.Clone()
	chains.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) error {
		if len(raw) != 1 || len(chains) == 0 {
			return errors.New("no chains")
		}
		return nil
	}
	byName := func(peer raft.Identity, state tls.ConnectionState) error {
		if peer.Cluster != "test" || peer.Node > 2 {
			return errors.New("who?")
		}
		return state.PeerCertificates[0].VerifyHostname("node.example")
	}
	for name, opts := range map[string]Options{
		"any certificate":    {TLS: nameless, VerifyPeer: TrustEveryCertificate},
		"an own verifier":    {TLS: nameless, VerifyPeer: byName},
		"a server's name":    {TLS: named, VerifyPeer: TrustEveryCertificate},
		"an own chain":       {TLS: own, VerifyPeer: TrustEveryCertificate},
		"an own look at one": {TLS: chains, VerifyPeer: TrustEveryCertificate},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t, opts)
			a.Send([]raft.Message{heartbeat(1, 2, 1)})
			receive(t, b.messages)
		})
	}
	_, dialed, _ := attempt(t, Options{TLS: wrongName, VerifyPeer: TrustEveryCertificate}, Options{TLS: nameless, VerifyPeer: TrustEveryCertificate})
	require.ErrorContains(t, dialed, "not other.example")
	stranger := own.Clone()
	stranger.Certificates = newAuthority(t).config(t).Certificates
	_, dialed, _ = attempt(t, Options{TLS: own, VerifyPeer: TrustEveryCertificate}, Options{TLS: stranger, VerifyPeer: TrustEveryCertificate})
	require.ErrorContains(t, dialed, "unknown authority")
}

func TestStartRefusesAnotherNodesCertificate(t *testing.T) {
	n := listenNode(t, 1, Options{TLS: newAuthority(t).configOf(t, 2)})
	var config *raft.ConfigError
	require.ErrorAs(t, n.Start(raft.Identity{Cluster: "test", Node: 1}, n.recorder), &config)
	require.Equal(t, "TLS", config.Field)
	require.ErrorContains(t, config, "not for raft:test/1")
	require.NoError(t, n.Start(raft.Identity{Cluster: "test", Node: 2}, n.recorder))
}

// A listener that has refused a certificate hears the dialer out, who has said
// hello meanwhile: else the reset could overtake the alert that says why.
func TestTheAlertArrives(t *testing.T) {
	b := startNode(t, 2, Options{TLS: newAuthority(t).config(t)})
	s := call(t, b)
	c := newAuthority(t).config(t)
	c.InsecureSkipVerify = true
	secure := tls.Client(s, c)
	require.NoError(t, secure.Handshake()) // as TLS 1.3 has it, it ends before the listener looks
	_, err := secure.Read(make([]byte, 1))
	require.ErrorContains(t, err, "unknown certificate authority")
	for range 100 {
		s.say([]byte("the hello, and more"))
	}
	require.Zero(t, b.Stats().Refused)
	s.Close()
	waitFor(t, "counted", func() bool { return b.Stats().Refused == 1 })
}

// A resumed session would not be verified against the authorities of its day.
func TestSessionsAreNotResumed(t *testing.T) {
	ca := newAuthority(t)
	keyed := ca.config(t)
	keyed.SetSessionTicketKeys([][32]byte{{1}})
	b := startNode(t, 2, Options{TLS: keyed})
	c := ca.config(t)
	c.InsecureSkipVerify, c.ClientSessionCache = true, tls.NewLRUClientSessionCache(10)
	for range 2 {
		s := call(t, b)
		secure := tls.Client(s, c)
		_, err := secure.Write(wire.AppendHello(nil, goodHello(wire.ForMessages)))
		require.NoError(t, err)
		_, err = secure.Read(make([]byte, 1)) // tickets come with it
		require.NoError(t, err)
		require.False(t, secure.ConnectionState().DidResume)
		s.Close()
	}
}

// What GetConfigForClient returns is held to the same rules as the rest.
func TestGetConfigForClient(t *testing.T) {
	ca := newAuthority(t)
	strict := ca.config(t)
	lax := strict.Clone()
	lax.ClientAuth = tls.NoClientCert
	returns := func(c *tls.Config, err error) Options {
		hooked := strict.Clone()
		hooked.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return c, err }
		return Options{TLS: hooked}
	}
	for _, c := range []*tls.Config{nil, strict} {
		a, b := pair(t, returns(c, nil))
		a.Send([]raft.Message{heartbeat(1, 2, 1)})
		receive(t, b.messages)
	}
	_, _, listened := attempt(t, Options{TLS: strict}, returns(lax, nil))
	require.ErrorContains(t, listened, "ClientAuth must be RequireAndVerifyClientCert")
	old := strict.Clone()
	old.MinVersion = tls.VersionTLS10
	_, _, listened = attempt(t, Options{TLS: strict}, returns(old, nil))
	require.ErrorContains(t, listened, "MinVersion is below TLS 1.2")
	_, _, listened = attempt(t, Options{TLS: strict}, returns(nil, errors.New("not now")))
	require.ErrorContains(t, listened, "not now")
}

func TestNodeURI(t *testing.T) {
	require.Equal(t, "raft:orders/3", NodeURI(raft.Identity{Cluster: "orders", Node: 3}).String())
	ca := newAuthority(t)
	for _, cluster := range []string{"orders", "a b", "a/1", "a..b", "ä", "100%", "a?b#c", ":", "//x"} {
		self := raft.Identity{Cluster: cluster, Node: 1<<64 - 1}
		der, _ := ca.issue(t, func(c *x509.Certificate) {
			c.URIs = []*url.URL{{Scheme: "https", Host: "other"}, NodeURI(self)}
		})
		cert, err := x509.ParseCertificate(der)
		require.NoError(t, err, cluster)
		state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}
		require.NoError(t, VerifyNodeURI(self, state), cluster)
		require.Error(t, VerifyNodeURI(raft.Identity{Cluster: cluster, Node: 1}, state), cluster)
		require.Error(t, VerifyNodeURI(raft.Identity{Cluster: cluster + "x", Node: self.Node}, state), cluster)
	}
}

// keyDirectory holds the TLS files of a node.
type keyDirectory struct {
	t testing.TB
	TLSFiles
}

func newKeyDirectory(t testing.TB) *keyDirectory {
	dir := t.TempDir()
	return &keyDirectory{t, TLSFiles{filepath.Join(dir, "node.crt"), filepath.Join(dir, "node.key"), filepath.Join(dir, "authorities.crt")}}
}

func (d *keyDirectory) trust(authorities ...*authority) {
	var b []byte
	for _, a := range authorities {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})...)
	}
	d.write(d.Authorities, b)
}

func (d *keyDirectory) certify(a *authority, change func(*x509.Certificate)) {
	der, key := a.issue(d.t, change)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(d.t, err)
	d.write(d.Certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	d.write(d.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

func (d *keyDirectory) write(path string, b []byte) {
	require.NoError(d.t, os.WriteFile(path, b, 0o600))
}

// reread does what the watch does every second.
func (n *node) reread() {
	n.security.files.reload(func(c *tls.Config) error {
		return n.security.verifyOwn(raft.Identity{Cluster: "test", Node: n.id}, c)
	})
}

// A cluster changes its authority without a restart: first all trust both, then
// certificates change, then the old one is trusted no more.
func TestAuthoritiesAreReplacedWhileRunning(t *testing.T) {
	old, renewed := newAuthority(t), newAuthority(t)
	var nodes [3]*node
	var dirs [3]*keyDirectory
	var cut cuttable
	for i := range nodes {
		id := raft.NodeID(i + 1)
		dirs[i] = newKeyDirectory(t)
		dirs[i].trust(old)
		dirs[i].certify(old, namedNode(id))
		nodes[i] = startNode(t, id, Options{TLSFiles: &dirs[i].TLSFiles, Dial: cut.dial})
	}
	a, b, left := nodes[0], nodes[1], nodes[2]
	a.SetPeer(2, b.addr())
	b.SetPeer(1, a.addr())
	connected := func() {
		t.Helper()
		before := []uint64{a.Stats().Connects, b.Stats().Connects}
		cut.cut()
		for i, n := range nodes[:2] {
			waitFor(t, "a new connection", func() bool { return n.Stats().Connects > before[i] && n.Peers()[0].Connected })
		}
	}
	connected()

	for i := range 2 {
		dirs[i].trust(old, renewed)
	}
	for i := range 2 {
		nodes[i].reread()
		connected() // with each mixture of old and new
		dirs[i].certify(renewed, namedNode(raft.NodeID(i+1)))
		nodes[i].reread()
		connected()
	}
	a.Send([]raft.Message{heartbeat(1, 2, 7)})
	require.EqualValues(t, 7, receive(t, b.messages).Index)

	left.SetPeer(2, b.addr()) // the new one is still unknown to it
	waitFor(t, "refused", func() bool { return errors.Is(left.Peers()[0].Err, ErrTLS) })
	left.SetPeer(2, "")

	for i := range 2 {
		dirs[i].trust(renewed)
		nodes[i].reread()
	}
	connected()
	dirs[2].trust(old, renewed) // it trusts the new one now, but nobody the old one
	left.reread()
	refused := b.Stats().Refused
	left.SetPeer(2, b.addr())
	waitFor(t, "refused", func() bool { return errors.Is(left.Peers()[0].Err, ErrTLS) && b.Stats().Refused > refused })
	require.Zero(t, left.Stats().Connects)
}

func TestBadNewFilesAreNotUsed(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	core, logs := observer.New(zapcore.InfoLevel)
	dir := newKeyDirectory(t)
	dir.trust(ca)
	dir.certify(ca, namedNode(1))
	n := startNode(t, 1, Options{TLSFiles: &dir.TLSFiles, Logger: zap.New(core)})
	for name, change := range map[string]func(){
		"another key":         func() { old, _ := os.ReadFile(dir.Key); dir.certify(ca, namedNode(1)); dir.write(dir.Key, old) },
		"another authority's": func() { dir.certify(other, namedNode(1)) },
		"another node's":      func() { dir.certify(ca, namedNode(2)) },
		"expired": func() {
			dir.certify(ca, func(c *x509.Certificate) { namedNode(1)(c); c.NotAfter = time.Now().Add(-time.Hour) })
		},
		"for clients": func() {
			dir.certify(ca, func(c *x509.Certificate) { namedNode(1)(c); c.ExtKeyUsage = c.ExtKeyUsage[:1] })
		},
		"half an authority": func() { b, _ := os.ReadFile(dir.Authorities); dir.write(dir.Authorities, append(b, b[:len(b)/2]...)) },
		"no authority":      func() { dir.write(dir.Authorities, nil) },
		"an authority that is none": func() {
			dir.write(dir.Authorities, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}))
		},
		"no file": func() { require.NoError(t, os.Remove(dir.Certificate)) },
	} {
		dir.trust(ca)
		dir.certify(ca, namedNode(1))
		n.reread()
		used := n.security.config()
		n.reread()
		require.Same(t, used, n.security.config(), "nothing has changed")
		logs.TakeAll()
		change()
		n.reread()
		n.reread()
		require.Same(t, used, n.security.config(), name)
		require.Equal(t, 1, logs.Len(), "%s: %v", name, logs.All())
		require.Equal(t, "the new TLS files are not used", logs.All()[0].Message, name)

		_, err := Listen("127.0.0.1:0", Options{TLSFiles: &dir.TLSFiles})
		if name != "another node's" { // only Start knows
			var config *raft.ConfigError
			require.ErrorAs(t, err, &config, name)
			require.Equal(t, "TLSFiles", config.Field)
		}
	}
}

// The watch itself: nobody calls reread.
func TestFilesAreWatched(t *testing.T) {
	ca := newAuthority(t)
	dir := newKeyDirectory(t)
	dir.trust(ca)
	dir.certify(ca, namedNode(1))
	n := startNode(t, 1, Options{TLSFiles: &dir.TLSFiles})
	used := n.security.config()
	dir.certify(ca, namedNode(1))
	waitFor(t, "the new certificate", func() bool { return n.security.config() != used })
}

// Who listens for all the world without TLS is told what that means.
func TestPlainTCPIsWarnedOf(t *testing.T) {
	for address, warnings := range map[string]int{"0.0.0.0:0": 1, "127.0.0.1:0": 0} {
		core, logs := observer.New(zapcore.WarnLevel)
		transport, err := Listen(address, Options{Logger: zap.New(core)})
		require.NoError(t, err)
		require.NoError(t, transport.Start(raft.Identity{Cluster: "test", Node: 1}, newRecorder()))
		require.NoError(t, transport.Close())
		require.Equal(t, warnings, logs.FilterMessageSnippet("no TLS").Len(), address)
	}
}

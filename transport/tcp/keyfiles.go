package tcp

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// reloadInterval is how often files are looked at. Nothing that a stranger
// does makes a node read them.
const reloadInterval = time.Second

// TLSFiles are the files of mutual TLS, in PEM. They are read by Listen and
// looked at once a second: what changes is used for the connections that are
// made from then on. Those that exist stay as they are.
//
// New content is used only as a whole and only if it is good: the key is that
// of the certificate, the authorities vouch for it, for clients and servers,
// now, and Options.VerifyPeer takes it for this node's. Otherwise the node goes
// on with what it has, and logs why. So it does not matter in which order files
// are replaced, nor that they are not replaced at the same moment.
//
// To change the authority without an interruption: first add the new one to
// every node's Authorities, then replace the certificates, then remove the old
// one.
type TLSFiles struct {
	Certificate string // this node's, followed by intermediate ones
	Key         string // the private key of it
	Authorities string // certificates of those who may vouch for nodes
}

// keyFiles is the content of TLSFiles, as it was last good.
type keyFiles struct {
	paths   TLSFiles
	log     *zap.Logger
	current atomic.Pointer[tls.Config]

	mu      sync.Mutex // held while the files are read
	used    [3][]byte  // what current was made of
	failure string     // what was logged last
}

// watch looks for changes until ctx ends. usable says whether a configuration
// may be used.
func (k *keyFiles) watch(ctx context.Context, usable func(*tls.Config) error) {
	tick := time.NewTicker(reloadInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		k.reload(usable)
	}
}

// reload is load, with its outcome in the log.
func (k *keyFiles) reload(usable func(*tls.Config) error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	before := k.current.Load()
	err := k.load(usable)
	switch now := k.current.Load(); {
	case err != nil && err.Error() != k.failure:
		k.log.Error("the new TLS files are not used", zap.Error(err))
	case now != before:
		k.log.Info("new TLS files are used", zap.Time("expires", now.Certificates[0].Leaf.NotAfter))
	}
	if k.failure = ""; err != nil {
		k.failure = err.Error()
	}
}

// load makes a configuration of the files if they differ from those in use and
// are good. What is bad now may be good later: a certificate becomes valid.
func (k *keyFiles) load(usable func(*tls.Config) error) error {
	var content [3][]byte
	for i, path := range []string{k.paths.Certificate, k.paths.Key, k.paths.Authorities} {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		content[i] = b
	}
	if slices.EqualFunc(content[:], k.used[:], bytes.Equal) {
		return nil
	}
	c, err := parseKeys(content[0], content[1], content[2])
	if err == nil {
		err = usable(c)
	}
	if err != nil {
		return fmt.Errorf("%s, %s, %s: %w", k.paths.Certificate, k.paths.Key, k.paths.Authorities, err)
	}
	k.used = content
	k.current.Store(c)
	return nil
}

// parseKeys makes a configuration of mutual TLS.
func parseKeys(certificate, key, authorities []byte) (*tls.Config, error) {
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	pool, err := parseAuthorities(authorities)
	if err != nil {
		return nil, err
	}
	chain := []*x509.Certificate{pair.Leaf}
	for _, der := range pair.Certificate[1:] {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, cert)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if _, err := verifyChain(chain, x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			return nil, fmt.Errorf("the certificate is of no use: %w", err)
		}
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair},
		RootCAs:      pool,
		ClientCAs:    pool,
		ClientAuth:   tls.RequireAndVerifyClientCert,
	}, nil
}

// parseAuthorities takes nothing but certificates, so that a file that is half
// written is not taken for a shorter one.
func parseAuthorities(b []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	for n := 0; ; n++ {
		block, rest := pem.Decode(b)
		switch {
		case block == nil && len(bytes.TrimSpace(b)) > 0:
			return nil, errors.New("the authorities are no PEM to the end")
		case block == nil && n == 0:
			return nil, errors.New("no authorities")
		case block == nil:
			return pool, nil
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("an authority: %w", err)
		}
		pool.AddCert(cert)
		b = rest
	}
}

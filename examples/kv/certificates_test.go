package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/transport/tcp"
)

// authority issues certificates to nodes, in files.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, dir string) *authority {
	a := &authority{t: t, dir: dir}
	der := a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, "authority")
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	a.cert = cert
	return a
}

// flags issues a certificate to a node, and returns the flags of kv serve for
// it.
func (a *authority) flags(node raft.Identity) []string {
	name := fmt.Sprint("node-", node.Node)
	a.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		URIs:        []*url.URL{tcp.NodeURI(node)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, name)
	return []string{"-tls-cert", a.path(name, "crt"), "-tls-key", a.path(name, "key"), "-tls-ca", a.path("authority", "crt")}
}

// issue writes a certificate and its key. The first one is the authority's own.
func (a *authority) issue(template *x509.Certificate, name string) (der []byte) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	if a.cert == nil {
		a.cert, a.key = template, key
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err = x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(a.t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.t, err)
	a.write(a.path(name, "crt"), "CERTIFICATE", der)
	a.write(a.path(name, "key"), "PRIVATE KEY", private)
	return der
}

func (a *authority) path(name, extension string) string {
	return filepath.Join(a.dir, name+"."+extension)
}

func (a *authority) write(path, kind string, der []byte) {
	require.NoError(a.t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

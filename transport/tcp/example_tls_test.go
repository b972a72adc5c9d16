package tcp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/seed-6281cb22/raft"
	"github.com/seed-6281cb22/raft/raftpb"
	"github.com/seed-6281cb22/raft/transport/tcp"
)

// Two nodes with certificates in files: what is special about a node's is the
// one URI, its name. A real cluster's authority keeps its key to itself; and
// its errors are not ignored.
func Example_tls() {
	dir, _ := os.MkdirTemp("", "tls")
	defer os.RemoveAll(dir)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	authorityKey := issue(dir, "authority", authority, authority, nil)

	arrived := make(chan struct{})
	var transports []*tcp.Transport
	for id := raft.NodeID(1); id <= 2; id++ {
		self := raft.Identity{Cluster: "orders", Node: id}
		name := fmt.Sprint("node", id)
		issue(dir, name, &x509.Certificate{
			SerialNumber: big.NewInt(1 + int64(id)), NotAfter: time.Now().Add(time.Hour),
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
			URIs:        []*url.URL{tcp.NodeURI(self)},
		}, authority, authorityKey)
		transport, err := tcp.Listen("127.0.0.1:0", tcp.Options{TLSFiles: &tcp.TLSFiles{
			Certificate: filepath.Join(dir, name+".crt"),
			Key:         filepath.Join(dir, name+".key"),
			Authorities: filepath.Join(dir, "authority.crt"),
		}})
		if err != nil {
			fmt.Println(err)
			return
		}
		defer transport.Close()
		if err := transport.Start(self, printer{arrived}); err != nil {
			fmt.Println(err)
			return
		}
		transports = append(transports, transport)
	}
	transports[0].SetPeer(2, transports[1].Addr().String())
	transports[0].Send([]raft.Message{{
		Type: raftpb.AppendEntries, From: 1, To: 2, Term: 1,
		Entries: []raft.Entry{{Term: 1, Index: 1, Data: []byte("a secret")}},
	}})
	<-arrived
	// Output: node 1 sends entry 1: a secret
}

// issue writes a certificate and its key to dir/name.crt and .key. Without a
// key to sign with, it signs itself.
func issue(dir, name string, cert, signer *x509.Certificate, signerKey *ecdsa.PrivateKey) *ecdsa.PrivateKey {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if signerKey == nil {
		signerKey = key
	}
	der, _ := x509.CreateCertificate(rand.Reader, cert, signer, &key.PublicKey, signerKey)
	private, _ := x509.MarshalPKCS8PrivateKey(key)
	for _, file := range []struct {
		suffix, kind string
		content      []byte
	}{{".crt", "CERTIFICATE", der}, {".key", "PRIVATE KEY", private}} {
		b := pem.EncodeToMemory(&pem.Block{Type: file.kind, Bytes: file.content})
		_ = os.WriteFile(filepath.Join(dir, name+file.suffix), b, 0o600)
	}
	return key
}

// The name of a node in its certificate.
func ExampleNodeURI() {
	fmt.Println(tcp.NodeURI(raft.Identity{Cluster: "orders", Node: 3}))
	// Output: raft:orders/3
}

package tcp

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"strconv"

	"github.com/seed-6281cb22/raft"
)

// A PeerVerifier decides whether the certificate that the other side of a
// connection has shown is that of the node peer: the one that was dialed, or
// the one that the dialer claims to be. The certificate is
// state.PeerCertificates[0]; that an authority vouches for it has been verified
// before. A nil error means that the other side may speak for that node.
//
// It is called for each connection, concurrently, and once by Start and for
// each new file of Options.TLSFiles with the node's own identity and
// certificate, which it must accept too; state holds nothing but certificates
// then.
type PeerVerifier func(peer raft.Identity, state tls.ConnectionState) error

// NodeURI returns the name of a node in its certificate, for VerifyNodeURI:
//
//	raft:<cluster>/<node id>
//
// such as raft:orders/3; characters of the cluster's name that a path segment
// of a URI cannot have are percent-encoded. Who issues certificates adds it as
// a URI to the subject alternative names: x509.Certificate.URIs, or
// subjectAltName=URI:raft:orders/3 for OpenSSL.
//
// It is no raft://orders/3, because what stands there would have to be a
// domain, and crypto/x509 refuses certificates where it is none.
func NodeURI(node raft.Identity) *url.URL {
	return &url.URL{Scheme: "raft", Opaque: url.PathEscape(node.Cluster) + "/" + strconv.FormatUint(uint64(node.Node), 10)}
}

// VerifyNodeURI is the PeerVerifier that a transport uses unless told
// otherwise: the certificate must have the NodeURI of the node among its URIs.
// Hosts and addresses do not matter, so nodes can move with their certificates.
func VerifyNodeURI(peer raft.Identity, state tls.ConnectionState) error {
	want := NodeURI(peer).String()
	var others []string
	for _, uri := range state.PeerCertificates[0].URIs {
		if uri.String() == want {
			return nil
		}
		others = append(others, uri.String())
	}
	return fmt.Errorf("the certificate is not for %s but for %q", want, others)
}

// TrustEveryCertificate is a PeerVerifier that takes every certificate of the
// authorities for that of every node. Whoever has one, of whatever service if
// the authority has others, can be any member of the cluster: use it only with
// an authority of the cluster's own, whose certificates name no nodes.
func TrustEveryCertificate(raft.Identity, tls.ConnectionState) error { return nil }

// identityError says that a certificate does not belong to the node.
type identityError struct {
	err error
}

func (e *identityError) Error() string { return e.err.Error() }

func (e *identityError) Unwrap() error { return e.err }
